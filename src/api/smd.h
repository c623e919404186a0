/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smd.h: what server-side apply must know of a type, whoever describes it.
 *
 * The rules are those of structured-merge-diff: a value is a scalar, a list or a map; a type says
 * which of them it may be. A list is atomic (one field), a set of scalars (an element is named by
 * its value), or keyed (an element is named by some of its members). A map or struct is granular
 * (each member is a field) or atomic. Three describers:
 *
 *   smd_desc    built-in types: the schema compiled from schema/<group>_<version>.api
 *   smd_schema  custom resources: an OpenAPI v3 schema with x-kubernetes-list-type,
 *               -list-map-keys, -map-type, -preserve-unknown-fields and -embedded-resource
 *   smd_deduced nothing known: maps are granular, lists atomic
 *
 * A struct smd_type is a small value. It borrows the descriptor or schema behind it.
 */
#ifndef BARQUE_API_SMD_H
#define BARQUE_API_SMD_H

#include "api/desc.h"
#include "codec/json.h"

struct smd_ops;

struct smd_type {
    const struct smd_ops *ops; /* NULL: the type does not know such a member */
    const void *node;
    uint32_t how; /* private to the describer */
};

enum { SMD_SCALAR = 1, SMD_LIST = 2, SMD_MAP = 4 };
enum smd_scalar { SMD_ANY_SCALAR, SMD_STRING, SMD_NUMBER, SMD_BOOL };

/* What a value of the type may be. */
struct smd_atom {
    uint8_t may_be; /* SMD_SCALAR and so on */
    uint8_t scalar; /* enum smd_scalar */
    bool list_atomic, map_atomic;
    bool deduced;  /* a map whose members nobody declared */
    size_t n_keys; /* of a list that is not atomic; 0: a set */
};

struct smd_ops {
    /* The type may have been another when field sets were written: they need smd_reconcile. */
    bool may_change;
    struct smd_atom (*atom)(struct smd_type t);
    /* The type of a member; *ret_declared: the type names it (a struct's field, not a map's). */
    struct smd_type (*member)(struct smd_type t, struct str name, bool *ret_declared);
    struct smd_type (*element)(struct smd_type t);  /* of a list */
    struct str (*key)(struct smd_type t, size_t i); /* of a keyed list, i < n_keys */
    /* The default of a declared member, a scalar; false: none. */
    bool (*default_of)(struct smd_type t, struct str member, struct json *ret);
    /* A new object of the type before anything is set, as it is encoded. NULL: the arena is full.
     */
    struct json *(*empty)(struct smd_type t, struct arena *a);
};

struct smd_type smd_desc(const struct desc *d);
/* The schema of a custom resource's version: its root adds apiVersion, kind and metadata. */
struct smd_type smd_schema(const struct json *schema);
struct smd_type smd_deduced(void);

static inline struct smd_atom smd_atom(struct smd_type t)
{
    return t.ops ? t.ops->atom(t) : (struct smd_atom){0};
}
struct smd_type smd_member(struct smd_type t, struct str name, bool *ret_declared);
struct smd_type smd_element(struct smd_type t);

#endif
