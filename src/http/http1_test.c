/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 core: what is let in, what is refused, where bodies end. */
#include "base/test.h"

#include "http/http1.h"

static struct arena arena = ARENA_INIT;

/* Status with which the head is refused; 0: accepted. -1: incomplete. */
static int parse(const char *text, struct http_request *r, struct http1_framing *f)
{
    struct http1_scan scan = {0};
    struct str s = str_z(text);
    size_t n;
    *r = (struct http_request){0};
    int refused = http1_scan(&scan, s, &n);
    if (refused)
        return refused;
    if (n == 0)
        return -1;
    assert_int_equal(n, s.n);
    char *copy = arena_raw(&arena, n);
    memcpy(copy, s.p, n);
    return http1_parse_request(&arena, copy, n, scan.lines, r, f);
}

static void a_usual_request(void **state)
{
    struct http_request r;
    struct http1_framing f;
    assert_int_equal(parse("GET /api/v1/pods?limit=5&x=%20 HTTP/1.1\r\n"
                           "Host: 127.0.0.1:6443\r\n"
                           "User-Agent: kubectl/v1.36 \t\r\n"
                           "X-Empty:\r\n"
                           "Accept:\tapplication/json\r\n\r\n",
                           &r, &f),
                     0);
    assert_str(r.method, "GET");
    assert_str(r.target, "/api/v1/pods?limit=5&x=%20");
    assert_str(r.path, "/api/v1/pods");
    assert_str(r.query, "limit=5&x=%20");
    assert_str(r.host, "127.0.0.1:6443");
    assert_int_equal(r.headers.n, 4);
    assert_str(r.headers.v[1].name, "user-agent");
    assert_str(http_header_get(&r.headers, "user-agent"), "kubectl/v1.36");
    assert_str(http_header_get(&r.headers, "x-empty"), "");
    assert_str(http_header_get(&r.headers, "accept"), "application/json");
    assert_int_equal(f.kind, HTTP1_BODY_NONE);
    assert_true(f.keep_alive);
    assert_false(f.expect_continue);
}

static void targets(void **state)
{
    struct http_request r;
    struct http1_framing f;
    assert_int_equal(parse("GET http://a.example:80/x?y HTTP/1.1\r\nHost: b\r\n\r\n", &r, &f), 0);
    assert_str(r.host, "a.example:80");
    assert_str(r.path, "/x");
    assert_str(r.query, "y");
    assert_int_equal(parse("GET https://a HTTP/1.1\r\nHost: b\r\n\r\n", &r, &f), 0);
    assert_str(r.path, "/");
    assert_int_equal(parse("OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n", &r, &f), 0);
    assert_str(r.path, "*");
    assert_int_equal(parse("GET * HTTP/1.1\r\nHost: b\r\n\r\n", &r, &f), 400);
    assert_int_equal(parse("GET a/b HTTP/1.1\r\nHost: b\r\n\r\n", &r, &f), 400);
    assert_int_equal(parse("GET /a#b HTTP/1.1\r\nHost: b\r\n\r\n", &r, &f), 400);
    assert_int_equal(parse("GET /a\tb HTTP/1.1\r\nHost: b\r\n\r\n", &r, &f), 400);
    assert_int_equal(parse("GET http://u@a/ HTTP/1.1\r\nHost: b\r\n\r\n", &r, &f), 400);
    assert_int_equal(parse("CONNECT a:1 HTTP/1.1\r\nHost: b\r\n\r\n", &r, &f), 501);
    assert_int_equal(parse("GET /\xc3\xa9 HTTP/1.1\r\nHost: b\r\n\r\n", &r, &f), 0);
}

static void framing(void **state)
{
    struct http_request r;
    struct http1_framing f;
    assert_int_equal(parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n", &r, &f), 0);
    assert_int_equal(f.kind, HTTP1_BODY_LENGTH);
    assert_int_equal(f.length, 12);
    assert_int_equal(parse("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n"
                           "Expect: 100-Continue\r\n\r\n",
                           &r, &f),
                     0);
    assert_int_equal(f.kind, HTTP1_BODY_CHUNKED);
    assert_true(f.expect_continue);
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", &r, &f), 0);
    assert_false(f.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n", &r, &f), 0);
    assert_false(f.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &r, &f), 0);
    assert_true(f.keep_alive);
}

static void what_is_refused(void **state)
{
    static const struct {
        int status;
        const char *head;
    } table[] = {
        /* two opinions about where the message ends */
        {400,
         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999999\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
              "Transfer-Encoding: chunked\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \r\n\r\n"},
        {400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 5\r\n\r\n"},
        /* lines */
        {400, "GET / HTTP/1.1\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\n\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n folded: x\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nA\x01: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nA: b\x7f\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\n\xc3\xa9: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
        {400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
        {400, "GET /\r\n\r\n"},
        {400, "G@T / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET / http/1.1\r\nHost: a\r\n\r\n"},
        {505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
        {505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"},
        {417, "GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n"},
        {400, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJK / HTTP/1.1\r\nHost: a\r\n\r\n"},
    };
    struct http_request r;
    struct http1_framing f;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        int status = parse(table[i].head, &r, &f);
        if (status != table[i].status)
            fail_msg("%d, want %d: %s", status, table[i].status, table[i].head);
    }
    struct http1_scan scan = {0};
    size_t n;
    char nul[] = "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_int_equal(http1_scan(&scan, str_n(nul, sizeof nul - 1), &n), 0);
    assert_int_equal(http1_parse_request(&arena, nul, n, scan.lines, &r, &f), 400);
}

static void a_head_in_pieces_is_scanned_once(void **state)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    struct http1_scan scan = {0};
    size_t n = 0, at;
    for (at = 1; at < sizeof head && n == 0; at++) {
        assert_int_equal(http1_scan(&scan, str_n(head, at), &n), 0);
        assert_int_equal(n ? n : at, scan.at);
    }
    assert_int_equal(n, sizeof head - 5);
    assert_int_equal(scan.lines, 3);
}

/* ---- bodies ---- */

/* Decodes text in pieces of `step`; the body goes to ret. *ret_left: bytes behind it. */
static int decode(const char *text, size_t step, enum http1_body_kind kind, uint64_t length,
                  struct buf *ret, size_t *ret_left)
{
    struct http1_framing f = {.kind = kind, .length = length};
    struct http1_body b;
    struct str all = str_z(text);
    http1_body_init(&b, &f, 64);
    buf_clear(ret);
    while (all.n && b.state != HTTP1_BODY_DONE) {
        struct str in = str_sub(all, 0, step), piece;
        all = str_sub(all, in.n, all.n);
        while (in.n && b.state != HTTP1_BODY_DONE) {
            int refused = http1_body_next(&b, &in, &piece);
            if (refused)
                return refused;
            buf_str(ret, piece);
        }
        all = str_n(all.p - in.n, all.n + in.n);
    }
    *ret_left = all.n;
    return b.state == HTTP1_BODY_DONE ? 0 : -1;
}

static void chunked_bodies(void **state)
{
    static const char text[] = "5\r\nhello\r\n"
                               "00001;name=\"v\"\r\n \r\n"
                               "A\r\n0123456789\r\n"
                               "0\r\nTrailer: x\r\n\r\nGET";
    struct buf b = BUF_INIT(1024);
    size_t left;
    for (size_t step = 1; step < sizeof text; step++) {
        assert_int_equal(decode(text, step, HTTP1_BODY_CHUNKED, 0, &b, &left), 0);
        assert_str(buf_view(&b), "hello 0123456789");
        assert_int_equal(left, 3);
    }
    assert_int_equal(decode("hello!", 2, HTTP1_BODY_LENGTH, 5, &b, &left), 0);
    assert_int_equal(left, 1);
    assert_int_equal(decode("hello", 2, HTTP1_BODY_LENGTH, 6, &b, &left), -1);
    assert_int_equal(decode("hello", 2, HTTP1_BODY_TO_END, 0, &b, &left), -1);
    assert_str(buf_view(&b), "hello");
    buf_fini(&b);
}

static void bad_chunks_are_refused(void **state)
{
    static const char *const table[] = {
        "5\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5;a\x01\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "1000000000000000\r\n",
        "g\r\n",
        "0\r\nbad trailer\r\n\r\n",
        "0\r\n a: b\r\n\r\n",
        "0\r\na: b\n\r\n",
    };
    struct buf b = BUF_INIT(1024);
    size_t left;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        for (size_t step = 1; step < 6; step++)
            if (decode(table[i], step, HTTP1_BODY_CHUNKED, 0, &b, &left) != 400)
                fail_msg("accepted: %s", table[i]);
    char many[512] = "0\r\n";
    for (int i = 0; i < 20; i++)
        memcpy(many + 3 + i * 6, "a: b\r\n", 6);
    assert_int_equal(decode(many, 7, HTTP1_BODY_CHUNKED, 0, &b, &left), 431);
    char longest[512] = "1;";
    memset(longest + 2, 'x', sizeof longest - 3);
    assert_int_equal(decode(longest, 100, HTTP1_BODY_CHUNKED, 0, &b, &left), 400);
    buf_fini(&b);
}

/* ---- responses ---- */

static int parse_response(const char *text, bool head_request, int *status, struct http1_framing *f)
{
    struct http1_scan scan = {0};
    struct http_headers h;
    struct str s = arena_cstr(&arena, text);
    size_t n;
    assert_int_equal(http1_scan(&scan, s, &n), 0);
    assert_int_equal(n, s.n);
    return http1_parse_response(&arena, (char *)(uintptr_t)s.p, n, scan.lines, head_request, status,
                                &h, f);
}

static void responses(void **state)
{
    struct http1_framing f;
    int status;
    assert_int_equal(
        parse_response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, &status, &f), 0);
    assert_int_equal(status, 200);
    assert_int_equal(f.kind, HTTP1_BODY_LENGTH);
    assert_true(f.keep_alive);
    assert_int_equal(
        parse_response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, &status, &f), 0);
    assert_int_equal(f.kind, HTTP1_BODY_NONE);
    assert_int_equal(parse_response("HTTP/1.1 204\r\n\r\n", false, &status, &f), 0);
    assert_int_equal(f.kind, HTTP1_BODY_NONE);
    assert_int_equal(parse_response("HTTP/1.1 200 \r\n\r\n", false, &status, &f), 0);
    assert_int_equal(f.kind, HTTP1_BODY_TO_END);
    assert_false(f.keep_alive);
    assert_int_equal(
        parse_response("HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n", false, &status, &f), 0);
    assert_int_equal(f.kind, HTTP1_BODY_NONE);
    assert_int_equal(parse_response("HTTP/1.1 20 x\r\n\r\n", false, &status, &f), 502);
    assert_int_equal(parse_response("HTTP/1.1 099 x\r\n\r\n", false, &status, &f), 502);
    assert_int_equal(parse_response("HTTP/1.1 2000\r\n\r\n", false, &status, &f), 502);
    assert_int_equal(parse_response("ICY 200 OK\r\n\r\n", false, &status, &f), 502);
    assert_int_equal(parse_response("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
                                    "Transfer-Encoding: chunked\r\n\r\n",
                                    false, &status, &f),
                     502);
}

static void output(void **state)
{
    struct buf b = BUF_INIT(1024);
    struct http_headers h = {0};
    http_header_add(&arena, &h, STR("x-a"), STR("1\r\nx-evil: 2"));
    http_header_add(&arena, &h, STR("connection"), STR("keep-alive"));
    http_header_add(&arena, &h, STR("x-empty"), STR_NULL);
    http1_put_status(&b, 404);
    http1_put_fields(&b, &h);
    assert_str(buf_view(&b), "HTTP/1.1 404 Not Found\r\nx-a: 1  x-evil: 2\r\nx-empty: \r\n");
    char room[20];
    assert_str(http1_chunk_line(room, 1), "1\r\n");
    assert_str(http1_chunk_line(room, 0x1000), "1000\r\n");
    assert_str(http1_chunk_line(room, SIZE_MAX), "ffffffffffffffff\r\n");
    buf_fini(&b);
}

/* ---- headers.c ---- */

static void header_lookup(void **state)
{
    struct http_headers h = {0};
    http_header_add(&arena, &h, STR("accept"), STR("a"));
    http_header_add(&arena, &h, STR("connection"), STR("Upgrade ,x"));
    http_header_add(&arena, &h, STR("accept"), STR("b"));
    http_header_add(&arena, &h, STR("connection"), STR("close"));
    assert_str(http_header_get(&h, "accept"), "a");
    assert_null(http_header_get(&h, "host").p);
    assert_true(http_header_has_token(&h, "connection", "upgrade"));
    assert_true(http_header_has_token(&h, "connection", "close"));
    assert_false(http_header_has_token(&h, "connection", "clos"));
    assert_false(http_header_has_token(&h, "accept", "c"));
}

static void url_coding(void **state)
{
    struct str s;
    assert_true(http_url_decode(&arena, STR("a%2Fb%20c+d%c3%A9"), false, &s));
    assert_str(s, "a/b c+d\xc3\xa9");
    assert_true(http_url_decode(&arena, STR("a+b"), true, &s));
    assert_str(s, "a b");
    assert_true(http_url_decode(&arena, STR(""), true, &s));
    assert_str(s, "");
    static const char *const bad[] = {"%", "%2", "%g0", "%0g", "a%"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(http_url_decode(&arena, str_z(bad[i]), false, &s));
    struct buf b = BUF_INIT(100);
    http_url_encode(&b, STR("a/b c~\xc3\xa9"));
    assert_str(buf_view(&b), "a%2Fb%20c~%C3%A9");
    buf_fini(&b);
}

static int group_done(void **state)
{
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_usual_request),
        cmocka_unit_test(targets),
        cmocka_unit_test(framing),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(a_head_in_pieces_is_scanned_once),
        cmocka_unit_test(chunked_bodies),
        cmocka_unit_test(bad_chunks_are_refused),
        cmocka_unit_test(responses),
        cmocka_unit_test(output),
        cmocka_unit_test(header_lookup),
        cmocka_unit_test(url_coding),
    };
    return cmocka_run_group_tests(tests, NULL, group_done);
}
