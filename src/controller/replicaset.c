/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ReplicaSets keep so many pods of one template (k8s.io/kubernetes/pkg/controller/replicaset).
 * Key: the ReplicaSet.
 *
 * Too few: pods are created in batches that double from one ("slow start"), so that what refuses
 * them (a quota, an admission webhook) refuses few. Too many: pods are deleted in upstream's order
 * of preference. The status counts pods as the cache has them.
 */
#include "api/appsv1.h"
#include "base/map.h"
#include "controller/owner.h"
#include "controller/pods.h"

enum { BURST_MAX = 500 }; /* creations or deletions in one run */

struct state {
    struct cache *sets, *pods;
    struct cache_index *pods_by_owner, *sets_by_owner;
    struct owners owners;
};

/* One run. Pointers are good until the reconcile returns. */
struct run {
    struct reconcile *rc;
    struct state *s;
    struct item *item;
    const struct appsv1_replica_set *rs;
    VEC(const struct corev1_pod *) active;
    int32_t terminating;
    int64_t wait_ms; /* until a pod becomes available */
};

static const struct metav1_label_selector *selector_of(const void *owner)
{
    return ((const struct appsv1_replica_set *)owner)->spec.selector;
}

static void map_pod(struct controller *c, struct item *old, struct item *now)
{
    struct state *s = c->state;
    wake_owner(c, &s->owners, old, now);
}

static void start(struct controller *c)
{
    struct state *s = xcalloc(1, sizeof *s);
    c->state = s;
    s->sets = controller_watch(c, "apps/v1/replicasets", map_self);
    s->pods = controller_watch(c, "v1/pods", map_pod);
    s->sets_by_owner = owner_index(s->sets);
    s->pods_by_owner = owner_index(s->pods);
    s->owners =
        (struct owners){s->sets, cache_add_index(s->sets, "namespace", cache_index_namespace),
                        "ReplicaSet", selector_of};
}

static int32_t replicas_of(const struct appsv1_replica_set *rs)
{
    return rs->spec.replicas ? *rs->spec.replicas : 1;
}

/* Pods that are the set's, from the cache. False: some must be adopted or released first, or there
 * is no such set. */
static bool run_load(struct run *r, struct reconcile *rc)
{
    struct state *s = rc->c->state;
    struct err e = ERR_INIT(rc->arena);
    struct items pods = {0};
    *r = (struct run){.rc = rc, .s = s, .wait_ms = -1};
    r->item = cache_get(s->sets, rc->ns, rc->name);
    if (!r->item)
        return false;
    r->rs = item_typed(r->item, &appsv1_replica_set_desc);
    struct claim claim = {.rc = rc,
                          .owner_res = cache_resource(s->sets),
                          .child_res = cache_resource(s->pods),
                          .owner = &r->rs->metadata,
                          .children = s->pods_by_owner};
    if (label_selector_from(rc->arena, r->rs->spec.selector, &claim.selector, &e) < 0 ||
        claim_children(&claim, &pods))
        return false;
    LIST_EACH (i, &pods) {
        const struct corev1_pod *p = item_typed(*i, &corev1_pod_desc);
        if (pod_active(p))
            vec_push_arena(rc->arena, &r->active, p);
        r->terminating += pod_terminating(p);
    }
    return true;
}

/* ---- status ---- */

static void set_failure(struct run *r, struct appsv1_replica_set_status *st, const struct err *e)
{
    struct appsv1_replica_set_condition *c = NULL;
    struct arena *a = r->rc->arena;
    size_t kept = 0;
    LIST_EACH (k, &st->conditions)
        if (str_eq(k->type, STR("ReplicaFailure")))
            c = k;
    if (e && c)
        return;
    if (e) {
        int32_t diff = (int32_t)r->active.n - replicas_of(r->rs);
        c = list_add(a, &st->conditions);
        *c = (struct appsv1_replica_set_condition){.type = STR("ReplicaFailure"),
                                                   .status = STR("True"),
                                                   .last_transition_time = {.s = r->rc->now.s},
                                                   .reason = diff < 0 ? STR("FailedCreate")
                                                                      : STR("FailedDelete"),
                                                   .message = e->message};
        return;
    }
    LIST_EACH (k, &st->conditions)
        if (!str_eq(k->type, STR("ReplicaFailure")))
            st->conditions.v[kept++] = *k;
    st->conditions.n = kept;
}

static bool labels_include(const struct str_map *labels, const struct str_map *part)
{
    LIST_EACH (l, part)
        if (!str_map_has(labels, l->key) || !str_eq(str_map_get(labels, l->key), l->value))
            return false;
    return true;
}

/* failure: why creating or deleting went wrong, or NULL. */
static void intend_status(struct run *r, const struct err *failure)
{
    struct arena *a = r->rc->arena;
    struct appsv1_replica_set rs = *r->rs;
    desc_copy_into(&appsv1_replica_set_status_desc, a, &rs.status, &r->rs->status);
    struct appsv1_replica_set_status *st = &rs.status;
    st->replicas = (int32_t)r->active.n;
    st->fully_labeled_replicas = st->ready_replicas = st->available_replicas = 0;
    LIST_EACH (p, &r->active) {
        st->fully_labeled_replicas +=
            labels_include(&(*p)->metadata.labels, &rs.spec.template.metadata.labels);
        st->ready_replicas += pod_ready(*p);
        st->available_replicas +=
            pod_available(*p, rs.spec.min_ready_seconds, r->rc->now, &r->wait_ms);
    }
    st->terminating_replicas = NEW_VALUE(a, int32_t, r->terminating);
    st->observed_generation = rs.metadata.generation;
    set_failure(r, st, failure);
    if (r->wait_ms >= 0)
        intend_requeue(r->rc, r->wait_ms);
    if (!desc_equal(&appsv1_replica_set_status_desc, st, &r->rs->status))
        intend_update(r->rc, cache_resource(r->s->sets), &rs, "status");
}

/* The first failure of a run goes into the status, which is then all the run still does. */
static void run_failed(struct reconcile *rc, const struct err *e)
{
    struct run r;
    if (rc->state)
        return;
    rc->state = rc;
    if (run_load(&r, rc))
        intend_status(&r, e);
}

/* ---- creating ---- */

static void created(struct reconcile *rc, void *arg, int code, struct item *pod,
                    const struct err *e)
{
    struct item *set = arg;
    struct state *s = rc->c->state;
    struct str ns, name;
    if (code == 0) {
        item_names(pod, &ns, &name);
        reconcile_event(rc, cache_resource(s->sets), set, "Normal", "SuccessfulCreate",
                        "Created pod: %.*s", STR_ARG(name));
        return;
    }
    if (err_has_cause(e, "NamespaceTerminating"))
        return;
    reconcile_event(rc, cache_resource(s->sets), set, "Warning", "FailedCreate",
                    "Error creating: %.*s", STR_ARG(e->message));
    run_failed(rc, e);
}

static void intend_pods(struct run *r, int32_t missing)
{
    struct reconcile *rc = r->rc;
    const struct corev1_pod *pod = pod_from_template(rc->arena, &r->rs->spec.template,
                                                     cache_resource(r->s->sets), &r->rs->metadata);
    struct str text = intent_text(rc, &corev1_pod_desc, pod);
    struct item *set = reconcile_hold(rc, r->item);
    for (int32_t batch = 1, left = MIN(missing, BURST_MAX); left > 0; batch *= 2) {
        intend_batch_begin(rc);
        for (int32_t i = 0; i < batch && left > 0; i++, left--)
            intent_then(intend_create_text(rc, cache_resource(r->s->pods), rc->ns, text), created,
                        set);
        intend_batch_end(rc);
    }
}

/* ---- deleting ---- */

struct deletion {
    struct item *set;
    struct str pod;
};

static void deleted(struct reconcile *rc, void *arg, int code, struct item *pod,
                    const struct err *e)
{
    struct deletion *d = arg;
    struct state *s = rc->c->state;
    if (code == 0) {
        reconcile_event(rc, cache_resource(s->sets), d->set, "Normal", "SuccessfulDelete",
                        "Deleted pod: %.*s", STR_ARG(d->pod));
    } else if (code != -ERR_NOT_FOUND) {
        reconcile_event(rc, cache_resource(s->sets), d->set, "Warning", "FailedDelete",
                        "Error deleting: %.*s", STR_ARG(e->message));
        run_failed(rc, e);
    }
}

struct colocation {
    struct run *r;
    struct map per_node; /* node name -> count + 1 as a pointer */
};

static bool count_pod(void *arg, struct item *i)
{
    struct colocation *c = arg;
    const struct corev1_pod *p = item_typed(i, &corev1_pod_desc);
    uintptr_t n = (uintptr_t)map_get(&c->per_node, p->spec.node_name);
    if (pod_active(p) && p->spec.node_name.n)
        map_put(&c->per_node, p->spec.node_name, (void *)(n + 1));
    return true;
}

static bool count_set(void *arg, struct item *set)
{
    struct colocation *c = arg;
    const struct appsv1_replica_set *rs = item_typed(set, &appsv1_replica_set_desc);
    cache_index_each(c->r->s->pods_by_owner, rs->metadata.uid, count_pod, c);
    return true;
}

/* How many pods of this set and its siblings (sets of the same Deployment) each node has. */
static void count_colocated(struct run *r, struct colocation *c)
{
    const struct metav1_owner_reference *o = controller_of(&r->rs->metadata);
    *c = (struct colocation){.r = r, .per_node = MAP_INIT};
    if (o)
        cache_index_each(r->s->sets_by_owner, o->uid, count_set, c);
    else
        (void)count_set(c, r->item);
}

static void intend_deletions(struct run *r, int32_t surplus)
{
    struct reconcile *rc = r->rc;
    size_t n = (size_t)MIN(surplus, BURST_MAX);
    struct pod_rank *ranks = arena_array(rc->arena, r->active.n, struct pod_rank);
    struct item *set = reconcile_hold(rc, r->item);
    struct colocation near;
    count_colocated(r, &near);
    for (size_t i = 0; i < r->active.n; i++) {
        ranks[i].pod = r->active.v[i];
        ranks[i].colocated =
            (int32_t)(uintptr_t)map_get(&near.per_node, ranks[i].pod->spec.node_name);
    }
    map_fini(&near.per_node);
    if (n < r->active.n)
        pods_rank(ranks, r->active.n, rc->now);
    intend_batch_begin(rc);
    for (size_t i = 0; i < n; i++) {
        const struct metav1_object_meta *m = &ranks[i].pod->metadata;
        struct deletion *d = arena_new(rc->arena, struct deletion);
        struct client_delete how = {.uid = m->uid, .grace_s = -1};
        *d = (struct deletion){set, arena_str(rc->arena, m->name)};
        intent_then(intend_delete(rc, cache_resource(r->s->pods), rc->ns, m->name, &how), deleted,
                    d);
    }
    intend_batch_end(rc);
}

static void reconcile(struct reconcile *rc)
{
    struct run r;
    if (!run_load(&r, rc))
        return;
    int32_t diff = (int32_t)r.active.n - replicas_of(r.rs);
    if (!r.rs->metadata.deletion_timestamp) {
        if (diff < 0)
            intend_pods(&r, -diff);
        else if (diff > 0)
            intend_deletions(&r, diff);
    }
    intend_status(&r, NULL);
}

static void stop(struct controller *c)
{
    free(c->state);
}

const struct controller_def controller_replicaset = {
    .name = "replicaset", .start = start, .reconcile = reconcile, .stop = stop};
