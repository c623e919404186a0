/* SPDX-License-Identifier: Apache-2.0 */
/* Field paths, faults in the words of apimachinery's field errors, and the Invalid error. */
#include "api/validate.h"

#include <stdarg.h>

#include "codec/json.h"

/* ---- paths ---- */

static void put_path(struct buf *b, const struct field_path *p)
{
    if (p->parent)
        put_path(b, p->parent);
    if (p->name) {
        if (p->parent)
            buf_c(b, '.');
        buf_z(b, p->name);
    } else if (p->key.p) {
        buf_c(b, '[');
        buf_str(b, p->key);
        buf_c(b, ']');
    } else {
        buf_fmt(b, "[%zu]", p->index);
    }
}

struct str field_path_text(struct arena *a, const struct field_path *p)
{
    if (!p)
        return STR("<nil>");
    CLEANUP(buf_fini) struct buf b = BUF_INIT(FAULT_TEXT_MAX);
    put_path(&b, p);
    return buf_to_arena(&b, a);
}

/* ---- bad values ---- */

/* Code points that Go's %q writes as escapes: what is not printable in Unicode. The ranges cover
 * controls, blanks other than the space, format characters, surrogates and private use. */
static bool is_printable(uint32_t c)
{
    static const struct {
        uint32_t low, high;
    } hidden[] = {
        {0x7f, 0xa0},     {0xad, 0xad},     {0x61c, 0x61c},   {0x1680, 0x1680},    {0x180e, 0x180e},
        {0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f}, {0x3000, 0x3000},    {0xd800, 0xf8ff},
        {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0x10ffff},
    };
    for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
        if (c >= hidden[i].low && c <= hidden[i].high)
            return false;
    return c >= ' ';
}

/* Decodes the character at p; 0 bytes: not well-formed. */
static size_t rune_at(struct str s, size_t at, uint32_t *ret)
{
    unsigned char c = (unsigned char)s.p[at];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (at + n > s.n || !str_is_utf8(str_sub(s, at, at + n)))
        return 0;
    uint32_t rune = n == 1 ? c : c & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        rune = rune << 6 | ((unsigned char)s.p[at + i] & 0x3f);
    *ret = rune;
    return n;
}

static void put_rune(struct buf *b, uint32_t rune, struct str bytes)
{
    static const char names[] = "abtnvfr"; /* from 0x07; Go has no \e */
    if (rune == '"' || rune == '\\')
        buf_fmt(b, "\\%c", (char)rune);
    else if (is_printable(rune))
        buf_str(b, bytes);
    else if (rune >= 0x07 && rune <= 0x0d)
        buf_fmt(b, "\\%c", names[rune - 0x07]);
    else if (rune < 0x80)
        buf_fmt(b, "\\x%02x", rune);
    else if (rune < 0x10000)
        buf_fmt(b, "\\u%04x", rune);
    else
        buf_fmt(b, "\\U%08x", rune);
}

static void put_quoted(struct buf *b, struct str s)
{
    buf_c(b, '"');
    for (size_t i = 0; i < s.n;) {
        uint32_t rune;
        size_t n = rune_at(s, i, &rune);
        if (n)
            put_rune(b, rune, str_sub(s, i, i + n));
        else
            buf_fmt(b, "\\x%02x", (unsigned char)s.p[i]);
        i += n ? n : 1;
    }
    buf_c(b, '"');
}

struct str go_quote(struct arena *a, struct str s)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(FAULT_TEXT_MAX);
    put_quoted(&b, s);
    return buf_to_arena(&b, a);
}

struct bad_value bad_intstr(const struct intstr *i)
{
    return i->is_string ? bad_str(i->s) : bad_int(i->i);
}

struct bad_value bad_map(struct arena *a, const struct str_map *m)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(FAULT_TEXT_MAX / 2);
    if (!m->v)
        return bad_null();
    buf_c(&b, '{');
    for (size_t i = 0; i < m->n && !b.failed; i++) {
        if (i)
            buf_c(&b, ',');
        json_put_string(&b, m->v[i].key);
        buf_c(&b, ':');
        json_put_string(&b, m->v[i].value);
    }
    buf_c(&b, '}');
    return bad_text(b.failed ? STR("{...}") : buf_to_arena(&b, a));
}

struct bad_value bad_time(struct arena *a, struct wall t)
{
    char text[WALL_TEXT_MAX];
    if (wall_is_zero(t))
        return bad_null();
    size_t n = wall_format(text, t);
    return bad_text(arena_fmt(a, "\"%.*s\"", (int)n, text));
}

/* Cut so that escaping (at most ten bytes for one) cannot fill the message. */
static struct str shortened(struct str s)
{
    return str_sub(s, 0, FAULT_TEXT_MAX / 16);
}

/* Objects that do not fit are cut, and count as much as a full message: to print one costs a walk
 * through all of it. */
static void put_object(struct validation *v, struct buf *b, const struct desc *d, const void *obj)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(FAULT_TEXT_MAX / 2);
    if (!obj) {
        buf_z(b, "null");
        return;
    }
    desc_encode_json(d, obj, &text);
    buf_str(b, buf_view(&text));
    if (text.failed) {
        buf_z(b, "...");
        v->text_used += FAULT_TEXT_MAX;
    }
}

static void put_list(struct buf *b, const struct str_list *l)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(FAULT_TEXT_MAX / 2);
    buf_c(&text, '[');
    for (size_t i = 0; i < l->n && !text.failed; i++) {
        if (i)
            buf_c(&text, ',');
        json_put_string(&text, shortened(l->v[i]));
    }
    buf_z(&text, text.failed ? "" : "]");
    buf_str(b, buf_view(&text));
    buf_z(b, text.failed ? "..." : "");
}

static void put_bad(struct validation *v, struct buf *b, const struct bad_value *bad)
{
    switch (bad->kind) {
    case BAD_STRING: put_quoted(b, shortened(bad->s)); return;
    case BAD_TEXT: buf_str(b, str_sub(bad->s, 0, FAULT_TEXT_MAX / 2)); return;
    case BAD_INT: buf_i64(b, bad->i); return;
    case BAD_BOOL: buf_z(b, bad->i ? "true" : "false"); return;
    case BAD_DOUBLE: json_put_double(b, bad->d); return;
    case BAD_OBJECT: put_object(v, b, bad->desc, bad->obj); return;
    case BAD_LIST: put_list(b, bad->obj); return;
    case BAD_NONE: return;
    }
}

/* ---- faults ---- */

static void add_cause(struct validation *v, const struct field_path *p, const char *reason,
                      const struct buf *message)
{
    struct str field = field_path_text(v->arena, p);
    v->text_used += field.n + message->n;
    err_cause(v->err, field, reason, "%.*s", STR_ARG(buf_view(message)));
}

/* "word: bad value: detail" */
static void fault(struct validation *v, const struct field_path *p, const char *reason,
                  const char *word, const struct bad_value *bad, const char *fmt, va_list ap)
    PRINTF(6, 0);
static void fault(struct validation *v, const struct field_path *p, const char *reason,
                  const char *word, const struct bad_value *bad, const char *fmt, va_list ap)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(FAULT_TEXT_MAX);
    v->faults++;
    if (v->text_used > VALIDATION_TEXT_MAX)
        return;
    buf_z(&b, word);
    if (bad && bad->kind != BAD_NONE) {
        buf_z(&b, ": ");
        put_bad(v, &b, bad);
    }
    size_t before = b.n;
    buf_z(&b, ": ");
    buf_vfmt(&b, fmt, ap);
    if (b.n <= before + 2) /* no detail, or one that does not fit */
        buf_truncate(&b, before);
    add_cause(v, p, reason, &b);
}

#define FAULT(v, p, reason, word, bad, fmt)                                                        \
    do {                                                                                           \
        va_list ap_;                                                                               \
        va_start(ap_, fmt);                                                                        \
        fault((v), (p), (reason), (word), (bad), (fmt), ap_);                                      \
        va_end(ap_);                                                                               \
    } while (0)

void fault_required(struct validation *v, const struct field_path *p, const char *fmt, ...)
{
    FAULT(v, p, "FieldValueRequired", "Required value", NULL, fmt);
}

void fault_invalid(struct validation *v, const struct field_path *p, struct bad_value bad,
                   const char *fmt, ...)
{
    FAULT(v, p, "FieldValueInvalid", "Invalid value", &bad, fmt);
}

void fault_type_invalid(struct validation *v, const struct field_path *p, struct bad_value bad,
                        const char *fmt, ...)
{
    FAULT(v, p, "FieldValueTypeInvalid", "Invalid value", &bad, fmt);
}

void fault_forbidden(struct validation *v, const struct field_path *p, const char *fmt, ...)
{
    FAULT(v, p, "FieldValueForbidden", "Forbidden", NULL, fmt);
}

void fault_duplicate_because(struct validation *v, const struct field_path *p, struct bad_value bad,
                             const char *fmt, ...)
{
    FAULT(v, p, "FieldValueDuplicate", "Duplicate value", &bad, fmt);
}

void fault_not_found_because(struct validation *v, const struct field_path *p, struct bad_value bad,
                             const char *fmt, ...)
{
    FAULT(v, p, "FieldValueNotFound", "Not found", &bad, fmt);
}

void fault_internal(struct validation *v, const struct field_path *p, const char *fmt, ...)
{
    FAULT(v, p, "InternalError", "Internal error", NULL, fmt);
}

/* The same with a detail made by this file. */
static void fault_fmt(struct validation *v, const struct field_path *p, const char *reason,
                      const char *word, const struct bad_value *bad, const char *fmt, ...)
    PRINTF(6, 7);
static void fault_fmt(struct validation *v, const struct field_path *p, const char *reason,
                      const char *word, const struct bad_value *bad, const char *fmt, ...)
{
    FAULT(v, p, reason, word, bad, fmt);
}

void fault_duplicate(struct validation *v, const struct field_path *p, struct bad_value bad)
{
    fault_fmt(v, p, "FieldValueDuplicate", "Duplicate value", &bad, "%s", "");
}

void fault_not_found(struct validation *v, const struct field_path *p, struct bad_value bad)
{
    fault_fmt(v, p, "FieldValueNotFound", "Not found", &bad, "%s", "");
}

void fault_not_supported(struct validation *v, const struct field_path *p, struct bad_value bad,
                         const char *const *values)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(FAULT_TEXT_MAX / 2);
    for (size_t i = 0; values[i]; i++) {
        buf_z(&b, i ? ", " : "supported values: ");
        put_quoted(&b, str_z(values[i]));
    }
    fault_fmt(v, p, "FieldValueNotSupported", "Unsupported value", &bad, "%.*s",
              STR_ARG(buf_view(&b)));
}

static void too_long(struct validation *v, const struct field_path *p, int max, const char *unit)
{
    static const char reason[] = "FieldValueTooLong", word[] = "Too long";
    if (max < 0)
        fault_fmt(v, p, reason, word, NULL, "value is too long");
    else
        fault_fmt(v, p, reason, word, NULL, "may not be more than %d %s%s", max, unit,
                  max == 1 ? "" : "s");
}

void fault_too_long(struct validation *v, const struct field_path *p, int max_bytes)
{
    too_long(v, p, max_bytes, "byte");
}

void fault_too_long_chars(struct validation *v, const struct field_path *p, int max_chars)
{
    too_long(v, p, max_chars, "character");
}

void fault_too_many(struct validation *v, const struct field_path *p, int64_t n, int64_t max)
{
    struct bad_value bad = bad_int(n);
    fault_fmt(v, p, "FieldValueTooMany", "Too many", &bad, "must have at most %lld item%s",
              (long long)max, max == 1 ? "" : "s");
}

void fault_too_few(struct validation *v, const struct field_path *p, int64_t n, int64_t min)
{
    struct bad_value bad = bad_int(n);
    fault_fmt(v, p, "FieldValueTooFew", "Too few", &bad, "must have at least %lld item%s",
              (long long)min, min == 1 ? "" : "s");
}

bool seen_before(struct map *set, struct str key)
{
    static char present;
    if (!key.p)
        key = STR("");
    return map_put(set, key, &present) != NULL;
}

/* ---- the Invalid error ---- */

/* The causes' texts, each one once. Returns how many there are. */
static size_t put_causes(struct buf *b, struct arena *a, const struct err_cause *causes)
{
    struct map seen = MAP_INIT_BORROWED;
    for (const struct err_cause *c = causes; c; c = c->next) {
        struct str text = arena_fmt(a, "%.*s: %.*s", STR_ARG(c->field), STR_ARG(c->message));
        if (map_has(&seen, text))
            continue;
        if (seen.count)
            buf_z(b, ", ");
        buf_str(b, text);
        map_put(&seen, text, b);
    }
    size_t n = seen.count;
    map_fini(&seen);
    return n;
}

struct str validation_text(struct validation *v)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    buf_c(&b, '[');
    bool several = put_causes(&b, v->arena, v->err->causes) > 1;
    buf_c(&b, ']');
    struct str text = buf_to_arena(&b, v->arena);
    return several ? text : str_sub(text, 1, text.n - 1);
}

int validation_finish(struct validation *v, struct str group, struct str kind, struct str name)
{
    struct err *e = v->err;
    if (!e->cause_count)
        return 0;
    struct str qualified =
        group.n ? arena_fmt(v->arena, "%.*s.%.*s", STR_ARG(kind), STR_ARG(group)) : kind;
    struct str quoted = go_quote(v->arena, name);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    buf_fmt(&b, "%.*s %.*s is invalid: ", STR_ARG(qualified), STR_ARG(quoted));
    buf_str(&b, validation_text(v));
    e->code = ERR_INVALID;
    e->message = buf_to_arena(&b, v->arena);
    e->detail_group = arena_str(v->arena, group);
    e->detail_kind = arena_str(v->arena, kind);
    e->detail_name = arena_str(v->arena, name);
    return -(int)ERR_INVALID;
}
