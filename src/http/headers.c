/* SPDX-License-Identifier: Apache-2.0 */
#include "http/headers.h"

const struct http_limits http_limits_default = {
    .body_bytes_max = MIB(3) + KIB(64),
    .bodies_bytes_max = MIB(256),
    .header_bytes_max = KIB(64),
    .header_count_max = 200,
    .connections_max = 10000,
    .streams_max = 250,
    .header_timeout_ms = 10000,
    .body_timeout_ms = 60000,
    .idle_timeout_ms = 120000,
    .write_stall_ms = 30000,
    .write_queue_max = MIB(1),
};

/* Rows of sixteen. */
#define V_  CHAR_VALUE
#define TV  (CHAR_TOKEN | CHAR_VALUE | CHAR_TARGET | CHAR_HOST)
#define TU  (TV | CHAR_UPPER)
#define TQ  (CHAR_TOKEN | CHAR_VALUE | CHAR_TARGET) /* token, but not in a host */
#define TN  (CHAR_TOKEN | CHAR_VALUE)               /* "#" */
#define VG  (CHAR_VALUE | CHAR_TARGET)
#define VH  (CHAR_VALUE | CHAR_TARGET | CHAR_HOST)
#define T10 TV, TV, TV, TV, TV, TV, TV, TV, TV, TV
#define U13 TU, TU, TU, TU, TU, TU, TU, TU, TU, TU, TU, TU, TU
#define L13 TV, TV, TV, TV, TV, TV, TV, TV, TV, TV, TV, TV, TV
#define O16 VG, VG, VG, VG, VG, VG, VG, VG, VG, VG, VG, VG, VG, VG, VG, VG

const unsigned char http_char[256] = {
    /* 00 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, V_, 0, 0, 0, 0, 0, 0,
    /* 10 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /*  sp !   "   #   $   %   &   '   (   )   *   +   ,   -   .   / */
    V_, TV, VG, TN, TV, TV, TV, TQ, VH, VH, TV, TV, VH, TV, TV, VG,
    /* 0-9  :   ;   <   =   >   ? */
    T10, VH, VH, VG, VH, VG, VG,
    /*  @  A-M  N-Z  [   \   ]   ^   _ */
    VG, U13, U13, VH, VG, VH, TQ, TV,
    /*  `  a-m  n-z  {   |   }   ~   del */
    TQ, L13, L13, VG, TQ, VG, TV, 0,
    /* 80 */ O16, O16, O16, O16, O16, O16, O16, O16};

struct str http_header_get(const struct http_headers *h, const char *name)
{
    struct str want = str_z(name);
    for (size_t i = 0; i < h->n; i++)
        if (str_eq(h->v[i].name, want))
            return h->v[i].value;
    return STR_NULL;
}

static bool list_has(struct str list, struct str token)
{
    struct str part;
    while (str_next(&list, ',', &part))
        if (str_case_eq(str_trim(part), token))
            return true;
    return false;
}

bool http_header_has_token(const struct http_headers *h, const char *name, const char *token)
{
    struct str want = str_z(name), t = str_z(token);
    for (size_t i = 0; i < h->n; i++)
        if (str_eq(h->v[i].name, want) && list_has(h->v[i].value, t))
            return true;
    return false;
}

void http_header_add(struct arena *a, struct http_headers *h, struct str name, struct str value)
{
    struct http_header pair = {name, value};
    vec_push_arena(a, h, pair);
}

/* ---- percent coding ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_url_decode(struct arena *a, struct str s, bool query, struct str *ret)
{
    char *out = arena_try(a, s.n + 1, 1);
    size_t n = 0;
    if (!out)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int high = s.n - i > 2 ? hex_digit(s.p[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && query) {
            c = ' ';
        }
        out[n++] = c;
    }
    *ret = str_n(out, n);
    return true;
}

static bool unreserved(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void http_url_encode(struct buf *b, struct str s)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (unreserved(s.p[i])) {
            buf_c(b, s.p[i]);
            continue;
        }
        buf_c(b, '%');
        buf_c(b, digits[c >> 4]);
        buf_c(b, digits[c & 15]);
    }
}

/* ---- requests ---- */

bool http_split_target(struct http_request *r)
{
    struct str t = r->target;
    if (!t.n || !http_all(t, CHAR_TARGET))
        return false;
    if (str_eqz(t, "*") && str_eqz(r->method, "OPTIONS")) {
        r->path = t;
        return true;
    }
    if (str_skip(&t, STR("http://")) || str_skip(&t, STR("https://"))) {
        ptrdiff_t slash = str_index(t, '/');
        r->host = str_sub(t, 0, slash < 0 ? t.n : (size_t)slash);
        t = slash < 0 ? STR("/") : str_sub(t, (size_t)slash, t.n);
        if (!r->host.n || !http_all(r->host, CHAR_HOST))
            return false;
    }
    if (t.p[0] != '/')
        return false;
    str_cut(t, '?', &r->path, &r->query);
    return true;
}

/* ---- responses ---- */

static const struct {
    int status;
    struct str phrase;
} phrases[] = {
    {100, {"Continue", 8}},
    {101, {"Switching Protocols", 19}},
    {200, {"OK", 2}},
    {201, {"Created", 7}},
    {202, {"Accepted", 8}},
    {204, {"No Content", 10}},
    {206, {"Partial Content", 15}},
    {301, {"Moved Permanently", 17}},
    {302, {"Found", 5}},
    {303, {"See Other", 9}},
    {304, {"Not Modified", 12}},
    {307, {"Temporary Redirect", 18}},
    {308, {"Permanent Redirect", 18}},
    {400, {"Bad Request", 11}},
    {401, {"Unauthorized", 12}},
    {403, {"Forbidden", 9}},
    {404, {"Not Found", 9}},
    {405, {"Method Not Allowed", 18}},
    {406, {"Not Acceptable", 14}},
    {408, {"Request Timeout", 15}},
    {409, {"Conflict", 8}},
    {410, {"Gone", 4}},
    {411, {"Length Required", 15}},
    {412, {"Precondition Failed", 19}},
    {413, {"Content Too Large", 17}},
    {414, {"URI Too Long", 12}},
    {415, {"Unsupported Media Type", 22}},
    {416, {"Range Not Satisfiable", 21}},
    {417, {"Expectation Failed", 18}},
    {421, {"Misdirected Request", 19}},
    {422, {"Unprocessable Content", 21}},
    {426, {"Upgrade Required", 16}},
    {429, {"Too Many Requests", 17}},
    {431, {"Request Header Fields Too Large", 31}},
    {500, {"Internal Server Error", 21}},
    {501, {"Not Implemented", 15}},
    {502, {"Bad Gateway", 11}},
    {503, {"Service Unavailable", 19}},
    {504, {"Gateway Timeout", 15}},
    {505, {"HTTP Version Not Supported", 26}},
};

struct str http_phrase(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return STR("");
}

bool http_field_is_framing(struct str name)
{
    switch (name.n) {
    case 7: return str_eqz(name, "upgrade");
    case 10: return str_eqz(name, "connection") || str_eqz(name, "keep-alive");
    case 14: return str_eqz(name, "content-length");
    case 16: return str_eqz(name, "proxy-connection");
    case 17: return str_eqz(name, "transfer-encoding");
    default: return false;
    }
}

struct str http_safe_value(struct arena *a, struct str value)
{
    size_t bad = 0;
    for (size_t i = 0; i < value.n; i++)
        bad += value.p[i] == '\r' || value.p[i] == '\n' || value.p[i] == 0;
    if (!bad)
        return value;
    char *copy = arena_raw(a, value.n + 1);
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        copy[i] = c == '\r' || c == '\n' || c == 0 ? ' ' : c;
    }
    return str_n(copy, value.n);
}
