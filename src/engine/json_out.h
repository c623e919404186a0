/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_out.h: JSON written straight into a buffer, commas placed by looking at what stands there.
 * For documents of a known shape, where a value tree would be built only to be printed.
 */
#ifndef BARQUE_ENGINE_JSON_OUT_H
#define BARQUE_ENGINE_JSON_OUT_H

#include "codec/json.h"

/* A comma, unless the buffer is at the start of the text, of a container or of a member's value. */
static inline void out_comma(struct buf *b)
{
    char last = b->n ? b->p[b->n - 1] : '{';
    if (last != '{' && last != '[' && last != ':')
        buf_c(b, ',');
}

static inline void out_open(struct buf *b, char bracket)
{
    out_comma(b);
    buf_c(b, bracket);
}

static inline void out_close(struct buf *b, char bracket)
{
    buf_c(b, bracket);
}

/* name: needs no escaping */
static inline void out_key(struct buf *b, const char *name)
{
    out_comma(b);
    buf_fmt(b, "\"%s\":", name);
}

static inline void out_object(struct buf *b, const char *name)
{
    out_key(b, name);
    buf_c(b, '{');
}

static inline void out_array(struct buf *b, const char *name)
{
    out_key(b, name);
    buf_c(b, '[');
}

static inline void out_string(struct buf *b, struct str s)
{
    out_comma(b);
    json_put_string(b, s);
}

static inline void out_int(struct buf *b, int64_t v)
{
    out_comma(b);
    buf_i64(b, v);
}

static inline void out_member(struct buf *b, const char *name, struct str value)
{
    out_key(b, name);
    json_put_string(b, value);
}

static inline void out_member_z(struct buf *b, const char *name, const char *value)
{
    out_member(b, name, str_z(value));
}

static inline void out_member_int(struct buf *b, const char *name, int64_t value)
{
    out_key(b, name);
    buf_i64(b, value);
}

static inline void out_member_bool(struct buf *b, const char *name, bool value)
{
    out_key(b, name);
    buf_z(b, value ? "true" : "false");
}

#endif
