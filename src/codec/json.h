/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h: RFC 8259 JSON: a pull reader, a writer, and a value tree.
 *
 * The reader accepts exactly RFC 8259 text (no comments, no trailing commas, no leading BOM), in
 * valid UTF-8; invalid UTF-8 and lone surrogate escapes inside strings become U+FFFD, as Go's
 * encoding/json does, so that what clients accept is accepted here. Depth is bounded. Numbers are
 * handed out as text; conversion is the caller's.
 */
#ifndef BARQUE_CODEC_JSON_H
#define BARQUE_CODEC_JSON_H

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"

enum { JSON_DEPTH_MAX = 512 };

enum json_type {
    JSON_BAD, /* malformed, or the end of the text */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* ---- pull reader ----
 *
 *   struct json_in in;
 *   json_in_init(&in, text, arena);
 *   if (json_enter_object(&in))
 *       while (json_next_key(&in, &key))
 *           ... read or json_skip exactly one value ...
 *   json_end(&in);                       only blanks may follow
 *   if (in.error) ...
 *
 * The error is sticky: after it every call returns false / JSON_BAD. */
struct json_in {
    const char *at, *start, *end;
    struct arena *arena; /* for strings with escapes; others are views of the text */
    const char *error;   /* NULL, or what is wrong, static text */
    uint32_t depth;
    bool first; /* private: no element read yet in the innermost container */
};

/* arena may be NULL when the text is only skipped: reading a string with escapes would abort. */
void json_in_init(struct json_in *in, struct str text, struct arena *arena);
/* Type of the next value, without consuming it. JSON_BAD is an error of the reader too. */
enum json_type json_peek(struct json_in *in);
bool json_enter_object(struct json_in *in);
/* The next member's key; false at the closing brace (consumed) or on error. */
bool json_next_key(struct json_in *in, struct str *ret_key);
bool json_enter_array(struct json_in *in);
/* Is there a next element? false at the closing bracket (consumed) or on error. */
bool json_next_item(struct json_in *in);
bool json_read_string(struct json_in *in, struct str *ret);
bool json_read_bool(struct json_in *in, bool *ret);
bool json_read_null(struct json_in *in);
/* The number's text: "-1.5e3". */
bool json_read_number(struct json_in *in, struct str *ret_text);
/* Any value, checked; ret_raw (may be NULL) views its text, strings in it as they were written
 * (invalid UTF-8 included). */
bool json_skip(struct json_in *in, struct str *ret_raw);
/* True when the text ends here. */
bool json_end(struct json_in *in);
/* Sets a caller's error at the present position (first one wins); returns false. */
bool json_fail(struct json_in *in, const char *static_text);
/* Line and column (from 1) of the position, for messages. */
void json_where(const struct json_in *in, uint32_t *ret_line, uint32_t *ret_column);

/* Number text to integer: exact integers only ("1", "1.0", "1e3" are; "1.5" is not). */
bool json_number_i64(struct str text, int64_t *ret);
bool json_number_double(struct str text, double *ret); /* false on overflow to infinity */
/* The same value? Exact at any length: 1.0 is 1e0, 1e400 is 10e399. */
bool json_number_eq(struct str a, struct str b);

/* ---- writer helpers: append to a buf; the caller places commas and braces ---- */

/* A quoted, escaped string. Escapes what Go's encoder escapes except <, > and &; each byte that is
 * not UTF-8 becomes the escape \ufffd. */
void json_put_string(struct buf *b, struct str s);
/* The shortest text that reads back as the same double, formatted as Go's encoder does. What is
 * not finite has no text: b->failed. */
void json_put_double(struct buf *b, double v);

/* ---- value tree: for patches, custom resources and small ad-hoc documents ---- */

struct json;
struct json_member {
    struct str key;
    struct json *value;
};
/* Values are mutable only by their owner; trees may share subtrees as long as nobody edits
 * them. All memory is on one arena. */
struct json {
    enum json_type type;
    union {
        bool boolean;
        struct str number; /* text */
        struct str string;
        struct {
            struct json **v;
            size_t n, room;
        } array;
        struct {
            struct json_member *v; /* in order of the text; keys are unique, the last one won */
            size_t n, room;
        } object;
    };
};

/* Parses a whole text. Strings without escapes are views of it: it must live as long as the
 * tree. Errors: ERR_BAD_REQUEST with line and column; also when the tree outgrows the arena (a
 * tree takes up to some 30 times the bytes of its text). */
int json_parse(struct arena *a, struct str text, struct json **ret, struct err *e) MUST_USE;
/* Parses one value at the reader's position. NULL on error (sticky in the reader). */
struct json *json_read_value(struct json_in *in);
void json_write(struct buf *b, const struct json *v);
/* The text on the arena, NUL-terminated; STR_NULL when it does not fit there. */
struct str json_text(struct arena *a, const struct json *v);
/* Each member on its own line, `indent` blanks a level. */
void json_write_pretty(struct buf *b, const struct json *v, int indent);

struct json *json_null(struct arena *a);
struct json *json_bool(struct arena *a, bool v);
struct json *json_int(struct arena *a, int64_t v);
struct json *json_string(struct arena *a, struct str s); /* not copied */
struct json *json_array(struct arena *a);
struct json *json_object(struct arena *a);
void json_push(struct arena *a, struct json *array, struct json *v);
/* Sets or replaces; the key is not copied. Looks at all members: for objects of known, small
 * size. */
void json_set(struct arena *a, struct json *object, struct str key, struct json *v);
/* NULL when absent or when o is not an object (o may be NULL). */
struct json *json_get(const struct json *o, struct str key);
struct json *json_getz(const struct json *o, const char *key);
/* Follows keys: json_path(o, "spec", "template", NULL). NULL when any is absent. */
struct json *json_path(const struct json *o, ...) __attribute__((sentinel));
bool json_del(struct json *object, struct str key); /* was it there? */
/* Text of a string value, or STR_NULL for anything else (v may be NULL). */
struct str json_str(const struct json *v);
bool json_i64(const struct json *v, int64_t *ret);
/* Deep equality: numbers by value, objects in any order. */
bool json_eq(const struct json *a, const struct json *b);
struct json *json_copy(struct arena *a, const struct json *v); /* deep, strings included */
/* Sorts members by key, recursively (as Go marshals maps). */
void json_sort(struct json *v);

#endif
