/* SPDX-License-Identifier: Apache-2.0 */
/* Merging an applied configuration into the live object, and removing fields from an object. */
#include "api/smd_walk.h"
#include "api/tree.h"

static struct json null_value = {.type = JSON_NULL}; /* nobody writes to it */

static struct json *merge(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                          struct json *live, struct json *config);

/* ---- maps ---- */

static struct json *merge_member(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                                 struct str key, struct json *live, struct json *config)
{
    const struct step step = {.kind = STEP_FIELD, .name = key};
    const struct smd_at below = {at, &step};
    bool declared;
    return merge(w, &below, smd_member(t, key, &declared), live, config);
}

/* config is not empty. */
static struct json *merge_members(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                                  const struct json *live, const struct json *config)
{
    struct tree_edit ed;
    if (!tree_edit_init(&ed, w->pool->arena, live, config->object.n)) {
        w->pool->full = true;
        return NULL;
    }
    for (size_t i = 0; i < config->object.n; i++) {
        const struct json_member *m = &config->object.v[i];
        struct json *old = tree_edit_get(&ed, m->key);
        struct json *v = merge_member(w, at, t, m->key, old, m->value);
        if (v)
            tree_edit_set(&ed, m->key, v);
        else
            tree_edit_del(&ed, m->key);
    }
    struct json *merged = tree_edit_done(&ed);
    return merged->object.n ? merged : NULL;
}

static struct json *merge_maps(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                               struct smd_atom atom, struct json *live, struct json *config)
{
    const struct json *l = smd_map(live), *c = smd_map(config);
    bool both_empty = (!l || l->object.n == 0) && (!c || c->object.n == 0);
    if (atom.map_atomic || both_empty || !l)
        return config;
    /* null and {} say nothing about members. */
    return c && c->object.n ? merge_members(w, at, t, l, c) : live;
}

/* ---- lists ----
 *
 * The order of the result: elements of the configuration in its order, those of the live list alone
 * in theirs, and where both have an element they meet there. Shared elements that the
 * configuration has in another order are taken when it names them. */

enum { NOWHERE = UINT32_MAX };

struct weave {
    struct smd_walk *w;
    const struct smd_at *at;
    struct smd_type element;
    struct smd_items live, config; /* in order of the lists */
    uint32_t *of_live;             /* live item -> config item with that step, or NOWHERE */
    uint32_t *of_config;           /* config item -> the first live one */
    bool *repeated;                /* config item: live has it more than once */
    bool *merged;                  /* config item: is in the result */
    uint32_t next_shared;          /* config item that is next of those live has too */
    struct json *to;
};

/* Puts the items of both lists in step. Steps of config are unique. */
static bool weave_match(struct weave *v)
{
    struct arena *a = v->w->pool->arena;
    size_t nl = v->live.n, nc = v->config.n;
    struct smd_items live = {arena_try(a, nl, sizeof *live.v), nl};
    struct smd_items config = {arena_try(a, nc, sizeof *config.v), nc};
    v->of_live = arena_try(a, nl, sizeof *v->of_live);
    v->of_config = arena_try(a, nc, sizeof *v->of_config);
    v->repeated = arena_try(a, nc, sizeof *v->repeated);
    v->merged = arena_try(a, nc, sizeof *v->merged);
    v->to = tree_array(a, nl + nc);
    if (!live.v || !config.v || !v->of_live || !v->of_config || !v->repeated || !v->merged ||
        !v->to)
        return false;
    for (size_t i = 0; i < nl; i++) {
        live.v[i] = v->live.v[i];
        live.v[i].at = (uint32_t)i;
        v->of_live[i] = NOWHERE;
    }
    for (size_t i = 0; i < nc; i++) {
        config.v[i] = v->config.v[i];
        config.v[i].at = (uint32_t)i;
        v->of_config[i] = NOWHERE;
    }
    smd_items_sort(&live);
    smd_items_sort(&config);
    for (size_t i = 0, j = 0; i < nl && j < nc;) {
        int c = step_cmp(&live.v[i].step, &config.v[j].step);
        size_t run = c <= 0 ? smd_items_run(&live, i) : 0;
        uint32_t at = config.v[j].at;
        for (size_t k = i; c == 0 && k < i + run; k++)
            v->of_live[live.v[k].at] = at;
        if (c == 0) {
            v->of_config[at] = live.v[i].at;
            v->repeated[at] = run > 1;
        }
        i += run;
        j += c >= 0;
    }
    return true;
}

static void find_next_shared(struct weave *v, uint32_t from)
{
    while (from < v->config.n && v->of_config[from] == NOWHERE)
        from++;
    v->next_shared = from < v->config.n ? from : NOWHERE;
}

/* What live has more than once is not merged but replaced. */
static void take_config(struct weave *v, uint32_t c)
{
    const struct smd_item *item = &v->config.v[c];
    const struct smd_at below = {v->at, &item->step};
    struct json *live = NULL;
    if (v->repeated[c])
        live = &null_value;
    else if (v->of_config[c] != NOWHERE)
        live = v->live.v[v->of_config[c]].value;
    struct json *merged = merge(v->w, &below, v->element, live, item->value);
    v->merged[c] = true;
    if (merged)
        v->to->array.v[v->to->array.n++] = merged;
}

static void weave(struct weave *v)
{
    uint32_t l = 0, c = 0, nl = (uint32_t)v->live.n, nc = (uint32_t)v->config.n;
    find_next_shared(v, 0);
    while (l < nl || c < nc) {
        uint32_t twin = l < nl ? v->of_live[l] : NOWHERE;
        if (l < nl && c < nc && twin == c) {
            take_config(v, c++);
            l++;
            find_next_shared(v, v->next_shared == NOWHERE ? nc : v->next_shared + 1);
            continue;
        }
        /* Shared, but not the one whose turn it is. */
        if (l < nl && c < nc && twin != NOWHERE && v->next_shared != NOWHERE &&
            v->next_shared != twin) {
            l++;
            continue;
        }
        if (l < nl && twin == NOWHERE) {
            v->to->array.v[v->to->array.n++] = v->live.v[l++].value;
            continue;
        }
        if (l < nl && v->merged[twin])
            l++;
        if (c < nc) {
            bool was_next = v->next_shared == c;
            take_config(v, c++);
            if (was_next)
                find_next_shared(v, c);
        }
    }
}

static void check_repeated(struct smd_walk *w, const struct smd_at *at,
                           const struct smd_items *items)
{
    struct smd_items sorted = {arena_try(w->pool->arena, items->n, sizeof *sorted.v), items->n};
    w->pool->full |= !sorted.v;
    if (!sorted.v || items->n == 0)
        return;
    memcpy(sorted.v, items->v, items->n * sizeof *sorted.v);
    smd_items_sort(&sorted);
    for (size_t i = 0; i < sorted.n; i += smd_items_run(&sorted, i)) {
        CLEANUP(buf_fini) struct buf key = BUF_INIT(KIB(4));
        if (smd_items_run(&sorted, i) == 1)
            continue;
        step_print(&key, &sorted.v[i].step);
        smd_problem(w, at, "duplicate entries for key %.*s", STR_ARG(buf_view(&key)));
    }
}

static struct json *merge_lists(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                                struct smd_atom atom, struct json *live, struct json *config)
{
    const struct json *l = smd_list(live), *c = smd_list(config);
    if (atom.list_atomic || smd_length(l) + smd_length(c) == 0 || !l)
        return config;
    if (smd_length(c) == 0)
        return live;
    struct weave v = {.w = w, .at = at, .element = smd_element(t)};
    uint32_t problems = w->n_problems;
    v.config = smd_items(w, at, t, atom, c);
    v.live = smd_items(w, at, t, atom, l);
    check_repeated(w, at, &v.config);
    if (w->n_problems > problems || w->pool->full)
        return NULL;
    if (!weave_match(&v)) {
        w->pool->full = true;
        return NULL;
    }
    weave(&v);
    return v.to->array.n ? v.to : NULL;
}

static struct json *merge(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                          struct json *live, struct json *config)
{
    if (!config || !live)
        return config ? config : live;
    struct smd_atom atom = smd_atom(t);
    uint8_t is = smd_deduce(atom, config);
    if (is & SMD_MAP)
        return merge_maps(w, at, t, atom, live, config);
    if (is & SMD_LIST && !(is & SMD_SCALAR))
        return merge_lists(w, at, t, atom, live, config);
    return config;
}

struct json *smd_merge(struct smd_walk *w, struct smd_type t, struct json *live,
                       struct json *config)
{
    return merge(w, NULL, t, live, config);
}

/* ---- removal ----
 *
 * A list or map of which nothing is left becomes null, not absent: it was not removed itself, and
 * whoever asks next which fields there are must still find it. */

static struct json *remove_items(struct smd_walk *w, struct smd_type t, struct smd_atom atom,
                                 struct json *v, const struct fieldset *s)
{
    struct smd_items items = smd_items(w, NULL, t, atom, v);
    struct json *to = tree_array(w->pool->arena, items.n);
    w->pool->full |= !to;
    for (size_t i = 0; to && i < items.n; i++) {
        const struct field_node *node = fieldset_find(s, &items.v[i].step);
        struct json *item = items.v[i].value;
        if (node && node->member)
            continue;
        if (node)
            item = smd_remove(w, smd_element(t), item, node->below);
        to->array.v[to->array.n++] = item;
    }
    return to && to->array.n ? to : &null_value;
}

static struct json *remove_members(struct smd_walk *w, struct smd_type t, const struct json *v,
                                   const struct fieldset *s)
{
    struct json *to = tree_object(w->pool->arena, v->object.n);
    w->pool->full |= !to;
    for (size_t i = 0; to && i < v->object.n; i++) {
        const struct json_member *m = &v->object.v[i];
        const struct step step = {.kind = STEP_FIELD, .name = m->key};
        const struct field_node *node = fieldset_find(s, &step);
        struct json *kept = m->value;
        bool declared;
        if (node && node->member)
            continue;
        if (node)
            kept = smd_remove(w, smd_member(t, m->key, &declared), kept, node->below);
        to->object.v[to->object.n++] = (struct json_member){m->key, kept};
    }
    return to && to->object.n ? to : &null_value;
}

struct json *smd_remove(struct smd_walk *w, struct smd_type t, struct json *v,
                        const struct fieldset *s)
{
    struct smd_atom atom = smd_atom(t);
    uint8_t is = smd_deduce(atom, v);
    if (s->n == 0)
        return v;
    if (is & SMD_MAP) {
        bool empty = v->type != JSON_OBJECT || v->object.n == 0;
        return empty || atom.map_atomic ? &null_value : remove_members(w, t, v, s);
    }
    if (is & SMD_LIST && !(is & SMD_SCALAR)) {
        bool empty = v->type != JSON_ARRAY || v->array.n == 0;
        return empty || atom.list_atomic ? &null_value : remove_items(w, t, atom, v, s);
    }
    return v;
}
