/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON text to C structs, by descriptor. One pass, no intermediate tree. Errors use the words of
 * Go's decoder, because people and programs know them.
 */
#include "api/desc.h"
#include "api/field.h"
#include "codec/base64.h"

/* Where we are, for messages only: built on the C stack, printed when needed. */
struct where {
    const struct where *up;
    struct str name; /* field or map key; empty for a list index */
    size_t index;
};

struct decoder {
    struct json_in *in;
    struct decode_notes *notes;
    struct err *e;
};

static void print_where(struct buf *b, const struct where *w, bool indices)
{
    if (!w)
        return;
    print_where(b, w->up, indices);
    if (w->name.p) {
        if (b->n)
            buf_c(b, '.');
        buf_str(b, w->name);
    } else if (indices) {
        buf_fmt(b, "[%zu]", w->index);
    }
}

static void note(struct decoder *d, const struct where *up, struct str name, bool duplicate)
{
    struct decode_notes *n = d->notes;
    if (!n || n->unknown.n + n->duplicate.n >= DECODE_NOTES_MAX)
        return;
    struct where here = {up, name, 0};
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4));
    print_where(&b, &here, true);
    struct str path = buf_to_arena(&b, n->arena);
    if (duplicate)
        vec_push_arena(n->arena, &n->duplicate, path);
    else
        vec_push_arena(n->arena, &n->unknown, path);
}

static const char *go_type(const struct field *f)
{
    switch ((enum field_kind)f->kind) {
    case FK_BOOL: return "bool";
    case FK_INT32: return "int32";
    case FK_INT64:
    case FK_DURATION: return "int64";
    case FK_UINT32: return "uint32";
    case FK_UINT64: return "uint64";
    case FK_DOUBLE: return "float64";
    case FK_BYTES: return "[]uint8";
    case FK_STRINGS: return "[]string";
    case FK_MESSAGE: return f->message->name;
    case FK_STRING:
    case FK_TIME:
    case FK_MICROTIME:
    case FK_QUANTITY:
    case FK_INTSTR:
    case FK_RAW: return "string";
    }
    never("field kind");
}

static const char *json_word(enum json_type t)
{
    static const char *const words[] = {"bad",    "null",  "bool",  "number",
                                        "string", "array", "object"};
    return words[t];
}

/* "json: cannot unmarshal <got> into Go struct field <Struct>.<path> of type <type>" */
static int mismatch(struct decoder *d, const struct desc *owner, const struct where *w,
                    const char *got, const char *prefix, const char *want)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4));
    print_where(&b, w, false);
    return err_set(d->e, ERR_BAD_REQUEST,
                   "json: cannot unmarshal %s into Go struct field %s.%.*s of type %s%s", got,
                   owner->name, STR_ARG(buf_view(&b)), prefix, want);
}

static int malformed(struct decoder *d)
{
    uint32_t line, column;
    json_where(d->in, &line, &column);
    return err_set(d->e, ERR_BAD_REQUEST, "invalid JSON at line %u, column %u: %s", line, column,
                   d->in->error ? d->in->error : "unexpected token");
}

static int decode_object(struct decoder *d, const struct desc *desc, const struct where *w,
                         void *obj);

static int decode_number(struct decoder *d, const struct desc *owner, const struct field *f,
                         const struct where *w, void *p)
{
    struct str text;
    if (!json_read_number(d->in, &text))
        return malformed(d);
    int64_t v = 0;
    double real = 0;
    uint64_t u = 0;
    bool ok = false;
    switch (f->kind) {
    case FK_INT32:
        ok = json_number_i64(text, &v) && v >= INT32_MIN && v <= INT32_MAX;
        *(int32_t *)p = (int32_t)v;
        break;
    case FK_UINT32:
        ok = json_number_i64(text, &v) && v >= 0 && v <= UINT32_MAX;
        *(uint32_t *)p = (uint32_t)v;
        break;
    case FK_INT64:
        ok = json_number_i64(text, &v);
        *(int64_t *)p = v;
        break;
    case FK_UINT64:
        ok = str_to_u64(text, &u);
        *(uint64_t *)p = u;
        break;
    case FK_DOUBLE:
        ok = json_number_double(text, &real);
        *(double *)p = real;
        break;
    }
    if (ok)
        return 0;
    struct str got = arena_cat(d->e->arena, STR("number "), text);
    return mismatch(d, owner, w, arena_z(d->e->arena, got), "", go_type(f));
}

static int decode_time(struct decoder *d, struct str text, struct wall *ret)
{
    if (wall_parse(text, ret))
        return 0;
    return err_set(d->e, ERR_BAD_REQUEST,
                   "parsing time \"%.*s\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"%.*s\" "
                   "as \"2006\"",
                   STR_ARG(text), STR_ARG(text));
}

static int decode_quantity(struct decoder *d, struct str text, struct quantity *ret)
{
    if (quantity_parse(d->in->arena, text, ret))
        return 0;
    return err_set(d->e, ERR_BAD_REQUEST,
                   "quantities must match the regular expression "
                   "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
}

/* The kinds that are strings in JSON. */
static int decode_text(struct decoder *d, const struct field *f, void *p)
{
    struct str s;
    if (!json_read_string(d->in, &s))
        return malformed(d);
    switch (f->kind) {
    case FK_STRING: *(struct str *)p = s.p ? s : STR(""); return 0;
    case FK_BYTES:
        if (base64_decode(d->in->arena, s, p))
            return 0;
        return err_set(d->e, ERR_BAD_REQUEST, "illegal base64 data at input byte 0");
    case FK_TIME:
    case FK_MICROTIME: return decode_time(d, s, p);
    case FK_DURATION:
        if (duration_parse(s, p))
            return 0;
        return err_set(d->e, ERR_BAD_REQUEST, "time: invalid duration \"%.*s\"", STR_ARG(s));
    case FK_QUANTITY: return decode_quantity(d, s, p);
    case FK_INTSTR: *(struct intstr *)p = intstr_str(s.p ? s : STR("")); return 0;
    }
    never("not a text kind");
}

static int decode_strings(struct decoder *d, struct str_list *list)
{
    list->v = arena_alloc(d->in->arena, list_room(0) * sizeof *list->v);
    if (!json_enter_array(d->in))
        return malformed(d);
    while (json_next_item(d->in)) {
        struct str s;
        if (!json_read_string(d->in, &s))
            return malformed(d);
        str_list_push(d->in->arena, list, s);
    }
    return d->in->error ? malformed(d) : 0;
}

/* What JSON type a kind takes, besides null. */
static bool kind_takes(const struct field *f, enum json_type t)
{
    switch ((enum field_kind)f->kind) {
    case FK_BOOL: return t == JSON_BOOL;
    case FK_INT32:
    case FK_INT64:
    case FK_UINT32:
    case FK_UINT64:
    case FK_DOUBLE: return t == JSON_NUMBER;
    case FK_STRING:
    case FK_BYTES:
    case FK_TIME:
    case FK_MICROTIME:
    case FK_DURATION: return t == JSON_STRING;
    case FK_QUANTITY:
    case FK_INTSTR: return t == JSON_STRING || t == JSON_NUMBER;
    case FK_RAW: return true;
    case FK_STRINGS: return t == JSON_ARRAY;
    case FK_MESSAGE: return f->message->encoding != ENC_PLAIN || t == JSON_OBJECT;
    }
    never("field kind");
}

static int decode_encoded(struct decoder *d, const struct field *f, const struct where *w, void *p);

/* Checked JSON text without the blanks between its tokens: raw values are kept that way, so that
 * one value has one form. */
static struct str compact(struct arena *a, struct str s)
{
    bool quoted = false;
    size_t n = 0;
    char *out = NULL;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool blank = !quoted && (c == ' ' || c == '\n' || c == '\t' || c == '\r');
        if (blank && !out) {
            out = arena_raw(a, s.n);
            memcpy(out, s.p, i);
            n = i;
        }
        if (blank)
            continue;
        if (c == '"')
            quoted = !quoted;
        if (out)
            out[n++] = c;
        if (quoted && c == '\\' && ++i < s.n && out)
            out[n++] = s.p[i];
    }
    return out ? str_n(out, n) : s;
}

static int decode_raw(struct decoder *d, struct str *ret)
{
    if (!json_skip(d->in, ret))
        return malformed(d);
    *ret = compact(d->in->arena, *ret);
    return 0;
}

/* One value that is not null, into p (storage of one element). */
static int decode_value(struct decoder *d, const struct desc *owner, const struct field *f,
                        const struct where *w, void *p)
{
    enum json_type t = json_peek(d->in);
    if (t == JSON_BAD)
        return malformed(d);
    if (!kind_takes(f, t))
        return mismatch(d, owner, w, json_word(t), "", go_type(f));
    switch ((enum field_kind)f->kind) {
    case FK_MESSAGE:
        if (f->message->encoding != ENC_PLAIN)
            return decode_encoded(d, f, w, p);
        return decode_object(d, f->message, w, p);
    case FK_STRINGS: return decode_strings(d, p);
    case FK_RAW: return decode_raw(d, p);
    case FK_BOOL: return json_read_bool(d->in, p) ? 0 : malformed(d);
    case FK_INT32:
    case FK_INT64:
    case FK_UINT32:
    case FK_UINT64:
    case FK_DOUBLE: return decode_number(d, owner, f, w, p);
    case FK_QUANTITY:
    case FK_INTSTR:
        if (t == JSON_NUMBER) {
            struct str text;
            if (!json_read_number(d->in, &text))
                return malformed(d);
            if (f->kind == FK_QUANTITY)
                return decode_quantity(d, text, p);
            int32_t i;
            if (!str_to_i32(text, &i))
                return mismatch(d, owner, w, "number", "", "int32");
            *(struct intstr *)p = intstr_int(i);
            return 0;
        }
        return decode_text(d, f, p);
    case FK_STRING:
    case FK_BYTES:
    case FK_TIME:
    case FK_MICROTIME:
    case FK_DURATION: return decode_text(d, f, p);
    }
    never("field kind");
}

/* The three JSON-schema unions of apiextensions. */
static int decode_encoded(struct decoder *d, const struct field *f, const struct where *w, void *p)
{
    const struct desc *m = f->message;
    enum json_type t = json_peek(d->in);
    const struct field *first = &m->fields[0], *second = &m->fields[1];
    void *first_at = (char *)p + first->offset, *second_at = (char *)p + second->offset;
    if (m->encoding == ENC_SCHEMA_OR_BOOL) {
        *(bool *)first_at = true;
        if (t == JSON_BOOL)
            return json_read_bool(d->in, first_at) ? 0 : malformed(d);
        if (t != JSON_OBJECT)
            return err_set(d->e, ERR_BAD_REQUEST, "boolean or JSON schema expected");
        *(void **)second_at = arena_alloc(d->in->arena, second->message->size);
        return decode_object(d, second->message, w, *(void **)second_at);
    }
    if (t == JSON_OBJECT) {
        *(void **)first_at = arena_alloc(d->in->arena, first->message->size);
        return decode_object(d, first->message, w, *(void **)first_at);
    }
    if (t != JSON_ARRAY)
        return err_set(d->e, ERR_BAD_REQUEST, "JSON schema or array expected");
    if (m->encoding == ENC_SCHEMA_OR_STRINGS)
        return decode_strings(d, second_at);
    struct any_list *list = second_at;
    list->v = arena_alloc(d->in->arena, list_room(0) * second->message->size);
    if (!json_enter_array(d->in))
        return malformed(d);
    while (json_next_item(d->in)) {
        list->v = list_grow(d->in->arena, list->v, list->n, second->message->size);
        void *item = (char *)list->v + list->n++ * second->message->size;
        int rc = decode_object(d, second->message, w, item);
        if (rc < 0)
            return rc;
    }
    return d->in->error ? malformed(d) : 0;
}

static int decode_list(struct decoder *d, const struct desc *owner, const struct field *f,
                       const struct where *w, struct any_list *list)
{
    enum json_type t = json_peek(d->in);
    if (t != JSON_ARRAY)
        return t == JSON_BAD ? malformed(d) : mismatch(d, owner, w, json_word(t), "[]", go_type(f));
    size_t size = field_elem_size(f);
    list->n = 0;
    list->v = arena_alloc(d->in->arena, list_room(0) * size);
    if (!json_enter_array(d->in))
        return malformed(d);
    while (json_next_item(d->in)) {
        struct where here = {w, STR_NULL, list->n};
        list->v = list_grow(d->in->arena, list->v, list->n, size);
        void *item = (char *)list->v + list->n++ * size;
        if (json_peek(d->in) == JSON_NULL && f->kind != FK_RAW) {
            if (!json_read_null(d->in))
                return malformed(d);
            continue;
        }
        int rc = decode_value(d, owner, f, &here, item);
        if (rc < 0)
            return rc;
    }
    return d->in->error ? malformed(d) : 0;
}

/* Stable merge sort by key, then the last of equal keys wins. */
static void sort_pairs(char *v, char *tmp, size_t n, size_t size)
{
    if (n < 2)
        return;
    size_t half = n / 2, i = 0, j = half, k = 0;
    sort_pairs(v, tmp, half, size);
    sort_pairs(v + half * size, tmp, n - half, size);
    while (i < half && j < n) {
        bool right = str_cmp(*(struct str *)(v + j * size), *(struct str *)(v + i * size)) < 0;
        memcpy(tmp + k++ * size, v + (right ? j++ : i++) * size, size);
    }
    memcpy(tmp + k * size, v + i * size, (half - i) * size);
    k += half - i;
    memcpy(v, tmp, k * size);
}

void map_normalize(struct any_list *m, size_t size)
{
    char *v = m->v;
    bool sorted = true;
    for (size_t i = 1; i < m->n && sorted; i++)
        sorted = str_cmp(*(struct str *)(v + (i - 1) * size), *(struct str *)(v + i * size)) < 0;
    if (sorted)
        return;
    char *tmp = xmalloc(m->n * size);
    sort_pairs(v, tmp, m->n, size);
    free(tmp);
    size_t kept = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (kept && str_eq(*(struct str *)(v + (kept - 1) * size), *(struct str *)(v + i * size)))
            kept--;
        if (kept != i)
            memcpy(v + kept * size, v + i * size, size);
        kept++;
    }
    m->n = kept;
}

static int decode_map(struct decoder *d, const struct desc *owner, const struct field *f,
                      const struct where *w, struct any_list *map)
{
    enum json_type t = json_peek(d->in);
    if (t != JSON_OBJECT)
        return t == JSON_BAD ? malformed(d)
                             : mismatch(d, owner, w, json_word(t), "map[string]", go_type(f));
    size_t size = field_pair_size(f), value_at = field_pair_value_at(f);
    struct str key;
    map->n = 0;
    map->v = arena_alloc(d->in->arena, list_room(0) * size);
    if (!json_enter_object(d->in))
        return malformed(d);
    while (json_next_key(d->in, &key)) {
        struct where here = {w, key, 0};
        map->v = list_grow(d->in->arena, map->v, map->n, size);
        char *pair = (char *)map->v + map->n++ * size;
        *(struct str *)(void *)pair = key.p ? key : STR("");
        if (json_peek(d->in) == JSON_NULL) {
            if (!json_read_null(d->in))
                return malformed(d);
            continue;
        }
        int rc = decode_value(d, owner, f, &here, pair + value_at);
        if (rc < 0)
            return rc;
    }
    if (d->in->error)
        return malformed(d);
    map_normalize(map, size);
    return 0;
}

/* A field's value into the struct at obj. null leaves the zero value. */
static int decode_field(struct decoder *d, const struct desc *owner, const struct field *f,
                        const struct where *w, void *obj)
{
    void *p = (char *)obj + f->offset;
    if (json_peek(d->in) == JSON_NULL)
        return json_read_null(d->in) ? 0 : malformed(d);
    switch ((enum field_shape)f->shape) {
    case SHAPE_LIST: return decode_list(d, owner, f, w, p);
    case SHAPE_MAP: return decode_map(d, owner, f, w, p);
    case SHAPE_PTR:
        if (!field_self_null(f)) {
            *(void **)p = arena_alloc(d->in->arena, field_elem_size(f));
            p = *(void **)p;
        }
        return decode_value(d, owner, f, w, p);
    case SHAPE_ONE: return decode_value(d, owner, f, w, p);
    }
    never("field shape");
}

static int decode_object(struct decoder *d, const struct desc *desc, const struct where *w,
                         void *obj)
{
    struct str key;
    uint64_t seen[4] = {0}; /* bit per field, to notice repeated ones */
    size_t guess = 0;       /* members mostly come in the order of the schema */
    if (json_peek(d->in) != JSON_OBJECT)
        return json_peek(d->in) == JSON_BAD
                   ? malformed(d)
                   : err_set(d->e, ERR_BAD_REQUEST,
                             "json: cannot unmarshal %s into Go value of type %s",
                             json_word(json_peek(d->in)), desc->name);
    if (!json_enter_object(d->in))
        return malformed(d);
    while (json_next_key(d->in, &key)) {
        const struct field *f = NULL;
        if (guess < desc->n_json && str_eqz(key, desc->fields[guess].name))
            f = &desc->fields[guess];
        else
            f = desc_field(desc, key);
        if (!f) {
            note(d, w, key, false);
            if (!json_skip(d->in, NULL))
                return malformed(d);
            continue;
        }
        size_t at = (size_t)(f - desc->fields);
        guess = at + 1;
        if (seen[at / 64] & (1ull << (at % 64)))
            note(d, w, key, true);
        seen[at / 64] |= 1ull << (at % 64);
        struct where here = {w, key, 0};
        int rc = decode_field(d, desc, f, &here, obj);
        if (rc < 0)
            return rc;
    }
    return d->in->error ? malformed(d) : 0;
}

int desc_decode_json_in(const struct desc *desc, struct json_in *in, struct str path, void *obj,
                        struct decode_notes *notes, struct err *e)
{
    struct decoder d = {.in = in, .notes = notes, .e = e};
    struct where root = {NULL, path, 0};
    return decode_object(&d, desc, path.n ? &root : NULL, obj);
}

int desc_decode_json(const struct desc *desc, struct str text, struct arena *a, void *obj,
                     struct decode_notes *notes, struct err *e)
{
    struct json_in in;
    json_in_init(&in, text, a);
    int rc = desc_decode_json_in(desc, &in, STR_NULL, obj, notes, e);
    if (rc < 0)
        return rc;
    struct decoder d = {.in = &in, .e = e};
    return json_end(&in) ? 0 : malformed(&d);
}
