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

/* Items with one index key, in the order in which they came: local key -> item. */
struct bucket {
    struct map items;
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

struct index_keys {
    struct arena *arena;
    VEC(struct str) v;
};

static void collect_key(void *ctx, struct str key)
{
    struct index_keys *k = ctx;
    struct str copy = arena_str(k->arena, key);
    vec_push_arena(k->arena, &k->v, copy);
}

static bool has_key(const struct index_keys *k, struct str key)
{
    LIST_EACH (s, &k->v)
        if (str_eq(*s, key))
            return true;
    return false;
}

static void bucket_put(struct cache_index *ix, struct str key, struct item *i)
{
    struct bucket *b = map_get(&ix->buckets, key);
    if (!b) {
        b = xcalloc(1, sizeof *b);
        b->items = MAP_INIT_BORROWED;
        map_put(&ix->buckets, key, b);
    }
    map_put(&b->items, local_key(i), i);
}

static void bucket_drop(struct cache_index *ix, struct str key, struct item *i)
{
    struct bucket *b = map_get(&ix->buckets, key);
    if (!b)
        return;
    map_remove(&b->items, local_key(i));
    if (b->items.count)
        return;
    map_remove(&ix->buckets, key);
    map_fini(&b->items);
    free(b);
}

/* An item that keeps its key keeps its place. */
static void index_change(struct cache_index *ix, struct item *old, struct item *now)
{
    struct arena scratch = ARENA_INIT;
    struct index_keys before = {.arena = &scratch}, after = {.arena = &scratch};
    if (old)
        ix->fn(old, collect_key, &before);
    if (now)
        ix->fn(now, collect_key, &after);
    LIST_EACH (k, &after.v)
        bucket_put(ix, *k, now);
    LIST_EACH (k, &before.v)
        if (!has_key(&after, *k))
            bucket_drop(ix, *k, old);
    arena_fini(&scratch);
}

static void index_item(struct cache *k, struct item *old, struct item *now)
{
    struct cache_index *ix;
    list_each (ix, &k->indexes, link)
        index_change(ix, old, now);
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
    for (struct map_entry *e; (e = map_next(&k->items, &it));)
        index_change(ix, NULL, e->value);
    return ix;
}

void cache_index_each(struct cache_index *ix, struct str key, bool (*fn)(void *arg, struct item *i),
                      void *arg)
{
    struct bucket *b = map_get(&ix->buckets, key);
    uint32_t it = 0;
    for (struct map_entry *e; b && (e = map_next(&b->items, &it));)
        if (!fn(arg, e->value))
            return;
}

size_t cache_index_count(const struct cache_index *ix, struct str key)
{
    struct bucket *b = map_get(&ix->buckets, key);
    return b ? b->items.count : 0;
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

void cache_index_label(struct item *i, void (*add)(void *ctx, struct str key), void *ctx)
{
    struct arena scratch = ARENA_INIT;
    struct metav1_object_meta m;
    item_meta(&scratch, i, &m);
    LIST_EACH (l, &m.labels)
        add(ctx, cache_label_key(&scratch, m.namespace, l->key, l->value));
    arena_fini(&scratch);
}

struct str cache_label_key(struct arena *a, struct str ns, struct str label, struct str value)
{
    return arena_fmt(a, "%.*s/%.*s=%.*s", STR_ARG(ns), STR_ARG(label), STR_ARG(value));
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
    if (now)
        map_put(&k->items, local_key(item_ref(now)), now);
    else
        map_remove(&k->items, key);
    index_item(k, old, now);
    if (old)
        set_uid(k, old, false);
    if (now)
        set_uid(k, now, true);
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
        index_item(k, e->value, NULL);
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
