/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile bytes for the HTTP/1 parser, as a connection with pipelined requests. How the bytes were
 * cut into reads must make no difference to where messages begin and end, or what they say; what is
 * accepted must come out the same when it is written and read again.
 */
#include "fuzz.h"
#include "http/http1.h"

enum { HEAD_MAX = 4096, BODY_MAX = 1 << 16, LINES_MAX = 64 };

/* What was understood: compared between two ways of cutting. */
struct story {
    struct buf text;
    int status; /* with which the connection ended, 0: none */
};

static void check_request(const struct http_request *r, const struct http1_framing *f)
{
    must(r->method.n && http_all(r->method, CHAR_TOKEN));
    must(r->path.n && (r->path.p[0] == '/' || str_eqz(r->path, "*")));
    must(http_all(r->target, CHAR_TARGET) && http_all(r->host, CHAR_HOST));
    bool length = false, coding = false;
    for (size_t i = 0; i < r->headers.n; i++) {
        struct http_header h = r->headers.v[i];
        must(h.name.n && http_all(h.name, CHAR_TOKEN) && http_all(h.value, CHAR_VALUE));
        for (size_t k = 0; k < h.name.n; k++)
            must(!(http_char[(unsigned char)h.name.p[k]] & CHAR_UPPER));
        must(!length || !str_eqz(h.name, "content-length"));
        length |= str_eqz(h.name, "content-length");
        coding |= str_eqz(h.name, "transfer-encoding");
    }
    must(!(length && coding));
    must(coding == (f->kind == HTTP1_BODY_CHUNKED));
}

static void check_same_again(const struct http_request *r, struct arena *a)
{
    struct buf b = BUF_INIT(4 * HEAD_MAX);
    buf_str(&b, r->method);
    buf_c(&b, ' ');
    buf_str(&b, r->target);
    buf_z(&b, " HTTP/1.1\r\n");
    for (size_t i = 0; i < r->headers.n; i++)
        http1_put_field(&b, r->headers.v[i].name, r->headers.v[i].value);
    buf_z(&b, "\r\n");
    struct http1_scan scan = {0};
    struct http_request again = {0};
    struct http1_framing f;
    size_t n;
    must(!b.failed && http1_scan(&scan, buf_view(&b), &n) == 0 && n == b.n);
    int refused = http1_parse_request(a, b.p, n, scan.lines, &again, &f);
    /* An HTTP/1.0 request may lack the Host that HTTP/1.1 needs. */
    must(refused == 0 || !http_header_get(&r->headers, "host").p);
    if (refused == 0) {
        must(str_eq(again.path, r->path) && str_eq(again.query, r->query));
        must(str_eq(again.host, r->host) && again.headers.n == r->headers.n);
    }
    buf_fini(&b);
}

static void tell(struct story *s, const struct http_request *r, const struct http1_framing *f)
{
    buf_fmt(&s->text, "%.*s|%.*s|%.*s|%.*s|%d.%d|", STR_ARG(r->method), STR_ARG(r->path),
            STR_ARG(r->query), STR_ARG(r->host), f->keep_alive, f->minor);
    for (size_t i = 0; i < r->headers.n; i++)
        buf_fmt(&s->text, "%.*s=%.*s;", STR_ARG(r->headers.v[i].name),
                STR_ARG(r->headers.v[i].value));
}

/* A connection as the server has it: bytes not yet used, and where it is. */
struct reader {
    struct buf in;
    struct http1_scan scan;
    bool in_body;
    struct http1_body body;
    size_t body_n;
};

/* False: more bytes are needed, or the connection is over. */
static bool read_head(struct reader *r, struct story *s)
{
    size_t n;
    s->status = http1_scan(&r->scan, buf_view(&r->in), &n);
    if (!s->status && (n ? n : r->in.n) > HEAD_MAX)
        s->status = 431;
    if (!s->status && r->scan.lines > LINES_MAX)
        s->status = 431;
    if (s->status || n == 0)
        return false;
    struct arena a = ARENA_INIT;
    struct http_request request = {0};
    struct http1_framing f;
    char *copy = arena_raw(&a, n);
    memcpy(copy, r->in.p, n);
    s->status = http1_parse_request(&a, copy, n, r->scan.lines, &request, &f);
    if (!s->status) {
        check_request(&request, &f);
        check_same_again(&request, &a);
        tell(s, &request, &f);
        http1_body_init(&r->body, &f, 256);
        r->in_body = true;
        r->body_n = 0;
    }
    arena_fini(&a);
    buf_consume(&r->in, n);
    r->scan = (struct http1_scan){0};
    return s->status == 0;
}

static bool read_body(struct reader *r, struct story *s)
{
    struct str in = buf_view(&r->in), piece;
    s->status = r->body.state == HTTP1_BODY_DONE ? 0 : http1_body_next(&r->body, &in, &piece);
    if (!s->status && r->body.state != HTTP1_BODY_DONE && in.n == r->in.n)
        must(in.n == 0); /* progress, or nothing to work on */
    if (s->status == 0 && r->in.n != in.n) {
        buf_str(&s->text, piece);
        r->body_n += piece.n;
        buf_consume(&r->in, r->in.n - in.n);
        if (r->body_n > BODY_MAX)
            s->status = 413;
    }
    if (r->body.state == HTTP1_BODY_DONE) {
        buf_c(&s->text, '\n');
        r->in_body = false;
        return s->status == 0;
    }
    return s->status == 0 && r->in.n > 0;
}

static void read_all(struct str bytes, size_t step, struct story *s)
{
    struct reader r = {.in = BUF_INIT(MIB(8))};
    for (size_t at = 0; at < bytes.n && !s->status; at += step) {
        buf_str(&r.in, str_sub(bytes, at, at + step));
        while (r.in_body ? read_body(&r, s) : read_head(&r, s)) {
            /* on to the next message */
        }
    }
    buf_fini(&r.in);
}

static void try_response(struct str bytes, bool head_request)
{
    struct http1_scan scan = {0};
    struct arena a = ARENA_INIT;
    struct http_headers h = {0};
    struct http1_framing f;
    size_t n;
    int status = 0;
    if (http1_scan(&scan, bytes, &n) == 0 && n && scan.lines <= LINES_MAX) {
        char *copy = arena_raw(&a, n);
        memcpy(copy, bytes.p, n);
        if (!http1_parse_response(&a, copy, n, scan.lines, head_request, &status, &h, &f))
            must(status >= 100 && status <= 999);
    }
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {data, n};
    uint8_t how = fuzz_byte(&in);
    struct str bytes = fuzz_rest(&in);
    struct story whole = {.text = BUF_INIT(MIB(8))}, cut = {.text = BUF_INIT(MIB(8))};
    read_all(bytes, bytes.n + 1, &whole);
    read_all(bytes, (size_t)(how & 63) + 1, &cut);
    /* Refusals may come at another moment (a limit is looked at between reads), not differently. */
    bool limit = whole.status == 431 || cut.status == 431 || whole.status == 413;
    must(limit ||
         (whole.status == cut.status && str_eq(buf_view(&whole.text), buf_view(&cut.text))));
    try_response(bytes, how & 64);
    buf_fini(&whole.text);
    buf_fini(&cut.text);
    return 0;
}
