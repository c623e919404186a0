/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pods and containers use. Names are collected on the loop, numbers are read by a worker
 * (a written layer is walked, a network namespace entered), rates are reckoned on the loop again
 * from the previous answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include "engine/files.h"
#include "engine/local.h"
#include "engine/namespaces.h"

struct sample {
    struct str id;
    const char *cgroup;
    const char *upper;   /* NULL: a whole pod */
    const char *net_pin; /* of a pod; NULL: none of its own */
    struct criv1_container_stats *container;
    struct criv1_pod_sandbox_stats *pod;
    struct cgroup_stat stat;
    struct tree_usage usage;
    int64_t at_ns;
};

struct stats_job {
    struct job job;
    struct engine_call *call;
    VEC(struct sample) v;
};

static struct criv1_u_int64_value *number(struct arena *a, uint64_t v)
{
    return NEW_VALUE(a, struct criv1_u_int64_value, ((struct criv1_u_int64_value){v}));
}

/* ---- the worker's part ---- */

static struct criv1_cpu_usage *cpu_usage(struct arena *a, const struct sample *s)
{
    struct criv1_cpu_usage *u = arena_new(a, struct criv1_cpu_usage);
    u->timestamp = s->at_ns;
    u->usage_core_nano_seconds = number(a, s->stat.cpu_ns);
    return u;
}

static struct criv1_memory_usage *memory_usage(struct arena *a, const struct sample *s)
{
    const struct cgroup_stat *st = &s->stat;
    struct criv1_memory_usage *u = arena_new(a, struct criv1_memory_usage);
    u->timestamp = s->at_ns;
    u->working_set_bytes = number(a, st->working_set_bytes);
    u->usage_bytes = number(a, st->memory_bytes);
    u->rss_bytes = number(a, st->rss_bytes);
    u->page_faults = number(a, st->page_faults);
    u->major_page_faults = number(a, st->major_page_faults);
    if (st->memory_limit_bytes != UINT64_MAX)
        u->available_bytes = number(a, st->memory_limit_bytes > st->working_set_bytes
                                           ? st->memory_limit_bytes - st->working_set_bytes
                                           : 0);
    return u;
}

static void fill_container(struct arena *a, struct sample *s, struct str mountpoint)
{
    struct criv1_container_stats *c = s->container;
    c->cpu = cpu_usage(a, s);
    c->memory = memory_usage(a, s);
    c->swap = arena_new(a, struct criv1_swap_usage);
    c->swap->timestamp = s->at_ns;
    c->swap->swap_usage_bytes = number(a, s->stat.swap_bytes);
    c->writable_layer = arena_new(a, struct criv1_filesystem_usage);
    c->writable_layer->timestamp = s->at_ns;
    c->writable_layer->fs_id = arena_new(a, struct criv1_filesystem_identifier);
    c->writable_layer->fs_id->mountpoint = mountpoint;
    c->writable_layer->used_bytes = number(a, s->usage.bytes);
    c->writable_layer->inodes_used = number(a, s->usage.inodes);
}

/* "  eth0: bytes packets errs drop fifo frame compressed multicast bytes packets errs ..." */
static bool parse_interface(struct arena *a, struct str line,
                            struct criv1_network_interface_usage *ret)
{
    struct str rest, field;
    uint64_t v[11];
    size_t n = 0;
    if (!str_cut(line, ':', &ret->name, &rest))
        return false;
    while (n < ARRAY_LEN(v) && str_next(&rest, ' ', &field))
        if (field.n && !str_to_u64(field, &v[n++]))
            return false;
    ret->name = arena_str(a, str_trim(ret->name));
    if (n < ARRAY_LEN(v))
        return false;
    ret->rx_bytes = number(a, v[0]);
    ret->rx_errors = number(a, v[2]);
    ret->tx_bytes = number(a, v[8]);
    ret->tx_errors = number(a, v[10]);
    return true;
}

static struct criv1_network_usage *network_usage(struct arena *a, const struct sample *s)
{
    struct err ignored = ERR_INIT(a);
    struct criv1_network_usage *u = arena_new(a, struct criv1_network_usage);
    struct str text, line;
    u->timestamp = s->at_ns;
    if (!s->net_pin ||
        namespace_read(s->net_pin, "/proc/thread-self/net/dev", a, &text, &ignored) < 0)
        return u;
    while (str_next(&text, '\n', &line)) {
        struct criv1_network_interface_usage usage = {0};
        if (!parse_interface(a, line, &usage) || str_eqz(usage.name, "lo"))
            continue;
        if (!u->default_interface)
            u->default_interface = NEW_VALUE(a, struct criv1_network_interface_usage, usage);
        *list_add(a, &u->interfaces) = usage;
    }
    return u;
}

static void add_stat(struct cgroup_stat *sum, const struct cgroup_stat *more)
{
    sum->cpu_ns += more->cpu_ns;
    sum->memory_bytes += more->memory_bytes;
    sum->working_set_bytes += more->working_set_bytes;
    sum->rss_bytes += more->rss_bytes;
    sum->page_faults += more->page_faults;
    sum->major_page_faults += more->major_page_faults;
    sum->processes += more->processes;
}

/* The pod's own group holds its containers' groups; where it has none, their sum stands for it. */
static void fill_pod(struct arena *a, struct sample *s, const struct sample *all, size_t n)
{
    struct criv1_linux_pod_sandbox_stats *l = s->pod->linux_;
    for (size_t i = 0; !s->stat.found && i < n; i++)
        if (all[i].pod == s->pod && all[i].container)
            add_stat(&s->stat, &all[i].stat);
    l->cpu = cpu_usage(a, s);
    l->memory = memory_usage(a, s);
    l->network = network_usage(a, s);
    l->process = arena_new(a, struct criv1_process_usage);
    l->process->timestamp = s->at_ns;
    l->process->process_count = number(a, s->stat.processes);
    for (size_t i = 0; i < n; i++)
        if (all[i].pod == s->pod && all[i].container)
            *list_add(a, &l->containers) = *all[i].container;
}

static void stats_run(struct job *job)
{
    struct stats_job *j = CONTAINER_OF(job, struct stats_job, job);
    struct arena *a = j->call->arena;
    struct err ignored = ERR_INIT(a);
    struct str mountpoint = arena_fmt(a, "%s/snapshots", job->g->root);
    LIST_EACH (s, &j->v) {
        cgroup_stat(&job->g->cgroups, s->cgroup, &s->stat);
        if (s->upper)
            (void)!tree_measure(AT_FDCWD, s->upper, &s->usage, &ignored);
        if (s->container)
            fill_container(a, s, mountpoint);
    }
    LIST_EACH (s, &j->v)
        if (!s->container)
            fill_pod(a, s, j->v.v, j->v.n);
}

/* ---- the loop's part ---- */

/* The mean rate since the last answer. */
static struct criv1_u_int64_value *rate(struct arena *a, struct cpu_mark *mark,
                                        const struct sample *s)
{
    struct cpu_mark before = *mark;
    int64_t elapsed = s->at_ns - before.at_ns;
    *mark = (struct cpu_mark){s->at_ns, s->stat.cpu_ns};
    if (!before.at_ns || elapsed <= 0 || s->stat.cpu_ns < before.cpu_ns)
        return NULL;
    double used = (double)(s->stat.cpu_ns - before.cpu_ns);
    return number(a, (uint64_t)(used * 1e9 / (double)elapsed));
}

static void add_rate(struct local *g, struct arena *a, const struct sample *s)
{
    if (s->container) {
        struct container *c = container_find(g, s->id);
        if (c)
            s->container->cpu->usage_nano_cores = rate(a, &c->cpu_mark, s);
    } else {
        struct sandbox *p = sandbox_find(g, s->id);
        if (p)
            s->pod->linux_->cpu->usage_nano_cores = rate(a, &p->cpu_mark, s);
    }
}

static void stats_done(struct job *job)
{
    struct stats_job *j = CONTAINER_OF(job, struct stats_job, job);
    LIST_EACH (s, &j->v)
        add_rate(job->g, j->call->arena, s);
    call_done(job->g, j->call);
    free(j);
}

static struct stats_job *stats_new(struct engine_call *call)
{
    struct stats_job *j = xcalloc(1, sizeof *j);
    j->call = call;
    return j;
}

static struct criv1_container_stats *add_container(struct stats_job *j, const struct container *c,
                                                   struct criv1_container_stats *stats,
                                                   struct criv1_pod_sandbox_stats *pod)
{
    struct arena *a = j->call->arena;
    struct criv1_container_attributes attributes = {
        .id = c->r.id,
        .metadata = c->r.config->metadata,
        .labels = c->r.config->labels,
        .annotations = c->r.config->annotations,
    };
    struct sample s = {
        .id = arena_str(a, c->r.id),
        .cgroup = arena_z(a, c->r.cgroup),
        .upper = arena_fmt(a, "%s/snapshots/%.*s/upper", c->g->root, STR_ARG(c->r.id)).p,
        .container = stats,
        .pod = pod,
        .at_ns = local_now_ns(c->g),
    };
    stats->attributes = desc_copy(&criv1_container_attributes_desc, a, &attributes);
    vec_push_arena(a, &j->v, s);
    return stats;
}

static void add_pod(struct stats_job *j, struct sandbox *p, struct criv1_pod_sandbox_stats *stats)
{
    struct arena *a = j->call->arena;
    struct container *c;
    struct criv1_pod_sandbox_attributes attributes = {
        .id = p->r.id,
        .metadata = p->r.config->metadata,
        .labels = p->r.config->labels,
        .annotations = p->r.config->annotations,
    };
    struct sample s = {
        .id = arena_str(a, p->r.id),
        .cgroup = arena_z(a, p->r.cgroup_parent),
        .net_pin = sandbox_host_network(p) ? NULL : arena_z(a, p->r.netns),
        .pod = stats,
        .at_ns = local_now_ns(p->g),
    };
    stats->attributes = desc_copy(&criv1_pod_sandbox_attributes_desc, a, &attributes);
    stats->linux_ = arena_new(a, struct criv1_linux_pod_sandbox_stats);
    vec_push_arena(a, &j->v, s);
    list_each (c, &p->containers, in_sandbox) {
        if (c->phase != CONTAINER_MAKING && c->r.state == CRIV1_CONTAINER_RUNNING)
            add_container(j, c, arena_new(a, struct criv1_container_stats), stats);
    }
}

void container_stats(struct local *g, struct engine_call *call)
{
    const struct criv1_container_stats_request *q = call->request;
    struct container *c = container_find(g, q->container_id);
    if (!c) {
        err_set(&call->err, ERR_NOT_FOUND, "container \"%.*s\" not found",
                STR_ARG(q->container_id));
        call_done(g, call);
        return;
    }
    struct stats_job *j = stats_new(call);
    struct criv1_container_stats_response *r =
        RESPONSE(call, struct criv1_container_stats_response);
    r->stats = add_container(j, c, arena_new(call->arena, struct criv1_container_stats), NULL);
    job_start(g, &j->job, stats_run, stats_done);
}

static bool container_passes(const struct criv1_container_stats_filter *f,
                             const struct container *c)
{
    return c->phase != CONTAINER_MAKING && c->r.state == CRIV1_CONTAINER_RUNNING &&
           (!f || ((!f->id.n || str_has_prefix(c->r.id, f->id)) &&
                   (!f->pod_sandbox_id.n || str_has_prefix(c->r.sandbox_id, f->pod_sandbox_id)) &&
                   labels_match(&f->label_selector, &c->r.config->labels)));
}

/* The list's memory must not move while samples point into it. */
void container_stats_list(struct local *g, struct engine_call *call)
{
    const struct criv1_list_container_stats_request *q = call->request;
    struct criv1_list_container_stats_response *r =
        RESPONSE(call, struct criv1_list_container_stats_response);
    struct stats_job *j = stats_new(call);
    struct map_entry *entry;
    uint32_t it = 0;
    r->stats.v =
        arena_array(call->arena, list_room(g->containers.count), struct criv1_container_stats);
    while ((entry = map_next(&g->containers, &it)))
        if (container_passes(q->filter, entry->value))
            add_container(j, entry->value, &r->stats.v[r->stats.n++], NULL);
    job_start(g, &j->job, stats_run, stats_done);
}

void sandbox_stats(struct local *g, struct engine_call *call)
{
    const struct criv1_pod_sandbox_stats_request *q = call->request;
    struct sandbox *p = sandbox_find(g, q->pod_sandbox_id);
    if (!p) {
        err_set(&call->err, ERR_NOT_FOUND, "sandbox \"%.*s\" not found",
                STR_ARG(q->pod_sandbox_id));
        call_done(g, call);
        return;
    }
    struct stats_job *j = stats_new(call);
    struct criv1_pod_sandbox_stats_response *r =
        RESPONSE(call, struct criv1_pod_sandbox_stats_response);
    r->stats = arena_new(call->arena, struct criv1_pod_sandbox_stats);
    add_pod(j, p, r->stats);
    job_start(g, &j->job, stats_run, stats_done);
}

void sandbox_stats_list(struct local *g, struct engine_call *call)
{
    const struct criv1_list_pod_sandbox_stats_request *q = call->request;
    const struct criv1_pod_sandbox_stats_filter *f = q->filter;
    struct criv1_list_pod_sandbox_stats_response *r =
        RESPONSE(call, struct criv1_list_pod_sandbox_stats_response);
    struct stats_job *j = stats_new(call);
    struct map_entry *entry;
    uint32_t it = 0;
    r->stats.v =
        arena_array(call->arena, list_room(g->sandboxes.count), struct criv1_pod_sandbox_stats);
    while ((entry = map_next(&g->sandboxes, &it))) {
        struct sandbox *p = entry->value;
        if (p->phase != SANDBOX_STARTING && p->r.ready &&
            (!f || ((!f->id.n || str_has_prefix(p->r.id, f->id)) &&
                    labels_match(&f->label_selector, &p->r.config->labels))))
            add_pod(j, p, &r->stats.v[r->stats.n++]);
    }
    job_start(g, &j->job, stats_run, stats_done);
}
