/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile frames for the HTTP/2 server core, with a handler that answers in several ways: at once,
 * later, streamed with back-pressure, never, by reset. Raw bytes, or frames made from the input so
 * that mutation stays inside them. Every stream that was opened must be closed once, or be left
 * when the connection ends.
 */
#include "fuzz.h"
#include "http/http2.h"

enum { STREAMS_MAX = 64, LIVE_MAX = 4 * STREAMS_MAX };

struct exchange {
    struct http2_stream s;
    struct arena arena;
    struct http_request request;
    bool asked, answered;
    struct list link;
};

struct connection {
    struct http2 *h;
    struct list live;
    size_t live_n;
    size_t written;
    bool blocked;
    struct fuzz_input *in;
};

static struct http2_stream *on_open(void *arg)
{
    struct connection *c = arg;
    if (c->live_n == LIVE_MAX)
        return NULL;
    struct exchange *x = xcalloc(1, sizeof *x);
    arena_init(&x->arena, MIB(4));
    x->s.arena = &x->arena;
    x->s.request = &x->request;
    list_push_back(&c->live, &x->link);
    c->live_n++;
    return &x->s;
}

static void free_exchange(struct connection *c, struct exchange *x)
{
    list_remove(&x->link);
    c->live_n--;
    http2_stream_fini(&x->s);
    arena_fini(&x->arena);
    free(x);
}

static void on_closed(void *arg, struct http2_stream *s, bool in_order)
{
    free_exchange(arg, CONTAINER_OF(s, struct exchange, s));
}

static void answer(struct exchange *x, uint8_t how)
{
    static char large[100000];
    struct http_header fields[] = {{STR("content-type"), STR("a/b\r\nc")}};
    struct str parts[] = {STR("abc"), STR_NULL, {large, sizeof large}, STR("z")};
    if (x->answered)
        return;
    x->answered = true;
    if (x->s.refused) {
        http2_respond(&x->s, x->s.refused, fields, 1, true);
        return;
    }
    switch (how % 5) {
    case 0: http2_respond(&x->s, 204, fields, 1, true); break;
    case 1:
        http2_respond(&x->s, 200, fields, 1, false);
        http2_write(&x->s, parts, 1, true);
        break;
    case 2:
        http2_respond(&x->s, 200, NULL, 0, false);
        http2_write(&x->s, parts, ARRAY_LEN(parts), false);
        http2_write(&x->s, parts, 1, true);
        break;
    case 3: http2_reset(&x->s, 2); break;
    default:
        http2_respond(&x->s, 200, fields, 1, false);
        http2_write(&x->s, NULL, 0, false);
        x->answered = false;
        x->s.request->query = STR("streaming");
        break;
    }
}

static void on_request(void *arg, struct http2_stream *s)
{
    struct connection *c = arg;
    struct exchange *x = CONTAINER_OF(s, struct exchange, s);
    must(!x->asked);
    x->asked = true;
    if (!s->refused) {
        must(http2_complete(s) && x->request.method.n && x->request.path.n);
        must(x->request.path.p[0] == '/' || str_eqz(x->request.path, "*"));
    }
    uint8_t how = fuzz_byte(c->in);
    if (how & 0x80)
        answer(x, how);
}

static void on_drained(void *arg, struct http2_stream *s)
{
    must(http2_queued(s) == 0);
    http2_write(s, &STR("more"), 1, true);
}

static void on_wake(void *arg)
{
}

static void on_write(void *arg, const struct str *parts, size_t n_parts)
{
    struct connection *c = arg;
    for (size_t i = 0; i < n_parts; i++)
        c->written += parts[i].n;
}

static bool is_blocked(void *arg)
{
    return ((struct connection *)arg)->blocked;
}

static const struct http2_ops ops = {.open = on_open,
                                     .request = on_request,
                                     .drained = on_drained,
                                     .closed = on_closed,
                                     .wake = on_wake,
                                     .write = on_write,
                                     .blocked = is_blocked};

/* Something a handler or the socket does between two reads. */
static void act(struct connection *c, uint8_t what)
{
    struct exchange *x, *next;
    c->blocked = what & 1;
    http2_pump(c->h);
    if (what & 2)
        list_each_safe (x, next, &c->live, link)
            if (x->asked)
                answer(x, what >> 4);
    if (what & 4)
        list_each_safe (x, next, &c->live, link)
            if (str_eqz(x->request.query, "streaming"))
                http2_write(&x->s, &STR("event"), 1, what & 8);
    http2_dispatch(c->h);
}

/* Frames: type, flags, stream, length, payload. Some carry a whole request in one byte. */
static void make_frame(struct fuzz_input *in, struct buf *b)
{
    static const char get[] = "\x82\x86\x04\x05/wait\x01\x01"
                              "a";
    static const char post[] = "\x83\x86\x84\x01\x01"
                               "a\x0f\x0d\x01"
                               "3";
    uint8_t kind = fuzz_byte(in), flags = fuzz_byte(in), id = fuzz_byte(in);
    size_t n = fuzz_byte(in) % 64;
    struct str payload = str_sub(fuzz_rest(in), 0, n);
    bool ready_made = (kind & 0x30) == 0x10;
    if (ready_made)
        payload = kind & 1 ? str_n(get, sizeof get - 1) : str_n(post, sizeof post - 1);
    char head[9] = {0, 0, (char)payload.n, (char)(ready_made ? 1 : kind & 0x0f), (char)flags, 0,
                    0, 0, (char)id};
    if (ready_made)
        head[4] |= 4; /* END_HEADERS */
    buf_add(b, head, sizeof head);
    buf_str(b, payload);
    for (size_t i = 0; !ready_made && i < payload.n; i++)
        (void)fuzz_byte(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {data, n};
    struct http_limits limits = http_limits_default;
    limits.streams_max = STREAMS_MAX;
    limits.header_bytes_max = 2000;
    limits.header_count_max = 20;
    limits.body_bytes_max = 5000;
    struct connection c = {.in = &in};
    list_init(&c.live);
    limits.bodies_bytes_max = 20000;
    size_t bodies = 0;
    c.h = http2_new(&limits, &bodies, &ops, &c);
    http2_pump(c.h);
    uint8_t how = fuzz_byte(&in);
    struct buf b = BUF_INIT(MIB(1));
    int64_t now = 0;
    if (how & 1)
        buf_z(&b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    if (how & 1)
        buf_add(&b, "\0\0\0\4\0\0\0\0\0", 9);
    int r = 0;
    while (r == 0 && in.n) {
        if (how & 2) {
            make_frame(&in, &b);
        } else {
            struct str piece = str_sub(fuzz_rest(&in), 0, (size_t)(how >> 2) + 1);
            buf_str(&b, piece);
            in.p += piece.n;
            in.n -= piece.n;
        }
        r = http2_feed(c.h, buf_view(&b), now += 10);
        buf_clear(&b);
        if (r == 0)
            act(&c, fuzz_byte(&in));
    }
    must(http2_open_streams(c.h) == c.live_n);
    http2_abandon(c.h);
    while (c.live_n) {
        struct exchange *x = list_entry(list_first(&c.live), struct exchange, link);
        free_exchange(&c, x);
    }
    http2_free(c.h);
    must(bodies == 0);
    buf_fini(&b);
    return 0;
}
