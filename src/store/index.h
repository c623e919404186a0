/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h: the current state: items in key order.
 *
 * A B+ tree whose leaves hold pointers to items and whose inner nodes know the first item and the
 * number of items below each child, so that counting a prefix costs two descents. It adds about 13
 * bytes to an item. Keys are compared through the items; nothing is copied.
 *
 * The index owns one reference to each item in it. Iterators are invalidated by any change.
 */
#ifndef BARQUE_STORE_INDEX_H
#define BARQUE_STORE_INDEX_H

#include "store/item.h"

struct index {
    void *root;   /* NULL when empty */
    int height;   /* levels of inner nodes above the leaves */
    size_t count; /* items */
};

/* A place between keys. */
struct bound {
    struct str key;
    enum {
        BOUND_BEFORE,      /* before `key` and all greater keys */
        BOUND_AFTER,       /* after `key` itself */
        BOUND_PAST_PREFIX, /* after all keys that start with `key` */
    } at;
};

enum { INDEX_HEIGHT_MAX = 16 };

struct index_iter {
    const struct index *index;
    void *node[INDEX_HEIGHT_MAX];
    uint16_t at[INDEX_HEIGHT_MAX];
};

void index_init(struct index *ix);
/* Drops all items. */
void index_fini(struct index *ix);
/* Fills an empty index from items in strictly rising key order; takes the references. The array is
 * used for building, its content is lost. */
void index_build(struct index *ix, void **items, size_t n);

/* Borrowed; NULL when absent. */
struct item *index_get(const struct index *ix, struct str key);
/* Takes the reference to i; returns the item of the same key that was replaced (with its
 * reference), or NULL. */
struct item *index_put(struct index *ix, struct item *i);
/* The removed item with its reference, or NULL. */
struct item *index_remove(struct index *ix, struct str key);

/* Number of items before the bound. O(log n). */
size_t index_rank(const struct index *ix, struct bound b);
/* The first index_next returns the first item behind the bound. */
void index_seek(const struct index *ix, struct bound b, struct index_iter *ret);
/* Borrowed; NULL at the end. */
struct item *index_next(struct index_iter *it);

/* Memory of the tree itself, without items. */
size_t index_bytes(const struct index *ix);

#endif
