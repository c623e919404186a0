/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/map.h"
#include "engine/files.h"

enum {
    MOUNTINFO_BYTES_MAX = 16 << 20,
    STAT_BYTES_MAX = 16384,
    GROUP_DEPTH_MAX = 32,
    HIERARCHIES_MAX = CGROUP_CONTROLLER_COUNT + 1,
};

static const char *const controller_names[] = {
#define X(constant, name) [CGROUP_##constant] = name,
    CGROUP_CONTROLLERS(X)
#undef X
};

/* ---- detection ---- */

const char *cgroup_mode_name(enum cgroup_mode mode)
{
    static const char *const names[] = {"none", "v1", "hybrid", "v2"};
    return names[mode];
}

bool cgroup_has(const struct cgroups *cg, enum cgroup_controller c)
{
    return cg->v1[c][0] || cg->on_v2[c];
}

static void note_mount(char out[CGROUP_MOUNT_MAX], struct str point)
{
    if (!out[0] && point.n < CGROUP_MOUNT_MAX)
        snprintf(out, CGROUP_MOUNT_MAX, "%.*s", STR_ARG(point));
}

static void note_v1(struct cgroups *cg, struct str point, struct str options)
{
    struct str option;
    while (str_next(&options, ',', &option))
        for (int c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
            if (str_eqz(option, controller_names[c]))
                note_mount(cg->v1[c], point);
}

/* One line: "31 23 0:28 / /sys/fs/cgroup rw - tmpfs source options" */
static void note_line(struct cgroups *cg, struct str line)
{
    struct str fields[6], left, right, type, source;
    ptrdiff_t dash = str_find(line, STR(" - "));
    if (dash < 0)
        return;
    left = str_sub(line, 0, (size_t)dash);
    right = str_sub(line, (size_t)dash + 3, line.n);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (!str_next(&left, ' ', &fields[i]))
            return;
    str_next(&right, ' ', &type);
    str_next(&right, ' ', &source);
    if (str_eqz(type, "cgroup2"))
        note_mount(cg->v2, fields[4]);
    else if (str_eqz(type, "cgroup"))
        note_v1(cg, fields[4], right);
}

static void note_v2_controllers(struct cgroups *cg)
{
    char path[CGROUP_MOUNT_MAX + 32], text[256];
    size_t n;
    snprintf(path, sizeof path, "%s/cgroup.controllers", cg->v2);
    if (!cg->v2[0] || !file_read_small(AT_FDCWD, path, text, sizeof text, &n))
        return;
    struct str rest = str_trim(str_n(text, n)), name;
    while (str_next(&rest, ' ', &name)) {
        if (str_eqz(name, "io"))
            cg->on_v2[CGROUP_BLKIO] = true;
        for (int c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
            cg->on_v2[c] |= str_eqz(name, controller_names[c]);
    }
    cg->on_v2[CGROUP_CPUACCT] = true; /* version 2 always accounts cpu time */
}

int cgroup_detect_from(struct cgroups *cg, struct str mountinfo, struct err *e)
{
    struct str line;
    bool v1 = false;
    *cg = (struct cgroups){0};
    while (str_next(&mountinfo, '\n', &line))
        note_line(cg, line);
    for (int c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
        v1 |= cg->v1[c][0] != 0;
    if (!v1)
        note_v2_controllers(cg);
    if (!v1 && !cg->v2[0])
        return err_set(e, ERR_UNAVAILABLE, "no cgroup filesystem is mounted");
    cg->mode = !v1 ? CGROUP_V2 : cg->v2[0] ? CGROUP_HYBRID : CGROUP_V1;
    return 0;
}

int cgroup_detect(struct cgroups *cg, struct err *e)
{
    struct arena a = ARENA_INIT;
    struct str text;
    int r = file_read(&a, AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX, &text, e);
    if (r == 0)
        r = cgroup_detect_from(cg, text, e);
    arena_fini(&a);
    return r;
}

/* The distinct mount points (controllers may share one). Returns how many. */
static size_t hierarchies(const struct cgroups *cg, const char *out[HIERARCHIES_MAX])
{
    size_t n = 0;
    if (cg->v2[0])
        out[n++] = cg->v2;
    for (int c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
        bool seen = !cg->v1[c][0];
        for (size_t i = 0; i < n; i++)
            seen |= strcmp(out[i], cg->v1[c]) == 0;
        if (!seen)
            out[n++] = cg->v1[c];
    }
    return n;
}

struct group_path {
    char p[CGROUP_MOUNT_MAX + CGROUP_PATH_MAX + 64];
};

static struct group_path in_group(const char *mount, const char *path, const char *file)
{
    struct group_path full;
    snprintf(full.p, sizeof full.p, "%s%s%s%s", mount, path, *file ? "/" : "", file);
    return full;
}

static bool path_valid(const char *path)
{
    return path[0] == '/' && strlen(path) < CGROUP_PATH_MAX && !strstr(path, "/../");
}

/* ---- making ---- */

/* A new group of the cpuset controller has no CPUs and takes no process until it is given some. */
static void inherit_cpuset(const char *mount, const char *parent, const char *path)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char text[1024];
        size_t n;
        if (file_read_small(AT_FDCWD, in_group(mount, path, files[i]).p, text, sizeof text, &n) &&
            str_trim(str_n(text, n)).n)
            continue;
        if (file_read_small(AT_FDCWD, in_group(mount, parent, files[i]).p, text, sizeof text, &n))
            (void)!file_poke(AT_FDCWD, in_group(mount, path, files[i]).p, str_n(text, n));
    }
}

/* Lets the children of the group use the controllers that the group itself has. */
static void hand_down(const struct cgroups *cg, const char *path)
{
    char text[256];
    size_t n;
    if (!file_read_small(AT_FDCWD, in_group(cg->v2, path, "cgroup.controllers").p, text,
                         sizeof text, &n))
        return;
    struct str rest = str_trim(str_n(text, n)), name;
    while (rest.n && str_next(&rest, ' ', &name)) {
        char change[64];
        int len = snprintf(change, sizeof change, "+%.*s", STR_ARG(name));
        (void)!file_poke(AT_FDCWD, in_group(cg->v2, path, "cgroup.subtree_control").p,
                         str_n(change, (size_t)len));
    }
}

static int make_in(const struct cgroups *cg, const char *mount, const char *path, struct err *e)
{
    char part[CGROUP_PATH_MAX], parent[CGROUP_PATH_MAX] = "";
    bool v2 = mount == cg->v2, cpuset = strcmp(mount, cg->v1[CGROUP_CPUSET]) == 0;
    for (const char *at = path + 1;; at++) {
        if (*at && *at != '/')
            continue;
        snprintf(part, sizeof part, "%.*s", (int)(at - path), path);
        if (v2)
            hand_down(cg, parent);
        if (mkdir(in_group(mount, part, "").p, 0755) < 0 && errno != EEXIST)
            return err_errno(e, errno, "make cgroup %s in %s", part, mount);
        if (cpuset)
            inherit_cpuset(mount, parent, part);
        memcpy(parent, part, sizeof part);
        if (!*at)
            return 0;
    }
}

int cgroup_make(const struct cgroups *cg, const char *path, struct err *e)
{
    const char *mounts[HIERARCHIES_MAX];
    size_t n = hierarchies(cg, mounts);
    if (!path_valid(path) || !path[1])
        return err_set(e, ERR_BAD_REQUEST, "bad cgroup path \"%s\"", path);
    for (size_t i = 0; i < n; i++) {
        int r = make_in(cg, mounts[i], path, e);
        if (r < 0)
            return r;
    }
    return 0;
}

bool cgroup_exists(const struct cgroups *cg, const char *path)
{
    const char *mounts[HIERARCHIES_MAX];
    size_t n = hierarchies(cg, mounts);
    for (size_t i = 0; i < n; i++)
        if (access(in_group(mounts[i], path, "").p, F_OK) == 0)
            return true;
    return false;
}

int cgroup_join(const struct cgroups *cg, const char *path, int pid, struct err *e)
{
    const char *mounts[HIERARCHIES_MAX];
    size_t n = hierarchies(cg, mounts);
    char text[16];
    int len = snprintf(text, sizeof text, "%d", pid);
    for (size_t i = 0; i < n; i++) {
        int r = file_poke(AT_FDCWD, in_group(mounts[i], path, "cgroup.procs").p,
                          str_n(text, (size_t)len));
        if (r < 0)
            return err_errno(e, -r, "join cgroup %s in %s", path, mounts[i]);
    }
    return 0;
}

/* ---- removing and killing: the tree below a group, children first ---- */

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

typedef int visit_fn(const char *folder, void *arg);

/* Returns the first non-zero answer. */
static int each_group(const char *folder, unsigned depth, visit_fn *visit, void *arg)
{
    CLEANUP(close_dir) DIR *d = opendir(folder);
    if (!d)
        return errno == ENOENT ? 0 : -errno;
    struct dirent *entry;
    while (depth < GROUP_DEPTH_MAX && (entry = readdir(d))) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        CLEANUP(free_ptr) char *sub = xasprintf("%s/%s", folder, entry->d_name);
        int r = each_group(sub, depth + 1, visit, arg);
        if (r)
            return r;
    }
    return visit(folder, arg);
}

static int remove_one(const char *folder, void *arg)
{
    return rmdir(folder) < 0 && errno != ENOENT ? -errno : 0;
}

int cgroup_remove(const struct cgroups *cg, const char *path, struct err *e)
{
    const char *mounts[HIERARCHIES_MAX];
    size_t n = hierarchies(cg, mounts);
    if (!path_valid(path) || !path[1])
        return err_set(e, ERR_BAD_REQUEST, "bad cgroup path \"%s\"", path);
    for (size_t i = 0; i < n; i++) {
        int r = each_group(in_group(mounts[i], path, "").p, 0, remove_one, NULL);
        if (r == -EBUSY)
            return err_set(e, ERR_CONFLICT, "cgroup %s still has processes", path);
        if (r < 0)
            return err_errno(e, -r, "remove cgroup %s in %s", path, mounts[i]);
    }
    return 0;
}

struct killing {
    struct map seen; /* pids as text: one process is in every hierarchy */
    int count;
};

static void kill_pids(const char *folder, struct killing *k)
{
    struct arena a = ARENA_INIT;
    struct err ignored = ERR_INIT(&a);
    struct str text, line;
    int64_t pid;
    const char *path = arena_fmt(&a, "%s/cgroup.procs", folder).p;
    if (file_read(&a, AT_FDCWD, path, MOUNTINFO_BYTES_MAX, &text, &ignored) == 0)
        while (str_next(&text, '\n', &line))
            if (str_to_i64(line, &pid) && pid > 1 && !map_has(&k->seen, line)) {
                map_put(&k->seen, line, k);
                k->count += kill((pid_t)pid, SIGKILL) == 0;
            }
    arena_fini(&a);
}

static int kill_one(const char *folder, void *arg)
{
    CLEANUP(free_ptr) char *v2 = xasprintf("%s/cgroup.kill", folder);
    CLEANUP(free_ptr) char *frozen = xasprintf("%s/freezer.state", folder);
    kill_pids(folder, arg);
    (void)!file_poke(AT_FDCWD, v2, STR("1"));
    /* what version 1 has frozen dies only when it is thawed */
    (void)!file_poke(AT_FDCWD, frozen, STR("THAWED"));
    return 0;
}

int cgroup_kill(const struct cgroups *cg, const char *path)
{
    const char *mounts[HIERARCHIES_MAX];
    size_t n = hierarchies(cg, mounts);
    struct killing k = {0};
    for (size_t i = 0; i < n && path_valid(path) && path[1]; i++)
        each_group(in_group(mounts[i], path, "").p, 0, kill_one, &k);
    map_fini(&k.seen);
    return k.count;
}

/* ---- limits ---- */

uint64_t cgroup_weight_of_shares(uint64_t shares)
{
    shares = MIN(MAX(shares, (uint64_t)2), (uint64_t)262144);
    return 1 + (shares - 2) * 9999 / 262142;
}

struct setting {
    const struct cgroups *cg;
    const char *path;
    struct err *e;
    int result; /* the first failure */
};

static void put(struct setting *s, const char *mount, const char *file, const char *text)
{
    int r = s->result < 0 ? 0 : file_poke(AT_FDCWD, in_group(mount, s->path, file).p, str_z(text));
    if (r < 0)
        s->result = err_errno(s->e, -r, "set %s of cgroup %s to %s", file, s->path, text);
}

static void put_number(struct setting *s, const char *mount, const char *file, int64_t v,
                       const char *unlimited)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)v);
    put(s, mount, file, v < 0 ? unlimited : text);
}

static void set_cpu(struct setting *s, const struct cgroup_limits *l)
{
    const char *v1 = s->cg->v1[CGROUP_CPU];
    if (v1[0]) {
        if (l->cpu_shares)
            put_number(s, v1, "cpu.shares", (int64_t)l->cpu_shares, "");
        if (l->cpu_period_us)
            put_number(s, v1, "cpu.cfs_period_us", (int64_t)l->cpu_period_us, "");
        if (l->cpu_quota_us)
            put_number(s, v1, "cpu.cfs_quota_us", l->cpu_quota_us, "-1");
    } else if (s->cg->on_v2[CGROUP_CPU]) {
        char text[64], quota[32] = "max";
        if (l->cpu_shares)
            put_number(s, s->cg->v2, "cpu.weight", (int64_t)cgroup_weight_of_shares(l->cpu_shares),
                       "");
        if (l->cpu_quota_us > 0)
            snprintf(quota, sizeof quota, "%lld", (long long)l->cpu_quota_us);
        snprintf(text, sizeof text, "%s %llu", quota,
                 (unsigned long long)(l->cpu_period_us ? l->cpu_period_us : 100000));
        if (l->cpu_quota_us)
            put(s, s->cg->v2, "cpu.max", text);
    }
}

/* In version 1 the limit of memory and swap may never be below that of memory: raise it first or
 * last, as the direction asks. */
static void set_memory_v1(struct setting *s, const struct cgroup_limits *l)
{
    const char *v1 = s->cg->v1[CGROUP_MEMORY];
    struct group_path memsw = in_group(v1, s->path, "memory.memsw.limit_in_bytes");
    uint64_t now = 0;
    bool swap = l->memory_swap_bytes && access(memsw.p, F_OK) == 0;
    bool raise = swap && file_read_u64(AT_FDCWD, memsw.p, &now) &&
                 (l->memory_swap_bytes < 0 || (uint64_t)l->memory_swap_bytes > now);
    if (raise)
        put_number(s, v1, "memory.memsw.limit_in_bytes", l->memory_swap_bytes, "-1");
    if (l->memory_bytes)
        put_number(s, v1, "memory.limit_in_bytes", l->memory_bytes, "-1");
    if (swap && !raise)
        put_number(s, v1, "memory.memsw.limit_in_bytes", l->memory_swap_bytes, "-1");
}

static void set_memory(struct setting *s, const struct cgroup_limits *l)
{
    if (s->cg->v1[CGROUP_MEMORY][0]) {
        set_memory_v1(s, l);
    } else if (s->cg->on_v2[CGROUP_MEMORY]) {
        if (l->memory_bytes)
            put_number(s, s->cg->v2, "memory.max", l->memory_bytes, "max");
        int64_t swap = l->memory_swap_bytes;
        if (swap > 0 && l->memory_bytes > 0)
            swap = MAX(swap - l->memory_bytes, 0);
        struct group_path file = in_group(s->cg->v2, s->path, "memory.swap.max");
        if (l->memory_swap_bytes && access(file.p, F_OK) == 0)
            put_number(s, s->cg->v2, "memory.swap.max", swap, "max");
    }
}

static const char *mount_of(const struct cgroups *cg, enum cgroup_controller c)
{
    return cg->v1[c][0] ? cg->v1[c] : cg->on_v2[c] ? cg->v2 : NULL;
}

static void set_cpuset(struct setting *s, const struct cgroup_limits *l)
{
    struct arena a = ARENA_INIT;
    const char *mount = mount_of(s->cg, CGROUP_CPUSET);
    if (mount && l->cpuset_cpus.n)
        put(s, mount, "cpuset.cpus", arena_z(&a, l->cpuset_cpus));
    if (mount && l->cpuset_mems.n)
        put(s, mount, "cpuset.mems", arena_z(&a, l->cpuset_mems));
    arena_fini(&a);
}

int cgroup_set(const struct cgroups *cg, const char *path, const struct cgroup_limits *l,
               struct err *e)
{
    struct setting s = {cg, path, e, 0};
    const char *pids = mount_of(cg, CGROUP_PIDS);
    if (!path_valid(path))
        return err_set(e, ERR_BAD_REQUEST, "bad cgroup path \"%s\"", path);
    set_cpu(&s, l);
    set_memory(&s, l);
    set_cpuset(&s, l);
    if (l->pids && pids)
        put_number(&s, pids, "pids.max", l->pids, "max");
    return s.result;
}

int cgroup_set_unified(const struct cgroups *cg, const char *path, struct str file,
                       struct str value, struct err *e)
{
    struct setting s = {cg, path, e, 0};
    if (!path_valid(path) || !file.n || str_index(file, '/') >= 0)
        return err_set(e, ERR_BAD_REQUEST, "bad cgroup file \"%.*s\"", STR_ARG(file));
    put(&s, cg->v2, arena_z(e->arena, file), arena_z(e->arena, value));
    return s.result;
}

/* ---- statistics ---- */

static uint64_t number_at(const char *mount, const char *path, const char *file)
{
    uint64_t v = 0;
    if (mount && mount[0])
        (void)file_read_u64(AT_FDCWD, in_group(mount, path, file).p, &v);
    return v;
}

/* A file of "key value" lines. */
struct table {
    char text[STAT_BYTES_MAX];
    size_t n;
};

static void read_table(struct table *t, const char *mount, const char *path, const char *file)
{
    if (!file_read_small(AT_FDCWD, in_group(mount, path, file).p, t->text, sizeof t->text, &t->n))
        t->n = 0;
}

static uint64_t table_get(const struct table *t, const char *key)
{
    struct str rest = str_n(t->text, t->n), line, name, value;
    uint64_t v = 0;
    while (str_next(&rest, '\n', &line))
        if (str_cut(line, ' ', &name, &value) && str_eqz(name, key))
            return str_to_u64(value, &v) ? v : 0;
    return 0;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static void memory_v1(const char *mount, const char *path, struct cgroup_stat *ret)
{
    struct table t;
    read_table(&t, mount, path, "memory.stat");
    ret->memory_bytes = number_at(mount, path, "memory.usage_in_bytes");
    ret->working_set_bytes = minus(ret->memory_bytes, table_get(&t, "total_inactive_file"));
    ret->rss_bytes = table_get(&t, "total_rss");
    ret->swap_bytes = table_get(&t, "total_swap");
    ret->page_faults = table_get(&t, "total_pgfault");
    ret->major_page_faults = table_get(&t, "total_pgmajfault");
    uint64_t limit = number_at(mount, path, "memory.limit_in_bytes");
    /* "no limit" is the largest number of whole pages */
    ret->memory_limit_bytes = limit && limit < (uint64_t)1 << 62 ? limit : UINT64_MAX;
}

static void memory_v2(const char *mount, const char *path, struct cgroup_stat *ret)
{
    struct table t;
    read_table(&t, mount, path, "memory.stat");
    ret->memory_bytes = number_at(mount, path, "memory.current");
    ret->working_set_bytes = minus(ret->memory_bytes, table_get(&t, "inactive_file"));
    ret->rss_bytes = table_get(&t, "anon");
    ret->swap_bytes = number_at(mount, path, "memory.swap.current");
    ret->page_faults = table_get(&t, "pgfault");
    ret->major_page_faults = table_get(&t, "pgmajfault");
    uint64_t limit = number_at(mount, path, "memory.max"); /* "max" is no number: 0 */
    ret->memory_limit_bytes = limit ? limit : UINT64_MAX;
}

uint64_t cgroup_oom_kills(const struct cgroups *cg, const char *path)
{
    struct table t;
    if (cg->v1[CGROUP_MEMORY][0])
        read_table(&t, cg->v1[CGROUP_MEMORY], path, "memory.oom_control");
    else
        read_table(&t, cg->v2, path, "memory.events");
    return table_get(&t, "oom_kill");
}

void cgroup_stat(const struct cgroups *cg, const char *path, struct cgroup_stat *ret)
{
    *ret = (struct cgroup_stat){.memory_limit_bytes = UINT64_MAX};
    ret->found = path_valid(path) && cgroup_exists(cg, path);
    if (!ret->found)
        return;
    if (cg->v1[CGROUP_CPUACCT][0]) {
        ret->cpu_ns = number_at(cg->v1[CGROUP_CPUACCT], path, "cpuacct.usage");
    } else {
        struct table t;
        read_table(&t, cg->v2, path, "cpu.stat");
        ret->cpu_ns = table_get(&t, "usage_usec") * 1000;
    }
    if (cg->v1[CGROUP_MEMORY][0])
        memory_v1(cg->v1[CGROUP_MEMORY], path, ret);
    else
        memory_v2(cg->v2, path, ret);
    ret->processes = number_at(mount_of(cg, CGROUP_PIDS), path, "pids.current");
    ret->oom_kills = cgroup_oom_kills(cg, path);
}
