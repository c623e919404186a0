/* SPDX-License-Identifier: Apache-2.0 */
#include "api/desc.h"

#include "api/field.h"

const struct field *desc_field(const struct desc *d, struct str json_name)
{
    size_t low = 0, high = d->n_json;
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct field *f = &d->fields[d->by_name[mid]];
        int c = str_cmp(json_name, str_z(f->name));
        if (c == 0)
            return f;
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

size_t field_elem_size(const struct field *f)
{
    static const uint8_t sizes[] = {
        [FK_STRING] = sizeof(struct str),       [FK_BOOL] = sizeof(bool),
        [FK_INT32] = sizeof(int32_t),           [FK_INT64] = sizeof(int64_t),
        [FK_UINT32] = sizeof(uint32_t),         [FK_UINT64] = sizeof(uint64_t),
        [FK_DOUBLE] = sizeof(double),           [FK_BYTES] = sizeof(struct str),
        [FK_TIME] = sizeof(struct wall),        [FK_MICROTIME] = sizeof(struct wall),
        [FK_DURATION] = sizeof(int64_t),        [FK_QUANTITY] = sizeof(struct quantity),
        [FK_INTSTR] = sizeof(struct intstr),    [FK_RAW] = sizeof(struct str),
        [FK_STRINGS] = sizeof(struct str_list),
    };
    return f->kind == FK_MESSAGE ? f->message->size : sizes[f->kind];
}

bool field_self_null(const struct field *f)
{
    return f->kind == FK_STRING || f->kind == FK_BYTES || f->kind == FK_RAW ||
           f->kind == FK_QUANTITY;
}

size_t field_pair_size(const struct field *f)
{
    return f->kind == FK_MESSAGE ? f->message->map_entry_size
                                 : sizeof(struct str) + field_elem_size(f);
}

size_t field_pair_value_at(const struct field *f)
{
    return f->kind == FK_MESSAGE ? f->message->map_value_at : sizeof(struct str);
}

_Static_assert(offsetof(struct str_pair, value) == sizeof(struct str), "pair layout");
_Static_assert(offsetof(struct quantity_pair, value) == sizeof(struct str), "pair layout");
_Static_assert(offsetof(struct time_pair, value) == sizeof(struct str), "pair layout");
_Static_assert(offsetof(struct strings_pair, value) == sizeof(struct str), "pair layout");
_Static_assert(sizeof(struct time_pair) == sizeof(struct str) + sizeof(struct wall), "pair size");

/* Is one value of this kind the zero value? */
static bool value_is_zero(const struct field *f, const void *p)
{
    switch ((enum field_kind)f->kind) {
    case FK_BOOL: return !*(const bool *)p;
    case FK_INT32:
    case FK_UINT32: return *(const int32_t *)p == 0;
    case FK_INT64:
    case FK_UINT64:
    case FK_DURATION: return *(const int64_t *)p == 0;
    case FK_DOUBLE: return *(const double *)p == 0;
    case FK_STRING: return ((const struct str *)p)->n == 0;
    case FK_BYTES: return ((const struct str *)p)->n == 0;
    case FK_RAW: return ((const struct str *)p)->p == NULL;
    case FK_QUANTITY: return ((const struct quantity *)p)->text.p == NULL;
    case FK_TIME:
    case FK_MICROTIME: return wall_is_zero(*(const struct wall *)p);
    case FK_INTSTR: return intstr_zero(p);
    case FK_STRINGS: return ((const struct str_list *)p)->n == 0;
    case FK_MESSAGE: return desc_is_zero(f->message, p);
    }
    never("field kind");
}

bool field_is_absent(const struct field *f, const void *p)
{
    switch ((enum field_shape)f->shape) {
    case SHAPE_ONE: return value_is_zero(f, p);
    case SHAPE_PTR:
        return field_self_null(f) ? ((const struct str *)p)->p == NULL : *(void *const *)p == NULL;
    case SHAPE_LIST:
    case SHAPE_MAP: return ((const struct any_list *)p)->n == 0;
    }
    never("field shape");
}

bool desc_is_zero(const struct desc *d, const void *obj)
{
    for (size_t i = 0; i < d->n_json; i++)
        if (!field_is_absent(&d->fields[i], (const char *)obj + d->fields[i].offset))
            return false;
    return true;
}
