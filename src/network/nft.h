/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nft.h: the cluster's nftables table: its ruleset, and changes of its elements as transactions.
 *
 * The ruleset is constant but for the pick chains. A new connection is looked up in the map
 * frontends (address . protocol . port), whose verdict leads to a chain for that number of
 * backends: "pick4-3" draws a number below 3 and finds the backend in the map backends under the
 * same key and that number. So a change of one backend is a change of a few elements, however many
 * services there are. The address zero stands for "any address of this node" (NodePorts, host
 * ports); such frontends have chains of their own, "pick4-any-3".
 *
 * A frontend that admits connections from outside to some backends only (externalTrafficPolicy
 * Local) has these first in the order: "pick4-5-outside-2".
 *
 * With affinity, "pick4-3-10800s", the chain looks first in the map affinity (client . frontend ->
 * backend). Its elements are written at the end of the packet's way, where the map sticky leads to
 * a chain that sets or renews their time, "remember4-10800s". Those that lead to a backend that
 * has gone are deleted after the transaction (nft_forget_clients).
 *
 * Calls add to a transaction under construction; nft_take hands it over as bytes. At most one
 * removal and one addition of the same element may be in a transaction: all removals are carried
 * out before all additions. This file sends nothing.
 *
 * Only constructs that the nft program can print are used: `nft list ruleset` must work.
 */
#ifndef BARQUE_NETWORK_NFT_H
#define BARQUE_NETWORK_NFT_H

#include "base/map.h"
#include "network/ip.h"
#include "network/nft_rule.h"

/* A frontend's identity. Compared as bytes, so it has no padding. */
struct nft_key {
    struct ip ip; /* with zero bytes (but a family): any address of this node */
    uint8_t protocol;
    uint16_t port;
};

struct nft_backend {
    struct ip ip;
    uint8_t zero;
    uint16_t port;
};
int nft_backend_cmp(const void *a, const void *b);

enum nft_action { NFT_PICK, NFT_REJECT, NFT_DROP };

/* What a frontend does with a connection. */
struct nft_target {
    enum nft_action action;
    uint32_t backends;   /* NFT_PICK: how many, > 0 */
    uint32_t outside;    /* NFT_PICK: connections from outside go to the first so many; when 0 they
                            are dropped */
    uint32_t affinity_s; /* NFT_PICK: 0: none */
};

/* What the ruleset is made from; IPv4 is [0], IPv6 [1]; family 0: not used. */
struct nft_config {
    char table[16], bridge[16];
    char comment[NFT_COMMENT_MAX];
    struct cidr pods[2], cluster[2], services[2];
    struct ip dns[2];
};

enum nft_set {
    NFT_FRONTENDS,
    NFT_BACKENDS,
    NFT_OUTER,
    NFT_GUARDED,
    NFT_ALLOWED,
    NFT_HAIRPIN,
    NFT_STICKY,
    NFT_AFFINITY,
    NFT_SET_COUNT,
};

enum { NFT_PENDING = NFT_SET_COUNT * 2, NFT_CHAIN_MAX = 48 };

/* A chain that exists as long as frontends use it. */
struct nft_pick {
    char name[NFT_CHAIN_MAX];
    uint32_t users; /* frontends that lead to it */
    bool made;      /* in the kernel, as opposed to: by this transaction */
    int family;
    bool any;      /* any address of the node */
    bool remember; /* remembers clients; else picks a backend */
    struct nft_target target;
};

struct nft {
    struct nft_config config;
    struct map picks;               /* pick chains: name -> struct nft_pick */
    struct buf remove[NFT_PENDING]; /* elements, by set and family */
    struct buf add[NFT_PENDING];
    bool define;        /* the transaction (re)writes the ruleset */
    bool fresh;         /* and makes the table anew */
    bool picks_changed; /* some pick chain is to be made or removed */
    uint32_t changes;   /* elements in the transaction */
};

void nft_init(struct nft *t, const struct nft_config *c);
void nft_fini(struct nft *t);
bool nft_family_used(const struct nft *t, int family);

/* The transaction begins by writing the rules, and by emptying the sets outer, guarded,
 * allowed and hairpin, whose elements the caller adds again. With fresh the table is made anew:
 * everything is to be added again and nothing may be removed. */
void nft_define(struct nft *t, bool fresh);

void nft_frontend_add(struct nft *t, const struct nft_key *k, struct nft_target to);
void nft_frontend_remove(struct nft *t, const struct nft_key *k, struct nft_target was);
void nft_backend_add(struct nft *t, const struct nft_key *k, uint32_t index,
                     const struct nft_backend *b);
void nft_backend_remove(struct nft *t, const struct nft_key *k, uint32_t index);
/* Frontends that are reached from outside the cluster. */
void nft_outer_add(struct nft *t, const struct nft_key *k);
void nft_outer_remove(struct nft *t, const struct nft_key *k);
/* Guarded frontends admit only allowed sources. Not for those of any address. */
void nft_guard_add(struct nft *t, const struct nft_key *k);
void nft_guard_remove(struct nft *t, const struct nft_key *k);
void nft_allowed_add(struct nft *t, const struct nft_key *k, struct cidr source);
void nft_allowed_remove(struct nft *t, const struct nft_key *k, struct cidr source);
/* A pod of this node, which may be its own backend. */
void nft_hairpin_add(struct nft *t, struct ip pod);
void nft_hairpin_remove(struct nft *t, struct ip pod);

/* Ends the transaction and hands it over in *ret (initialised); false: there is nothing to do. */
bool nft_take(struct nft *t, struct nl_batch *ret);

/* ---- what the kernel has ---- */

struct nft_found_frontend {
    struct nft_key key;
    struct nft_target target;
};
struct nft_found_backend {
    struct nft_key key;
    uint32_t index;
    struct nft_backend backend;
};
struct nft_found {
    bool table;   /* ours is there, and of this version */
    bool foreign; /* a table of that name is there and is not ours */
    VEC(struct nft_found_frontend) frontends;
    VEC(struct nft_found_backend) backends;
    VEC(char *) chains; /* that pick and remember */
};

/* Reads the table. Blocking. */
int nft_read(const struct nft_config *c, struct nft_found *ret, struct err *e) MUST_USE;
void nft_found_free(struct nft_found *f);
/* Takes over the pick chains, unused so far; then the caller tells of each frontend it adopts. */
void nft_adopt_chains(struct nft *t, const struct nft_found *f);
void nft_adopt_frontend(struct nft *t, const struct nft_key *k, struct nft_target to);

/* A frontend with affinity whose backends changed. */
struct nft_sticky {
    struct nft_key key;
    struct nft_backend *backends; /* sorted by nft_backend_cmp; owned */
    uint32_t n;
};
/* Deletes what the map affinity remembers of these frontends and leads to none of their backends.
 * Blocking; costs a walk of the map. */
int nft_forget_clients(int fd, const struct nft_config *c, const struct nft_sticky *v, size_t n,
                       struct err *e) MUST_USE;

/* Removes the table of that name if its comment begins so. Blocking. 1: there was none. */
int nft_destroy(const char *table, struct str comment_prefix, struct err *e) MUST_USE;

#endif
