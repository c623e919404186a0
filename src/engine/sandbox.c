/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pod sandboxes: the namespaces that a pod's containers share, and nothing else. There is no
 * process for a pod, unless its containers share a PID namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>

#include "engine/files.h"
#include "engine/local.h"
#include "engine/namespaces.h"
#include "engine/snapshot.h"

static const struct criv1_namespace_option *namespace_options(const struct sandbox *s)
{
    static const struct criv1_namespace_option none;
    const struct criv1_linux_pod_sandbox_config *l = s->r.config->linux_;
    return l && l->security_context && l->security_context->namespace_options
               ? l->security_context->namespace_options
               : &none;
}

bool sandbox_host_network(const struct sandbox *s)
{
    return namespace_options(s)->network == CRIV1_NODE;
}

static bool shares_pids(const struct sandbox *s)
{
    return namespace_options(s)->pid == CRIV1_POD;
}

int sandbox_pause_pid(const struct sandbox *s)
{
    struct arena a = ARENA_INIT;
    int pid = pid_file_read(pod_path(s->g, &a, s->r.id, "pause.pid"));
    arena_fini(&a);
    return process_is_ours(pid, s->r.id) ? pid : 0;
}

struct sandbox *sandbox_find(struct local *g, struct str id)
{
    struct sandbox *found = id.n == ID_LEN ? map_get(&g->sandboxes, id) : NULL;
    struct map_entry *entry;
    uint32_t it = 0;
    bool ambiguous = false;
    while (!found && id.n && id.n < ID_LEN && !ambiguous &&
           (entry = map_next(&g->sandboxes, &it))) {
        if (!str_has_prefix(entry->key, id))
            continue;
        ambiguous = found != NULL;
        found = entry->value;
    }
    return found && found->phase != SANDBOX_STARTING ? found : NULL;
}

static struct sandbox *sandbox_new(struct local *g)
{
    struct sandbox *s = xcalloc(1, sizeof *s);
    s->g = g;
    arena_init(&s->arena, RECORD_ARENA_MAX);
    list_init(&s->containers);
    list_init(&s->stop_calls);
    list_init(&s->remove_calls);
    return s;
}

void sandbox_free(struct sandbox *s)
{
    map_remove(&s->g->sandboxes, s->r.id);
    arena_fini(&s->arena);
    free(s);
}

/* ---- the blocking parts ---- */

struct sandbox_job {
    struct job job;
    struct sandbox *s;
    struct engine_call *call; /* of a start */
    struct arena arena;
    struct err err;
    struct engine_network_call net;
    struct command pause;
    const char *folder;
    int result;
};

static struct sandbox_job *sandbox_job_new(struct sandbox *s, struct engine_call *call)
{
    struct sandbox_job *j = xcalloc(1, sizeof *j);
    j->s = s;
    j->call = call;
    j->arena = ARENA_INIT;
    j->err = ERR_INIT(&j->arena);
    j->folder = pod_path(s->g, &j->arena, s->r.id, "");
    return j;
}

static void sandbox_job_free(struct sandbox_job *j)
{
    arena_fini(&j->arena);
    free(j);
}

static const char *in_folder(struct sandbox_job *j, const char *name)
{
    return arena_fmt(&j->arena, "%s/%s", j->folder, name).p;
}

static int save(struct sandbox_job *j)
{
    return record_write(j->s->g->root, RECORD_POD, j->s->r.id, &j->s->r, &j->err);
}

static int save_and_remember(struct sandbox_job *j)
{
    int r = save(j);
    return r < 0 ? r : record_remember(j->s->g->root, RECORD_POD, j->s->r.id, &j->s->r, &j->err);
}

/* First of all the folder and the record: what follows can be found again. */
static void prepare(struct job *job)
{
    struct sandbox_job *j = CONTAINER_OF(job, struct sandbox_job, job);
    j->result = dir_make(in_folder(j, "ns"), 0711, &j->err);
    if (j->result == 0)
        j->result = dir_make(in_folder(j, "shm"), 0755, &j->err);
    if (j->result == 0)
        j->result = save(j);
}

static void put_words(struct buf *b, const char *keyword, const struct str_list *words,
                      bool one_each)
{
    for (size_t i = 0; i < words->n; i++)
        buf_fmt(b, "%s%s%.*s%s", i && !one_each ? "" : keyword, " ", STR_ARG(words->v[i]),
                one_each || i + 1 == words->n ? "\n" : "");
}

/* From the configuration, or the host's own where it says nothing. */
static int write_resolv_conf(struct sandbox_job *j)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    const struct criv1_dns_config *dns = j->s->r.config->dns_config;
    if (dns) {
        put_words(&b, "search", &dns->searches, false);
        put_words(&b, "nameserver", &dns->servers, true);
        put_words(&b, "options", &dns->options, false);
    }
    struct str text = buf_view(&b);
    struct err ignored = ERR_INIT(&j->arena);
    if (!text.n && file_read(&j->arena, AT_FDCWD, "/etc/resolv.conf", MIB(1), &text, &ignored) < 0)
        text = STR_NULL;
    return file_write(AT_FDCWD, in_folder(j, "resolv.conf"), text, 0644, FILE_FAST, &j->err);
}

static struct str hostname_of(struct sandbox_job *j)
{
    char own[256] = "";
    if (j->s->r.config->hostname.n)
        return j->s->r.config->hostname;
    gethostname(own, sizeof own - 1);
    return arena_cstr(&j->arena, own);
}

static int write_files(struct sandbox_job *j)
{
    struct str name = hostname_of(j);
    struct str hosts = arena_fmt(&j->arena,
                                 "127.0.0.1\tlocalhost\n"
                                 "::1\tlocalhost ip6-localhost ip6-loopback\n"
                                 "%s\t%.*s\n",
                                 j->net.ips[0][0] ? j->net.ips[0] : "127.0.1.1", STR_ARG(name));
    int r = file_write(AT_FDCWD, in_folder(j, "hosts"), hosts, 0644, FILE_FAST, &j->err);
    if (r == 0)
        r = file_write(AT_FDCWD, in_folder(j, "hostname"),
                       arena_fmt(&j->arena, "%.*s\n", STR_ARG(name)), 0644, FILE_FAST, &j->err);
    return r == 0 ? write_resolv_conf(j) : r;
}

static int make_namespaces(struct sandbox_job *j)
{
    const struct sandbox *s = j->s;
    const struct criv1_linux_pod_sandbox_config *l = s->r.config->linux_;
    bool host_net = sandbox_host_network(s), host_ipc = namespace_options(s)->ipc == CRIV1_NODE;
    struct namespace_plan plan = {
        .uts_pin = host_net ? NULL : in_folder(j, "ns/uts"),
        .ipc_pin = host_ipc ? NULL : in_folder(j, "ns/ipc"),
        .net_pin = host_net ? NULL : arena_z(&j->arena, s->r.netns),
        .make_net = !host_net && s->r.made_netns,
        .hostname = hostname_of(j),
        .sysctls = l ? &l->sysctls : NULL,
    };
    int r = namespaces_make(&plan, &j->err);
    if (r < 0 || host_ipc)
        return r;
    if (mount("shm", in_folder(j, "shm"), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=1777,size=65536k") < 0)
        return err_errno(&j->err, errno, "mount shared memory");
    return 0;
}

static void populate(struct job *job)
{
    struct sandbox_job *j = CONTAINER_OF(job, struct sandbox_job, job);
    j->result = make_namespaces(j);
    if (j->result == 0)
        j->result = write_files(j);
    if (j->result == 0)
        j->result = save_and_remember(j);
}

/* Everything but the folder and the network. Finds pins by their places: nothing is remembered. */
static int undo_files(struct sandbox_job *j)
{
    static const char *const pins[] = {"ns/uts", "ns/ipc", "ns/net"};
    int first = 0;
    for (size_t i = 0; i < ARRAY_LEN(pins); i++) {
        int r = namespace_unpin(in_folder(j, pins[i]), &j->err);
        first = first < 0 ? first : r;
    }
    if (umount2(in_folder(j, "shm"), MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT &&
        first == 0)
        first = err_errno(&j->err, errno, "unmount shared memory");
    return first;
}

static void undo(struct job *job)
{
    struct sandbox_job *j = CONTAINER_OF(job, struct sandbox_job, job);
    j->result = undo_files(j);
    if (j->result == 0)
        j->result = save_and_remember(j);
}

static void erase(struct job *job)
{
    struct sandbox_job *j = CONTAINER_OF(job, struct sandbox_job, job);
    struct err ignored = ERR_INIT(&j->arena);
    if (!j->s->r.config->linux_ || !j->s->r.config->linux_->cgroup_parent.n)
        (void)!cgroup_remove(&j->s->g->cgroups, arena_z(&j->arena, j->s->r.cgroup_parent),
                             &ignored);
    record_forget(j->s->g->root, RECORD_POD, j->s->r.id);
    j->result = mounted_tree_remove(j->folder, &j->err);
}

/* ---- starting ---- */

static void fail_start(struct sandbox_job *j);

static void started(struct sandbox_job *j)
{
    struct sandbox *s = j->s;
    struct local *g = s->g;
    s->phase = SANDBOX_IDLE;
    RESPONSE(j->call, struct criv1_run_pod_sandbox_response)->pod_sandbox_id =
        arena_str(j->call->arena, s->r.id);
    local_event(g, CRIV1_CONTAINER_CREATED_EVENT, s->r.id, s->r.id);
    local_event(g, CRIV1_CONTAINER_STARTED_EVENT, s->r.id, s->r.id);
    call_done(g, j->call);
    sandbox_job_free(j);
}

static void pause_started(struct command *c)
{
    struct sandbox_job *j = CONTAINER_OF(c, struct sandbox_job, pause);
    if (c->status != 0)
        err_set(&j->err, ERR_INTERNAL, "start the pod's init: %.*s", STR_ARG(command_message(c)));
    bool ok = c->status == 0;
    command_fini(c);
    if (ok)
        started(j);
    else
        fail_start(j);
}

static void populated(struct job *job)
{
    struct sandbox_job *j = CONTAINER_OF(job, struct sandbox_job, job);
    if (j->result < 0) {
        fail_start(j);
        return;
    }
    if (!shares_pids(j->s)) {
        started(j);
        return;
    }
    const char *const argv[] = {j->s->g->helper, "pause", in_folder(j, "pause.pid"), NULL};
    if (command_start(j->s->g, &j->pause, argv, NULL, 0, COMMAND_OUTPUT_MAX, pause_started,
                      &j->err) < 0)
        fail_start(j);
}

static void network_added(struct engine_network_call *c)
{
    struct sandbox_job *j = CONTAINER_OF(c, struct sandbox_job, net);
    struct sandbox *s = j->s;
    local_let_go(s->g);
    if (c->err.code) {
        fail_start(j);
        return;
    }
    s->r.netns = arena_cstr(&s->arena, c->netns_path);
    for (size_t i = 0; i < ARRAY_LEN(c->ips); i++)
        if (c->ips[i][0])
            str_list_push(&s->arena, &s->r.ips, arena_cstr(&s->arena, c->ips[i]));
    s->r.ready = true;
    job_start(s->g, &j->job, populate, populated);
}

static void network_call(struct sandbox_job *j, void (*done)(struct engine_network_call *c))
{
    j->net.done = done;
    j->net.sandbox_id = j->s->r.id.p;
    j->net.sandbox_config = j->s->r.config;
    j->net.err = ERR_INIT(&j->arena);
    snprintf(j->net.netns_path, sizeof j->net.netns_path, "%.*s", STR_ARG(j->s->r.netns));
    local_hold(j->s->g);
}

static void prepared(struct job *job)
{
    struct sandbox_job *j = CONTAINER_OF(job, struct sandbox_job, job);
    struct sandbox *s = j->s;
    if (j->result < 0) {
        fail_start(j);
        return;
    }
    if (!sandbox_host_network(s) && s->g->network) {
        network_call(j, network_added);
        s->g->network->add(s->g->network, &j->net);
        return;
    }
    s->r.made_netns = !sandbox_host_network(s);
    if (s->r.made_netns)
        s->r.netns = arena_cstr(&s->arena, in_folder(j, "ns/net"));
    s->r.ready = true;
    job_start(s->g, &j->job, populate, populated);
}

static int check_config(struct local *g, const struct criv1_run_pod_sandbox_request *q,
                        struct err *e)
{
    const struct criv1_pod_sandbox_config *c = q->config;
    if (!c || !c->metadata || !c->metadata->name.n)
        return err_set(e, ERR_BAD_REQUEST, "sandbox config must include metadata");
    if (!local_handler(g, q->runtime_handler))
        return err_set(e, ERR_BAD_REQUEST, "no runtime for \"%.*s\" is configured",
                       STR_ARG(q->runtime_handler));
    const struct criv1_linux_pod_sandbox_config *l = c->linux_;
    const struct criv1_namespace_option *o =
        l && l->security_context ? l->security_context->namespace_options : NULL;
    if (o && o->userns_options && o->userns_options->mode == CRIV1_POD)
        return err_set(e, ERR_BAD_REQUEST, "user namespaces are not supported");
    if (l && l->cgroup_parent.n &&
        (l->cgroup_parent.p[0] != '/' || str_find(l->cgroup_parent, STR("..")) >= 0 ||
         l->cgroup_parent.n > CGROUP_PATH_MAX / 2))
        return err_set(e, ERR_BAD_REQUEST, "bad cgroup parent \"%.*s\"", STR_ARG(l->cgroup_parent));
    return 0;
}

void sandbox_run(struct local *g, struct engine_call *c)
{
    const struct criv1_run_pod_sandbox_request *q = c->request;
    char id[ID_LEN + 1];
    if (check_config(g, q, &c->err) < 0) {
        call_done(g, c);
        return;
    }
    struct sandbox *s = sandbox_new(g);
    local_new_id(g, id);
    s->r.id = arena_cstr(&s->arena, id);
    s->r.config = desc_copy(&criv1_pod_sandbox_config_desc, &s->arena, q->config);
    s->r.runtime_handler = arena_str(&s->arena, q->runtime_handler);
    s->r.created_at = local_now_ns(g);
    s->r.cgroup_parent = s->r.config->linux_ && s->r.config->linux_->cgroup_parent.n
                             ? s->r.config->linux_->cgroup_parent
                             : arena_fmt(&s->arena, "%s/%s", g->cgroup_root, id);
    map_put(&g->sandboxes, s->r.id, s);
    struct sandbox_job *j = sandbox_job_new(s, c);
    job_start(g, &j->job, prepare, prepared);
}

/* ---- undoing a start that failed: the same steps as a stop and a removal, nobody waiting ---- */

static void start_erased(struct job *job)
{
    struct sandbox_job *j = CONTAINER_OF(job, struct sandbox_job, job);
    struct local *g = j->s->g;
    sandbox_free(j->s);
    sandbox_job_free(j);
    (void)g;
}

static void start_undone(struct engine_network_call *c)
{
    struct sandbox_job *j = CONTAINER_OF(c, struct sandbox_job, net);
    struct local *g = j->s->g;
    job_start(g, &j->job, erase, start_erased);
    local_let_go(g);
}

/* Answers the call, then cleans up behind it. */
static void fail_start(struct sandbox_job *j)
{
    struct sandbox *s = j->s;
    struct local *g = s->g;
    struct err *e = j->net.err.code ? &j->net.err : &j->err;
    err_set(&j->call->err, e->code, "%.*s", STR_ARG(e->message));
    call_done(g, j->call);
    int pause = sandbox_pause_pid(s);
    if (pause)
        kill(pause, SIGKILL);
    if (!sandbox_host_network(s) && g->network) {
        network_call(j, start_undone);
        g->network->remove(g->network, &j->net);
        return;
    }
    job_start(g, &j->job, erase, start_erased);
}

/* ---- stopping ---- */

static void finish_stop(struct sandbox_job *j, const struct err *e)
{
    struct sandbox *s = j->s;
    struct local *g = s->g;
    s->step_running = false;
    s->phase = SANDBOX_IDLE;
    s->undone = !e;
    calls_done(g, &s->stop_calls, e);
    if (e) {
        calls_done(g, &s->remove_calls, e);
    } else {
        local_event(g, CRIV1_CONTAINER_STOPPED_EVENT, s->r.id, s->r.id);
        sandbox_step(s);
    }
    sandbox_job_free(j);
}

static void stop_undone(struct job *job)
{
    struct sandbox_job *j = CONTAINER_OF(job, struct sandbox_job, job);
    finish_stop(j, j->result < 0 ? &j->err : NULL);
}

static void network_removed(struct engine_network_call *c)
{
    struct sandbox_job *j = CONTAINER_OF(c, struct sandbox_job, net);
    struct local *g = j->s->g;
    if (c->err.code)
        finish_stop(j, &c->err);
    else
        job_start(g, &j->job, undo, stop_undone);
    local_let_go(g);
}

/* The containers are gone: network, then namespaces. */
static void take_down(struct sandbox *s)
{
    struct sandbox_job *j = sandbox_job_new(s, NULL);
    int pause = sandbox_pause_pid(s);
    s->step_running = true;
    s->r.ready = false;
    if (pause)
        kill(pause, SIGKILL);
    if (!sandbox_host_network(s) && !s->r.made_netns && s->g->network) {
        network_call(j, network_removed);
        s->g->network->remove(s->g->network, &j->net);
        return;
    }
    job_start(s->g, &j->job, undo, stop_undone);
}

static void erased(struct job *job)
{
    struct sandbox_job *j = CONTAINER_OF(job, struct sandbox_job, job);
    struct sandbox *s = j->s;
    struct local *g = s->g;
    s->step_running = false;
    s->phase = SANDBOX_IDLE;
    if (j->result < 0) {
        calls_done(g, &s->remove_calls, &j->err);
    } else {
        local_event(g, CRIV1_CONTAINER_DELETED_EVENT, s->r.id, s->r.id);
        struct list calls;
        list_init(&calls);
        struct list *link;
        while ((link = list_pop_front(&s->remove_calls)))
            list_push_back(&calls, link);
        sandbox_free(s);
        calls_done(g, &calls, NULL);
    }
    sandbox_job_free(j);
}

static bool all_stopped(struct sandbox *s)
{
    struct container *c;
    bool stopped = true;
    list_each (c, &s->containers, in_sandbox) {
        stopped &= c->phase == CONTAINER_IDLE && c->r.state != CRIV1_CONTAINER_RUNNING;
        container_kill(c);
    }
    return stopped;
}

void sandbox_step(struct sandbox *s)
{
    if (s->step_running || s->phase == SANDBOX_STARTING)
        return;
    bool wanted = !list_empty(&s->stop_calls) || !list_empty(&s->remove_calls);
    if (s->phase == SANDBOX_IDLE && wanted)
        s->phase = list_empty(&s->remove_calls) || !s->undone ? SANDBOX_STOPPING : SANDBOX_REMOVING;
    if (s->phase == SANDBOX_STOPPING) {
        if (all_stopped(s))
            take_down(s);
    } else if (s->phase == SANDBOX_REMOVING) {
        struct container *c, *next;
        list_each_safe (c, next, &s->containers, in_sandbox)
            container_discard(c);
        if (!list_empty(&s->containers))
            return;
        s->step_running = true;
        struct sandbox_job *j = sandbox_job_new(s, NULL);
        job_start(s->g, &j->job, erase, erased);
    }
}

void sandbox_stop(struct local *g, struct engine_call *c)
{
    const struct criv1_stop_pod_sandbox_request *q = c->request;
    struct sandbox *s = sandbox_find(g, q->pod_sandbox_id);
    RESPONSE(c, struct criv1_stop_pod_sandbox_response);
    if (!s || (s->undone && !s->r.ready)) {
        call_done(g, c);
        return;
    }
    list_push_back(&s->stop_calls, &c->link);
    sandbox_step(s);
}

void sandbox_remove(struct local *g, struct engine_call *c)
{
    const struct criv1_remove_pod_sandbox_request *q = c->request;
    struct sandbox *s = sandbox_find(g, q->pod_sandbox_id);
    RESPONSE(c, struct criv1_remove_pod_sandbox_response);
    if (!s) {
        call_done(g, c);
        return;
    }
    list_push_back(&s->remove_calls, &c->link);
    sandbox_step(s);
}

/* ---- asking ---- */

static void fill_network(struct arena *a, const struct sandbox *s,
                         struct criv1_pod_sandbox_status *st)
{
    st->network = arena_new(a, struct criv1_pod_sandbox_network_status);
    for (size_t i = 0; i < s->r.ips.n; i++) {
        if (i == 0)
            st->network->ip = s->r.ips.v[0];
        else
            list_add(a, &st->network->additional_ips)->ip = s->r.ips.v[i];
    }
}

static void fill_namespaces(struct arena *a, const struct sandbox *s,
                            struct criv1_pod_sandbox_status *st)
{
    st->linux_ = arena_new(a, struct criv1_linux_pod_sandbox_status);
    st->linux_->namespaces = arena_new(a, struct criv1_namespace);
    st->linux_->namespaces->options =
        desc_copy(&criv1_namespace_option_desc, a, namespace_options(s));
}

static int32_t state_of(const struct sandbox *s)
{
    return s->r.ready ? CRIV1_SANDBOX_READY : CRIV1_SANDBOX_NOTREADY;
}

void sandbox_status(struct local *g, struct engine_call *c)
{
    const struct criv1_pod_sandbox_status_request *q = c->request;
    struct sandbox *s = sandbox_find(g, q->pod_sandbox_id);
    if (!s) {
        err_set(&c->err, ERR_NOT_FOUND, "sandbox \"%.*s\" not found", STR_ARG(q->pod_sandbox_id));
        call_done(g, c);
        return;
    }
    struct criv1_pod_sandbox_status_response *r =
        RESPONSE(c, struct criv1_pod_sandbox_status_response);
    struct criv1_pod_sandbox_status st = {
        .id = s->r.id,
        .metadata = s->r.config->metadata,
        .state = state_of(s),
        .created_at = s->r.created_at,
        .labels = s->r.config->labels,
        .annotations = s->r.config->annotations,
        .runtime_handler = s->r.runtime_handler,
    };
    r->status = desc_copy(&criv1_pod_sandbox_status_desc, c->arena, &st);
    fill_network(c->arena, s, r->status);
    fill_namespaces(c->arena, s, r->status);
    r->timestamp = local_now_ns(g);
    call_done(g, c);
}

bool labels_match(const struct str_map *selector, const struct str_map *labels)
{
    for (size_t i = 0; i < selector->n; i++)
        if (!str_map_has(labels, selector->v[i].key) ||
            !str_eq(str_map_get(labels, selector->v[i].key), selector->v[i].value))
            return false;
    return true;
}

static bool passes(const struct criv1_pod_sandbox_filter *f, const struct sandbox *s)
{
    return s->phase != SANDBOX_STARTING &&
           (!f || ((!f->id.n || str_has_prefix(s->r.id, f->id)) &&
                   (!f->state || f->state->state == state_of(s)) &&
                   labels_match(&f->label_selector, &s->r.config->labels)));
}

void sandbox_list(struct local *g, struct engine_call *c)
{
    const struct criv1_list_pod_sandbox_request *q = c->request;
    struct criv1_list_pod_sandbox_response *r = RESPONSE(c, struct criv1_list_pod_sandbox_response);
    struct map_entry *entry;
    uint32_t it = 0;
    while ((entry = map_next(&g->sandboxes, &it))) {
        const struct sandbox *s = entry->value;
        if (!passes(q->filter, s))
            continue;
        struct criv1_pod_sandbox item = {
            .id = s->r.id,
            .metadata = s->r.config->metadata,
            .state = state_of(s),
            .created_at = s->r.created_at,
            .labels = s->r.config->labels,
            .annotations = s->r.config->annotations,
            .runtime_handler = s->r.runtime_handler,
        };
        desc_copy_into(&criv1_pod_sandbox_desc, c->arena, list_add(c->arena, &r->items), &item);
    }
    call_done(g, c);
}

/* ---- taking over ---- */

struct loading {
    struct local *g;
    bool new_boot;
    struct err *e;
};

static void load_record(struct loading *l, const char *id)
{
    struct sandbox *s = sandbox_new(l->g);
    struct err e = ERR_INIT(&s->arena);
    int r = record_read(l->g->root, RECORD_POD, id, &s->arena, &s->r, &e);
    /* without a record (the machine went down at a bad time) there was no container in it yet */
    if (r < 0 || !str_eqz(s->r.id, id) || !s->r.config || !s->r.config->metadata) {
        CLEANUP(free_ptr) char *folder = xasprintf("%s/pods/%s", l->g->run, id);
        (void)!mounted_tree_remove(folder, &e);
        record_forget(l->g->root, RECORD_POD, str_z(id));
        arena_fini(&s->arena);
        free(s);
        return;
    }
    s->phase = SANDBOX_IDLE;
    bool pinned = !s->r.netns.n || namespace_pinned(arena_z(&s->arena, s->r.netns));
    s->r.ready =
        s->r.ready && !l->new_boot && pinned && (!shares_pids(s) || sandbox_pause_pid(s) != 0);
    map_put(&l->g->sandboxes, s->r.id, s);
}

static int load_one(void *arg, int dir, const char *name)
{
    if (strlen(name) == ID_LEN)
        load_record(arg, name);
    return 0;
}

int sandboxes_load(struct local *g, bool new_boot, struct err *e)
{
    struct loading l = {g, new_boot, e};
    CLEANUP(free_ptr) char *folder = xasprintf("%s/pods", g->run);
    int r = dir_make(folder, 0711, e);
    return r < 0 ? r : dir_each(AT_FDCWD, folder, load_one, &l, e);
}
