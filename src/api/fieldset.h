/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fieldset.h: sets of fields of an object, as server-side apply keeps them in managedFields.
 *
 * A set is a tree: a node is one step of a path (a member's name, a list element by its keys, by
 * its value, or by its index), is a member of the set or not, and may have nodes below it. No node
 * is without meaning: one that is no member has others below it. Nodes of a level are in the order
 * of structured-merge-diff (names, keys, values, indices; each sorted), which makes the JSON form
 * (FieldsV1) canonical:
 *
 *   {"f:spec":{"f:replicas":{},"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{}}}}}
 *
 * Sets are immutable; operations share what they can. Memory and failure live in a pool: when the
 * arena is full the pool says so and results mean nothing. Ask once, at the end.
 */
#ifndef BARQUE_API_FIELDSET_H
#define BARQUE_API_FIELDSET_H

#include "base/err.h"
#include "codec/json.h"

struct fields_pool {
    struct arena *arena;
    bool full;
};

enum step_kind {
    STEP_FIELD,
    STEP_KEY,
    STEP_VALUE,
    STEP_INDEX,
    STEP_ANY, /* in patterns for fieldset_filter only */
};

struct step {
    enum step_kind kind;
    union {
        struct str name;          /* STEP_FIELD */
        const struct json *value; /* STEP_KEY: an object, members sorted by key; STEP_VALUE */
        int64_t index;            /* STEP_INDEX */
    };
};

struct fieldset;

struct field_node {
    struct step step;
    bool member;
    const struct fieldset *below; /* NULL: nothing */
};

/* The empty set is {NULL, 0}. */
struct fieldset {
    const struct field_node *v;
    size_t n;
};

/* <0, 0, >0. Numbers compare by value. */
int step_cmp(const struct step *a, const struct step *b);
/* ".name", "[name=\"x\",port=80]", "[=\"x\"]", "[3]" */
void step_print(struct buf *b, const struct step *s);
/* The key that stands for the step in FieldsV1: "f:name", "k:{\"name\":\"x\"}", "v:\"x\"", "i:3" */
void step_key(struct buf *b, const struct step *s);

/* ---- building one level ---- */

/*
 *   struct fieldset_level l = {.pool = pool};
 *   fieldset_add(&l, step, true, NULL);       any order; the same step twice is united
 *   const struct fieldset *s = fieldset_done(&l);    NULL when nothing was added
 */
struct fieldset_level {
    struct fields_pool *pool;
    struct field_node *v;
    size_t n, room;
    bool unsorted;
};
/* A step that is no member and has nothing below it is not added. */
void fieldset_add(struct fieldset_level *l, struct step step, bool member,
                  const struct fieldset *below);
const struct fieldset *fieldset_done(struct fieldset_level *l);

/* ---- JSON ---- */

/* Strings of the set are views of v. Steps of unknown kind are left out, as upstream.
 * Errors: ERR_BAD_REQUEST. v NULL is the empty set. */
int fieldset_parse(struct fields_pool *pool, const struct json *v, struct fieldset *ret,
                   struct err *e) MUST_USE;
/* For fixed sets in code: text must be good. */
struct fieldset fieldset_of(struct fields_pool *pool, const char *text);
/* Always an object; not NULL, when the pool is full an incomplete one. */
struct json *fieldset_json(struct fields_pool *pool, const struct fieldset *s);

/* ---- algebra ---- */

static inline bool fieldset_empty(const struct fieldset *s)
{
    return s->n == 0;
}
bool fieldset_eq(const struct fieldset *a, const struct fieldset *b);
/* Number of members. */
size_t fieldset_size(const struct fieldset *s);
struct fieldset fieldset_union(struct fields_pool *pool, const struct fieldset *a,
                               const struct fieldset *b);
struct fieldset fieldset_intersect(struct fields_pool *pool, const struct fieldset *a,
                                   const struct fieldset *b);
/* Members of a that are not members of b. */
struct fieldset fieldset_minus(struct fields_pool *pool, const struct fieldset *a,
                               const struct fieldset *b);
/* Members of a that are not members of b nor below one. */
struct fieldset fieldset_minus_below(struct fields_pool *pool, const struct fieldset *a,
                                     const struct fieldset *b);
/* Members with nothing below them. */
struct fieldset fieldset_leaves(struct fields_pool *pool, const struct fieldset *s);
/* Members of s that are members of pattern, lie below one, or are on the way to one; STEP_ANY in
 * the pattern fits every step. */
struct fieldset fieldset_filter(struct fields_pool *pool, const struct fieldset *s,
                                const struct fieldset *pattern);
/* The node, or NULL. */
const struct field_node *fieldset_find(const struct fieldset *s, const struct step *step);

/* Calls fn for each member with its printed path (".spec.replicas"), a level's members before what
 * lies below. Returns what fn returned when that was not 0, and ends there. */
int fieldset_each(const struct fieldset *s, int (*fn)(void *arg, struct str path), void *arg);

#endif
