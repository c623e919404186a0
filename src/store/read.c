/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the visible state, also as it was at a past revision: that is the present one with the
 * events since undone. For each key they touched, the value before the first of these events is
 * the one to show; such keys are collected, sorted, and merged with the index.
 */
#include "store/core.h"

struct item *store_get(struct store *s, struct str key)
{
    return index_get(&s->index, key);
}

size_t store_count(struct store *s, struct str prefix)
{
    return index_rank(&s->index, (struct bound){prefix, BOUND_PAST_PREFIX}) -
           index_rank(&s->index, (struct bound){prefix, BOUND_BEFORE});
}

size_t store_count_after(struct store *s, struct str prefix, struct str after)
{
    return index_rank(&s->index, (struct bound){prefix, BOUND_PAST_PREFIX}) -
           index_rank(&s->index, (struct bound){after, BOUND_AFTER});
}

/* What a key held before it was changed after the revision of a range. */
struct undone {
    struct str key;
    struct item *item; /* NULL: it was absent */
};

struct past {
    VEC(struct undone) keys; /* sorted */
    size_t at;
};

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct undone *)a)->key, ((const struct undone *)b)->key);
}

static bool in_range(const struct store_range *r, struct str key)
{
    return str_has_prefix(key, r->prefix) && (r->after.n == 0 || str_cmp(key, r->after) > 0);
}

static void undo(const struct store *s, const struct store_range *r, struct past *p)
{
    struct map seen = MAP_INIT_BORROWED;
    for (uint64_t seq = ring_after(&s->ring, r->at); seq < s->ring.head; seq++) {
        const struct store_event *ev = ring_at(&s->ring, seq);
        struct str key = item_key(ev->item);
        if (!in_range(r, key) || map_has(&seen, key))
            continue;
        map_put(&seen, key, ev->item);
        vec_push(&p->keys, ((struct undone){key, ev->prev}));
    }
    map_fini(&seen);
    if (p->keys.n)
        qsort(p->keys.v, p->keys.n, sizeof p->keys.v[0], by_key);
}

/* The next item of the index that no later event touched; the range ends with its prefix. */
static struct item *next_untouched(struct index_iter *it, const struct store_range *r)
{
    struct item *i = index_next(it);
    return i && str_has_prefix(item_key(i), r->prefix) ? i : NULL;
}

/* Takes from the two sorted sequences what comes first; NULL at the end of both. A key that is in
 * both counts as undone. */
static struct item *next_merged(struct index_iter *it, struct item **ahead, struct past *p,
                                const struct store_range *r)
{
    for (;;) {
        if (p->at == p->keys.n) {
            struct item *i = *ahead;
            *ahead = i ? next_untouched(it, r) : NULL;
            return i;
        }
        const struct undone *u = &p->keys.v[p->at];
        int order = *ahead ? str_cmp(item_key(*ahead), u->key) : 1;
        if (order <= 0) {
            struct item *i = *ahead;
            *ahead = next_untouched(it, r);
            if (order < 0)
                return i;
        }
        p->at++;
        if (u->item)
            return u->item;
    }
}

static void each_item(struct store *s, const struct store_range *r, struct past *p,
                      bool (*fn)(void *arg, struct item *i), void *arg)
{
    bool resumed = r->after.n && str_cmp(r->after, r->prefix) >= 0;
    struct bound from = {resumed ? r->after : r->prefix, resumed ? BOUND_AFTER : BOUND_BEFORE};
    struct index_iter it;
    index_seek(&s->index, from, &it);
    struct item *ahead = next_untouched(&it, r), *i;
    for (size_t n = 0; r->limit == 0 || n < r->limit; n++)
        if (!(i = next_merged(&it, &ahead, p, r)) || !fn(arg, i))
            break;
}

int store_each(struct store *s, const struct store_range *r, bool (*fn)(void *arg, struct item *i),
               void *arg)
{
    must(!s->reading);
    if (r->at > s->visible)
        return -ERR_TIMEOUT;
    if (r->at && r->at < s->ring.oldest)
        return -ERR_EXPIRED;
    struct past past = {0};
    if (r->at && r->at < s->visible)
        undo(s, r, &past);
    s->reading = true;
    each_item(s, r, &past, fn, arg);
    s->reading = false;
    vec_free(&past.keys);
    return 0;
}
