/* SPDX-License-Identifier: Apache-2.0 */
/* What the operations of structured-merge-diff share: problems, and how list elements are named. */
#include "api/smd_walk.h"

#include <stdarg.h>

#include "api/tree.h"

void smd_walk_init(struct smd_walk *w, struct fields_pool *pool)
{
    *w = (struct smd_walk){.pool = pool, .problems = BUF_INIT(KIB(64))};
}

void smd_walk_fini(struct smd_walk *w)
{
    buf_fini(&w->problems);
}

static void print_path(struct buf *b, const struct smd_at *at)
{
    if (!at)
        return;
    print_path(b, at->up);
    if (at->step)
        step_print(b, at->step);
}

void smd_problem(struct smd_walk *w, const struct smd_at *at, const char *fmt, ...)
{
    if (w->n_problems++ >= SMD_PROBLEMS_MAX)
        return;
    if (w->problems.n)
        buf_c(&w->problems, '\n');
    size_t from = w->problems.n;
    print_path(&w->problems, at);
    if (w->problems.n > from)
        buf_z(&w->problems, ": ");
    va_list ap;
    va_start(ap, fmt);
    buf_vfmt(&w->problems, fmt, ap);
    va_end(ap);
}

struct str smd_problems(const struct smd_walk *w, struct arena *a)
{
    struct str line, rest = buf_view(&w->problems);
    if (w->n_problems == 1)
        return tree_text(a, &w->problems);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    buf_z(&b, "errors:");
    while (str_next(&rest, '\n', &line)) {
        buf_z(&b, "\n  ");
        buf_str(&b, line);
    }
    return tree_text(a, &b);
}

uint8_t smd_deduce(struct smd_atom a, const struct json *v)
{
    uint8_t is = 0;
    if (v && (v->type == JSON_NUMBER || v->type == JSON_STRING || v->type == JSON_BOOL))
        is = SMD_SCALAR;
    else if (v && v->type == JSON_ARRAY)
        is = SMD_LIST;
    else if (v && v->type == JSON_OBJECT)
        is = SMD_MAP;
    return a.may_be & is ? is : a.may_be;
}

/* ---- list elements ---- */

/* "a" "b" */
static struct str quoted_keys(struct arena *a, struct smd_type t, size_t n)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4));
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_c(&b, ' ');
        json_put_string(&b, t.ops->key(t, i));
    }
    return tree_text(a, &b);
}

/* The item's member, or its default; NULL: neither. */
static struct json *key_value(struct smd_walk *w, struct smd_type element, const struct json *item,
                              struct str key)
{
    struct json scalar, *v = json_get(item, key);
    if (v || !element.ops || !element.ops->default_of(element, key, &scalar))
        return v;
    v = arena_try(w->pool->arena, 1, sizeof *v);
    w->pool->full |= !v;
    if (v)
        *v = scalar;
    return v;
}

static void insert_member(struct json *o, struct str key, struct json *v)
{
    size_t i = o->object.n++;
    for (; i > 0 && str_cmp(o->object.v[i - 1].key, key) > 0; i--)
        o->object.v[i] = o->object.v[i - 1];
    o->object.v[i] = (struct json_member){key, v};
}

static bool keyed_step(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                       struct smd_atom atom, const struct json *item, size_t i, struct step *ret)
{
    if (item->type != JSON_OBJECT) {
        smd_problem(w, at, "element %zu: associative list with keys may not have %s", i,
                    item->type == JSON_NULL ? "a null element" : "non-map elements");
        return false;
    }
    struct smd_type element = smd_element(t);
    struct json *keys = tree_object(w->pool->arena, atom.n_keys);
    w->pool->full |= !keys;
    for (size_t k = 0; keys && k < atom.n_keys; k++) {
        struct str key = t.ops->key(t, k);
        struct json *v = key_value(w, element, item, key);
        if (v)
            insert_member(keys, key, v);
    }
    if (keys && keys->object.n == 0)
        smd_problem(w, at,
                    "element %zu: associative list with keys has an element that omits all key "
                    "fields [%.*s] (and doesn't have default values for any key fields)",
                    i, STR_ARG(quoted_keys(w->pool->arena, t, atom.n_keys)));
    *ret = (struct step){.kind = STEP_KEY, .value = keys};
    return keys && keys->object.n > 0;
}

static bool value_step(struct smd_walk *w, const struct smd_at *at, struct json *item, size_t i,
                       struct step *ret)
{
    const char *what = NULL;
    if (item->type == JSON_OBJECT)
        what = "associative list without keys has an element that's a map type";
    else if (item->type == JSON_ARRAY)
        what = "not supported: associative list with lists as elements";
    else if (item->type == JSON_NULL)
        what = "associative list without keys has an element that's an explicit null";
    if (what)
        smd_problem(w, at, "element %zu: %s", i, what);
    *ret = (struct step){.kind = STEP_VALUE, .value = item};
    return !what;
}

struct smd_items smd_items(struct smd_walk *w, const struct smd_at *at, struct smd_type t,
                           struct smd_atom atom, const struct json *list)
{
    size_t n = smd_length(list);
    struct smd_items items = {arena_try(w->pool->arena, n, sizeof *items.v), 0};
    w->pool->full |= !items.v;
    for (size_t i = 0; items.v && i < n; i++) {
        struct json *item = list->array.v[i];
        struct smd_item *to = &items.v[items.n];
        to->value = item;
        to->at = (uint32_t)i;
        items.n += atom.n_keys ? keyed_step(w, at, t, atom, item, i, &to->step)
                               : value_step(w, at, item, i, &to->step);
    }
    return items;
}

static int by_step(const void *a, const void *b)
{
    const struct smd_item *x = a, *y = b;
    int c = step_cmp(&x->step, &y->step);
    if (c)
        return c;
    return x->at < y->at ? -1 : x->at > y->at;
}

void smd_items_sort(struct smd_items *items)
{
    if (items->n)
        qsort(items->v, items->n, sizeof *items->v, by_step);
}

size_t smd_items_run(const struct smd_items *items, size_t i)
{
    size_t end = i + 1;
    while (end < items->n && step_cmp(&items->v[end].step, &items->v[i].step) == 0)
        end++;
    return end - i;
}
