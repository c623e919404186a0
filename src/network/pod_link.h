/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_link.h: making and taking away what pods have in the kernel, several at a time. Everything
 * here blocks: it runs on a worker.
 */
#ifndef BARQUE_NETWORK_POD_LINK_H
#define BARQUE_NETWORK_POD_LINK_H

#include "network/plan.h"
#include "network/record.h"

/* Where pods are made. */
struct pod_site {
    const struct plan *plan;
    int fd;     /* NETLINK_ROUTE in the host's namespace */
    int bridge; /* index */
    uint32_t mtu;
};

struct pod_link {
    struct record_pod *record;
    bool taken; /* out: a link of that name lingers; try another offset */
    int error;  /* out: 0 or -code */
    char message[160];
    int netns_fd, inner_fd; /* private */
};

/* Namespace, pin, veth, addresses and routes of each; the record's way from nothing to pods/.
 * What failed is undone. */
void pod_link_make(const struct pod_site *site, struct pod_link *v, size_t n);
/* Unpins, removes routes; the records' way from pods/ to nothing. */
void pod_link_remove(const struct pod_site *site, const struct record_pod *const *v, size_t n);
/* Routes to the pod and, unless it still is one, its host end a port again. */
void pod_link_repair(struct nl_batch *b, const struct pod_site *site, const struct record_pod *r,
                     bool is_port);

/* The pod's addresses: [0] IPv4, [1] IPv6. */
void pod_ips(const struct plan *plan, uint32_t offset, struct ip ret[2]);

#endif
