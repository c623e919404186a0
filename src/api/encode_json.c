/* SPDX-License-Identifier: Apache-2.0 */
/* C structs to JSON, by descriptor: the same members in the same order as Go's encoder writes. */
#include "api/desc.h"
#include "api/field.h"
#include "codec/base64.h"

static void put_time(struct buf *b, struct wall t, bool micro)
{
    char text[WALL_TEXT_MAX];
    if (wall_is_zero(t)) {
        buf_z(b, "null");
        return;
    }
    size_t n = micro ? wall_format_micro(text, t) : wall_format(text, t);
    buf_c(b, '"');
    buf_add(b, text, n);
    buf_c(b, '"');
}

static void put_strings(struct buf *b, const struct str_list *l)
{
    if (!l->v) {
        buf_z(b, "null");
        return;
    }
    buf_c(b, '[');
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            buf_c(b, ',');
        json_put_string(b, l->v[i]);
    }
    buf_c(b, ']');
}

static void put_base64(struct buf *b, struct str s)
{
    if (!s.p) {
        buf_z(b, "null");
        return;
    }
    buf_c(b, '"');
    base64_encode(b, s);
    buf_c(b, '"');
}

static void put_duration(struct buf *b, int64_t ns)
{
    struct arena scratch = ARENA_INIT;
    json_put_string(b, duration_format(&scratch, ns));
    arena_fini(&scratch);
}

static void put_message(struct buf *b, const struct desc *d, const void *obj);

static void put_value(struct buf *b, const struct field *f, const void *p)
{
    switch ((enum field_kind)f->kind) {
    case FK_STRING: json_put_string(b, *(const struct str *)p); return;
    case FK_BOOL: buf_z(b, *(const bool *)p ? "true" : "false"); return;
    case FK_INT32: buf_i64(b, *(const int32_t *)p); return;
    case FK_INT64: buf_i64(b, *(const int64_t *)p); return;
    case FK_UINT32: buf_u64(b, *(const uint32_t *)p); return;
    case FK_UINT64: buf_u64(b, *(const uint64_t *)p); return;
    case FK_DOUBLE: json_put_double(b, *(const double *)p); return;
    case FK_BYTES: put_base64(b, *(const struct str *)p); return;
    case FK_TIME: put_time(b, *(const struct wall *)p, false); return;
    case FK_MICROTIME: put_time(b, *(const struct wall *)p, true); return;
    case FK_DURATION: put_duration(b, *(const int64_t *)p); return;
    case FK_QUANTITY: {
        struct str text = ((const struct quantity *)p)->text;
        json_put_string(b, text.p ? text : STR("0"));
        return;
    }
    case FK_INTSTR: {
        const struct intstr *v = p;
        if (v->is_string)
            json_put_string(b, v->s);
        else
            buf_i64(b, v->i);
        return;
    }
    case FK_RAW: {
        struct str raw = *(const struct str *)p;
        buf_str(b, raw.n ? raw : STR("null"));
        return;
    }
    case FK_STRINGS: put_strings(b, p); return;
    case FK_MESSAGE: put_message(b, f->message, p); return;
    }
    never("field kind");
}

static void put_list(struct buf *b, const struct field *f, const struct any_list *l)
{
    if (!l->v) {
        buf_z(b, "null");
        return;
    }
    size_t size = field_elem_size(f);
    buf_c(b, '[');
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            buf_c(b, ',');
        put_value(b, f, (const char *)l->v + i * size);
    }
    buf_c(b, ']');
}

static void put_map(struct buf *b, const struct field *f, const struct any_list *m)
{
    if (!m->v) {
        buf_z(b, "null");
        return;
    }
    size_t size = field_pair_size(f), value_at = field_pair_value_at(f);
    buf_c(b, '{');
    for (size_t i = 0; i < m->n; i++) {
        const char *pair = (const char *)m->v + i * size;
        if (i)
            buf_c(b, ',');
        json_put_string(b, *(const struct str *)(const void *)pair);
        buf_c(b, ':');
        put_value(b, f, pair + value_at);
    }
    buf_c(b, '}');
}

/* Go's omitempty: never leaves out a struct, a time in a struct's place, or an IntOrString. */
static bool left_out(const struct field *f, const void *p)
{
    if (f->flags & FIELD_OMITZERO)
        return field_is_absent(f, p);
    if (f->flags & FIELD_ALWAYS)
        return false;
    if (f->shape == SHAPE_ONE)
        switch ((enum field_kind)f->kind) {
        case FK_MESSAGE:
        case FK_TIME:
        case FK_MICROTIME:
        case FK_QUANTITY:
        case FK_INTSTR:
        case FK_RAW: return false;
        case FK_STRING:
        case FK_BOOL:
        case FK_INT32:
        case FK_INT64:
        case FK_UINT32:
        case FK_UINT64:
        case FK_DOUBLE:
        case FK_BYTES:
        case FK_DURATION:
        case FK_STRINGS: break;
        }
    return field_is_absent(f, p);
}

static void put_field(struct buf *b, const struct field *f, const void *p)
{
    switch ((enum field_shape)f->shape) {
    case SHAPE_ONE: put_value(b, f, p); return;
    case SHAPE_PTR:
        if (field_self_null(f) ? ((const struct str *)p)->p == NULL : *(void *const *)p == NULL)
            buf_z(b, "null");
        else
            put_value(b, f, field_self_null(f) ? p : *(void *const *)p);
        return;
    case SHAPE_LIST: put_list(b, f, p); return;
    case SHAPE_MAP: put_map(b, f, p); return;
    }
    never("field shape");
}

static void put_encoded(struct buf *b, const struct desc *d, const void *obj)
{
    const struct field *first = &d->fields[0], *second = &d->fields[1];
    const void *a = (const char *)obj + first->offset, *c = (const char *)obj + second->offset;
    if (d->encoding == ENC_SCHEMA_OR_BOOL) {
        if (*(void *const *)c)
            put_message(b, second->message, *(void *const *)c);
        else
            put_value(b, first, a);
        return;
    }
    bool array = ((const struct any_list *)c)->n > 0;
    if (array)
        put_list(b, second, c);
    else
        put_field(b, first, a);
}

static void put_message(struct buf *b, const struct desc *d, const void *obj)
{
    if (d->encoding != ENC_PLAIN) {
        put_encoded(b, d, obj);
        return;
    }
    bool first = true;
    buf_c(b, '{');
    for (size_t i = 0; i < d->n_json; i++) {
        const struct field *f = &d->fields[i];
        const void *p = (const char *)obj + f->offset;
        if (left_out(f, p))
            continue;
        if (!first)
            buf_c(b, ',');
        first = false;
        buf_c(b, '"');
        buf_z(b, f->name);
        buf_add(b, "\":", 2);
        put_field(b, f, p);
    }
    buf_c(b, '}');
}

void desc_encode_json(const struct desc *d, const void *obj, struct buf *b)
{
    put_message(b, d, obj);
}
