/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h: links, addresses and routes by rtnetlink (rtnetlink(7), linux/if_link.h).
 *
 * Functions that take a batch add a message to it; they are carried out by nl_run on a
 * NETLINK_ROUTE socket, in whose network namespace names and indices are meant. The others ask the
 * kernel at once and block.
 */
#ifndef BARQUE_NETWORK_LINK_H
#define BARQUE_NETWORK_LINK_H

#include <net/if.h>

#include "network/ip.h"
#include "network/netlink.h"

enum { LINK_ALIAS_MAX = 256, LINK_KIND_MAX = 16, MAC_LEN = 6 };

struct link_info {
    int index, master; /* master 0: none */
    uint32_t mtu;
    bool works; /* operationally up: it passes packets */
    char name[IFNAMSIZ];
    char kind[LINK_KIND_MAX]; /* "bridge", "veth"; "": hardware */
    char alias[LINK_ALIAS_MAX];
};

struct link_list {
    VEC(struct link_info) v;
};

/* 1: no link of that name. */
int link_find(int fd, const char *name, struct link_info *ret, struct err *e) MUST_USE;
int link_list(int fd, struct link_list *ret, struct err *e) MUST_USE;
void link_list_free(struct link_list *l);

/* Waits until the links pass packets, at most so long. A link whose other end has just come up does
 * so only after the kernel's own worker has seen it, which on a busy host takes milliseconds; a
 * packet lost in between costs its sender a second. False: time ran out, or the kernel refused. */
bool link_wait_until_works(int fd, const char (*names)[IFNAMSIZ], size_t n, int timeout_ms);

/* A locally administered address that follows from the IP: whoever gets the address again gets
 * the same MAC with it, and no neighbour's cache is wrong. */
void link_mac(struct ip a, uint8_t out[MAC_LEN]);

void link_add_bridge(struct nl_batch *b, const char *name, const uint8_t mac[MAC_LEN], uint32_t mtu,
                     const char *alias);
/* Both ends at once: `name` here as a port of the bridge, "eth0" with the MAC in the other
 * namespace. Both are down. */
void link_add_pod(struct nl_batch *b, const char *name, int bridge, int netns_fd,
                  const uint8_t mac[MAC_LEN], uint32_t mtu);
void link_set_master(struct nl_batch *b, const char *name, int bridge);
/* Makes a port of a bridge one that may send a packet back where it came from, without an address
 * of its own; up. */
void link_set_port(struct nl_batch *b, const char *name);
void link_set_up(struct nl_batch *b, int index);
/* No IPv6 link-local address (and so no traffic for it). */
void link_set_no_ipv6(struct nl_batch *b, int index);
/* Removes the links at once: they are put in a group, and the kernel waits once for all of it
 * instead of once per link. */
int link_remove_all(int fd, const int *indices, size_t n, struct err *e) MUST_USE;

void link_add_address(struct nl_batch *b, int index, struct ip a, uint8_t bits);
/* Of the link, with that source address. */
void link_add_route(struct nl_batch *b, int index, struct cidr to, struct ip source);
/* The route to an address on the link as if it were its own gateway: for the kernel such a source
 * is not directly connected, and it sends it no redirects (which would also use up the few ICMP
 * errors it allows itself per host). */
void link_add_host_route(struct nl_batch *b, int index, struct ip a);
void link_remove_host_route(struct nl_batch *b, int index, struct ip a);
/* The default route, to a gateway that is on the link though no prefix says so. */
void link_add_gateway(struct nl_batch *b, int index, struct ip gateway);

struct route_info {
    struct cidr to; /* bits 0: default */
    int index;      /* of the link; 0: several or none */
};
struct route_list {
    VEC(struct route_info) v;
};
/* The main table. */
int route_list(int fd, struct route_list *ret, struct err *e) MUST_USE;
void route_list_free(struct route_list *l);

#endif
