/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smd_walk.h: the operations of structured-merge-diff on value trees. Private to api/; apply.h is
 * the door.
 *
 * Trees are read-only, results share values with them. Memory and its exhaustion are the pool's.
 * What is wrong with a value is collected as lines of text ("problems"); results are then of no
 * use.
 */
#ifndef BARQUE_API_SMD_WALK_H
#define BARQUE_API_SMD_WALK_H

#include "api/fieldset.h"
#include "api/smd.h"

struct smd_walk {
    struct fields_pool *pool;
    struct buf problems; /* "path: text" lines, without a newline at the end */
    uint32_t n_problems;
};

enum { SMD_PROBLEMS_MAX = 50 };

/* The walk's buffer is on the heap: smd_walk_fini. */
void smd_walk_init(struct smd_walk *w, struct fields_pool *pool);
void smd_walk_fini(struct smd_walk *w);
/* As ValidationErrors of structured-merge-diff print: one line, or "errors:" and indented lines. */
struct str smd_problems(const struct smd_walk *w, struct arena *a);

/* ---- operations ---- */

/* Checks v against the type. Repeated elements of sets and keyed lists are problems unless
 * duplicates_allowed. */
void smd_validate(struct smd_walk *w, struct smd_type t, const struct json *v,
                  bool duplicates_allowed);
/* The fields that v has. */
struct fieldset smd_fields(struct smd_walk *w, struct smd_type t, const struct json *v);

struct smd_diff {
    struct fieldset removed, modified, added;
};
struct smd_diff smd_compare(struct smd_walk *w, struct smd_type t, const struct json *before,
                            const struct json *after);

/* live with what config says; NULL: nothing is left, or the arena is full. */
struct json *smd_merge(struct smd_walk *w, struct smd_type t, struct json *live,
                       struct json *config);
/* v without the members of s and all below them. Lists and maps that are emptied become null. */
struct json *smd_remove(struct smd_walk *w, struct smd_type t, struct json *v,
                        const struct fieldset *s);

/* s, with members that a struct type declares marked as members of the set when something below
 * them is: they vanish together with it. */
struct fieldset smd_name_members(struct fields_pool *pool, struct smd_type t,
                                 const struct fieldset *s);
/* s, with fields below what the type now calls atomic replaced by that. */
struct fieldset smd_reconcile(struct fields_pool *pool, struct smd_type t,
                              const struct fieldset *s);

/* ---- what the operations share ---- */

/* Where a walk stands, for messages. */
struct smd_at {
    const struct smd_at *up;
    const struct step *step;
};
void smd_problem(struct smd_walk *w, const struct smd_at *at, const char *fmt, ...) PRINTF(3, 4);

/* What v may be of what the type says: a scalar, a list or a map fix it, null and NULL do not. */
uint8_t smd_deduce(struct smd_atom a, const struct json *v);
/* v when it is an array (object), else NULL. */
static inline const struct json *smd_list(const struct json *v)
{
    return v && v->type == JSON_ARRAY ? v : NULL;
}
static inline const struct json *smd_map(const struct json *v)
{
    return v && v->type == JSON_OBJECT ? v : NULL;
}
static inline size_t smd_length(const struct json *list)
{
    return list ? list->array.n : 0;
}

/* The elements of a set or keyed list with their steps. Those that have none are reported and left
 * out. */
struct smd_item {
    struct step step;
    struct json *value;
    uint32_t at; /* index in the list */
};
struct smd_items {
    struct smd_item *v;
    size_t n;
};
/* In order of the list. */
struct smd_items smd_items(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                           struct smd_atom atom, const struct json *list);
/* By step; equal steps in order of the list. */
void smd_items_sort(struct smd_items *items);
/* How many items from i on have one step; items are sorted. */
size_t smd_items_run(const struct smd_items *items, size_t i);

#endif
