/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write.h: the path of one write through admission, preparation, validation and the store; shared
 * by create, update, patch, status and the small subresources.
 *
 * A write is made against a base: the newest pending state of the key. It is stored under the
 * condition that the base is still there; a write that lost that race starts again through
 * `again` (patches, server-made updates) or fails with a conflict.
 */
#ifndef BARQUE_SERVER_WRITE_H
#define BARQUE_SERVER_WRITE_H

#include "server/request.h"

struct write {
    struct request *r;
    struct resource *res;     /* the hub: what is stored */
    struct object *obj;       /* new state, in hub version */
    struct item *base;        /* owned reference; NULL for create */
    const struct object *old; /* the base's object, copied on the request's arena; NULL: create */
    struct admission adm;
    bool status;           /* the status subresource: everything else is kept */
    bool by_apply;         /* server-side apply set managedFields already */
    bool delete_when_done; /* the last finalizer of a deleted object has gone */
    int attempts;
    int http_status; /* of a success: 200 or 201 */
    /* Called with the decoded new state before anything else looks at it: keeps what the request
     * may not change. */
    void (*fixup)(struct write *w);
    /* Makes obj anew from a fresh base after a lost race; NULL: conflict is the answer. */
    void (*again)(struct write *w);
    /* Answers a success; NULL: the stored object. item is NULL after a delete. */
    void (*answer)(struct write *w, struct item *item);
    void *arg;
};

struct write *write_new(struct request *r);
/* Loads the pending state of the request's object as base and old. ERR_NOT_FOUND. */
int write_load_base(struct write *w) MUST_USE;
/* Goes through all stages with obj (and base); answers in the end. */
void write_create(struct write *w);
void write_update(struct write *w);
/* Stores obj over base without admission and validation: changes that the server makes itself. */
void write_store(struct write *w);
/* A PUT or PATCH of the request's object, whole or (with fixup) in part. */
void write_put(struct request *r, void (*fixup)(struct write *w));
void write_patch(struct request *r, void (*fixup)(struct write *w));
/* pods/eviction: deletes the request's pod if disruption budgets allow. */
void eviction_delete(struct request *r, const struct metav1_delete_options *opts);

/* Reads the request's body as an object of r->res, converted to the hub, with field validation
 * applied and defaults set. */
int write_read_body(struct write *w, struct object **ret) MUST_USE;
/* The same from a JSON text that is not the body (the result of a patch). */
int write_read_json(struct write *w, struct str json, struct object **ret) MUST_USE;
void object_defaults(struct arena *a, struct object *o);

/* A body of some other kind (Scale, Binding, DeleteOptions...): decoded into *ret of desc. */
int read_typed_body(struct request *r, const struct desc *d, const char *kind, void *ret) MUST_USE;

/* A fresh random UID (RFC 9562 version 4). */
struct str make_uid(struct server *s, struct arena *a);

#endif
