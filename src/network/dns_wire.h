/* SPDX-License-Identifier: Apache-2.0 */
/* dns_wire.h: reading and writing names and records; private to dns*.c. */
#ifndef BARQUE_NETWORK_DNS_WIRE_H
#define BARQUE_NETWORK_DNS_WIRE_H

#include "network/dns.h"

enum {
    DNS_QR = 0x8000,
    DNS_OPCODE = 0x7800,
    DNS_AA = 0x0400,
    DNS_TC = 0x0200,
    DNS_RD = 0x0100,
    DNS_RA = 0x0080,
    DNS_CD = 0x0010,
    DNS_RCODE = 0x000f,
    DNS_IN = 1,
    DNS_POINTER = 0xc000,
    DNS_POINTER_MAX = 0x3fff,
    DNS_LABEL_MAX = 63,
    DNS_UDP_PLAIN = 512, /* without EDNS */
    DNS_OPT_SIZE = 11,
};

/* A cursor over a message; after a fault it stays bad and gives zeros. */
struct dns_in {
    const uint8_t *p;
    size_t n, at;
    bool bad;
};

uint16_t dns_u16(struct dns_in *in);
uint32_t dns_u32(struct dns_in *in);
void dns_skip(struct dns_in *in, size_t n);
/* A name, followed through its pointers (each must lead backwards), in lower case. */
void dns_read_name(struct dns_in *in, struct dns_name *ret);
/* True when the message is a query that can be answered; *ret_rcode is FORMERR, NOTIMP or BADVERS
 * when it can only be answered so. False: no query at all. */
bool dns_read_query(struct str message, struct dns_query *ret, enum dns_rcode *ret_rcode);

struct dns_rr {
    struct dns_name owner;
    uint16_t type, class_;
    uint32_t ttl;
    size_t data, data_len; /* in the message */
};
void dns_read_rr(struct dns_in *in, struct dns_rr *ret);

/* A message under construction. What does not fit is left out whole. */
struct dns_out {
    uint8_t *p;
    size_t n, limit; /* limit leaves room for the OPT record */
    uint16_t counts[4];
    bool truncated;
};

enum dns_section { DNS_QUESTIONS, DNS_ANSWERS, DNS_AUTHORITY, DNS_ADDITIONAL };

/* Where a name stands in the message already; or 0: nowhere. */
typedef size_t dns_ref;

void dns_put_u16(struct dns_out *o, uint16_t v);
void dns_put_u32(struct dns_out *o, uint32_t v);
void dns_put_bytes(struct dns_out *o, const void *p, size_t n);
/* By pointer when there is a ref that a pointer can hold. */
void dns_put_name(struct dns_out *o, const struct dns_name *name, dns_ref ref);

/* A record: begin, put data, end. end returns false, and the message is as before, when the
 * record does not fit. */
struct dns_mark {
    size_t start, length_at;
    bool full;
};
struct dns_mark dns_rr_begin(struct dns_out *o, const struct dns_name *owner, dns_ref ref,
                             uint16_t type, uint32_t ttl);
bool dns_rr_end(struct dns_out *o, struct dns_mark m, enum dns_section section);

#endif
