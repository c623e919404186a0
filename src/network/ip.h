/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ip.h: IP addresses and prefixes as values.
 *
 * Text forms are those of the Kubernetes API: RFC 4291 and RFC 5952 for IPv6, dotted decimal
 * without leading zeros for IPv4; IPv4-mapped IPv6 is not accepted.
 */
#ifndef BARQUE_NETWORK_IP_H
#define BARQUE_NETWORK_IP_H

#include "base/str.h"

struct ip {
    uint8_t family;    /* 4, 6; 0: none */
    uint8_t bytes[16]; /* network order; IPv4 in the first four, the rest zero */
};

struct cidr {
    struct ip ip; /* host bits zero; family 0: none */
    uint8_t bits;
};

enum { IP_TEXT_MAX = 46 }; /* with the NUL */

bool ip_parse(struct str s, struct ip *ret);
/* Fills out and returns it, NUL-terminated; "" for family 0. */
const char *ip_text(struct ip a, char out[IP_TEXT_MAX]);
bool ip_eq(struct ip a, struct ip b);
/* 4 or 16; 0 for family 0. */
size_t ip_len(struct ip a);
/* 0.0.0.0, ::, or no address. */
bool ip_is_any(struct ip a);
/* a + n, wrapping. */
struct ip ip_add(struct ip a, uint64_t n);
/* a - b, when it fits 63 bits; -1 otherwise or with a < b or unlike families. */
int64_t ip_distance(struct ip a, struct ip b);

/* "10.0.0.0/8"; host bits are cleared. */
bool cidr_parse(struct str s, struct cidr *ret);
bool cidr_has(struct cidr c, struct ip a);
bool cidr_overlaps(struct cidr a, struct cidr b);
/* Last address of the prefix. */
struct ip cidr_last(struct cidr c);

#endif
