/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h: the checked configuration, with everything that follows from it. Constant after
 * plan_init, so that workers may read it.
 *
 * Arrays of two hold IPv4 in [0] and IPv6 in [1]; family 0 means not used.
 */
#ifndef BARQUE_NETWORK_PLAN_H
#define BARQUE_NETWORK_PLAN_H

#include "network/link.h"
#include "network/network.h"
#include "network/nft.h"

struct plan {
    char name[NETWORK_NAME_MAX + 1];
    char bridge[IFNAMSIZ];
    char *data_dir;
    char *dir; /* <data_dir>/network */
    char *node_name;
    char *dns_domain; /* lower case, without final dot */
    char *resolv_conf;
    struct cidr pods[2], cluster[2], services[2];
    struct ip gateway[2], dns[2];
    int primary;               /* index of the family that is a pod's first address */
    uint32_t mtu;              /* 0: find out */
    char mark[LINK_ALIAS_MAX]; /* "barque: /var/lib/barque": begins the bridge's alias */
    char ranges[256];          /* the prefixes as text: a change of them needs a new bridge */
};

int plan_init(struct plan *p, const struct network_config *c, struct err *e) MUST_USE;
void plan_fini(struct plan *p);
void plan_nft(const struct plan *p, struct nft_config *ret);

/* What marks links and tables of any cluster of ours, and of the one with that data folder. */
#define PLAN_MARK "barque: "
void plan_mark(const char *data_dir, char *out, size_t room);
/* The name of the host end of the pod at that offset: "barque.17". */
void plan_link(const char *name, uint32_t offset, char out[IFNAMSIZ]);
/* Is it such a name? */
bool plan_is_link(const char *name, const char *link);

#endif
