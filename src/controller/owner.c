/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/owner.h"

void owner_add(struct arena *a, struct metav1_object_meta *child,
               const struct resource_def *owner_res, const struct metav1_object_meta *owner)
{
    struct metav1_owner_reference *r = list_add(a, &child->owner_references);
    r->api_version = api_version_join(a, str_z(owner_res->group), str_z(owner_res->version));
    r->kind = str_z(owner_res->kind);
    r->name = owner->name;
    r->uid = owner->uid;
    r->controller = NEW_VALUE(a, bool, true);
    r->block_owner_deletion = NEW_VALUE(a, bool, true);
}

/* ---- the index: by uid of the controller; orphans by "/namespace" ---- */

static void index_owner(struct item *i, void (*add)(void *ctx, struct str key), void *ctx)
{
    struct arena scratch = ARENA_INIT;
    struct metav1_object_meta m;
    item_meta(&scratch, i, &m);
    const struct metav1_owner_reference *o = controller_of(&m);
    add(ctx, o ? o->uid : arena_fmt(&scratch, "/%.*s", STR_ARG(m.namespace)));
    arena_fini(&scratch);
}

struct cache_index *owner_index(struct cache *children)
{
    return cache_add_index(children, "owner", index_owner);
}

/* ---- claims ---- */

struct claiming {
    const struct claim *c;
    struct items *kept;
    struct items adopt, release;
};

static bool look_owned(void *arg, struct item *i)
{
    struct claiming *g = arg;
    const struct claim *c = g->c;
    struct metav1_object_meta m;
    item_meta(c->rc->arena, i, &m);
    if (label_selector_match(&c->selector, &m.labels))
        vec_push_arena(c->rc->arena, g->kept, i);
    else if (!c->owner->deletion_timestamp)
        vec_push_arena(c->rc->arena, &g->release, i);
    return true;
}

static bool look_orphan(void *arg, struct item *i)
{
    struct claiming *g = arg;
    const struct claim *c = g->c;
    struct metav1_object_meta m;
    item_meta(c->rc->arena, i, &m);
    if (!m.deletion_timestamp && label_selector_match(&c->selector, &m.labels))
        vec_push_arena(c->rc->arena, &g->adopt, i);
    return true;
}

static void release(const struct claim *c, struct item *i)
{
    struct metav1_object_meta m;
    item_meta(c->rc->arena, i, &m);
    struct str body =
        arena_fmt(c->rc->arena,
                  "{\"metadata\":{\"ownerReferences\":[{\"$patch\":\"delete\",\"uid\":\"%.*s\"}],"
                  "\"uid\":\"%.*s\"}}",
                  STR_ARG(c->owner->uid), STR_ARG(m.uid));
    intend_patch(c->rc, c->child_res, m.namespace, m.name, NULL, CLIENT_PATCH_STRATEGIC, body);
}

/* What the callback of the owner's GET needs, in memory that lives on. */
struct adoption {
    const struct resource_def *owner_res, *child_res;
    struct str owner_uid;
    struct items children;
};

/* The owner as the server has it now: one that is gone or going may not adopt. */
static void adopt_checked(struct reconcile *rc, void *arg, int code, struct item *owner,
                          const struct err *e)
{
    struct adoption *ad = arg;
    struct metav1_object_meta m, child;
    if (code < 0)
        return;
    item_meta(rc->arena, owner, &m);
    if (!str_eq(m.uid, ad->owner_uid) || m.deletion_timestamp)
        return;
    struct str version =
        api_version_join(rc->arena, str_z(ad->owner_res->group), str_z(ad->owner_res->version));
    LIST_EACH (i, &ad->children) {
        item_meta(rc->arena, *i, &child);
        struct str body = arena_fmt(
            rc->arena,
            "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"%.*s\",\"kind\":\"%s\","
            "\"name\":\"%.*s\",\"uid\":\"%.*s\",\"controller\":true,\"blockOwnerDeletion\":true}],"
            "\"uid\":\"%.*s\"}}",
            STR_ARG(version), ad->owner_res->kind, STR_ARG(m.name), STR_ARG(m.uid),
            STR_ARG(child.uid));
        intend_patch(rc, ad->child_res, child.namespace, child.name, NULL, CLIENT_PATCH_STRATEGIC,
                     body);
    }
}

static void adopt(const struct claim *c, const struct items *children)
{
    struct reconcile *rc = c->rc;
    struct adoption *ad = arena_new(rc->arena, struct adoption);
    *ad = (struct adoption){c->owner_res, c->child_res, arena_str(rc->arena, c->owner->uid),
                            *children};
    LIST_EACH (i, children)
        reconcile_hold(rc, *i);
    intent_then(intend_get(rc, c->owner_res, c->owner->namespace, c->owner->name), adopt_checked,
                ad);
}

bool claim_children(const struct claim *c, struct items *ret)
{
    struct claiming g = {.c = c, .kept = ret};
    cache_index_each(c->children, c->owner->uid, look_owned, &g);
    if (!c->owner->deletion_timestamp)
        cache_index_each(c->children,
                         arena_fmt(c->rc->arena, "/%.*s", STR_ARG(c->owner->namespace)),
                         look_orphan, &g);
    LIST_EACH (i, &g.release)
        release(c, *i);
    if (g.adopt.n)
        adopt(c, &g.adopt);
    return g.adopt.n + g.release.n > 0;
}

/* ---- waking ---- */

struct waking {
    struct controller *c;
    const struct owners *o;
    const struct str_map *labels;
};

static bool wake_matching(void *arg, struct item *owner)
{
    struct waking *w = arg;
    struct arena scratch = ARENA_INIT;
    struct err e = ERR_INIT(&scratch);
    struct label_selector sel;
    const void *obj = item_typed(owner, cache_resource(w->o->cache)->desc);
    if (label_selector_from(&scratch, w->o->selector(obj), &sel, &e) == 0 &&
        !label_selector_is_empty(&sel) && label_selector_match(&sel, w->labels))
        controller_enqueue_item(w->c, owner);
    arena_fini(&scratch);
    return true;
}

/* The owner that the reference names by uid, if it is there. */
static void wake_by_reference(struct controller *c, const struct owners *o,
                              const struct metav1_object_meta *m)
{
    const struct metav1_owner_reference *r = controller_of(m);
    if (r && str_eqz(r->kind, o->kind))
        controller_enqueue(c, m->namespace, r->name);
}

static bool orphan_changed(const struct item *old, const struct metav1_object_meta *before,
                           const struct metav1_object_meta *m)
{
    return !old || controller_of(before) || !str_map_equal(&before->labels, &m->labels);
}

void wake_owner(struct controller *c, const struct owners *o, struct item *old, struct item *now)
{
    struct arena scratch = ARENA_INIT;
    struct metav1_object_meta before = {0}, m = {0};
    if (old) {
        item_meta(&scratch, old, &before);
        wake_by_reference(c, o, &before);
    }
    if (now) {
        item_meta(&scratch, now, &m);
        wake_by_reference(c, o, &m);
        if (!controller_of(&m) && orphan_changed(old, &before, &m)) {
            struct waking w = {c, o, &m.labels};
            cache_index_each(o->by_namespace, m.namespace, wake_matching, &w);
        }
    }
    arena_fini(&scratch);
}
