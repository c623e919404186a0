/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.h: what a cluster makes on the host beside pods: bridge, addresses, routes, sysctls; and
 * undoing all of it. Blocking.
 */
#ifndef BARQUE_NETWORK_HOST_H
#define BARQUE_NETWORK_HOST_H

#include "network/ipam.h"
#include "network/pod_link.h"

/* What the host has once it is set up. */
struct host {
    int route_fd;            /* NETLINK_ROUTE */
    int filter_fd;           /* NETLINK_NETFILTER */
    int bridge;              /* index */
    uint32_t mtu;            /* of pods */
    struct record_pods pods; /* that live: pin and link are there */
    struct nft_found found;
};

#define HOST_INIT ((struct host){.route_fd = -1, .filter_fd = -1})

/* Makes or adopts; finishes and undoes what a dead agent left half done. */
int host_setup(const struct plan *p, struct host *ret, struct err *e) MUST_USE;
void host_fini(struct host *h); /* also after a failure */

/* Is the link the bridge of a cluster of ours; of the one with that mark (struct plan)? */
bool host_mark_is(const struct link_info *l, const char *mark);
bool host_mark_is_any(const struct link_info *l);

/* See network_purge. */
int host_purge(const char *data_dir, struct err *e) MUST_USE;

#endif
