/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pb.h: protobuf wire format primitives. Messages are described elsewhere (api/desc.h).
 *
 * The wire format is https://protobuf.dev/programming-guides/encoding/. Groups (wire types 3 and
 * 4) are refused: proto3 and the Kubernetes API have none.
 */
#ifndef BARQUE_CODEC_PB_H
#define BARQUE_CODEC_PB_H

#include "base/buf.h"
#include "base/str.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

enum { PB_FIELD_MAX = (1 << 29) - 1 };

/* ---- reader: a cursor with a sticky error: after it reads give 0 or STR_NULL ----
 *
 *   struct pb_in in = pb_in(bytes);
 *   while (pb_next(&in, &field, &wire))
 *       if (field == 1 && wire == PB_BYTES) name = pb_read_bytes(&in);
 *       else pb_skip(&in, wire);
 *   if (in.failed) ...
 */
struct pb_in {
    const uint8_t *at, *end;
    bool failed;
};
struct pb_in pb_in(struct str bytes);
/* The next field's number (1 to PB_FIELD_MAX) and wire type; false at the end or on error. */
bool pb_next(struct pb_in *in, uint32_t *ret_field, enum pb_wire *ret_wire);
/* At most ten bytes, at most 64 bits. */
uint64_t pb_read_varint(struct pb_in *in);
uint64_t pb_read_fixed64(struct pb_in *in);
uint32_t pb_read_fixed32(struct pb_in *in);
struct str pb_read_bytes(struct pb_in *in); /* a view */
void pb_skip(struct pb_in *in, enum pb_wire wire);
static inline int64_t pb_zigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* ---- writer: fills a buffer from its end towards its front, so that a nested message's length
 * is known when its header is written. Fields are therefore written last first, and a field's
 * value before its tag. Past the cap (or without memory) nothing more is written: look at
 * `failed` once at the end. ---- */
struct pb_out {
    uint8_t *start, *at, *end; /* content is [at, end) */
    size_t cap;
    bool failed;
};
void pb_out_init(struct pb_out *o, size_t cap_bytes);
void pb_out_fini(struct pb_out *o); /* also as CLEANUP(pb_out_fini) */
/* Empties it, keeps the memory, clears the failure. */
void pb_out_clear(struct pb_out *o);
static inline size_t pb_out_len(const struct pb_out *o)
{
    return (size_t)(o->end - o->at);
}
/* Valid until the next put. */
static inline struct str pb_out_view(const struct pb_out *o)
{
    return str_n((const char *)o->at, pb_out_len(o));
}
void pb_put_raw(struct pb_out *o, const void *p, size_t n);
void pb_put_varint(struct pb_out *o, uint64_t v);
void pb_put_fixed64(struct pb_out *o, uint64_t v);
void pb_put_fixed32(struct pb_out *o, uint32_t v);
void pb_put_tag(struct pb_out *o, uint32_t field, enum pb_wire wire);
/* tag + length + bytes */
void pb_put_bytes_field(struct pb_out *o, uint32_t field, struct str bytes);
/* tag + length for the bytes written since the mark (mark = pb_out_len before them) */
void pb_put_message_header(struct pb_out *o, uint32_t field, size_t mark);

#endif
