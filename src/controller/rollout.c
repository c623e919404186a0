/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes of a deployment's ReplicaSets: rolling, recreating, scaling in proportion, history. */
#include "controller/deployment.h"
#include "controller/pods.h"

/* ---- counting ---- */

int32_t sets_replicas(const struct replica_sets *sets)
{
    int32_t sum = 0;
    LIST_EACH (s, sets)
        sum += (*s)->replicas;
    return sum;
}

int32_t sets_actual(const struct replica_sets *sets)
{
    int32_t sum = 0;
    LIST_EACH (s, sets)
        sum += (*s)->rs.status.replicas;
    return sum;
}

int32_t sets_available(const struct replica_sets *sets)
{
    int32_t sum = 0;
    LIST_EACH (s, sets)
        sum += (*s)->rs.status.available_replicas;
    return sum;
}

void sets_active(struct arena *a, const struct replica_sets *from, struct replica_sets *ret)
{
    *ret = (struct replica_sets){0};
    LIST_EACH (s, from)
        if ((*s)->replicas > 0)
            vec_push_arena(a, ret, *s);
}

static bool annotation_number(const struct replica_set *s, const char *key, int32_t *ret)
{
    return str_to_i32(str_map_get(&s->rs.metadata.annotations, str_z(key)), ret);
}

/* ---- resizing one set ---- */

struct resizing {
    struct item *deployment;
    struct str set;
    int32_t from, to;
};

static void resized(struct reconcile *rc, void *arg, int code, struct item *item,
                    const struct err *e)
{
    const struct resizing *z = arg;
    struct deployment_state *s = rc->c->state;
    if (code == 0 && z->from != z->to)
        reconcile_event(rc, cache_resource(s->deployments), z->deployment, "Normal",
                        "ScalingReplicaSet", "Scaled %s replica set %.*s from %d to %d",
                        z->to > z->from ? "up" : "down", STR_ARG(z->set), z->from, z->to);
}

static bool note_number(struct arena *a, struct replica_set *s, const char *key, int32_t n)
{
    int32_t have;
    if (annotation_number(s, key, &have) && have == n)
        return false;
    str_map_set(a, &s->rs.metadata.annotations, str_z(key), arena_fmt(a, "%d", n));
    return true;
}

/* Gives the set a size, and notes on it what the deployment wants. Is the size another one? */
static bool resize(struct rollout *r, struct replica_set *s, int32_t to)
{
    struct arena *a = r->rc->arena;
    int32_t from = s->replicas;
    bool noted = note_number(a, s, DESIRED_REPLICAS, r->replicas);
    noted |= note_number(a, s, MAX_REPLICAS, r->replicas + r->surge);
    if (from == to && !noted)
        return false;
    struct resizing *z = arena_new(a, struct resizing);
    *z = (struct resizing){reconcile_hold(r->rc, r->item), arena_str(a, s->rs.metadata.name), from,
                           to};
    s->replicas = to;
    s->rs.spec.replicas = &s->replicas;
    intent_then(intend_update(r->rc, cache_resource(r->s->sets), &s->rs, NULL), resized, z);
    return from != to;
}

/* The same, but leaves a set of the right size alone. */
static bool resize_if_needed(struct rollout *r, struct replica_set *s, int32_t to)
{
    return s->replicas != to && resize(r, s, to);
}

int32_t new_set_size(const struct rollout *r, int32_t present)
{
    if (!r->rolling)
        return r->replicas;
    int32_t room = r->replicas + r->surge - sets_replicas(&r->all);
    if (room <= 0)
        return present;
    return present + MIN(room, r->replicas - present);
}

/* ---- rolling ---- */

static bool grow_new(struct rollout *r)
{
    struct replica_set *s = r->new_set;
    if (s->replicas == r->replicas)
        return false;
    int32_t to = s->replicas > r->replicas ? r->replicas : new_set_size(r, s->replicas);
    return resize_if_needed(r, s, to);
}

/* Replicas of old sets that are not available anyway go first: they hold nothing up. */
static int32_t drop_unhealthy(struct rollout *r, const struct replica_sets *old, int32_t most)
{
    int32_t dropped = 0;
    LIST_EACH (p, old) {
        struct replica_set *s = *p;
        int32_t n = MIN(most - dropped, s->replicas - s->rs.status.available_replicas);
        if (n <= 0)
            continue;
        (void)resize_if_needed(r, s, s->replicas - n);
        dropped += n;
    }
    return dropped;
}

static int32_t drop_surplus(struct rollout *r, const struct replica_sets *old)
{
    int32_t surplus = sets_available(&r->all) - (r->replicas - r->unavailable), dropped = 0;
    LIST_EACH (p, old) {
        struct replica_set *s = *p;
        int32_t n = MIN(s->replicas, surplus - dropped);
        if (n <= 0)
            continue;
        (void)resize_if_needed(r, s, s->replicas - n);
        dropped += n;
    }
    return dropped;
}

/* Replicas of the new set that are not available yet count as unavailable: a new version that never
 * comes up takes no old replica with it. */
static bool shrink_old(struct rollout *r)
{
    struct replica_sets old;
    sets_active(r->rc->arena, &r->old, &old);
    if (!old.n)
        return false;
    int32_t waiting = r->new_set->replicas - r->new_set->rs.status.available_replicas;
    int32_t most = sets_replicas(&r->all) - (r->replicas - r->unavailable) - waiting;
    if (most <= 0)
        return false;
    int32_t dropped = drop_unhealthy(r, &old, most);
    return dropped + drop_surplus(r, &old) > 0;
}

void roll_rolling(struct rollout *r)
{
    if (!r->new_set) {
        create_new_set(r);
        return;
    }
    if (!grow_new(r) && !shrink_old(r) && is_complete(r, &r->d.status))
        clean_history(r);
    sync_rollout_status(r);
}

/* ---- recreating ---- */

static bool find_running(void *arg, struct item *i)
{
    bool *running = arg;
    *running |= !pod_terminal(item_typed(i, &corev1_pod_desc));
    return !*running;
}

static bool old_pods_running(struct rollout *r)
{
    bool running = sets_actual(&r->old) > 0;
    LIST_EACH (s, &r->old)
        cache_index_each(r->s->pods_by_owner, (*s)->rs.metadata.uid, find_running, &running);
    return running;
}

void roll_recreate(struct rollout *r)
{
    bool shrunk = false;
    LIST_EACH (s, &r->old)
        shrunk |= resize_if_needed(r, *s, 0);
    if (shrunk || old_pods_running(r)) {
        sync_rollout_status(r);
        return;
    }
    if (!r->new_set) {
        create_new_set(r);
        return;
    }
    (void)resize_if_needed(r, r->new_set, r->replicas);
    if (is_complete(r, &r->d.status))
        clean_history(r);
    sync_rollout_status(r);
}

/* ---- scaling ---- */

bool is_scaling(const struct rollout *r)
{
    if (!r->rolling)
        return false; /* recreating sizes all sets by itself */
    LIST_EACH (s, &r->all) {
        int32_t desired;
        if ((*s)->replicas > 0 && annotation_number(*s, DESIRED_REPLICAS, &desired) &&
            desired != r->replicas)
            return true;
    }
    return false;
}

/* The only set with replicas; the newest when none has any; NULL when several have. */
static struct replica_set *single_set(struct rollout *r, const struct replica_sets *active)
{
    if (active->n == 1)
        return active->v[0];
    if (active->n)
        return NULL;
    if (r->new_set)
        return r->new_set;
    return r->old.n ? r->old.v[r->old.n - 1] : NULL;
}

static bool is_saturated(const struct rollout *r)
{
    const struct replica_set *s = r->new_set;
    int32_t desired;
    return s && annotation_number(s, DESIRED_REPLICAS, &desired) && s->replicas == r->replicas &&
           desired == r->replicas && s->rs.status.available_replicas == r->replicas;
}

/* Larger sets first; equal ones newest first when growing, oldest first when shrinking. */
static int grow_cmp(const void *va, const void *vb)
{
    const struct replica_set *a = *(struct replica_set *const *)va;
    const struct replica_set *b = *(struct replica_set *const *)vb;
    if (a->replicas != b->replicas)
        return a->replicas > b->replicas ? -1 : 1;
    return a->at > b->at ? -1 : a->at < b->at;
}

static int shrink_cmp(const void *va, const void *vb)
{
    const struct replica_set *a = *(struct replica_set *const *)va;
    const struct replica_set *b = *(struct replica_set *const *)vb;
    if (a->replicas != b->replicas)
        return a->replicas > b->replicas ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

static int32_t round_div(int64_t a, int64_t b)
{
    return (int32_t)((2 * a + b) / (2 * b)); /* both positive */
}

/* What this set's share of the change is, had it its way. */
static int32_t fraction(const struct rollout *r, const struct replica_set *s)
{
    int32_t largest;
    if (r->replicas == 0)
        return -s->replicas;
    if (!annotation_number(s, MAX_REPLICAS, &largest) || largest <= 0)
        largest = r->d.status.replicas;
    if (largest <= 0)
        return 0;
    return round_div((int64_t)s->replicas * (r->replicas + r->surge), largest) - s->replicas;
}

static void scale_in_proportion(struct rollout *r, const struct replica_sets *active)
{
    int32_t allowed = r->replicas > 0 ? r->replicas + r->surge : 0;
    int32_t change = allowed - sets_replicas(active), spread = 0;
    int32_t *sizes = arena_array(r->rc->arena, active->n, int32_t);
    if (change)
        qsort(active->v, active->n, sizeof *active->v, change > 0 ? grow_cmp : shrink_cmp);
    for (size_t i = 0; i < active->n; i++) {
        int32_t share = fraction(r, active->v[i]), left = change - spread;
        share = change > 0 ? MIN(share, left) : MAX(share, left);
        if (!change || !left)
            share = 0;
        sizes[i] = active->v[i]->replicas + share;
        spread += share;
    }
    if (active->n && change)
        sizes[0] = MAX(sizes[0] + change - spread, 0); /* what rounding left over */
    for (size_t i = 0; i < active->n; i++)
        (void)resize(r, active->v[i], sizes[i]);
}

void scale_sets(struct rollout *r)
{
    struct replica_sets active;
    sets_active(r->rc->arena, &r->all, &active);
    struct replica_set *single = single_set(r, &active);
    if (single) {
        (void)resize(r, single, r->replicas);
        return;
    }
    if (is_saturated(r)) {
        LIST_EACH (s, &r->old)
            (void)resize_if_needed(r, *s, 0);
        return;
    }
    if (r->rolling)
        scale_in_proportion(r, &active);
}

/* ---- history ---- */

void clean_history(struct rollout *r)
{
    const int32_t *limit = r->d.spec.revision_history_limit;
    struct replica_sets kept = {0};
    if (!limit || *limit == INT32_MAX)
        return;
    LIST_EACH (s, &r->old)
        if (!(*s)->rs.metadata.deletion_timestamp)
            vec_push_arena(r->rc->arena, &kept, *s);
    for (size_t i = 0; i < kept.n && (int64_t)(kept.n - i) > *limit; i++) {
        const struct appsv1_replica_set *rs = &kept.v[i]->rs;
        struct client_delete how = {.uid = rs->metadata.uid, .grace_s = -1};
        if (rs->status.replicas == 0 && kept.v[i]->replicas == 0 &&
            rs->metadata.generation <= rs->status.observed_generation)
            intend_delete(r->rc, cache_resource(r->s->sets), r->rc->ns, rs->metadata.name, &how);
    }
}
