/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched.h: the scheduler: gives every pending pod of its name a node.
 *
 * One pod at a time: filter the nodes, score what is left, assume the choice in the snapshot and
 * bind through the API, many bindings under way at once. The snapshot (node.h) is kept by events,
 * so that placing a pod costs the nodes looked at and not the pods there are. What could not be
 * placed waits until an event that can help it: a node that came or grew, a pod that went.
 *
 * Filters, scores and the words in events follow kube-scheduler's default plugins.
 */
#ifndef BARQUE_SCHED_SCHED_H
#define BARQUE_SCHED_SCHED_H

#include "client/client.h"

struct sched;

struct sched_config {
    struct client *client;
    struct str name;       /* spec.schedulerName it serves: "default-scheduler" */
    uint32_t bindings_max; /* under way at a time; default 256 */
};

struct sched *sched_new(const struct sched_config *c);
void sched_free(struct sched *s);
/* Nothing waits to be tried and no binding is under way. For the simulator. */
bool sched_idle(const struct sched *s);

#endif
