/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events to watches.
 *
 * A watch that is up to date is *live*: it has no cursor, but rides with the group of its prefix.
 * An event finds the groups that it concerns (prefix.h) and waits there until the next pass, which
 * gathers a group's events once and offers them to all its live watches; watches of other prefixes
 * are not touched. A watch that is behind (new with an old revision, paused, resumed) has a cursor
 * of its own and scans the ring until it has caught up and becomes live.
 *
 * Callbacks may do anything to watches; therefore, while a pass is under way, stopped watches are
 * only marked, and groups live on.
 */
#include "store/core.h"

enum {
    /* A chunk is closed at the end of a revision after this many events. */
    CHUNK_SOFT = STORE_WATCH_BATCH_MAX - STORE_TXN_PUTS_MAX,
    /* Events that a watch looks at per pass. */
    SCAN_MAX = 4096,
};

enum watch_state { WATCH_LIVE, WATCH_READY, WATCH_PAUSED, WATCH_EXPIRED, WATCH_STOPPED };

struct store_watch {
    struct list link;     /* watch_group.watches */
    struct list ready;    /* watches.ready while WATCH_READY, watches.stopped at the end */
    struct heap_node lag; /* watches.lagging while WATCH_READY or WATCH_PAUSED; key: `next` */
    struct store *store;
    struct watch_group *group;
    const struct store_watch_ops *ops;
    void *arg;
    enum watch_state state;
    uint64_t next; /* events before this one were handed out (live: or are not newer than the
                      moment it became live) */
    rev_t since;
};

struct chunk {
    size_t n;
    uint64_t seq[STORE_WATCH_BATCH_MAX];
    struct store_event events[STORE_WATCH_BATCH_MAX];
};

/* Closed when it is full enough and ev begins another revision. */
static bool chunk_closed(const struct chunk *c, const struct store_event *ev)
{
    return c->n >= CHUNK_SOFT && c->events[c->n - 1].rev != ev->rev;
}

static void chunk_add(struct chunk *c, uint64_t seq, const struct store_event *ev)
{
    must(c->n < STORE_WATCH_BATCH_MAX);
    c->seq[c->n] = seq;
    c->events[c->n++] = *ev;
}

/* ---- groups ---- */

static struct watch_group *group_of(struct prefix *p)
{
    return CONTAINER_OF(p, struct watch_group, prefix);
}

static struct watch_group *group_get(struct store *s, struct str prefix)
{
    struct prefix *known = prefix_find(&s->watches.groups, prefix);
    if (known)
        return group_of(known);
    struct watch_group *g = xcalloc(1, sizeof *g);
    char *text = xmalloc(prefix.n + 1);
    if (prefix.n)
        memcpy(text, prefix.p, prefix.n);
    g->prefix.text = str_n(text, prefix.n);
    list_init(&g->watches);
    prefix_add(&s->watches.groups, &g->prefix);
    return g;
}

static void group_free(struct store *s, struct watch_group *g)
{
    prefix_remove(&s->watches.groups, &g->prefix);
    list_remove(&g->dirty);
    vec_free(&g->fresh);
    free((void *)(uintptr_t)g->prefix.text.p);
    free(g);
}

static void group_note(struct watches *ws, struct watch_group *g, uint64_t seq)
{
    if (!g->live)
        return;
    vec_push(&g->fresh, seq);
    if (!list_linked(&g->dirty))
        list_push_back(&ws->dirty, &g->dirty);
}

void watches_note(struct store *s, uint64_t seq)
{
    struct str key = item_key(ring_at(&s->ring, seq)->item);
    for (struct prefix *p = prefix_match(&s->watches.groups, key); p; p = p->outer)
        group_note(&s->watches, group_of(p), seq);
}

/* ---- states of a watch ---- */

static void lag_at(struct store_watch *w, uint64_t next)
{
    struct heap *lagging = &w->store->watches.lagging;
    heap_remove(lagging, &w->lag);
    w->next = next;
    heap_push(lagging, &w->lag, (int64_t)next);
}

static void set_ready(struct store_watch *w, uint64_t next)
{
    w->state = WATCH_READY;
    lag_at(w, next);
    list_push_back(&w->store->watches.ready, &w->ready);
    settle_soon(w->store);
}

static void set_paused(struct store_watch *w, uint64_t next)
{
    if (w->state == WATCH_LIVE)
        w->group->live--;
    w->state = WATCH_PAUSED;
    lag_at(w, next);
}

static void progress(struct store_watch *w)
{
    if (w->state == WATCH_LIVE && w->ops->progress)
        w->ops->progress(w->arg, store_watch_revision(w));
}

static void set_live(struct store_watch *w)
{
    heap_remove(&w->store->watches.lagging, &w->lag);
    w->state = WATCH_LIVE;
    w->group->live++;
    progress(w);
}

static void set_expired(struct store_watch *w)
{
    heap_remove(&w->store->watches.lagging, &w->lag);
    list_remove(&w->ready);
    w->state = WATCH_EXPIRED;
    w->ops->expired(w->arg);
}

/* ---- handing out ---- */

static void offer(struct store_watch *w, const struct chunk *c)
{
    size_t from = 0;
    while (from < c->n && (c->seq[from] < w->next || c->events[from].rev <= w->since))
        from++;
    if (from == c->n)
        return;
    bool more = w->ops->events(w->arg, c->events + from, c->n - from);
    if (!more && w->state == WATCH_LIVE)
        set_paused(w, c->seq[c->n - 1] + 1);
}

/* The group's next fresh events, up to the one at `end`. */
static void group_chunk(const struct store *s, const struct watch_group *g, size_t end,
                        struct chunk *c)
{
    c->n = 0;
    for (size_t at = g->fresh_at; at < end; at++) {
        const struct store_event *ev = ring_at(&s->ring, g->fresh.v[at]);
        if (chunk_closed(c, ev))
            return;
        chunk_add(c, g->fresh.v[at], ev);
    }
}

static void group_pass(struct store *s, struct watch_group *g)
{
    size_t end = g->fresh.n; /* what callbacks add waits for the next pass */
    struct store_watch *w;
    struct chunk c;
    while (g->fresh_at < end) {
        group_chunk(s, g, end, &c);
        list_each (w, &g->watches, link) {
            if (w->state == WATCH_LIVE)
                offer(w, &c);
        }
        g->fresh_at += c.n;
    }
    if (g->fresh_at == g->fresh.n)
        g->fresh_at = g->fresh.n = 0;
    list_each (w, &g->watches, link)
        progress(w);
}

/* Events from w->next on that concern the watch; returns where to go on. */
static uint64_t scan(const struct store_watch *w, struct chunk *c)
{
    const struct ring *ring = &w->store->ring;
    uint64_t end = MIN(ring->head, w->next + SCAN_MAX), seq = w->next;
    c->n = 0;
    for (; seq < end ||
           (seq < ring->head && c->n && c->events[c->n - 1].rev == ring_at(ring, seq)->rev);
         seq++) {
        const struct store_event *ev = ring_at(ring, seq);
        if (chunk_closed(c, ev))
            break;
        if (ev->rev > w->since && str_has_prefix(item_key(ev->item), w->group->prefix.text))
            chunk_add(c, seq, ev);
    }
    return seq;
}

static void ready_pass(struct store_watch *w)
{
    struct chunk c;
    uint64_t next = scan(w, &c);
    bool more = c.n == 0 || w->ops->events(w->arg, c.events, c.n);
    if (w->state != WATCH_READY)
        return;
    if (!more)
        set_paused(w, next);
    else if (next < w->store->ring.head)
        set_ready(w, next);
    else {
        w->next = next;
        set_live(w);
    }
}

static void move_all(struct list *to, struct list *from)
{
    struct list *l;
    while ((l = list_pop_front(from)))
        list_push_back(to, l);
}

/* All that is there now; what callbacks add waits for the next pass. */
static void hand_out(struct store *s)
{
    struct watches *ws = &s->watches;
    struct list dirty, ready, *l;
    list_init(&dirty);
    list_init(&ready);
    move_all(&dirty, &ws->dirty);
    move_all(&ready, &ws->ready);
    while ((l = list_pop_front(&dirty)))
        group_pass(s, list_entry(l, struct watch_group, dirty));
    while ((l = list_pop_front(&ready)))
        ready_pass(list_entry(l, struct store_watch, ready));
}

/* Events before `end` were handed out to all who keep up. */
static void trim_ring(struct store *s, uint64_t end)
{
    struct ring *r = &s->ring;
    while (r->base < end && (ring_count(r) > s->ring_events_max || r->bytes > s->ring_bytes_max))
        ring_drop(r);
}

static void expire_lagging(struct store *s)
{
    struct heap_node *top;
    while ((top = heap_top(&s->watches.lagging)) && (uint64_t)top->key < s->ring.base)
        set_expired(CONTAINER_OF(top, struct store_watch, lag));
}

static void bury(struct store *s)
{
    struct list *l;
    while ((l = list_pop_front(&s->watches.stopped))) {
        struct store_watch *w = list_entry(l, struct store_watch, ready);
        list_remove(&w->link);
        if (list_empty(&w->group->watches))
            group_free(s, w->group);
        free(w);
    }
}

void watches_pass(struct store *s)
{
    struct watches *ws = &s->watches;
    must(!ws->passing);
    ws->passing = true;
    uint64_t end = s->ring.head;
    hand_out(s);
    trim_ring(s, end);
    expire_lagging(s);
    ws->passing = false;
    bury(s);
    if (!list_empty(&ws->dirty) || !list_empty(&ws->ready))
        settle_soon(s);
}

/* ---- the interface ---- */

int store_watch_start(struct store *s, struct str prefix, rev_t since,
                      const struct store_watch_ops *ops, void *arg, struct store_watch **ret,
                      struct err *e)
{
    if (since < s->ring.oldest)
        return err_set(e, ERR_EXPIRED,
                       "revision %lld has been compacted, the oldest one kept is %lld",
                       (long long)since, (long long)s->ring.oldest);
    struct store_watch *w = xcalloc(1, sizeof *w);
    w->store = s;
    w->group = group_get(s, prefix);
    w->ops = ops;
    w->arg = arg;
    w->since = since;
    list_push_back(&w->group->watches, &w->link);
    set_ready(w, ring_after(&s->ring, since));
    *ret = w;
    return 0;
}

void store_watch_resume(struct store_watch *w)
{
    if (w->state == WATCH_PAUSED)
        set_ready(w, w->next);
}

/* The first event that a live watch has yet to get; head when there is none. */
static uint64_t first_fresh(const struct store_watch *w)
{
    const struct watch_group *g = w->group;
    for (size_t i = g->fresh_at; i < g->fresh.n; i++)
        if (g->fresh.v[i] >= w->next)
            return g->fresh.v[i];
    return w->store->ring.head;
}

rev_t store_watch_revision(const struct store_watch *w)
{
    const struct store *s = w->store;
    uint64_t next = w->state == WATCH_LIVE ? first_fresh(w) : w->next;
    if (next < s->ring.base)
        return 0; /* expired; unknown */
    return next == s->ring.head ? s->visible : ring_at(&s->ring, next)->rev - 1;
}

void store_watch_stop(struct store_watch *w)
{
    struct store *s = w->store;
    must(w->state != WATCH_STOPPED);
    if (w->state == WATCH_LIVE)
        w->group->live--;
    heap_remove(&s->watches.lagging, &w->lag);
    list_remove(&w->ready);
    w->state = WATCH_STOPPED;
    list_push_back(&s->watches.stopped, &w->ready);
    if (!s->watches.passing)
        bury(s);
}

void watches_init(struct watches *ws)
{
    list_init(&ws->dirty);
    list_init(&ws->ready);
    list_init(&ws->stopped);
}

void watches_fini(struct watches *ws)
{
    must(ws->groups.n == 0);
    prefix_set_fini(&ws->groups);
    heap_fini(&ws->lagging);
}

void watches_free_all(struct store *s)
{
    while (s->watches.groups.n) {
        struct list *watches = &group_of(s->watches.groups.v[0])->watches;
        store_watch_stop(list_entry(list_first(watches), struct store_watch, link));
    }
}
