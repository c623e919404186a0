/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod.h: the pods of this node: who has which address, and the queue of those that come and go.
 *
 * Additions and removals that arrive while a worker is busy make up its next batch. An operation
 * on a pod that is on its way waits until that one is done.
 */
#ifndef BARQUE_NETWORK_POD_H
#define BARQUE_NETWORK_POD_H

#include "network/host.h"
#include "network/ipam.h"
#include "network/proxy.h"

struct pods {
    struct loop *loop;
    struct proxy *proxy;
    struct pod_site site;
    struct ipam ipam;
    struct map by_id;        /* id -> struct pod */
    struct list queue;       /* pods that wait for the worker */
    struct pod_batch *batch; /* under way, or NULL */
    struct task start;
    uint32_t ready; /* pods that have their network */
    bool started, stopped;
    void (*stop_done)(void *arg);
    void *stop_arg;
};

void pods_init(struct pods *ps, struct loop *l, struct proxy *proxy, const struct plan *plan);
/* The host is set up: adopts the pods of a former agent (takes them from h). */
void pods_start(struct pods *ps, struct host *h);
void pods_add(struct pods *ps, struct network_pod_add *op);
void pods_remove(struct pods *ps, struct network_pod_remove *op);
bool pods_find(const struct pods *ps, struct str id, struct network_pod *ret);
void pods_keep_only(struct pods *ps, const struct str *ids, size_t count);
/* As proxy_stop; what has not begun ends with ERR_CANCELED. */
bool pods_stop(struct pods *ps, void (*done)(void *arg), void *arg);
void pods_fini(struct pods *ps);

#endif
