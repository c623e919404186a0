/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods leave nodes with NoExecute taints that they do not tolerate, or no longer: at once, or when
 * their toleration's seconds are over (k8s.io/kubernetes/pkg/controller/tainteviction). Key: the
 * pod.
 */
#include "base/map.h"
#include "controller/pods.h"
#include "controller/taints.h"

struct state {
    struct cache *pods, *nodes;
    struct cache_index *by_node;
    struct map waiting; /* pod "ns/name" -> struct wait */
};

/* A pod whose time runs. */
struct wait {
    int64_t since_ms;
    char uid[64];
};

static void map_pod(struct controller *c, struct item *old, struct item *now)
{
    struct state *s = c->state;
    struct str ns, name;
    struct arena scratch = ARENA_INIT;
    item_names(now ? now : old, &ns, &name);
    const struct corev1_pod *p = now ? item_typed(now, &corev1_pod_desc) : NULL;
    struct item *node = p ? cache_get(s->nodes, STR(""), p->spec.node_name) : NULL;
    bool tainted = node && taints_evict(item_typed(node, &corev1_node_desc));
    if (tainted ||
        map_has(&s->waiting, arena_fmt(&scratch, "%.*s/%.*s", STR_ARG(ns), STR_ARG(name))))
        controller_enqueue(c, ns, name);
    arena_fini(&scratch);
}

static bool enqueue_pod(void *arg, struct item *pod)
{
    controller_enqueue_item(arg, pod);
    return true;
}

static bool same_taints(const struct corev1_node *a, const struct corev1_node *b)
{
    if (a->spec.taints.n != b->spec.taints.n)
        return false;
    for (size_t i = 0; i < a->spec.taints.n; i++)
        if (!desc_equal(&corev1_taint_desc, &a->spec.taints.v[i], &b->spec.taints.v[i]))
            return false;
    return true;
}

static void map_node(struct controller *c, struct item *old, struct item *now)
{
    struct state *s = c->state;
    struct str ns, name;
    if (!now || (old && same_taints(item_typed(old, &corev1_node_desc),
                                    item_typed(now, &corev1_node_desc))))
        return;
    item_names(now, &ns, &name);
    cache_index_each(s->by_node, name, enqueue_pod, c);
}

static void start(struct controller *c)
{
    struct state *s = xcalloc(1, sizeof *s);
    c->state = s;
    s->pods = controller_watch(c, "v1/pods", map_pod);
    s->nodes = controller_watch(c, "v1/nodes", map_node);
    s->by_node = pods_by_node(s->pods);
}

static void stop(struct controller *c)
{
    struct state *s = c->state;
    uint32_t it = 0;
    for (struct map_entry *e; (e = map_next(&s->waiting, &it));)
        free(e->value);
    map_fini(&s->waiting);
    free(s);
}

static struct str key_of(struct reconcile *rc)
{
    return arena_fmt(rc->arena, "%.*s/%.*s", STR_ARG(rc->ns), STR_ARG(rc->name));
}

/* Since when the pod's time runs; now, when it did not. */
static int64_t wait_since(struct reconcile *rc, struct state *s, const struct corev1_pod *p)
{
    struct wait *w = map_get(&s->waiting, key_of(rc));
    if (w && str_eqz(p->metadata.uid, w->uid))
        return w->since_ms;
    free(w);
    w = xcalloc(1, sizeof *w);
    w->since_ms = loop_now_ms(client_loop(manager_client(rc->m)));
    snprintf(w->uid, sizeof w->uid, "%.*s", STR_ARG(p->metadata.uid));
    map_put(&s->waiting, key_of(rc), w);
    return w->since_ms;
}

static void forget(struct reconcile *rc, struct state *s, struct item *pod)
{
    struct wait *w = map_remove(&s->waiting, key_of(rc));
    if (w && pod)
        reconcile_event(rc, cache_resource(s->pods), pod, "Normal", "TaintManagerEviction",
                        "Cancelling deletion of Pod %.*s/%.*s", STR_ARG(rc->ns), STR_ARG(rc->name));
    free(w);
}

static void evict(struct reconcile *rc, struct state *s, struct item *pod)
{
    const struct corev1_pod *p = item_typed(pod, &corev1_pod_desc);
    struct client_delete how = {.uid = p->metadata.uid, .grace_s = -1};
    forget(rc, s, NULL);
    reconcile_event(rc, cache_resource(s->pods), pod, "Normal", "TaintManagerEviction",
                    "Marking for deletion Pod %.*s/%.*s", STR_ARG(rc->ns), STR_ARG(rc->name));
    intend_disruption(rc, p, NULL, "DeletionByTaintManager",
                      "Taint manager: deleting due to NoExecute taint");
    intend_delete(rc, cache_resource(s->pods), rc->ns, rc->name, &how);
}

static void reconcile(struct reconcile *rc)
{
    struct state *s = rc->c->state;
    struct item *pod = cache_get(s->pods, rc->ns, rc->name);
    const struct corev1_pod *p = pod ? item_typed(pod, &corev1_pod_desc) : NULL;
    if (!p || p->metadata.deletion_timestamp) {
        forget(rc, s, NULL);
        return;
    }
    struct item *node = cache_get(s->nodes, STR(""), p->spec.node_name);
    int64_t tolerated = node ? taints_tolerated_s(p, item_typed(node, &corev1_node_desc)) : -1;
    if (tolerated < 0) {
        forget(rc, s, pod);
        return;
    }
    int64_t now = loop_now_ms(client_loop(manager_client(rc->m)));
    int64_t left = tolerated == 0 ? 0 : wait_since(rc, s, p) + tolerated * 1000 - now;
    if (left > 0)
        intend_requeue(rc, left);
    else
        evict(rc, s, pod);
}

const struct controller_def controller_taint_eviction = {.name = "taint-eviction",
                                                         .component = "taint-eviction-controller",
                                                         .start = start,
                                                         .reconcile = reconcile,
                                                         .stop = stop};
