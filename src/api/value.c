/* SPDX-License-Identifier: Apache-2.0 */
/* Defaulting, comparison and copying of API structs, by descriptor. */
#include "api/desc.h"
#include "api/field.h"

/* ---- defaults ---- */

static void set_default(const struct field *f, void *p, struct arena *a)
{
    struct str text = str_z(f->ext->default_text);
    int64_t i = 0;
    if (f->shape == SHAPE_PTR && !field_self_null(f)) {
        void *value = arena_alloc(a, field_elem_size(f));
        *(void **)p = value;
        p = value;
    }
    switch (f->kind) {
    case FK_STRING: *(struct str *)p = text; return;
    case FK_BOOL: must(str_to_bool(text, p)); return;
    case FK_INT32: must(str_to_i32(text, p)); return;
    case FK_INT64:
        must(str_to_i64(text, &i));
        *(int64_t *)p = i;
        return;
    default: never("a default for this kind of field");
    }
}

static void default_elements(const struct field *f, const struct any_list *l, size_t size,
                             size_t at, struct arena *a)
{
    for (size_t i = 0; i < l->n; i++)
        desc_default(f->message, (char *)l->v + i * size + at, a);
}

static void default_field(const struct field *f, void *p, struct arena *a)
{
    if (f->ext && f->ext->default_text && field_is_absent(f, p))
        set_default(f, p, a);
    if (f->kind != FK_MESSAGE || !f->message->defaults)
        return;
    switch ((enum field_shape)f->shape) {
    case SHAPE_ONE: desc_default(f->message, p, a); return;
    case SHAPE_PTR:
        if (*(void **)p)
            desc_default(f->message, *(void **)p, a);
        return;
    case SHAPE_LIST: default_elements(f, p, f->message->size, 0, a); return;
    case SHAPE_MAP: default_elements(f, p, field_pair_size(f), field_pair_value_at(f), a); return;
    }
}

void desc_default(const struct desc *d, void *obj, struct arena *a)
{
    if (!d->defaults)
        return;
    for (size_t i = 0; i < d->n_json; i++)
        if (d->fields[i].flags & FIELD_DEFAULTS)
            default_field(&d->fields[i], (char *)obj + d->fields[i].offset, a);
}

/* ---- comparison ---- */

static bool equal_strings(const struct str_list *a, const struct str_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!str_eq(a->v[i], b->v[i]))
            return false;
    return true;
}

static bool equal_value(const struct field *f, const void *a, const void *b)
{
    switch ((enum field_kind)f->kind) {
    case FK_STRING:
    case FK_BYTES:
    case FK_RAW: return str_eq(*(const struct str *)a, *(const struct str *)b);
    case FK_BOOL: return *(const bool *)a == *(const bool *)b;
    case FK_INT32:
    case FK_UINT32: return *(const int32_t *)a == *(const int32_t *)b;
    case FK_INT64:
    case FK_UINT64:
    case FK_DURATION: return *(const int64_t *)a == *(const int64_t *)b;
    case FK_DOUBLE: return *(const double *)a == *(const double *)b;
    case FK_TIME:
    case FK_MICROTIME: return wall_cmp(*(const struct wall *)a, *(const struct wall *)b) == 0;
    case FK_QUANTITY: return quantity_cmp(a, b) == 0;
    case FK_INTSTR: {
        const struct intstr *x = a, *y = b;
        return x->is_string == y->is_string && (x->is_string ? str_eq(x->s, y->s) : x->i == y->i);
    }
    case FK_STRINGS: return equal_strings(a, b);
    case FK_MESSAGE: return desc_equal(f->message, a, b);
    }
    never("field kind");
}

static bool equal_lists(const struct field *f, const struct any_list *a, const struct any_list *b)
{
    size_t size = field_elem_size(f);
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!equal_value(f, (const char *)a->v + i * size, (const char *)b->v + i * size))
            return false;
    return true;
}

static bool equal_maps(const struct field *f, const struct any_list *a, const struct any_list *b)
{
    size_t size = field_pair_size(f), at = field_pair_value_at(f);
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const char *x = (const char *)a->v + i * size, *y = (const char *)b->v + i * size;
        if (!str_eq(*(const struct str *)(const void *)x, *(const struct str *)(const void *)y) ||
            !equal_value(f, x + at, y + at))
            return false;
    }
    return true;
}

static bool equal_field(const struct field *f, const void *a, const void *b)
{
    switch ((enum field_shape)f->shape) {
    case SHAPE_ONE: return equal_value(f, a, b);
    case SHAPE_LIST: return equal_lists(f, a, b);
    case SHAPE_MAP: return equal_maps(f, a, b);
    case SHAPE_PTR:
        if (field_is_absent(f, a) || field_is_absent(f, b))
            return field_is_absent(f, a) && field_is_absent(f, b);
        if (field_self_null(f))
            return equal_value(f, a, b);
        return equal_value(f, *(void *const *)a, *(void *const *)b);
    }
    never("field shape");
}

bool field_equal(const struct field *f, const void *obj_a, const void *obj_b)
{
    return equal_field(f, (const char *)obj_a + f->offset, (const char *)obj_b + f->offset);
}

bool desc_equal(const struct desc *d, const void *a, const void *b)
{
    for (size_t i = 0; i < d->n_json; i++) {
        if (!field_equal(&d->fields[i], a, b))
            return false;
    }
    return true;
}

/* ---- copying ---- */

static struct str copy_str(struct arena *a, struct str s)
{
    return s.p ? arena_str(a, s) : s;
}

/* *to already holds the bytes of *from; what they point to is made the arena's. */
static void own_value(const struct field *f, struct arena *a, void *p)
{
    switch ((enum field_kind)f->kind) {
    case FK_STRING:
    case FK_BYTES:
    case FK_RAW:
    case FK_QUANTITY: *(struct str *)p = copy_str(a, *(struct str *)p); return;
    case FK_INTSTR: ((struct intstr *)p)->s = copy_str(a, ((struct intstr *)p)->s); return;
    case FK_STRINGS: {
        struct str_list *l = p;
        struct str *v = l->v ? arena_alloc(a, list_room(l->n) * sizeof *v) : NULL;
        for (size_t i = 0; i < l->n; i++)
            v[i] = copy_str(a, l->v[i]);
        l->v = v;
        return;
    }
    case FK_MESSAGE: desc_copy_into(f->message, a, p, p); return;
    case FK_BOOL:
    case FK_INT32:
    case FK_INT64:
    case FK_UINT32:
    case FK_UINT64:
    case FK_DOUBLE:
    case FK_TIME:
    case FK_MICROTIME:
    case FK_DURATION: return;
    }
}

static void own_elements(const struct field *f, struct arena *a, struct any_list *l, size_t size,
                         size_t value_at)
{
    if (!l->v)
        return;
    char *v = arena_alloc(a, list_room(l->n) * size);
    memcpy(v, l->v, l->n * size);
    l->v = v;
    for (size_t i = 0; i < l->n; i++) {
        if (value_at)
            *(struct str *)(void *)(v + i * size) =
                copy_str(a, *(struct str *)(void *)(v + i * size));
        own_value(f, a, v + i * size + value_at);
    }
}

static void own_field(const struct field *f, struct arena *a, void *p)
{
    switch ((enum field_shape)f->shape) {
    case SHAPE_ONE: own_value(f, a, p); return;
    case SHAPE_LIST: own_elements(f, a, p, field_elem_size(f), 0); return;
    case SHAPE_MAP: own_elements(f, a, p, field_pair_size(f), field_pair_value_at(f)); return;
    case SHAPE_PTR:
        if (field_self_null(f)) {
            own_value(f, a, p);
        } else if (*(void **)p) {
            void *value = arena_raw(a, field_elem_size(f));
            memcpy(value, *(void **)p, field_elem_size(f));
            *(void **)p = value;
            own_value(f, a, value);
        }
        return;
    }
}

void desc_copy_into(const struct desc *d, struct arena *a, void *to, const void *from)
{
    if (to != from)
        memcpy(to, from, d->size);
    for (size_t i = 0; i < d->n_json; i++)
        own_field(&d->fields[i], a, (char *)to + d->fields[i].offset);
}

void *desc_copy(const struct desc *d, struct arena *a, const void *obj)
{
    void *to = arena_raw(a, d->size);
    desc_copy_into(d, a, to, obj);
    return to;
}
