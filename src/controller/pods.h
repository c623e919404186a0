/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pods.h: what controllers ask about pods, and pods from templates.
 */
#ifndef BARQUE_CONTROLLER_PODS_H
#define BARQUE_CONTROLLER_PODS_H

#include "controller/controller.h"

/* The condition of that type, or NULL. */
const struct corev1_pod_condition *pod_condition(const struct corev1_pod *p, const char *type);
bool pod_ready(const struct corev1_pod *p);
/* Succeeded or Failed. */
bool pod_terminal(const struct corev1_pod *p);
/* Neither terminal nor being deleted. */
static inline bool pod_active(const struct corev1_pod *p)
{
    return !pod_terminal(p) && !p->metadata.deletion_timestamp;
}
/* Being deleted, and perhaps still running. */
static inline bool pod_terminating(const struct corev1_pod *p)
{
    return !pod_terminal(p) && p->metadata.deletion_timestamp;
}
/* Ready for min_ready_s. When it is ready but not for long enough, *wait_ms is lowered to the time
 * until it is (unless it is lower already; -1 is none). */
bool pod_available(const struct corev1_pod *p, int32_t min_ready_s, struct wall now,
                   int64_t *wait_ms);
int32_t pod_restarts_max(const struct corev1_pod *p);

/* The pod a template makes for its controlling owner, named by the server. */
const struct corev1_pod *pod_from_template(struct arena *a,
                                           const struct corev1_pod_template_spec *t,
                                           const struct resource_def *owner_res,
                                           const struct metav1_object_meta *owner);

/* An index by spec.nodeName. */
struct cache_index *pods_by_node(struct cache *pods);

/* Says in the pod's status why it is about to be deleted (the DisruptionTarget condition); phase
 * NULL leaves that alone. */
void intend_disruption(struct reconcile *rc, const struct corev1_pod *p, const char *phase,
                       const char *reason, const char *message);

/* ---- choosing pods to delete ---- */

struct pod_rank {
    const struct corev1_pod *pod;
    int32_t colocated; /* active pods of related owners on the same node */
    int64_t cost;      /* controller.kubernetes.io/pod-deletion-cost */
    size_t at;
};
/* Sorts so that those to delete come first, by upstream's rules (ActivePodsWithRanks). */
void pods_rank(struct pod_rank *v, size_t n, struct wall now);

#endif
