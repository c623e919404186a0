/* SPDX-License-Identifier: Apache-2.0 */
#include "store/ring.h"

enum { ROOM_MIN = 64 };

void ring_init(struct ring *r, rev_t oldest)
{
    *r = (struct ring){.oldest = oldest};
}

void ring_fini(struct ring *r)
{
    while (ring_count(r))
        ring_drop(r);
    free(r->v);
    ring_init(r, 0);
}

static void move_to(struct ring *r, uint64_t room)
{
    struct store_event *v = xmalloc(room * sizeof *v);
    for (uint64_t seq = r->base; seq < r->head; seq++)
        v[seq & (room - 1)] = *ring_at(r, seq);
    free(r->v);
    r->v = v;
    r->room = room;
}

/* The superseded value was held by its own event, which is older and goes first; so the event that
 * superseded it is the last to hold it. A delete's item is in no state at all. */
static size_t held_bytes(const struct store_event *ev)
{
    return (ev->prev ? item_size(ev->prev) : 0) + (ev->deleted ? item_size(ev->item) : 0);
}

uint64_t ring_push(struct ring *r, struct store_event ev)
{
    if (ring_count(r) == r->room)
        move_to(r, r->room ? r->room * 2 : ROOM_MIN);
    r->v[r->head & (r->room - 1)] = ev;
    r->bytes += held_bytes(&ev);
    return r->head++;
}

void ring_drop(struct ring *r)
{
    must(r->base < r->head);
    struct store_event ev = *ring_at(r, r->base++);
    r->bytes -= held_bytes(&ev);
    r->oldest = ev.rev;
    item_unref(ev.item);
    item_unref(ev.prev);
}

uint64_t ring_after(const struct ring *r, rev_t rev)
{
    uint64_t lo = r->base, hi = r->head;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (ring_at(r, mid)->rev <= rev)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}
