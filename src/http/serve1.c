/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 on a server's connection: one exchange at a time, pipelined requests wait. */
#include <errno.h>

#include "http/server.h"

enum { EXPECTED_BODY_MAX = 64 * 1024 }; /* reserved at once for an announced body */

static struct http_exchange *current(struct server_conn *c)
{
    struct list *first = list_first(&c->exchanges);
    return first ? list_entry(first, struct http_exchange, link) : NULL;
}

static const struct http_limits *limits(const struct server_conn *c)
{
    return &c->server->limits;
}

static void deadline_in(struct server_conn *c, int64_t ms)
{
    conn_deadline(&c->t, loop_now_ms(c->t.loop) + ms);
}

/* ---- responses ---- */

static void put_date(struct buf *b, struct http_exchange *x, const struct http_headers *h)
{
    if (!h || !http_header_get(h, "date").p)
        http1_put_field(b, STR("date"), server_date(x->server));
}

static void put_connection(struct buf *b, const struct http_exchange *x)
{
    if (!x->one.persist)
        buf_str(b, STR("connection: close\r\n"));
    else if (x->one.keep_alive_1)
        buf_str(b, STR("connection: keep-alive\r\n"));
}

static void decide_persistence(struct http_exchange *x, const struct http_headers *h)
{
    if (x->server->closing || x->conn->eof ||
        (h && http_header_has_token(h, "connection", "close")))
        x->one.persist = false;
}

static void next_request(struct task *t);

/* The response is out: on to the next request, or the end. */
static void finished(struct http_exchange *x)
{
    struct server_conn *c = x->conn;
    bool persist = x->one.persist;
    if (x->may_stall)
        conn_stall_limit(&c->t, limits(c)->write_stall_ms);
    exchange_free(x);
    if (!persist) {
        conn_finish(&c->t);
        return;
    }
    deadline_in(c, limits(c)->idle_timeout_ms);
    if (!c->one.processing && (c->one.in.n || c->one.paused))
        loop_defer(c->t.loop, &c->wake, next_request);
}

static void put_length(struct buf *b, uint64_t n)
{
    buf_str(b, STR("content-length: "));
    buf_u64(b, n);
    buf_str(b, STR("\r\n"));
}

static void respond(struct http_exchange *x, int status, const struct http_headers *h,
                    struct str body)
{
    struct conn *t = &x->conn->t;
    struct buf *b = conn_out(t);
    struct str given = x->head && h ? http_header_get(h, "content-length") : STR_NULL;
    decide_persistence(x, h);
    http1_put_status(b, status);
    put_date(b, x, h);
    if (given.p)
        http1_put_field(b, STR("content-length"), given);
    else if (!bodiless_status(status))
        put_length(b, body.n);
    put_connection(b, x);
    http1_put_fields(b, h);
    buf_str(b, STR("\r\n"));
    bool send = !x->head && !bodiless_status(status);
    conn_write(t, &body, send ? 1 : 0);
    finished(x);
}

static void frame_stream(struct http_exchange *x, int status, const struct http_headers *h,
                         struct buf *b)
{
    struct str length = h ? http_header_get(h, "content-length") : STR_NULL;
    if (bodiless_status(status))
        x->head = true; /* as for HEAD, no byte of a body goes out */
    else if (str_to_u64(length, &x->one.left))
        x->one.sized = true;
    else if (x->request.http_1_0)
        x->one.persist = false; /* the end of the connection is the end of the body */
    else
        x->one.chunked = true;
    if (x->one.sized)
        put_length(b, x->one.left);
    else if (x->one.chunked)
        buf_str(b, STR("transfer-encoding: chunked\r\n"));
}

static void start(struct http_exchange *x, int status, const struct http_headers *h)
{
    struct buf *b = conn_out(&x->conn->t);
    decide_persistence(x, h);
    http1_put_status(b, status);
    put_date(b, x, h);
    frame_stream(x, status, h, b);
    put_connection(b, x);
    http1_put_fields(b, h);
    buf_str(b, STR("\r\n"));
    conn_wrote(&x->conn->t);
}

static size_t bytes_of(const struct str *parts, size_t n_parts)
{
    size_t n = 0;
    for (size_t i = 0; i < n_parts; i++)
        n += parts[i].n;
    return n;
}

static size_t write_chunk(struct conn *t, const struct str *parts, size_t n_parts, size_t n)
{
    char room[20];
    buf_str(conn_out(t), http1_chunk_line(room, n));
    conn_write(t, parts, n_parts);
    return conn_write(t, &STR("\r\n"), 1);
}

static size_t write_body(struct http_exchange *x, const struct str *parts, size_t n_parts)
{
    struct conn *t = &x->conn->t;
    size_t n = bytes_of(parts, n_parts);
    if (x->head || n == 0)
        return conn_queued(t);
    if (x->one.chunked)
        return write_chunk(t, parts, n_parts, n);
    if (x->one.sized && n > x->one.left) {
        /* More than was announced would be taken for the next response. */
        x->one.persist = false;
        x->one.left = UINT64_MAX;
        return conn_queued(t);
    }
    if (x->one.sized)
        x->one.left -= n;
    return conn_write(t, parts, n_parts);
}

static void reset(struct http_exchange *x)
{
    struct server_conn *c = x->conn;
    exchange_free(x);
    conn_close(&c->t);
}

static void end(struct http_exchange *x)
{
    if (x->one.sized && x->one.left && !x->head) {
        reset(x); /* the client must not take it for complete */
        return;
    }
    if (x->one.chunked && !x->head)
        conn_write(&x->conn->t, &STR("0\r\n\r\n"), 1);
    finished(x);
}

static const struct wire wire = {respond, start, write_body, end, reset};

/* Answers a request that is not handed out, and closes: where the next one begins is unknown. */
static void refuse(struct server_conn *c, int status)
{
    struct http_exchange *x = current(c);
    if (!x)
        x = exchange_new(c);
    struct http_headers h = {0};
    http_header_add(&x->arena, &h, STR("content-type"), STR("text/plain; charset=utf-8"));
    x->one.persist = false;
    x->state = EXCHANGE_DONE;
    respond(x, status, &h, exchange_refusal(&x->arena, status));
}

/* ---- requests ---- */

static void begin_body(struct server_conn *c, struct http_exchange *x,
                       const struct http1_framing *f)
{
    size_t max = limits(c)->body_bytes_max;
    if (f->kind == HTTP1_BODY_LENGTH && f->length > max) {
        refuse(c, 413);
        return;
    }
    buf_init(&x->one.body, max);
    if (f->kind == HTTP1_BODY_LENGTH)
        (void)buf_reserve(&x->one.body, (size_t)MIN(f->length, (uint64_t)EXPECTED_BODY_MAX));
    http1_body_init(&x->one.decoder, f, limits(c)->header_bytes_max);
    deadline_in(c, limits(c)->body_timeout_ms);
    if (f->expect_continue)
        conn_write(&c->t, &STR("HTTP/1.1 100 Continue\r\n\r\n"), 1);
}

static void begin_request(struct server_conn *c, struct str head, uint32_t lines)
{
    struct http_exchange *x = exchange_new(c);
    struct http1_framing f;
    char *copy = arena_raw(&x->arena, head.n);
    memcpy(copy, head.p, head.n);
    int refused = http1_parse_request(&x->arena, copy, head.n, lines, &x->request, &f);
    if (refused) {
        refuse(c, refused);
        return;
    }
    x->request.http_1_0 = f.minor == 0;
    x->one.persist = f.keep_alive;
    x->one.keep_alive_1 = f.keep_alive && f.minor == 0;
    if (f.kind != HTTP1_BODY_NONE) {
        begin_body(c, x, &f);
        return;
    }
    conn_deadline(&c->t, INT64_MAX);
    exchange_dispatch(x);
}

/* Empty lines before a request are skipped (RFC 9112 section 2.2). */
static void skip_empty_lines(struct str *data)
{
    while (str_skip(data, STR("\r\n"))) {
        /* one more */
    }
}

/* False: the head is not complete. */
static bool take_head(struct server_conn *c, struct str *data)
{
    struct http1_scan *scan = &c->one.scan;
    size_t n = 0, max = limits(c)->header_bytes_max;
    if (scan->at == 0)
        skip_empty_lines(data);
    int refused = http1_scan(scan, *data, &n);
    if (!refused && (n ? n : data->n) > max)
        refused = scan->lines ? 431 : 414;
    if (!refused && scan->lines > limits(c)->header_count_max + 2)
        refused = 431;
    if (refused) {
        refuse(c, refused);
        return true;
    }
    if (n == 0)
        return false;
    uint32_t lines = scan->lines;
    struct str head = str_sub(*data, 0, n);
    *data = str_sub(*data, n, data->n);
    *scan = (struct http1_scan){0};
    if (lines > 1) /* else an empty line that came in two pieces */
        begin_request(c, head, lines);
    return true;
}

static void take_body(struct server_conn *c, struct http_exchange *x, struct str *data)
{
    struct str piece;
    int refused = http1_body_next(&x->one.decoder, data, &piece);
    if (!refused && c->server->bodies + piece.n > limits(c)->bodies_bytes_max)
        refused = 503;
    size_t before = x->one.body.n;
    if (!refused)
        buf_str(&x->one.body, piece);
    c->server->bodies += x->one.body.n - before;
    if (!refused && x->one.body.failed)
        refused = 413;
    if (refused) {
        refuse(c, refused);
    } else if (x->one.decoder.state == HTTP1_BODY_DONE) {
        x->request.body = buf_view(&x->one.body);
        conn_deadline(&c->t, INT64_MAX);
        exchange_dispatch(x);
    }
}

static bool may_read(const struct server_conn *c)
{
    return !c->t.dead && !c->t.finishing && c->protocol == PROTOCOL_1;
}

/* Uses as much of *data as the present state allows. */
static void process(struct server_conn *c, struct str *data)
{
    c->one.processing = true;
    while (may_read(c) && data->n) {
        struct http_exchange *x = current(c);
        if (x && x->state != EXCHANGE_RECEIVING)
            break;
        /* A client that sends requests but reads no answers waits. */
        if (!x && conn_queued(&c->t) > limits(c)->write_queue_max)
            break;
        if (x)
            take_body(c, x, data);
        else if (!take_head(c, data))
            break;
    }
    c->one.processing = false;
}

static void set_paused(struct server_conn *c, bool paused)
{
    if (c->one.paused == paused)
        return;
    c->one.paused = paused;
    conn_pause(&c->t, paused);
}

/* Keeps what process left over. */
static void keep_rest(struct server_conn *c, struct str data)
{
    struct buf *in = &c->one.in;
    if (in->n)
        buf_consume(in, in->n - data.n);
    else
        buf_str(in, data);
    if (in->n == 0)
        buf_fini(in);
    if (in->failed) { /* cannot be: pausing bounds it */
        refuse(c, 431);
        return;
    }
    set_paused(c, in->n > PIPELINE_BYTES_MAX && (current(c) || conn_blocked(&c->t)));
}

/* The handler switched protocols: what follows the request is no longer ours. */
static void hand_over(struct server_conn *c, struct str data)
{
    if (c->protocol == PROTOCOL_RAW && data.n && !c->t.dead)
        c->t.ops->read(&c->t, data);
    buf_fini(&c->one.in);
}

static void received(struct conn *t, struct str bytes)
{
    struct server_conn *c = server_conn(t);
    bool was_idle = !current(c) && c->one.in.n == 0;
    struct str data = bytes;
    if (c->one.in.n) {
        buf_str(&c->one.in, bytes);
        data = buf_view(&c->one.in);
    }
    process(c, &data);
    if (!may_read(c)) {
        hand_over(c, data);
        return;
    }
    keep_rest(c, data);
    /* A head has begun: its time runs from its first byte, however slowly the rest drips in. */
    if (!current(c) && c->one.in.n && (was_idle || bytes.n > data.n))
        deadline_in(c, limits(c)->header_timeout_ms);
}

static void next_request(struct task *task)
{
    struct server_conn *c = CONTAINER_OF(task, struct server_conn, wake);
    if (!may_read(c))
        return;
    struct str data = buf_view(&c->one.in);
    process(c, &data);
    if (!may_read(c)) {
        hand_over(c, data);
        return;
    }
    keep_rest(c, data);
    if (!current(c) && c->one.in.n)
        deadline_in(c, limits(c)->header_timeout_ms);
}

/* ---- the connection ---- */

static void gone(struct server_conn *c)
{
    conn_close(&c->t);
    exchange_abandon_all(c);
}

static void abort_at_end(struct task *task)
{
    struct server_conn *c = CONTAINER_OF(task, struct server_conn, wake);
    struct http_exchange *x = current(c);
    if (!c->t.dead && x && x->abort)
        gone(c);
}

void serve1_recheck(struct server_conn *c)
{
    loop_defer(c->t.loop, &c->wake, abort_at_end);
}

/* A client that ends its side has gone, as far as a handler that asks is concerned. One that does
 * not ask may finish: the client may only have ended its side of the connection. */
static void ended(struct conn *t, int error)
{
    struct server_conn *c = server_conn(t);
    struct http_exchange *x = current(c);
    c->eof = true;
    if (error || (x && (x->abort || x->state == EXCHANGE_RECEIVING)))
        gone(c);
    else if (!x)
        conn_finish(t);
}

static void drained(struct conn *t)
{
    struct server_conn *c = server_conn(t);
    struct http_exchange *x = current(c);
    if (x && x->state == EXCHANGE_STREAMING && x->drained)
        x->drained(x->drained_arg, x);
    if (!t->dead && !current(c) && c->one.in.n)
        loop_defer(t->loop, &c->wake, next_request);
}

static void timed_out(struct conn *t)
{
    struct server_conn *c = server_conn(t);
    if (current(c) || c->one.in.n)
        refuse(c, 408);
    else
        conn_finish(t);
}

static const struct conn_ops ops = {
    .read = received, .end = ended, .drained = drained, .timeout = timed_out};

void serve1_start(struct server_conn *c, struct str first)
{
    c->protocol = PROTOCOL_1;
    c->wire = &wire;
    c->t.ops = &ops;
    buf_init(&c->one.in, limits(c)->header_bytes_max + 4 * PIPELINE_BYTES_MAX);
    if (first.n)
        received(&c->t, first);
}

void serve1_close(struct server_conn *c)
{
    if (!current(c))
        conn_finish(&c->t);
}

void serve1_switch(struct http_exchange *x, int status, const struct http_headers *headers,
                   struct buf *ret_rest)
{
    struct server_conn *c = x->conn;
    struct buf *b = conn_out(&c->t);
    http1_put_status(b, status);
    for (size_t i = 0; headers && i < headers->n; i++)
        http1_put_field(b, headers->v[i].name, headers->v[i].value);
    buf_str(b, STR("\r\n"));
    conn_wrote(&c->t);
    exchange_free(x);
    conn_deadline(&c->t, INT64_MAX);
    conn_stall_limit(&c->t, INT64_MAX);
    set_paused(c, false);
    c->protocol = PROTOCOL_RAW;
    if (c->one.processing)
        return; /* hand_over passes on the rest */
    *ret_rest = c->one.in;
    buf_init(&c->one.in, 1);
}
