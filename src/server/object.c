/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: decoding, encoding, and the views that stay with stored items. */
#include "server/resource.h"

#include "api/convert.h"

int object_peek_kind(struct arena *a, struct str json, struct str *ret_api_version,
                     struct str *ret_kind, struct err *e)
{
    struct json_in in;
    struct str key;
    *ret_api_version = *ret_kind = STR("");
    json_in_init(&in, json, a);
    if (json_enter_object(&in)) {
        while (json_next_key(&in, &key)) {
            bool kind = str_eq(key, STR("kind")), version = str_eq(key, STR("apiVersion"));
            if ((kind || version) && json_peek(&in) == JSON_STRING)
                (void)json_read_string(&in, kind ? ret_kind : ret_api_version);
            else
                (void)json_skip(&in, NULL);
            if (ret_kind->n && ret_api_version->n)
                return 0;
        }
    }
    if (!in.error)
        return 0;
    return err_set(e, ERR_BAD_REQUEST, "couldn't get version/kind; json parse error: %s", in.error);
}

static struct metav1_object_meta *meta_of(const struct resource *res, void *typed)
{
    return (struct metav1_object_meta *)(void *)((char *)typed + res->metadata->offset);
}

struct object *object_new(struct resource *res, struct arena *a)
{
    struct object *o = arena_new(a, struct object);
    o->res = res;
    if (res->desc) {
        o->typed = arena_alloc(a, res->desc->size);
        /* kind and apiVersion are the first two members of every top-level struct. */
        struct metav1_type_meta *type = o->typed;
        type->kind = res->kind;
        type->api_version = res->api_version;
        o->meta = res->metadata ? meta_of(res, o->typed) : NULL;
    } else {
        o->tree = json_object(a);
        o->meta = arena_new(a, struct metav1_object_meta);
    }
    return o;
}

/* Metadata of a custom resource: decoded beside the tree. */
static int decode_tree(struct object *o, struct str json, struct arena *a,
                       struct decode_notes *notes, struct err *e)
{
    int rc = json_parse(a, json, &o->tree, e);
    if (rc < 0)
        return rc;
    if (o->tree->type != JSON_OBJECT)
        return err_set(e, ERR_BAD_REQUEST, "the object is not a JSON object");
    struct json *meta = json_getz(o->tree, "metadata");
    if (!meta || meta->type == JSON_NULL)
        return 0;
    struct json_in in;
    json_in_init(&in, json_text(a, meta), a);
    return desc_decode_json_in(&metav1_object_meta_desc, &in, STR("metadata"), o->meta, notes, e);
}

int object_decode(struct resource *res, struct str json, struct arena *a, struct object **ret,
                  struct decode_notes *notes, struct err *e)
{
    struct object *o = object_new(res, a);
    int rc = res->desc ? desc_decode_json(res->desc, json, a, o->typed, notes, e)
                       : decode_tree(o, json, a, notes, e);
    if (rc < 0)
        return rc;
    *ret = o;
    return 0;
}

int object_decode_pb(struct resource *res, struct str raw, struct arena *a, struct object **ret,
                     struct err *e)
{
    if (!res->desc)
        return err_set(e, ERR_UNSUPPORTED_MEDIA_TYPE,
                       "protobuf is not supported for custom resources");
    struct object *o = object_new(res, a);
    int rc = desc_decode_pb(res->desc, raw, a, o->typed, e);
    if (rc < 0)
        return rc;
    *ret = o;
    return 0;
}

struct object *object_copy(struct arena *a, const struct object *o)
{
    struct object *c = arena_new(a, struct object);
    c->res = o->res;
    if (o->typed) {
        c->typed = desc_copy(o->res->desc, a, o->typed);
        c->meta = meta_of(o->res, c->typed);
    } else {
        c->tree = json_copy(a, o->tree);
        c->meta = desc_copy(&metav1_object_meta_desc, a, o->meta);
    }
    return c;
}

/* kind, apiVersion and metadata first, then the rest in the tree's order. */
static void encode_tree(const struct object *o, struct buf *b)
{
    buf_z(b, "{\"kind\":");
    json_put_string(b, o->res->kind);
    buf_z(b, ",\"apiVersion\":");
    json_put_string(b, o->res->api_version);
    buf_z(b, ",\"metadata\":");
    desc_encode_json(&metav1_object_meta_desc, o->meta, b);
    for (size_t i = 0; i < o->tree->object.n; i++) {
        const struct json_member *m = &o->tree->object.v[i];
        if (str_eq(m->key, STR("kind")) || str_eq(m->key, STR("apiVersion")) ||
            str_eq(m->key, STR("metadata")))
            continue;
        buf_c(b, ',');
        json_put_string(b, m->key);
        buf_c(b, ':');
        json_write(b, m->value);
    }
    buf_c(b, '}');
}

void object_encode(const struct object *o, struct buf *b, size_t *ret_splice_at)
{
    struct str rv = o->meta->resource_version;
    size_t from = b->n;
    if (ret_splice_at)
        o->meta->resource_version = STR("0"); /* stands where the revision will */
    if (o->typed)
        desc_encode_json(o->res->desc, o->typed, b);
    else
        encode_tree(o, b);
    o->meta->resource_version = rv;
    if (!ret_splice_at || b->failed)
        return;
    /* Names and kinds come before it and cannot hold a quote: the first match is the member. */
    static const struct str mark = {"\"resourceVersion\":\"", 19};
    ptrdiff_t at = str_find(str_sub(buf_view(b), from, b->n), mark);
    must(at >= 0);
    size_t zero = from + (size_t)at + mark.n;
    memmove(b->p + zero, b->p + zero + 1, b->n - zero - 1);
    buf_truncate(b, b->n - 1);
    *ret_splice_at = zero - from;
}

struct json *object_tree(struct arena *a, const struct object *o)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    struct arena scratch = ARENA_INIT;
    struct err e = ERR_INIT(&scratch);
    struct json *tree;
    object_encode(o, &b, NULL);
    must(!b.failed);
    must(json_parse(a, buf_to_arena(&b, a), &tree, &e) == 0);
    arena_fini(&scratch);
    return tree;
}

const struct object *object_convert(struct arena *a, const struct object *o, struct resource *to)
{
    if (o->res == to)
        return o;
    struct object *c = object_new(to, a);
    must(convert(a, o->res->desc, o->typed, to->desc, c->typed));
    struct metav1_type_meta *type = c->typed;
    type->kind = to->kind;
    type->api_version = to->api_version;
    return c;
}

/* ---- stored items ---- */

const struct object *item_object(struct arena *a, struct resource *res, struct item *i)
{
    struct resource *hub = res->hub;
    struct object *o = arena_new(a, struct object);
    o->res = hub;
    if (hub->desc) {
        /* The view is shared: whoever changes an object copies it first. */
        o->typed = (void *)(uintptr_t)item_typed(i, hub->desc);
        o->meta = meta_of(hub, o->typed);
    } else {
        o->tree = (struct json *)(uintptr_t)item_tree(i);
        o->meta = arena_new(a, struct metav1_object_meta);
        item_meta(a, i, o->meta);
    }
    return o;
}
