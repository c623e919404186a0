/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resource.h: what is served: one struct resource per group, version and plural name, built-in or
 * custom, and how its objects are decoded, encoded and stored.
 *
 * Stored form: the JSON text of the storage version, whole, with kind and apiVersion first and
 * metadata third, at key "<group>/<plural>/<namespace>/<name>" (group "core" for the empty one,
 * namespace empty for cluster-scoped kinds). In memory the text has its resourceVersion; on disk
 * the revision is put in by the store (struct put.splice_at). What is in memory is what GET, LIST
 * and watchers of the storage version get, byte for byte.
 */
#ifndef BARQUE_SERVER_RESOURCE_H
#define BARQUE_SERVER_RESOURCE_H

#include "api/hooks.h"
#include "api/metav1.h"
#include "api/registry.h"
#include "store/view.h"

struct crd; /* custom resource definition, compiled (crd.h) */
struct server;

struct resource {
    struct str group, version; /* "" is the core group */
    struct str api_version;    /* "apps/v1" */
    struct str plural, singular, kind, list_kind;
    bool namespaced;
    const struct resource_def *def; /* NULL: custom */
    struct crd *crd;                /* NULL: built-in */
    const struct desc *desc;        /* of the C struct; NULL: custom */
    const struct kind_hooks *hooks; /* may be NULL */
    uint32_t verbs;
    struct resource *hub;              /* the storage version of the same objects; may be itself */
    struct str prefix;                 /* "apps/deployments/" */
    bool has_status;                   /* status is a subresource */
    const struct field *spec, *status; /* of desc; NULL when the type has none */
    const struct field *metadata;
    size_t replaced; /* >0: older version kept for open requests only */
};

/* An object being read or written. Exactly one of typed and tree is set. */
struct object {
    struct resource *res;
    void *typed;                     /* struct of res->desc */
    struct json *tree;               /* custom resources: everything but metadata is read here */
    struct metav1_object_meta *meta; /* inside typed, or decoded beside tree; authoritative */
};

/* "kind": and "apiVersion": of the text, without decoding it. */
int object_peek_kind(struct arena *a, struct str json, struct str *ret_api_version,
                     struct str *ret_kind, struct err *e) MUST_USE;
/* JSON text to an object of res: text must live as long as the object. notes may be NULL. */
int object_decode(struct resource *res, struct str json, struct arena *a, struct object **ret,
                  struct decode_notes *notes, struct err *e) MUST_USE;
int object_decode_pb(struct resource *res, struct str raw, struct arena *a, struct object **ret,
                     struct err *e) MUST_USE;
/* A fresh object of res with empty metadata. */
struct object *object_new(struct resource *res, struct arena *a);
struct object *object_copy(struct arena *a, const struct object *o);
/* The whole JSON text. ret_splice_at: where the revision belongs (the text then has an empty
 * resourceVersion string there); NULL: meta's resourceVersion is written as it is. */
void object_encode(const struct object *o, struct buf *b, size_t *ret_splice_at);
/* The object as a value tree (shared with o->tree for custom ones; metadata from meta). */
struct json *object_tree(struct arena *a, const struct object *o);

/* The object in another version of its kind (res->hub or back), on the arena. */
const struct object *object_convert(struct arena *a, const struct object *o, struct resource *to);

/* ---- stored items ---- */

/* The object of an item in hub version, decoded as store/view.h says: its content is shared and
 * valid until the next return to the loop. object_copy before a change. */
const struct object *item_object(struct arena *a, struct resource *res, struct item *i);

/* ns is left out for cluster-scoped kinds (a request about a namespace names it as ns, too). */
struct str resource_key(struct arena *a, const struct resource *res, struct str ns,
                        struct str name);
/* "apps/deployments/ns/" or, without namespace, the whole prefix. */
struct str resource_prefix(struct arena *a, const struct resource *res, struct str ns);
void key_split(struct str key, struct str *ret_ns, struct str *ret_name);

/* ---- the table of what is served ---- */

struct resource *resources_find(struct server *s, struct str group, struct str version,
                                struct str plural);
struct resource *resources_find_kind(struct server *s, struct str group, struct str version,
                                     struct str kind);
/* In order of registration: uint32_t it = 0; while ((r = resources_next(s, &it))) ... */
struct resource *resources_next(struct server *s, uint32_t *it);
/* Changes whenever something is added or removed: for discovery and OpenAPI caches. */
uint64_t resources_generation(const struct server *s);

#endif
