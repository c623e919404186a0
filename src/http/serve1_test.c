/* SPDX-License-Identifier: Apache-2.0 */
/* The server over HTTP/1.1, plain TCP: what clients do, and what attackers do. */
#include "http/test_server.h"

#include <sys/socket.h>

static struct peer p;

static void connect_peer(struct peer *peer)
{
    peer_connect(peer, ts.l, http_server_address(ts.s), NULL);
}

static void start_with(const struct http_limits *limits)
{
    server_start(limits, NULL, "tcp:127.0.0.1:0");
    connect_peer(&p);
}

static void stop(void)
{
    peer_close(ts.l, &p);
    server_stop(0);
}

static size_t count(struct str in, const char *what)
{
    size_t n = 0;
    ptrdiff_t at;
    while ((at = str_find(in, str_z(what))) >= 0) {
        n++;
        in = str_sub(in, (size_t)at + 1, in.n);
    }
    return n;
}

static bool shows(const char *what)
{
    return str_find(buf_view(&p.got), str_z(what)) >= 0;
}

static void keep_alive_and_framing(void **state)
{
    start_with(NULL);
    peer_send_z(&p, "GET /x?q=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect(ts.l, &p, "\r\n\r\nhello");
    assert_string_equal(ts.last, "GET /x q=1 0");
    assert_true(shows("HTTP/1.1 200 OK\r\ndate: "));
    assert_true(shows(" GMT\r\ncontent-length: 5\r\n"));
    assert_false(shows("connection:"));
    buf_clear(&p.got);
    peer_send_z(&p, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect(ts.l, &p, "204 No Content");
    assert_true(shows("content-length: 5\r\n\r\nHTTP/1.1 204"));
    assert_int_equal(count(buf_view(&p.got), "content-length"), 1);
    assert_false(shows("hello"));
    assert_false(shows("ignored"));
    buf_clear(&p.got);
    peer_send_z(&p, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    peer_expect_end(ts.l, &p);
    assert_true(shows("connection: close\r\n"));
    assert_int_equal(p.error, 0);
    stop();
}

static void http_1_0(void **state)
{
    start_with(NULL);
    peer_send_z(&p, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    peer_expect(ts.l, &p, "connection: keep-alive\r\n");
    peer_send_z(&p, "GET /watch HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect_held(1);
    http_write(ts.held[0], &STR("to the end"), 1);
    http_end(ts.held[0]);
    peer_expect_end(ts.l, &p);
    assert_true(shows("\r\n\r\nto the end"));
    assert_false(shows("chunked"));
    stop();
}

/* Answers come in the order of the requests, whichever is ready first. */
static void pipelining(void **state)
{
    start_with(NULL);
    peer_send_z(&p, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
                    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
                    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "1\r\nt\r\n2\r\nwo\r\n0\r\n\r\n"
                    "GET / HTTP/1.1\r\nHo");
    expect_held(1);
    run_for(ts.l, 10);
    assert_int_equal(ts.requests, 1);
    http_respond(ts.held[0], 200, NULL, STR("zero"));
    peer_expect(ts.l, &p, "two");
    peer_send_z(&p, "st: a\r\n\r\n");
    peer_expect(ts.l, &p, "hello");
    struct str got = buf_view(&p.got);
    assert_true(str_find(got, STR("zero")) < str_find(got, STR("one")));
    assert_true(str_find(got, STR("one")) < str_find(got, STR("two")));
    assert_int_equal(count(got, "HTTP/1.1 200"), 4);
    stop();
}

static void many_pipelined(void **state)
{
    enum { N = 20000 };
    start_with(NULL);
    struct buf b = BUF_INIT(MIB(4));
    for (int i = 0; i < N; i++)
        buf_z(&b, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_send(&p, buf_view(&b));
    buf_fini(&b);
    struct wanted w = {&p, NULL, N * 80};
    assert_true(run_until(ts.l, peer_has_bytes, &w, 5000));
    run_for(ts.l, 50);
    assert_int_equal(ts.requests, N);
    assert_int_equal(count(buf_view(&p.got), "HTTP/1.1 200"), N);
    stop();
}

/* A client that asks and asks but never reads: its requests wait, memory does not grow. */
static void requests_wait_for_a_client_that_does_not_read(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.write_queue_max = 64 * 1024;
    start_with(&limits);
    conn_pause(&p.c, true);
    struct buf b = BUF_INIT(MIB(4));
    for (int i = 0; i < 200; i++)
        buf_z(&b, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_send(&p, buf_view(&b));
    buf_fini(&b);
    run_for(ts.l, 100);
    assert_in_range(ts.requests, 1, 4); /* what the kernel's buffers take, and one more */
    conn_pause(&p.c, false);
    struct wanted w = {&p, NULL, 10 * MIB(3)};
    assert_true(run_until(ts.l, peer_has_bytes, &w, 5000));
    assert_true(ts.requests >= 10);
    stop();
}

static void bodies(void **state)
{
    start_with(NULL);
    peer_send_z(&p, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello");
    run_for(ts.l, 10);
    assert_int_equal(ts.requests, 0);
    peer_send_z(&p, " world");
    peer_expect(ts.l, &p, "\r\n\r\nhello world");
    buf_clear(&p.got);
    peer_send_z(&p, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                    "Expect: 100-continue\r\n\r\n");
    peer_expect(ts.l, &p, "HTTP/1.1 100 Continue\r\n\r\n");
    peer_send_z(&p, "ok");
    peer_expect(ts.l, &p, "\r\n\r\nok");
    /* three megabytes, chunked by the byte count of each read */
    struct buf b = BUF_INIT(MIB(4));
    buf_z(&b, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 3000; i++) {
        buf_z(&b, "3e8\r\n");
        memset(buf_reserve(&b, 1000), 'x', 1000);
        buf_advance(&b, 1000);
        buf_z(&b, "\r\n");
    }
    buf_z(&b, "0\r\n\r\n");
    buf_clear(&p.got);
    peer_send(&p, buf_view(&b));
    buf_fini(&b);
    peer_expect_bytes(ts.l, &p, 3000000);
    assert_string_equal(ts.last, "POST /echo  3000000");
    assert_true(shows("content-length: 3000000\r\n"));
    stop();
}

static void streamed_responses(void **state)
{
    start_with(NULL);
    peer_send_z(&p, "GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    peer_expect(ts.l, &p, "transfer-encoding: chunked\r\n\r\n");
    http_write(ts.held[0], (struct str[]){STR("ab"), STR_NULL, STR("c")}, 3);
    http_write(ts.held[0], &STR(""), 1); /* must not end the body */
    http_write(ts.held[0], &STR("0123456789abcdef"), 1);
    peer_expect(ts.l, &p, "3\r\nabc\r\n10\r\n0123456789abcdef\r\n");
    http_end(ts.held[0]);
    peer_expect(ts.l, &p, "\r\n0\r\n\r\n");
    /* the connection serves on */
    peer_send_z(&p, "HEAD /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(2);
    buf_clear(&p.got);
    http_write(ts.held[1], &STR("unseen"), 1);
    http_end(ts.held[1]);
    peer_send_z(&p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect(ts.l, &p, "hello");
    assert_false(shows("unseen"));
    stop();
}

static void announced_lengths(void **state)
{
    start_with(NULL);
    struct http_headers h = {0};
    http_header_add(&ts.arena, &h, STR("content-length"), STR("6"));
    peer_send_z(&p, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    http_respond_start(ts.held[0], 200, &h);
    http_write(ts.held[0], &STR("abc"), 1);
    http_write(ts.held[0], &STR("def"), 1);
    http_end(ts.held[0]);
    peer_expect(ts.l, &p, "content-length: 6\r\n\r\nabcdef");
    assert_false(shows("chunked"));
    /* fewer bytes than announced: broken off, not complete */
    peer_send_z(&p, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(2);
    http_respond_start(ts.held[1], 200, &h);
    http_write(ts.held[1], &STR("abc"), 1);
    http_end(ts.held[1]);
    peer_expect_end(ts.l, &p);
    peer_close(ts.l, &p);
    /* HEAD may announce what it does not send */
    connect_peer(&p);
    peer_send_z(&p, "HEAD /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(3);
    http_respond(ts.held[2], 200, &h, STR_NULL);
    peer_expect(ts.l, &p, "content-length: 6\r\n\r\n");
    stop();
}

static void reset_breaks_off(void **state)
{
    start_with(NULL);
    peer_send_z(&p, "GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    http_write(ts.held[0], &STR("part"), 1);
    run_for(ts.l, 5);
    http_reset(ts.held[0]);
    peer_expect_end(ts.l, &p);
    assert_false(shows("0\r\n\r\n"));
    assert_int_equal(ts.aborts, 0);
    stop();
}

/* ---- limits ---- */

static void expect_refusal(const char *status)
{
    peer_expect(ts.l, &p, status);
    peer_expect_end(ts.l, &p);
    assert_true(shows("connection: close\r\n"));
    assert_int_equal(p.error, 0); /* the answer is not lost to a reset */
    assert_int_equal(ts.requests, 0);
}

static void refused(const struct http_limits *limits, const char *request, const char *status)
{
    start_with(limits);
    peer_send_z(&p, request);
    expect_refusal(status);
    stop();
}

static void malformed_requests(void **state)
{
    refused(NULL, "GET / HTTP/1.1\n\n", "HTTP/1.1 400 ");
    refused(NULL, "\x16\x03\x01\x02\x05\x01\r\n\r\n", "HTTP/1.1 400 ");
    refused(NULL,
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 400 ");
    refused(NULL, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 400 ");
    refused(NULL, "GET / HTTP/3.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ");
}

static void oversize_heads(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.header_bytes_max = 1000;
    limits.header_count_max = 10;
    char big[1200] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    memset(big + strlen(big), 'x', 1100);
    refused(&limits, big, "HTTP/1.1 431 ");
    char target[1200] = "GET /";
    memset(target + 5, 'x', 1100);
    refused(&limits, target, "HTTP/1.1 414 ");
    char many[400] = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 0; i < 10; i++)
        memcpy(many + strlen(many), "a: b\r\n", 7);
    memcpy(many + strlen(many), "\r\n", 3);
    refused(&limits, many, "HTTP/1.1 431 ");
}

static void oversize_bodies(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.body_bytes_max = 100;
    refused(&limits,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n"
            "Expect: 100-continue\r\n\r\n",
            "HTTP/1.1 413 ");
    char body[300] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    size_t n = strlen(body);
    memcpy(body + n, "ff\r\n", 4);
    memset(body + n + 4, 'x', 200);
    refused(&limits, body, "HTTP/1.1 413 ");
    limits.bodies_bytes_max = 50; /* of all connections */
    body[n] = '4';
    refused(&limits, body, "HTTP/1.1 503 ");
    limits.bodies_bytes_max = 100;
    start_with(&limits);
    peer_send_z(&p, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    memset(body, 'y', 100);
    peer_send(&p, str_n(body, 100));
    peer_expect(ts.l, &p, "content-length: 100\r\n");
    stop();
}

/* A large body that nobody reads, and still the client gets to see why. */
static void refusal_reaches_a_client_that_still_sends(void **state)
{
    start_with(NULL);
    peer_send_z(&p, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n");
    char *piece = calloc(1, MIB(1));
    for (int i = 0; i < 8; i++) {
        peer_send(&p, str_n(piece, MIB(1)));
        run_for(ts.l, 2);
    }
    free(piece);
    expect_refusal("HTTP/1.1 413 ");
    stop();
}

static void slowloris(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.header_timeout_ms = 60;
    limits.idle_timeout_ms = 10000;
    start_with(&limits);
    peer_send_z(&p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect(ts.l, &p, "hello");
    buf_clear(&p.got);
    /* a byte now and then does not extend the time for the head */
    int64_t begin = loop_now_ms(ts.l);
    static const char head[] =
        "GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";
    ts.requests = 0;
    for (size_t i = 0; i < sizeof head - 1 && !p.ended; i++) {
        if (!p.ended)
            peer_send(&p, str_n(head + i, 1));
        run_for(ts.l, 10);
    }
    assert_in_range(loop_now_ms(ts.l) - begin, 50, 400);
    expect_refusal("HTTP/1.1 408 ");
    stop();
    /* one that says nothing at all */
    start_with(&limits);
    peer_expect_end(ts.l, &p);
    assert_int_equal(p.got.n, 0);
    stop();
}

static void slow_body_and_idle(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.body_timeout_ms = 50;
    refused(&limits, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", "HTTP/1.1 408 ");
    limits.idle_timeout_ms = 50;
    start_with(&limits);
    peer_send_z(&p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect(ts.l, &p, "hello");
    buf_clear(&p.got);
    peer_expect_end(ts.l, &p);
    assert_int_equal(p.got.n, 0);
    peer_close(ts.l, &p);
    /* while a handler works or streams, no clock runs */
    connect_peer(&p);
    peer_send_z(&p, "GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    run_for(ts.l, 150);
    assert_false(p.ended);
    stop();
    assert_int_equal(ts.aborts, 1);
}

static void connections_max(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.connections_max = 2;
    start_with(&limits);
    struct peer q, r;
    connect_peer(&q);
    connect_peer(&r);
    peer_expect_end(ts.l, &r);
    peer_close(ts.l, &r);
    peer_send_z(&q, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect(ts.l, &q, "hello");
    peer_close(ts.l, &q);
    run_for(ts.l, 20);
    connect_peer(&q);
    peer_send_z(&q, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect(ts.l, &q, "hello");
    peer_close(ts.l, &q);
    stop();
}

/* ---- clients that leave or do not read ---- */

static void abort_while_streaming(void **state)
{
    start_with(NULL);
    peer_send_z(&p, "GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    http_write(ts.held[0], &STR("event"), 1);
    peer_expect(ts.l, &p, "event");
    peer_close(ts.l, &p);
    expect_aborts(1);
    connect_peer(&p);
    peer_send_z(&p, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(2);
    peer_close(ts.l, &p);
    expect_aborts(2);
    connect_peer(&p);
    stop();
}

/* A handler that did not ask may go on using the exchange. */
static void an_orphaned_exchange_stays_valid(void **state)
{
    start_with(NULL);
    peer_send_z(&p, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    struct linger reset = {.l_onoff = 1};
    setsockopt(stream_fd(p.c.stream), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    peer_close(ts.l, &p);
    run_for(ts.l, 20);
    assert_str(http_request(ts.held[0])->path, "/hold");
    http_respond_start(ts.held[0], 200, NULL);
    http_write(ts.held[0], &STR("into the void"), 1);
    http_on_abort(ts.held[0], count_abort, NULL);
    http_server_close(ts.s, 0, server_closed, NULL);
    assert_true(run_until(ts.l, server_is_closed, NULL, 1000));
    http_end(ts.held[0]); /* frees the server, too */
    assert_int_equal(ts.aborts, 0);
    peer_done();
    loop_free(ts.l);
    arena_fini(&ts.arena);
}

/* A client that ends only its side gets the answer it waits for. */
static void half_close(void **state)
{
    start_with(NULL);
    peer_send_z(&p, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    stream_shutdown(p.c.stream);
    run_for(ts.l, 20);
    http_respond(ts.held[0], 200, NULL, STR("still here"));
    peer_expect(ts.l, &p, "still here");
    peer_expect_end(ts.l, &p);
    stop();
    /* one that asks late is told */
    start_with(NULL);
    peer_send_z(&p, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    stream_shutdown(p.c.stream);
    run_for(ts.l, 20);
    http_on_abort(ts.held[0], count_abort, NULL);
    expect_aborts(1);
    stop();
}

static void back_pressure(void **state)
{
    start_with(NULL);
    conn_pause(&p.c, true);
    peer_send_z(&p, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    run_for(ts.l, 100);
    assert_in_range(ts.flood_sent, 1, FLOOD_BYTES - 1);
    assert_in_range(ts.flood_queued_most, FLOOD_BOUND, FLOOD_BOUND + 200000);
    int drains = ts.drains;
    conn_pause(&p.c, false);
    peer_expect(ts.l, &p, "\r\n0\r\n\r\n");
    assert_true(ts.drains > drains);
    assert_true(p.got.n > FLOOD_BYTES);
    assert_true(ts.flood_queued_most < FLOOD_BOUND + 200000);
    stop();
}

static void a_client_that_reads_nothing_is_cut(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.write_stall_ms = 80;
    start_with(&limits);
    conn_pause(&p.c, true);
    peer_send_z(&p, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_aborts(1);
    assert_true(ts.flood_sent < FLOOD_BYTES);
    stop();
}

static void read_a_little(struct peer *peer, struct str bytes)
{
    peer->got.n += bytes.n;
    conn_pause(&peer->c, true);
}

/* Slow is not stalled. The kernel tells the sender of room only when there is a good deal of it,
 * so progress shows less often than it is made. */
static void a_client_that_reads_slowly_is_not_cut(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.write_stall_ms = 250;
    start_with(&limits);
    p.on_bytes = read_a_little;
    peer_send_z(&p, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 120; i++) {
        run_for(ts.l, 5);
        conn_pause(&p.c, false);
    }
    assert_int_equal(ts.aborts, 0);
    p.got.n = 0;
    stop();
}

static void an_allowed_stall_is_not_cut(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.write_stall_ms = 50;
    start_with(&limits);
    conn_pause(&p.c, true);
    peer_send_z(&p, "GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    http_allow_stall(ts.held[0]);
    char *much = calloc(1, MIB(8));
    assert_true(http_write(ts.held[0], &(struct str){much, MIB(8)}, 1) > 0);
    free(much);
    run_for(ts.l, 250);
    assert_int_equal(ts.aborts, 0);
    stop();
}

/* ---- upgrades ---- */

static struct raw_seen {
    struct http_raw *raw;
    char text[64];
    size_t n;
    int ends, drains;
} seen;

static void raw_data(void *arg, struct str bytes)
{
    assert_true(seen.n + bytes.n < sizeof seen.text);
    memcpy(seen.text + seen.n, bytes.p, bytes.n);
    seen.n += bytes.n;
    seen.text[seen.n] = 0;
}

static void raw_end(void *arg)
{
    seen.ends++;
}

static void raw_drained(void *arg)
{
    seen.drains++;
}

static const struct http_raw_ops raw_ops = {raw_data, raw_end, raw_drained};

static struct http_headers upgrade_headers(void)
{
    struct http_headers h = {0};
    http_header_add(&ts.arena, &h, STR("connection"), STR("Upgrade"));
    http_header_add(&ts.arena, &h, STR("upgrade"), STR("x"));
    return h;
}

static bool raw_has(void *arg)
{
    return strcmp(seen.text, arg) == 0;
}

static bool raw_ended(void *arg)
{
    return seen.ends > 0;
}

static void hijack(void **state)
{
    seen = (struct raw_seen){0};
    start_with(NULL);
    peer_send_z(&p,
                "GET /hold HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nearly");
    expect_held(1);
    struct http_headers h = upgrade_headers();
    seen.raw = http_hijack(ts.held[0], 101, &h, &raw_ops, NULL);
    assert_non_null(seen.raw);
    assert_int_equal(seen.n, 0); /* nothing before it returns */
    char want[64] = "early";
    assert_true(run_until(ts.l, raw_has, want, 1000));
    peer_expect(ts.l, &p, "101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: x\r\n\r\n");
    http_raw_pause(seen.raw, true);
    peer_send_z(&p, " late");
    run_for(ts.l, 20);
    assert_string_equal(seen.text, "early");
    http_raw_pause(seen.raw, false);
    memcpy(want, "early late", 11);
    assert_true(run_until(ts.l, raw_has, want, 1000));
    assert_true(http_raw_write(seen.raw, STR("answer")) > 0);
    peer_expect(ts.l, &p, "\r\n\r\nanswer");
    run_for(ts.l, 5);
    assert_true(seen.drains > 0);
    conn_finish(&p.c);
    assert_true(run_until(ts.l, raw_ended, NULL, 1000));
    http_raw_write(seen.raw, STR("last words"));
    http_raw_close(seen.raw);
    assert_true(run_until(ts.l, peer_is_freed, &p, 2000));
    buf_fini(&p.got);
    connect_peer(&p);
    stop();
    assert_int_equal(seen.ends, 1);
}

/* The server's end is the end of upgraded connections, too. */
static void a_closing_server_ends_raw_connections(void **state)
{
    seen = (struct raw_seen){0};
    start_with(NULL);
    peer_send_z(&p, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    struct http_headers h = upgrade_headers();
    seen.raw = http_hijack(ts.held[0], 101, &h, &raw_ops, NULL);
    run_for(ts.l, 5);
    http_server_close(ts.s, 30, server_closed, NULL);
    assert_true(run_until(ts.l, server_is_closed, NULL, 1000));
    run_for(ts.l, 5);
    assert_int_equal(seen.ends, 1);
    http_raw_close(seen.raw);
    peer_close(ts.l, &p);
    peer_done();
    loop_free(ts.l);
    arena_fini(&ts.arena);
}

/* ---- closing ---- */

static void graceful_close(void **state)
{
    start_with(NULL);
    struct peer idle;
    connect_peer(&idle);
    peer_send_z(&idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect(ts.l, &idle, "hello");
    peer_send_z(&p, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    http_server_close(ts.s, 2000, server_closed, NULL);
    peer_expect_end(ts.l, &idle); /* idle ones at once */
    peer_close(ts.l, &idle);
    assert_false(ts.closed);
    http_respond(ts.held[0], 200, NULL, STR("finished"));
    peer_expect(ts.l, &p, "connection: close\r\n\r\nfinished");
    peer_expect_end(ts.l, &p);
    peer_close(ts.l, &p);
    assert_true(run_until(ts.l, server_is_closed, NULL, 1500));
    peer_done();
    loop_free(ts.l);
    arena_fini(&ts.arena);
}

static void grace_ends(void **state)
{
    start_with(NULL);
    peer_send_z(&p, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    http_server_close(ts.s, 40, server_closed, NULL);
    assert_true(run_until(ts.l, server_is_closed, NULL, 1000));
    assert_int_equal(ts.aborts, 1);
    peer_expect_end(ts.l, &p);
    peer_close(ts.l, &p);
    peer_done();
    loop_free(ts.l);
    arena_fini(&ts.arena);
}

static void unix_sockets(void **state)
{
    char dir[] = "/tmp/http-test-XXXXXX", address[64];
    assert_non_null(mkdtemp(dir));
    snprintf(address, sizeof address, "unix:%s/s", dir);
    server_start(NULL, NULL, address);
    connect_peer(&p);
    peer_send_z(&p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect(ts.l, &p, "hello");
    stop();
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keep_alive_and_framing),
        cmocka_unit_test(http_1_0),
        cmocka_unit_test(pipelining),
        cmocka_unit_test(many_pipelined),
        cmocka_unit_test(requests_wait_for_a_client_that_does_not_read),
        cmocka_unit_test(bodies),
        cmocka_unit_test(streamed_responses),
        cmocka_unit_test(announced_lengths),
        cmocka_unit_test(reset_breaks_off),
        cmocka_unit_test(malformed_requests),
        cmocka_unit_test(oversize_heads),
        cmocka_unit_test(oversize_bodies),
        cmocka_unit_test(refusal_reaches_a_client_that_still_sends),
        cmocka_unit_test(slowloris),
        cmocka_unit_test(slow_body_and_idle),
        cmocka_unit_test(connections_max),
        cmocka_unit_test(abort_while_streaming),
        cmocka_unit_test(an_orphaned_exchange_stays_valid),
        cmocka_unit_test(half_close),
        cmocka_unit_test(back_pressure),
        cmocka_unit_test(a_client_that_reads_nothing_is_cut),
        cmocka_unit_test(a_client_that_reads_slowly_is_not_cut),
        cmocka_unit_test(an_allowed_stall_is_not_cut),
        cmocka_unit_test(hijack),
        cmocka_unit_test(a_closing_server_ends_raw_connections),
        cmocka_unit_test(graceful_close),
        cmocka_unit_test(grace_ends),
        cmocka_unit_test(unix_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
