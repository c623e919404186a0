/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_server.h: the sockets of the cluster's DNS, and the way to the upstream resolvers.
 *
 * A query that is not ours goes to the resolvers of a resolv.conf as it is, over the transport it
 * came by, and the reply comes back as it is. Each has a socket of its own (so a port nobody can
 * guess) and a random id. Equal questions that arrive meanwhile share one: it is what keeps a
 * resolver that asks us back from going round in circles. The file is looked at again when it has
 * changed, at most once a second and only when it is needed.
 *
 * Everything is bounded: what is over a limit is refused with SERVFAIL or, over UDP, dropped.
 */
#ifndef BARQUE_NETWORK_DNS_SERVER_H
#define BARQUE_NETWORK_DNS_SERVER_H

#include "base/list.h"
#include "base/map.h"
#include "loop/loop.h"
#include "network/dns.h"

enum {
    DNS_UPSTREAMS_MAX = 8,
    DNS_FORWARDS_MAX = 1000, /* questions under way */
    DNS_ASKERS_MAX = 4000,   /* clients that wait for them */
    DNS_TRIES_MAX = 4,       /* per question, over all resolvers */
    DNS_TRY_MS = 1200,       /* so that the last is over before clients give up, after 5 s */
    DNS_CONNECTIONS_MAX = 500,
    DNS_PIPELINE_MAX = 64,     /* questions under way per connection */
    DNS_IDLE_MS = 10000,       /* of a connection without a question */
    DNS_QUERY_MAX = 4096,      /* bytes; ours are far shorter */
    DNS_BACKLOG_MAX = 1 << 18, /* bytes a client has not read yet */
};

struct dns_server {
    struct loop *loop;
    struct dns_zone zone;
    const char *resolv_conf;
    uint16_t upstream_port; /* 53 but in tests */
    struct udp *udp[2];
    struct listener *listener[2];
    struct map forwards; /* transport and question -> struct dns_forward */
    struct list connections;
    uint32_t connection_count, asker_count;
    struct ip upstreams[DNS_UPSTREAMS_MAX];
    size_t upstream_count, preferred;
    int64_t looked_ms;                    /* at resolv_conf */
    int64_t file_id[4];                   /* device, inode, size, time of what was read */
    uint8_t scratch[DNS_MESSAGE_MAX + 2]; /* the length of TCP goes before the message */
    uint64_t queries, forwarded, dropped, upstream_failures;
};

/* The strings must outlive the server. Listens on no address yet. */
void dns_server_init(struct dns_server *s, struct loop *l, const struct dns_zone *z,
                     const char *resolv_conf);
/* Listens with UDP and TCP on that address and port (0: chosen by the kernel, the same for both).
 */
int dns_server_listen(struct dns_server *s, struct ip address, uint16_t port,
                      struct err *e) MUST_USE;
/* Closes everything; those who ask get no answer. */
void dns_server_close(struct dns_server *s);

#endif
