/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods that nobody else would end: bound to a node that is no more, being deleted without ever
 * having had a node, on a node that is out of service, or long over and too many
 * (k8s.io/kubernetes/pkg/controller/podgc). Key: the pod; or no namespace and "terminated" for all
 * that are over.
 */
#include "base/map.h"
#include "controller/owner.h"
#include "controller/pods.h"

enum {
    TERMINATED_MAX = 12500,
    QUARANTINE_MS = 40 * 1000, /* a node may come back under its name */
    DELETIONS_MAX = 500,       /* of terminated pods in one run */
};

struct state {
    struct cache *pods, *nodes;
    struct cache_index *by_node, *terminated;
    struct map missing; /* node name -> struct absence */
};

struct absence {
    int64_t since_ms;
};

static void index_terminated(struct item *i, void (*add)(void *ctx, struct str key), void *ctx)
{
    if (pod_terminal(item_typed(i, &corev1_pod_desc)))
        add(ctx, STR("over"));
}

/* ---- waking ---- */

static void map_pod(struct controller *c, struct item *old, struct item *now)
{
    struct state *s = c->state;
    if (!now)
        return;
    const struct corev1_pod *p = item_typed(now, &corev1_pod_desc);
    bool nowhere = !p->spec.node_name.n ? p->metadata.deletion_timestamp != NULL
                                        : !cache_get(s->nodes, STR(""), p->spec.node_name);
    if (nowhere || p->metadata.deletion_timestamp)
        controller_enqueue_item(c, now);
    if (pod_terminal(p) && cache_index_count(s->terminated, STR("over")) > TERMINATED_MAX)
        controller_enqueue(c, STR(""), STR("terminated"));
}

static bool enqueue_pod(void *arg, struct item *pod)
{
    controller_enqueue_item(arg, pod);
    return true;
}

static void map_node(struct controller *c, struct item *old, struct item *now)
{
    struct state *s = c->state;
    struct str ns, name;
    item_names(now ? now : old, &ns, &name);
    if (now)
        free(map_remove(&s->missing, name));
    cache_index_each(s->by_node, name, enqueue_pod, c);
}

static void start(struct controller *c)
{
    struct state *s = xcalloc(1, sizeof *s);
    c->state = s;
    s->pods = controller_watch(c, "v1/pods", map_pod);
    s->nodes = controller_watch(c, "v1/nodes", map_node);
    s->by_node = pods_by_node(s->pods);
    s->terminated = cache_add_index(s->pods, "terminated", index_terminated);
}

static void stop(struct controller *c)
{
    struct state *s = c->state;
    uint32_t it = 0;
    for (struct map_entry *e; (e = map_next(&s->missing, &it));)
        free(e->value);
    map_fini(&s->missing);
    free(s);
}

/* ---- deleting ---- */

static void delete_now(struct reconcile *rc, const struct corev1_pod *p)
{
    struct client_delete how = {.uid = p->metadata.uid, .grace_s = 0};
    intend_delete(rc, resource_named("v1/pods"), p->metadata.namespace, p->metadata.name, &how);
}

static void end_pod(struct reconcile *rc, const struct corev1_pod *p, const char *message)
{
    if (!pod_terminal(p))
        intend_disruption(rc, p, "Failed", "DeletionByPodGC", message);
    delete_now(rc, p);
}

/* ---- pods of nodes that are no more ---- */

/* Milliseconds for which the node must go on missing. */
static int64_t quarantine(struct state *s, struct reconcile *rc, struct str node)
{
    int64_t now = loop_now_ms(client_loop(manager_client(rc->m)));
    struct absence *a = map_get(&s->missing, node);
    if (!a) {
        a = xcalloc(1, sizeof *a);
        a->since_ms = now;
        map_put(&s->missing, node, a);
    }
    return a->since_ms + QUARANTINE_MS - now;
}

static void node_answered(struct reconcile *rc, void *arg, int code, struct item *node,
                          const struct err *e)
{
    struct state *s = rc->c->state;
    struct item *pod = cache_get(s->pods, rc->ns, rc->name);
    const struct corev1_pod *p = pod ? item_typed(pod, &corev1_pod_desc) : NULL;
    if (code == -ERR_NOT_FOUND && p && p->spec.node_name.n &&
        !cache_get(s->nodes, STR(""), p->spec.node_name))
        end_pod(rc, p, "PodGC: node no longer exists");
}

static void check_orphan(struct reconcile *rc, struct state *s, const struct corev1_pod *p)
{
    int64_t left = quarantine(s, rc, p->spec.node_name);
    if (left > 0) {
        intend_requeue(rc, left);
        return;
    }
    intent_then(intend_get(rc, cache_resource(s->nodes), STR(""), p->spec.node_name), node_answered,
                NULL);
}

/* An administrator has said that nothing runs on the node any more. */
static bool out_of_service(const struct corev1_node *n)
{
    bool tainted = false, ready = false;
    LIST_EACH (t, &n->spec.taints)
        tainted |= str_eq(t->key, STR("node.kubernetes.io/out-of-service"));
    LIST_EACH (c, &n->status.conditions)
        ready |= str_eq(c->type, STR("Ready")) && str_eq(c->status, STR("True"));
    return tainted && !ready;
}

static void check_pod(struct reconcile *rc, struct state *s, const struct corev1_pod *p)
{
    bool deleted = p->metadata.deletion_timestamp != NULL;
    struct item *node = cache_get(s->nodes, STR(""), p->spec.node_name);
    if (!p->spec.node_name.n) {
        if (deleted)
            end_pod(rc, p, "PodGC: unscheduled and terminating");
    } else if (!node) {
        check_orphan(rc, s, p);
    } else if (deleted && out_of_service(item_typed(node, &corev1_node_desc))) {
        end_pod(rc, p, "PodGC: node is out of service");
    }
}

/* ---- too many that are over ---- */

struct over {
    struct arena *arena;
    struct items v;
};

static bool take_over(void *arg, struct item *i)
{
    struct over *o = arg;
    vec_push_arena(o->arena, &o->v, i);
    return true;
}

static int older_first(const void *va, const void *vb)
{
    const struct corev1_pod *a = item_typed(*(struct item *const *)va, &corev1_pod_desc);
    const struct corev1_pod *b = item_typed(*(struct item *const *)vb, &corev1_pod_desc);
    int diff = wall_cmp(a->metadata.creation_timestamp, b->metadata.creation_timestamp);
    return diff ? diff : str_cmp(a->metadata.name, b->metadata.name);
}

static void trim_terminated(struct reconcile *rc, struct state *s)
{
    struct over o = {.arena = rc->arena};
    cache_index_each(s->terminated, STR("over"), take_over, &o);
    if (o.v.n <= TERMINATED_MAX)
        return;
    size_t surplus = MIN(o.v.n - TERMINATED_MAX, (size_t)DELETIONS_MAX);
    qsort(o.v.v, o.v.n, sizeof *o.v.v, older_first);
    intend_batch_begin(rc);
    for (size_t i = 0; i < surplus; i++)
        delete_now(rc, item_typed(o.v.v[i], &corev1_pod_desc));
    intend_batch_end(rc);
    if (o.v.n - surplus > TERMINATED_MAX)
        intend_requeue(rc, 0);
}

static void reconcile(struct reconcile *rc)
{
    struct state *s = rc->c->state;
    if (!rc->ns.n) {
        trim_terminated(rc, s);
        return;
    }
    struct item *i = cache_get(s->pods, rc->ns, rc->name);
    if (i)
        check_pod(rc, s, item_typed(i, &corev1_pod_desc));
}

const struct controller_def controller_pod_gc = {.name = "pod-garbage-collector",
                                                 .component = "pod-garbage-collector",
                                                 .start = start,
                                                 .reconcile = reconcile,
                                                 .stop = stop};
