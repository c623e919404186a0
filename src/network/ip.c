/* SPDX-License-Identifier: Apache-2.0 */
#include "network/ip.h"

#include <arpa/inet.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

bool ip_parse(struct str s, struct ip *ret)
{
    char z[IP_TEXT_MAX];
    if (s.n == 0 || s.n >= sizeof z || memchr(s.p, 0, s.n))
        return false;
    memcpy(z, s.p, s.n);
    z[s.n] = 0;
    struct ip a = {0};
    bool six = str_index(s, ':') >= 0;
    if (inet_pton(six ? AF_INET6 : AF_INET, z, a.bytes) != 1)
        return false;
    if (six && memcmp(a.bytes, mapped_prefix, sizeof mapped_prefix) == 0)
        return false;
    a.family = six ? 6 : 4;
    *ret = a;
    return true;
}

const char *ip_text(struct ip a, char out[IP_TEXT_MAX])
{
    out[0] = 0;
    if (a.family)
        inet_ntop(a.family == 6 ? AF_INET6 : AF_INET, a.bytes, out, IP_TEXT_MAX);
    return out;
}

bool ip_eq(struct ip a, struct ip b)
{
    return a.family == b.family && memcmp(a.bytes, b.bytes, ip_len(a)) == 0;
}

size_t ip_len(struct ip a)
{
    return a.family == 6 ? 16 : a.family == 4 ? 4 : 0;
}

bool ip_is_any(struct ip a)
{
    static const uint8_t zero[16];
    return memcmp(a.bytes, zero, ip_len(a)) == 0;
}

struct ip ip_add(struct ip a, uint64_t n)
{
    for (size_t i = ip_len(a); i-- > 0 && n;) {
        n += a.bytes[i];
        a.bytes[i] = (uint8_t)n;
        n >>= 8;
    }
    return a;
}

int64_t ip_distance(struct ip a, struct ip b)
{
    if (a.family != b.family || memcmp(a.bytes, b.bytes, ip_len(a)) < 0)
        return -1;
    uint64_t d = 0;
    int borrow = 0;
    uint8_t diff[16] = {0};
    for (size_t i = ip_len(a); i-- > 0;) {
        int v = a.bytes[i] - b.bytes[i] - borrow;
        borrow = v < 0;
        diff[i] = (uint8_t)v;
    }
    for (size_t i = 0; i < ip_len(a); i++) {
        if (d >> 55)
            return -1;
        d = d << 8 | diff[i];
    }
    return d > INT64_MAX ? -1 : (int64_t)d;
}

/* The prefix's mask for byte i. */
static uint8_t mask_byte(uint8_t bits, size_t i)
{
    int left = (int)bits - (int)i * 8;
    return left >= 8 ? 0xff : left <= 0 ? 0 : (uint8_t)(0xff00 >> left);
}

bool cidr_parse(struct str s, struct cidr *ret)
{
    struct str host, length;
    struct cidr c = {0};
    uint64_t bits;
    if (!str_cut(s, '/', &host, &length) || !ip_parse(host, &c.ip) || !str_to_u64(length, &bits) ||
        bits > ip_len(c.ip) * 8)
        return false;
    c.bits = (uint8_t)bits;
    for (size_t i = 0; i < ip_len(c.ip); i++)
        c.ip.bytes[i] &= mask_byte(c.bits, i);
    *ret = c;
    return true;
}

bool cidr_has(struct cidr c, struct ip a)
{
    if (c.ip.family == 0 || c.ip.family != a.family)
        return false;
    for (size_t i = 0; i < ip_len(a); i++)
        if ((a.bytes[i] & mask_byte(c.bits, i)) != c.ip.bytes[i])
            return false;
    return true;
}

bool cidr_overlaps(struct cidr a, struct cidr b)
{
    return a.bits <= b.bits ? cidr_has(a, b.ip) : cidr_has(b, a.ip);
}

struct ip cidr_last(struct cidr c)
{
    struct ip last = c.ip;
    for (size_t i = 0; i < ip_len(last); i++)
        last.bytes[i] |= (uint8_t)~mask_byte(c.bits, i);
    return last;
}
