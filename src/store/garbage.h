/* SPDX-License-Identifier: Apache-2.0 */
/*
 * garbage.h: which rows are superseded, and when to drop them.
 *
 * Rows are dropped by the commits of later writes, so that compaction costs no flush and nothing
 * happens when nothing is written. Superseded rows are collected until they are worth a sweep (a
 * share of the live ones: the file stays within a constant factor of what is in it), then sorted,
 * so that neighbours on disk go together, and dropped a few at a time, faster than new ones come.
 *
 * Rows of one key are added oldest first and are dropped in that order, also across sweeps: a
 * delete's row never goes before the rows that it hides.
 */
#ifndef BARQUE_STORE_GARBAGE_H
#define BARQUE_STORE_GARBAGE_H

#include "base/vec.h"

struct garbage {
    VEC(int64_t) fresh;
    size_t fresh_bytes;
    VEC(int64_t) sweep; /* sorted */
    size_t swept;       /* of sweep */
    size_t sweep_bytes;
};

void garbage_fini(struct garbage *g);
/* bytes: about what the row occupies. */
void garbage_add(struct garbage *g, int64_t id, size_t bytes);

/* What the store holds and what a commit is about to add. */
struct garbage_pace {
    size_t live_rows, live_bytes, new_rows, new_bytes;
};
/* Ids to drop with that commit, valid until garbage_dropped; 0 when nothing is due. */
size_t garbage_due(struct garbage *g, const struct garbage_pace *pace, const int64_t **ret);
/* The n that were due are gone. */
void garbage_dropped(struct garbage *g, size_t n);
size_t garbage_count(const struct garbage *g);

#endif
