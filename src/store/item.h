/* SPDX-License-Identifier: Apache-2.0 */
/*
 * item.h: making items, and what an item remembers about its durable form.
 *
 * A row of the durable form has an id that sorts by revision and is never used twice: the revision
 * times STORE_TXN_PUTS_MAX plus the place of the put in its transaction. An item knows its own id;
 * a volatile item, which has no row, carries the id of the row that it hides behind its value, so
 * that no table of volatile keys is needed.
 */
#ifndef BARQUE_STORE_ITEM_H
#define BARQUE_STORE_ITEM_H

#include "store/store.h"

enum item_flag {
    ITEM_VOLATILE = 1, /* the value is not on disk */
    ITEM_DELETED = 2,  /* the item of a delete */
};

/* What an item is made from: the value comes without the revision's text, which goes between its
 * two parts when `spliced`. */
struct item_spec {
    struct str key, head, tail;
    bool spliced;
    rev_t create_rev, mod_rev;
    uint8_t place;  /* of the put in its transaction */
    uint8_t flags;  /* enum item_flag */
    int64_t hidden; /* ITEM_VOLATILE: id of the key's durable row, 0 for none */
};

/* Cuts the value at splice_at (SIZE_MAX: not spliced). */
void item_spec_value(struct item_spec *spec, struct str value, size_t splice_at);
/* One reference; NULL when memory is out. */
struct item *item_new(const struct item_spec *spec);

/* The reverse: fills in the value as it was put. */
void item_raw_value(const struct item *i, struct item_spec *ret);

int64_t row_id(rev_t rev, uint8_t place);
rev_t row_rev(int64_t id);
uint8_t row_place(int64_t id);
/* The id under which this item's value is (or would be) stored. */
int64_t item_id(const struct item *i);
/* Id of the row that holds the key's newest durable value as of this item (which is not that of a
 * delete); 0: none. */
int64_t item_durable_id(const struct item *i);
/* Bytes of memory. */
size_t item_size(const struct item *i);

static inline bool item_deleted(const struct item *i)
{
    return i->flags & ITEM_DELETED;
}

static inline bool item_volatile(const struct item *i)
{
    return i->flags & ITEM_VOLATILE;
}

#endif
