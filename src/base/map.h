/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.h: hash table from byte strings to pointers, iterated in order of insertion.
 *
 * Insertion order makes iteration the same in every run, which the simulator relies on. The map
 * copies keys by default; with `borrow_keys` it keeps the caller's pointer, which must live as
 * long as the entry (typical: the key is a field of the value). It never owns values.
 *
 * Entries may be removed while iterating; entries added while iterating may or may not be seen.
 */
#ifndef BARQUE_BASE_MAP_H
#define BARQUE_BASE_MAP_H

#include "base/base.h"
#include "base/str.h"

struct map_entry {
    struct str key; /* p == NULL: a hole left by a removal */
    void *value;
    uint64_t hash;
};

struct map {
    struct map_entry *entries; /* insertion order, with holes */
    uint32_t *slots;           /* index into entries + 1; 0 is empty */
    uint32_t used;             /* entries in use or holes */
    uint32_t room;             /* of entries */
    uint32_t slot_count;       /* power of two */
    uint32_t count;            /* live entries */
    bool borrow_keys;
};

#define MAP_INIT          ((struct map){0})
#define MAP_INIT_BORROWED ((struct map){.borrow_keys = true})

void map_fini(struct map *m);
/* Removes all entries, keeps the memory. */
void map_clear(struct map *m);
void *map_get(const struct map *m, struct str key);
bool map_has(const struct map *m, struct str key);
/* Inserts or replaces; returns the value replaced or NULL. A replaced entry keeps its place (and,
 * with borrowed keys, takes the new key pointer). value may not be NULL. */
void *map_put(struct map *m, struct str key, void *value);
/* Returns the removed value or NULL. */
void *map_remove(struct map *m, struct str key);
/* Iteration: uint32_t it = 0; while ((e = map_next(&m, &it))) ... */
struct map_entry *map_next(const struct map *m, uint32_t *it);

#endif
