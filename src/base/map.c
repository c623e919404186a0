/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

static void free_keys(struct map *m)
{
    if (m->borrow_keys)
        return;
    for (uint32_t i = 0; i < m->used; i++)
        free((void *)(uintptr_t)m->entries[i].key.p);
}

void map_fini(struct map *m)
{
    free_keys(m);
    free(m->entries);
    free(m->slots);
    *m = (struct map){.borrow_keys = m->borrow_keys};
}

void map_clear(struct map *m)
{
    free_keys(m);
    if (m->slots)
        memset(m->slots, 0, m->slot_count * sizeof *m->slots);
    m->used = m->count = 0;
}

/* The slot that holds key, or the empty slot where it would go. */
static uint32_t *find_slot(const struct map *m, struct str key, uint64_t hash)
{
    uint32_t mask = m->slot_count - 1;
    for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &m->slots[i];
        if (*slot == 0)
            return slot;
        const struct map_entry *e = &m->entries[*slot - 1];
        if (e->hash == hash && e->key.p && str_eq(e->key, key))
            return slot;
    }
}

void *map_get(const struct map *m, struct str key)
{
    if (m->count == 0)
        return NULL;
    uint32_t at = *find_slot(m, key, str_hash(key));
    return at ? m->entries[at - 1].value : NULL;
}

bool map_has(const struct map *m, struct str key)
{
    return map_get(m, key) != NULL;
}

/* Drops holes and makes room for at least one more entry. */
static void rebuild(struct map *m)
{
    uint32_t room = MAX(8u, m->count + m->count / 2 + 1);
    struct map_entry *entries = xmalloc(room * sizeof *entries);
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->used; i++)
        if (m->entries[i].key.p)
            entries[n++] = m->entries[i];
    free(m->entries);
    m->entries = entries;
    m->room = room;
    m->used = n;
    uint32_t slot_count = 16;
    while (slot_count < room * 2)
        slot_count *= 2;
    free(m->slots);
    m->slots = xcalloc(slot_count, sizeof *m->slots);
    m->slot_count = slot_count;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = (uint32_t)entries[i].hash & (slot_count - 1);
        while (m->slots[at])
            at = (at + 1) & (slot_count - 1);
        m->slots[at] = i + 1;
    }
}

static struct str own_key(const struct map *m, struct str key)
{
    if (m->borrow_keys)
        return key.p ? key : STR("");
    char *copy = xmalloc(key.n);
    if (key.n)
        memcpy(copy, key.p, key.n);
    return str_n(copy, key.n);
}

void *map_put(struct map *m, struct str key, void *value)
{
    must(value != NULL);
    if (m->used == m->room)
        rebuild(m);
    uint64_t hash = str_hash(key);
    uint32_t *slot = find_slot(m, key, hash);
    if (*slot) {
        struct map_entry *e = &m->entries[*slot - 1];
        void *old = e->value;
        e->value = value;
        if (m->borrow_keys)
            e->key = own_key(m, key);
        return old;
    }
    m->entries[m->used] = (struct map_entry){own_key(m, key), value, hash};
    *slot = ++m->used;
    m->count++;
    return NULL;
}

void *map_remove(struct map *m, struct str key)
{
    if (m->count == 0)
        return NULL;
    uint32_t *slot = find_slot(m, key, str_hash(key));
    if (*slot == 0)
        return NULL;
    struct map_entry *e = &m->entries[*slot - 1];
    void *value = e->value;
    if (!m->borrow_keys)
        free((void *)(uintptr_t)e->key.p);
    /* The slot goes on pointing at the hole, so that probe chains stay whole; rebuild drops it. */
    e->key = STR_NULL;
    e->value = NULL;
    if (--m->count == 0)
        map_clear(m);
    return value;
}

struct map_entry *map_next(const struct map *m, uint32_t *it)
{
    while (*it < m->used) {
        struct map_entry *e = &m->entries[(*it)++];
        if (e->key.p)
            return e;
    }
    return NULL;
}
