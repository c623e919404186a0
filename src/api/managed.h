/* SPDX-License-Identifier: Apache-2.0 */
/*
 * managed.h: metadata.managedFields, who set which fields of an object.
 *
 * An entry is a manager: a name, an operation (Apply or Update), the version of the API in which
 * its fields are named, and a subresource. A manager that applies is one in all versions.
 * Behaviour: k8s.io/apimachinery/pkg/util/managedfields.
 */
#ifndef BARQUE_API_MANAGED_H
#define BARQUE_API_MANAGED_H

#include "api/fieldset.h"
#include "base/clock.h"

enum {
    MANAGED_UPDATERS_MAX = 10, /* entries of operation Update; older ones are bundled */
    MANAGED_NAME_MAX = 128,    /* bytes of a manager's name */
};
#define MANAGED_BUNDLE "ancient-changes"

struct manager {
    struct str name, api_version, subresource;
    bool applied; /* Apply, else Update */
    bool has_time;
    struct wall time;
    const struct json *json;   /* the entry as it was read; NULL: it must be written anew */
    const struct json *fields; /* its FieldsV1, while they did not change; or NULL */
    struct fieldset set;       /* managed_set() */
    bool parsed;               /* set is */
};

struct managed {
    struct manager *v;
    size_t n, room;
};

/* Reads an array of entries (NULL: none). Sets are read when they are asked for; with `checked`
 * all at once. Errors: ERR_BAD_REQUEST. Two entries of one manager: the last one counts. */
int managed_decode(struct fields_pool *pool, const struct json *entries, bool checked,
                   struct managed *ret, struct err *e) MUST_USE;
/* The array of entries in their order; NULL: there are none, or the pool is full. */
struct json *managed_encode(struct fields_pool *pool, struct managed *m);

/* Is this what a client sends to have all entries forgotten: [] or [{}]? */
bool managed_is_reset(const struct json *entries);

/* The manager's fields. What was stored and cannot be read counts as nothing. */
struct fieldset managed_set(struct fields_pool *pool, struct manager *m);
void managed_put(struct manager *m, struct fieldset set);
void managed_set_time(struct manager *m, struct wall time);

/* The entry of the same manager as `like` (name, operation, subresource; for updates the version
 * too), or NULL. */
struct manager *managed_find(const struct managed *m, const struct manager *like);
/* A copy of `like` at the end; NULL: the pool is full. */
struct manager *managed_add(struct fields_pool *pool, struct managed *m,
                            const struct manager *like);
/* Drops entries without fields. */
void managed_drop_empty(struct fields_pool *pool, struct managed *m);
/* Bundles the oldest updates when there are more than MANAGED_UPDATERS_MAX. */
void managed_cap(struct fields_pool *pool, struct managed *m);

/* Does the entry's set have a member of s / all members of s? Without reading the set when it was
 * not read yet: entries that we stored are canonical, so that steps are found by their text. */
bool managed_has_any(struct manager *m, const struct fieldset *s);
bool managed_has_all(struct manager *m, const struct fieldset *s);

/* `"kubectl" using apps/v1`: as conflicts name a manager. */
void managed_print(struct buf *b, const struct manager *m);
/* Managers in the order in which conflicts list them. */
int managed_cmp(const struct manager *a, const struct manager *b);

/* ---- the subresource scale ----
 *
 * A Scale shows one field of its object, the number of replicas, and those managers that own it.
 * Before a Scale is written its managedFields are made from the object's, afterwards the object's
 * from those of the Scale. */

struct replicas_path {
    struct str api_version;
    const struct fieldset *path; /* the one field; NULL: no scale in this version */
};

/* Entries for the Scale (autoscaling/v1), NULL: none. Errors: as managed_decode. */
int managed_to_scale(struct fields_pool *pool, const struct json *entries,
                     const struct replicas_path *paths, size_t n, struct json **ret,
                     struct err *e) MUST_USE;
/* The object's entries after a write of the Scale in api_version: who no longer owns the Scale's
 * field loses the object's. Managers of versions without a path in the list are forgotten. */
int managed_from_scale(struct fields_pool *pool, const struct json *entries,
                       const struct json *scale_entries, struct str api_version,
                       const struct replicas_path *paths, size_t n, struct json **ret,
                       struct err *e) MUST_USE;

/* The manager's name for a request: fieldManager, else what stands before the first '/' of the
 * user agent, printable characters only, at most MANAGED_NAME_MAX bytes. */
struct str managed_name(struct arena *a, struct str field_manager, struct str user_agent);

#endif
