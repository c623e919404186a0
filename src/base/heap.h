/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.h: intrusive 4-ary min-heap ordered by (key, insertion sequence), so that equal keys
 * leave in the order they came. Used for timers and work queues.
 */
#ifndef BARQUE_BASE_HEAP_H
#define BARQUE_BASE_HEAP_H

#include "base/base.h"

struct heap_node {
    int64_t key;
    uint64_t seq;
    uint32_t at; /* 1 + index; 0: in no heap */
};

struct heap {
    struct heap_node **v;
    uint32_t n, room;
    uint64_t seq;
};

void heap_fini(struct heap *h);
void heap_push(struct heap *h, struct heap_node *node, int64_t key);
struct heap_node *heap_top(const struct heap *h); /* NULL when empty */
struct heap_node *heap_pop(struct heap *h);
void heap_remove(struct heap *h, struct heap_node *node); /* no effect when in no heap */

static inline bool heap_linked(const struct heap_node *node)
{
    return node->at != 0;
}

#endif
