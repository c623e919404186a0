/* SPDX-License-Identifier: Apache-2.0 */
/* apply_job.h: what apply_merge and apply_track_update share. Private to api/. */
#ifndef BARQUE_API_APPLY_JOB_H
#define BARQUE_API_APPLY_JOB_H

#include "api/apply.h"
#include "api/smd_walk.h"

/* An object in some version. */
struct versioned {
    struct json *tree;
    struct str version;
    struct smd_type type;
};

struct apply_job {
    const struct apply_in *in;
    struct fields_pool pool;
    struct smd_walk walk;
    struct err *e;
};

void apply_job_init(struct apply_job *j, const struct apply_in *in, struct err *e);
void apply_job_fini(struct apply_job *j);
/* ERR_LIMIT when the pool is full, ERR_BAD_REQUEST "<what>: <problems>" when the walk met some;
 * else 0. */
int apply_job_check(struct apply_job *j, const char *what);

/* v in another version; 1: there is no such version. */
int apply_convert(struct apply_job *j, const struct versioned *v, struct str version,
                  struct versioned *ret);
/* The object as in->object or in->live are: in in->api_version. */
struct versioned apply_versioned(const struct apply_job *j, struct json *tree);

/* The object without metadata.managedFields; NULL: the pool is full. */
struct json *apply_without_managed(struct apply_job *j, const struct json *object);
/* The object with these entries (NULL: none) and no others. */
struct json *apply_with_managed(struct apply_job *j, const struct json *object,
                                struct json *entries);
/* What a new object looks like before anything is set. */
struct json *apply_empty(struct apply_job *j);

/* A set without the fields that in->reset and in->only take from the client. */
struct fieldset apply_visible(struct apply_job *j, const struct fieldset *s);
/* A set without what is never anybody's: apiVersion, kind, metadata.name ... */
struct fieldset apply_strip(struct apply_job *j, const struct fieldset *s);

/* The entry of this request. */
struct manager apply_manager(const struct apply_in *in, struct str name, bool applied);

/* Fields change from before to after: takes what changed from all managers but `except` (may be
 * NULL). Unless forced, fields that were changed or added and that managers own become conflicts:
 * ret_conflicts[i] belongs to m->v[i] (may be NULL when forced). *ret_diff: what changed in
 * in->api_version, as far as it is visible. */
int apply_take(struct apply_job *j, const struct versioned *before, const struct versioned *after,
               struct managed *m, const struct manager *except, bool force,
               struct fieldset *ret_conflicts, struct smd_diff *ret_diff);

/* Fits the sets of all managers to what the type now calls atomic; managers in versions that are no
 * more lose theirs. */
int apply_reconcile(struct apply_job *j, struct json *live, struct managed *m);

/* Records an update by `name` from before to after in m. */
int apply_record_update(struct apply_job *j, struct json *before, struct json *after,
                        struct str name, struct managed *m);

#endif
