/* SPDX-License-Identifier: Apache-2.0 */
/* Containers: making, removing, telling about them. start.c and stop.c have their running life. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "engine/bundle.h"
#include "engine/files.h"
#include "engine/local.h"
#include "engine/snapshot.h"

struct container *container_find(struct local *g, struct str id)
{
    struct container *found = id.n == ID_LEN ? map_get(&g->containers, id) : NULL;
    struct map_entry *entry;
    uint32_t it = 0;
    bool ambiguous = false;
    while (!found && id.n && id.n < ID_LEN && !ambiguous &&
           (entry = map_next(&g->containers, &it))) {
        if (!str_has_prefix(entry->key, id))
            continue;
        ambiguous = found != NULL;
        found = entry->value;
    }
    return found && found->phase != CONTAINER_MAKING ? found : NULL;
}

static struct container *container_new(struct local *g)
{
    struct container *c = xcalloc(1, sizeof *c);
    c->g = g;
    c->kill_at_ms = INT64_MAX;
    arena_init(&c->arena, RECORD_ARENA_MAX);
    list_init(&c->stop_calls);
    list_init(&c->remove_calls);
    return c;
}

void container_free(struct container *c)
{
    timer_stop(&c->stop_timer);
    container_unwatch_conmon(c);
    map_remove(&c->g->containers, c->r.id);
    list_remove(&c->in_sandbox);
    arena_fini(&c->arena);
    free(c);
}

static int not_found(struct local *g, struct engine_call *c, struct str id)
{
    err_set(&c->err, ERR_NOT_FOUND, "container \"%.*s\" not found", STR_ARG(id));
    call_done(g, c);
    return 0;
}

/* ---- saving ---- */

struct save_job {
    struct job job;
    struct container *c;
    struct arena arena;
    struct enginev1_container_record *r;
};

static void save_run(struct job *job)
{
    struct save_job *j = CONTAINER_OF(job, struct save_job, job);
    struct err ignored = ERR_INIT(&j->arena);
    /* a record that cannot be written costs what a later engine knows of this container's times */
    (void)!record_write(job->g->root, RECORD_CONTAINER, j->r->id, j->r, &ignored);
    (void)!record_remember(job->g->root, RECORD_CONTAINER, j->r->id, j->r, &ignored);
}

static void save_done(struct job *job)
{
    struct save_job *j = CONTAINER_OF(job, struct save_job, job);
    struct container *c = j->c;
    bool again = c->save_again;
    arena_fini(&j->arena);
    free(j);
    c->saving = c->save_again = false;
    if (again)
        container_save(c);
    else
        container_step(c);
}

void container_save(struct container *c)
{
    if (c->saving) { /* never two at once: the older might win */
        c->save_again = true;
        return;
    }
    struct save_job *j = xcalloc(1, sizeof *j);
    arena_init(&j->arena, RECORD_ARENA_MAX);
    j->c = c;
    j->r = desc_copy(&enginev1_container_record_desc, &j->arena, &c->r);
    c->saving = true;
    job_start(c->g, &j->job, save_run, save_done);
}

/* ---- creating ---- */

struct create_job {
    struct job job;
    struct engine_call *call;
    struct container *c;
    struct bundle b;
    int result;
};

static const struct criv1_linux_container_security_context *
security_of(const struct criv1_container_config *config)
{
    static const struct criv1_linux_container_security_context none;
    return config->linux_ && config->linux_->security_context ? config->linux_->security_context
                                                              : &none;
}

static void fill_record(struct create_job *j)
{
    struct container *c = j->c;
    const struct process_user *u = &j->b.user;
    c->r.image_id = arena_str(&c->arena, j->b.image_id);
    c->r.image_ref = arena_str(&c->arena, j->b.image_ref);
    c->r.stop_signal = signal_of_cri(c->r.config->stop_signal);
    if (!c->r.stop_signal)
        c->r.stop_signal = j->b.stop_signal ? j->b.stop_signal : SIGTERM;
    c->r.user = arena_new(&c->arena, struct criv1_linux_container_user);
    c->r.user->uid = u->uid;
    c->r.user->gid = u->gid;
    for (size_t i = 0; i < u->n_groups; i++)
        *list_add(&c->arena, &c->r.user->supplemental_groups) = u->groups[i];
}

static void create_run(struct job *job)
{
    struct create_job *j = CONTAINER_OF(job, struct create_job, job);
    j->result = bundle_make(&j->b);
    if (j->result < 0)
        return;
    fill_record(j);
    j->result = record_write(job->g->root, RECORD_CONTAINER, j->c->r.id, &j->c->r, &j->call->err);
}

static void create_done(struct job *job)
{
    struct create_job *j = CONTAINER_OF(job, struct create_job, job);
    struct container *c = j->c;
    struct local *g = job->g;
    struct sandbox *s = c->sandbox;
    if (j->result < 0) {
        container_free(c);
        call_done(g, j->call);
        sandbox_step(s);
    } else {
        c->phase = CONTAINER_IDLE;
        RESPONSE(j->call, struct criv1_create_container_response)->container_id =
            arena_str(j->call->arena, c->r.id);
        local_event(g, CRIV1_CONTAINER_CREATED_EVENT, c->r.id, c->r.sandbox_id);
        call_done(g, j->call);
        container_save(c);
        container_step(c);
    }
    free(j);
}

/* Path of the PID namespace to join, "" for a new one, NULL for the host's. */
static int pid_namespace(struct create_job *j, struct sandbox *s,
                         const struct criv1_namespace_option *o, const char **ret)
{
    struct container *target;
    struct err *e = &j->call->err;
    int pid = 0;
    *ret = o && o->pid == CRIV1_NODE ? NULL : "";
    if (!o || o->pid == CRIV1_NODE || o->pid == CRIV1_CONTAINER)
        return 0;
    if (o->pid == CRIV1_POD) {
        pid = sandbox_pause_pid(s);
    } else {
        target = container_find(s->g, o->target_id);
        if (!target || target->sandbox != s)
            return err_set(e, ERR_BAD_REQUEST, "invalid target container \"%.*s\": not found",
                           STR_ARG(o->target_id));
        pid = target->r.state == CRIV1_CONTAINER_RUNNING ? target->pid : 0;
    }
    if (!pid)
        return err_set(e, ERR_BAD_REQUEST, "the PID namespace to join has no process");
    *ret = arena_fmt(j->call->arena, "/proc/%d/ns/pid", pid).p;
    return 0;
}

static int fill_bundle(struct create_job *j, struct sandbox *s)
{
    struct container *c = j->c;
    struct arena *a = j->call->arena;
    const struct criv1_linux_container_security_context *sc = security_of(c->r.config);
    const struct criv1_namespace_option *o = sc->namespace_options;
    bool host_net = sandbox_host_network(s), host_ipc = o && o->ipc == CRIV1_NODE;
    j->b = (struct bundle){
        .g = c->g,
        .a = a,
        .e = &j->call->err,
        .config = c->r.config,
        .sandbox = s->r.config,
        .id = c->r.id,
        .sandbox_id = s->r.id,
        .cgroup = c->r.cgroup,
        .net_ns = host_net ? NULL : arena_z(a, s->r.netns),
        .uts_ns = host_net ? NULL : pod_path(c->g, a, s->r.id, "ns/uts"),
        .ipc_ns = host_ipc ? NULL : pod_path(c->g, a, s->r.id, "ns/ipc"),
        .host_ipc = host_ipc,
        .readonly_rootfs = sc->readonly_rootfs,
    };
    return pid_namespace(j, s, o, &j->b.pid_ns);
}

static int check_create(const struct criv1_create_container_request *q, const struct sandbox *s,
                        struct err *e)
{
    if (!s)
        return err_set(e, ERR_NOT_FOUND, "sandbox \"%.*s\" not found", STR_ARG(q->pod_sandbox_id));
    if (!s->r.ready || s->phase != SANDBOX_IDLE)
        return err_set(e, ERR_BAD_REQUEST, "sandbox \"%.*s\" is not ready", STR_ARG(s->r.id));
    if (!q->config || !q->config->metadata || !q->config->metadata->name.n)
        return err_set(e, ERR_BAD_REQUEST, "container config must include metadata");
    if (q->config->cdi_devices.n)
        return err_set(e, ERR_BAD_REQUEST, "CDI devices are not supported");
    return 0;
}

static struct str log_path_of(struct arena *a, const struct sandbox *s,
                              const struct criv1_container_config *config)
{
    if (!config->log_path.n || !s->r.config->log_directory.n)
        return STR_NULL;
    return arena_fmt(a, "%.*s/%.*s", STR_ARG(s->r.config->log_directory),
                     STR_ARG(config->log_path));
}

void container_create(struct local *g, struct engine_call *call)
{
    const struct criv1_create_container_request *q = call->request;
    struct sandbox *s = sandbox_find(g, q->pod_sandbox_id);
    char id[ID_LEN + 1];
    if (check_create(q, s, &call->err) < 0) {
        call_done(g, call);
        return;
    }
    struct container *c = container_new(g);
    local_new_id(g, id);
    c->sandbox = s;
    c->handler = local_handler(g, s->r.runtime_handler);
    c->r.id = arena_cstr(&c->arena, id);
    c->r.sandbox_id = arena_str(&c->arena, s->r.id);
    c->r.config = desc_copy(&criv1_container_config_desc, &c->arena, q->config);
    c->r.runtime_handler = arena_str(&c->arena, s->r.runtime_handler);
    c->r.cgroup = arena_fmt(&c->arena, "%.*s/%s", STR_ARG(s->r.cgroup_parent), id);
    c->r.log_path = log_path_of(&c->arena, s, c->r.config);
    c->r.state = CRIV1_CONTAINER_CREATED;
    c->r.created_at = local_now_ns(g);
    map_put(&g->containers, c->r.id, c);
    list_push_back(&s->containers, &c->in_sandbox);
    struct create_job *j = xcalloc(1, sizeof *j);
    j->call = call;
    j->c = c;
    if (fill_bundle(j, s) < 0) {
        container_free(c);
        free(j);
        call_done(g, call);
        return;
    }
    job_start(g, &j->job, create_run, create_done);
}

/* ---- removing ---- */

struct remove_job {
    struct job job;
    struct container *c;
    struct arena arena;
    struct err err;
    int result;
};

static void remove_run(struct job *job)
{
    struct remove_job *j = CONTAINER_OF(job, struct remove_job, job);
    j->result = bundle_remove(job->g, j->c->r.id, &j->err);
}

static void remove_done(struct job *job)
{
    struct remove_job *j = CONTAINER_OF(job, struct remove_job, job);
    struct container *c = j->c;
    struct sandbox *s = c->sandbox;
    struct local *g = job->g;
    if (j->result < 0) {
        c->phase = CONTAINER_IDLE;
        c->removal_wanted = false;
        calls_done(g, &c->remove_calls, &j->err);
    } else {
        struct list calls;
        struct list *link;
        list_init(&calls);
        while ((link = list_pop_front(&c->remove_calls)))
            list_push_back(&calls, link);
        local_event(g, CRIV1_CONTAINER_DELETED_EVENT, c->r.id, c->r.sandbox_id);
        container_free(c);
        calls_done(g, &calls, NULL);
        sandbox_step(s);
    }
    arena_fini(&j->arena);
    free(j);
}

static void start_removal(struct container *c)
{
    struct remove_job *j = xcalloc(1, sizeof *j);
    j->c = c;
    j->arena = ARENA_INIT;
    j->err = ERR_INIT(&j->arena);
    c->phase = CONTAINER_REMOVING;
    job_start(c->g, &j->job, remove_run, remove_done);
}

static void try_removal(struct container *c)
{
    if (!c->removal_wanted)
        return;
    if (c->phase == CONTAINER_STARTING || c->r.state == CRIV1_CONTAINER_RUNNING)
        container_kill(c);
    else if (c->phase == CONTAINER_IDLE && !c->saving)
        start_removal(c);
}

void container_step(struct container *c)
{
    struct sandbox *s = c->sandbox;
    try_removal(c);
    sandbox_step(s);
}

void container_discard(struct container *c)
{
    c->removal_wanted = true;
    try_removal(c);
}

void container_remove(struct local *g, struct engine_call *call)
{
    const struct criv1_remove_container_request *q = call->request;
    struct container *c = container_find(g, q->container_id);
    RESPONSE(call, struct criv1_remove_container_response);
    if (!c) {
        call_done(g, call);
        return;
    }
    list_push_back(&c->remove_calls, &call->link);
    container_discard(c);
}

/* ---- asking ---- */

static void fill_status(struct arena *a, const struct container *c,
                        struct criv1_container_status *ret)
{
    struct criv1_container_user user = {.linux_ = c->r.user};
    struct criv1_container_resources resources = {
        .linux_ = c->r.config->linux_ ? c->r.config->linux_->resources : NULL};
    struct criv1_container_status st = {
        .id = c->r.id,
        .metadata = c->r.config->metadata,
        .state = c->r.state,
        .created_at = c->r.created_at,
        .started_at = c->r.started_at,
        .finished_at = c->r.finished_at,
        .exit_code = c->r.exit_code,
        .image = c->r.config->image,
        .image_ref = c->r.image_ref,
        .image_id = c->r.image_id,
        .reason = c->r.reason,
        .message = c->r.message,
        .labels = c->r.config->labels,
        .annotations = c->r.config->annotations,
        .log_path = c->r.log_path,
        .resources = &resources,
        .user = &user,
        .stop_signal = signal_to_cri(c->r.stop_signal),
    };
    st.mounts.v = c->r.config->mounts.v;
    st.mounts.n = c->r.config->mounts.n;
    desc_copy_into(&criv1_container_status_desc, a, ret, &st);
}

static void fill_info(struct arena *a, const struct container *c, struct str_map *ret)
{
    str_map_set(a, ret, STR("pid"), arena_fmt(a, "%d", c->pid));
    str_map_set(a, ret, STR("sandboxID"), arena_str(a, c->r.sandbox_id));
    str_map_set(a, ret, STR("cgroup"), arena_str(a, c->r.cgroup));
}

void container_status(struct local *g, struct engine_call *call)
{
    const struct criv1_container_status_request *q = call->request;
    struct container *c = container_find(g, q->container_id);
    if (!c) {
        not_found(g, call, q->container_id);
        return;
    }
    struct criv1_container_status_response *r =
        RESPONSE(call, struct criv1_container_status_response);
    r->status = arena_new(call->arena, struct criv1_container_status);
    fill_status(call->arena, c, r->status);
    if (q->verbose)
        fill_info(call->arena, c, &r->info);
    call_done(g, call);
}

static bool passes(const struct criv1_container_filter *f, const struct container *c)
{
    return c->phase != CONTAINER_MAKING &&
           (!f || ((!f->id.n || str_has_prefix(c->r.id, f->id)) &&
                   (!f->pod_sandbox_id.n || str_has_prefix(c->r.sandbox_id, f->pod_sandbox_id)) &&
                   (!f->state || f->state->state == c->r.state) &&
                   labels_match(&f->label_selector, &c->r.config->labels)));
}

void container_list(struct local *g, struct engine_call *call)
{
    const struct criv1_list_containers_request *q = call->request;
    struct criv1_list_containers_response *r =
        RESPONSE(call, struct criv1_list_containers_response);
    struct map_entry *entry;
    uint32_t it = 0;
    while ((entry = map_next(&g->containers, &it))) {
        const struct container *c = entry->value;
        if (!passes(q->filter, c))
            continue;
        struct criv1_container item = {
            .id = c->r.id,
            .pod_sandbox_id = c->r.sandbox_id,
            .metadata = c->r.config->metadata,
            .image = c->r.config->image,
            .image_ref = c->r.image_ref,
            .image_id = c->r.image_id,
            .state = c->r.state,
            .created_at = c->r.created_at,
            .labels = c->r.config->labels,
            .annotations = c->r.config->annotations,
        };
        desc_copy_into(&criv1_container_desc, call->arena, list_add(call->arena, &r->containers),
                       &item);
    }
    call_done(g, call);
}

/* ---- telling conmon ---- */

int container_control(struct container *c, const char *line, struct err *e)
{
    struct arena a = ARENA_INIT;
    const char *path = container_path(c->g, &a, c->r.id, "ctl");
    CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    arena_fini(&a);
    if (fd < 0 || write(fd, line, strlen(line)) < 0)
        return err_errno(e, errno, "tell conmon of container %.*s", STR_ARG(c->r.id));
    return 0;
}

/* The node agent has renamed the log file: conmon shall open a new one. */
void container_reopen_log(struct local *g, struct engine_call *call)
{
    const struct criv1_reopen_container_log_request *q = call->request;
    struct container *c = container_find(g, q->container_id);
    if (!c) {
        not_found(g, call, q->container_id);
        return;
    }
    if (c->r.state != CRIV1_CONTAINER_RUNNING)
        err_set(&call->err, ERR_BAD_REQUEST, "container \"%.*s\" is not running", STR_ARG(c->r.id));
    else if (container_control(c, "2 0 0\n", &call->err) == 0)
        RESPONSE(call, struct criv1_reopen_container_log_response);
    call_done(g, call);
}

/* ---- taking over ---- */

/* What ran when the last engine went away: still running, ended meanwhile, or lost. */
static void adopt_running(struct container *c, bool new_boot)
{
    struct arena a = ARENA_INIT;
    int conmon = pid_file_read(container_path(c->g, &a, c->r.id, "conmon.pid"));
    int32_t code;
    int64_t at;
    bool ended = exit_read(c->g, c->r.id, &code, &at);
    c->pid = pid_file_read(container_path(c->g, &a, c->r.id, "pid"));
    arena_fini(&a);
    if (ended || (!new_boot && process_is_ours(conmon, c->r.id))) {
        container_watch_conmon(c);
        container_exited(c);
        return;
    }
    /* nobody will ever know how it ended */
    c->r.state = CRIV1_CONTAINER_EXITED;
    c->r.exit_code = 255;
    c->r.reason = STR("Unknown");
    c->r.finished_at = local_now_ns(c->g);
    container_clean(c);
}

static void adopt(struct container *c, bool new_boot)
{
    struct arena a = ARENA_INIT;
    bool begun = access(container_path(c->g, &a, c->r.id, "starting"), F_OK) == 0;
    arena_fini(&a);
    c->phase = CONTAINER_IDLE;
    if (c->r.state == CRIV1_CONTAINER_RUNNING)
        adopt_running(c, new_boot);
    else if (c->r.state == CRIV1_CONTAINER_CREATED && begun)
        container_resume_start(c, new_boot);
    else if (c->r.state == CRIV1_CONTAINER_EXITED && !c->r.cleaned)
        container_clean(c);
}

struct loading {
    struct local *g;
    bool new_boot;
};

static bool read_container(struct container *c, const char *id, struct err *e)
{
    int r = record_read(c->g->root, RECORD_CONTAINER, id, &c->arena, &c->r, e);
    if (r < 0 || !str_eqz(c->r.id, id) || !c->r.config || !c->r.config->metadata)
        return false;
    c->sandbox = sandbox_find(c->g, c->r.sandbox_id);
    c->handler = local_handler(c->g, c->r.runtime_handler);
    return c->sandbox && c->handler;
}

static int load_one(void *arg, int dir, const char *name)
{
    struct loading *l = arg;
    if (strlen(name) != ID_LEN)
        return 0;
    struct container *c = container_new(l->g);
    struct err e = ERR_INIT(&c->arena);
    if (!read_container(c, name, &e)) {
        /* its making was cut short: nothing of it ran */
        (void)!bundle_remove(l->g, str_z(name), &e);
        arena_fini(&c->arena);
        free(c);
        return 0;
    }
    map_put(&l->g->containers, c->r.id, c);
    list_push_back(&c->sandbox->containers, &c->in_sandbox);
    adopt(c, l->new_boot);
    return 0;
}

int containers_load(struct local *g, bool new_boot, struct err *e)
{
    struct loading l = {g, new_boot};
    CLEANUP(free_ptr) char *folder = xasprintf("%s/containers", g->run);
    int r = dir_make(folder, 0711, e);
    return r < 0 ? r : dir_each(AT_FDCWD, folder, load_one, &l, e);
}
