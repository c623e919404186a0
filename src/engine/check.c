/* SPDX-License-Identifier: Apache-2.0 */
/* engine_check: what `barque doctor` tells about this host. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "engine/files.h"
#include "engine/local.h"
#include "engine/snapshot.h"

struct check {
    struct arena *a;
    VEC(struct engine_finding) v;
};

static struct engine_finding *find(struct check *c, const char *what, bool ok, bool fatal,
                                   const char *fmt, ...) PRINTF(5, 6);

static struct engine_finding *find(struct check *c, const char *what, bool ok, bool fatal,
                                   const char *fmt, ...)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(4096);
    va_list ap;
    va_start(ap, fmt);
    buf_vfmt(&b, fmt, ap);
    va_end(ap);
    struct engine_finding f = {.what = what, .ok = ok, .fatal = fatal && !ok};
    f.message = buf_to_arena(&b, c->a);
    vec_push_arena(c->a, &c->v, f);
    return &c->v.v[c->v.n - 1];
}

/* The first line that `program --version` prints. */
static struct str version_of(struct check *c, const char *program)
{
    CLEANUP(free_ptr) char *command = xasprintf("exec '%s' --version 2>/dev/null", program);
    char line[200] = "";
    FILE *f = popen(command, "re");
    if (f && !fgets(line, sizeof line, f))
        line[0] = 0;
    if (f)
        pclose(f);
    return arena_str(c->a, str_trim(str_z(line)));
}

static bool check_program(struct check *c, const char *what, const char *name, bool fatal)
{
    CLEANUP(free_ptr) char *path = program_find(name);
    if (path) {
        struct str version = version_of(c, path);
        find(c, what, true, fatal, "%s: %.*s", path, STR_ARG(version));
        return true;
    }
    struct engine_finding *f = find(c, what, false, fatal, "%s not found in PATH", name);
    f->fix = arena_fmt(c->a, "apt-get install %s", what);
    return false;
}

static void check_runtimes(struct check *c, const struct engine_config *cfg)
{
    if (cfg->runtime) {
        check_program(c, cfg->runtime, cfg->runtime, true);
    } else if (!check_program(c, "crun", "crun", false)) {
        check_program(c, "runc", "runc", true);
    }
    for (size_t i = 0; i < cfg->n_handlers; i++)
        check_program(c, cfg->handlers[i].name, cfg->handlers[i].path, false);
    check_program(c, "conmon", cfg->conmon ? cfg->conmon : "conmon", true);
}

static void check_root(struct check *c)
{
    if (geteuid() == 0)
        find(c, "privilege", true, true, "running as root");
    else
        find(c, "privilege", false, true, "not running as root: containers need it")->fix =
            STR("sudo barque ...");
}

static void check_cgroups(struct check *c)
{
    struct cgroups cg;
    struct err e = ERR_INIT(c->a);
    static const enum cgroup_controller wanted[] = {CGROUP_CPU, CGROUP_MEMORY, CGROUP_PIDS,
                                                    CGROUP_CPUSET};
    static const char *const names[] = {"cpu", "memory", "pids", "cpuset"};
    if (cgroup_detect(&cg, &e) < 0) {
        find(c, "cgroups", false, true, "%.*s", STR_ARG(e.message))->fix =
            STR("mount -t cgroup2 none /sys/fs/cgroup");
        return;
    }
    find(c, "cgroups", true, true, "version layout: %s", cgroup_mode_name(cg.mode));
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (!cgroup_has(&cg, wanted[i]))
            find(c, "cgroups", false, false,
                 "the %s controller is missing: its limits are not enforced", names[i]);
}

/* By doing it, below the engine's root or where that will be. */
static int try_overlay(const char *folder, struct err *e)
{
    CLEANUP(free_ptr) char *lower = xasprintf("%s/lower", folder);
    CLEANUP(free_ptr) char *snapshot = xasprintf("%s/snapshot", folder);
    CLEANUP(free_ptr) char *target = xasprintf("%s/rootfs", folder);
    struct str lowers = str_z(lower);
    int r = dir_make(lower, 0755, e);
    if (r == 0)
        r = snapshot_mount(snapshot, target, &lowers, 1, e);
    return r == 0 ? snapshot_unmount(target, e) : r;
}

static void check_overlay(struct check *c, const struct engine_config *cfg)
{
    struct err e = ERR_INIT(c->a);
    bool there = cfg->root && access(cfg->root, W_OK) == 0;
    CLEANUP(free_ptr) char *folder = xasprintf("%s/check-XXXXXX", there ? cfg->root : "/var/tmp");
    if (geteuid() != 0)
        return;
    if (!mkdtemp(folder)) {
        find(c, "overlayfs", false, true, "%s: %s", folder, strerror(errno));
        return;
    }
    int r = try_overlay(folder, &e);
    if (r == 0)
        find(c, "overlayfs", true, true, "works below %s", there ? cfg->root : "/var/tmp");
    else
        find(c, "overlayfs", false, true, "%.*s", STR_ARG(e.message))->fix =
            STR("modprobe overlay");
    err_clear(&e);
    (void)!mounted_tree_remove(folder, &e);
}

static void check_kernel(struct check *c)
{
    struct utsname u;
    unsigned major = 0, minor = 0;
    must(uname(&u) == 0);
    if (sscanf(u.release, "%u.%u", &major, &minor) != 2)
        major = 0;
    find(c, "kernel", major > 5 || (major == 5 && minor >= 6), true, "Linux %s (5.6 is needed)",
         u.release);
}

static void check_capabilities(struct check *c)
{
    struct spec_host h;
    struct cgroups none = {0};
    spec_host_init(&h, &none);
    if (geteuid() == 0 && !(h.capabilities >> CAP_SYS_RESOURCE & 1))
        find(c, "CAP_SYS_RESOURCE", false, false,
             "missing: OOM scores below %d and higher resource limits are not given to containers",
             h.oom_score_adj_min);
}

void engine_check(const struct engine_config *cfg, struct arena *a, struct engine_finding **ret_v,
                  size_t *ret_n)
{
    struct check c = {.a = a};
    check_root(&c);
    check_kernel(&c);
    check_runtimes(&c, cfg);
    check_cgroups(&c);
    check_overlay(&c, cfg);
    check_capabilities(&c);
    *ret_v = c.v.v;
    *ret_n = c.v.n;
}
