/* SPDX-License-Identifier: Apache-2.0 */
#include "network/dns_wire.h"

#include <ctype.h>

/* ---- reading ---- */

static const uint8_t *take(struct dns_in *in, size_t n)
{
    static const uint8_t zero[4];
    if (in->bad || in->n - in->at < n) {
        in->bad = true;
        return zero;
    }
    in->at += n;
    return in->p + in->at - n;
}

uint16_t dns_u16(struct dns_in *in)
{
    const uint8_t *p = take(in, 2);
    return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t dns_u32(struct dns_in *in)
{
    uint32_t high = dns_u16(in);
    return high << 16 | dns_u16(in);
}

void dns_skip(struct dns_in *in, size_t n)
{
    if (in->bad || in->n - in->at < n)
        in->bad = true;
    else
        in->at += n;
}

static uint8_t u8(struct dns_in *in)
{
    return *take(in, 1);
}

static bool append_label(struct dns_name *name, const uint8_t *p, uint8_t n)
{
    if (name->n + n + 2u > DNS_NAME_MAX) /* its length, and the root to come */
        return false;
    name->wire[name->n++] = n;
    for (uint8_t i = 0; i < n; i++)
        name->wire[name->n++] = (uint8_t)tolower(p[i]);
    name->labels++;
    return true;
}

void dns_read_name(struct dns_in *in, struct dns_name *ret)
{
    *ret = (struct dns_name){0};
    struct dns_in at = *in;  /* moves to where pointers lead */
    size_t barrier = in->at; /* pointers must lead before this */
    bool jumped = false;
    for (;;) {
        uint8_t n = u8(&at);
        if (!jumped)
            in->at = at.at;
        if (at.bad || n == 0)
            break;
        if (n > DNS_LABEL_MAX) {
            size_t to = (size_t)(n << 8 | u8(&at)) & DNS_POINTER_MAX;
            if (!jumped)
                in->at = at.at;
            jumped = true;
            at.bad |= (n & 0xc0) != 0xc0 || to >= barrier;
            barrier = at.at = to;
            continue;
        }
        at.bad |= at.n - at.at < n;
        if (at.bad || !append_label(ret, at.p + at.at, n)) {
            at.bad = true;
            break;
        }
        at.at += n;
        if (!jumped)
            in->at = at.at;
    }
    in->bad |= at.bad;
    if (in->bad)
        *ret = (struct dns_name){0};
    ret->wire[ret->n++] = 0;
}

void dns_read_rr(struct dns_in *in, struct dns_rr *ret)
{
    dns_read_name(in, &ret->owner);
    ret->type = dns_u16(in);
    ret->class_ = dns_u16(in);
    ret->ttl = dns_u32(in);
    ret->data_len = dns_u16(in);
    ret->data = in->at;
    dns_skip(in, ret->data_len);
}

/* OPT among the additional records (RFC 6891). */
static void read_additional(struct dns_in *in, size_t count, struct dns_query *q)
{
    for (size_t i = 0; i < count && !in->bad; i++) {
        struct dns_rr rr;
        dns_read_rr(in, &rr);
        if (in->bad || rr.type != DNS_OPT)
            continue;
        in->bad |= q->edns || rr.owner.n != 1; /* only one, and of the root */
        q->edns = true;
        q->udp_size = MAX(rr.class_, (uint16_t)DNS_UDP_PLAIN);
        q->edns_version = (uint8_t)(rr.ttl >> 16);
        q->dnssec_ok = rr.ttl >> 15 & 1;
    }
}

bool dns_read_query(struct str message, struct dns_query *ret, enum dns_rcode *ret_rcode)
{
    struct dns_in in = {.p = (const uint8_t *)message.p, .n = message.n};
    *ret = (struct dns_query){.udp_size = DNS_UDP_PLAIN};
    *ret_rcode = DNS_NOERROR;
    if (message.n < DNS_HEADER)
        return false;
    ret->id = dns_u16(&in);
    ret->flags = dns_u16(&in);
    uint16_t counts[4];
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        counts[i] = dns_u16(&in);
    if (ret->flags & DNS_QR)
        return false;
    if (ret->flags & DNS_OPCODE) {
        *ret_rcode = DNS_NOTIMP;
        return true;
    }
    dns_read_name(&in, &ret->name);
    ret->type = dns_u16(&in);
    ret->class_ = dns_u16(&in);
    bool plain = in.at == DNS_HEADER + ret->name.n + 4; /* no pointers in the question */
    ret->question_end = in.at;
    if (counts[0] != 1 || counts[1] || counts[2] || in.bad || !plain) {
        *ret_rcode = DNS_FORMERR;
        return true;
    }
    read_additional(&in, counts[3], ret);
    if (in.bad)
        *ret_rcode = DNS_FORMERR;
    else if (ret->edns && ret->edns_version)
        *ret_rcode = DNS_BADVERS;
    return true;
}

bool dns_name_parse(struct str text, struct dns_name *ret)
{
    *ret = (struct dns_name){0};
    if (str_has_suffix(text, STR(".")))
        text.n--;
    struct str label;
    while (text.n && str_next(&text, '.', &label))
        if (label.n == 0 || label.n > DNS_LABEL_MAX ||
            !append_label(ret, (const uint8_t *)label.p, (uint8_t)label.n))
            return false;
    ret->wire[ret->n++] = 0;
    return true;
}

/* ---- writing ---- */

void dns_put_bytes(struct dns_out *o, const void *p, size_t n)
{
    if (o->limit - o->n < n) {
        o->truncated = true;
        return;
    }
    memcpy(o->p + o->n, p, n);
    o->n += n;
}

void dns_put_u16(struct dns_out *o, uint16_t v)
{
    const uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    dns_put_bytes(o, bytes, sizeof bytes);
}

void dns_put_u32(struct dns_out *o, uint32_t v)
{
    dns_put_u16(o, (uint16_t)(v >> 16));
    dns_put_u16(o, (uint16_t)v);
}

void dns_put_name(struct dns_out *o, const struct dns_name *name, dns_ref ref)
{
    if (ref && ref <= DNS_POINTER_MAX)
        dns_put_u16(o, (uint16_t)(DNS_POINTER | ref));
    else
        dns_put_bytes(o, name->wire, name->n);
}

struct dns_mark dns_rr_begin(struct dns_out *o, const struct dns_name *owner, dns_ref ref,
                             uint16_t type, uint32_t ttl)
{
    struct dns_mark m = {.start = o->n, .full = o->truncated};
    o->truncated = false;
    dns_put_name(o, owner, ref);
    dns_put_u16(o, type);
    dns_put_u16(o, DNS_IN);
    dns_put_u32(o, ttl);
    m.length_at = o->n;
    dns_put_u16(o, 0);
    return m;
}

bool dns_rr_end(struct dns_out *o, struct dns_mark m, enum dns_section section)
{
    bool fits = !o->truncated && !m.full && o->counts[section] < UINT16_MAX;
    /* Additional records are a courtesy. */
    o->truncated = m.full || (!fits && section != DNS_ADDITIONAL);
    if (!fits) {
        o->n = m.start;
        return false;
    }
    size_t length = o->n - m.length_at - 2;
    o->p[m.length_at] = (uint8_t)(length >> 8);
    o->p[m.length_at + 1] = (uint8_t)length;
    o->counts[section]++;
    return true;
}
