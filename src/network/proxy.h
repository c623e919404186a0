/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.h: keeps the nftables table equal to the services of the state and the pods of this node.
 *
 * A service port has one frontend per address or port it is reached by. The proxy remembers for
 * each frontend what the kernel has; when a service is dirty it works out what its frontends
 * should have and writes the difference. Two services may claim the same frontend: the first keeps
 * it, and the other takes over when the first lets go.
 *
 * One transaction is under way at a time, on a worker; what changes meanwhile goes into the next.
 * When one fails, the kernel does not have what we think: the table is made anew, at once in one
 * transaction, and again with growing pauses until that succeeds.
 */
#ifndef BARQUE_NETWORK_PROXY_H
#define BARQUE_NETWORK_PROXY_H

#include "base/heap.h"
#include "loop/loop.h"
#include "network/conntrack.h"
#include "network/nft.h"
#include "network/state.h"

struct proxy_wait {
    void (*fn)(struct proxy_wait *w, const struct err *e); /* e: NULL, or why it failed */
    uint64_t generation;                                   /* private */
    bool services;                                         /* private */
    struct list link;                                      /* private */
};

/* A pod of this node: its host ports, and that it may be its own backend. */
struct proxy_host_port {
    struct nft_key key; /* NFT_HOST, or NFT_VIP for one address of the node */
    struct nft_backend backend;
};

/* What the kernel remembers of the time before a transaction, to be forgotten after it. */
struct proxy_leftovers {
    struct conntrack_job flows;
    VEC(struct nft_sticky) clients;
};

struct proxy_pod;
struct commit;

struct proxy {
    struct loop *loop;
    struct network_state *state;
    struct nft nft;
    struct map frontends; /* struct nft_key -> struct proxy_frontend */
    struct list dirty;    /* of frontends */
    struct list pods, dirty_pods;
    uint32_t backend_count;
    void (*trouble)(void *arg, const struct err *e);
    void *trouble_arg;

    int fd; /* netlink; -1 before proxy_start */
    struct task flush;
    struct timer retry;
    int64_t retry_ms;
    struct commit *commit;        /* the transaction under way, or NULL */
    struct proxy_leftovers carry; /* of a transaction that failed */
    bool rebuild;                 /* the next transaction makes the table anew */
    uint64_t generation;          /* of the transaction built last */
    uint64_t done_generation;     /* of the one that succeeded last */
    struct list waits;            /* for a generation */
    struct list sync_waits;       /* for the first sync */
    bool synced;
    uint64_t commits, failures, rebuilds;
    int64_t last_commit_ns;
    bool stopped;
    void (*stop_done)(void *arg);
    void *stop_arg;
};

void proxy_init(struct proxy *p, struct loop *l, struct network_state *st,
                const struct nft_config *c);
/* Begins nothing more. When no transaction is under way: returns false. Else true, and calls done
 * when it has ended. Those who wait hear ERR_CANCELED. */
bool proxy_stop(struct proxy *p, void (*done)(void *arg), void *arg);
/* After proxy_stop. Forgets, without touching the kernel; closes the socket. */
void proxy_fini(struct proxy *p);

/* Takes the socket. Begins with what nft_read found, before any pod is added; writes the rules with
 * the next transaction. */
void proxy_start(struct proxy *p, int netlink_fd, const struct nft_found *found);
/* The table has vanished from under us. */
void proxy_lost(struct proxy *p);
/* The state is complete: what it does not claim goes. */
void proxy_synced(struct proxy *p);

/* Fails with ERR_CONFLICT when a host port is taken by another pod. */
int proxy_pod_add(struct proxy *p, const struct ip ips[2], const struct proxy_host_port *ports,
                  size_t n, struct proxy_pod **ret, struct err *e) MUST_USE;
void proxy_pod_remove(struct proxy *p, struct proxy_pod *pod);

/* Calls w->fn when everything changed before is in the kernel. With services it waits for the
 * first sync too, and through failures; without, it hears of a failure. */
void proxy_wait(struct proxy *p, struct proxy_wait *w, bool services,
                void (*fn)(struct proxy_wait *w, const struct err *e));

#endif
