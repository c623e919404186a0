/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field.h: what the walkers in this folder share about the memory layout of fields. Private to
 * api/.
 */
#ifndef BARQUE_API_FIELD_H
#define BARQUE_API_FIELD_H

#include "api/desc.h"

/* Every LIST and every map struct has this layout. */
struct any_list {
    void *v;
    size_t n;
};

/* Does a value of this kind show its own absence (p == NULL), so that SHAPE_PTR adds no pointer? */
bool field_self_null(const struct field *f);
/* Layout of one entry of a map field; the key (struct str) is at its start. */
size_t field_pair_size(const struct field *f);
size_t field_pair_value_at(const struct field *f);
/* p points at the field. Empty lists and maps count as absent. */
bool field_is_absent(const struct field *f, const void *p);
bool desc_is_zero(const struct desc *d, const void *obj);

/* Sorts entries by key; of equal keys the last one stays. */
void map_normalize(struct any_list *m, size_t pair_size);

#endif
