/* SPDX-License-Identifier: Apache-2.0 */
#include "server/owners.h"

#include "api/apply.h"
#include "server/impl.h"

/* Fields that a request may not set, and so does not come to own: of the whole object all but
 * status, of the status subresource nothing but status and metadata. */
static void reset_fields(struct write *w, struct fields_pool *pool, struct fieldset *set,
                         struct apply_in *in)
{
    if (!w->res->has_status)
        return;
    *set = fieldset_of(pool, w->status ? "{\"f:spec\":{}}" : "{\"f:status\":{}}");
    in->reset = set;
}

static struct json *tree_in_version(struct write *w, const struct object *o)
{
    struct request *r = w->r;
    if (r->res != w->res && r->res->hub == w->res)
        o = object_convert(r->arena, o, r->res);
    return object_tree(r->arena, o);
}

static void fill(struct write *w, struct apply_in *in, const struct json *object)
{
    struct request *r = w->r;
    *in = (struct apply_in){
        .arena = r->arena,
        .type = r->res->desc ? smd_desc(r->res->desc) : smd_deduced(),
        .live = w->old ? tree_in_version(w, w->old) : NULL,
        .object = object,
        .manager = managed_name(r->arena, r->opts.field_manager, r->user_agent),
        .api_version = r->res->api_version,
        .kind = r->res->kind,
        .subresource = r->subresource,
        .now = loop_wall(r->server->loop),
        .force = r->opts.force,
    };
}

/* managedFields of the tree into the object's metadata. */
static int take_entries(struct write *w, const struct json *tree)
{
    struct request *r = w->r;
    struct metav1_object_meta m = {0};
    struct json *only = json_object(r->arena);
    struct json *entries = json_path(tree, "metadata", "managedFields", NULL);
    if (entries)
        json_set(r->arena, only, STR("managedFields"), entries);
    int rc = desc_decode_json(&metav1_object_meta_desc, json_text(r->arena, only), r->arena, &m,
                              NULL, &r->err);
    if (rc == 0)
        w->obj->meta->managed_fields = m.managed_fields;
    return rc;
}

int owners_track(struct write *w)
{
    struct apply_in in;
    struct fields_pool pool = {.arena = w->r->arena};
    struct fieldset reset;
    struct json *tracked;
    if (w->by_apply)
        return 0;
    fill(w, &in, tree_in_version(w, w->obj));
    reset_fields(w, &pool, &reset, &in);
    int rc = apply_track_update(&in, &tracked, &w->r->err);
    return rc < 0 ? rc : take_entries(w, tracked);
}

int owners_apply(struct write *w, const struct json *config, struct json **ret)
{
    struct apply_in in;
    struct fields_pool pool = {.arena = w->r->arena};
    struct fieldset reset;
    fill(w, &in, config);
    reset_fields(w, &pool, &reset, &in);
    return apply_merge(&in, ret, &w->r->err);
}
