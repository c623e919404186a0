/* SPDX-License-Identifier: Apache-2.0 */
/* filter.h: may this pod run on that node? And which of the good ones is best? Private to sched/.
 */
#ifndef BARQUE_SCHED_FILTER_H
#define BARQUE_SCHED_FILTER_H

#include "sched/node.h"

/* A pod on its way, prepared once for all nodes. */
struct candidate {
    const struct corev1_pod *pod;
    struct arena *arena;
    struct resources requests;
    struct host_port *ports;
    size_t n_ports;
};
void candidate_init(struct candidate *c, struct arena *a, const struct corev1_pod *pod);

enum { REASONS_MAX = 8 };
/* Why a node was refused, in kube-scheduler's words; static text or on the candidate's arena. */
struct reasons {
    struct str v[REASONS_MAX];
    size_t n;
};
/* True: fits. Otherwise ret has at least one reason. */
bool filter(const struct candidate *c, const struct node_info *n, struct reasons *ret);
/* 0..; higher is better. Weights and shapes of the default plugins: NodeResourcesFit
 * (LeastAllocated), NodeResourcesBalancedAllocation, NodeAffinity, TaintToleration. */
int64_t score(const struct candidate *c, const struct node_info *n);

/* Also for controllers: does the pod's nodeSelector and required node affinity match? */
bool node_affinity_matches(const struct corev1_pod *pod, const struct corev1_node *node);
bool toleration_covers(const struct corev1_toleration *t, const struct corev1_taint *taint);

#endif
