/* SPDX-License-Identifier: Apache-2.0 */
/* pb_fuzz.c: no input reads out of bounds; fields that were read and written again read the same.
 */
#include "codec/pb.h"

#include "fuzz.h"

enum { FIELDS_MAX = 256, DEPTH_MAX = 8 };

struct field {
    uint32_t number;
    enum pb_wire wire;
    uint64_t value;
    struct str bytes;
};

/* Up to FIELDS_MAX fields; ret_n is right whether the rest is well-formed or not. */
static bool read_fields(struct str bytes, struct field *v, size_t *ret_n)
{
    struct pb_in in = pb_in(bytes);
    struct field f = {0};
    *ret_n = 0;
    while (*ret_n < FIELDS_MAX && pb_next(&in, &f.number, &f.wire)) {
        must(f.number > 0 && f.number <= PB_FIELD_MAX);
        switch (f.wire) {
        case PB_VARINT: f.value = pb_read_varint(&in); break;
        case PB_FIXED64: f.value = pb_read_fixed64(&in); break;
        case PB_FIXED32: f.value = pb_read_fixed32(&in); break;
        case PB_BYTES: f.bytes = pb_read_bytes(&in); break;
        }
        if (!in.failed)
            v[(*ret_n)++] = f;
    }
    while (pb_next(&in, &f.number, &f.wire))
        pb_skip(&in, f.wire);
    must(in.at == in.end);
    return !in.failed;
}

static void put_field(struct pb_out *o, const struct field *f)
{
    switch (f->wire) {
    case PB_VARINT: pb_put_varint(o, f->value); break;
    case PB_FIXED64: pb_put_fixed64(o, f->value); break;
    case PB_FIXED32: pb_put_fixed32(o, (uint32_t)f->value); break;
    case PB_BYTES: pb_put_bytes_field(o, f->number, f->bytes); return;
    }
    pb_put_tag(o, f->number, f->wire);
}

static bool field_eq(const struct field *a, const struct field *b)
{
    return a->number == b->number && a->wire == b->wire &&
           (a->wire == PB_BYTES ? str_eq(a->bytes, b->bytes) : a->value == b->value);
}

static void check_message(struct str bytes, int depth)
{
    struct field fields[FIELDS_MAX], again[FIELDS_MAX];
    size_t n, n_again;
    read_fields(bytes, fields, &n);
    struct pb_out o;
    pb_out_init(&o, bytes.n);
    for (size_t i = n; i-- > 0;)
        put_field(&o, &fields[i]);
    must(!o.failed); /* never longer than it was */
    must(read_fields(pb_out_view(&o), again, &n_again) && n_again == n);
    for (size_t i = 0; i < n; i++)
        must(field_eq(&fields[i], &again[i]));
    pb_out_fini(&o);
    for (size_t i = 0; i < n && depth > 0; i++)
        if (fields[i].wire == PB_BYTES)
            check_message(fields[i].bytes, depth - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_message(str_n((const char *)data, size), DEPTH_MAX);
    return 0;
}
