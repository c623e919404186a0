/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.h: what an item's bytes mean: decoded lazily, kept with the item, shared by all readers.
 *
 * Values are JSON texts of API objects with kind and apiVersion first. A view is decoded at most
 * once while the item is in use, and freed with the item or, least recently used first, when all
 * views together hold more than ITEM_VIEWS_BYTES_MAX (item_views_trim, called when a loop round
 * ends). So: a pointer got here is valid until the next return to the loop; copy what must live
 * longer. Views are immutable: desc_copy before a change.
 */
#ifndef BARQUE_STORE_VIEW_H
#define BARQUE_STORE_VIEW_H

#include "api/desc.h"
#include "api/metav1.h"
#include "store/store.h"

enum { ITEM_VIEWS_BYTES_MAX = 8 << 20 };

/* The struct of d that the value holds. Never fails: what is stored was validated, a value that
 * does not decode ends the process. All callers name the same d for one item. */
const void *item_typed(struct item *i, const struct desc *d);
/* The value as a tree (custom resources). */
const struct json *item_tree(struct item *i);
/* The protobuf message (without envelope) of item_typed. */
struct str item_pb(struct item *i, const struct desc *d);
/* Only metadata, decoded on the arena, strings borrowed from the item. Cheap, not cached. */
void item_meta(struct arena *a, const struct item *i, struct metav1_object_meta *ret);

/* Drops the least recently used views above the limit. */
void item_views_trim(void);

/* An item outside any store (the HTTP client's caches). Key and value are copied; one reference. */
struct item *item_from_bytes(struct str key, struct str value, rev_t create_rev, rev_t mod_rev);

#endif
