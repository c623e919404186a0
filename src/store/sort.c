/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys share long beginnings and lie scattered in memory, so comparing them pairwise would miss
 * the cache at every step. Eight bytes of each key at a time are copied beside the item's pointer
 * and sorted there; runs that are equal so far are sorted by the next eight.
 */
#include "store/sort.h"

#include <endian.h>

struct entry {
    uint64_t word; /* bytes of the key at the present depth, big-endian */
    struct item *item;
};

static uint64_t word_at(const struct item *i, size_t depth)
{
    uint64_t w = 0;
    size_t n = i->key_len > depth ? MIN(i->key_len - depth, sizeof w) : 0;
    memcpy(&w, i->bytes + depth, n);
    return be64toh(w);
}

static int by_word(const void *a, const void *b)
{
    uint64_t x = ((const struct entry *)a)->word, y = ((const struct entry *)b)->word;
    return x < y ? -1 : x > y;
}

static int by_key(const void *a, const void *b)
{
    const struct item *x = ((const struct entry *)a)->item, *y = ((const struct entry *)b)->item;
    int order = str_cmp(item_key(x), item_key(y));
    if (order)
        return order;
    int64_t x_id = item_id(x), y_id = item_id(y);
    return x_id < y_id ? -1 : x_id > y_id;
}

/* Length of what all keys have in common; `depth` bytes are known to be. */
static size_t common(const struct entry *v, size_t n, size_t depth)
{
    const struct item *first = v[0].item;
    size_t len = first->key_len;
    for (size_t i = 1; i < n && len > depth; i++) {
        const struct item *other = v[i].item;
        size_t max = MIN(len, (size_t)other->key_len);
        for (len = depth; len < max && first->bytes[len] == other->bytes[len];)
            len++;
    }
    return len;
}

enum { RUN_SMALL = 12 };

/* v's keys agree in their first depth bytes. */
static void sort_from(struct entry *v, size_t n, size_t depth)
{
    if (n <= RUN_SMALL) {
        qsort(v, n, sizeof *v, by_key);
        return;
    }
    depth = common(v, n, depth);
    bool ended = false; /* a key that ends here looks like one with NUL bytes */
    for (size_t i = 0; i < n; i++) {
        ended |= v[i].item->key_len < depth + sizeof v[i].word;
        v[i].word = word_at(v[i].item, depth);
    }
    qsort(v, n, sizeof *v, by_word);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && v[to].word == v[from].word;)
            to++;
        if (to - from == 1)
            continue;
        if (ended)
            qsort(v + from, to - from, sizeof *v, by_key);
        else
            sort_from(v + from, to - from, depth + sizeof v[from].word);
    }
}

void items_sort(struct item **v, size_t n)
{
    if (n < 2)
        return;
    struct entry *entries = xmalloc(n * sizeof *entries);
    for (size_t i = 0; i < n; i++)
        entries[i].item = v[i];
    sort_from(entries, n, 0);
    for (size_t i = 0; i < n; i++)
        v[i] = entries[i].item;
    free(entries);
}
