/* SPDX-License-Identifier: Apache-2.0 */
/* deployment.h: one run over a Deployment, shared by its parts. Private to controller/. */
#ifndef BARQUE_CONTROLLER_DEPLOYMENT_H
#define BARQUE_CONTROLLER_DEPLOYMENT_H

#include "api/appsv1.h"
#include "controller/owner.h"

#define HASH_LABEL       "pod-template-hash"
#define REVISION         "deployment.kubernetes.io/revision"
#define REVISION_HISTORY "deployment.kubernetes.io/revision-history"
#define DESIRED_REPLICAS "deployment.kubernetes.io/desired-replicas"
#define MAX_REPLICAS     "deployment.kubernetes.io/max-replicas"

/* A ReplicaSet as this run sees it: a copy that is changed as intents are made. */
struct replica_set {
    struct appsv1_replica_set rs; /* metadata copied; the rest are views */
    int32_t replicas;             /* of the spec */
    size_t at;                    /* in creation order; for stable sorting */
};

struct replica_sets {
    struct replica_set **v;
    size_t n, room;
};

struct deployment_state {
    struct cache *deployments, *sets, *pods;
    struct cache_index *sets_by_owner, *pods_by_owner;
    struct owners owners;
};

struct rollout {
    struct reconcile *rc;
    struct deployment_state *s;
    struct item *item;
    const struct appsv1_deployment *was;
    struct appsv1_deployment d; /* metadata and status copied, to be changed */
    int32_t replicas;           /* wanted */
    int32_t surge, unavailable; /* resolved; both 0 unless rolling */
    bool rolling;
    struct replica_set *new_set; /* with the present template, or NULL */
    struct replica_sets old;     /* all others, oldest first */
    struct replica_sets all;     /* old, then new */
};

/* ---- sizes (rollout.c) ---- */

int32_t sets_replicas(const struct replica_sets *sets); /* wanted */
int32_t sets_actual(const struct replica_sets *sets);   /* status.replicas */
int32_t sets_available(const struct replica_sets *sets);
/* How many replicas the new set may have at this moment. */
int32_t new_set_size(const struct rollout *r, int32_t present);
/* Sets with replicas. */
void sets_active(struct arena *a, const struct replica_sets *from, struct replica_sets *ret);
/* Did the user change the number of replicas since the sets were last sized? */
bool is_scaling(const struct rollout *r);
/* Spreads a new size over the sets in proportion. */
void scale_sets(struct rollout *r);
void roll_rolling(struct rollout *r);
void roll_recreate(struct rollout *r);
/* Drops old sets beyond the history limit. */
void clean_history(struct rollout *r);

/* ---- sets (deployment.c) ---- */

/* Makes new_set; the status is written with the outcome. */
void create_new_set(struct rollout *r);

/* ---- status (deployment_status.c) ---- */

const struct appsv1_deployment_condition *
deployment_condition(const struct appsv1_deployment_status *st, const char *type);
/* Sets a condition, unless one with equal status and reason is there. */
void set_condition(struct rollout *r, const char *type, const char *status, const char *reason,
                   struct str message);
bool has_progress_deadline(const struct appsv1_deployment *d);
/* All wanted replicas are updated and available, and no others are left. */
bool is_complete(const struct rollout *r, const struct appsv1_deployment_status *st);
/* Writes the deployment's status (and revision annotation) if it changes: counts and availability;
 * during a rollout progress and failures too. */
void sync_status(struct rollout *r);
void sync_rollout_status(struct rollout *r);
/* Writes what is in r->d as it is. */
void write_status(struct rollout *r);

#endif
