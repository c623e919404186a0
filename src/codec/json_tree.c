/* SPDX-License-Identifier: Apache-2.0 */
/* The value tree: reading, building, looking up, comparing. */
#include "codec/json_build.h"

#include <stdarg.h>

/* ---- reading ---- */

void json_scratch_fini(struct json_scratch *s)
{
    vec_free(&s->items);
    vec_free(&s->members);
}

/* The block with room for more, or NULL (it is then as before). */
static void *grow(void *v, size_t *room, size_t size)
{
    size_t more = *room ? *room * 2 : 64;
    void *grown = reallocarray(v, more, size);
    if (grown)
        *room = more;
    return grown;
}

bool json_scratch_item(struct json_scratch *s, struct json *item)
{
    if (s->items.n == s->items.room) {
        void *grown = grow(s->items.v, &s->items.room, sizeof item);
        if (!grown)
            return false;
        s->items.v = grown;
    }
    s->items.v[s->items.n++] = item;
    return true;
}

bool json_scratch_member(struct json_scratch *s, struct str key, struct json *value)
{
    if (s->members.n == s->members.room) {
        void *grown = grow(s->members.v, &s->members.room, sizeof *s->members.v);
        if (!grown)
            return false;
        s->members.v = grown;
    }
    s->members.v[s->members.n++] = (struct json_member){key, value};
    return true;
}

bool json_take_items(struct json_scratch *s, size_t from, struct arena *a, struct json *to)
{
    size_t n = s->items.n - from;
    s->items.n = from;
    if (n == 0)
        return true;
    to->array.v = arena_try(a, n, sizeof *to->array.v);
    if (!to->array.v)
        return false;
    memcpy(to->array.v, s->items.v + from, n * sizeof *to->array.v);
    to->array.n = to->array.room = n;
    return true;
}

bool json_take_members(struct json_scratch *s, size_t from, struct arena *a, struct json *to)
{
    size_t n = s->members.n - from;
    s->members.n = from;
    if (n == 0)
        return true;
    to->object.v = arena_try(a, n, sizeof *to->object.v);
    if (!to->object.v)
        return false;
    memcpy(to->object.v, s->members.v + from, n * sizeof *to->object.v);
    to->object.n = to->object.room = n;
    return true;
}

struct json_member *json_find_member(struct json_member *v, size_t n, struct str key)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(v[i].key, key))
            return &v[i];
    return NULL;
}

static struct json *read_value(struct json_in *in, struct json_scratch *s);

static struct json *too_large(struct json_in *in)
{
    json_fail(in, "value too large");
    return NULL;
}

static struct json *read_array(struct json_in *in, struct json_scratch *s, struct json *to)
{
    size_t from = s->items.n;
    if (!json_enter_array(in))
        return NULL;
    while (json_next_item(in)) {
        struct json *item = read_value(in, s);
        if (!item)
            return NULL;
        if (!json_scratch_item(s, item))
            return too_large(in);
    }
    if (in->error)
        return NULL;
    return json_take_items(s, from, in->arena, to) ? to : too_large(in);
}

/* By key, then by place. */
static int compare_places(const void *a, const void *b)
{
    const struct json_member *x = *(const struct json_member *const *)a,
                             *y = *(const struct json_member *const *)b;
    int order = str_cmp(x->key, y->key);
    return order ? order : x < y ? -1 : x > y;
}

/* Pointers to the members in the order of their keys; free() them. NULL: out of memory. */
static const struct json_member **sort_members(const struct json_member *v, size_t n)
{
    const struct json_member **sorted = calloc(n, sizeof *sorted);
    if (!sorted)
        return NULL;
    for (size_t i = 0; i < n; i++)
        sorted[i] = &v[i];
    qsort(sorted, n, sizeof *sorted, compare_places);
    return sorted;
}

bool json_find_repeated(const struct json_member *v, size_t n, size_t *ret_first)
{
    if (n <= JSON_FEW) {
        for (size_t i = 0; i < n; i++)
            for (ret_first[i] = 0; !str_eq(v[ret_first[i]].key, v[i].key);)
                ret_first[i]++;
        return true;
    }
    const struct json_member **sorted = sort_members(v, n);
    if (!sorted)
        return false;
    size_t first = 0;
    for (size_t i = 0; i < n; i++) {
        size_t place = (size_t)(sorted[i] - v);
        if (i == 0 || !str_eq(v[first].key, v[place].key))
            first = place;
        ret_first[place] = first;
    }
    free(sorted);
    return true;
}

/* Of repeated keys the last value stays, at the first one's place. */
static bool drop_repeated(struct json_member *v, size_t *n)
{
    size_t few[JSON_FEW], *first = *n <= JSON_FEW ? few : calloc(*n, sizeof *first);
    bool ok = first && json_find_repeated(v, *n, first);
    for (size_t i = 0; ok && i < *n; i++)
        v[first[i]].value = v[i].value;
    size_t kept = 0;
    for (size_t i = 0; ok && i < *n; i++)
        if (first[i] == i)
            v[kept++] = v[i];
    if (first != few)
        free(first);
    *n = kept;
    return ok;
}

static struct json *read_object(struct json_in *in, struct json_scratch *s, struct json *to)
{
    size_t from = s->members.n;
    struct str key;
    if (!json_enter_object(in))
        return NULL;
    while (json_next_key(in, &key)) {
        struct json *value = read_value(in, s);
        if (!value)
            return NULL;
        if (!json_scratch_member(s, key, value))
            return too_large(in);
    }
    if (in->error)
        return NULL;
    size_t n = s->members.n - from;
    if (n > 1 && !drop_repeated(s->members.v + from, &n))
        return too_large(in);
    s->members.n = from + n;
    return json_take_members(s, from, in->arena, to) ? to : too_large(in);
}

static struct json *read_value(struct json_in *in, struct json_scratch *s)
{
    enum json_type type = json_peek(in);
    if (type == JSON_BAD)
        return NULL;
    struct json *v = arena_try(in->arena, 1, sizeof *v);
    if (!v)
        return too_large(in);
    v->type = type;
    switch (type) {
    case JSON_NULL: return json_read_null(in) ? v : NULL;
    case JSON_BOOL: return json_read_bool(in, &v->boolean) ? v : NULL;
    case JSON_NUMBER: return json_read_number(in, &v->number) ? v : NULL;
    case JSON_STRING: return json_read_string(in, &v->string) ? v : NULL;
    case JSON_ARRAY: return read_array(in, s, v);
    case JSON_OBJECT: return read_object(in, s, v);
    case JSON_BAD: break;
    }
    never("type is one of the above");
}

struct json *json_read_value(struct json_in *in)
{
    CLEANUP(json_scratch_fini) struct json_scratch s = {0};
    return read_value(in, &s);
}

int json_parse(struct arena *a, struct str text, struct json **ret, struct err *e)
{
    struct json_in in;
    json_in_init(&in, text, a);
    struct json *v = json_read_value(&in);
    if (v && json_end(&in)) {
        *ret = v;
        return 0;
    }
    uint32_t line, column;
    json_where(&in, &line, &column);
    return err_set(e, ERR_BAD_REQUEST, "line %u, column %u: %s", line, column, in.error);
}

/* ---- building ---- */

static struct json *new_value(struct arena *a, enum json_type type)
{
    struct json *v = arena_new(a, struct json);
    v->type = type;
    return v;
}

struct json *json_null(struct arena *a)
{
    return new_value(a, JSON_NULL);
}

struct json *json_bool(struct arena *a, bool v)
{
    struct json *j = new_value(a, JSON_BOOL);
    j->boolean = v;
    return j;
}

struct json *json_int(struct arena *a, int64_t v)
{
    struct json *j = new_value(a, JSON_NUMBER);
    j->number = arena_fmt(a, "%lld", (long long)v);
    return j;
}

struct json *json_string(struct arena *a, struct str s)
{
    struct json *j = new_value(a, JSON_STRING);
    j->string = s;
    return j;
}

struct json *json_array(struct arena *a)
{
    return new_value(a, JSON_ARRAY);
}

struct json *json_object(struct arena *a)
{
    return new_value(a, JSON_OBJECT);
}

void json_push(struct arena *a, struct json *array, struct json *v)
{
    must(array->type == JSON_ARRAY);
    vec_push_arena(a, &array->array, v);
}

void json_set(struct arena *a, struct json *object, struct str key, struct json *v)
{
    must(object->type == JSON_OBJECT);
    struct json_member *m = json_find_member(object->object.v, object->object.n, key);
    if (m)
        m->value = v;
    else
        vec_push_arena(a, &object->object, ((struct json_member){key, v}));
}

bool json_del(struct json *object, struct str key)
{
    must(object->type == JSON_OBJECT);
    struct json_member *m = json_find_member(object->object.v, object->object.n, key);
    if (!m)
        return false;
    size_t behind = (size_t)(object->object.v + object->object.n - (m + 1));
    memmove(m, m + 1, behind * sizeof *m);
    object->object.n--;
    return true;
}

/* ---- looking up ---- */

struct json *json_get(const struct json *o, struct str key)
{
    if (!o || o->type != JSON_OBJECT)
        return NULL;
    struct json_member *m = json_find_member(o->object.v, o->object.n, key);
    return m ? m->value : NULL;
}

struct json *json_getz(const struct json *o, const char *key)
{
    return json_get(o, str_z(key));
}

struct json *json_path(const struct json *o, ...)
{
    va_list keys;
    va_start(keys, o);
    struct json *v = NULL;
    for (const char *key; (key = va_arg(keys, const char *)) != NULL; o = v) {
        v = json_getz(o, key);
        if (!v)
            break;
    }
    va_end(keys);
    return v;
}

struct str json_str(const struct json *v)
{
    return v && v->type == JSON_STRING ? v->string : STR_NULL;
}

bool json_i64(const struct json *v, int64_t *ret)
{
    return v && v->type == JSON_NUMBER && json_number_i64(v->number, ret);
}

/* ---- whole trees ---- */

static bool array_eq(const struct json *a, const struct json *b)
{
    if (a->array.n != b->array.n)
        return false;
    for (size_t i = 0; i < a->array.n; i++)
        if (!json_eq(a->array.v[i], b->array.v[i]))
            return false;
    return true;
}

/* Same members in another order, few of them. Keys are unique, so counting is not needed. */
static bool few_eq(const struct json *a, const struct json *b)
{
    for (size_t i = 0; i < a->object.n; i++) {
        const struct json *other = json_get(b, a->object.v[i].key);
        if (!other || !json_eq(a->object.v[i].value, other))
            return false;
    }
    return true;
}

static bool reordered_eq(const struct json *a, const struct json *b)
{
    size_t n = a->object.n;
    if (n <= JSON_FEW)
        return few_eq(a, b);
    const struct json_member **x = sort_members(a->object.v, n), **y = sort_members(b->object.v, n);
    bool equal = true;
    for (size_t i = 0; x && y && i < n && equal; i++)
        equal = str_eq(x[i]->key, y[i]->key) && json_eq(x[i]->value, y[i]->value);
    if (!x || !y)
        equal = few_eq(a, b); /* slow, but right */
    free(x);
    free(y);
    return equal;
}

static bool object_eq(const struct json *a, const struct json *b)
{
    if (a->object.n != b->object.n)
        return false;
    size_t i = 0;
    while (i < a->object.n && str_eq(a->object.v[i].key, b->object.v[i].key))
        i++;
    if (i < a->object.n)
        return reordered_eq(a, b);
    for (i = 0; i < a->object.n; i++)
        if (!json_eq(a->object.v[i].value, b->object.v[i].value))
            return false;
    return true;
}

bool json_eq(const struct json *a, const struct json *b)
{
    if (a == b)
        return true;
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case JSON_NULL: return true;
    case JSON_BOOL: return a->boolean == b->boolean;
    case JSON_NUMBER: return json_number_eq(a->number, b->number);
    case JSON_STRING: return str_eq(a->string, b->string);
    case JSON_ARRAY: return array_eq(a, b);
    case JSON_OBJECT: return object_eq(a, b);
    case JSON_BAD: break;
    }
    never("a tree has no bad values");
}

static void copy_array(struct arena *a, struct json *to, const struct json *v)
{
    size_t n = v->array.n;
    to->array.v = n ? arena_array(a, n, struct json *) : NULL;
    to->array.room = n;
    for (size_t i = 0; i < n; i++)
        to->array.v[i] = json_copy(a, v->array.v[i]);
}

static void copy_object(struct arena *a, struct json *to, const struct json *v)
{
    size_t n = v->object.n;
    to->object.v = n ? arena_array(a, n, struct json_member) : NULL;
    to->object.room = n;
    for (size_t i = 0; i < n; i++) {
        to->object.v[i].key = arena_str(a, v->object.v[i].key);
        to->object.v[i].value = json_copy(a, v->object.v[i].value);
    }
}

struct json *json_copy(struct arena *a, const struct json *v)
{
    struct json *to = arena_new(a, struct json);
    *to = *v;
    if (v->type == JSON_STRING)
        to->string = arena_str(a, v->string);
    else if (v->type == JSON_NUMBER)
        to->number = arena_str(a, v->number);
    else if (v->type == JSON_ARRAY)
        copy_array(a, to, v);
    else if (v->type == JSON_OBJECT)
        copy_object(a, to, v);
    return to;
}

static int compare_members(const void *a, const void *b)
{
    const struct json_member *x = a, *y = b;
    return str_cmp(x->key, y->key);
}

void json_sort(struct json *v)
{
    if (v->type == JSON_ARRAY)
        for (size_t i = 0; i < v->array.n; i++)
            json_sort(v->array.v[i]);
    if (v->type != JSON_OBJECT || v->object.n == 0)
        return;
    qsort(v->object.v, v->object.n, sizeof *v->object.v, compare_members);
    for (size_t i = 0; i < v->object.n; i++)
        json_sort(v->object.v[i].value);
}
