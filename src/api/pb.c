/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C structs from and to protobuf, by descriptor, as gogo-generated code does it for Kubernetes:
 * proto2 with non-nullable fields always written, fields in order of number, maps sorted by key.
 * proto3 messages (CRI, etcd, CSI) leave zero scalars out and pack numeric lists.
 */
#include "api/desc.h"
#include "api/field.h"

enum { PB_DEPTH_MAX = 100 };

/* ---- decoding ---- */

struct pb_decoder {
    struct arena *arena;
    struct err *e;
    uint32_t depth;
};

static int bad(struct pb_decoder *d, const struct desc *desc)
{
    return err_set(d->e, ERR_BAD_REQUEST, "proto: malformed %s", desc->name);
}

static enum pb_wire wire_of(const struct field *f)
{
    switch ((enum field_kind)f->kind) {
    case FK_BOOL:
    case FK_INT32:
    case FK_INT64:
    case FK_UINT32:
    case FK_UINT64: return PB_VARINT;
    case FK_DOUBLE: return PB_FIXED64;
    case FK_STRING:
    case FK_BYTES:
    case FK_TIME:
    case FK_MICROTIME:
    case FK_DURATION:
    case FK_QUANTITY:
    case FK_INTSTR:
    case FK_RAW:
    case FK_STRINGS:
    case FK_MESSAGE: return PB_BYTES;
    }
    never("field kind");
}

static bool numeric(const struct field *f)
{
    return wire_of(f) != PB_BYTES;
}

static void store_number(const struct field *f, void *p, uint64_t v)
{
    switch (f->kind) {
    case FK_BOOL: *(bool *)p = v != 0; return;
    case FK_INT32:
    case FK_UINT32: *(uint32_t *)p = (uint32_t)v; return;
    case FK_DOUBLE: memcpy(p, &v, sizeof v); return;
    default: *(uint64_t *)p = v; return;
    }
}

static uint64_t read_number(struct pb_in *in, const struct field *f)
{
    return f->kind == FK_DOUBLE ? pb_read_fixed64(in) : pb_read_varint(in);
}

/* Time {1 seconds, 2 nanos} */
static struct wall read_time(struct pb_in in, bool *failed)
{
    struct wall t = {0};
    uint32_t number;
    enum pb_wire wire;
    while (pb_next(&in, &number, &wire)) {
        if (number == 1 && wire == PB_VARINT)
            t.s = (int64_t)pb_read_varint(&in);
        else if (number == 2 && wire == PB_VARINT)
            t.ns = (int32_t)pb_read_varint(&in);
        else
            pb_skip(&in, wire);
    }
    *failed |= in.failed || t.ns < 0 || t.ns > 999999999;
    return t;
}

/* IntOrString {1 type, 2 intVal, 3 strVal} */
static struct intstr read_intstr(struct pb_in in, bool *failed)
{
    struct intstr v = {0};
    uint32_t number;
    enum pb_wire wire;
    while (pb_next(&in, &number, &wire)) {
        if (number == 1 && wire == PB_VARINT)
            v.is_string = pb_read_varint(&in) == 1;
        else if (number == 2 && wire == PB_VARINT)
            v.i = (int32_t)pb_read_varint(&in);
        else if (number == 3 && wire == PB_BYTES)
            v.s = pb_read_bytes(&in);
        else
            pb_skip(&in, wire);
    }
    if (!v.is_string)
        v.s = STR_NULL;
    else if (!v.s.p)
        v.s = STR("");
    else
        v.i = 0;
    *failed |= in.failed;
    return v;
}

/* Messages whose only content is a string or bytes in field 1: Quantity, RawExtension, FieldsV1. */
static struct str read_wrapped(struct pb_in in, bool *failed)
{
    struct str s = STR_NULL;
    uint32_t number;
    enum pb_wire wire;
    while (pb_next(&in, &number, &wire)) {
        if (number == 1 && wire == PB_BYTES)
            s = pb_read_bytes(&in);
        else
            pb_skip(&in, wire);
    }
    *failed |= in.failed;
    return s;
}

static int64_t read_duration(struct pb_in in, bool *failed)
{
    int64_t ns = 0;
    uint32_t number;
    enum pb_wire wire;
    while (pb_next(&in, &number, &wire)) {
        if (number == 1 && wire == PB_VARINT)
            ns = (int64_t)pb_read_varint(&in);
        else
            pb_skip(&in, wire);
    }
    *failed |= in.failed;
    return ns;
}

static void read_strings(struct pb_decoder *d, struct pb_in in, struct str_list *l, bool *failed)
{
    uint32_t number;
    enum pb_wire wire;
    l->v = arena_alloc(d->arena, list_room(0) * sizeof *l->v);
    while (pb_next(&in, &number, &wire)) {
        if (number == 1 && wire == PB_BYTES)
            str_list_push(d->arena, l, pb_read_bytes(&in));
        else
            pb_skip(&in, wire);
    }
    *failed |= in.failed;
}

static int decode_message(struct pb_decoder *d, const struct desc *desc, struct str bytes,
                          void *obj);

/* One length-delimited value. */
static int decode_bytes(struct pb_decoder *d, const struct desc *owner, const struct field *f,
                        struct str bytes, void *p)
{
    bool failed = false;
    switch ((enum field_kind)f->kind) {
    case FK_STRING:
        if (!str_is_utf8(bytes))
            return err_set(d->e, ERR_BAD_REQUEST, "proto: %s.%s: invalid UTF-8", owner->name,
                           f->name);
        *(struct str *)p = bytes.p ? bytes : STR("");
        break;
    case FK_BYTES: *(struct str *)p = bytes.p ? bytes : STR(""); break;
    case FK_TIME: *(struct wall *)p = read_time(pb_in(bytes), &failed); break;
    case FK_MICROTIME: *(struct wall *)p = read_time(pb_in(bytes), &failed); break;
    case FK_DURATION: *(int64_t *)p = read_duration(pb_in(bytes), &failed); break;
    case FK_INTSTR: *(struct intstr *)p = read_intstr(pb_in(bytes), &failed); break;
    case FK_RAW: {
        struct str raw = read_wrapped(pb_in(bytes), &failed);
        *(struct str *)p = raw;
        break;
    }
    case FK_QUANTITY: {
        struct str text = read_wrapped(pb_in(bytes), &failed);
        if (!text.n)
            text = STR("0");
        if (!failed && !quantity_parse(d->arena, text, p))
            return err_set(d->e, ERR_BAD_REQUEST, "proto: %s.%s: not a quantity", owner->name,
                           f->name);
        break;
    }
    case FK_STRINGS: read_strings(d, pb_in(bytes), p, &failed); break;
    case FK_MESSAGE: return decode_message(d, f->message, bytes, p);
    case FK_BOOL:
    case FK_INT32:
    case FK_INT64:
    case FK_UINT32:
    case FK_UINT64:
    case FK_DOUBLE: never("numeric kind");
    }
    return failed ? bad(d, owner) : 0;
}

static void *add_element(struct pb_decoder *d, struct any_list *l, size_t size)
{
    l->v = list_grow(d->arena, l->v, l->n, size);
    return (char *)l->v + l->n++ * size;
}

/* Map entries are messages {1 key, 2 value}. */
static int decode_entry(struct pb_decoder *d, const struct desc *owner, const struct field *f,
                        struct str bytes, struct any_list *map)
{
    size_t value_at = field_pair_value_at(f);
    char *pair = add_element(d, map, field_pair_size(f));
    *(struct str *)(void *)pair = STR("");
    struct pb_in in = pb_in(bytes);
    uint32_t number;
    enum pb_wire wire;
    while (pb_next(&in, &number, &wire)) {
        if (number == 1 && wire == PB_BYTES) {
            *(struct str *)(void *)pair = pb_read_bytes(&in);
        } else if (number == 2 && wire == wire_of(f) && wire == PB_BYTES) {
            int rc = decode_bytes(d, owner, f, pb_read_bytes(&in), pair + value_at);
            if (rc < 0)
                return rc;
        } else if (number == 2 && wire == wire_of(f)) {
            store_number(f, pair + value_at, read_number(&in, f));
        } else {
            pb_skip(&in, wire);
        }
    }
    return in.failed ? bad(d, owner) : 0;
}

static int decode_packed(struct pb_decoder *d, const struct desc *owner, const struct field *f,
                         struct str bytes, struct any_list *l)
{
    struct pb_in in = pb_in(bytes);
    while (in.at < in.end && !in.failed) {
        uint64_t v = read_number(&in, f);
        store_number(f, add_element(d, l, field_elem_size(f)), v);
    }
    return in.failed ? bad(d, owner) : 0;
}

static int decode_pb_field(struct pb_decoder *d, const struct desc *desc, const struct field *f,
                           struct pb_in *in, enum pb_wire wire, void *obj)
{
    void *p = (char *)obj + f->offset;
    if (f->shape == SHAPE_LIST && numeric(f) && wire == PB_BYTES)
        return decode_packed(d, desc, f, pb_read_bytes(in), p);
    if (f->shape == SHAPE_MAP && wire == PB_BYTES)
        return decode_entry(d, desc, f, pb_read_bytes(in), p);
    if (wire != wire_of(f) || f->shape == SHAPE_MAP)
        return bad(d, desc);
    if (f->shape == SHAPE_LIST) {
        p = add_element(d, p, field_elem_size(f));
    } else if (f->shape == SHAPE_PTR && !field_self_null(f)) {
        if (!*(void **)p)
            *(void **)p = arena_alloc(d->arena, field_elem_size(f));
        p = *(void **)p;
    }
    if (wire != PB_BYTES) {
        store_number(f, p, read_number(in, f));
        return 0;
    }
    return decode_bytes(d, desc, f, pb_read_bytes(in), p);
}

static const struct field *field_by_number(const struct desc *desc, uint32_t number, size_t *guess)
{
    if (*guess < desc->n_number) {
        const struct field *f = &desc->fields[desc->by_number[*guess]];
        if (f->number == number)
            return f;
    }
    for (size_t i = 0; i < desc->n_number; i++) {
        const struct field *f = &desc->fields[desc->by_number[i]];
        if (f->number == number) {
            *guess = i;
            return f;
        }
    }
    return NULL;
}

static int decode_message(struct pb_decoder *d, const struct desc *desc, struct str bytes,
                          void *obj)
{
    if (d->depth >= PB_DEPTH_MAX)
        return err_set(d->e, ERR_BAD_REQUEST, "proto: nested too deeply");
    d->depth++;
    struct pb_in in = pb_in(bytes);
    uint32_t number;
    enum pb_wire wire;
    size_t guess = 0;
    while (pb_next(&in, &number, &wire)) {
        const struct field *f = field_by_number(desc, number, &guess);
        if (!f) {
            pb_skip(&in, wire);
            continue;
        }
        if (f->shape != SHAPE_LIST && f->shape != SHAPE_MAP)
            guess++;
        int rc = decode_pb_field(d, desc, f, &in, wire, obj);
        if (rc < 0)
            return rc;
    }
    d->depth--;
    if (in.failed)
        return bad(d, desc);
    for (size_t i = 0; i < desc->n_number; i++) {
        const struct field *f = &desc->fields[desc->by_number[i]];
        if (f->shape == SHAPE_MAP)
            map_normalize((struct any_list *)(void *)((char *)obj + f->offset), field_pair_size(f));
    }
    return 0;
}

int desc_decode_pb(const struct desc *desc, struct str bytes, struct arena *a, void *obj,
                   struct err *e)
{
    struct pb_decoder d = {.arena = a, .e = e};
    return decode_message(&d, desc, bytes, obj);
}

/* ---- encoding, back to front ---- */

static void put_number(struct pb_out *o, const struct field *f, const void *p)
{
    switch (f->kind) {
    case FK_BOOL: pb_put_varint(o, *(const bool *)p); return;
    case FK_INT32: pb_put_varint(o, (uint64_t)(int64_t) * (const int32_t *)p); return;
    case FK_UINT32: pb_put_varint(o, *(const uint32_t *)p); return;
    case FK_DOUBLE: {
        uint64_t bits;
        memcpy(&bits, p, sizeof bits);
        pb_put_fixed64(o, bits);
        return;
    }
    default: pb_put_varint(o, *(const uint64_t *)p); return;
    }
}

static void put_varint_field(struct pb_out *o, uint32_t number, uint64_t v)
{
    pb_put_varint(o, v);
    pb_put_tag(o, number, PB_VARINT);
}

/* The content of one length-delimited value, without its header. */
static void put_content(struct pb_out *o, const struct field *f, const void *p)
{
    switch ((enum field_kind)f->kind) {
    case FK_STRING:
    case FK_BYTES: {
        struct str s = *(const struct str *)p;
        pb_put_raw(o, s.p, s.n);
        return;
    }
    case FK_TIME:
    case FK_MICROTIME: {
        struct wall t = *(const struct wall *)p;
        if (wall_is_zero(t))
            return;
        put_varint_field(o, 2, f->kind == FK_TIME ? 0 : (uint64_t)(t.ns / 1000 * 1000));
        put_varint_field(o, 1, (uint64_t)t.s);
        return;
    }
    case FK_DURATION: put_varint_field(o, 1, *(const uint64_t *)p); return;
    case FK_QUANTITY: {
        struct str text = ((const struct quantity *)p)->text;
        pb_put_bytes_field(o, 1, text.p ? text : STR("0"));
        return;
    }
    case FK_INTSTR: {
        const struct intstr *v = p;
        pb_put_bytes_field(o, 3, v->is_string ? v->s : STR(""));
        put_varint_field(o, 2, v->is_string ? 0 : (uint64_t)(int64_t)v->i);
        put_varint_field(o, 1, v->is_string);
        return;
    }
    case FK_RAW: {
        struct str raw = *(const struct str *)p;
        if (raw.p)
            pb_put_bytes_field(o, 1, raw);
        return;
    }
    case FK_STRINGS: {
        const struct str_list *l = p;
        for (size_t i = l->n; i-- > 0;)
            pb_put_bytes_field(o, 1, l->v[i]);
        return;
    }
    case FK_MESSAGE: desc_encode_pb(f->message, p, o); return;
    case FK_BOOL:
    case FK_INT32:
    case FK_INT64:
    case FK_UINT32:
    case FK_UINT64:
    case FK_DOUBLE: never("numeric kind");
    }
}

static void put_one(struct pb_out *o, const struct field *f, uint32_t number, const void *p)
{
    if (numeric(f)) {
        put_number(o, f, p);
        pb_put_tag(o, number, wire_of(f));
        return;
    }
    size_t mark = pb_out_len(o);
    put_content(o, f, p);
    pb_put_message_header(o, number, mark);
}

static void put_pb_list(struct pb_out *o, const struct desc *d, const struct field *f,
                        const struct any_list *l)
{
    size_t size = field_elem_size(f), mark = pb_out_len(o);
    bool packed = d->proto3 && numeric(f);
    for (size_t i = l->n; i-- > 0;) {
        const void *p = (const char *)l->v + i * size;
        if (packed)
            put_number(o, f, p);
        else
            put_one(o, f, f->number, p);
    }
    if (packed && l->n)
        pb_put_message_header(o, f->number, mark);
}

static void put_pb_map(struct pb_out *o, const struct field *f, const struct any_list *m)
{
    size_t size = field_pair_size(f), value_at = field_pair_value_at(f);
    for (size_t i = m->n; i-- > 0;) {
        const char *pair = (const char *)m->v + i * size;
        size_t mark = pb_out_len(o);
        put_one(o, f, 2, pair + value_at);
        pb_put_bytes_field(o, 1, *(const struct str *)(const void *)pair);
        pb_put_message_header(o, f->number, mark);
    }
}

static bool is_present(const struct desc *d, const struct field *f, const void *p)
{
    if (f->shape == SHAPE_PTR || d->proto3)
        return !field_is_absent(f, p);
    /* []byte is nil or written; the other non-pointers are always written. */
    return f->kind != FK_BYTES || ((const struct str *)p)->p;
}

void desc_encode_pb(const struct desc *d, const void *obj, struct pb_out *o)
{
    for (size_t i = d->n_number; i-- > 0;) {
        const struct field *f = &d->fields[d->by_number[i]];
        const void *p = (const char *)obj + f->offset;
        switch ((enum field_shape)f->shape) {
        case SHAPE_LIST: put_pb_list(o, d, f, p); break;
        case SHAPE_MAP: put_pb_map(o, f, p); break;
        case SHAPE_ONE:
        case SHAPE_PTR:
            if (!is_present(d, f, p))
                break;
            if (f->shape == SHAPE_PTR && !field_self_null(f))
                p = *(void *const *)p;
            put_one(o, f, f->number, p);
        }
    }
}
