/* SPDX-License-Identifier: Apache-2.0 */
/* taints.h: taints of nodes and who tolerates them (k8s.io/component-helpers). */
#ifndef BARQUE_CONTROLLER_TAINTS_H
#define BARQUE_CONTROLLER_TAINTS_H

#include "api/corev1.h"

#define TAINT_NOT_READY           "node.kubernetes.io/not-ready"
#define TAINT_UNREACHABLE         "node.kubernetes.io/unreachable"
#define TAINT_UNSCHEDULABLE       "node.kubernetes.io/unschedulable"
#define TAINT_MEMORY_PRESSURE     "node.kubernetes.io/memory-pressure"
#define TAINT_DISK_PRESSURE       "node.kubernetes.io/disk-pressure"
#define TAINT_PID_PRESSURE        "node.kubernetes.io/pid-pressure"
#define TAINT_NETWORK_UNAVAILABLE "node.kubernetes.io/network-unavailable"

bool taint_tolerated_by(const struct corev1_taint *t, const struct corev1_toleration *by);
/* For how long the pod may stay on a node with these taints that evict (NoExecute): seconds, 0 for
 * not at all, -1 for ever. */
int64_t taints_tolerated_s(const struct corev1_pod *p, const struct corev1_node *n);
/* Has it any that evict? */
bool taints_evict(const struct corev1_node *n);

#endif
