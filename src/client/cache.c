/* SPDX-License-Identifier: Apache-2.0 */
/* Caches: the current objects of one resource, kept by a list and a watch. */
#include "base/vec.h"
#include "client/impl.h"

struct cache_index {
    struct list link;
    const char *name;
    cache_index_fn *fn;
    struct map buckets; /* index key -> struct bucket */
};

/* Items with one index key, in the order in which they came. */
struct bucket {
    VEC(struct item *) items;
};

struct cache {
    struct client *client;
    const struct resource_def *res;
    void *follow;
    struct map items;  /* "ns/name" -> item (owned); keys are in the items */
    struct map by_uid; /* uid -> item */
    struct list indexes, handlers;
    struct map relist; /* keys seen in the list under way; values are marks */
    bool synced;
    rev_t rev;
    struct task late; /* tells new handlers of what is there */
    struct arena arena;
};

/* Key of an item within its cache: store keys have a prefix, HTTP's have none. */
static struct str local_key(struct item *i)
{
    struct str key = item_key(i), head;
    ptrdiff_t name = str_rindex(key, '/');
    head = str_sub(key, 0, (size_t)MAX(name, 0));
    ptrdiff_t ns = str_rindex(head, '/');
    return str_sub(key, (size_t)(ns + 1), key.n);
}

/* ---- indexes ---- */

struct index_op {
    struct cache_index *ix;
    struct item *item;
    bool add;
};

static void index_key(void *ctx, struct str key)
{
    struct index_op *op = ctx;
    struct bucket *b = map_get(&op->ix->buckets, key);
    if (op->add) {
        if (!b) {
            b = xcalloc(1, sizeof *b);
            map_put(&op->ix->buckets, key, b);
        }
        vec_push(&b->items, op->item);
        return;
    }
    for (size_t i = 0; b && i < b->items.n; i++) {
        if (b->items.v[i] != op->item)
            continue;
        memmove(&b->items.v[i], &b->items.v[i + 1], (b->items.n - i - 1) * sizeof *b->items.v);
        b->items.n--;
        break;
    }
    if (b && !b->items.n) {
        map_remove(&op->ix->buckets, key);
        vec_free(&b->items);
        free(b);
    }
}

static void index_item(struct cache *k, struct item *i, bool add)
{
    struct cache_index *ix;
    list_each (ix, &k->indexes, link) {
        struct index_op op = {ix, i, add};
        ix->fn(i, index_key, &op);
    }
}

struct cache_index *cache_add_index(struct cache *k, const char *name, cache_index_fn *fn)
{
    struct cache_index *ix;
    list_each (ix, &k->indexes, link)
        if (strcmp(ix->name, name) == 0)
            return ix;
    ix = xcalloc(1, sizeof *ix);
    ix->name = name;
    ix->fn = fn;
    list_push_back(&k->indexes, &ix->link);
    uint32_t it = 0;
    for (struct map_entry *e; (e = map_next(&k->items, &it));) {
        struct index_op op = {ix, e->value, true};
        fn(e->value, index_key, &op);
    }
    return ix;
}

void cache_index_each(struct cache_index *ix, struct str key, bool (*fn)(void *arg, struct item *i),
                      void *arg)
{
    struct bucket *b = map_get(&ix->buckets, key);
    for (size_t i = 0; b && i < b->items.n; i++)
        if (!fn(arg, b->items.v[i]))
            return;
}

void cache_index_controller_uid(struct item *i, void (*add)(void *ctx, struct str key), void *ctx)
{
    struct arena scratch = ARENA_INIT;
    struct metav1_object_meta m;
    item_meta(&scratch, i, &m);
    LIST_EACH (o, &m.owner_references)
        if (o->controller && *o->controller)
            add(ctx, o->uid);
    arena_fini(&scratch);
}

void cache_index_namespace(struct item *i, void (*add)(void *ctx, struct str key), void *ctx)
{
    struct str ns, name;
    (void)str_cut(local_key(i), '/', &ns, &name);
    add(ctx, ns);
}

/* ---- changes ---- */

static struct str uid_of(struct arena *scratch, struct item *i)
{
    struct metav1_object_meta m;
    item_meta(scratch, i, &m);
    return m.uid;
}

static void tell(struct cache *k, struct item *old, struct item *now)
{
    struct cache_handler *h, *next;
    list_each_safe (h, next, &k->handlers, link)
        if (!h->fresh) /* those are told of all that is there, soon */
            h->event(h->arg, old, now);
}

/* Everything up to rev is in. */
static void reach(struct cache *k, rev_t rev)
{
    struct cache_handler *h, *next;
    k->rev = MAX(k->rev, rev);
    list_each_safe (h, next, &k->handlers, link)
        if (h->progress)
            h->progress(h->arg);
}

static void set_uid(struct cache *k, struct item *i, bool add)
{
    struct arena scratch = ARENA_INIT;
    struct str uid = uid_of(&scratch, i);
    if (add)
        map_put(&k->by_uid, uid, i);
    else if (map_get(&k->by_uid, uid) == i)
        map_remove(&k->by_uid, uid);
    arena_fini(&scratch);
}

/* Takes the item in (now NULL: the key goes) and tells the handlers. */
static void change(struct cache *k, struct str key, struct item *now)
{
    struct item *old = map_get(&k->items, key);
    if (!old && !now)
        return;
    if (old && now && old->mod_rev == now->mod_rev)
        return;
    if (old) {
        index_item(k, old, false);
        set_uid(k, old, false);
    }
    if (now) {
        item_ref(now);
        map_put(&k->items, local_key(now), now);
        index_item(k, now, true);
        set_uid(k, now, true);
    } else {
        map_remove(&k->items, key);
    }
    tell(k, old, now);
    item_unref(old);
}

static void on_list_begin(void *arg)
{
    struct cache *k = arg;
    map_clear(&k->relist);
}

static void on_list_item(void *arg, struct item *i)
{
    struct cache *k = arg;
    map_put(&k->relist, local_key(i), k);
    change(k, local_key(i), i);
}

static void on_listed(void *arg, rev_t rev)
{
    struct cache *k = arg;
    uint32_t it = 0;
    VEC(struct item *) gone = {0};
    for (struct map_entry *e; (e = map_next(&k->items, &it));)
        if (!map_has(&k->relist, e->key))
            vec_push(&gone, item_ref(e->value));
    for (size_t i = 0; i < gone.n; i++) {
        change(k, local_key(gone.v[i]), NULL);
        item_unref(gone.v[i]);
    }
    vec_free(&gone);
    map_fini(&k->relist);
    reach(k, rev);
    if (k->synced)
        return;
    k->synced = true;
    struct cache_handler *h, *next;
    list_each_safe (h, next, &k->handlers, link)
        if (h->synced && !h->fresh)
            h->synced(h->arg);
}

static void on_event(void *arg, struct item *i, bool deleted)
{
    struct cache *k = arg;
    if (i->mod_rev < k->rev)
        return; /* seen: a watch that started too early. Equal: several objects in one revision */
    change(k, local_key(i), deleted ? NULL : i);
    reach(k, i->mod_rev);
}

static void on_progress(void *arg, rev_t rev)
{
    struct cache *k = arg;
    if (rev > k->rev)
        reach(k, rev);
}

static const struct follow_ops cache_follow_ops = {on_list_begin, on_list_item, on_listed, on_event,
                                                   on_progress};

/* ---- handlers that come late ---- */

static void tell_late(struct task *t)
{
    struct cache *k = CONTAINER_OF(t, struct cache, late);
    struct cache_handler *h, *next;
    list_each_safe (h, next, &k->handlers, link) {
        if (!h->fresh)
            continue;
        h->fresh = false;
        uint32_t it = 0;
        for (struct map_entry *e; (e = map_next(&k->items, &it));)
            h->event(h->arg, NULL, e->value);
        if (k->synced && h->synced)
            h->synced(h->arg);
    }
}

void cache_handle(struct cache *k, struct cache_handler *h)
{
    list_push_back(&k->handlers, &h->link);
    h->fresh = k->items.count > 0 || k->synced;
    if (h->fresh)
        loop_defer(k->client->loop, &k->late, tell_late);
}

void cache_unhandle(struct cache_handler *h)
{
    list_remove(&h->link);
}

/* ---- reading ---- */

bool cache_synced(const struct cache *k)
{
    return k->synced;
}

rev_t cache_revision(const struct cache *k)
{
    return k->rev;
}

const struct resource_def *cache_resource(const struct cache *k)
{
    return k->res;
}

size_t cache_count(const struct cache *k)
{
    return k->items.count;
}

struct item *cache_get(struct cache *k, struct str ns, struct str name)
{
    char key[STORE_KEY_MAX];
    int n = snprintf(key, sizeof key, "%.*s/%.*s", STR_ARG(ns), STR_ARG(name));
    return n < (int)sizeof key ? map_get(&k->items, str_n(key, (size_t)n)) : NULL;
}

struct item *cache_find_uid(struct cache *k, struct str uid)
{
    return map_get(&k->by_uid, uid);
}

void cache_each(struct cache *k, struct str ns, bool (*fn)(void *arg, struct item *i), void *arg)
{
    uint32_t it = 0;
    for (struct map_entry *e; (e = map_next(&k->items, &it));) {
        struct str head, name;
        (void)str_cut(e->key, '/', &head, &name);
        if ((!ns.n || str_eq(head, ns)) && !fn(arg, e->value))
            return;
    }
}

/* ---- life ---- */

struct cache *client_cache(struct client *c, const struct resource_def *res, struct str ns,
                           struct str field_selector)
{
    struct arena scratch = ARENA_INIT;
    struct str words = arena_fmt(&scratch, "%s/%s/%s|%.*s|%.*s", res->group, res->version,
                                 res->plural, STR_ARG(ns), STR_ARG(field_selector));
    struct cache *k = map_get(&c->caches, words);
    if (!k) {
        k = xcalloc(1, sizeof *k);
        k->client = c;
        k->res = res;
        k->arena = ARENA_INIT;
        k->items = MAP_INIT_BORROWED;
        list_init(&k->indexes);
        list_init(&k->handlers);
        map_put(&c->caches, words, k);
        k->follow = c->ops->follow(c, res, ns, field_selector, &cache_follow_ops, k);
    }
    arena_fini(&scratch);
    return k;
}

void cache_free(struct cache *k)
{
    uint32_t it = 0;
    k->client->ops->unfollow(k->follow);
    task_cancel(&k->late);
    for (struct map_entry *e; (e = map_next(&k->items, &it));) {
        index_item(k, e->value, false);
        item_unref(e->value);
    }
    while (!list_empty(&k->indexes)) {
        struct cache_index *ix = list_entry(list_pop_front(&k->indexes), struct cache_index, link);
        map_fini(&ix->buckets);
        free(ix);
    }
    map_fini(&k->items);
    map_fini(&k->by_uid);
    map_fini(&k->relist);
    arena_fini(&k->arena);
    free(k);
}
