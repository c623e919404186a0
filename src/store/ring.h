/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.h: recent events in order, addressed by a sequence number that never repeats.
 *
 * An event holds references to its item and to the one before it. Superseded values live as long
 * as an event that mentions them; `bytes` counts what the ring alone keeps alive.
 */
#ifndef BARQUE_STORE_RING_H
#define BARQUE_STORE_RING_H

#include "store/item.h"

struct ring {
    struct store_event *v;
    uint64_t room; /* power of two, or 0 */
    uint64_t base; /* sequence number of the oldest event */
    uint64_t head; /* and of the next one */
    size_t bytes;
    rev_t oldest; /* all events of greater revisions are here */
};

void ring_init(struct ring *r, rev_t oldest);
void ring_fini(struct ring *r);
/* Takes the references to item and prev. Returns the sequence number. */
uint64_t ring_push(struct ring *r, struct store_event ev);
/* Drops the oldest event. */
void ring_drop(struct ring *r);
/* The first event with a revision greater than rev; head when there is none. */
uint64_t ring_after(const struct ring *r, rev_t rev);

static inline const struct store_event *ring_at(const struct ring *r, uint64_t seq)
{
    return &r->v[seq & (r->room - 1)];
}

static inline size_t ring_count(const struct ring *r)
{
    return r->head - r->base;
}

#endif
