/* SPDX-License-Identifier: Apache-2.0 */
/* dns_forward.h: private to dns_server.c and dns_forward.c. */
#ifndef BARQUE_NETWORK_DNS_FORWARD_H
#define BARQUE_NETWORK_DNS_FORWARD_H

#include <sys/socket.h>

#include "network/dns_server.h"

/* A client's TCP connection. */
struct dns_connection {
    struct dns_server *server;
    struct stream *stream;
    struct buf in;
    struct timer idle;
    struct task work;
    struct list link;   /* in server->connections */
    struct list askers; /* its questions under way */
    uint32_t asking;
    bool ended, broken;
};

/* Where an answer goes. */
struct dns_client {
    struct dns_connection *connection; /* or: */
    struct udp *udp;
    struct sockaddr_storage peer;
    size_t peer_len;
};

/* The message of n bytes in server->scratch + 2; n == 0: none. */
void dns_reply(struct dns_server *s, const struct dns_client *to, size_t n);
void dns_reply_error(struct dns_server *s, const struct dns_client *to, struct str query,
                     enum dns_rcode rcode);
/* chased: see dns_answer. */
void dns_serve(struct dns_server *s, const struct dns_client *from, struct str query,
               struct str chased);
void dns_connection_answered(struct dns_connection *c);

/* Asks upstream: for the client's query as it is, or for that name on its behalf. */
void dns_forward(struct dns_server *s, const struct dns_client *from, struct str query,
                 const struct dns_name *chase);
void dns_forget_connection(struct dns_server *s, struct dns_connection *c);
void dns_forget_all(struct dns_server *s);

/* The resolvers of a resolv.conf's text, but for own addresses; how many. */
size_t dns_parse_resolv_conf(struct str text, const struct ip own[2],
                             struct ip ret[DNS_UPSTREAMS_MAX]);

#endif
