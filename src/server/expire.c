/* SPDX-License-Identifier: Apache-2.0 */
#include "server/expire.h"

#include "server/impl.h"

enum {
    EVENT_TTL_MS = 60 * 60 * 1000,
    ROUND_MS = 1000,  /* what ends within a second of the head ends with it: one commit */
    REMOVE_MAX = 128, /* in one transaction */
};

struct entry {
    struct list link;
    rev_t rev; /* of the value that is to end; a newer one has its own entry */
    int64_t due_ms;
    char key[];
};

struct expiry {
    struct server *s;
    struct store_watch *watch;
    struct list queue;
    struct timer timer;
};

static void due(struct timer *t);

static void arm(struct expiry *x)
{
    struct list *first = list_first(&x->queue);
    if (!first || timer_active(&x->timer))
        return;
    int64_t left = list_entry(first, struct entry, link)->due_ms - loop_now_ms(x->s->loop);
    timer_start(x->s->loop, &x->timer, MAX(left, (int64_t)0) + ROUND_MS, due);
}

static void add(struct expiry *x, struct item *i)
{
    struct str key = item_key(i);
    struct entry *n = xmalloc(sizeof *n + key.n + 1);
    *n = (struct entry){.rev = i->mod_rev, .due_ms = loop_now_ms(x->s->loop) + EVENT_TTL_MS};
    memcpy(n->key, key.p, key.n);
    n->key[key.n] = 0;
    list_push_back(&x->queue, &n->link);
    arm(x);
}

static void removed(void *arg, int outcome, struct item *item, rev_t rev)
{
    /* A failed removal leaves the event until the next start. */
}

/* Takes due entries off the queue; those still current go in one transaction. */
static void due(struct timer *t)
{
    struct expiry *x = CONTAINER_OF(t, struct expiry, timer);
    int64_t now = loop_now_ms(x->s->loop);
    struct put puts[REMOVE_MAX];
    struct entry *taken[REMOVE_MAX];
    size_t n = 0, n_taken = 0;
    for (struct list *l; n_taken < REMOVE_MAX && (l = list_first(&x->queue));) {
        struct entry *entry = list_entry(l, struct entry, link);
        if (entry->due_ms > now)
            break;
        list_remove(&entry->link);
        taken[n_taken++] = entry;
        struct item *i = store_get_pending(x->s->store, str_z(entry->key));
        if (i && i->mod_rev == entry->rev)
            puts[n++] = (struct put){
                .key = str_z(entry->key), .expect_mod_rev = entry->rev, .flags = STORE_DELETE};
    }
    struct item *conflict;
    if (n)
        (void)!store_write(x->s->store, puts, n, &conflict, removed, NULL);
    for (size_t i = 0; i < n_taken; i++)
        free(taken[i]);
    arm(x);
}

static bool events(void *arg, const struct store_event *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!v[i].deleted)
            add(arg, v[i].item);
    return true;
}

static bool existing(void *arg, struct item *i)
{
    add(arg, i);
    return true;
}

static int follow(struct expiry *x, struct err *e);

static void fell_behind(void *arg)
{
    struct expiry *x = arg;
    struct arena scratch = ARENA_INIT;
    struct err e = ERR_INIT(&scratch);
    store_watch_stop(x->watch);
    x->watch = NULL;
    must(follow(x, &e) == 0);
    arena_fini(&scratch);
}

static int follow(struct expiry *x, struct err *e)
{
    static const struct store_watch_ops ops = {.events = events, .expired = fell_behind};
    struct store_range all = {.prefix = STR("core/events/")};
    must(store_each(x->s->store, &all, existing, x) == 0);
    return store_watch_start(x->s->store, all.prefix, store_revision(x->s->store), &ops, x,
                             &x->watch, e);
}

int expiry_new(struct server *s, struct expiry **ret, struct err *e)
{
    struct expiry *x = xcalloc(1, sizeof *x);
    x->s = s;
    list_init(&x->queue);
    int rc = follow(x, e);
    if (rc < 0)
        expiry_free(x);
    else
        *ret = x;
    return rc;
}

void expiry_free(struct expiry *x)
{
    if (!x)
        return;
    if (x->watch)
        store_watch_stop(x->watch);
    timer_stop(&x->timer);
    while (!list_empty(&x->queue))
        free(list_entry(list_pop_front(&x->queue), struct entry, link));
    free(x);
}
