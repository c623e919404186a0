/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deployments: one ReplicaSet per version of the template, sized so that a change of version rolls
 * over them (k8s.io/kubernetes/pkg/controller/deployment). Key: the Deployment.
 *
 * This file: finding and making the sets, revisions, what a run does. rollout.c: sizes.
 * deployment_status.c: status and conditions.
 */
#include "controller/deployment.h"

#include "controller/pods.h"

enum { REVISION_HISTORY_MAX = 2000 }; /* characters of the annotation */

/* ---- waking ---- */

static const struct metav1_label_selector *selector_of(const void *owner)
{
    return ((const struct appsv1_deployment *)owner)->spec.selector;
}

static void map_set(struct controller *c, struct item *old, struct item *now)
{
    struct deployment_state *s = c->state;
    wake_owner(c, &s->owners, old, now);
}

/* Recreate waits until the last old pod has gone. */
static void map_pod(struct controller *c, struct item *old, struct item *now)
{
    struct deployment_state *s = c->state;
    struct arena scratch = ARENA_INIT;
    struct metav1_object_meta m;
    if (now && !pod_terminal(item_typed(now, &corev1_pod_desc)))
        return;
    item_meta(&scratch, now ? now : old, &m);
    const struct metav1_owner_reference *o = controller_of(&m);
    struct item *set = o ? cache_get(s->sets, m.namespace, o->name) : NULL;
    if (set)
        enqueue_controller(c, set, "Deployment");
    arena_fini(&scratch);
}

static void start(struct controller *c)
{
    struct deployment_state *s = xcalloc(1, sizeof *s);
    c->state = s;
    s->deployments = controller_watch(c, "apps/v1/deployments", map_self);
    s->sets = controller_watch(c, "apps/v1/replicasets", map_set);
    s->pods = controller_watch(c, "v1/pods", map_pod);
    s->sets_by_owner = owner_index(s->sets);
    s->pods_by_owner = owner_index(s->pods);
    s->owners = (struct owners){s->deployments,
                                cache_add_index(s->deployments, "namespace", cache_index_namespace),
                                "Deployment", selector_of};
}

static void stop(struct controller *c)
{
    free(c->state);
}

/* ---- the sets ---- */

/* The template without the label that tells sets apart. */
static struct corev1_pod_template_spec bare_template(struct arena *a,
                                                     const struct corev1_pod_template_spec *t)
{
    struct corev1_pod_template_spec bare = *t;
    bare.metadata.labels = (struct str_map){0};
    LIST_EACH (l, &t->metadata.labels)
        if (!str_eq(l->key, STR(HASH_LABEL)))
            str_map_set(a, &bare.metadata.labels, l->key, l->value);
    return bare;
}

static int set_cmp(const void *va, const void *vb)
{
    const struct replica_set *a = *(struct replica_set *const *)va;
    const struct replica_set *b = *(struct replica_set *const *)vb;
    int diff = wall_cmp(a->rs.metadata.creation_timestamp, b->rs.metadata.creation_timestamp);
    return diff ? diff : str_cmp(a->rs.metadata.name, b->rs.metadata.name);
}

static void load_sets(struct rollout *r, const struct items *items)
{
    struct arena *a = r->rc->arena;
    LIST_EACH (i, items) {
        const struct appsv1_replica_set *rs = item_typed(*i, &appsv1_replica_set_desc);
        struct replica_set *set = arena_new(a, struct replica_set);
        set->rs = *rs;
        desc_copy_into(&metav1_object_meta_desc, a, &set->rs.metadata, &rs->metadata);
        set->replicas = rs->spec.replicas ? *rs->spec.replicas : 1;
        vec_push_arena(a, &r->all, set);
    }
    if (r->all.n)
        qsort(r->all.v, r->all.n, sizeof *r->all.v, set_cmp);
    struct corev1_pod_template_spec want = bare_template(a, &r->d.spec.template);
    LIST_EACH (set, &r->all) {
        struct corev1_pod_template_spec have = bare_template(a, &(*set)->rs.spec.template);
        (*set)->at = (size_t)(set - r->all.v);
        if (!r->new_set && desc_equal(&corev1_pod_template_spec_desc, &have, &want))
            r->new_set = *set; /* the oldest of these, should there be several */
        else
            vec_push_arena(a, &r->old, *set);
    }
}

/* Percentages resolve together: rounding may not leave both at zero, or nothing could move. */
static void resolve_bounds(struct rollout *r)
{
    const struct appsv1_rolling_update_deployment *u = r->d.spec.strategy.rolling_update;
    r->rolling = str_eq(r->d.spec.strategy.type, STR("RollingUpdate"));
    if (!r->rolling)
        return;
    if (u && u->max_surge && !intstr_scaled(u->max_surge, r->replicas, true, &r->surge))
        r->surge = 0;
    if (u && u->max_unavailable &&
        !intstr_scaled(u->max_unavailable, r->replicas, false, &r->unavailable))
        r->unavailable = 0;
    if (r->surge == 0 && r->unavailable == 0)
        r->unavailable = 1;
    r->unavailable = MIN(r->unavailable, r->replicas);
}

static bool load(struct rollout *r, struct reconcile *rc)
{
    struct deployment_state *s = rc->c->state;
    struct err e = ERR_INIT(rc->arena);
    struct items sets = {0};
    *r = (struct rollout){.rc = rc, .s = s};
    r->item = cache_get(s->deployments, rc->ns, rc->name);
    if (!r->item)
        return false;
    r->was = item_typed(r->item, &appsv1_deployment_desc);
    r->d = *r->was;
    desc_copy_into(&metav1_object_meta_desc, rc->arena, &r->d.metadata, &r->was->metadata);
    desc_copy_into(&appsv1_deployment_status_desc, rc->arena, &r->d.status, &r->was->status);
    r->replicas = r->d.spec.replicas ? *r->d.spec.replicas : 1;
    resolve_bounds(r);
    struct claim claim = {.rc = rc,
                          .owner_res = cache_resource(s->deployments),
                          .child_res = cache_resource(s->sets),
                          .owner = &r->was->metadata,
                          .children = s->sets_by_owner};
    if (label_selector_from(rc->arena, r->was->spec.selector, &claim.selector, &e) < 0 ||
        claim_children(&claim, &sets))
        return false;
    load_sets(r, &sets);
    return true;
}

/* ---- revisions and annotations ---- */

static int64_t revision_of(const struct replica_set *set)
{
    int64_t n;
    return str_to_i64(str_map_get(&set->rs.metadata.annotations, STR(REVISION)), &n) ? n : 0;
}

static int64_t next_revision(const struct rollout *r)
{
    int64_t most = 0;
    LIST_EACH (set, &r->old)
        most = MAX(most, revision_of(*set));
    return most + 1;
}

static bool stays_with_deployment(struct str key)
{
    static const char *const keys[] = {"kubectl.kubernetes.io/last-applied-configuration",
                                       REVISION,
                                       REVISION_HISTORY,
                                       DESIRED_REPLICAS,
                                       MAX_REPLICAS,
                                       "deprecated.deployment.rollback.to"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (str_eqz(key, keys[i]))
            return true;
    return false;
}

/* The revision that a set had before it became the newest again, behind the earlier ones. */
static struct str longer_history(struct arena *a, struct str history, struct str revision)
{
    if (!history.n)
        return revision;
    while (history.n && history.n + 1 + revision.n > REVISION_HISTORY_MAX) {
        struct str first, rest;
        (void)str_cut(history, ',', &first, &rest);
        history = rest;
    }
    return arena_fmt(a, "%.*s%s%.*s", STR_ARG(history), history.n ? "," : "", STR_ARG(revision));
}

/* The deployment's annotations and the newest revision on the new set. Has anything changed? */
static bool annotate(struct rollout *r, struct replica_set *set)
{
    struct arena *a = r->rc->arena;
    struct str_map *notes = &set->rs.metadata.annotations;
    bool changed = false;
    LIST_EACH (n, &r->d.metadata.annotations) {
        if (stays_with_deployment(n->key) ||
            (str_map_has(notes, n->key) && str_eq(str_map_get(notes, n->key), n->value)))
            continue;
        str_map_set(a, notes, n->key, n->value);
        changed = true;
    }
    int64_t next = next_revision(r);
    if (revision_of(set) >= next)
        return changed;
    struct str before = str_map_get(notes, STR(REVISION));
    if (before.n)
        str_map_set(a, notes, STR(REVISION_HISTORY),
                    longer_history(a, str_map_get(notes, STR(REVISION_HISTORY)), before));
    str_map_set(a, notes, STR(REVISION), arena_fmt(a, "%lld", (long long)next));
    return true;
}

/* Brings the new set's annotations and the deployment's revision up to date. True: the set had to
 * be written, and this run is over. */
static bool sync_revision(struct rollout *r)
{
    struct replica_set *set = r->new_set;
    if (!set)
        return false;
    bool changed = annotate(r, set);
    if (changed || set->rs.spec.min_ready_seconds != r->d.spec.min_ready_seconds) {
        set->rs.spec.min_ready_seconds = r->d.spec.min_ready_seconds;
        intend_update(r->rc, cache_resource(r->s->sets), &set->rs, NULL);
        return true;
    }
    str_map_set(r->rc->arena, &r->d.metadata.annotations, STR(REVISION),
                str_map_get(&set->rs.metadata.annotations, STR(REVISION)));
    if (has_progress_deadline(&r->d) && !deployment_condition(&r->d.status, "Progressing"))
        set_condition(r, "Progressing", "True", "FoundNewReplicaSet",
                      arena_fmt(r->rc->arena, "Found new replica set \"%.*s\"",
                                STR_ARG(set->rs.metadata.name)));
    return false;
}

/* ---- a new set ---- */

/* FNV-1a of the template (and of how many collisions there were), in letters that make no words. */
static struct str template_hash(struct rollout *r)
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    char text[16];
    uint32_t h = 2166136261u;
    desc_encode_json(&corev1_pod_template_spec_desc, &r->d.spec.template, &b);
    if (r->d.status.collision_count)
        buf_fmt(&b, "#%d", *r->d.status.collision_count);
    for (size_t i = 0; i < b.n; i++)
        h = (h ^ (uint8_t)b.p[i]) * 16777619u;
    int n = snprintf(text, sizeof text, "%u", h);
    for (int i = 0; i < n; i++)
        text[i] = letters[(uint8_t)text[i] % (sizeof letters - 1)];
    return arena_str(r->rc->arena, str_n(text, (size_t)n));
}

/* What the answer to the creation needs. */
struct creation {
    struct str name, revision;
    int32_t size;
};

static void created(struct reconcile *rc, struct rollout *r, const struct creation *cr)
{
    if (cr->size > 0)
        reconcile_event(rc, cache_resource(r->s->deployments), r->item, "Normal",
                        "ScalingReplicaSet", "Scaled up replica set %.*s from 0 to %d",
                        STR_ARG(cr->name), cr->size);
    str_map_set(rc->arena, &r->d.metadata.annotations, STR(REVISION), cr->revision);
    if (has_progress_deadline(&r->d))
        set_condition(r, "Progressing", "True", "NewReplicaSetCreated",
                      arena_fmt(rc->arena, "Created new replica set \"%.*s\"", STR_ARG(cr->name)));
    sync_status(r);
}

/* A set of that name is there, but it is not ours or not of this template: the name is taken. */
static void collided(struct reconcile *rc, struct rollout *r)
{
    int32_t before = r->d.status.collision_count ? *r->d.status.collision_count : 0;
    r->d.status.collision_count = NEW_VALUE(rc->arena, int32_t, before + 1);
    write_status(r);
}

static void set_answered(struct reconcile *rc, void *arg, int code, struct item *item,
                         const struct err *e)
{
    const struct creation *cr = arg;
    struct rollout r;
    if ((code < 0 && err_has_cause(e, "NamespaceTerminating")) || !load(&r, rc))
        return;
    if (code == 0) {
        created(rc, &r, cr);
        return;
    }
    if (code == -ERR_ALREADY_EXISTS) {
        bool seen = cache_get(r.s->sets, rc->ns, cr->name) != NULL;
        if (seen && !(r.new_set && str_eq(r.new_set->rs.metadata.name, cr->name)))
            collided(rc, &r);
        return; /* otherwise the cache is late: the next run finds it */
    }
    struct str message = arena_fmt(rc->arena, "Failed to create new replica set \"%.*s\": %.*s",
                                   STR_ARG(cr->name), STR_ARG(e->message));
    reconcile_event(rc, cache_resource(r.s->deployments), r.item, "Warning",
                    "ReplicaSetCreateError", "%.*s", STR_ARG(message));
    if (has_progress_deadline(&r.d)) {
        set_condition(&r, "Progressing", "False", "ReplicaSetCreateError", message);
        write_status(&r);
    }
}

static struct metav1_label_selector *
hashed_selector(struct arena *a, const struct metav1_label_selector *s, struct str hash)
{
    struct metav1_label_selector *copy = desc_copy(&metav1_label_selector_desc, a, s);
    str_map_set(a, &copy->match_labels, STR(HASH_LABEL), hash);
    return copy;
}

void create_new_set(struct rollout *r)
{
    struct reconcile *rc = r->rc;
    struct arena *a = rc->arena;
    struct str hash = template_hash(r);
    struct replica_set set = {0};
    struct appsv1_replica_set *rs = &set.rs;
    rs->kind = STR("ReplicaSet");
    rs->api_version = STR("apps/v1");
    rs->metadata.name = arena_fmt(a, "%.*s-%.*s", STR_ARG(rc->name), STR_ARG(hash));
    rs->metadata.namespace = rc->ns;
    owner_add(a, &rs->metadata, cache_resource(r->s->deployments), &r->d.metadata);
    rs->spec.template = bare_template(a, &r->d.spec.template);
    str_map_set(a, &rs->spec.template.metadata.labels, STR(HASH_LABEL), hash);
    rs->metadata.labels = rs->spec.template.metadata.labels;
    rs->spec.selector = hashed_selector(a, r->d.spec.selector, hash);
    rs->spec.min_ready_seconds = r->d.spec.min_ready_seconds;
    (void)annotate(r, &set);
    struct str_map *notes = &rs->metadata.annotations;
    str_map_set(a, notes, STR(DESIRED_REPLICAS), arena_fmt(a, "%d", r->replicas));
    str_map_set(a, notes, STR(MAX_REPLICAS), arena_fmt(a, "%d", r->replicas + r->surge));
    struct creation *cr = arena_new(a, struct creation);
    *cr = (struct creation){.name = rs->metadata.name,
                            .revision = arena_str(a, str_map_get(notes, STR(REVISION))),
                            .size = new_set_size(r, 0)};
    rs->spec.replicas = &cr->size;
    intent_then(intend_create(rc, cache_resource(r->s->sets), rc->ns, rs), set_answered, cr);
}

/* ---- a run ---- */

/* Pausing and resuming show in the Progressing condition, so that a pause does not count as lack
 * of progress. */
static void note_pause(struct rollout *r)
{
    const struct appsv1_deployment_condition *c = deployment_condition(&r->d.status, "Progressing");
    bool noted = c && str_eq(c->reason, STR("DeploymentPaused"));
    if (!has_progress_deadline(&r->d) || (c && str_eq(c->reason, STR("ProgressDeadlineExceeded"))))
        return;
    if (r->d.spec.paused && !noted)
        set_condition(r, "Progressing", "Unknown", "DeploymentPaused", STR("Deployment is paused"));
    else if (!r->d.spec.paused && noted)
        set_condition(r, "Progressing", "Unknown", "DeploymentResumed",
                      STR("Deployment is resumed"));
}

static bool selects_all(const struct metav1_label_selector *s)
{
    return s && s->match_labels.n == 0 && s->match_expressions.n == 0;
}

static void reconcile(struct reconcile *rc)
{
    struct rollout r;
    if (!load(&r, rc))
        return;
    if (selects_all(r.d.spec.selector)) {
        reconcile_event(rc, cache_resource(r.s->deployments), r.item, "Warning", "SelectingAll",
                        "This deployment is selecting all pods. A non-empty selector is required.");
        r.d.status.observed_generation = r.d.metadata.generation;
        write_status(&r);
        return;
    }
    if (!r.d.metadata.deletion_timestamp)
        note_pause(&r);
    if (sync_revision(&r))
        return;
    if (r.d.metadata.deletion_timestamp) {
        sync_status(&r);
    } else if (r.d.spec.paused || is_scaling(&r)) {
        scale_sets(&r);
        if (r.d.spec.paused)
            clean_history(&r);
        sync_status(&r);
    } else if (r.rolling) {
        roll_rolling(&r);
    } else {
        roll_recreate(&r);
    }
}

const struct controller_def controller_deployment = {
    .name = "deployment", .start = start, .reconcile = reconcile, .stop = stop};
