/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key < b->key || (a->key == b->key && a->seq < b->seq);
}

static void place(struct heap *h, uint32_t at, struct heap_node *node)
{
    h->v[at] = node;
    node->at = at + 1;
}

static void sift_up(struct heap *h, uint32_t at, struct heap_node *node)
{
    while (at > 0 && before(node, h->v[(at - 1) / 4])) {
        place(h, at, h->v[(at - 1) / 4]);
        at = (at - 1) / 4;
    }
    place(h, at, node);
}

static void sift_down(struct heap *h, uint32_t at, struct heap_node *node)
{
    for (;;) {
        uint32_t first = at * 4 + 1, best = at;
        const struct heap_node *least = node;
        for (uint32_t c = first; c < first + 4 && c < h->n; c++) {
            if (before(h->v[c], least)) {
                least = h->v[c];
                best = c;
            }
        }
        if (best == at)
            break;
        place(h, at, h->v[best]);
        at = best;
    }
    place(h, at, node);
}

void heap_fini(struct heap *h)
{
    free(h->v);
    *h = (struct heap){0};
}

void heap_push(struct heap *h, struct heap_node *node, int64_t key)
{
    must(node->at == 0);
    if (h->n == h->room) {
        h->room = h->room ? h->room * 2 : 16;
        h->v = xrealloc(h->v, h->room * sizeof(struct heap_node *));
    }
    node->key = key;
    node->seq = h->seq++;
    sift_up(h, h->n++, node);
}

struct heap_node *heap_top(const struct heap *h)
{
    return h->n ? h->v[0] : NULL;
}

struct heap_node *heap_pop(struct heap *h)
{
    struct heap_node *top = heap_top(h);
    if (top)
        heap_remove(h, top);
    return top;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    if (node->at == 0)
        return;
    uint32_t at = node->at - 1;
    must(at < h->n && h->v[at] == node);
    node->at = 0;
    struct heap_node *last = h->v[--h->n];
    if (last == node)
        return;
    if (at > 0 && before(last, h->v[(at - 1) / 4]))
        sift_up(h, at, last);
    else
        sift_down(h, at, last);
}
