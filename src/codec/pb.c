/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/pb.h"

#include <endian.h>

enum { VARINT_MAX = 10, ROOM_MIN = 512 };

/* ---- reader ---- */

struct pb_in pb_in(struct str bytes)
{
    static const uint8_t nothing[1];
    const uint8_t *p = bytes.p ? (const uint8_t *)bytes.p : nothing;
    return (struct pb_in){.at = p, .end = p + bytes.n};
}

static uint64_t fail(struct pb_in *in)
{
    in->failed = true;
    in->at = in->end; /* every later read fails for want of bytes */
    return 0;
}

static uint64_t read_long_varint(struct pb_in *in)
{
    uint64_t v = 0;
    size_t n = MIN((size_t)(in->end - in->at), (size_t)VARINT_MAX);
    for (size_t i = 0; i < n; i++) {
        uint64_t byte = in->at[i];
        if (i == VARINT_MAX - 1 && byte > 1)
            break; /* past 64 bits */
        v |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            in->at += i + 1;
            return v;
        }
    }
    return fail(in);
}

static inline uint64_t read_varint(struct pb_in *in)
{
    if (in->at < in->end && *in->at < 0x80)
        return *in->at++;
    return read_long_varint(in);
}

uint64_t pb_read_varint(struct pb_in *in)
{
    return read_varint(in);
}

bool pb_next(struct pb_in *in, uint32_t *ret_field, enum pb_wire *ret_wire)
{
    if (in->at == in->end)
        return false;
    uint64_t tag = read_varint(in);
    uint32_t wire = tag & 7;
    bool known = wire == PB_VARINT || wire == PB_FIXED64 || wire == PB_BYTES || wire == PB_FIXED32;
    if (tag > UINT32_MAX || tag >> 3 == 0 || !known)
        return fail(in);
    *ret_field = (uint32_t)(tag >> 3);
    *ret_wire = (enum pb_wire)wire;
    return true;
}

uint64_t pb_read_fixed64(struct pb_in *in)
{
    uint64_t v;
    if ((size_t)(in->end - in->at) < sizeof v)
        return fail(in);
    memcpy(&v, in->at, sizeof v);
    in->at += sizeof v;
    return le64toh(v);
}

uint32_t pb_read_fixed32(struct pb_in *in)
{
    uint32_t v;
    if ((size_t)(in->end - in->at) < sizeof v)
        return (uint32_t)fail(in);
    memcpy(&v, in->at, sizeof v);
    in->at += sizeof v;
    return le32toh(v);
}

struct str pb_read_bytes(struct pb_in *in)
{
    uint64_t n = read_varint(in);
    if (n > (uint64_t)(in->end - in->at)) {
        fail(in);
        return STR_NULL;
    }
    struct str bytes = str_n((const char *)in->at, n);
    in->at += n;
    return bytes;
}

void pb_skip(struct pb_in *in, enum pb_wire wire)
{
    switch (wire) {
    case PB_VARINT: read_varint(in); return;
    case PB_FIXED64: pb_read_fixed64(in); return;
    case PB_BYTES: pb_read_bytes(in); return;
    case PB_FIXED32: pb_read_fixed32(in); return;
    }
    fail(in);
}

/* ---- writer ---- */

void pb_out_init(struct pb_out *o, size_t cap_bytes)
{
    *o = (struct pb_out){.cap = cap_bytes};
}

void pb_out_fini(struct pb_out *o)
{
    free(o->start);
    pb_out_init(o, o->cap);
}

void pb_out_clear(struct pb_out *o)
{
    o->at = o->end;
    o->failed = false;
}

/* A bigger block with the content at its end. */
static bool grow(struct pb_out *o, size_t n)
{
    size_t len = pb_out_len(o);
    if (o->failed || n > o->cap || len > o->cap - n) {
        o->failed = true;
        return false;
    }
    size_t room = MAX((size_t)(o->end - o->start) * 2, (size_t)ROOM_MIN);
    room = MIN(MAX(room, len + n), o->cap);
    uint8_t *start = malloc(room);
    if (!start) {
        o->failed = true;
        return false;
    }
    uint8_t *end = start + room;
    if (len)
        memcpy(end - len, o->at, len);
    free(o->start);
    o->start = start;
    o->at = end - len;
    o->end = end;
    return true;
}

/* Moves the front by n bytes, which the caller then writes; NULL when failed. */
static inline uint8_t *take(struct pb_out *o, size_t n)
{
    if (o->failed || ((size_t)(o->at - o->start) < n && !grow(o, n)))
        return NULL;
    return o->at -= n;
}

void pb_put_raw(struct pb_out *o, const void *p, size_t n)
{
    uint8_t *to = n ? take(o, n) : NULL;
    if (to)
        memcpy(to, p, n);
}

static inline void put_varint(struct pb_out *o, uint64_t v)
{
    size_t n = (size_t)(64 - __builtin_clzll(v | 1) + 6) / 7;
    uint8_t *to = take(o, n);
    if (!to)
        return;
    for (; n > 1; n--, v >>= 7)
        *to++ = (uint8_t)(v | 0x80);
    *to = (uint8_t)v;
}

void pb_put_varint(struct pb_out *o, uint64_t v)
{
    put_varint(o, v);
}

void pb_put_fixed64(struct pb_out *o, uint64_t v)
{
    v = htole64(v);
    pb_put_raw(o, &v, sizeof v);
}

void pb_put_fixed32(struct pb_out *o, uint32_t v)
{
    v = htole32(v);
    pb_put_raw(o, &v, sizeof v);
}

void pb_put_tag(struct pb_out *o, uint32_t field, enum pb_wire wire)
{
    must(field > 0 && field <= PB_FIELD_MAX);
    put_varint(o, field << 3 | wire);
}

void pb_put_bytes_field(struct pb_out *o, uint32_t field, struct str bytes)
{
    pb_put_raw(o, bytes.p, bytes.n);
    put_varint(o, bytes.n);
    pb_put_tag(o, field, PB_BYTES);
}

void pb_put_message_header(struct pb_out *o, uint32_t field, size_t mark)
{
    must(o->failed || mark <= pb_out_len(o));
    put_varint(o, pb_out_len(o) - mark);
    pb_put_tag(o, field, PB_BYTES);
}
