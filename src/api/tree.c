/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tree.h"

/* Up to this many members a linear search beats a hash table. */
enum { FEW = 16 };

static struct json_member *find_among(const struct json *o, struct str key)
{
    for (size_t i = 0; i < o->object.n; i++)
        if (str_eq(o->object.v[i].key, key))
            return &o->object.v[i];
    return NULL;
}

static struct json_member *find_member(struct map *table, const struct json *o, struct str key)
{
    if (o->object.n <= FEW)
        return find_among(o, key);
    if (table->count == 0)
        for (size_t i = 0; i < o->object.n; i++)
            map_put(table, o->object.v[i].key, &o->object.v[i]);
    return map_get(table, key);
}

void member_index_init(struct member_index *x, const struct json *object)
{
    x->object = object && object->type == JSON_OBJECT ? object : NULL;
    x->table = MAP_INIT_BORROWED;
}

void member_index_fini(struct member_index *x)
{
    map_fini(&x->table);
}

struct json_member *member_index_find(struct member_index *x, struct str key)
{
    return x->object ? find_member(&x->table, x->object, key) : NULL;
}

/* ---- editing ---- */

struct json *tree_array(struct arena *a, size_t n)
{
    struct json *v = arena_try(a, 1, sizeof *v);
    if (!v)
        return NULL;
    v->type = JSON_ARRAY;
    v->array.room = n;
    v->array.v = n ? arena_try(a, n, sizeof *v->array.v) : NULL;
    return n && !v->array.v ? NULL : v;
}

struct json *tree_object(struct arena *a, size_t n)
{
    struct json *v = arena_try(a, 1, sizeof *v);
    if (!v)
        return NULL;
    v->type = JSON_OBJECT;
    v->object.room = n;
    v->object.v = n ? arena_try(a, n, sizeof *v->object.v) : NULL;
    return n && !v->object.v ? NULL : v;
}

struct json *tree_string(struct arena *a, struct str s)
{
    struct json *v = arena_try(a, 1, sizeof *v);
    if (v)
        *v = (struct json){.type = JSON_STRING, .string = s};
    return v;
}

bool tree_edit_init(struct tree_edit *ed, struct arena *a, const struct json *from, size_t more)
{
    size_t n = from ? from->object.n : 0;
    *ed = (struct tree_edit){.object = tree_object(a, n + more), .table = MAP_INIT_BORROWED};
    if (!ed->object)
        return false;
    if (n)
        memcpy(ed->object->object.v, from->object.v, n * sizeof *from->object.v);
    ed->object->object.n = n;
    return true;
}

struct json *tree_edit_get(struct tree_edit *ed, struct str key)
{
    struct json_member *m = find_member(&ed->table, ed->object, key);
    return m ? m->value : NULL;
}

void tree_edit_set(struct tree_edit *ed, struct str key, struct json *v)
{
    struct json_member *m = find_member(&ed->table, ed->object, key);
    if (m) {
        m->value = v;
        return;
    }
    must(ed->object->object.n < ed->object->object.room);
    m = &ed->object->object.v[ed->object->object.n++];
    *m = (struct json_member){key, v};
    if (ed->table.count)
        map_put(&ed->table, key, m);
}

void tree_edit_del(struct tree_edit *ed, struct str key)
{
    struct json_member *m = find_member(&ed->table, ed->object, key);
    if (!m)
        return;
    m->value = NULL;
    ed->holes = true;
}

struct json *tree_edit_done(struct tree_edit *ed)
{
    struct json *o = ed->object;
    map_fini(&ed->table);
    if (!ed->holes)
        return o;
    size_t n = 0;
    for (size_t i = 0; i < o->object.n; i++)
        if (o->object.v[i].value)
            o->object.v[n++] = o->object.v[i];
    o->object.n = n;
    return o;
}

/* ---- nulls ---- */

static bool has_nulls(const struct json *v)
{
    if (v->type == JSON_ARRAY)
        for (size_t i = 0; i < v->array.n; i++)
            if (has_nulls(v->array.v[i]))
                return true;
    if (v->type == JSON_OBJECT)
        for (size_t i = 0; i < v->object.n; i++)
            if (v->object.v[i].value->type == JSON_NULL || has_nulls(v->object.v[i].value))
                return true;
    return false;
}

static struct json *strip_nulls(struct arena *a, struct json *v);

static struct json *strip_array(struct arena *a, const struct json *v)
{
    struct json *to = tree_array(a, v->array.n);
    for (size_t i = 0; to && i < v->array.n; i++) {
        to->array.v[i] = strip_nulls(a, v->array.v[i]);
        if (!to->array.v[i])
            return NULL;
        to->array.n++;
    }
    return to;
}

static struct json *strip_object(struct arena *a, const struct json *v)
{
    struct json *to = tree_object(a, v->object.n);
    for (size_t i = 0; to && i < v->object.n; i++) {
        const struct json_member *m = &v->object.v[i];
        if (m->value->type == JSON_NULL)
            continue;
        struct json *kept = strip_nulls(a, m->value);
        if (!kept)
            return NULL;
        to->object.v[to->object.n++] = (struct json_member){m->key, kept};
    }
    return to;
}

static struct json *strip_nulls(struct arena *a, struct json *v)
{
    if (v->type == JSON_ARRAY)
        return strip_array(a, v);
    return v->type == JSON_OBJECT ? strip_object(a, v) : v;
}

struct json *tree_without_nulls(struct arena *a, struct json *v)
{
    return has_nulls(v) ? strip_nulls(a, v) : v;
}

/* ---- as Go says it ---- */

struct str tree_text(struct arena *a, const struct buf *b)
{
    char *p = arena_try(a, b->n + 1, 1);
    if (!p)
        return STR("...");
    if (b->n)
        memcpy(p, b->p, b->n);
    return str_n(p, b->n);
}

const char *tree_go_type(const struct json *v)
{
    switch (v->type) {
    case JSON_NULL: return "%!s(<nil>)";
    case JSON_BOOL: return "bool";
    case JSON_NUMBER: {
        int64_t i;
        return json_number_i64(v->number, &i) ? "int64" : "float64";
    }
    case JSON_STRING: return "string";
    case JSON_ARRAY: return "[]interface {}";
    case JSON_OBJECT: return "map[string]interface {}";
    case JSON_BAD: break;
    }
    never("a tree has no bad values");
}

static int by_key(const void *a, const void *b)
{
    const struct json_member *x = *(const struct json_member *const *)a;
    const struct json_member *y = *(const struct json_member *const *)b;
    return str_cmp(x->key, y->key);
}

static void go_text(struct buf *b, const struct json *v);

/* Go prints maps in order of their keys. */
static void go_map_text(struct buf *b, const struct json *v)
{
    /* More members do not fit into the text anyway. */
    size_t n = MIN(v->object.n, (size_t)TREE_GO_TEXT_MAX / 2);
    CLEANUP(free_ptr) const struct json_member **sorted = xmalloc(n * sizeof *sorted);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &v->object.v[i];
    if (n)
        qsort(sorted, n, sizeof sorted[0], by_key);
    buf_z(b, "map[");
    for (size_t i = 0; i < n && !b->failed; i++) {
        if (i)
            buf_c(b, ' ');
        buf_str(b, sorted[i]->key);
        buf_c(b, ':');
        go_text(b, sorted[i]->value);
    }
    buf_c(b, ']');
}

static void go_list_text(struct buf *b, const struct json *v)
{
    buf_c(b, '[');
    for (size_t i = 0; i < v->array.n && !b->failed; i++) {
        if (i)
            buf_c(b, ' ');
        go_text(b, v->array.v[i]);
    }
    buf_c(b, ']');
}

static void go_text(struct buf *b, const struct json *v)
{
    switch (v->type) {
    case JSON_NULL: buf_z(b, "<nil>"); return;
    case JSON_BOOL: buf_z(b, v->boolean ? "true" : "false"); return;
    case JSON_NUMBER: buf_str(b, v->number); return;
    case JSON_STRING: buf_str(b, v->string); return;
    case JSON_ARRAY: go_list_text(b, v); return;
    case JSON_OBJECT: go_map_text(b, v); return;
    case JSON_BAD: break;
    }
    never("a tree has no bad values");
}

struct str tree_go_text(struct arena *a, const struct json *v)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(TREE_GO_TEXT_MAX);
    go_text(&b, v);
    return tree_text(a, &b);
}
