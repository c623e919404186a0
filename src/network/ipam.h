/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipam.h: which addresses of a prefix are in use, in memory.
 *
 * An address is known by its offset in the prefix. The network address, the gateway (offset 1)
 * and, for IPv4, the broadcast address are never given out. Search starts after the address given
 * out last, so that a freed one is the last to come back. Persistence is pod.c's: its records are
 * the truth and this is rebuilt from them.
 */
#ifndef BARQUE_NETWORK_IPAM_H
#define BARQUE_NETWORK_IPAM_H

#include "network/ip.h"

enum { IPAM_OFFSET_MAX = 65534 }; /* of a larger prefix only the beginning is used */

struct ipam {
    struct cidr cidr;
    uint64_t *used; /* one bit per offset */
    uint32_t last;  /* highest offset that may be given out */
    uint32_t at;    /* given out last */
    uint32_t count; /* given out now */
};

void ipam_init(struct ipam *m, struct cidr c);
void ipam_fini(struct ipam *m);
/* The next free offset, or 0: none. */
uint32_t ipam_take(struct ipam *m);
/* Marks one as in use; false when it was, or may not be given out. */
bool ipam_claim(struct ipam *m, uint32_t offset);
void ipam_release(struct ipam *m, uint32_t offset); /* must be in use */
struct ip ipam_address(const struct ipam *m, uint32_t offset);
/* 0: not one of this prefix that may be given out. */
uint32_t ipam_offset(const struct ipam *m, struct ip a);
/* How many can be given out at once. */
uint32_t ipam_size(const struct ipam *m);

#endif
