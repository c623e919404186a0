/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which fields were added, modified, removed.
 *
 * Most of an object stays as it is in most writes: equal parts are passed over by json_eq, which
 * asks no type. Types are looked up on the way to differences only.
 */
#include "api/smd_walk.h"
#include "api/tree.h"

enum { REMOVED, MODIFIED, ADDED, CHANGES };

/* What changed at one place: the place itself, and what lies below. */
struct change {
    bool self[CHANGES];
    const struct fieldset *below[CHANGES];
};

/* The levels below a place, being built. */
struct levels {
    struct fieldset_level of[CHANGES];
};

static void levels_init(struct levels *l, struct smd_walk *w)
{
    *l = (struct levels){0};
    for (int c = 0; c < CHANGES; c++)
        l->of[c].pool = w->pool;
}

static void levels_add(struct levels *l, struct step step, const struct change *d)
{
    for (int c = 0; c < CHANGES; c++)
        fieldset_add(&l->of[c], step, d->self[c], d->below[c]);
}

static void levels_done(struct levels *l, struct change *d)
{
    for (int c = 0; c < CHANGES; c++)
        d->below[c] = fieldset_done(&l->of[c]);
}

static void compare(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                    const struct json *before, const struct json *after, struct change *d);

static void compare_leaf(const struct json *before, const struct json *after, struct change *d)
{
    if (!before)
        d->self[ADDED] = true;
    else if (!after)
        d->self[REMOVED] = true;
    else if (!json_eq(before, after))
        d->self[MODIFIED] = true;
}

/* ---- maps ---- */

static void compare_member(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                           struct levels *l, struct str key, const struct json *before,
                           const struct json *after)
{
    struct change d = {0};
    const struct step step = {.kind = STEP_FIELD, .name = key};
    const struct smd_at below = {at, &step};
    bool declared;
    if (before && after && json_eq(before, after))
        return;
    compare(w, &below, smd_member(t, key, &declared), before, after, &d);
    levels_add(l, step, &d);
}

/* Members of both in the same order are the rule: equal keys at equal places need no search. */
static void compare_members(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                            const struct json *before, const struct json *after, struct change *d)
{
    struct levels l;
    struct member_index in_before, in_after;
    size_t nb = before ? before->object.n : 0, na = after ? after->object.n : 0, i = 0;
    levels_init(&l, w);
    for (; i < nb && i < na && str_eq(before->object.v[i].key, after->object.v[i].key); i++)
        compare_member(w, at, t, &l, before->object.v[i].key, before->object.v[i].value,
                       after->object.v[i].value);
    member_index_init(&in_before, before);
    member_index_init(&in_after, after);
    for (size_t b = i; b < nb; b++) {
        const struct json_member *m = &before->object.v[b];
        const struct json_member *other = member_index_find(&in_after, m->key);
        compare_member(w, at, t, &l, m->key, m->value, other ? other->value : NULL);
    }
    for (size_t a = i; a < na; a++) {
        const struct json_member *m = &after->object.v[a];
        if (!member_index_find(&in_before, m->key))
            compare_member(w, at, t, &l, m->key, NULL, m->value);
    }
    member_index_fini(&in_before);
    member_index_fini(&in_after);
    levels_done(&l, d);
}

/* True: it was one field. */
static bool compare_maps(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                         struct smd_atom atom, const struct json *before, const struct json *after,
                         struct change *d)
{
    const struct json *b = smd_map(before), *a = smd_map(after);
    /* Empty ones are told from absent ones by being fields themselves. */
    bool both_empty = (!b || b->object.n == 0) && (!a || a->object.n == 0);
    if (atom.map_atomic || both_empty) {
        compare_leaf(before, after, d);
        return true;
    }
    compare_members(w, at, t, b, a, d);
    return false;
}

/* ---- lists ---- */

static bool runs_equal(const struct smd_item *x, size_t nx, const struct smd_item *y, size_t ny)
{
    if (nx != ny)
        return false;
    for (size_t i = 0; i < nx; i++)
        if (!json_eq(x[i].value, y[i].value))
            return false;
    return true;
}

/* All elements with one step, before and after. Repeated ones are compared as a whole; where they
 * come or go, the single element that was there or is left comes or goes too. */
static void compare_runs(struct smd_walk *w, const struct smd_at *at, struct smd_type element,
                         const struct smd_item *before, size_t nb, const struct smd_item *after,
                         size_t na, struct change *d)
{
    const struct smd_at below = {at, nb ? &before->step : &after->step};
    if (nb >= 2 && na >= 2) {
        d->self[MODIFIED] = !runs_equal(before, nb, after, na);
        return;
    }
    const struct json *b = nb == 1 ? before->value : NULL, *a = na == 1 ? after->value : NULL;
    if ((b || a) && !(b && a && json_eq(b, a)))
        compare(w, &below, element, b, a, d);
    d->self[REMOVED] |= nb >= 2;
    d->self[ADDED] |= na >= 2;
}

static void compare_items(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                          struct smd_atom atom, const struct json *before, const struct json *after,
                          struct change *d)
{
    struct levels l;
    struct smd_items b = smd_items(w, at, t, atom, before), a = smd_items(w, at, t, atom, after);
    struct smd_type element = smd_element(t);
    if (w->pool->full)
        return;
    levels_init(&l, w);
    smd_items_sort(&b);
    smd_items_sort(&a);
    for (size_t i = 0, j = 0; i < b.n || j < a.n;) {
        int c = i == b.n ? 1 : j == a.n ? -1 : step_cmp(&b.v[i].step, &a.v[j].step);
        size_t nb = c <= 0 ? smd_items_run(&b, i) : 0, na = c >= 0 ? smd_items_run(&a, j) : 0;
        struct change item = {0};
        compare_runs(w, at, element, &b.v[i], nb, &a.v[j], na, &item);
        levels_add(&l, nb ? b.v[i].step : a.v[j].step, &item);
        i += nb;
        j += na;
    }
    levels_done(&l, d);
}

static bool compare_lists(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                          struct smd_atom atom, const struct json *before, const struct json *after,
                          struct change *d)
{
    const struct json *b = smd_list(before), *a = smd_list(after);
    if (atom.list_atomic || smd_length(b) + smd_length(a) == 0) {
        compare_leaf(before, after, d);
        return true;
    }
    compare_items(w, at, t, atom, b, a, d);
    return false;
}

/* ---- any ---- */

static bool compare_as(struct smd_walk *w, uint8_t is, const struct smd_at *at, struct smd_type t,
                       struct smd_atom atom, const struct json *before, const struct json *after,
                       struct change *d)
{
    if (is & SMD_MAP)
        return compare_maps(w, at, t, atom, before, after, d);
    if (is & SMD_LIST && !(is & SMD_SCALAR))
        return compare_lists(w, at, t, atom, before, after, d);
    compare_leaf(before, after, d);
    return true;
}

static void add_all(struct fieldset_level *l, const struct fieldset *s)
{
    for (size_t i = 0; s && i < s->n; i++)
        fieldset_add(l, s->v[i].step, s->v[i].member, s->v[i].below);
}

static void unite(struct smd_walk *w, struct change *d, const struct change *more)
{
    for (int c = 0; c < CHANGES; c++) {
        struct fieldset_level l = {.pool = w->pool};
        add_all(&l, d->below[c]);
        add_all(&l, more->below[c]);
        d->below[c] = fieldset_done(&l);
        d->self[c] |= more->self[c];
    }
}

/* before or after may be NULL, not both. */
static void compare(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                    const struct json *before, const struct json *after, struct change *d)
{
    struct smd_atom atom = smd_atom(t);
    uint8_t was = smd_deduce(atom, before), is = smd_deduce(atom, after);
    if (!after)
        is = was;
    if (before && after && was != is) {
        struct change old = {0};
        compare_as(w, was, at, t, atom, before, after, &old);
        compare_as(w, is, at, t, atom, before, after, d);
        unite(w, d, &old);
        return;
    }
    if (compare_as(w, is, at, t, atom, before, after, d))
        return;
    if (!before)
        d->self[ADDED] = true;
    else if (!after)
        d->self[REMOVED] = true;
}

static struct fieldset or_empty(const struct fieldset *s)
{
    return s ? *s : (struct fieldset){NULL, 0};
}

struct smd_diff smd_compare(struct smd_walk *w, struct smd_type t, const struct json *before,
                            const struct json *after)
{
    struct change d = {0};
    if (before != after)
        compare(w, NULL, t, before, after, &d);
    return (struct smd_diff){
        .removed = or_empty(d.below[REMOVED]),
        .modified = or_empty(d.below[MODIFIED]),
        .added = or_empty(d.below[ADDED]),
    };
}
