/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conntrack.h: forgetting UDP flows whose backend has gone.
 *
 * A UDP flow has no end that the kernel could see: as long as the client sends, its conntrack
 * entry keeps it on the backend once chosen (or on none, when it began before the service had
 * backends). After a change such entries are deleted, and the next packet chooses anew.
 */
#ifndef BARQUE_NETWORK_CONNTRACK_H
#define BARQUE_NETWORK_CONNTRACK_H

#include "network/nft.h"

/* A UDP frontend after its change: flows to it that go to none of the backends are stale. */
struct conntrack_frontend {
    struct nft_key key;
    struct nft_backend *backends; /* sorted by nft_backend_cmp; owned */
    uint32_t n;                   /* 0: the frontend is gone, or has none */
};

struct conntrack_job {
    VEC(struct conntrack_frontend) frontends;
    struct cidr cluster[2]; /* flows to any address of the node are ours when they lead here */
};

/* Deletes the stale entries of the calling thread's network namespace; *ret_deleted may be NULL.
 * Blocking; costs a walk of the kernel's UDP entries, however many frontends there are. */
int conntrack_clean(const struct conntrack_job *job, uint32_t *ret_deleted, struct err *e) MUST_USE;
void conntrack_job_free(struct conntrack_job *job);

#endif
