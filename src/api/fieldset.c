/* SPDX-License-Identifier: Apache-2.0 */
#include "api/fieldset.h"

#include "base/vec.h"

/* ---- order ---- */

static int cmp_i64(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

/* A number as Go would hold it: an integer when it can be one, else a double. */
struct number {
    bool is_int;
    int64_t i;
    double d;
};

static struct number number_of(struct str text)
{
    struct number n = {0};
    n.is_int = json_number_i64(text, &n.i);
    if (n.is_int)
        n.d = (double)n.i;
    else if (json_number_double(text, &n.d) && n.d >= -0x1p63 && n.d < 0x1p63)
        n.is_int = (double)(n.i = (int64_t)n.d) == n.d;
    return n;
}

static int cmp_numbers(struct str at, struct str bt)
{
    if (str_eq(at, bt))
        return 0;
    struct number a = number_of(at), b = number_of(bt);
    if (a.is_int && b.is_int)
        return cmp_i64(a.i, b.i);
    if (a.d != b.d)
        return a.d < b.d ? -1 : 1;
    /* An integer next to 2^63 and a double beyond it. */
    return a.is_int == b.is_int ? 0 : a.is_int == (a.d > 0) ? -1 : 1;
}

static int cmp_values(const struct json *a, const struct json *b);

static int cmp_lists(const struct json *a, const struct json *b)
{
    size_t n = MIN(a->array.n, b->array.n);
    for (size_t i = 0; i < n; i++) {
        int c = cmp_values(a->array.v[i], b->array.v[i]);
        if (c)
            return c;
    }
    return cmp_i64((int64_t)a->array.n, (int64_t)b->array.n);
}

/* Members are sorted by key. */
static int cmp_objects(const struct json *a, const struct json *b)
{
    size_t n = MIN(a->object.n, b->object.n);
    for (size_t i = 0; i < n; i++) {
        const struct json_member *x = &a->object.v[i], *y = &b->object.v[i];
        int c = str_cmp(x->key, y->key);
        c = c ? c : cmp_values(x->value, y->value);
        if (c)
            return c;
    }
    return cmp_i64((int64_t)a->object.n, (int64_t)b->object.n);
}

static int cmp_values(const struct json *a, const struct json *b)
{
    static const uint8_t rank[] = {
        [JSON_NUMBER] = 0, [JSON_STRING] = 1, [JSON_BOOL] = 2,
        [JSON_ARRAY] = 3,  [JSON_OBJECT] = 4, [JSON_NULL] = 5,
    };
    if (a->type != b->type)
        return rank[a->type] < rank[b->type] ? -1 : 1;
    switch (a->type) {
    case JSON_NUMBER: return cmp_numbers(a->number, b->number);
    case JSON_STRING: return str_cmp(a->string, b->string);
    case JSON_BOOL: return (int)a->boolean - (int)b->boolean;
    case JSON_ARRAY: return cmp_lists(a, b);
    case JSON_OBJECT: return cmp_objects(a, b);
    case JSON_NULL: return 0;
    case JSON_BAD: break;
    }
    never("a tree has no bad values");
}

int step_cmp(const struct step *a, const struct step *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    switch (a->kind) {
    case STEP_FIELD: return str_cmp(a->name, b->name);
    case STEP_KEY:
    case STEP_VALUE: return a->value == b->value ? 0 : cmp_values(a->value, b->value);
    case STEP_INDEX: return cmp_i64(a->index, b->index);
    case STEP_ANY: return 0;
    }
    never("all kinds are above");
}

/* ---- text ---- */

/* As Go's %q, for what may stand in a name: control characters and broken UTF-8 are escaped. */
static void print_quoted(struct buf *b, struct str s)
{
    buf_c(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            buf_fmt(b, "\\%c", c);
        else if (c == '\n' || c == '\t' || c == '\r')
            buf_z(b, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
        else if (c < 0x20 || c == 0x7f)
            buf_fmt(b, "\\x%02x", c);
        else
            buf_c(b, (char)c);
    }
    buf_c(b, '"');
}

static void print_value(struct buf *b, const struct json *v)
{
    if (v->type == JSON_STRING)
        print_quoted(b, v->string);
    else
        json_write(b, v);
}

static void print_keys(struct buf *b, const struct json *keys)
{
    for (size_t i = 0; i < keys->object.n; i++) {
        if (i)
            buf_c(b, ',');
        buf_str(b, keys->object.v[i].key);
        buf_c(b, '=');
        print_value(b, keys->object.v[i].value);
    }
}

void step_print(struct buf *b, const struct step *s)
{
    if (s->kind == STEP_FIELD) {
        buf_c(b, '.');
        buf_str(b, s->name);
        return;
    }
    buf_c(b, '[');
    if (s->kind == STEP_KEY) {
        print_keys(b, s->value);
    } else if (s->kind == STEP_VALUE) {
        buf_c(b, '=');
        print_value(b, s->value);
    } else if (s->kind == STEP_INDEX) {
        buf_i64(b, s->index);
    }
    buf_c(b, ']');
}

/* JSON as Go writes it: besides what JSON asks for, <, > and & are escaped. */
static void put_go_string(struct buf *b, struct str s)
{
    size_t from = b->n;
    json_put_string(b, s);
    if (str_index(s, '<') < 0 && str_index(s, '>') < 0 && str_index(s, '&') < 0)
        return;
    CLEANUP(buf_fini) struct buf plain = BUF_INIT(BUF_CAP_DEFAULT);
    buf_str(&plain, str_sub(buf_view(b), from, b->n));
    buf_truncate(b, from);
    for (size_t i = 0; i < plain.n; i++)
        if (plain.p[i] == '<' || plain.p[i] == '>' || plain.p[i] == '&')
            buf_fmt(b, "\\u%04x", plain.p[i]);
        else
            buf_c(b, plain.p[i]);
}

static void put_go_number(struct buf *b, struct str text)
{
    struct number n = number_of(text);
    if (n.is_int)
        buf_i64(b, n.i);
    else
        json_put_double(b, n.d);
}

static void put_go_value(struct buf *b, const struct json *v)
{
    if (v->type == JSON_STRING) {
        put_go_string(b, v->string);
    } else if (v->type == JSON_NUMBER) {
        put_go_number(b, v->number);
    } else if (v->type == JSON_ARRAY) {
        buf_c(b, '[');
        for (size_t i = 0; i < v->array.n; i++) {
            if (i)
                buf_c(b, ',');
            put_go_value(b, v->array.v[i]);
        }
        buf_c(b, ']');
    } else if (v->type == JSON_OBJECT) {
        buf_c(b, '{');
        for (size_t i = 0; i < v->object.n; i++) {
            if (i)
                buf_c(b, ',');
            put_go_string(b, v->object.v[i].key);
            buf_c(b, ':');
            put_go_value(b, v->object.v[i].value);
        }
        buf_c(b, '}');
    } else {
        json_write(b, v);
    }
}

void step_key(struct buf *b, const struct step *s)
{
    switch (s->kind) {
    case STEP_FIELD:
        buf_z(b, "f:");
        buf_str(b, s->name);
        return;
    case STEP_KEY:
        buf_z(b, "k:");
        put_go_value(b, s->value);
        return;
    case STEP_VALUE:
        buf_z(b, "v:");
        put_go_value(b, s->value);
        return;
    case STEP_INDEX:
        buf_z(b, "i:");
        buf_i64(b, s->index);
        return;
    case STEP_ANY: break;
    }
    never("patterns have no JSON form");
}

/* ---- one level ---- */

static const struct fieldset *keep(struct fields_pool *pool, struct fieldset s)
{
    if (s.n == 0)
        return NULL;
    struct fieldset *kept = arena_try(pool->arena, 1, sizeof *kept);
    pool->full |= !kept;
    if (kept)
        *kept = s;
    return kept;
}

static struct fieldset or_empty(const struct fieldset *s)
{
    return s ? *s : (struct fieldset){NULL, 0};
}

static bool grow(struct fieldset_level *l)
{
    size_t room = l->room ? l->room * 2 : 4;
    struct field_node *v = arena_try(l->pool->arena, room, sizeof *v);
    l->pool->full |= !v;
    if (!v)
        return false;
    if (l->n)
        memcpy(v, l->v, l->n * sizeof *v);
    l->v = v;
    l->room = room;
    return true;
}

void fieldset_add(struct fieldset_level *l, struct step step, bool member,
                  const struct fieldset *below)
{
    if (!member && !below)
        return;
    if (l->n == l->room && !grow(l))
        return;
    if (l->n && step_cmp(&l->v[l->n - 1].step, &step) >= 0)
        l->unsorted = true;
    l->v[l->n++] = (struct field_node){step, member, below};
}

static int by_step(const void *a, const void *b)
{
    const struct field_node *x = a, *y = b;
    return step_cmp(&x->step, &y->step);
}

static void unite_equal(struct fieldset_level *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct field_node *last = n ? &l->v[n - 1] : NULL, *node = &l->v[i];
        if (!last || step_cmp(&last->step, &node->step) != 0) {
            l->v[n++] = *node;
            continue;
        }
        struct fieldset x = or_empty(last->below), y = or_empty(node->below);
        last->member |= node->member;
        last->below = keep(l->pool, fieldset_union(l->pool, &x, &y));
    }
    l->n = n;
}

const struct fieldset *fieldset_done(struct fieldset_level *l)
{
    if (l->unsorted) {
        qsort(l->v, l->n, sizeof *l->v, by_step);
        unite_equal(l);
    }
    return keep(l->pool, (struct fieldset){l->v, l->n});
}

/* ---- JSON ---- */

/* Numbers that Go cannot hold would have no order. */
static bool numbers_fit(const struct json *v)
{
    double d;
    if (v->type == JSON_NUMBER)
        return json_number_double(v->number, &d);
    for (size_t i = 0; v->type == JSON_ARRAY && i < v->array.n; i++)
        if (!numbers_fit(v->array.v[i]))
            return false;
    for (size_t i = 0; v->type == JSON_OBJECT && i < v->object.n; i++)
        if (!numbers_fit(v->object.v[i].value))
            return false;
    return true;
}

static int parse_inner(struct fields_pool *pool, struct str text, struct json **ret, struct err *e)
{
    struct json *v = NULL;
    struct err detail = ERR_INIT(e->arena);
    if (json_parse(pool->arena, text, &v, &detail) != 0)
        return err_set(e, ERR_BAD_REQUEST, "managedFields parsing: %.*s", STR_ARG(detail.message));
    if (!numbers_fit(v))
        return err_set(e, ERR_BAD_REQUEST, "managedFields parsing: value out of range");
    json_sort(v);
    *ret = v;
    return 0;
}

/* 1: a kind of step that we do not know. */
static int parse_step(struct fields_pool *pool, struct str key, struct step *ret, struct err *e)
{
    struct json *value = NULL;
    if (key.n < 2)
        return err_set(e, ERR_BAD_REQUEST, "key must be 2 characters long: \"%.*s\"", STR_ARG(key));
    if (key.p[1] != ':')
        return err_set(e, ERR_BAD_REQUEST, "missing colon: %.*s", STR_ARG(str_sub(key, 0, 256)));
    struct str rest = str_sub(key, 2, key.n);
    if (key.p[0] == 'f') {
        *ret = (struct step){.kind = STEP_FIELD, .name = rest};
        return 0;
    }
    if (key.p[0] == 'i') {
        *ret = (struct step){.kind = STEP_INDEX};
        return str_to_i64(rest, &ret->index)
                   ? 0
                   : err_set(e, ERR_BAD_REQUEST, "strconv.Atoi: parsing \"%.*s\": invalid syntax",
                             STR_ARG(str_sub(rest, 0, 256)));
    }
    if (key.p[0] != 'k' && key.p[0] != 'v')
        return 1;
    int rc = parse_inner(pool, rest, &value, e);
    if (rc)
        return rc;
    if (key.p[0] == 'k' && value->type != JSON_OBJECT)
        return err_set(e, ERR_BAD_REQUEST, "managedFields parsing: expect { or n, but found %.*s",
                       STR_ARG(str_sub(rest, 0, 256)));
    *ret = (struct step){.kind = key.p[0] == 'k' ? STEP_KEY : STEP_VALUE, .value = value};
    return 0;
}

/* *ret_member: the object stands for a member of the level above. */
static int parse_level(struct fields_pool *pool, const struct json *v, const struct fieldset **ret,
                       bool *ret_member, struct err *e)
{
    struct fieldset_level l = {.pool = pool};
    *ret_member = false;
    if (v->type != JSON_OBJECT && v->type != JSON_NULL)
        return err_set(e, ERR_BAD_REQUEST, "managedFields parsing: expect { or n");
    size_t n = v->type == JSON_OBJECT ? v->object.n : 0;
    if (n) {
        l.v = arena_try(pool->arena, n, sizeof *l.v);
        l.room = l.v ? n : 0;
    }
    for (size_t i = 0; i < n; i++) {
        const struct json_member *m = &v->object.v[i];
        const struct fieldset *below;
        struct step step;
        bool member;
        if (str_eqz(m->key, ".")) {
            *ret_member = true;
            continue;
        }
        int rc = parse_step(pool, m->key, &step, e);
        if (rc == 0)
            rc = parse_level(pool, m->value, &below, &member, e);
        if (rc < 0)
            return rc;
        if (rc == 0)
            fieldset_add(&l, step, member, below);
    }
    *ret = fieldset_done(&l);
    *ret_member |= *ret == NULL;
    return 0;
}

int fieldset_parse(struct fields_pool *pool, const struct json *v, struct fieldset *ret,
                   struct err *e)
{
    const struct fieldset *s = NULL;
    bool member;
    int rc = v ? parse_level(pool, v, &s, &member, e) : 0;
    *ret = or_empty(s);
    return rc;
}

struct fieldset fieldset_of(struct fields_pool *pool, const char *text)
{
    struct json *v;
    struct fieldset s;
    struct err e = ERR_INIT(pool->arena);
    must(json_parse(pool->arena, str_z(text), &v, &e) == 0);
    must(fieldset_parse(pool, v, &s, &e) == 0);
    return s;
}

static struct str key_of(struct fields_pool *pool, const struct step *step)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    step_key(&b, step);
    char *p = arena_try(pool->arena, b.n + 1, 1);
    pool->full |= !p;
    if (!p)
        return STR("");
    if (b.n)
        memcpy(p, b.p, b.n);
    return str_n(p, b.n);
}

static struct json *object_with_room(struct fields_pool *pool, size_t n)
{
    static struct json nothing = {.type = JSON_OBJECT};
    if (n == 0)
        return &nothing;
    struct json *o = arena_try(pool->arena, 1, sizeof *o);
    struct json_member *v = arena_try(pool->arena, n, sizeof *v);
    pool->full |= !o || !v;
    if (!o || !v)
        return &nothing;
    o->type = JSON_OBJECT;
    o->object.v = v;
    o->object.room = n;
    return o;
}

static struct json *level_json(struct fields_pool *pool, const struct fieldset *s, bool self)
{
    struct json *o = object_with_room(pool, s->n + self);
    if (pool->full)
        return o;
    if (self)
        o->object.v[o->object.n++] = (struct json_member){STR("."), object_with_room(pool, 0)};
    for (size_t i = 0; i < s->n; i++) {
        const struct field_node *node = &s->v[i];
        struct fieldset below = or_empty(node->below);
        struct json *v = level_json(pool, &below, node->member && below.n);
        o->object.v[o->object.n++] = (struct json_member){key_of(pool, &node->step), v};
    }
    return o;
}

struct json *fieldset_json(struct fields_pool *pool, const struct fieldset *s)
{
    return level_json(pool, s, false);
}

/* ---- algebra ----
 *
 * Results grow in an `out`, which starts as a part of the left operand and becomes an array of its
 * own only when something differs from it. */

struct out {
    struct fields_pool *pool;
    const struct fieldset *left;
    size_t room; /* most nodes that the result can have */
    struct field_node *v;
    size_t n;
};

static void out_put(struct out *o, struct field_node node)
{
    if (!node.member && !node.below)
        return;
    if (!o->v) {
        o->v = arena_try(o->pool->arena, o->room, sizeof *o->v);
        o->pool->full |= !o->v;
        if (!o->v)
            return;
        if (o->n)
            memcpy(o->v, o->left->v, o->n * sizeof *o->v);
    }
    o->v[o->n++] = node;
}

/* The left operand's node i as it is. */
static void out_keep(struct out *o, size_t i)
{
    if (!o->v && o->n == i)
        o->n++;
    else
        out_put(o, o->left->v[i]);
}

/* The left operand's node i, changed. */
static void out_change(struct out *o, size_t i, bool member, struct fieldset below)
{
    const struct field_node *node = &o->left->v[i];
    struct fieldset old = or_empty(node->below);
    bool same = below.v == old.v && below.n == old.n;
    if (same && member == node->member)
        out_keep(o, i);
    else
        out_put(o,
                (struct field_node){node->step, member, same ? node->below : keep(o->pool, below)});
}

static struct fieldset out_done(const struct out *o)
{
    return (struct fieldset){o->v ? o->v : o->left->v, o->n};
}

static const struct fieldset empty_set = {NULL, 0};

/* Walks two levels in step and calls fn for each node of a, with its counterpart in b or NULL.
 * Nodes of b alone go to the result when keep_b says so. */
typedef void pair_fn(struct out *o, size_t i, const struct field_node *a,
                     const struct field_node *b);

static struct fieldset zip(struct fields_pool *pool, const struct fieldset *a,
                           const struct fieldset *b, pair_fn *fn, bool keep_b)
{
    struct out o = {.pool = pool, .left = a, .room = a->n + (keep_b ? b->n : 0)};
    size_t i = 0, j = 0;
    while (i < a->n || (keep_b && j < b->n)) {
        int c = i == a->n ? 1 : j == b->n ? -1 : step_cmp(&a->v[i].step, &b->v[j].step);
        if (c > 0 && keep_b)
            out_put(&o, b->v[j]);
        if (c <= 0) {
            fn(&o, i, &a->v[i], c == 0 ? &b->v[j] : NULL);
            i++;
        }
        j += c >= 0;
    }
    return out_done(&o);
}

static void unite_nodes(struct out *o, size_t i, const struct field_node *a,
                        const struct field_node *b)
{
    if (!b) {
        out_keep(o, i);
        return;
    }
    struct fieldset x = or_empty(a->below), y = or_empty(b->below);
    out_change(o, i, a->member || b->member, fieldset_union(o->pool, &x, &y));
}

struct fieldset fieldset_union(struct fields_pool *pool, const struct fieldset *a,
                               const struct fieldset *b)
{
    if (a->n == 0 || b->n == 0)
        return a->n ? *a : *b;
    return zip(pool, a, b, unite_nodes, true);
}

static void intersect_nodes(struct out *o, size_t i, const struct field_node *a,
                            const struct field_node *b)
{
    if (!b)
        return;
    struct fieldset x = or_empty(a->below), y = or_empty(b->below);
    out_change(o, i, a->member && b->member, fieldset_intersect(o->pool, &x, &y));
}

struct fieldset fieldset_intersect(struct fields_pool *pool, const struct fieldset *a,
                                   const struct fieldset *b)
{
    if (a->n == 0 || b->n == 0)
        return empty_set;
    return zip(pool, a, b, intersect_nodes, false);
}

static void subtract_nodes(struct out *o, size_t i, const struct field_node *a,
                           const struct field_node *b)
{
    if (!b) {
        out_keep(o, i);
        return;
    }
    struct fieldset x = or_empty(a->below), y = or_empty(b->below);
    out_change(o, i, a->member && !b->member, fieldset_minus(o->pool, &x, &y));
}

struct fieldset fieldset_minus(struct fields_pool *pool, const struct fieldset *a,
                               const struct fieldset *b)
{
    if (a->n == 0 || b->n == 0)
        return *a;
    return zip(pool, a, b, subtract_nodes, false);
}

static void prune_nodes(struct out *o, size_t i, const struct field_node *a,
                        const struct field_node *b)
{
    if (!b) {
        out_keep(o, i);
        return;
    }
    if (b->member)
        return;
    struct fieldset x = or_empty(a->below), y = or_empty(b->below);
    out_change(o, i, a->member, fieldset_minus_below(o->pool, &x, &y));
}

struct fieldset fieldset_minus_below(struct fields_pool *pool, const struct fieldset *a,
                                     const struct fieldset *b)
{
    if (a->n == 0 || b->n == 0)
        return *a;
    return zip(pool, a, b, prune_nodes, false);
}

struct fieldset fieldset_leaves(struct fields_pool *pool, const struct fieldset *s)
{
    struct out o = {.pool = pool, .left = s, .room = s->n};
    for (size_t i = 0; i < s->n; i++) {
        struct fieldset below = or_empty(s->v[i].below);
        out_change(&o, i, s->v[i].member && below.n == 0, fieldset_leaves(pool, &below));
    }
    return out_done(&o);
}

/* The pattern's node that fits, or NULL. */
static const struct field_node *fitting(const struct fieldset *pattern, const struct step *step)
{
    for (size_t i = 0; i < pattern->n; i++)
        if (pattern->v[i].step.kind == STEP_ANY || step_cmp(&pattern->v[i].step, step) == 0)
            return &pattern->v[i];
    return NULL;
}

struct fieldset fieldset_filter(struct fields_pool *pool, const struct fieldset *s,
                                const struct fieldset *pattern)
{
    struct out o = {.pool = pool, .left = s, .room = s->n};
    for (size_t i = 0; i < s->n; i++) {
        const struct field_node *by = fitting(pattern, &s->v[i].step);
        struct fieldset below = or_empty(s->v[i].below);
        if (by && !by->below)
            out_keep(&o, i);
        else if (by)
            out_change(&o, i, s->v[i].member, fieldset_filter(pool, &below, by->below));
    }
    return out_done(&o);
}

/* ---- asking ---- */

bool fieldset_eq(const struct fieldset *a, const struct fieldset *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; a->v != b->v && i < a->n; i++) {
        const struct field_node *x = &a->v[i], *y = &b->v[i];
        struct fieldset xs = or_empty(x->below), ys = or_empty(y->below);
        if (x->member != y->member || step_cmp(&x->step, &y->step) != 0 || !fieldset_eq(&xs, &ys))
            return false;
    }
    return true;
}

size_t fieldset_size(const struct fieldset *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->v[i].member + (s->v[i].below ? fieldset_size(s->v[i].below) : 0);
    return n;
}

const struct field_node *fieldset_find(const struct fieldset *s, const struct step *step)
{
    size_t from = 0, to = s->n;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        int c = step_cmp(&s->v[mid].step, step);
        if (c == 0)
            return &s->v[mid];
        if (c < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return NULL;
}

static int each(const struct fieldset *s, struct buf *path, int (*fn)(void *arg, struct str path),
                void *arg)
{
    size_t from = path->n;
    int rc = 0;
    for (size_t i = 0; i < s->n && rc == 0; i++) {
        if (!s->v[i].member)
            continue;
        step_print(path, &s->v[i].step);
        rc = fn(arg, buf_view(path));
        buf_truncate(path, from);
    }
    for (size_t i = 0; i < s->n && rc == 0; i++) {
        if (!s->v[i].below)
            continue;
        step_print(path, &s->v[i].step);
        rc = each(s->v[i].below, path, fn, arg);
        buf_truncate(path, from);
    }
    return rc;
}

int fieldset_each(const struct fieldset *s, int (*fn)(void *arg, struct str path), void *arg)
{
    CLEANUP(buf_fini) struct buf path = BUF_INIT(BUF_CAP_DEFAULT);
    return each(s, &path, fn, arg);
}
