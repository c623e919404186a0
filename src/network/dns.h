/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.h: DNS messages in, DNS messages out; no sockets and no clock (RFC 1034, 1035, 2308, 2782,
 * 6891; Kubernetes DNS-Based Service Discovery 1.1.0).
 *
 * Answers for the cluster's domain come from the state, by hash. Reverse names of pod and service
 * addresses are answered too; everything else is for the upstream resolvers.
 *
 *   <service>.<ns>.svc.<domain>                  A, AAAA: cluster IPs; headless: ready endpoints;
 *                                                ExternalName: CNAME, followed
 *   <endpoint>.<service>.<ns>.svc.<domain>       A, AAAA; endpoint: its hostname or dashed address
 *   _<port>._<protocol>.<service>.<ns>.svc.<domain>  SRV
 *   10-244-0-7.<ns>.pod.<domain>                 A, AAAA: whatever address the name spells
 *   dns-version.<domain>                         TXT "1.1.0"
 *   7.0.96.10.in-addr.arpa                       PTR of cluster IPs and of named endpoints
 *
 * A name that exists without records of the type asked for answers empty, another one NXDOMAIN;
 * both with the SOA, whose minimum makes clients forget after DNS_TTL_S.
 */
#ifndef BARQUE_NETWORK_DNS_H
#define BARQUE_NETWORK_DNS_H

#include "network/state.h"

enum {
    DNS_TTL_S = 5,
    DNS_MESSAGE_MAX = 65535,
    DNS_UDP_MAX = 1232, /* of our own answers, and what we tell peers: passes any link */
    DNS_NAME_MAX = 255, /* in wire form */
    DNS_LABELS_MAX = 128,
    DNS_CHASE_MAX = 8, /* ExternalNames in a row */
    DNS_HEADER = 12,
};

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_OPT = 41,
    DNS_ANY = 255,
};

enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16,
};

struct dns_zone {
    struct network_state *state;
    const char *domain;   /* "cluster.local": lower case */
    struct ip address[2]; /* of this server, for ns.dns.<domain> */
    struct cidr local[4]; /* reverse names of these are ours; family 0: unused */
};

/* A name in wire form, lower case. */
struct dns_name {
    uint8_t wire[DNS_NAME_MAX];
    size_t n;       /* with the root's zero */
    uint8_t labels; /* without the root */
};
/* From text, without or with the final dot; false: no valid name. */
bool dns_name_parse(struct str text, struct dns_name *ret);

/* A query, taken apart. Points into the message. */
struct dns_query {
    uint16_t id, flags;
    struct dns_name name;
    uint16_t type, class_;
    size_t question_end; /* bytes of header and question */
    bool edns, dnssec_ok;
    uint8_t edns_version;
    uint16_t udp_size; /* that the client takes; 512 without EDNS */
};

enum dns_verdict {
    DNS_IGNORE,  /* no query: nothing is to be sent */
    DNS_ANSWER,  /* out is complete */
    DNS_FORWARD, /* the query is for the upstream resolvers, as it is */
    DNS_CHASE,   /* chase is to be asked for upstream, then call again with the reply */
};

/* Answers the query into out (room for DNS_MESSAGE_MAX), at most so long as the transport and the
 * client's EDNS allow. random: which of several addresses comes first. chased: the upstream's
 * reply about *ret_chase, asked for after an earlier DNS_CHASE; its p is NULL the first time, and
 * an empty string means that upstream failed. */
enum dns_verdict dns_answer(const struct dns_zone *z, struct str message, bool tcp, uint32_t random,
                            struct str chased, uint8_t *out, size_t *ret_n,
                            struct dns_name *ret_chase);

/* A bare answer with that code; 0 when the message is no query. */
size_t dns_error(struct str message, enum dns_rcode rcode, uint8_t out[DNS_UDP_MAX]);

/* A query of our own, recursion desired, with EDNS; its length. */
size_t dns_ask(const struct dns_name *name, uint16_t type, uint16_t id, uint8_t out[DNS_UDP_MAX]);

/* What two messages must have in common to be the same question: header flags, name in lower
 * case, type, class and the rest; appended to key. False when the message is no query. */
bool dns_question_key(struct str message, struct buf *key);
/* Is it a reply to that query: same id, same question? */
bool dns_is_reply(struct str query, struct str reply);

/* Is the message whole: counts, names and lengths? For tests. */
bool dns_well_formed(struct str message);

#endif
