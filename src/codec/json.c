/* SPDX-License-Identifier: Apache-2.0 */
/* The pull reader. The value tree is in json_tree.c, the writer in json_write.c. */
#include "codec/json.h"

#include "codec/utf8.h"

void json_in_init(struct json_in *in, struct str text, struct arena *arena)
{
    static const char nothing[1];
    const char *p = text.p ? text.p : nothing;
    *in = (struct json_in){.at = p, .start = p, .end = p + text.n, .arena = arena};
}

bool json_fail(struct json_in *in, const char *static_text)
{
    if (!in->error)
        in->error = static_text;
    in->end = in->at; /* every later read finds the end of the text: the error is sticky */
    return false;
}

static bool fail_at(struct json_in *in, const char *at, const char *static_text)
{
    if (!in->error)
        in->at = at;
    return json_fail(in, static_text);
}

static const char at_end[] = "unexpected end of the text";
static const char too_deep[] = "nested too deeply";

/* A different thing than what was found stands here. */
static bool fail_expected(struct json_in *in, const char *at, const char *static_text)
{
    return fail_at(in, at, at == in->end ? at_end : static_text);
}

void json_where(const struct json_in *in, uint32_t *ret_line, uint32_t *ret_column)
{
    uint32_t line = 1;
    const char *line_start = in->start;
    for (const char *p = in->start; (p = memchr(p, '\n', (size_t)(in->at - p))) != NULL;) {
        line_start = ++p;
        line++;
    }
    *ret_line = line;
    *ret_column = (uint32_t)(in->at - line_start) + 1;
}

/* ---- tokens: each takes a position and gives the one behind the token ---- */

static const char *skip_blanks_slowly(const char *p, const char *end)
{
    for (;;) {
        while (end - p >= 8 && load8(p) == BYTES8(' '))
            p += 8;
        if (p == end || (*p != ' ' && *p != '\n' && *p != '\r' && *p != '\t'))
            return p;
        p++;
    }
}

static inline const char *skip_blanks(const char *p, const char *end)
{
    if (p < end && (unsigned char)*p > ' ')
        return p;
    return skip_blanks_slowly(p, end);
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline const char *skip_digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p))
        p++;
    return p;
}

/* NULL when no number starts at p. */
static const char *skip_number(const char *p, const char *end)
{
    if (p < end && *p == '-')
        p++;
    if (p == end || !is_digit(*p))
        return NULL;
    p = *p == '0' ? p + 1 : skip_digits(p + 1, end);
    if (p < end && *p == '.') {
        const char *fraction = p + 1;
        p = skip_digits(fraction, end);
        if (p == fraction)
            return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        const char *exponent = p;
        p = skip_digits(exponent, end);
        if (p == exponent)
            return NULL;
    }
    return p;
}

static const char *skip_word(const char *p, const char *end, const char *word, size_t n)
{
    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0 ? p + n : NULL;
}

/* The four hex digits at p, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    if (end - p < 4)
        return -1;
    int32_t v = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* Length of the escape at p (which is a backslash), or 0. */
static unsigned escape_len(const char *p, const char *end)
{
    if (end - p < 2)
        return 0;
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return 2;
    case 'u': return hex4(p + 2, end) < 0 ? 0 : 6;
    default: return 0;
    }
}

/* What a string holds that its decoded form does not hold as it is. */
struct string_flaws {
    bool escapes;
    size_t invalid; /* bytes that are not UTF-8; each becomes the three of U+FFFD */
};

/* Checks a string from its first special byte on. The closing quote's place, or NULL (failed). */
static const char *scan_special(struct json_in *in, const char *p, struct string_flaws *flaws)
{
    for (;; p = json_plain_run(p, in->end)) {
        if (p == in->end) {
            fail_at(in, p, "unexpected end of the text in a string");
            return NULL;
        }
        unsigned char c = (unsigned char)*p;
        if (c == '"')
            return p;
        unsigned n = 1;
        if (c == '\\') {
            n = escape_len(p, in->end);
            flaws->escapes = true;
        } else if (c >= 0x80) {
            n = utf8_step(p, in->end);
            flaws->invalid += n == 0;
            n += n == 0;
        }
        if (n == 0 || c < 0x20) {
            fail_at(in, p, n == 0 ? "invalid escape in a string" : "control character in a string");
            return NULL;
        }
        p += n;
    }
}

/* p stands behind the opening quote. The closing quote's place, or NULL (failed). */
static inline const char *scan_string(struct json_in *in, const char *p, struct string_flaws *flaws)
{
    p = json_plain_run(p, in->end);
    if (p < in->end && *p == '"')
        return p;
    return scan_special(in, p, flaws);
}

/* ---- decoding strings ---- */

static char short_escape(char c)
{
    switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return c;
    }
}

/* A \u escape and, after a high surrogate, the low one behind it. Surrogates without their
 * partner become U+FFFD. Returns the position behind. */
static const char *decode_u(const char *p, const char *end, uint32_t *ret_rune)
{
    uint32_t rune = (uint32_t)hex4(p + 2, end);
    *ret_rune = rune;
    p += 6;
    if (rune < 0xd800 || rune > 0xdfff)
        return p;
    *ret_rune = 0xfffd;
    if (rune > 0xdbff || end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return p;
    int32_t low = hex4(p + 2, end);
    if (low < 0xdc00 || low > 0xdfff)
        return p;
    *ret_rune = 0x10000 + ((rune - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    return p + 6;
}

/* Decodes the checked text [p, end) of a string. Returns the end of what was written. */
static char *decode_string(char *to, const char *p, const char *end)
{
    while (p < end) {
        const char *run = p;
        p = json_plain_run(p, end);
        memcpy(to, run, (size_t)(p - run));
        to += p - run;
        if (p == end)
            break;
        if (*p == '\\' && p[1] == 'u') {
            uint32_t rune;
            p = decode_u(p, end, &rune);
            to += utf8_put(to, rune);
        } else if (*p == '\\') {
            *to++ = short_escape(p[1]);
            p += 2;
        } else {
            unsigned n = utf8_step(p, end);
            memcpy(to, n ? p : UTF8_REPLACEMENT, n ? n : 3);
            to += n ? n : 3;
            p += n ? n : 1;
        }
    }
    return to;
}

static bool decode_to_arena(struct json_in *in, const char *p, const char *end, size_t invalid,
                            struct str *ret)
{
    must(in->arena != NULL);
    /* Escapes are never longer decoded than written. */
    char *to = arena_try(in->arena, (size_t)(end - p) + 2 * invalid, 1);
    if (!to)
        return fail_at(in, p, "string too large");
    *ret = str_n(to, (size_t)(decode_string(to, p, end) - to));
    return true;
}

/* p stands on what should be an opening quote. */
static inline bool read_string(struct json_in *in, const char *p, struct str *ret)
{
    if (p == in->end || *p != '"')
        return fail_expected(in, p, "expected a string");
    struct string_flaws flaws = {0};
    const char *stop = scan_string(in, ++p, &flaws);
    if (!stop)
        return false;
    in->at = stop + 1;
    if (flaws.escapes || flaws.invalid)
        return decode_to_arena(in, p, stop, flaws.invalid, ret);
    *ret = str_n(p, (size_t)(stop - p));
    return true;
}

/* ---- the public reader ---- */

/* Type of the value that starts with each byte. */
static const uint8_t type_of[256] = {
    ['{'] = JSON_OBJECT, ['['] = JSON_ARRAY,  ['"'] = JSON_STRING, ['t'] = JSON_BOOL,
    ['f'] = JSON_BOOL,   ['n'] = JSON_NULL,   ['-'] = JSON_NUMBER, ['0'] = JSON_NUMBER,
    ['1'] = JSON_NUMBER, ['2'] = JSON_NUMBER, ['3'] = JSON_NUMBER, ['4'] = JSON_NUMBER,
    ['5'] = JSON_NUMBER, ['6'] = JSON_NUMBER, ['7'] = JSON_NUMBER, ['8'] = JSON_NUMBER,
    ['9'] = JSON_NUMBER,
};

static inline enum json_type type_at(const char *p, const char *end)
{
    return p < end ? (enum json_type)type_of[(unsigned char)*p] : JSON_BAD;
}

enum json_type json_peek(struct json_in *in)
{
    in->at = skip_blanks(in->at, in->end);
    enum json_type type = type_at(in->at, in->end);
    if (type == JSON_BAD)
        fail_expected(in, in->at, "expected a value");
    return type;
}

static bool enter(struct json_in *in, char bracket, const char *or_else)
{
    const char *p = skip_blanks(in->at, in->end);
    if (p == in->end || *p != bracket)
        return fail_expected(in, p, or_else);
    if (in->depth == JSON_DEPTH_MAX)
        return fail_at(in, p, too_deep);
    in->depth++;
    in->first = true;
    in->at = p + 1;
    return true;
}

bool json_enter_object(struct json_in *in)
{
    return enter(in, '{', "expected an object");
}

bool json_enter_array(struct json_in *in)
{
    return enter(in, '[', "expected an array");
}

/* Steps over the comma, or out of the container: then false. */
static inline bool next_element(struct json_in *in, char bracket, const char *or_else)
{
    const char *p = skip_blanks(in->at, in->end);
    if (p == in->end)
        return fail_at(in, p, at_end);
    if (*p == bracket) {
        must(in->depth > 0);
        in->depth--;
        in->first = false;
        in->at = p + 1;
        return false;
    }
    if (!in->first) {
        if (*p != ',')
            return fail_at(in, p, or_else);
        p = skip_blanks(p + 1, in->end);
    }
    in->first = false;
    in->at = p;
    return true;
}

bool json_next_key(struct json_in *in, struct str *ret_key)
{
    if (!next_element(in, '}', "expected a comma or a closing brace"))
        return false;
    if (!read_string(in, in->at, ret_key))
        return false;
    const char *p = skip_blanks(in->at, in->end);
    if (p == in->end || *p != ':')
        return fail_expected(in, p, "expected a colon");
    in->at = p + 1;
    return true;
}

bool json_next_item(struct json_in *in)
{
    if (!next_element(in, ']', "expected a comma or a closing bracket"))
        return false;
    if (type_at(in->at, in->end) == JSON_BAD)
        return fail_expected(in, in->at, "expected a value");
    return true;
}

bool json_read_string(struct json_in *in, struct str *ret)
{
    return read_string(in, skip_blanks(in->at, in->end), ret);
}

bool json_read_bool(struct json_in *in, bool *ret)
{
    const char *p = skip_blanks(in->at, in->end);
    const char *after = skip_word(p, in->end, "true", 4);
    *ret = after != NULL;
    if (!after)
        after = skip_word(p, in->end, "false", 5);
    if (!after)
        return fail_expected(in, p, "expected true or false");
    in->at = after;
    return true;
}

bool json_read_null(struct json_in *in)
{
    const char *p = skip_blanks(in->at, in->end);
    const char *after = skip_word(p, in->end, "null", 4);
    if (!after)
        return fail_expected(in, p, "expected null");
    in->at = after;
    return true;
}

bool json_read_number(struct json_in *in, struct str *ret_text)
{
    const char *p = skip_blanks(in->at, in->end);
    const char *after = skip_number(p, in->end);
    if (!after)
        return fail_expected(in, p, "expected a number");
    *ret_text = str_n(p, (size_t)(after - p));
    in->at = after;
    return true;
}

bool json_end(struct json_in *in)
{
    if (in->error)
        return false;
    in->at = skip_blanks(in->at, in->end);
    return in->at == in->end || json_fail(in, "unexpected text after the value");
}

/* ---- skipping: the same grammar in one loop, with a bit per level instead of calls ---- */

struct levels {
    uint32_t depth, base;
    uint64_t objects[JSON_DEPTH_MAX / 64]; /* bit set: the level is an object */
};

static inline bool in_object(const struct levels *l)
{
    return l->objects[(l->depth - 1) / 64] >> (l->depth - 1) % 64 & 1;
}

static inline bool push_level(struct levels *l, bool object)
{
    if (l->depth == JSON_DEPTH_MAX)
        return false;
    uint64_t bit = (uint64_t)1 << l->depth % 64, *word = &l->objects[l->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    l->depth++;
    return true;
}

static const char *skip_null(struct json_in *in, const char *p, const char *or_else)
{
    fail_expected(in, p, or_else);
    return NULL;
}

/* A key and its colon; gives the place of the value. */
static inline const char *skip_key(struct json_in *in, const char *p)
{
    struct string_flaws flaws = {0};
    if (p == in->end || *p != '"')
        return skip_null(in, p, "expected a string");
    p = scan_string(in, p + 1, &flaws);
    if (!p)
        return NULL;
    p = skip_blanks(p + 1, in->end);
    if (p == in->end || *p != ':')
        return skip_null(in, p, "expected a colon");
    return skip_blanks(p + 1, in->end);
}

/* A string, number or word. */
static inline const char *skip_scalar(struct json_in *in, const char *p)
{
    const char *after = NULL;
    struct string_flaws flaws = {0};
    switch (type_at(p, in->end)) {
    case JSON_STRING: after = scan_string(in, p + 1, &flaws); return after ? after + 1 : NULL;
    case JSON_NUMBER: after = skip_number(p, in->end); break;
    case JSON_NULL: after = skip_word(p, in->end, "null", 4); break;
    case JSON_BOOL:
        after = *p == 't' ? skip_word(p, in->end, "true", 4) : skip_word(p, in->end, "false", 5);
        break;
    case JSON_BAD:
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    return after ? after : skip_null(in, p, "expected a value");
}

/* Leaves the containers that end here and steps over a comma (and a key) to the next value.
 * When the outermost container has ended l->depth is l->base. */
static inline const char *skip_separators(struct json_in *in, const char *p, struct levels *l)
{
    while (l->depth > l->base) {
        bool object = in_object(l);
        p = skip_blanks(p, in->end);
        if (p == in->end)
            return skip_null(in, p, at_end);
        if (*p == ',') {
            p = skip_blanks(p + 1, in->end);
            return object ? skip_key(in, p) : p;
        }
        if (*p != (object ? '}' : ']'))
            return skip_null(in, p, "expected a comma or the container's end");
        p++;
        l->depth--;
    }
    return p;
}

/* Steps into a container: to its first value, or to its closing bracket when it is empty. */
static inline const char *skip_opening(struct json_in *in, const char *p, struct levels *l,
                                       bool *ret_empty)
{
    bool object = *p == '{';
    if (!push_level(l, object)) {
        fail_at(in, p, too_deep);
        return NULL;
    }
    p = skip_blanks(p + 1, in->end);
    *ret_empty = p < in->end && *p == (object ? '}' : ']');
    return object && !*ret_empty ? skip_key(in, p) : p;
}

static const char *skip_value(struct json_in *in, const char *p)
{
    struct levels l = {.depth = in->depth, .base = in->depth};
    do {
        if (p < in->end && (*p == '{' || *p == '[')) {
            bool empty = false;
            p = skip_opening(in, p, &l, &empty);
            if (!empty)
                continue;
        } else {
            p = skip_scalar(in, p);
        }
        if (p)
            p = skip_separators(in, p, &l);
    } while (p && l.depth > l.base);
    return p;
}

bool json_skip(struct json_in *in, struct str *ret_raw)
{
    const char *from = skip_blanks(in->at, in->end);
    const char *to = skip_value(in, from);
    if (!to)
        return false;
    if (ret_raw)
        *ret_raw = str_n(from, (size_t)(to - from));
    in->at = to;
    return true;
}
