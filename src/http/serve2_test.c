/* SPDX-License-Identifier: Apache-2.0 */
/* The server over HTTP/2: with nghttp2 as a well-behaved client, and with hand-made frames. */
#include "http/test_server.h"

#include <nghttp2/nghttp2.h>

/* ---- a client ---- */

enum { REPLIES_MAX = 600 };

struct reply {
    int32_t id;
    int status;
    size_t bytes;
    char text[64]; /* the first bytes of the body */
    char length[16];
    bool ended, closed;
    uint32_t code;
    size_t body_left; /* of the request */
};

static struct client {
    struct peer p;
    nghttp2_session *session;
    struct reply replies[REPLIES_MAX];
    size_t n, closed;
    bool goaway, hold_windows;
    uint32_t goaway_code;
    int32_t goaway_last;
    size_t settings_streams;
} cl;

static struct reply *reply_of(int32_t id)
{
    for (size_t i = 0; i < cl.n; i++)
        if (cl.replies[i].id == id)
            return &cl.replies[i];
    return NULL;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct reply *r = reply_of(f->hd.stream_id);
    struct str n = str_n((const char *)name, name_n), v = str_n((const char *)value, value_n);
    int32_t status;
    if (r && str_eqz(n, ":status") && str_to_i32(v, &status))
        r->status = status;
    if (r && str_eqz(n, "content-length"))
        snprintf(r->length, sizeof r->length, "%.*s", STR_ARG(v));
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
                   void *arg)
{
    struct reply *r = reply_of(id);
    size_t keep = r->bytes < sizeof r->text - 1 ? MIN(n, sizeof r->text - 1 - r->bytes) : 0;
    memcpy(r->text + r->bytes, data, keep);
    r->bytes += n;
    if (!cl.hold_windows)
        nghttp2_session_consume(s, id, n);
    return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
    struct reply *r = reply_of(f->hd.stream_id);
    if (r && (f->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        (f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS))
        r->ended = true;
    if (f->hd.type == NGHTTP2_GOAWAY) {
        cl.goaway = true;
        cl.goaway_code = f->goaway.error_code;
        cl.goaway_last = f->goaway.last_stream_id;
    }
    if (f->hd.type == NGHTTP2_SETTINGS && !(f->hd.flags & NGHTTP2_FLAG_ACK))
        cl.settings_streams =
            nghttp2_session_get_remote_settings(s, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return 0;
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *arg)
{
    struct reply *r = reply_of(id);
    if (r && !r->closed) {
        r->closed = true;
        r->code = code;
        cl.closed++;
    }
    return 0;
}

static void client_flush(void)
{
    const uint8_t *p;
    ssize_t n;
    while (!cl.p.ended && (n = nghttp2_session_mem_send(cl.session, &p)) > 0)
        peer_send(&cl.p, str_n((const char *)p, (size_t)n));
}

static void client_bytes(struct peer *p, struct str bytes)
{
    nghttp2_session_mem_recv(cl.session, (const uint8_t *)bytes.p, bytes.n);
    client_flush();
}

static void client_start(const struct http_limits *limits)
{
    server_start(limits, NULL, "tcp:127.0.0.1:0");
    cl = (struct client){0};
    peer_connect(&cl.p, ts.l, http_server_address(ts.s), NULL);
    cl.p.on_bytes = client_bytes;
    nghttp2_session_callbacks *c;
    nghttp2_option *o;
    nghttp2_session_callbacks_new(&c);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
    nghttp2_option_new(&o);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_session_client_new2(&cl.session, c, NULL, o);
    nghttp2_session_callbacks_del(c);
    nghttp2_option_del(o);
    nghttp2_submit_settings(cl.session, 0, NULL, 0);
    client_flush();
}

static void client_stop(void)
{
    nghttp2_session_del(cl.session);
    peer_close(ts.l, &cl.p);
    server_stop(0);
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), 0};
}

static ssize_t read_zeros(nghttp2_session *s, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
                          nghttp2_data_source *source, void *arg)
{
    struct reply *r = source->ptr;
    n = MIN(n, r->body_left);
    memset(buf, 'z', n);
    r->body_left -= n;
    if (r->body_left == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static struct reply *ask_with(const char *method, const char *path, size_t body, nghttp2_nv extra)
{
    nghttp2_nv nv[] = {field(":method", method), field(":scheme", "http"), field(":path", path),
                       field(":authority", "test.example"), extra};
    struct reply *r = &cl.replies[cl.n++];
    must(cl.n <= REPLIES_MAX);
    r->body_left = body;
    nghttp2_data_provider data = {.source.ptr = r, .read_callback = read_zeros};
    r->id =
        nghttp2_submit_request(cl.session, NULL, nv, extra.name ? 5 : 4, body ? &data : NULL, NULL);
    must(r->id > 0);
    return r;
}

static struct reply *ask(const char *method, const char *path, size_t body)
{
    struct reply *r = ask_with(method, path, body, (nghttp2_nv){0});
    client_flush();
    return r;
}

static bool all_closed(void *arg)
{
    return cl.closed == cl.n || cl.p.ended;
}

static void expect_all_closed(void)
{
    assert_true(run_until(ts.l, all_closed, NULL, 5000));
    assert_int_equal(cl.closed, cl.n);
}

static bool reply_has_bytes(void *arg)
{
    struct reply *r = arg;
    return r->bytes > 0;
}

static bool got_goaway(void *arg)
{
    return cl.goaway;
}

/* ---- tests ---- */

static void requests_and_responses(void **state)
{
    client_start(NULL);
    struct reply *get = ask("GET", "/x?q=1", 0);
    expect_all_closed();
    assert_string_equal(ts.last, "GET /x q=1 0");
    assert_int_equal(get->status, 200);
    assert_string_equal(get->text, "hello");
    assert_string_equal(get->length, "5");
    struct reply *head = ask("HEAD", "/", 0), *none = ask("GET", "/none", 0);
    struct reply *post = ask("POST", "/echo", 1000000), *empty = ask("POST", "/echo", 0);
    expect_all_closed();
    assert_int_equal(head->bytes, 0);
    assert_string_equal(head->length, "5");
    assert_int_equal(none->status, 204);
    assert_string_equal(none->length, "");
    assert_int_equal(post->bytes, 1000000);
    assert_string_equal(post->length, "1000000");
    assert_int_equal(empty->status, 200);
    assert_string_equal(empty->length, "0");
    assert_int_equal(cl.settings_streams, http_limits_default.streams_max);
    client_stop();
}

static void concurrent_streams(void **state)
{
    client_start(NULL);
    ask("GET", "/watch", 0);
    ask("GET", "/hold", 0);
    expect_held(2);
    for (int i = 0; i < 200; i++)
        ask_with("GET", "/big", 0, (nghttp2_nv){0});
    client_flush();
    http_write(ts.held[0], &STR("event 1"), 1);
    for (size_t i = 0; i < 200; i++) {
        struct reply *r = &cl.replies[2 + i];
        assert_true(run_until(ts.l, reply_has_bytes, r, 5000));
    }
    assert_true(run_until(ts.l, reply_has_bytes, &cl.replies[0], 1000));
    assert_string_equal(cl.replies[0].text, "event 1");
    assert_false(cl.replies[0].ended);
    http_end(ts.held[0]);
    http_respond(ts.held[1], 201, NULL, STR("late"));
    expect_all_closed();
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(cl.replies[2 + i].bytes, MIB(3));
    assert_string_equal(cl.replies[1].text, "late");
    client_stop();
}

static void streams_beyond_the_limit_wait_or_are_refused(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.streams_max = 4;
    client_start(&limits);
    for (int i = 0; i < 6; i++)
        ask("GET", "/wait", 0);
    expect_held(4);
    run_for(ts.l, 20);
    assert_int_equal(ts.n_held, 4); /* the client heeds SETTINGS, or is told REFUSED_STREAM */
    for (size_t i = 0; i < 6; i++)
        if (cl.replies[i].closed)
            assert_int_equal(cl.replies[i].code, NGHTTP2_REFUSED_STREAM);
    client_stop();
    assert_int_equal(ts.aborts, 4);
}

static void back_pressure_by_the_stream_window(void **state)
{
    client_start(NULL);
    cl.hold_windows = true;
    struct reply *r = ask("GET", "/flood", 0);
    run_for(ts.l, 50);
    assert_int_equal(r->bytes, 65535);
    assert_in_range(ts.flood_queued_most, FLOOD_BOUND, FLOOD_BOUND + 100000);
    struct reply *other = ask("GET", "/x", 0); /* waits for the connection's window, too */
    run_for(ts.l, 20);
    assert_int_equal(other->bytes, 0);
    cl.hold_windows = false;
    nghttp2_session_consume(cl.session, r->id, 65535);
    client_flush();
    expect_all_closed();
    assert_true(r->bytes >= FLOOD_BYTES);
    assert_true(r->ended);
    assert_string_equal(other->text, "hello");
    assert_true(ts.drains > 2);
    assert_true(ts.flood_queued_most < FLOOD_BOUND + 100000);
    client_stop();
}

static void a_stalled_stream_is_cut(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.write_stall_ms = 60;
    client_start(&limits);
    cl.hold_windows = true;
    struct reply *r = ask("GET", "/flood", 0);
    expect_all_closed();
    assert_int_equal(r->code, NGHTTP2_CANCEL);
    assert_int_equal(ts.aborts, 1);
    client_stop();
}

static void a_reset_aborts_one_exchange(void **state)
{
    client_start(NULL);
    struct reply *watch = ask("GET", "/watch", 0);
    ask("GET", "/wait", 0);
    expect_held(2);
    nghttp2_submit_rst_stream(cl.session, 0, watch->id, NGHTTP2_CANCEL);
    client_flush();
    expect_aborts(1);
    http_respond(ts.held[1], 200, NULL, STR("fine"));
    expect_all_closed();
    assert_string_equal(cl.replies[1].text, "fine");
    /* the server's own reset */
    struct reply *broken = ask("GET", "/watch", 0);
    expect_held(3);
    http_write(ts.held[2], &STR("part"), 1);
    http_reset(ts.held[2]);
    expect_all_closed();
    assert_int_equal(broken->code, NGHTTP2_INTERNAL_ERROR);
    assert_int_equal(ts.aborts, 1);
    client_stop();
}

static void a_lost_connection_aborts_all(void **state)
{
    client_start(NULL);
    ask("GET", "/watch", 0);
    ask("GET", "/wait", 0);
    ask("GET", "/hold", 0);
    ask("POST", "/echo", 0);
    expect_held(3);
    nghttp2_session_del(cl.session);
    peer_close(ts.l, &cl.p);
    expect_aborts(2);
    http_respond(ts.held[2], 200, NULL, STR("into the void"));
    server_stop(0);
}

static void bodies_have_a_limit(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.body_bytes_max = 100000;
    client_start(&limits);
    struct reply *fits = ask("POST", "/echo", 100000), *large = ask("POST", "/echo", 100001);
    struct reply *huge = ask("POST", "/echo", 50000000);
    expect_all_closed();
    assert_int_equal(fits->bytes, 100000);
    assert_int_equal(large->status, 413);
    assert_int_equal(huge->status, 413);
    assert_int_equal(huge->code, NGHTTP2_NO_ERROR);
    assert_int_equal(ts.requests, 1);
    struct reply *after = ask("GET", "/", 0); /* the connection is fine */
    expect_all_closed();
    assert_int_equal(after->status, 200);
    client_stop();
}

/* Many large bodies at once, none complete: the connection has a bound of its own. */
static void bodies_held_have_a_limit(void **state)
{
    client_start(NULL);
    for (int i = 0; i < 20; i++) {
        struct reply *r = ask("POST", "/echo", MIB(3));
        r->body_left = MIB(2);
    }
    expect_all_closed();
    size_t refused = 0;
    for (int i = 0; i < 20; i++)
        refused += cl.replies[i].status == 503;
    assert_true(refused < 20);
    client_stop();
    struct http_limits limits = http_limits_default;
    limits.bodies_bytes_max = 50000; /* of all connections */
    client_start(&limits);
    struct reply *fits = ask("POST", "/echo", 40000);
    expect_all_closed();
    struct reply *large = ask("POST", "/echo", 60000);
    expect_all_closed();
    struct reply *again = ask("POST", "/echo", 40000); /* what was held has been given back */
    expect_all_closed();
    assert_int_equal(fits->status, 200);
    assert_int_equal(large->status, 503);
    assert_int_equal(again->status, 200);
    client_stop();
}

static void heads_have_a_limit(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.header_bytes_max = 4000;
    limits.header_count_max = 10;
    client_start(&limits);
    char big[5000];
    memset(big, 'v', sizeof big - 1);
    big[sizeof big - 1] = 0;
    struct reply *r = ask_with("GET", "/", 0, field("x-big", big));
    client_flush();
    expect_all_closed();
    assert_int_equal(r->status, 431);
    char path[3000] = "/";
    memset(path + 1, 'p', sizeof path - 2);
    struct reply *fits = ask("GET", path, 0);
    expect_all_closed();
    assert_int_equal(fits->status, 200);
    struct reply *bad = ask("GET", "no-slash", 0), *proxy = ask("GET", "/a#b", 0);
    expect_all_closed();
    assert_true(bad->status == 400 || bad->code == NGHTTP2_PROTOCOL_ERROR);
    assert_true(proxy->status == 400 || proxy->code == NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(ts.requests, 1);
    client_stop();
}

static void slow_bodies_time_out(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.body_timeout_ms = 60;
    limits.idle_timeout_ms = 100;
    client_start(&limits);
    struct reply *r = ask("POST", "/echo", 300000); /* more than the stream's window */
    nghttp2_session_del(cl.session);                /* and then silence */
    cl.p.on_bytes = NULL;
    peer_expect_end(ts.l, &cl.p); /* the stream is reset, then the idle connection closed */
    assert_false(r->ended);
    assert_int_equal(ts.requests, 0);
    peer_close(ts.l, &cl.p);
    server_stop(0);
}

static void idle_connections_are_told_to_go(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.idle_timeout_ms = 50;
    client_start(&limits);
    ask("GET", "/watch", 0);
    expect_held(1);
    run_for(ts.l, 120); /* not idle */
    assert_false(cl.p.ended);
    http_end(ts.held[0]);
    expect_all_closed();
    assert_true(run_until(ts.l, got_goaway, NULL, 1000));
    assert_int_equal(cl.goaway_code, NGHTTP2_NO_ERROR);
    peer_expect_end(ts.l, &cl.p);
    client_stop();
}

static void graceful_close(void **state)
{
    client_start(NULL);
    ask("GET", "/hold", 0);
    expect_held(1);
    http_server_close(ts.s, 3000, server_closed, NULL);
    assert_true(run_until(ts.l, got_goaway, NULL, 1000));
    assert_int_equal(cl.goaway_last, 1);
    assert_false(ts.closed);
    http_respond(ts.held[0], 200, NULL, STR("finished"));
    expect_all_closed();
    assert_string_equal(cl.replies[0].text, "finished");
    peer_expect_end(ts.l, &cl.p);
    nghttp2_session_del(cl.session);
    peer_close(ts.l, &cl.p);
    assert_true(run_until(ts.l, server_is_closed, NULL, 1500));
    peer_done();
    loop_free(ts.l);
    arena_fini(&ts.arena);
}

static void continue_100(void **state)
{
    client_start(NULL);
    struct reply *r = ask_with("POST", "/echo", 10, field("expect", "100-continue"));
    client_flush();
    expect_all_closed();
    assert_int_equal(r->status, 200);
    assert_int_equal(r->bytes, 10);
    client_stop();
}

/* ---- floods, with frames made by hand ---- */

static void put_frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t id, const void *p,
                      size_t n)
{
    unsigned char head[9] = {(unsigned char)(n >> 16),
                             (unsigned char)(n >> 8),
                             (unsigned char)n,
                             type,
                             flags,
                             (unsigned char)(id >> 24),
                             (unsigned char)(id >> 16),
                             (unsigned char)(id >> 8),
                             (unsigned char)id};
    buf_add(b, head, sizeof head);
    buf_add(b, p, n);
}

static void put_preface(struct buf *b)
{
    buf_z(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put_frame(b, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

/* GET /wait */
static const unsigned char get_wait[] = "\x82\x86\x04\x05/wait\x01\x01"
                                        "a";

/* Sends what `put` makes until the server hangs up; the error code of its GOAWAY. */
static uint32_t flood_until_goaway(void (*put)(struct buf *b, uint32_t i), uint32_t n,
                                   size_t batch_bytes)
{
    struct buf b = BUF_INIT(MIB(16));
    server_start(NULL, NULL, "tcp:127.0.0.1:0");
    peer_connect(&cl.p, ts.l, http_server_address(ts.s), NULL);
    put_preface(&b);
    for (uint32_t i = 0; i < n && !cl.p.ended; i++) {
        put(&b, i);
        if (b.n < batch_bytes && i != n - 1)
            continue;
        peer_send(&cl.p, buf_view(&b));
        buf_clear(&b);
        run_for(ts.l, 1);
    }
    buf_fini(&b);
    peer_expect_end(ts.l, &cl.p);
    struct str got = buf_view(&cl.p.got);
    uint32_t code = UINT32_MAX;
    for (size_t at = 0; at + 9 <= got.n;) {
        const unsigned char *f = (const unsigned char *)got.p + at;
        size_t len = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];
        if (f[3] == NGHTTP2_GOAWAY && at + 17 <= got.n)
            code = (uint32_t)f[13] << 24 | (uint32_t)f[14] << 16 | (uint32_t)f[15] << 8 | f[16];
        at += 9 + len;
    }
    peer_close(ts.l, &cl.p);
    server_stop(0);
    return code;
}

static void put_rapid_reset(struct buf *b, uint32_t i)
{
    uint32_t id = i * 2 + 1;
    put_frame(b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id, get_wait,
              sizeof get_wait - 1);
    put_frame(b, NGHTTP2_RST_STREAM, 0, id, "\0\0\0\x08", 4);
}

static void put_ping(struct buf *b, uint32_t i)
{
    put_frame(b, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void put_settings(struct buf *b, uint32_t i)
{
    put_frame(b, NGHTTP2_SETTINGS, 0, 0, "\0\x03\0\0\0\x10", 6);
}

static void put_continuation(struct buf *b, uint32_t i)
{
    if (i == 0)
        put_frame(b, NGHTTP2_HEADERS, 0, 1, get_wait, sizeof get_wait - 1);
    else
        put_frame(b, NGHTTP2_CONTINUATION, 0, 1, "\0\x01x\x01y", 5);
}

static void put_empty_data(struct buf *b, uint32_t i)
{
    if (i == 0)
        put_frame(b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, get_wait, sizeof get_wait - 1);
    else
        put_frame(b, NGHTTP2_DATA, 0, 1, NULL, 0);
}

static void put_garbage(struct buf *b, uint32_t i)
{
    put_frame(b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "\xff\xff\xff\xff\xff\xff\xff", 7);
}

static void floods_end_the_connection(void **state)
{
    assert_int_not_equal(flood_until_goaway(put_rapid_reset, 20000, 16384), UINT32_MAX);
    assert_true(ts.requests < 5000);
    assert_int_equal(flood_until_goaway(put_ping, 100000, 4096), NGHTTP2_ENHANCE_YOUR_CALM);
    flood_until_goaway(put_ping, 100000, 65536); /* more at once than nghttp2 takes */
    assert_int_not_equal(flood_until_goaway(put_settings, 100000, 4096), NGHTTP2_NO_ERROR);
    flood_until_goaway(put_continuation, 10000, 16384);
    assert_int_equal(ts.requests, 0);
    assert_int_equal(flood_until_goaway(put_empty_data, 100000, 16384), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(flood_until_goaway(put_garbage, 1, 1), NGHTTP2_COMPRESSION_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_and_responses),
        cmocka_unit_test(concurrent_streams),
        cmocka_unit_test(streams_beyond_the_limit_wait_or_are_refused),
        cmocka_unit_test(back_pressure_by_the_stream_window),
        cmocka_unit_test(a_stalled_stream_is_cut),
        cmocka_unit_test(a_reset_aborts_one_exchange),
        cmocka_unit_test(a_lost_connection_aborts_all),
        cmocka_unit_test(bodies_have_a_limit),
        cmocka_unit_test(bodies_held_have_a_limit),
        cmocka_unit_test(heads_have_a_limit),
        cmocka_unit_test(slow_bodies_time_out),
        cmocka_unit_test(idle_connections_are_told_to_go),
        cmocka_unit_test(graceful_close),
        cmocka_unit_test(continue_100),
        cmocka_unit_test(floods_end_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
