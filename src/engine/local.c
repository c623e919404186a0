/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded engine: its life, and who answers which call. */
#include "engine/local.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "engine/files.h"
#include "engine/helper.h"
#include "engine/snapshot.h"

/* An engine that was killed may leave a child that has not come to its exec, and with it the lock,
 * for a moment. */
enum { LOCK_TRIES = 50, LOCK_PAUSE_US = 20000 };

/* ---- holding on ---- */

static void free_trust(struct registry_trust *t)
{
    for (size_t i = 0; i < t->n_insecure; i++)
        free((void *)(uintptr_t)t->insecure[i]);
    free((void *)(uintptr_t)t->insecure);
    free((void *)(uintptr_t)t->ca_file);
}

static void local_free(struct local *g)
{
    struct map_entry *entry;
    uint32_t it = 0;
    while ((entry = map_next(&g->containers, &it)))
        container_free(entry->value);
    it = 0;
    while ((entry = map_next(&g->sandboxes, &it)))
        sandbox_free(entry->value);
    map_fini(&g->containers);
    map_fini(&g->sandboxes);
    if (g->images)
        image_store_close(g->images);
    for (size_t i = 0; i < g->n_handlers; i++) {
        free(g->handlers[i].name);
        free(g->handlers[i].path);
    }
    free(g->handlers);
    free_trust(&g->trust);
    free(g->root);
    free(g->run);
    free(g->cgroup_root);
    free(g->conmon);
    free(g->helper);
    close_fd(&g->lock);
    free(g);
}

void local_hold(struct local *g)
{
    g->pending++;
}

void local_let_go(struct local *g)
{
    must(g->pending > 0);
    if (--g->pending > 0 || !g->closing)
        return;
    void (*closed)(void *arg) = g->closed;
    void *arg = g->closed_arg;
    local_free(g);
    if (closed)
        closed(arg);
}

int64_t local_now_ns(struct local *g)
{
    struct wall now = loop_wall(g->loop);
    return now.s * 1000000000 + now.ns;
}

void local_new_id(struct local *g, char out[ID_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t raw[ID_LEN / 2];
    loop_random(g->loop, raw, sizeof raw);
    for (size_t i = 0; i < sizeof raw; i++) {
        out[2 * i] = digits[raw[i] >> 4];
        out[2 * i + 1] = digits[raw[i] & 15];
    }
    out[ID_LEN] = 0;
}

const struct handler *local_handler(const struct local *g, struct str name)
{
    for (size_t i = 0; i < g->n_handlers; i++)
        if (str_eqz(name, g->handlers[i].name))
            return &g->handlers[i];
    return NULL;
}

void local_event(struct local *g, enum criv1_container_event_type type, struct str container_id,
                 struct str sandbox_id)
{
    struct engine_event ev = {type, container_id, sandbox_id, local_now_ns(g)};
    struct engine_watch *w, *next;
    list_each_safe (w, next, &g->watches, link)
        w->fn(w, &ev);
}

/* ---- calls ---- */

struct ended_call {
    struct task task;
    struct local *g;
    struct engine_call *call;
};

static void end_call(struct task *t)
{
    struct ended_call *ended = CONTAINER_OF(t, struct ended_call, task);
    struct engine_call *c = ended->call;
    struct local *g = ended->g;
    free(ended);
    if (c->err.code)
        c->response = NULL;
    c->done(c);
    local_let_go(g);
}

void call_done(struct local *g, struct engine_call *c)
{
    struct ended_call *ended = xcalloc(1, sizeof *ended);
    list_remove(&c->link);
    ended->g = g;
    ended->call = c;
    loop_defer(g->loop, &ended->task, end_call);
}

void calls_done(struct local *g, struct list *calls, const struct err *e)
{
    struct list *link;
    while ((link = list_pop_front(calls))) {
        struct engine_call *c = list_entry(link, struct engine_call, link);
        if (e)
            err_set(&c->err, e->code, "%.*s", STR_ARG(e->message));
        call_done(g, c);
    }
}

static void refuse(struct local *g, struct engine_call *c)
{
    err_set(&c->err, ERR_METHOD_NOT_ALLOWED, "%s is not offered by this engine",
            criv1_rpcs[c->method].method);
    call_done(g, c);
}

typedef void method_fn(struct local *g, struct engine_call *c);

static method_fn *const methods[CRIV1_METHOD_COUNT] = {
    [CRIV1_RUN_POD_SANDBOX] = sandbox_run,
    [CRIV1_STOP_POD_SANDBOX] = sandbox_stop,
    [CRIV1_REMOVE_POD_SANDBOX] = sandbox_remove,
    [CRIV1_POD_SANDBOX_STATUS] = sandbox_status,
    [CRIV1_LIST_POD_SANDBOX] = sandbox_list,
    [CRIV1_CREATE_CONTAINER] = container_create,
    [CRIV1_START_CONTAINER] = container_start,
    [CRIV1_STOP_CONTAINER] = container_stop,
    [CRIV1_REMOVE_CONTAINER] = container_remove,
    [CRIV1_LIST_CONTAINERS] = container_list,
    [CRIV1_CONTAINER_STATUS] = container_status,
    [CRIV1_REOPEN_CONTAINER_LOG] = container_reopen_log,
    [CRIV1_EXEC_SYNC] = exec_sync,
    [CRIV1_UPDATE_CONTAINER_RESOURCES] = container_update,
    [CRIV1_CONTAINER_STATS] = container_stats,
    [CRIV1_LIST_CONTAINER_STATS] = container_stats_list,
    [CRIV1_POD_SANDBOX_STATS] = sandbox_stats,
    [CRIV1_LIST_POD_SANDBOX_STATS] = sandbox_stats_list,
    [CRIV1_UPDATE_POD_SANDBOX_RESOURCES] = sandbox_update,
    [CRIV1_VERSION] = engine_version,
    [CRIV1_STATUS] = engine_status,
    [CRIV1_RUNTIME_CONFIG] = runtime_config,
    [CRIV1_UPDATE_RUNTIME_CONFIG] = update_runtime_config,
    [CRIV1_LIST_IMAGES] = images_list,
    [CRIV1_IMAGE_STATUS] = images_status,
    [CRIV1_REMOVE_IMAGE] = images_remove,
    [CRIV1_IMAGE_FS_INFO] = images_fs_info,
    [CRIV1_PULL_IMAGE] = image_pull,
};

static void local_call(struct engine *e, struct engine_call *c)
{
    struct local *g = local_of(e);
    method_fn *fn = methods[c->method];
    local_hold(g);
    if (g->closing) {
        err_set(&c->err, ERR_CANCELED, "the engine is being closed");
        call_done(g, c);
    } else if (fn) {
        fn(g, c);
    } else {
        refuse(g, c);
    }
}

static void local_cancel(struct engine *e, struct engine_call *c)
{
    if (c->method == CRIV1_EXEC_SYNC)
        exec_sync_cancel(local_of(e), c);
    if (c->method == CRIV1_PULL_IMAGE)
        image_pull_cancel(local_of(e), c);
    if (c->method != CRIV1_STOP_CONTAINER || !list_linked(&c->link))
        return;
    err_set(&c->err, ERR_CANCELED, "canceled");
    call_done(local_of(e), c);
}

static void local_watch(struct engine *e, struct engine_watch *w)
{
    list_push_back(&local_of(e)->watches, &w->link);
}

/* ---- closing ---- */

static void cancel_waiting(struct local *g)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct map_entry *entry;
    uint32_t it = 0;
    err_set(&e, ERR_CANCELED, "the engine is being closed");
    while ((entry = map_next(&g->containers, &it))) {
        struct container *c = entry->value;
        calls_done(g, &c->stop_calls, &e);
        calls_done(g, &c->remove_calls, &e);
        timer_stop(&c->stop_timer);
    }
    it = 0;
    while ((entry = map_next(&g->sandboxes, &it))) {
        struct sandbox *s = entry->value;
        calls_done(g, &s->stop_calls, &e);
        calls_done(g, &s->remove_calls, &e);
    }
    arena_fini(&a);
}

static void local_close(struct engine *e, void (*closed)(void *arg), void *arg)
{
    struct local *g = local_of(e);
    must(!g->closing);
    local_hold(g);
    g->closed = closed;
    g->closed_arg = arg;
    exits_unwatch(g);
    cancel_waiting(g);
    image_pulls_cancel_all(g);
    g->closing = true;
    local_let_go(g);
}

static const struct engine_ops local_ops = {
    .call = local_call,
    .cancel = local_cancel,
    .watch = local_watch,
    .exec = session_exec,
    .attach = session_attach,
    .port_forward = session_port_forward,
    .close = local_close,
};

/* ---- opening ---- */

char *program_find(const char *name)
{
    const char *path = getenv("PATH");
    struct str rest = str_z(path && *path ? path : "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin");
    struct str dir;
    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? xstrdup(name) : NULL;
    while (str_next(&rest, ':', &dir)) {
        char *full = xasprintf("%.*s/%s", STR_ARG(dir), name);
        if (dir.n && access(full, X_OK) == 0)
            return full;
        free(full);
    }
    return NULL;
}

static int add_handler(struct local *g, const char *name, const char *program, struct err *e)
{
    char *path = program_find(program);
    if (!path)
        return err_set(e, ERR_NOT_FOUND, "OCI runtime %s not found in PATH", program);
    g->handlers = xrealloc(g->handlers, (g->n_handlers + 1) * sizeof *g->handlers);
    g->handlers[g->n_handlers++] =
        (struct handler){xstrdup(name), path, strstr(path, "crun") != NULL};
    CLEANUP(free_ptr) char *state = xasprintf("%s/oci/%s", g->run, *name ? name : "default");
    return dir_make(state, 0700, e);
}

static int find_programs(struct local *g, const struct engine_config *cfg, struct err *e)
{
    const char *conmon = cfg->conmon ? cfg->conmon : "conmon";
    struct err first = ERR_INIT(e->arena);
    g->conmon = program_find(conmon);
    if (!g->conmon)
        return err_set(e, ERR_NOT_FOUND, "%s not found in PATH", conmon);
    int r = add_handler(g, "", cfg->runtime ? cfg->runtime : "crun", &first);
    if (r < 0 && !cfg->runtime)
        r = add_handler(g, "", "runc", e);
    else if (r < 0)
        *e = first;
    for (size_t i = 0; r == 0 && i < cfg->n_handlers; i++)
        r = add_handler(g, cfg->handlers[i].name, cfg->handlers[i].path, e);
    return r;
}

int engine_lock(const char *root, int *ret_fd, struct err *e)
{
    CLEANUP(free_ptr) char *path = xasprintf("%s/lock", root);
    CLEANUP(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "open %s", path);
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if (i == LOCK_TRIES)
            return err_set(e, ERR_CONFLICT, "another engine is running on %s", root);
        usleep(LOCK_PAUSE_US);
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Is this the boot that the last engine saw? */
static int compare_boot(struct local *g, bool *ret_same, struct err *e)
{
    CLEANUP(free_ptr) char *path = xasprintf("%s/boot", g->root);
    char seen[64] = "", now[64] = "";
    size_t n;
    (void)!file_read_small(AT_FDCWD, path, seen, sizeof seen, &n);
    if (!file_read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", now, sizeof now, &n))
        return err_set(e, ERR_IO, "the kernel's boot id cannot be read");
    *ret_same = strcmp(seen, now) == 0;
    return *ret_same ? 0 : file_write(AT_FDCWD, path, str_z(now), 0600, FILE_DURABLE, e);
}

/* run/ is gone after a restart of the machine, and then nothing runs any more. If somebody else
 * unmounted it, what runs cannot be taken over: it is ended. */
static int prepare_run(struct local *g, bool *ret_fresh, struct err *e)
{
    bool same_boot = false;
    int r = dir_make(g->run, 0711, e);
    if (r == 0)
        r = compare_boot(g, &same_boot, e);
    *ret_fresh = !is_mount_point(g->run);
    if (r < 0 || !*ret_fresh)
        return r;
    if (same_boot && (r = processes_purge(g->root, e)) < 0)
        return r;
    if (mount("barque", g->run, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0711") < 0)
        return err_errno(e, errno, "mount tmpfs at %s", g->run);
    return records_restore(g->root, e);
}

/* The name of the cgroup is left on disk for engine_purge. */
static int prepare_folders(struct local *g, bool *ret_fresh, struct err *e)
{
    CLEANUP(free_ptr) char *bin = xasprintf("%s/bin", g->root);
    CLEANUP(free_ptr) char *group = xasprintf("%s/cgroup", g->root);
    int r = dir_make(g->root, 0711, e);
    if (r == 0)
        r = engine_lock(g->root, &g->lock, e);
    if (r == 0)
        r = file_write(AT_FDCWD, group, str_z(g->cgroup_root), 0600, FILE_FAST, e);
    if (r == 0)
        r = prepare_run(g, ret_fresh, e);
    if (r == 0)
        r = dir_make(bin, 0711, e);
    return r < 0 ? r : helper_install(g->helper, e);
}

static void copy_trust(struct local *g, const struct engine_config *cfg)
{
    size_t n = cfg->n_insecure_registries;
    const char **v = xcalloc(n + 1, sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = xstrdup(cfg->insecure_registries[i]);
    g->trust = (struct registry_trust){
        .insecure = v, .n_insecure = n, .ca_file = cfg->ca_file ? xstrdup(cfg->ca_file) : NULL};
}

static int open_local(struct local *g, const struct engine_config *cfg, struct err *e)
{
    bool fresh = false;
    int r = prepare_folders(g, &fresh, e);
    if (r == 0)
        r = cgroup_detect(&g->cgroups, e);
    if (r == 0)
        r = find_programs(g, cfg, e);
    if (r == 0)
        r = image_store_open(g->root, &g->images, e);
    if (r < 0)
        return r;
    spec_host_init(&g->host, &g->cgroups);
    if ((r = exits_watch(g, e)) < 0)
        return r;
    r = sandboxes_load(g, fresh, e);
    if (r == 0)
        r = containers_load(g, fresh, e);
    if (r < 0)
        exits_unwatch(g);
    return r;
}

int engine_new(const struct engine_config *cfg, struct engine **ret, struct err *e)
{
    struct local *g = xcalloc(1, sizeof *g);
    g->base.ops = &local_ops;
    g->loop = cfg->loop;
    g->lock = -1;
    g->network = cfg->network;
    g->root = xstrdup(cfg->root);
    g->cgroup_root = xstrdup(cfg->cgroup_root ? cfg->cgroup_root : "/barque");
    g->run = xasprintf("%s/run", cfg->root);
    g->helper = xasprintf("%s/bin/helper", cfg->root);
    copy_trust(g, cfg);
    g->sandboxes = MAP_INIT_BORROWED;
    g->containers = MAP_INIT_BORROWED;
    list_init(&g->watches);
    list_init(&g->sync_execs);
    list_init(&g->pulls);
    must(cfg->root[0] == '/');
    int r = open_local(g, cfg, e);
    if (r < 0) {
        local_free(g);
        return r;
    }
    *ret = &g->base;
    return 0;
}
