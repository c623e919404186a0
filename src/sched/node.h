/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.h: the snapshot: what each node has, and what the pods on it take. Private to sched/.
 */
#ifndef BARQUE_SCHED_NODE_H
#define BARQUE_SCHED_NODE_H

#include "api/corev1.h"
#include "base/map.h"
#include "client/client.h"

/* CPU in thousandths, the rest in whole units. Extended resources come by name. */
struct resources {
    int64_t cpu_milli, memory, ephemeral, pods;
    struct extended {
        struct str name; /* of the pod's or node's arena */
        int64_t amount;
    } * extended;
    size_t n_extended;
};

struct host_port {
    struct str ip, protocol; /* "" is every address */
    int32_t port;
};

/* What the scheduler remembers of a pod that has a node. */
struct placed_pod {
    char *uid;
    struct node_info *node;
    struct list link; /* in node->pods */
    struct resources requests;
    struct host_port *ports;
    size_t n_ports;
    struct arena arena;
    bool assumed; /* not yet seen with its node in the API */
};

struct node_info {
    char *name;
    struct arena arena;             /* of the decoded node */
    const struct corev1_node *node; /* NULL: pods were seen before their node */
    struct resources allocatable, used;
    int64_t used_nonzero_cpu, used_nonzero_memory; /* with defaults for pods that ask nothing */
    struct list pods;
    size_t index; /* in snapshot.nodes */
};

struct snapshot {
    struct map by_name;            /* -> node_info */
    struct map pods;               /* uid -> placed_pod */
    VEC(struct node_info *) nodes; /* those with a node object */
};

enum { DEFAULT_CPU_MILLI = 100, DEFAULT_MEMORY = 200 << 20 }; /* upstream's NonZeroRequests */

void snapshot_init(struct snapshot *s);
void snapshot_fini(struct snapshot *s);
/* now NULL: the node is gone. Returns whether something that filters look at may have grown. */
bool snapshot_node(struct snapshot *s, struct item *now, struct str name);
/* Counts the pod on its node; replaces what was counted for its uid. */
void snapshot_place(struct snapshot *s, const struct corev1_pod *pod, struct str node,
                    bool assumed);
/* Returns whether it was counted. */
bool snapshot_remove(struct snapshot *s, struct str uid);

/* Sum over containers, or the biggest init container; plus overhead (upstream: PodRequests). */
void pod_requests(struct arena *a, const struct corev1_pod *pod, struct resources *ret);
int64_t extended_amount(const struct resources *r, struct str name);
size_t pod_host_ports(struct arena *a, const struct corev1_pod *pod, struct host_port **ret);

#endif
