/* SPDX-License-Identifier: Apache-2.0 */
#include "store/view.h"

#include "base/list.h"
#include "store/item.h"

struct view {
    struct item_view base;
    struct list lru;
    struct item *item;
    struct arena arena;
    void *typed;
    struct json *tree;
    struct str pb;
    size_t counted; /* bytes of arena counted in views.bytes */
};

/* Views of all items of the process, most recently used first, under one limit. */
static struct {
    struct list lru;
    size_t bytes;
} views = {.lru = {&views.lru, &views.lru}};

static void count(struct view *v)
{
    size_t now = sizeof *v + v->arena.used;
    views.bytes += now - v->counted;
    v->counted = now;
}

static void view_free(struct item_view *base)
{
    struct view *v = CONTAINER_OF(base, struct view, base);
    list_remove(&v->lru);
    views.bytes -= v->counted;
    v->item->view = NULL;
    arena_fini(&v->arena);
    free(v);
}

void item_views_trim(void)
{
    while (views.bytes > ITEM_VIEWS_BYTES_MAX && !list_empty(&views.lru))
        view_free(&list_entry(views.lru.prev, struct view, lru)->base);
}

static struct view *view_of(struct item *i)
{
    if (i->view) {
        struct view *v = CONTAINER_OF(i->view, struct view, base);
        list_remove(&v->lru);
        list_push_front(&views.lru, &v->lru);
        return v;
    }
    struct view *v = xcalloc(1, sizeof *v);
    v->base.free = view_free;
    v->item = i;
    v->arena = ARENA_INIT;
    list_push_front(&views.lru, &v->lru);
    i->view = &v->base;
    return v;
}

const void *item_typed(struct item *i, const struct desc *d)
{
    struct view *v = view_of(i);
    if (!v->typed) {
        struct err e = ERR_INIT(&v->arena);
        v->typed = arena_alloc(&v->arena, d->size);
        if (desc_decode_json(d, item_value(i), &v->arena, v->typed, NULL, &e) < 0)
            never("a stored object does not decode");
        count(v);
    }
    return v->typed;
}

const struct json *item_tree(struct item *i)
{
    struct view *v = view_of(i);
    if (!v->tree) {
        struct err e = ERR_INIT(&v->arena);
        if (json_parse(&v->arena, item_value(i), &v->tree, &e) < 0)
            never("a stored object does not parse");
        count(v);
    }
    return v->tree;
}

struct str item_pb(struct item *i, const struct desc *d)
{
    const void *obj = item_typed(i, d);
    struct view *v = view_of(i);
    if (!v->pb.p) {
        CLEANUP(pb_out_fini) struct pb_out o;
        pb_out_init(&o, BUF_CAP_DEFAULT);
        desc_encode_pb(d, obj, &o);
        must(!o.failed);
        v->pb = arena_str(&v->arena, pb_out_view(&o));
        count(v);
    }
    return v->pb;
}

void item_meta(struct arena *a, const struct item *i, struct metav1_object_meta *ret)
{
    struct json_in in;
    struct str key;
    struct err e = ERR_INIT(a);
    *ret = (struct metav1_object_meta){0};
    json_in_init(&in, item_value(i), a);
    if (!json_enter_object(&in))
        never("a stored object is no object");
    while (json_next_key(&in, &key)) {
        if (!str_eq(key, STR("metadata"))) {
            (void)json_skip(&in, NULL);
            continue;
        }
        if (desc_decode_json_in(&metav1_object_meta_desc, &in, STR_NULL, ret, NULL, &e) < 0)
            never("stored metadata does not decode");
        return;
    }
}

struct item *item_from_bytes(struct str key, struct str value, rev_t create_rev, rev_t mod_rev)
{
    struct item_spec spec = {.key = key, .create_rev = create_rev, .mod_rev = mod_rev};
    item_spec_value(&spec, value, SIZE_MAX);
    struct item *i = item_new(&spec);
    must(i != NULL);
    return i;
}
