/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: whether they are heard of, and the taints that follow from their conditions
 * (k8s.io/kubernetes/pkg/controller/nodelifecycle). Key: the node.
 *
 * A node that neither renewed its lease nor posted its status for GRACE_MS gets conditions
 * Unknown. Taints that keep new pods away (NoSchedule) follow the conditions at once; those that
 * evict (NoExecute) come slowly, at a rate per zone, and not at all while no zone has a node that
 * is ready: then it is more likely we who are cut off.
 *
 * Time is taken by our own monotonic clock when something is heard, never from the node's stamps.
 */
#include "api/coordinationv1.h"
#include "base/map.h"
#include "controller/owner.h"
#include "controller/pods.h"
#include "controller/taints.h"

enum {
    GRACE_MS = 40 * 1000,
    STARTUP_GRACE_MS = 60 * 1000,  /* for a node that has never posted its status */
    EVICTION_MS = 10 * 1000,       /* between two nodes of a zone */
    EVICTION_SLOW_MS = 100 * 1000, /* when most nodes of a large zone are not ready */
    ZONE_LARGE = 50,
};

enum readiness { READY_NEVER, READY_TRUE, READY_FALSE, READY_UNKNOWN };

enum zone_state { ZONE_NORMAL, ZONE_PARTIAL /* most nodes are not ready */, ZONE_DOWN };

struct zone {
    char *name;
    size_t nodes, ready;
    enum zone_state state;
    int64_t next_eviction_ms; /* not before */
};

struct health {
    int64_t heard_ms;
    struct wall renewed, heartbeat;
    enum readiness ready;
    struct zone *zone;
};

struct state {
    struct cache *nodes, *leases, *pods;
    struct cache_index *pods_by_node;
    struct map health; /* node name -> struct health */
    struct map zones;  /* name -> struct zone */
    bool cut_off;      /* no zone has a ready node */
};

static int64_t now_ms(struct controller *c)
{
    return loop_now_ms(client_loop(manager_client(c->m)));
}

/* ---- conditions ---- */

static const struct corev1_node_condition *condition(const struct corev1_node *n, const char *type)
{
    LIST_EACH (c, &n->status.conditions)
        if (str_eqz(c->type, type))
            return c;
    return NULL;
}

static enum readiness readiness_of(const struct corev1_node *n)
{
    const struct corev1_node_condition *c = condition(n, "Ready");
    if (!c)
        return READY_NEVER;
    if (str_eq(c->status, STR("True")))
        return READY_TRUE;
    return str_eq(c->status, STR("False")) ? READY_FALSE : READY_UNKNOWN;
}

/* ---- zones ---- */

static struct zone *zone_of(struct state *s, const struct corev1_node *n)
{
    struct arena scratch = ARENA_INIT;
    const struct str_map *l = &n->metadata.labels;
    struct str region = str_map_get(l, STR("topology.kubernetes.io/region"));
    struct str name = arena_fmt(&scratch, "%.*s:%.*s", STR_ARG(region),
                                STR_ARG(str_map_get(l, STR("topology.kubernetes.io/zone"))));
    struct zone *z = map_get(&s->zones, name);
    if (!z) {
        z = xcalloc(1, sizeof *z);
        z->name = xasprintf("%.*s", STR_ARG(name));
        map_put(&s->zones, name, z);
    }
    arena_fini(&scratch);
    return z;
}

static enum zone_state state_of(const struct zone *z)
{
    size_t bad = z->nodes - z->ready;
    if (z->nodes && !z->ready)
        return ZONE_DOWN;
    return bad > 2 && bad * 100 >= z->nodes * 55 ? ZONE_PARTIAL : ZONE_NORMAL;
}

static bool enqueue_node(void *arg, struct item *i)
{
    controller_enqueue_item(arg, i);
    return true;
}

/* A node changed its zone or its state: what it means for all. After a time in which no zone had a
 * ready node, those not heard of get their time anew. */
static void check_zones(struct controller *c)
{
    struct state *s = c->state;
    bool cut_off = s->health.count > 0, changed = false;
    uint32_t it = 0;
    for (struct map_entry *e; (e = map_next(&s->zones, &it));) {
        struct zone *z = e->value;
        enum zone_state was = z->state;
        z->state = state_of(z);
        changed |= was != z->state;
        cut_off &= z->state == ZONE_DOWN;
    }
    it = 0;
    for (struct map_entry *e; s->cut_off && !cut_off && (e = map_next(&s->health, &it));)
        ((struct health *)e->value)->heard_ms = now_ms(c);
    if (changed || cut_off != s->cut_off)
        cache_each(s->nodes, STR(""), enqueue_node, c);
    s->cut_off = cut_off;
}

/* The node counts in its zone as it is now; n NULL: no more. */
static void count_in_zone(struct controller *c, struct health *h, const struct corev1_node *n)
{
    struct state *s = c->state;
    struct zone *old = h->zone;
    if (old) {
        old->nodes--;
        old->ready -= h->ready == READY_TRUE;
    }
    h->zone = n ? zone_of(s, n) : NULL;
    if (n) {
        h->ready = readiness_of(n);
        h->zone->nodes++;
        h->zone->ready += h->ready == READY_TRUE;
    }
    if (old && !old->nodes) {
        map_remove(&s->zones, str_z(old->name));
        free(old->name);
        free(old);
    }
    check_zones(c);
}

/* ---- hearing ---- */

static void node_gone(struct controller *c, struct str name)
{
    struct state *s = c->state;
    struct health *h = map_remove(&s->health, name);
    if (!h)
        return;
    count_in_zone(c, h, NULL);
    free(h);
}

static void note_known(struct controller *c, struct item *node, struct str name, bool known)
{
    struct state *s = c->state;
    struct event_source from = {.component = STR("node-controller")};
    client_event(manager_client(c->m), &from, cache_resource(s->nodes), node, STR(""), "Normal",
                 known ? "RegisteredNode" : "RemovingNode", "%s Node %.*s %s Controller",
                 known ? "Registered" : "Removing", STR_ARG(name), known ? "in" : "from");
}

static void map_node(struct controller *c, struct item *old, struct item *now)
{
    struct state *s = c->state;
    struct str ns, name;
    item_names(now ? now : old, &ns, &name);
    if (!now) {
        node_gone(c, name);
        note_known(c, old, name, false);
        return;
    }
    const struct corev1_node *n = item_typed(now, &corev1_node_desc);
    const struct corev1_node_condition *ready = condition(n, "Ready");
    struct health *h = map_get(&s->health, name);
    if (!h) {
        h = xcalloc(1, sizeof *h);
        h->heard_ms = now_ms(c);
        map_put(&s->health, name, h);
        note_known(c, now, name, true);
    }
    if (ready && wall_cmp(h->heartbeat, ready->last_heartbeat_time) != 0) {
        h->heartbeat = ready->last_heartbeat_time;
        h->heard_ms = now_ms(c);
    }
    count_in_zone(c, h, n);
    controller_enqueue(c, STR(""), name);
}

static void map_lease(struct controller *c, struct item *old, struct item *now)
{
    struct state *s = c->state;
    struct str ns, name;
    item_names(now ? now : old, &ns, &name);
    struct health *h = str_eq(ns, STR("kube-node-lease")) ? map_get(&s->health, name) : NULL;
    if (!h || !now)
        return;
    const struct coordinationv1_lease *l = item_typed(now, &coordinationv1_lease_desc);
    if (!l->spec.renew_time || wall_cmp(h->renewed, *l->spec.renew_time) == 0)
        return;
    h->renewed = *l->spec.renew_time;
    h->heard_ms = now_ms(c);
}

/* Pods that say they are ready on a node that is not. */
static void map_pod(struct controller *c, struct item *old, struct item *now)
{
    struct state *s = c->state;
    if (!now)
        return;
    const struct corev1_pod *p = item_typed(now, &corev1_pod_desc);
    const struct health *h = map_get(&s->health, p->spec.node_name);
    if (h && (h->ready == READY_FALSE || h->ready == READY_UNKNOWN) && pod_ready(p))
        controller_enqueue(c, STR(""), p->spec.node_name);
}

static void start(struct controller *c)
{
    struct state *s = xcalloc(1, sizeof *s);
    c->state = s;
    s->nodes = controller_watch(c, "v1/nodes", map_node);
    s->leases = controller_watch(c, "coordination.k8s.io/v1/leases", map_lease);
    s->pods = controller_watch(c, "v1/pods", map_pod);
    s->pods_by_node = pods_by_node(s->pods);
}

static void stop(struct controller *c)
{
    struct state *s = c->state;
    uint32_t it = 0;
    for (struct map_entry *e; (e = map_next(&s->health, &it));)
        free(e->value);
    it = 0;
    for (struct map_entry *e; (e = map_next(&s->zones, &it));) {
        struct zone *z = e->value;
        free(z->name);
        free(z);
    }
    map_fini(&s->health);
    map_fini(&s->zones);
    free(s);
}

/* ---- silence ---- */

static void set_unknown(struct reconcile *rc, struct corev1_node *n, const char *type)
{
    struct corev1_node_condition *c = (struct corev1_node_condition *)(uintptr_t)condition(n, type);
    if (!c) {
        c = list_add(rc->arena, &n->status.conditions);
        c->type = str_z(type);
        c->reason = STR("NodeStatusNeverUpdated");
        c->message = STR("Kubelet never posted node status.");
        c->last_heartbeat_time = n->metadata.creation_timestamp;
    } else if (str_eq(c->status, STR("Unknown"))) {
        return;
    } else {
        c->reason = STR("NodeStatusUnknown");
        c->message = STR("Kubelet stopped posting node status.");
    }
    c->status = STR("Unknown");
    c->last_transition_time = (struct wall){.s = rc->now.s};
}

/* Nothing was heard for too long. True: the status had to be written. */
static bool note_silence(struct reconcile *rc, struct state *s, const struct corev1_node *was,
                         const struct health *h)
{
    static const char *const types[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
    int64_t grace = h->ready == READY_NEVER ? STARTUP_GRACE_MS : GRACE_MS;
    int64_t left = h->heard_ms + grace - now_ms(rc->c);
    if (h->ready == READY_UNKNOWN)
        return false; /* its next word will be an event */
    if (left >= 0) {
        intend_requeue(rc, left + 1);
        return false;
    }
    struct corev1_node n = *was;
    desc_copy_into(&corev1_node_status_desc, rc->arena, &n.status, &was->status);
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        set_unknown(rc, &n, types[i]);
    intend_update(rc, cache_resource(s->nodes), &n, "status");
    return true;
}

/* ---- pods of a node that is not ready ---- */

struct marking {
    struct reconcile *rc;
    struct state *s;
};

static bool mark_pod(void *arg, struct item *i)
{
    struct marking *m = arg;
    struct reconcile *rc = m->rc;
    const struct corev1_pod *p = item_typed(i, &corev1_pod_desc);
    char now[WALL_TEXT_MAX];
    if (!pod_ready(p))
        return true;
    wall_format(now, (struct wall){.s = rc->now.s});
    reconcile_event(rc, cache_resource(m->s->pods), i, "Warning", "NodeNotReady",
                    "Node is not ready");
    intend_patch(rc, cache_resource(m->s->pods), p->metadata.namespace, p->metadata.name, "status",
                 CLIENT_PATCH_STRATEGIC,
                 arena_fmt(rc->arena,
                           "{\"metadata\":{\"uid\":\"%.*s\"},\"status\":{\"conditions\":[{\"type\":"
                           "\"Ready\",\"status\":\"False\",\"lastTransitionTime\":\"%s\"}]}}",
                           STR_ARG(p->metadata.uid), now));
    return true;
}

static void mark_pods(struct reconcile *rc, struct state *s)
{
    struct marking m = {rc, s};
    intend_batch_begin(rc);
    cache_index_each(s->pods_by_node, rc->name, mark_pod, &m);
    intend_batch_end(rc);
}

/* ---- taints ---- */

static const struct {
    const char *condition, *status, *taint;
} rules[] = {
    {"Ready", "False", TAINT_NOT_READY},
    {"Ready", "Unknown", TAINT_UNREACHABLE},
    {"MemoryPressure", "True", TAINT_MEMORY_PRESSURE},
    {"DiskPressure", "True", TAINT_DISK_PRESSURE},
    {"PIDPressure", "True", TAINT_PID_PRESSURE},
    {"NetworkUnavailable", "True", TAINT_NETWORK_UNAVAILABLE},
};

static struct corev1_taint *taint_find(struct corev1_node_spec *spec, const char *key,
                                       const char *effect)
{
    LIST_EACH (t, &spec->taints)
        if (str_eqz(t->key, key) && str_eqz(t->effect, effect))
            return t;
    return NULL;
}

/* Makes the taint be there, or not. Has anything changed? */
static bool taint_set(struct reconcile *rc, struct corev1_node_spec *spec, const char *key,
                      const char *effect, bool want)
{
    struct corev1_taint *t = taint_find(spec, key, effect);
    if (!t == !want)
        return false;
    if (want) {
        struct wall now = {.s = rc->now.s};
        t = list_add(rc->arena, &spec->taints);
        t->key = str_z(key);
        t->effect = str_z(effect);
        t->time_added = NEW_VALUE(rc->arena, struct wall, now);
        return true;
    }
    memmove(t, t + 1, (size_t)(spec->taints.v + spec->taints.n - t - 1) * sizeof *t);
    spec->taints.n--;
    return true;
}

static bool keep_away(struct reconcile *rc, struct corev1_node *n)
{
    bool changed =
        taint_set(rc, &n->spec, TAINT_UNSCHEDULABLE, "NoSchedule", n->spec.unschedulable);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        const struct corev1_node_condition *c = condition(n, rules[i].condition);
        bool want = c && str_eqz(c->status, rules[i].status);
        changed |= taint_set(rc, &n->spec, rules[i].taint, "NoSchedule", want);
    }
    return changed;
}

/* Takes the zone's next eviction, or has the key wait for it. */
static bool may_evict(struct reconcile *rc, struct zone *z)
{
    int64_t now = now_ms(rc->c);
    bool partial = z->state == ZONE_PARTIAL;
    if (partial && z->nodes <= ZONE_LARGE)
        return false; /* a change of the zone's state wakes the key */
    if (z->next_eviction_ms > now) {
        intend_requeue(rc, z->next_eviction_ms - now);
        return false;
    }
    z->next_eviction_ms = now + (partial ? EVICTION_SLOW_MS : EVICTION_MS);
    return true;
}

static bool evict(struct reconcile *rc, struct state *s, struct corev1_node *n, struct health *h)
{
    bool down = h->ready == READY_FALSE || h->ready == READY_UNKNOWN;
    bool has = taint_find(&n->spec, TAINT_NOT_READY, "NoExecute") ||
               taint_find(&n->spec, TAINT_UNREACHABLE, "NoExecute");
    if (down && !s->cut_off && !has && !may_evict(rc, h->zone))
        return false;
    bool not_ready = !s->cut_off && h->ready == READY_FALSE;
    bool unreachable = !s->cut_off && h->ready == READY_UNKNOWN;
    bool changed = taint_set(rc, &n->spec, TAINT_NOT_READY, "NoExecute", not_ready);
    return taint_set(rc, &n->spec, TAINT_UNREACHABLE, "NoExecute", unreachable) || changed;
}

static void write_taints(struct reconcile *rc, struct state *s, const struct corev1_node *n)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    buf_fmt(&b, "{\"metadata\":{\"resourceVersion\":\"%.*s\"},\"spec\":{\"taints\":[",
            STR_ARG(n->metadata.resource_version));
    LIST_EACH (t, &n->spec.taints) {
        buf_z(&b, t == n->spec.taints.v ? "" : ",");
        desc_encode_json(&corev1_taint_desc, t, &b);
    }
    buf_z(&b, "]}}");
    intend_patch(rc, cache_resource(s->nodes), STR(""), rc->name, NULL, CLIENT_PATCH_MERGE,
                 buf_view(&b));
}

static void sync_taints(struct reconcile *rc, struct state *s, const struct corev1_node *was,
                        struct health *h)
{
    struct corev1_node n = *was;
    desc_copy_into(&corev1_node_spec_desc, rc->arena, &n.spec, &was->spec);
    bool changed = keep_away(rc, &n);
    changed |= evict(rc, s, &n, h);
    if (changed)
        write_taints(rc, s, &n);
}

static void reconcile(struct reconcile *rc)
{
    struct state *s = rc->c->state;
    struct item *i = cache_get(s->nodes, STR(""), rc->name);
    struct health *h = map_get(&s->health, rc->name);
    if (!i || !h)
        return;
    const struct corev1_node *n = item_typed(i, &corev1_node_desc);
    if (note_silence(rc, s, n, h))
        return; /* the change wakes this key */
    if (h->ready == READY_FALSE || h->ready == READY_UNKNOWN)
        mark_pods(rc, s);
    sync_taints(rc, s, n, h);
}

const struct controller_def controller_node_lifecycle = {.name = "node-lifecycle",
                                                         .component = "node-controller",
                                                         .start = start,
                                                         .reconcile = reconcile,
                                                         .stop = stop};
