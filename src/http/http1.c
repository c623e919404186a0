/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http1.h"

enum { BAD_REQUEST = 400, BAD_GATEWAY = 502, NOT_IMPLEMENTED = 501, BAD_VERSION = 505 };

/* ---- where does the head end? ---- */

int http1_scan(struct http1_scan *scan, struct str bytes, size_t *ret_n)
{
    *ret_n = 0;
    while (scan->at < bytes.n) {
        const char *lf = memchr(bytes.p + scan->at, '\n', bytes.n - scan->at);
        if (!lf) {
            scan->at = bytes.n;
            return 0;
        }
        size_t end = (size_t)(lf - bytes.p), line = end - scan->line_at;
        if (line == 0 || lf[-1] != '\r')
            return BAD_REQUEST;
        scan->at = scan->line_at = end + 1;
        scan->lines++;
        if (line == 1) {
            *ret_n = end + 1;
            return 0;
        }
    }
    return 0;
}

/* ---- heads ---- */

/* A head being read: [at, end) is left. Every line in it ends with CRLF (http1_scan). */
struct reader {
    char *at, *end;
};

/* The next line without its CRLF. */
static struct str take_line(struct reader *r)
{
    char *lf = memchr(r->at, '\n', (size_t)(r->end - r->at));
    must(lf && lf > r->at);
    struct str line = str_n(r->at, (size_t)(lf - r->at) - 1);
    r->at = lf + 1;
    return line;
}

static void lower(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (http_char[(unsigned char)p[i]] & CHAR_UPPER)
            p[i] |= 0x20;
}

/* Blanks of RFC 9110 section 5.6.3; a CR inside a value is a fault, so str_trim will not do. */
static struct str trim_blanks(struct str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_n(s.p + 1, s.n - 1);
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* A line that begins with a blank (folding) has no token before its colon, so it fails too. */
static bool parse_field(char *line, size_t n, struct http_header *ret)
{
    size_t colon = 0;
    while (colon < n && (http_char[(unsigned char)line[colon]] & CHAR_TOKEN))
        colon++;
    if (colon == 0 || colon == n || line[colon] != ':')
        return false;
    lower(line, colon);
    ret->name = str_n(line, colon);
    ret->value = trim_blanks(str_n(line + colon + 1, n - colon - 1));
    return http_all(ret->value, CHAR_VALUE);
}

static int parse_fields(struct arena *a, struct reader *r, uint32_t lines, struct http_headers *h)
{
    *h = (struct http_headers){.room = lines};
    h->v = arena_raw(a, lines * sizeof *h->v);
    for (;;) {
        char *at = r->at;
        struct str line = take_line(r);
        if (line.n == 0)
            return r->at == r->end ? 0 : BAD_REQUEST;
        if (!parse_field(at, line.n, &h->v[h->n++]))
            return BAD_REQUEST;
    }
}

/* The two framing fields, and what Connection and Expect say, found in one pass. */
struct framing_fields {
    struct str length, coding, host;
    uint32_t lengths, codings, hosts;
    bool close, keep_alive, expect, expect_continue;
};

static void note_connection(struct framing_fields *f, struct str list)
{
    struct str part;
    while (str_next(&list, ',', &part)) {
        f->close |= str_case_eq(trim_blanks(part), STR("close"));
        f->keep_alive |= str_case_eq(trim_blanks(part), STR("keep-alive"));
    }
}

static void note_field(struct framing_fields *f, const struct http_header *h)
{
    switch (h->name.n) {
    case 4:
        if (str_eqz(h->name, "host")) {
            f->host = h->value;
            f->hosts++;
        }
        break;
    case 6:
        if (str_eqz(h->name, "expect")) {
            f->expect = true;
            f->expect_continue = str_case_eq(h->value, STR("100-continue"));
        }
        break;
    case 10:
        if (str_eqz(h->name, "connection"))
            note_connection(f, h->value);
        break;
    case 14:
        if (str_eqz(h->name, "content-length")) {
            f->length = h->value;
            f->lengths++;
        }
        break;
    case 17:
        if (str_eqz(h->name, "transfer-encoding")) {
            f->coding = h->value;
            f->codings++;
        }
        break;
    default: break;
    }
}

static struct framing_fields framing_fields(const struct http_headers *h)
{
    struct framing_fields f = {0};
    for (size_t i = 0; i < h->n; i++)
        note_field(&f, &h->v[i]);
    return f;
}

/* Plain digits only: str_to_u64 takes no sign and no blanks. 18 digits always fit. */
static bool parse_length(struct str s, uint64_t *ret)
{
    return s.n <= 18 && str_to_u64(s, ret);
}

/* RFC 9112 section 6.3, without the choices it leaves to the lenient. */
static int frame_body(const struct framing_fields *have, struct http1_framing *f)
{
    if (have->codings) {
        if (have->lengths || have->codings > 1 || f->minor == 0)
            return BAD_REQUEST;
        if (!str_case_eq(have->coding, STR("chunked")))
            return NOT_IMPLEMENTED;
        f->kind = HTTP1_BODY_CHUNKED;
    } else if (have->lengths) {
        if (have->lengths > 1 || !parse_length(have->length, &f->length))
            return BAD_REQUEST;
        f->kind = f->length ? HTTP1_BODY_LENGTH : HTTP1_BODY_NONE;
    }
    f->keep_alive = !have->close && (f->minor > 0 || have->keep_alive);
    return 0;
}

static int parse_version(struct str s, uint8_t *ret_minor)
{
    if (s.n != 8 || !str_skip(&s, STR("HTTP/")) || s.p[0] < '0' || s.p[0] > '9' || s.p[1] != '.' ||
        s.p[2] < '0' || s.p[2] > '9')
        return BAD_REQUEST;
    if (s.p[0] != '1' || s.p[2] > '1')
        return BAD_VERSION;
    *ret_minor = (uint8_t)(s.p[2] - '0');
    return 0;
}

static int parse_request_line(struct str line, struct http_request *r, struct http1_framing *f)
{
    struct str rest, version;
    if (!str_cut(line, ' ', &r->method, &rest) || !str_cut(rest, ' ', &r->target, &version))
        return BAD_REQUEST;
    if (!r->method.n || r->method.n > HTTP1_METHOD_MAX || !http_all(r->method, CHAR_TOKEN))
        return BAD_REQUEST;
    int refused = parse_version(version, &f->minor);
    if (refused)
        return refused;
    if (str_eqz(r->method, "CONNECT"))
        return NOT_IMPLEMENTED;
    return http_split_target(r) ? 0 : BAD_REQUEST;
}

/* RFC 9112 section 3.2: exactly one Host; an absolute target overrules its value. */
static int note_host(const struct framing_fields *have, struct http_request *r,
                     const struct http1_framing *f)
{
    if (have->hosts > 1 || (have->hosts == 0 && f->minor > 0))
        return BAD_REQUEST;
    if (!http_all(have->host, CHAR_HOST))
        return BAD_REQUEST;
    if (!r->host.n)
        r->host = have->host;
    return 0;
}

int http1_parse_request(struct arena *a, char *head, size_t n, uint32_t lines,
                        struct http_request *r, struct http1_framing *f)
{
    struct reader in = {head, head + n};
    *f = (struct http1_framing){0};
    int refused = parse_request_line(take_line(&in), r, f);
    if (!refused)
        refused = parse_fields(a, &in, lines, &r->headers);
    if (refused)
        return refused;
    struct framing_fields have = framing_fields(&r->headers);
    refused = note_host(&have, r, f);
    if (!refused)
        refused = frame_body(&have, f);
    if (!refused && have.expect && !have.expect_continue)
        refused = 417;
    f->expect_continue = have.expect_continue && f->minor > 0 && f->kind != HTTP1_BODY_NONE;
    return refused;
}

static bool parse_status_line(struct str line, int *ret_status, struct http1_framing *f)
{
    struct str version, rest;
    if (!str_cut(line, ' ', &version, &rest) || parse_version(version, &f->minor) != 0)
        return false;
    uint64_t status;
    struct str digits = str_sub(rest, 0, 3);
    if (!str_to_u64(digits, &status) || status < 100 || (rest.n > 3 && rest.p[3] != ' '))
        return false;
    *ret_status = (int)status;
    return http_all(rest, CHAR_VALUE);
}

int http1_parse_response(struct arena *a, char *head, size_t n, uint32_t lines, bool head_request,
                         int *ret_status, struct http_headers *headers, struct http1_framing *f)
{
    struct reader in = {head, head + n};
    *f = (struct http1_framing){0};
    if (!parse_status_line(take_line(&in), ret_status, f) || parse_fields(a, &in, lines, headers))
        return BAD_GATEWAY;
    struct framing_fields have = framing_fields(headers);
    if (frame_body(&have, f))
        return BAD_GATEWAY;
    if (head_request || *ret_status < 200 || *ret_status == 204 || *ret_status == 304) {
        f->kind = HTTP1_BODY_NONE;
    } else if (f->kind == HTTP1_BODY_NONE && !have.lengths) {
        f->kind = HTTP1_BODY_TO_END;
        f->keep_alive = false;
    }
    return 0;
}

/* ---- bodies ---- */

void http1_body_init(struct http1_body *b, const struct http1_framing *f, size_t trailer_bytes_max)
{
    static const enum http1_body_state first[] = {
        [HTTP1_BODY_NONE] = HTTP1_BODY_DONE,
        [HTTP1_BODY_LENGTH] = HTTP1_BODY_DATA,
        [HTTP1_BODY_CHUNKED] = HTTP1_BODY_CHUNK_LINE,
        [HTTP1_BODY_TO_END] = HTTP1_BODY_DATA,
    };
    b->kind = f->kind;
    b->state = first[f->kind];
    b->left = f->kind == HTTP1_BODY_TO_END ? UINT64_MAX : f->length;
    b->trailer_bytes = 0;
    b->trailer_bytes_max = trailer_bytes_max;
    b->line_n = 0;
}

static void take_data(struct http1_body *b, struct str *in, struct str *ret)
{
    size_t n = (size_t)MIN((uint64_t)in->n, b->left);
    *ret = str_sub(*in, 0, n);
    *in = str_sub(*in, n, in->n);
    if (b->kind == HTTP1_BODY_TO_END)
        return;
    b->left -= n;
    if (b->left == 0)
        b->state = b->kind == HTTP1_BODY_CHUNKED ? HTTP1_BODY_CHUNK_END : HTTP1_BODY_DONE;
}

/* Gathers a line in b->line. *ret_whole: it is complete (without CRLF in *ret). */
static int gather_line(struct http1_body *b, struct str *in, bool *ret_whole, struct str *ret)
{
    *ret_whole = false;
    while (in->n && !*ret_whole) {
        char c = in->p[0];
        *in = str_n(in->p + 1, in->n - 1);
        if (b->line_n == sizeof b->line)
            return BAD_REQUEST;
        b->line[b->line_n++] = c;
        *ret_whole = c == '\n';
    }
    if (!*ret_whole)
        return 0;
    if (b->line_n < 2 || b->line[b->line_n - 2] != '\r')
        return BAD_REQUEST;
    *ret = str_n(b->line, b->line_n - 2);
    b->line_n = 0;
    return 0;
}

/* Hexadecimal digits, then nothing or extensions after ";" (which are ignored). */
static int parse_chunk_size(struct str line, uint64_t *ret)
{
    struct str digits, extensions;
    bool extended = str_cut(line, ';', &digits, &extensions);
    if (!digits.n || digits.n > 15 || (extended && !http_all(extensions, CHAR_VALUE)))
        return BAD_REQUEST;
    *ret = 0;
    for (size_t i = 0; i < digits.n; i++) {
        char c = digits.p[i], folded = c | 0x20;
        bool letter = folded >= 'a' && folded <= 'f';
        if (!letter && (c < '0' || c > '9'))
            return BAD_REQUEST;
        *ret = *ret << 4 | (uint64_t)(letter ? folded - 'a' + 10 : c - '0');
    }
    return 0;
}

static int take_chunk_line(struct http1_body *b, struct str *in)
{
    bool whole;
    struct str line;
    int refused = gather_line(b, in, &whole, &line);
    if (refused || !whole)
        return refused;
    refused = parse_chunk_size(line, &b->left);
    b->state = b->left ? HTTP1_BODY_DATA : HTTP1_BODY_TRAILER;
    return refused;
}

static int take_chunk_end(struct http1_body *b, struct str *in)
{
    bool whole;
    struct str line;
    if (b->line_n == 0 && in->p[0] != '\r')
        return BAD_REQUEST;
    int refused = gather_line(b, in, &whole, &line);
    if (refused || !whole)
        return refused;
    b->state = HTTP1_BODY_CHUNK_LINE;
    return line.n ? BAD_REQUEST : 0;
}

static int take_trailer(struct http1_body *b, struct str *in)
{
    bool whole;
    struct str line;
    struct http_header ignored;
    size_t before = in->n;
    int refused = gather_line(b, in, &whole, &line);
    b->trailer_bytes += before - in->n;
    if (b->trailer_bytes > b->trailer_bytes_max)
        return 431;
    if (refused || !whole)
        return refused;
    if (line.n == 0)
        b->state = HTTP1_BODY_DONE;
    else if (!parse_field(b->line, line.n, &ignored))
        return BAD_REQUEST;
    return 0;
}

int http1_body_next(struct http1_body *b, struct str *in, struct str *ret)
{
    *ret = STR_NULL;
    if (in->n == 0)
        return 0;
    switch (b->state) {
    case HTTP1_BODY_DONE: return 0;
    case HTTP1_BODY_DATA: take_data(b, in, ret); return 0;
    case HTTP1_BODY_CHUNK_LINE: return take_chunk_line(b, in);
    case HTTP1_BODY_CHUNK_END: return take_chunk_end(b, in);
    case HTTP1_BODY_TRAILER: return take_trailer(b, in);
    }
    never("no such body state");
}

/* ---- output ---- */

void http1_put_status(struct buf *b, int status)
{
    if (status == 200) {
        buf_str(b, STR("HTTP/1.1 200 OK\r\n"));
        return;
    }
    buf_str(b, STR("HTTP/1.1 "));
    buf_i64(b, status);
    buf_c(b, ' ');
    buf_str(b, http_phrase(status));
    buf_str(b, STR("\r\n"));
}

void http1_put_field(struct buf *b, struct str name, struct str value)
{
    char *to = buf_reserve(b, name.n + value.n + 4);
    if (!to)
        return;
    char *at = mempcpy(to, name.p, name.n);
    at = mempcpy(at, ": ", 2);
    if (value.n)
        at = mempcpy(at, value.p, value.n);
    /* A value must not end its line early, whatever it was made from. */
    for (char *c = at - value.n; c < at; c++)
        if (*c == '\r' || *c == '\n' || *c == 0)
            *c = ' ';
    mempcpy(at, "\r\n", 2);
    buf_advance(b, name.n + value.n + 4);
}

void http1_put_fields(struct buf *b, const struct http_headers *h)
{
    for (size_t i = 0; h && i < h->n; i++)
        if (!http_field_is_framing(h->v[i].name))
            http1_put_field(b, h->v[i].name, h->v[i].value);
}

struct str http1_chunk_line(char room[20], size_t n)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 20;
    room[--at] = '\n';
    room[--at] = '\r';
    for (; n; n >>= 4)
        room[--at] = digits[n & 15];
    return str_n(room + at, 20 - at);
}
