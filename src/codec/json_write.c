/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text from strings and value trees. */
#include "codec/json.h"

#include "codec/utf8.h"

/* ---- strings ---- */

/* U+2028 and U+2029, line ends in JavaScript but not in JSON: Go escapes them. */
static bool is_line_separator(const char *p, unsigned width)
{
    return width == 3 && memcmp(p, "\xe2\x80", 2) == 0 && ((unsigned char)p[2] | 1) == 0xa9;
}

/* The escape for the special character at p. */
static void put_escape(struct buf *b, const char *p, unsigned width)
{
    switch (*p) {
    case '"': buf_z(b, "\\\""); return;
    case '\\': buf_z(b, "\\\\"); return;
    case '\b': buf_z(b, "\\b"); return;
    case '\f': buf_z(b, "\\f"); return;
    case '\n': buf_z(b, "\\n"); return;
    case '\r': buf_z(b, "\\r"); return;
    case '\t': buf_z(b, "\\t"); return;
    default: break;
    }
    if (width == 3)
        buf_z(b, (unsigned char)p[2] == 0xa8 ? "\\u2028" : "\\u2029");
    else if ((unsigned char)*p >= 0x80)
        buf_z(b, "\\ufffd");
    else
        buf_fmt(b, "\\u%04x", (unsigned)*p);
}

static void put_special_string(struct buf *b, const char *p, const char *end)
{
    const char *kept = p; /* from here on nothing needs an escape */
    buf_c(b, '"');
    while ((p = json_plain_run(p, end)) < end) {
        unsigned width = (unsigned char)*p < 0x80 ? 0 : utf8_step(p, end);
        if (width && !is_line_separator(p, width)) {
            p += width;
            continue;
        }
        buf_add(b, kept, (size_t)(p - kept));
        put_escape(b, p, width);
        p += width ? width : 1;
        kept = p;
    }
    buf_add(b, kept, (size_t)(p - kept));
    buf_c(b, '"');
}

void json_put_string(struct buf *b, struct str s)
{
    if (s.n == 0) {
        buf_z(b, "\"\"");
        return;
    }
    const char *end = s.p + s.n;
    if (json_plain_run(s.p, end) < end) {
        put_special_string(b, s.p, end);
        return;
    }
    char *to = buf_reserve(b, s.n + 2);
    if (!to)
        return;
    to[0] = to[s.n + 1] = '"';
    memcpy(to + 1, s.p, s.n);
    buf_advance(b, s.n + 2);
}

/* ---- trees ---- */

void json_write(struct buf *b, const struct json *v)
{
    switch (v->type) {
    case JSON_NULL: buf_z(b, "null"); return;
    case JSON_BOOL: buf_z(b, v->boolean ? "true" : "false"); return;
    case JSON_NUMBER: buf_str(b, v->number); return;
    case JSON_STRING: json_put_string(b, v->string); return;
    case JSON_ARRAY:
        buf_c(b, '[');
        for (size_t i = 0; i < v->array.n; i++) {
            if (i)
                buf_c(b, ',');
            json_write(b, v->array.v[i]);
        }
        buf_c(b, ']');
        return;
    case JSON_OBJECT:
        buf_c(b, '{');
        for (size_t i = 0; i < v->object.n; i++) {
            if (i)
                buf_c(b, ',');
            json_put_string(b, v->object.v[i].key);
            buf_c(b, ':');
            json_write(b, v->object.v[i].value);
        }
        buf_c(b, '}');
        return;
    case JSON_BAD: break;
    }
    never("a tree has no bad values");
}

static void new_line(struct buf *b, int blanks)
{
    buf_c(b, '\n');
    while (blanks-- > 0)
        buf_c(b, ' ');
}

static void write_pretty(struct buf *b, const struct json *v, int indent, int margin)
{
    bool object = v->type == JSON_OBJECT;
    size_t n = object ? v->object.n : v->type == JSON_ARRAY ? v->array.n : 0;
    if (n == 0) {
        json_write(b, v);
        return;
    }
    buf_c(b, object ? '{' : '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_c(b, ',');
        new_line(b, margin + indent);
        if (object) {
            json_put_string(b, v->object.v[i].key);
            buf_z(b, ": ");
        }
        write_pretty(b, object ? v->object.v[i].value : v->array.v[i], indent, margin + indent);
    }
    new_line(b, margin);
    buf_c(b, object ? '}' : ']');
}

void json_write_pretty(struct buf *b, const struct json *v, int indent)
{
    write_pretty(b, v, indent, 0);
}

struct str json_text(struct arena *a, const struct json *v)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    json_write(&b, v);
    char *p = b.failed ? NULL : arena_try(a, b.n + 1, 1);
    if (!p)
        return STR_NULL;
    memcpy(p, b.p, b.n);
    return str_n(p, b.n);
}
