/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/sched.h"

#include "base/log.h"
#include "sched/filter.h"

enum {
    BINDINGS_DEFAULT = 256,
    BACKOFF_MIN_MS = 1000, /* upstream's podInitialBackoffSeconds */
    BACKOFF_MAX_MS = 10000,
    ROUND_MAX = 64, /* pods placed before other callbacks run */
};

enum pending_state { PENDING_ACTIVE, PENDING_BACKOFF, PENDING_UNSCHEDULABLE, PENDING_BINDING };

/* A pod without a node. */
struct pending {
    struct sched *s;
    char *ns, *name, *uid;
    enum pending_state state;
    struct heap_node order; /* in sched.active: by priority, then age */
    struct list link;       /* in sched.unschedulable */
    struct timer backoff;
    int32_t priority, attempts;
    char *node;    /* being bound to */
    char *message; /* last reason told, so that it is told once */
};

struct sched {
    struct client *client;
    struct arena arena;
    struct str name;
    uint32_t bindings_max, bindings;
    const struct resource_def *pods_def, *nodes_def;
    struct cache *pods, *nodes;
    struct cache_handler pods_handler, nodes_handler;
    struct snapshot snap;
    struct map pending; /* uid -> struct pending */
    struct heap active;
    struct list unschedulable;
    struct task run;
    size_t next_node; /* where the search for nodes starts, so that it goes round */
};

static struct loop *loop_of(struct sched *s)
{
    return client_loop(s->client);
}

static void run(struct task *t);

static void kick(struct sched *s)
{
    loop_defer(loop_of(s), &s->run, run);
}

/* ---- the queue ---- */

static void activate(struct pending *p)
{
    struct sched *s = p->s;
    list_remove(&p->link);
    timer_stop(&p->backoff);
    p->state = PENDING_ACTIVE;
    if (!heap_linked(&p->order))
        heap_push(&s->active, &p->order, -(int64_t)p->priority);
    kick(s);
}

static void backoff_over(struct timer *t)
{
    activate(CONTAINER_OF(t, struct pending, backoff));
}

static int64_t backoff_ms(const struct pending *p)
{
    int64_t ms = BACKOFF_MIN_MS;
    for (int32_t i = 1; i < p->attempts && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    return MIN(ms, (int64_t)BACKOFF_MAX_MS);
}

static void back_off(struct pending *p)
{
    p->state = PENDING_BACKOFF;
    timer_start(loop_of(p->s), &p->backoff, backoff_ms(p), backoff_over);
}

static void pending_free(struct pending *p)
{
    map_remove(&p->s->pending, str_z(p->uid));
    heap_remove(&p->s->active, &p->order);
    list_remove(&p->link);
    timer_stop(&p->backoff);
    free(p->ns);
    free(p->name);
    free(p->uid);
    free(p->node);
    free(p->message);
    free(p);
}

/* Something has grown: those that did not fit get another chance, after their back-off. */
static void wake_unschedulable(struct sched *s)
{
    while (!list_empty(&s->unschedulable)) {
        struct pending *p = list_entry(list_pop_front(&s->unschedulable), struct pending, link);
        back_off(p);
    }
}

/* A node that is new can help at once. */
static void activate_unschedulable(struct sched *s)
{
    while (!list_empty(&s->unschedulable))
        activate(list_entry(list_first(&s->unschedulable), struct pending, link));
}

/* ---- telling why ---- */

struct tally {
    struct str reason;
    size_t n;
};

static int by_reason(const void *a, const void *b)
{
    return str_cmp(((const struct tally *)a)->reason, ((const struct tally *)b)->reason);
}

struct tallies {
    struct tally *v;
    size_t n;
};

static void add_reasons(struct arena *a, struct tallies *t, const struct reasons *r)
{
    for (size_t i = 0; i < r->n; i++) {
        struct tally *found = NULL;
        LIST_EACH (x, t)
            if (str_eq(x->reason, r->v[i]))
                found = x;
        if (!found) {
            found = list_add(a, t);
            found->reason = r->v[i];
        }
        found->n++;
    }
}

/* "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." */
static struct str explain(struct arena *a, size_t nodes, struct tallies *t)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(16));
    if (!nodes)
        return STR("no nodes available to schedule pods");
    if (t->n)
        qsort(t->v, t->n, sizeof *t->v, by_reason);
    buf_fmt(&b, "0/%zu nodes are available: ", nodes);
    for (size_t i = 0; i < t->n; i++)
        buf_fmt(&b, "%s%zu %.*s", i ? ", " : "", t->v[i].n, STR_ARG(t->v[i].reason));
    buf_c(&b, '.');
    return buf_to_arena(&b, a);
}

static void told(void *arg, int rc, struct item *item, const struct err *e)
{
}

static const struct event_source event_source = {.component = {"default-scheduler", 17}};

static void tell_unschedulable(struct pending *p, struct item *item, struct arena *a,
                               struct str message)
{
    struct sched *s = p->s;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(32));
    char now[WALL_TEXT_MAX];
    if (p->message && str_eqz(message, p->message))
        return;
    free(p->message);
    p->message = xasprintf("%.*s", STR_ARG(message));
    client_event(s->client, &event_source, s->pods_def, item, STR(""), "Warning",
                 "FailedScheduling", "%.*s", STR_ARG(message));
    wall_format(now, loop_wall(loop_of(s)));
    buf_fmt(&b,
            "{\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
            "\"lastProbeTime\":null,\"lastTransitionTime\":\"%s\",\"reason\":\"Unschedulable\","
            "\"message\":",
            now);
    json_put_string(&b, message);
    buf_z(&b, "}]}}");
    client_patch(s->client, s->pods_def, str_z(p->ns), str_z(p->name), "status",
                 CLIENT_PATCH_STRATEGIC, buf_view(&b), told, s);
}

/* ---- placing one pod ---- */

static struct node_info *choose(struct sched *s, const struct candidate *c, struct tallies *t)
{
    struct node_info *best = NULL;
    int64_t best_score = -1;
    size_t n = s->snap.nodes.n;
    for (size_t i = 0; i < n; i++) {
        struct node_info *node = s->snap.nodes.v[(s->next_node + i) % n];
        struct reasons why;
        if (!filter(c, node, &why)) {
            add_reasons(c->arena, t, &why);
            continue;
        }
        int64_t points = score(c, node);
        if (points > best_score) {
            best = node;
            best_score = points;
        }
    }
    if (n)
        s->next_node = (s->next_node + 1) % n;
    return best;
}

static void bound(void *arg, int rc, struct item *item, const struct err *e)
{
    struct pending *p = arg;
    struct sched *s = p->s;
    s->bindings--;
    struct item *pod = cache_get(s->pods, str_z(p->ns), str_z(p->name));
    if (rc == 0) {
        if (pod)
            client_event(s->client, &event_source, s->pods_def, pod, STR(""), "Normal", "Scheduled",
                         "Successfully assigned %s/%s to %s", p->ns, p->name, p->node);
        pending_free(p);
    } else {
        (void)snapshot_remove(&s->snap, str_z(p->uid));
        if (rc != -ERR_NOT_FOUND && rc != -ERR_CONFLICT)
            log_warn("scheduler", "%s/%s: binding: %.*s", p->ns, p->name, STR_ARG(e->message));
        if (pod)
            back_off(p);
        else
            pending_free(p);
        wake_unschedulable(s);
    }
    kick(s);
}

static void bind(struct pending *p, const struct corev1_pod *pod, struct node_info *node)
{
    struct sched *s = p->s;
    struct corev1_binding b = {.kind = STR("Binding"), .api_version = STR("v1")};
    free(p->node);
    p->node = xstrdup(node->name);
    p->state = PENDING_BINDING;
    b.metadata.name = pod->metadata.name;
    b.metadata.namespace = pod->metadata.namespace;
    b.metadata.uid = pod->metadata.uid;
    b.target.kind = STR("Node");
    b.target.name = str_z(p->node);
    snapshot_place(&s->snap, pod, str_z(p->node), true);
    s->bindings++;
    client_post_sub(s->client, s->pods_def, str_z(p->ns), str_z(p->name), "binding",
                    &corev1_binding_desc, &b, bound, p);
}

static void try_pod(struct pending *p)
{
    struct sched *s = p->s;
    struct item *item = cache_get(s->pods, str_z(p->ns), str_z(p->name));
    if (!item) {
        pending_free(p);
        return;
    }
    struct arena a = ARENA_INIT;
    struct candidate c;
    struct tallies why = {0};
    const struct corev1_pod *pod = item_typed(item, &corev1_pod_desc);
    candidate_init(&c, &a, pod);
    struct node_info *node = choose(s, &c, &why);
    p->attempts++;
    if (node) {
        bind(p, pod, node);
    } else {
        p->state = PENDING_UNSCHEDULABLE;
        list_push_back(&s->unschedulable, &p->link);
        tell_unschedulable(p, item, &a, explain(&a, s->snap.nodes.n, &why));
    }
    arena_fini(&a);
}

static void run(struct task *t)
{
    struct sched *s = CONTAINER_OF(t, struct sched, run);
    if (!cache_synced(s->pods) || !cache_synced(s->nodes))
        return;
    for (int i = 0; i < ROUND_MAX && s->bindings < s->bindings_max; i++) {
        struct heap_node *top = heap_pop(&s->active);
        if (!top)
            break;
        try_pod(CONTAINER_OF(top, struct pending, order));
    }
    item_views_trim();
    if (s->active.n && s->bindings < s->bindings_max)
        kick(s);
}

/* ---- events ---- */

static bool is_over(const struct corev1_pod *pod)
{
    return str_eq(pod->status.phase, STR("Succeeded")) || str_eq(pod->status.phase, STR("Failed"));
}

static void forget(struct sched *s, struct str uid)
{
    struct pending *p = map_get(&s->pending, uid);
    if (p && p->state != PENDING_BINDING)
        pending_free(p);
}

static void want_node(struct sched *s, const struct corev1_pod *pod, bool changed)
{
    struct pending *p = map_get(&s->pending, pod->metadata.uid);
    if (!str_eq(pod->spec.scheduler_name, s->name) || pod->spec.scheduling_gates.n ||
        pod->metadata.deletion_timestamp) {
        forget(s, pod->metadata.uid);
        return;
    }
    if (p) {
        if (changed && p->state == PENDING_UNSCHEDULABLE)
            activate(p);
        return;
    }
    p = xcalloc(1, sizeof *p);
    p->s = s;
    p->ns = xasprintf("%.*s", STR_ARG(pod->metadata.namespace));
    p->name = xasprintf("%.*s", STR_ARG(pod->metadata.name));
    p->uid = xasprintf("%.*s", STR_ARG(pod->metadata.uid));
    p->priority = pod->spec.priority ? *pod->spec.priority : 0;
    map_put(&s->pending, pod->metadata.uid, p);
    activate(p);
}

static void pod_event(void *arg, struct item *old, struct item *now)
{
    struct sched *s = arg;
    const struct corev1_pod *pod = item_typed(now ? now : old, &corev1_pod_desc);
    if (!now || is_over(pod)) {
        forget(s, pod->metadata.uid);
        if (snapshot_remove(&s->snap, pod->metadata.uid))
            wake_unschedulable(s);
        return;
    }
    if (pod->spec.node_name.n) {
        struct placed_pod *placed = map_get(&s->snap.pods, pod->metadata.uid);
        forget(s, pod->metadata.uid);
        if (!placed || placed->assumed || !str_eqz(pod->spec.node_name, placed->node->name))
            snapshot_place(&s->snap, pod, pod->spec.node_name, false);
        return;
    }
    bool changed = false;
    if (old) {
        const struct corev1_pod *before = item_typed(old, &corev1_pod_desc);
        changed = !desc_equal(&corev1_pod_spec_desc, &before->spec, &pod->spec) ||
                  !str_map_equal(&before->metadata.labels, &pod->metadata.labels);
    }
    want_node(s, pod, changed);
}

static void node_event(void *arg, struct item *old, struct item *now)
{
    struct sched *s = arg;
    const struct corev1_node *node = item_typed(now ? now : old, &corev1_node_desc);
    if (snapshot_node(&s->snap, now, node->metadata.name))
        activate_unschedulable(s);
}

static void synced(void *arg)
{
    kick(arg);
}

struct sched *sched_new(const struct sched_config *c)
{
    struct sched *s = xcalloc(1, sizeof *s);
    s->client = c->client;
    s->arena = ARENA_INIT;
    s->name = arena_str(&s->arena, c->name);
    s->bindings_max = c->bindings_max ? c->bindings_max : BINDINGS_DEFAULT;
    s->pods_def = resource_find(STR(""), STR("v1"), STR("pods"));
    s->nodes_def = resource_find(STR(""), STR("v1"), STR("nodes"));
    list_init(&s->unschedulable);
    snapshot_init(&s->snap);
    s->nodes = client_cache(s->client, s->nodes_def, STR(""), STR(""));
    s->pods = client_cache(s->client, s->pods_def, STR(""), STR(""));
    s->nodes_handler = (struct cache_handler){node_event, synced, s};
    s->pods_handler = (struct cache_handler){pod_event, synced, s};
    cache_handle(s->nodes, &s->nodes_handler);
    cache_handle(s->pods, &s->pods_handler);
    return s;
}

void sched_free(struct sched *s)
{
    uint32_t it = 0;
    if (!s)
        return;
    cache_unhandle(&s->nodes_handler);
    cache_unhandle(&s->pods_handler);
    task_cancel(&s->run);
    for (struct map_entry *e; (e = map_next(&s->pending, &it));)
        pending_free(e->value);
    map_fini(&s->pending);
    heap_fini(&s->active);
    snapshot_fini(&s->snap);
    arena_fini(&s->arena);
    free(s);
}

bool sched_idle(const struct sched *s)
{
    return s->active.n == 0 && s->bindings == 0;
}
