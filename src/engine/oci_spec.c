/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/oci_spec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "engine/files.h"
#include "engine/json_out.h"
#include "engine/seccomp.h"
#include "engine/spec_mounts.h"

enum { DEVICES_MAX = 4096, DEVICE_DEPTH_MAX = 16 };

static const struct criv1_linux_container_security_context *security(const struct spec_input *in)
{
    static const struct criv1_linux_container_security_context none;
    const struct criv1_linux_container_config *l = in->config->linux_;
    return l && l->security_context ? l->security_context : &none;
}

static bool privileged(const struct spec_input *in)
{
    return security(in)->privileged;
}

/* ---- capabilities ---- */

static const char *const capability_names[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};

#define CAP(name) ((uint64_t)1 << CAP_##name)
static const uint64_t default_capabilities =
    CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FSETID) | CAP(FOWNER) | CAP(MKNOD) | CAP(NET_RAW) |
    CAP(SETGID) | CAP(SETUID) | CAP(SETFCAP) | CAP(SETPCAP) | CAP(NET_BIND_SERVICE) |
    CAP(SYS_CHROOT) | CAP(KILL) | CAP(AUDIT_WRITE);

int capability_parse(struct str name)
{
    if (name.n > 4 && str_case_eq(str_sub(name, 0, 4), STR("CAP_")))
        name = str_sub(name, 4, name.n);
    for (size_t i = 0; i < ARRAY_LEN(capability_names); i++)
        if (str_case_eq(name, str_z(capability_names[i])))
            return (int)i;
    return -1;
}

struct capability_names {
    bool all; /* "ALL" is among them */
    uint64_t named;
};

static int parse_names(const struct str_list *names, struct capability_names *ret, struct err *e)
{
    *ret = (struct capability_names){0};
    LIST_EACH (name, names) {
        int bit = capability_parse(*name);
        if (str_case_eq(*name, STR("ALL")))
            ret->all = true;
        else if (bit < 0)
            return err_set(e, ERR_BAD_REQUEST, "unknown capability \"%.*s\"", STR_ARG(*name));
        else
            ret->named |= (uint64_t)1 << bit;
    }
    return 0;
}

struct capability_sets {
    uint64_t bounding, ambient;
};

/* "ALL" goes before names: add ALL drop X is all but X; drop ALL add X is X alone. */
static int capability_sets(const struct spec_input *in, struct capability_sets *ret, struct err *e)
{
    static const struct criv1_capability none;
    const struct criv1_capability *c = security(in)->capabilities;
    const uint64_t all = in->host->capabilities;
    struct capability_names add, drop, ambient;
    c = c ? c : &none;
    int r = parse_names(&c->add_capabilities, &add, e);
    if (r == 0)
        r = parse_names(&c->drop_capabilities, &drop, e);
    if (r == 0)
        r = parse_names(&c->add_ambient_capabilities, &ambient, e);
    if (r < 0)
        return r;
    uint64_t set = drop.all ? 0 : add.all ? all : default_capabilities;
    set = (set | add.named) & ~drop.named;
    ret->bounding = privileged(in) ? all : set & all;
    ret->ambient = (ambient.all ? all : ambient.named) & ret->bounding;
    return 0;
}

static void put_set(struct buf *b, const char *name, uint64_t set)
{
    out_array(b, name);
    for (size_t i = 0; i < ARRAY_LEN(capability_names); i++)
        if (set >> i & 1) {
            out_comma(b);
            buf_fmt(b, "\"CAP_%s\"", capability_names[i]);
        }
    out_close(b, ']');
}

static void put_capabilities(struct buf *b, const struct capability_sets *sets)
{
    out_object(b, "capabilities");
    put_set(b, "bounding", sets->bounding);
    put_set(b, "effective", sets->bounding);
    put_set(b, "permitted", sets->bounding);
    put_set(b, "inheritable", sets->ambient);
    put_set(b, "ambient", sets->ambient);
    out_close(b, '}');
}

/* ---- the process ---- */

struct str_list spec_args(struct arena *a, const struct criv1_container_config *config,
                          const struct oci_config *image)
{
    const struct str_list *command = config->command.n ? &config->command : &image->entrypoint;
    const struct str_list *args = config->args.n || config->command.n ? &config->args : &image->cmd;
    struct str_list all = {0};
    LIST_EACH (s, command)
        str_list_push(a, &all, *s);
    LIST_EACH (s, args)
        str_list_push(a, &all, *s);
    return all;
}

struct str spec_working_dir(const struct criv1_container_config *config,
                            const struct oci_config *image)
{
    struct str dir = config->working_dir.n ? config->working_dir : image->working_dir;
    return dir.n && dir.p[0] == '/' ? dir : STR("/");
}

struct env {
    struct arena *a;
    struct str_map seen;   /* name to value */
    struct str_list names; /* in order */
};

static void env_set(struct env *env, struct str name, struct str value)
{
    if (!str_map_has(&env->seen, name))
        str_list_push(env->a, &env->names, name);
    str_map_set(env->a, &env->seen, name, value);
}

/* The image's, then what the engine adds, then the configuration's: the later wins. */
static void put_env(struct buf *b, const struct spec_input *in, struct arena *a)
{
    struct env env = {.a = a};
    struct str name, value;
    env_set(&env, STR("PATH"), STR("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    if (in->config->tty)
        env_set(&env, STR("TERM"), STR("xterm"));
    env_set(&env, STR("HOSTNAME"), in->hostname);
    LIST_EACH (s, &in->image->env)
        if (str_cut(*s, '=', &name, &value))
            env_set(&env, name, value);
    LIST_EACH (kv, &in->config->envs)
        env_set(&env, kv->key, kv->value);
    out_array(b, "env");
    LIST_EACH (n, &env.names)
        out_string(b, arena_fmt(a, "%.*s=%.*s", STR_ARG(*n), STR_ARG(str_map_get(&env.seen, *n))));
    out_close(b, ']');
}

static void put_user(struct buf *b, const struct process_user *u)
{
    out_object(b, "user");
    out_member_int(b, "uid", u->uid);
    out_member_int(b, "gid", u->gid);
    out_array(b, "additionalGids");
    bool primary = false;
    for (size_t i = 0; i < u->n_groups; i++)
        primary |= u->groups[i] == u->gid;
    if (!primary)
        out_int(b, u->gid);
    for (size_t i = 0; i < u->n_groups; i++)
        out_int(b, u->groups[i]);
    out_close(b, ']');
    out_close(b, '}');
}

static void put_selinux(struct buf *b, const struct spec_input *in, struct arena *a)
{
    const struct criv1_se_linux_option *o = security(in)->selinux_options;
    if (o && o->type.n && !privileged(in) && access("/sys/fs/selinux/enforce", F_OK) == 0)
        out_member(b, "selinuxLabel",
                   arena_fmt(a, "%.*s:%.*s:%.*s:%.*s", STR_ARG(o->user), STR_ARG(o->role),
                             STR_ARG(o->type), STR_ARG(o->level)));
}

static int put_apparmor(struct buf *b, const struct spec_input *in, struct err *e)
{
    const struct criv1_security_profile *p = security(in)->apparmor;
    if (!p || p->profile_type != CRIV1_Localhost || privileged(in))
        return 0; /* this engine loads no profile of its own: RuntimeDefault is unconfined */
    if (!in->host->apparmor)
        return err_set(e, ERR_BAD_REQUEST, "apparmor is not supported on the host");
    struct str name = p->localhost_ref;
    str_skip(&name, STR("localhost/"));
    out_member(b, "apparmorProfile", name);
    return 0;
}

static int64_t oom_score_adj(const struct spec_input *in)
{
    const struct criv1_linux_container_config *l = in->config->linux_;
    int64_t want = l && l->resources ? l->resources->oom_score_adj : 0;
    return MIN(MAX(want, (int64_t)in->host->oom_score_adj_min), (int64_t)1000);
}

static int put_process(struct buf *b, const struct spec_input *in, const struct str_list *args,
                       struct arena *a, struct err *e)
{
    struct capability_sets sets;
    int r = capability_sets(in, &sets, e);
    if (r < 0)
        return r;
    out_member_bool(b, "terminal", in->config->tty);
    put_user(b, in->user);
    out_array(b, "args");
    LIST_EACH (s, args)
        out_string(b, *s);
    out_close(b, ']');
    put_env(b, in, a);
    out_member(b, "cwd", spec_working_dir(in->config, in->image));
    put_capabilities(b, &sets);
    out_member_bool(b, "noNewPrivileges", security(in)->no_new_privs);
    out_member_int(b, "oomScoreAdj", oom_score_adj(in));
    put_selinux(b, in, a);
    return put_apparmor(b, in, e);
}

/* ---- resources and devices ---- */

static void put_cpu(struct buf *b, const struct criv1_linux_container_resources *r)
{
    out_object(b, "cpu");
    if (r->cpu_shares)
        out_member_int(b, "shares", r->cpu_shares);
    if (r->cpu_quota)
        out_member_int(b, "quota", r->cpu_quota);
    if (r->cpu_period)
        out_member_int(b, "period", r->cpu_period);
    if (r->cpuset_cpus.n)
        out_member(b, "cpus", r->cpuset_cpus);
    if (r->cpuset_mems.n)
        out_member(b, "mems", r->cpuset_mems);
    out_close(b, '}');
}

static void put_memory(struct buf *b, const struct spec_input *in,
                       const struct criv1_linux_container_resources *r)
{
    out_object(b, "memory");
    if (r->memory_limit_in_bytes && cgroup_has(in->host->cgroups, CGROUP_MEMORY)) {
        out_member_int(b, "limit", r->memory_limit_in_bytes);
        if (r->memory_swap_limit_in_bytes)
            out_member_int(b, "swap", r->memory_swap_limit_in_bytes);
    }
    out_close(b, '}');
}

static void put_hugepages(struct buf *b, const struct spec_input *in,
                          const struct criv1_linux_container_resources *r)
{
    if (!cgroup_has(in->host->cgroups, CGROUP_HUGETLB))
        return;
    out_array(b, "hugepageLimits");
    LIST_EACH (h, &r->hugepage_limits) {
        out_open(b, '{');
        out_member(b, "pageSize", h->page_size);
        out_member_int(b, "limit", (int64_t)MIN(h->limit, (uint64_t)INT64_MAX));
        out_close(b, '}');
    }
    out_close(b, ']');
}

static void put_unified(struct buf *b, const struct spec_input *in,
                        const struct criv1_linux_container_resources *r)
{
    if (in->host->cgroups->mode != CGROUP_V2 || !r->unified.n)
        return;
    out_object(b, "unified");
    for (size_t i = 0; i < r->unified.n; i++) {
        out_string(b, r->unified.v[i].key);
        buf_c(b, ':');
        json_put_string(b, r->unified.v[i].value);
    }
    out_close(b, '}');
}

struct device {
    struct str path; /* in the container */
    struct stat st;
    struct str access;
};

struct devices {
    struct arena *a;
    VEC(struct device) v;
};

static void add_device(struct devices *d, struct str path, const struct stat *st, struct str access)
{
    if (d->v.n < DEVICES_MAX && (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))) {
        struct device dev = {path, *st, access};
        vec_push_arena(d->a, &d->v, dev);
    }
}

struct device_walk {
    struct devices *d;
    const char *folder; /* in the container */
    struct str access;
    unsigned depth;
    struct err *e;
    bool skip_special; /* of the host's /dev: what the container has of its own */
};

static int walk_device(void *arg, int dir, const char *name)
{
    static const char *const own[] = {"pts",     "shm",  "fd",          "mqueue",
                                      "console", ".lxc", ".lxd-mounts", ".udev"};
    struct device_walk *w = arg;
    struct stat st;
    for (size_t i = 0; w->skip_special && i < ARRAY_LEN(own); i++)
        if (strcmp(name, own[i]) == 0)
            return 0;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    struct str path = arena_fmt(w->d->a, "%s/%s", w->folder, name);
    add_device(w->d, path, &st, w->access);
    if (!S_ISDIR(st.st_mode) || w->depth >= DEVICE_DEPTH_MAX)
        return 0;
    struct device_walk below = {w->d, path.p, w->access, w->depth + 1, w->e, false};
    return dir_each(dir, name, walk_device, &below, w->e);
}

/* One device, or all in a folder. */
static int add_configured(struct devices *d, const struct criv1_device *c, struct err *e)
{
    struct stat st;
    const char *host = arena_z(d->a, c->host_path);
    struct str access = c->permissions.n ? c->permissions : STR("rwm");
    if (stat(host, &st) < 0)
        return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "device %s not found", host)
                               : err_errno(e, errno, "device %s", host);
    if (!S_ISDIR(st.st_mode)) {
        add_device(d, c->container_path, &st, access);
        return 0;
    }
    struct device_walk w = {d, arena_z(d->a, c->container_path), access, 0, e, false};
    return dir_each(AT_FDCWD, host, walk_device, &w, e);
}

static int collect_devices(const struct spec_input *in, struct devices *d, struct err *e)
{
    if (privileged(in)) {
        struct device_walk w = {d, "/dev", STR("rwm"), 0, e, true};
        return dir_each(AT_FDCWD, "/dev", walk_device, &w, e);
    }
    LIST_EACH (c, &in->config->devices) {
        int r = add_configured(d, c, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static void put_devices(struct buf *b, const struct devices *d)
{
    out_array(b, "devices");
    LIST_EACH (dev, &d->v) {
        out_open(b, '{');
        out_member_z(b, "type", S_ISCHR(dev->st.st_mode) ? "c" : "b");
        out_member(b, "path", dev->path);
        out_member_int(b, "major", major(dev->st.st_rdev));
        out_member_int(b, "minor", minor(dev->st.st_rdev));
        out_member_int(b, "fileMode", dev->st.st_mode & 0777);
        out_member_int(b, "uid", dev->st.st_uid);
        out_member_int(b, "gid", dev->st.st_gid);
        out_close(b, '}');
    }
    out_close(b, ']');
}

static void put_device_rules(struct buf *b, const struct spec_input *in, const struct devices *d)
{
    out_array(b, "devices");
    buf_fmt(b, "{\"allow\":%s,\"access\":\"rwm\"}", privileged(in) ? "true" : "false");
    LIST_EACH (dev, &d->v) {
        if (privileged(in))
            break;
        out_open(b, '{');
        out_member_bool(b, "allow", true);
        out_member_z(b, "type", S_ISCHR(dev->st.st_mode) ? "c" : "b");
        out_member_int(b, "major", major(dev->st.st_rdev));
        out_member_int(b, "minor", minor(dev->st.st_rdev));
        out_member(b, "access", dev->access);
        out_close(b, '}');
    }
    out_close(b, ']');
}

static void put_resources(struct buf *b, const struct spec_input *in, const struct devices *d)
{
    static const struct criv1_linux_container_resources none;
    const struct criv1_linux_container_config *l = in->config->linux_;
    const struct criv1_linux_container_resources *r = l && l->resources ? l->resources : &none;
    out_object(b, "resources");
    put_device_rules(b, in, d);
    put_cpu(b, r);
    put_memory(b, in, r);
    put_hugepages(b, in, r);
    put_unified(b, in, r);
    out_close(b, '}');
}

/* ---- the rest of "linux" ---- */

static void put_namespace(struct buf *b, const char *type, const char *path)
{
    if (!path)
        return;
    out_open(b, '{');
    out_member_z(b, "type", type);
    if (*path)
        out_member_z(b, "path", path);
    out_close(b, '}');
}

static void put_namespaces(struct buf *b, const struct spec_input *in)
{
    out_array(b, "namespaces");
    put_namespace(b, "mount", "");
    put_namespace(b, "network", in->net_ns);
    put_namespace(b, "ipc", in->ipc_ns);
    put_namespace(b, "uts", in->uts_ns);
    put_namespace(b, "pid", in->pid_ns);
    put_namespace(b, "cgroup", in->host->cgroups->mode == CGROUP_V2 && !privileged(in) ? "" : NULL);
    out_close(b, ']');
}

static void put_paths(struct buf *b, const char *name, const struct str_list *paths)
{
    out_array(b, name);
    LIST_EACH (path, paths)
        out_string(b, *path);
    out_close(b, ']');
}

static int put_profile_file(struct buf *b, struct str path, struct arena *a, struct err *e)
{
    struct str text;
    struct json *profile;
    str_skip(&path, STR("localhost/"));
    int r = file_read(a, AT_FDCWD, arena_z(a, path), SPEC_PROFILE_MAX, &text, e);
    if (r < 0)
        return err_wrap(e, "seccomp profile");
    if (json_parse(a, text, &profile, e) < 0 || profile->type != JSON_OBJECT)
        return err_set(e, ERR_BAD_REQUEST, "seccomp profile %.*s is not a JSON object",
                       STR_ARG(path));
    out_key(b, "seccomp");
    json_write(b, profile);
    return 0;
}

static int put_seccomp(struct buf *b, const struct spec_input *in, struct arena *a, struct err *e)
{
    const struct criv1_security_profile *p = security(in)->seccomp;
    struct capability_sets sets;
    if (!p || privileged(in) || p->profile_type == CRIV1_Unconfined)
        return 0;
    if (p->profile_type == CRIV1_Localhost)
        return put_profile_file(b, p->localhost_ref, a, e);
    int r = capability_sets(in, &sets, e);
    if (r < 0)
        return r;
    out_key(b, "seccomp");
    seccomp_default(b, sets.bounding);
    return 0;
}

static int put_linux(struct buf *b, const struct spec_input *in, struct arena *a, struct err *e)
{
    struct devices d = {.a = a};
    int r = collect_devices(in, &d, e);
    if (r < 0)
        return r;
    out_object(b, "linux");
    out_member_z(b, "cgroupsPath", in->cgroup);
    out_member_z(b, "rootfsPropagation", spec_root_propagation(in->config));
    put_namespaces(b, in);
    put_resources(b, in, &d);
    put_devices(b, &d);
    if (!privileged(in)) {
        put_paths(b, "maskedPaths", &security(in)->masked_paths);
        put_paths(b, "readonlyPaths", &security(in)->readonly_paths);
    }
    r = put_seccomp(b, in, a, e);
    out_close(b, '}');
    return r;
}

/* ---- whole documents ---- */

static int finish(struct arena *a, const struct buf *b, struct str *ret, struct err *e)
{
    if (b->failed)
        return err_set(e, ERR_LIMIT, "the container's specification is larger than %d bytes",
                       SPEC_BYTES_MAX);
    *ret = buf_to_arena(b, a);
    return 0;
}

static int put_container(struct buf *b, const struct spec_input *in, struct arena *a, struct err *e)
{
    struct str_list args = spec_args(a, in->config, in->image);
    if (!args.n)
        return err_set(e, ERR_BAD_REQUEST, "no command specified");
    out_member_z(b, "ociVersion", "1.0.2");
    out_object(b, "root");
    out_member_z(b, "path", in->rootfs);
    out_member_bool(b, "readonly", security(in)->readonly_rootfs);
    out_close(b, '}');
    out_object(b, "process");
    int r = put_process(b, in, &args, a, e);
    out_close(b, '}');
    if (r == 0)
        r = spec_put_mounts(b, in, privileged(in), a, e);
    return r < 0 ? r : put_linux(b, in, a, e);
}

int spec_write(struct arena *a, const struct spec_input *in, struct str *ret, struct err *e)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(SPEC_BYTES_MAX);
    out_open(&b, '{');
    int r = put_container(&b, in, a, e);
    out_close(&b, '}');
    return r < 0 ? r : finish(a, &b, ret, e);
}

/* ---- what we have to pass on ---- */

static uint64_t bounding_set(void)
{
    struct arena a = ARENA_INIT;
    struct err ignored = ERR_INIT(&a);
    struct str text, line;
    uint64_t set = 0;
    if (file_read(&a, AT_FDCWD, "/proc/self/status", 65536, &text, &ignored) == 0)
        while (str_next(&text, '\n', &line))
            if (str_skip(&line, STR("CapBnd:")))
                set = strtoull(arena_z(&a, str_trim(line)), NULL, 16);
    arena_fini(&a);
    return set;
}

void spec_host_init(struct spec_host *h, const struct cgroups *cgroups)
{
    char text[32];
    size_t n;
    int32_t own = 0;
    *h = (struct spec_host){.cgroups = cgroups, .capabilities = bounding_set()};
    if (file_read_small(AT_FDCWD, "/proc/self/oom_score_adj", text, sizeof text, &n))
        (void)str_to_i32(str_trim(str_n(text, n)), &own);
    h->oom_score_adj_min = h->capabilities >> CAP_SYS_RESOURCE & 1 ? -1000 : own;
    h->apparmor = file_read_small(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", text,
                                  sizeof text, &n) &&
                  text[0] == 'Y';
}
