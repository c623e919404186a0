/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply.h: server-side apply, and who owns which field after any other write.
 *
 * Works on value trees in the version of the request. Behaviour: structured-merge-diff v6 and
 * kube-apiserver's field managers (k8s.io/apimachinery/pkg/util/managedfields).
 *
 * Trees that go in are read-only; what comes out shares values and strings with all of *in. New
 * memory is on in->arena; when it is full the error is ERR_LIMIT.
 *
 * In the order of a request: apply_merge or (decode, patch ...) gives the object, defaults are set
 * on it, apply_track_update adds managedFields (apply_merge did already), admission and validation
 * follow; apply_settle at the end keeps a write without effect from being one.
 */
#ifndef BARQUE_API_APPLY_H
#define BARQUE_API_APPLY_H

#include "api/managed.h"
#include "api/smd.h"

/* Objects of kinds with several versions: managers name fields in the version they used. */
struct apply_versions {
    /* Gives the object in the other version, and the type that it has there. 1: no such version;
     * its managers are forgotten. */
    int (*convert)(void *arg, struct str version, const struct json *object, struct json **ret,
                   struct smd_type *ret_type, struct err *e);
    void *arg;
};

struct apply_in {
    struct arena *arena;
    struct smd_type type;      /* of the object in this version */
    const struct json *live;   /* the object as it is, with managedFields; NULL: it is created */
    const struct json *object; /* the new object, or the applied configuration */
    struct str manager;        /* managed_name(); "" becomes "unknown" */
    struct str api_version;    /* "apps/v1" */
    struct str kind;           /* "Deployment" */
    struct str subresource;    /* "" or "status" ... */
    struct wall now;
    bool force; /* apply only: take fields from other managers */
    /* Fields that this resource or subresource does not let clients set (upstream: reset fields),
     * and pattern of the only ones that it does. NULL: no restriction. */
    const struct fieldset *reset, *only;
    const struct apply_versions *versions; /* NULL: one version */
};

/* Merges a configuration into the live object, for its manager. What the manager applied before
 * and does not any more is removed, unless somebody else owns it too.
 *
 * *ret is the new object with managedFields; defaults are not set yet. Errors: ERR_CONFLICT with a
 * cause (FieldManagerConflict) for each field that another manager owns, unless in->force;
 * ERR_BAD_REQUEST when the configuration does not fit the type. */
int apply_merge(const struct apply_in *in, struct json **ret, struct err *e) MUST_USE;

/* *ret is in->object with managedFields that say what in->manager changed. managedFields of
 * in->object count when it is not written through a subresource: [] or [{}] has all managers
 * forgotten, and none are kept from then on until somebody applies. Where owners cannot be told
 * (the object does not fit its type), managedFields stay as they are in in->live. */
int apply_track_update(const struct apply_in *in, struct json **ret, struct err *e) MUST_USE;

/* object, or live when the two differ in nothing but times of managedFields. */
struct json *apply_settle(struct json *live, struct json *object);

#endif
