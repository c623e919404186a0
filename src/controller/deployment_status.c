/* SPDX-License-Identifier: Apache-2.0 */
/* A deployment's status: counts, availability, progress and its deadline, failures of its sets. */
#include "controller/deployment.h"

const struct appsv1_deployment_condition *
deployment_condition(const struct appsv1_deployment_status *st, const char *type)
{
    LIST_EACH (c, &st->conditions)
        if (str_eqz(c->type, type))
            return c;
    return NULL;
}

bool has_progress_deadline(const struct appsv1_deployment *d)
{
    return d->spec.progress_deadline_seconds && *d->spec.progress_deadline_seconds != INT32_MAX;
}

static void drop_condition(struct appsv1_deployment_status *st, const char *type)
{
    size_t kept = 0;
    LIST_EACH (c, &st->conditions)
        if (!str_eqz(c->type, type))
            st->conditions.v[kept++] = *c;
    st->conditions.n = kept;
}

static void put_condition(struct rollout *r, struct appsv1_deployment_condition c)
{
    struct appsv1_deployment_status *st = &r->d.status;
    const struct appsv1_deployment_condition *now = deployment_condition(st, c.type.p);
    if (now && str_eq(now->status, c.status))
        c.last_transition_time = now->last_transition_time;
    drop_condition(st, c.type.p);
    *(list_add(r->rc->arena, &st->conditions)) = c;
}

static bool says(const struct appsv1_deployment_condition *c, const char *status,
                 const char *reason)
{
    return c && str_eqz(c->status, status) && str_eqz(c->reason, reason);
}

static struct appsv1_deployment_condition condition_of(struct rollout *r, const char *type,
                                                       const char *status, const char *reason,
                                                       struct str message)
{
    struct wall now = {.s = r->rc->now.s};
    return (struct appsv1_deployment_condition){.type = str_z(type),
                                                .status = str_z(status),
                                                .last_update_time = now,
                                                .last_transition_time = now,
                                                .reason = str_z(reason),
                                                .message = message};
}

void set_condition(struct rollout *r, const char *type, const char *status, const char *reason,
                   struct str message)
{
    if (!says(deployment_condition(&r->d.status, type), status, reason))
        put_condition(r, condition_of(r, type, status, reason, message));
}

/* ---- counts and availability ---- */

static void count(struct rollout *r)
{
    struct appsv1_deployment_status *st = &r->d.status;
    int32_t terminating = 0;
    bool told = true;
    st->observed_generation = r->d.metadata.generation;
    st->replicas = sets_actual(&r->all);
    st->updated_replicas = r->new_set ? r->new_set->rs.status.replicas : 0;
    st->available_replicas = sets_available(&r->all);
    st->unavailable_replicas = MAX(sets_replicas(&r->all) - st->available_replicas, 0);
    st->ready_replicas = 0;
    LIST_EACH (s, &r->all) {
        const struct appsv1_replica_set_status *of = &(*s)->rs.status;
        st->ready_replicas += of->ready_replicas;
        told = told && of->terminating_replicas;
        terminating += of->terminating_replicas ? *of->terminating_replicas : 0;
    }
    st->terminating_replicas = told ? NEW_VALUE(r->rc->arena, int32_t, terminating) : NULL;
    if (st->available_replicas >= r->replicas - r->unavailable)
        set_condition(r, "Available", "True", "MinimumReplicasAvailable",
                      STR("Deployment has minimum availability."));
    else
        set_condition(r, "Available", "False", "MinimumReplicasUnavailable",
                      STR("Deployment does not have minimum availability."));
}

void write_status(struct rollout *r)
{
    if (!desc_equal(&appsv1_deployment_status_desc, &r->d.status, &r->was->status) ||
        !str_map_equal(&r->d.metadata.annotations, &r->was->metadata.annotations))
        intend_update(r->rc, cache_resource(r->s->deployments), &r->d, "status");
}

void sync_status(struct rollout *r)
{
    count(r);
    write_status(r);
}

/* ---- progress ---- */

bool is_complete(const struct rollout *r, const struct appsv1_deployment_status *st)
{
    return st->updated_replicas == r->replicas && st->replicas == r->replicas &&
           st->available_replicas == r->replicas &&
           st->observed_generation >= r->d.metadata.generation;
}

static bool has_progressed(const struct appsv1_deployment_status *was,
                           const struct appsv1_deployment_status *now)
{
    return now->updated_replicas > was->updated_replicas ||
           now->replicas - now->updated_replicas < was->replicas - was->updated_replicas ||
           now->ready_replicas > was->ready_replicas ||
           now->available_replicas > was->available_replicas;
}

/* Milliseconds until the deadline of what was last reported as progress. */
static int64_t deadline_in_ms(const struct rollout *r, const struct appsv1_deployment_condition *c)
{
    return wall_ms(c->last_update_time) + (int64_t)*r->d.spec.progress_deadline_seconds * 1000 -
           wall_ms(r->rc->now);
}

static bool has_timed_out(const struct rollout *r)
{
    const struct appsv1_deployment_condition *c = deployment_condition(&r->d.status, "Progressing");
    if (!c || str_eq(c->reason, STR("NewReplicaSetAvailable")))
        return false;
    return str_eq(c->reason, STR("ProgressDeadlineExceeded")) || deadline_in_ms(r, c) < 0;
}

static struct str progress_message(struct rollout *r, const char *what)
{
    bool set = r->new_set != NULL;
    return arena_fmt(r->rc->arena, "%s \"%.*s\" %s", set ? "ReplicaSet" : "Deployment",
                     STR_ARG(set ? r->new_set->rs.metadata.name : r->d.metadata.name), what);
}

static void note_progress(struct rollout *r)
{
    const struct appsv1_deployment_status *st = &r->d.status;
    const struct appsv1_deployment_condition *now = deployment_condition(st, "Progressing");
    if (st->replicas == st->updated_replicas && now &&
        str_eq(now->reason, STR("NewReplicaSetAvailable")))
        return; /* the latest rollout is over */
    if (is_complete(r, st))
        set_condition(r, "Progressing", "True", "NewReplicaSetAvailable",
                      progress_message(r, "has successfully progressed."));
    else if (has_progressed(&r->was->status, st))
        /* with equal reason too: the time of the update is what the deadline counts from */
        put_condition(r, condition_of(r, "Progressing", "True", "ReplicaSetUpdated",
                                      progress_message(r, "is progressing.")));
    else if (has_timed_out(r))
        set_condition(r, "Progressing", "False", "ProgressDeadlineExceeded",
                      progress_message(r, "has timed out progressing."));
}

/* ---- failures ---- */

static const struct appsv1_replica_set_condition *failure_of(const struct replica_set *s)
{
    LIST_EACH (c, &s->rs.status.conditions)
        if (str_eq(c->type, STR("ReplicaFailure")))
            return c;
    return NULL;
}

static void note_failure(struct rollout *r)
{
    const struct appsv1_replica_set_condition *c = r->new_set ? failure_of(r->new_set) : NULL;
    for (size_t i = 0; !c && i < r->all.n; i++)
        c = failure_of(r->all.v[i]);
    if (!c) {
        drop_condition(&r->d.status, "ReplicaFailure");
        return;
    }
    const struct appsv1_deployment_condition *have =
        deployment_condition(&r->d.status, "ReplicaFailure");
    if (have && str_eq(have->status, c->status) && str_eq(have->reason, c->reason))
        return;
    put_condition(
        r, (struct appsv1_deployment_condition){.type = STR("ReplicaFailure"),
                                                .status = c->status,
                                                .last_update_time = c->last_transition_time,
                                                .last_transition_time = c->last_transition_time,
                                                .reason = c->reason,
                                                .message = c->message});
}

/* Nothing tells a rollout that it is stuck: it has to look again when its deadline has passed. */
static void requeue_for_deadline(struct rollout *r)
{
    const struct appsv1_deployment_condition *c = deployment_condition(&r->d.status, "Progressing");
    if (!has_progress_deadline(&r->d) || !c || is_complete(r, &r->d.status) ||
        str_eq(c->reason, STR("ProgressDeadlineExceeded")))
        return;
    intend_requeue(r->rc, MAX(deadline_in_ms(r, c), 0) + 1000);
}

void sync_rollout_status(struct rollout *r)
{
    count(r);
    if (has_progress_deadline(&r->d))
        note_progress(r);
    else
        drop_condition(&r->d.status, "Progressing");
    note_failure(r);
    write_status(r);
    requeue_for_deadline(r);
}
