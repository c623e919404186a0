/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "http/spdy.h"

/* One end and the diary of its callbacks: "open 1 streamtype=error;data 1 xyz;fin 1;gone 1 0;" */
struct end {
    struct spdy c;
    struct buf diary;
    bool refuse, quiet;
    bool echo;        /* writes back and half-closes what it gets */
    struct str greet; /* written from inside `open` */
    size_t received;
};

static void note(struct end *e, const char *what, uint32_t id)
{
    if (!e->quiet)
        buf_fmt(&e->diary, "%s %u", what, id);
}

static int on_open(void *arg, struct spdy_stream *s, const struct http_headers *h)
{
    struct end *e = arg;
    note(e, "open", s->id);
    for (size_t i = 0; i < h->n && !e->quiet; i++)
        buf_fmt(&e->diary, " %.*s=%.*s", STR_ARG(h->v[i].name), STR_ARG(h->v[i].value));
    buf_c(&e->diary, ';');
    if (e->greet.n)
        spdy_write(&e->c, s, e->greet);
    return e->refuse ? -1 : 0;
}

static void on_reply(void *arg, struct spdy_stream *s, const struct http_headers *h)
{
    note(arg, "reply", s->id);
    buf_c(&((struct end *)arg)->diary, ';');
}

static void on_data(void *arg, struct spdy_stream *s, struct str bytes)
{
    struct end *e = arg;
    e->received += bytes.n;
    if (!e->quiet) {
        buf_fmt(&e->diary, "data %u ", s->id);
        buf_str(&e->diary, bytes);
        buf_c(&e->diary, ';');
    }
    if (e->echo)
        spdy_write(&e->c, s, bytes);
}

static void on_fin(void *arg, struct spdy_stream *s)
{
    struct end *e = arg;
    note(e, "fin", s->id);
    buf_c(&e->diary, ';');
    if (e->echo)
        spdy_fin(&e->c, s);
}

static void on_gone(void *arg, struct spdy_stream *s, enum spdy_status status)
{
    struct end *e = arg;
    buf_fmt(&e->diary, "gone %u %d;", s->id, (int)status);
}

static void on_drained(void *arg, struct spdy_stream *s)
{
    note(arg, "drained", s->id);
    buf_c(&((struct end *)arg)->diary, ';');
}

static void on_goaway(void *arg, uint32_t last, uint32_t status)
{
    buf_fmt(&((struct end *)arg)->diary, "goaway %u %u;", last, status);
}

static void on_pong(void *arg, uint32_t id)
{
    buf_fmt(&((struct end *)arg)->diary, "pong %u;", id);
}

static const struct spdy_ops ops = {on_open, on_reply,   on_data,   on_fin,
                                    on_gone, on_drained, on_goaway, on_pong};

static void end_init(struct end *e, enum spdy_role role)
{
    *e = (struct end){.diary = BUF_INIT(MIB(64))};
    spdy_init(&e->c, role, &ops, e);
}

static void end_fini(struct end *e)
{
    spdy_fini(&e->c);
    buf_fini(&e->diary);
}

static void assert_diary(struct end *e, const char *want)
{
    assert_str(buf_view(&e->diary), want);
    buf_clear(&e->diary);
}

/* Carries what waits from one to the other in steps of `step` bytes. */
static int carry(struct end *from, struct end *to, size_t step)
{
    int r = 0;
    struct buf moved = from->c.out;
    buf_init(&from->c.out, SPDY_OUT_MAX);
    for (size_t at = 0; at < moved.n && r == 0; at += step)
        r = spdy_feed(&to->c, str_sub(buf_view(&moved), at, at + step));
    buf_fini(&moved);
    return r;
}

static void pump(struct end *a, struct end *b, size_t step)
{
    while (a->c.out.n || b->c.out.n) {
        assert_int_equal(carry(a, b, step), 0);
        assert_int_equal(carry(b, a, step), 0);
    }
}

static struct http_headers *one_header(const char *name, const char *value)
{
    static struct http_header v[1];
    static struct http_headers h;
    v[0] = (struct http_header){str_z(name), str_z(value)};
    h = (struct http_headers){v, 1, 1};
    return &h;
}

/* SYN_STREAM 1 {streamtype: error}, as CPython's zlib at level 9 packs it with SPDY's dictionary.
 */
#define SYN_1                                                                                      \
    "\x80\x03\x00\x01\x00\x00\x00\x28\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x78\xf9"             \
    "\xe3\xc6\xa7\xc2\x02\xa6\x23\x46\x70\x3a\x2b\x29\x4a\x4d\xcc\x85\x16\x25\xac\xa9"             \
    "\xa0\x80\x06\x00\x00\x00\xff\xff"
/* Then SYN_STREAM 3 {port: 80, requestid: 0, streamtype: data}. */
#define SYN_3                                                                                      \
    "\x80\x03\x00\x01\x00\x00\x00\x2d\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x02\xa5"             \
    "\x47\x48\xd1\x5c\x04\x4a\xc6\x4c\x16\x06\x40\x92\xb3\x08\x12\x91\x99\xa0\x04\xce"             \
    "\x68\x80\xa1\x15\x54\x0a\x25\x02\x00\x00\x00\xff\xff"
#define SETTINGS_FRAME "\x80\x03\0\4\0\0\0\x0c\0\0\0\1\0\0\0\7\0\1\0\0"

static void streams_of_another_implementation(void **state)
{
    static const char in[] = SYN_1 SYN_3 "\0\0\0\3\0\0\0\2hi"
                                         "\0\0\0\1\1\0\0\0"
                                         "\x80\3\0\6\0\0\0\4\0\0\0\1"
                                         "\x80\3\0\3\0\0\0\x08\0\0\0\3\0\0\0\5";
    for (size_t step = 1; step < sizeof in; step += 17) {
        struct end e;
        end_init(&e, SPDY_SERVER);
        for (size_t at = 0; at < sizeof in - 1; at += step)
            assert_int_equal(spdy_feed(&e.c, str_sub(str_n(in, sizeof in - 1), at, at + step)), 0);
        if (step >= 17)
            assert_diary(&e, "open 1 streamtype=error;open 3 port=80 requestid=0 streamtype=data;"
                             "data 3 hi;fin 1;gone 3 5;");
        /* Settings, two replies with the empty block, and the ping's echo. */
        struct str out = buf_view(&e.c.out);
        assert_true(str_skip(&out, STR(SETTINGS_FRAME)));
        assert_true(str_skip(&out, STR("\x80\3\0\2\0\0\0")));
        assert_true(str_has_suffix(out, STR("\x80\3\0\6\0\0\0\4\0\0\0\1")));
        end_fini(&e);
    }
}

static void streams_end(void **state)
{
    struct end server, client;
    end_init(&server, SPDY_SERVER);
    end_init(&client, SPDY_CLIENT);
    struct spdy_stream *s = spdy_open(&client.c, one_header("streamtype", "stdin"), NULL);
    assert_int_equal(s->id, 1);
    /* Held back until the reply; then the window is free. */
    assert_int_equal(spdy_write(&client.c, s, STR("abc")), 3);
    pump(&client, &server, 1000);
    assert_diary(&server, "open 1 streamtype=stdin;data 1 abc;");
    assert_diary(&client, "reply 1;drained 1;");
    assert_int_equal(spdy_write(&client.c, s, STR("def")), 0);
    spdy_fin(&client.c, s);
    assert_int_equal(spdy_write(&client.c, s, STR("late")), 0);
    pump(&client, &server, 1000);
    assert_diary(&server, "data 1 def;fin 1;");
    struct spdy_stream *at_server = map_get(&server.c.by_id, str_n((const char *)&s->id, 4));
    spdy_write(&server.c, at_server, STR("out"));
    spdy_fin(&server.c, at_server);
    assert_diary(&server, "gone 1 0;");
    pump(&client, &server, 1);
    assert_diary(&client, "data 1 o;data 1 u;data 1 t;fin 1;gone 1 0;");
    assert_int_equal(client.c.stream_count + server.c.stream_count, 0);

    /* FIN before the reply, reset, refusal. */
    s = spdy_open(&client.c, one_header("a", "b"), NULL);
    spdy_fin(&client.c, s);
    pump(&client, &server, 1000);
    assert_diary(&server, "open 3 a=b;fin 3;");
    spdy_reset(&client.c, s, SPDY_CANCEL);
    pump(&client, &server, 1000);
    assert_diary(&client, "reply 3;gone 3 5;");
    assert_diary(&server, "gone 3 5;");
    server.refuse = true;
    spdy_open(&client.c, one_header("a", "b"), NULL);
    pump(&client, &server, 1000);
    assert_diary(&server, "open 5 a=b;");
    assert_diary(&client, "gone 5 3;");

    /* The server may greet from inside `open`, and open streams itself. */
    server.refuse = false;
    server.greet = STR("hello");
    spdy_open(&client.c, one_header("a", ""), NULL);
    pump(&client, &server, 1000);
    assert_diary(&client, "reply 7;data 7 hello;");
    spdy_open(&server.c, one_header("x", "y"), NULL);
    pump(&client, &server, 1000);
    assert_diary(&client, "open 2 x=y;");
    assert_int_equal(spdy_ping(&client.c), 1);
    assert_int_equal(spdy_ping(&server.c), 2);
    buf_clear(&server.diary);
    pump(&client, &server, 1000);
    assert_diary(&client, "pong 1;");
    assert_diary(&server, "pong 2;");

    spdy_goaway(&server.c, 0);
    pump(&client, &server, 1000);
    assert_diary(&client, "goaway 7 0;");
    assert_null(spdy_open(&client.c, one_header("a", "b"), NULL));
    end_fini(&server);
    spdy_fini(&client.c);
    assert_diary(&client, "gone 7 5;gone 2 5;");
    buf_fini(&client.diary);
}

/* Both keep windows: never more than 64 KiB under way, and all of it arrives. */
static void windows_hold_back(void **state)
{
    struct end server, client;
    end_init(&server, SPDY_SERVER);
    end_init(&client, SPDY_CLIENT);
    server.quiet = client.quiet = true;
    struct spdy_stream *s = spdy_open(&client.c, one_header("a", "b"), NULL);
    pump(&client, &server, 1000);
    char block[100000];
    memset(block, 'x', sizeof block);
    assert_int_equal(spdy_write(&client.c, s, str_n(block, sizeof block)),
                     sizeof block - SPDY_WINDOW);
    assert_int_equal(client.c.out.n, SPDY_WINDOW + 2 * 8);
    size_t total = sizeof block;
    for (int i = 0; i < 20; i++, total += sizeof block)
        spdy_write(&client.c, s, str_n(block, sizeof block));
    spdy_fin(&client.c, s);
    pump(&client, &server, 4096);
    assert_int_equal(server.received, total);
    assert_int_equal(client.c.stream_count, 1); /* the server's side is still open */
    end_fini(&server);
    end_fini(&client);
}

/* spdystream sends no SETTINGS and no WINDOW_UPDATE; nothing may wait for them. */
static void peer_without_windows(void **state)
{
    struct end e;
    end_init(&e, SPDY_SERVER);
    e.quiet = true;
    e.echo = true;
    assert_int_equal(spdy_feed(&e.c, STR(SYN_1)), 0);
    char frame[8 + 50000] = "\0\0\0\1\0\0\xc3\x50";
    for (int i = 0; i < 40; i++) {
        assert_int_equal(spdy_feed(&e.c, str_n(frame, sizeof frame)), 0);
        assert_true(e.c.out.n > 50000);
        buf_clear(&e.c.out);
    }
    assert_int_equal(e.received, 40 * 50000);
    end_fini(&e);
}

static void initial_window_changes(void **state)
{
    struct end e;
    end_init(&e, SPDY_SERVER);
    /* INITIAL_WINDOW_SIZE 4 */
    assert_int_equal(spdy_feed(&e.c, STR("\x80\3\0\4\0\0\0\x0c\0\0\0\1\0\0\0\7\0\0\0\4" SYN_1)), 0);
    struct spdy_stream *s = list_entry(list_first(&e.c.streams), struct spdy_stream, link);
    buf_clear(&e.c.out);
    assert_int_equal(spdy_write(&e.c, s, STR("0123456789")), 6);
    assert_true(str_eq(buf_view(&e.c.out), STR("\0\0\0\1\0\0\0\4"
                                               "0123")));
    spdy_fin(&e.c, s);
    buf_clear(&e.c.out);
    /* One more by the initial window, one by the stream's own, then the rest with its FIN. */
    assert_int_equal(spdy_feed(&e.c, STR("\x80\3\0\4\0\0\0\x0c\0\0\0\1\0\0\0\7\0\0\0\5")), 0);
    assert_int_equal(spdy_feed(&e.c, STR("\x80\3\0\x09\0\0\0\x08\0\0\0\1\0\0\0\1")), 0);
    assert_int_equal(spdy_feed(&e.c, STR("\x80\3\0\x09\0\0\0\x08\0\0\0\1\0\0\1\0")), 0);
    assert_true(str_eq(buf_view(&e.c.out), STR("\0\0\0\1\0\0\0\1"
                                               "4"
                                               "\0\0\0\1\0\0\0\1"
                                               "5"
                                               "\0\0\0\1\1\0\0\4"
                                               "6789")));
    /* The window of a stream overflows: that stream ends. */
    buf_clear(&e.diary);
    assert_int_equal(spdy_feed(&e.c, STR("\x80\3\0\x09\0\0\0\x08\0\0\0\1\x7f\xff\xff\xff")), 0);
    assert_diary(&e, "gone 1 7;");
    assert_int_equal(spdy_feed(&e.c, STR("\x80\3\0\x09\0\0\0\x08\0\0\0\0\x7f\xff\xff\xff")),
                     -ERR_BAD_REQUEST);
    end_fini(&e);
}

static void fails(enum spdy_role role, struct str in, int want)
{
    struct end e;
    end_init(&e, role);
    assert_int_equal(spdy_feed(&e.c, in), want);
    assert_int_equal(spdy_feed(&e.c, STR(SETTINGS_FRAME)), want);
    assert_true(str_has_suffix(buf_view(&e.c.out), STR("\0\0\0\1"))); /* GOAWAY, protocol error */
    assert_true(e.c.goaway_sent);
    end_fini(&e);
}

static void violations(void **state)
{
    const int bad = -ERR_BAD_REQUEST;
    fails(SPDY_SERVER, STR("\x80\2\0\6\0\0\0\4\0\0\0\1"), bad);                /* SPDY/2 */
    fails(SPDY_SERVER, STR("\x80\3\0\1\0\1\0\1"), -ERR_LIMIT);                 /* 64 KiB + 1 */
    fails(SPDY_SERVER, STR("\x80\3\0\1\0\0\0\0"), bad);                        /* no ids */
    fails(SPDY_SERVER, STR("\x80\3\0\1\0\0\0\x0b\0\0\0\1\0\0\0\0\0\0x"), bad); /* not zlib */
    fails(SPDY_CLIENT, STR(SYN_1), bad);       /* odd id from a server */
    fails(SPDY_SERVER, STR(SYN_1 SYN_1), bad); /* the id again (and the block is nonsense) */
    fails(SPDY_SERVER, STR(SYN_3), bad);       /* the stream's first block is missing */
    fails(SPDY_SERVER, STR("\x80\3\0\3\0\0\0\x08\0\0\0\1\0\0\0\0"), bad); /* reset with 0 */
    fails(SPDY_SERVER, STR("\x80\3\0\3\0\0\0\4\0\0\0\1"), bad);
    fails(SPDY_SERVER, STR("\x80\3\0\4\0\0\0\x0c\0\0\0\2\0\0\0\7\0\1\0\0"), bad);
    fails(SPDY_SERVER, STR("\x80\3\0\4\0\0\0\x0c\0\0\0\1\0\0\0\7\xff\1\0\0"), bad);
    fails(SPDY_SERVER, STR("\x80\3\0\6\0\0\0\0"), bad);
    fails(SPDY_SERVER, STR("\x80\3\0\7\0\0\0\4\0\0\0\0"), bad);
    fails(SPDY_SERVER, STR("\x80\3\0\x09\0\0\0\4\0\0\0\0"), bad);
    fails(SPDY_SERVER, STR("\0\0\0\0\0\0\0\0"), bad); /* data on stream 0 */
    /* Harmless: unknown frames, data of unknown streams, data after FIN. */
    struct end e;
    end_init(&e, SPDY_SERVER);
    assert_int_equal(spdy_feed(&e.c, STR("\x80\3\0\x0b\0\0\0\2xx"
                                         "\0\0\0\x09\0\0\0\1x" SYN_1 "\0\0\0\1\1\0\0\0"
                                         "\0\0\0\1\1\0\0\1x")),
                     0);
    assert_diary(&e, "open 1 streamtype=error;fin 1;");
    end_fini(&e);
}

static void streams_are_bounded(void **state)
{
    struct end server, client;
    end_init(&server, SPDY_SERVER);
    end_init(&client, SPDY_CLIENT);
    server.quiet = client.quiet = true;
    for (int i = 0; i < SPDY_STREAMS_MAX; i++)
        assert_non_null(spdy_open(&client.c, one_header("a", "b"), NULL));
    assert_null(spdy_open(&client.c, one_header("a", "b"), NULL));
    pump(&client, &server, 1000);
    buf_clear(&client.diary);
    /* The server opened one of its own, so the next of the client's is one too many. */
    client.c.stream_count--;
    struct spdy_stream *extra = spdy_open(&client.c, one_header("a", "b"), NULL);
    client.c.stream_count++;
    assert_non_null(extra);
    pump(&client, &server, 1000);
    assert_diary(&client, "gone 2049 3;");
    end_fini(&server);
    end_fini(&client);
}

static void header_blocks(void **state)
{
    struct spdy_block out = {0}, in = {0};
    struct arena a = ARENA_INIT;
    CLEANUP(buf_fini) struct buf packed = BUF_INIT(MIB(1));
    struct http_header v[] = {{STR("n"), STR("1")}, {STR("m"), STR("x")}, {STR("n"), STR("2")}};
    struct http_headers h = {v, 3, 3}, got;
    for (int i = 0; i < 3; i++) {
        buf_clear(&packed);
        assert_int_equal(spdy_deflate(&out, &h, &packed), 0);
        assert_int_equal(spdy_inflate(&in, buf_view(&packed), &a, &got), 0);
        assert_int_equal(got.n, 3);
        assert_str(got.v[0].value, "1");
        assert_str(got.v[1].name, "n");
        assert_str(got.v[1].value, "2");
        assert_str(got.v[2].name, "m");
    }
    /* Too big to send: the stream stays usable. */
    char big[SPDY_BLOCK_MAX];
    memset(big, 'b', sizeof big);
    v[1].value = str_n(big, sizeof big);
    assert_int_equal(spdy_deflate(&out, &h, &packed), -ERR_LIMIT);
    v[1].value = str_n(big, sizeof big - 100);
    buf_clear(&packed);
    assert_int_equal(spdy_deflate(&out, &h, &packed), 0);
    assert_int_equal(spdy_inflate(&in, buf_view(&packed), &a, &got), 0);
    assert_int_equal(got.v[2].value.n, sizeof big - 100);
    /* Upper case is refused, and then the direction is lost. */
    v[0].name = v[2].name = STR("N");
    v[1].value = STR_NULL;
    buf_clear(&packed);
    assert_int_equal(spdy_deflate(&out, &h, &packed), 0);
    assert_int_equal(spdy_inflate(&in, buf_view(&packed), &a, &got), -ERR_BAD_REQUEST);
    assert_int_equal(spdy_inflate(&in, buf_view(&packed), &a, &got), -ERR_BAD_REQUEST);
    spdy_deflate_fini(&out);
    spdy_inflate_fini(&in);
    arena_fini(&a);
}

TESTS(cmocka_unit_test(streams_of_another_implementation), cmocka_unit_test(streams_end),
      cmocka_unit_test(windows_hold_back), cmocka_unit_test(peer_without_windows),
      cmocka_unit_test(initial_window_changes), cmocka_unit_test(violations),
      cmocka_unit_test(streams_are_bounded), cmocka_unit_test(header_blocks))
