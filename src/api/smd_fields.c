/* SPDX-License-Identifier: Apache-2.0 */
/* Checking values against their type, the fields that a value has, and sets against a type. */
#include "api/smd_walk.h"
#include "api/tree.h"

/* ---- validation ---- */

struct check {
    struct smd_walk *w;
    bool duplicates_allowed;
};

static void check_value(struct check *c, const struct smd_at *at, struct smd_type t,
                        const struct json *v);

/* As Go's %#v of a JSON scalar, wrapped in the type that structured-merge-diff prints. */
static void report_value(struct check *c, const struct smd_at *at, const char *wanted,
                         const struct json *v)
{
    struct arena *a = c->w->pool->arena;
    bool text = v->type == JSON_STRING;
    smd_problem(c->w, at, "expected %s, got &value.valueUnstructured{Value:%s%.*s%s}", wanted,
                text ? "\"" : "", STR_ARG(tree_go_text(a, v)), text ? "\"" : "");
}

static void check_scalar(struct check *c, const struct smd_at *at, enum smd_scalar wanted,
                         const struct json *v)
{
    struct arena *a = c->w->pool->arena;
    bool any = v->type == JSON_NUMBER || v->type == JSON_STRING || v->type == JSON_BOOL;
    if (v->type == JSON_NULL)
        return;
    if (wanted == SMD_NUMBER && v->type != JSON_NUMBER)
        smd_problem(c->w, at, "expected numeric (int or float), got %s", tree_go_type(v));
    else if (wanted == SMD_STRING && v->type != JSON_STRING)
        report_value(c, at, "string", v);
    else if (wanted == SMD_BOOL && v->type != JSON_BOOL)
        smd_problem(c->w, at, "expected boolean, got &{%.*s}", STR_ARG(tree_go_text(a, v)));
    else if (!any)
        smd_problem(c->w, at, "expected any scalar, got &{%.*s}", STR_ARG(tree_go_text(a, v)));
}

static void check_items(struct check *c, const struct smd_at *at, struct smd_type t,
                        struct smd_atom atom, const struct json *list)
{
    struct smd_items items = smd_items(c->w, at, t, atom, list);
    if (items.n < list->array.n)
        return;
    for (size_t i = 0; i < items.n; i++) {
        struct smd_at below = {at, &items.v[i].step};
        check_value(c, &below, smd_element(t), items.v[i].value);
    }
    if (c->duplicates_allowed)
        return;
    smd_items_sort(&items);
    for (size_t i = 0; i < items.n; i += smd_items_run(&items, i)) {
        CLEANUP(buf_fini) struct buf key = BUF_INIT(KIB(4));
        if (smd_items_run(&items, i) == 1)
            continue;
        step_print(&key, &items.v[i].step);
        smd_problem(c->w, at, "duplicate entries for key %.*s", STR_ARG(buf_view(&key)));
    }
}

static void check_list(struct check *c, const struct smd_at *at, struct smd_type t,
                       struct smd_atom atom, const struct json *v)
{
    if (v->type == JSON_NULL)
        return;
    if (v->type != JSON_ARRAY) {
        smd_problem(c->w, at, "expected list, got &{%.*s}",
                    STR_ARG(tree_go_text(c->w->pool->arena, v)));
        return;
    }
    if (!atom.list_atomic) {
        check_items(c, at, t, atom, v);
        return;
    }
    for (size_t i = 0; i < v->array.n; i++) {
        const struct step step = {.kind = STEP_INDEX, .index = (int64_t)i};
        struct smd_at below = {at, &step};
        check_value(c, &below, smd_element(t), v->array.v[i]);
    }
}

static void check_map(struct check *c, const struct smd_at *at, struct smd_type t,
                      const struct json *v)
{
    bool declared;
    if (v->type == JSON_NULL)
        return;
    if (v->type != JSON_OBJECT) {
        smd_problem(c->w, at, "expected map, got &{%.*s}",
                    STR_ARG(tree_go_text(c->w->pool->arena, v)));
        return;
    }
    for (size_t i = 0; i < v->object.n; i++) {
        const struct step step = {.kind = STEP_FIELD, .name = v->object.v[i].key};
        struct smd_at below = {at, &step};
        struct smd_type member = smd_member(t, step.name, &declared);
        if (!member.ops)
            smd_problem(c->w, &below, "field not declared in schema");
        else
            check_value(c, &below, member, v->object.v[i].value);
    }
}

static void check_value(struct check *c, const struct smd_at *at, struct smd_type t,
                        const struct json *v)
{
    struct smd_atom atom = smd_atom(t);
    uint8_t is = smd_deduce(atom, v);
    if (is & SMD_MAP)
        check_map(c, at, t, v);
    else if (is & SMD_SCALAR)
        check_scalar(c, at, atom.scalar, v);
    else
        check_list(c, at, t, atom, v);
}

void smd_validate(struct smd_walk *w, struct smd_type t, const struct json *v,
                  bool duplicates_allowed)
{
    struct check c = {w, duplicates_allowed};
    check_value(&c, NULL, t, v);
}

/* ---- the fields of a value ---- */

/* Is the value itself a field? What lies below goes to *ret_below. */
static bool fields_of(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                      const struct json *v, const struct fieldset **ret_below);

static const struct fieldset *list_fields(struct smd_walk *w, const struct smd_at *at,
                                          struct smd_type t, struct smd_atom atom,
                                          const struct json *list)
{
    struct fieldset_level l = {.pool = w->pool};
    struct smd_items items = smd_items(w, at, t, atom, list);
    smd_items_sort(&items);
    for (size_t i = 0; i < items.n; i += smd_items_run(&items, i)) {
        const struct fieldset *below = NULL;
        struct smd_at down = {at, &items.v[i].step};
        /* Elements that are there twice are one field. */
        if (smd_items_run(&items, i) == 1)
            fields_of(w, &down, smd_element(t), items.v[i].value, &below);
        fieldset_add(&l, items.v[i].step, true, below);
    }
    return fieldset_done(&l);
}

static const struct fieldset *map_fields(struct smd_walk *w, const struct smd_at *at,
                                         struct smd_type t, const struct json *v)
{
    struct fieldset_level l = {.pool = w->pool};
    for (size_t i = 0; i < v->object.n; i++) {
        const struct json_member *m = &v->object.v[i];
        const struct step step = {.kind = STEP_FIELD, .name = m->key};
        const struct fieldset *below = NULL;
        struct smd_at down = {at, &step};
        bool declared;
        struct smd_type member = smd_member(t, m->key, &declared);
        bool self = fields_of(w, &down, member, m->value, &below);
        self |= m->value->type == JSON_NULL || !declared ||
                (m->value->type == JSON_OBJECT && m->value->object.n == 0);
        fieldset_add(&l, step, self, below);
    }
    return fieldset_done(&l);
}

static bool fields_of(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                      const struct json *v, const struct fieldset **ret_below)
{
    struct smd_atom atom = smd_atom(t);
    uint8_t is = smd_deduce(atom, v);
    *ret_below = NULL;
    if (is & SMD_MAP) {
        if (!atom.map_atomic && v->type == JSON_OBJECT)
            *ret_below = map_fields(w, at, t, v);
        return atom.map_atomic;
    }
    if (is & SMD_SCALAR || is == 0)
        return true;
    if (!atom.list_atomic && v->type == JSON_ARRAY)
        *ret_below = list_fields(w, at, t, atom, v);
    return atom.list_atomic;
}

static struct fieldset or_empty(const struct fieldset *s)
{
    return s ? *s : (struct fieldset){NULL, 0};
}

struct fieldset smd_fields(struct smd_walk *w, struct smd_type t, const struct json *v)
{
    const struct fieldset *below = NULL;
    if (v)
        fields_of(w, NULL, t, v, &below);
    return or_empty(below);
}

/* ---- sets and types ---- */

/* The type of what a node stands for; *ret_declared: a member that a struct declares. */
static struct smd_type type_below(struct smd_type t, struct smd_atom atom, const struct step *step,
                                  bool *ret_declared)
{
    *ret_declared = false;
    if (step->kind == STEP_FIELD && atom.may_be & SMD_MAP)
        return smd_member(t, step->name, ret_declared);
    if (step->kind != STEP_FIELD && atom.may_be & SMD_LIST)
        return smd_element(t);
    return (struct smd_type){0};
}

static const struct fieldset *name_members(struct fields_pool *pool, struct smd_type t,
                                           const struct fieldset *s)
{
    struct fieldset_level l = {.pool = pool};
    struct smd_atom atom = smd_atom(t);
    if (!t.ops)
        return s;
    for (size_t i = 0; i < s->n; i++) {
        const struct field_node *node = &s->v[i];
        bool declared = false;
        const struct fieldset *below = node->below;
        if (below)
            below = name_members(pool, type_below(t, atom, &node->step, &declared), below);
        fieldset_add(&l, node->step, node->member || declared, below);
    }
    return fieldset_done(&l);
}

struct fieldset smd_name_members(struct fields_pool *pool, struct smd_type t,
                                 const struct fieldset *s)
{
    return or_empty(name_members(pool, t, s));
}

static const struct fieldset *reconcile(struct fields_pool *pool, struct smd_type t,
                                        const struct fieldset *s);

/* Does the type call what the node stands for atomic, and is something below it? */
static bool became_atomic(struct smd_atom atom, const struct field_node *node)
{
    if (!node->below)
        return false;
    return atom.may_be & SMD_MAP ? !atom.deduced && atom.map_atomic
                                 : atom.may_be & SMD_LIST && atom.list_atomic;
}

static bool needs_reconciling(struct smd_type t, const struct fieldset *s)
{
    struct smd_atom atom = smd_atom(t);
    bool declared;
    if (!t.ops || (atom.may_be & SMD_MAP && atom.deduced))
        return false;
    for (size_t i = 0; i < s->n; i++) {
        const struct field_node *node = &s->v[i];
        if (!node->below)
            continue;
        struct smd_type below = type_below(t, atom, &node->step, &declared);
        if (became_atomic(smd_atom(below), node) || needs_reconciling(below, node->below))
            return true;
    }
    return false;
}

static const struct fieldset *reconcile(struct fields_pool *pool, struct smd_type t,
                                        const struct fieldset *s)
{
    struct smd_atom atom = smd_atom(t);
    struct fieldset_level l = {.pool = pool};
    bool declared;
    if (!t.ops || (atom.may_be & SMD_MAP && atom.deduced))
        return s;
    for (size_t i = 0; i < s->n; i++) {
        const struct field_node *node = &s->v[i];
        struct smd_type below = type_below(t, atom, &node->step, &declared);
        if (became_atomic(smd_atom(below), node))
            fieldset_add(&l, node->step, true, NULL);
        else
            fieldset_add(&l, node->step, node->member,
                         node->below ? reconcile(pool, below, node->below) : NULL);
    }
    return fieldset_done(&l);
}

struct fieldset smd_reconcile(struct fields_pool *pool, struct smd_type t, const struct fieldset *s)
{
    return needs_reconciling(t, s) ? or_empty(reconcile(pool, t, s)) : *s;
}
