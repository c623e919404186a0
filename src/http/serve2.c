/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 on a server's connection: connects http2.c with the connection and the exchanges. */
#include <errno.h>

#include "http/server.h"

enum { CODE_INTERNAL = 2, CODE_CANCEL = 8 };

static struct http_exchange *exchange_of(struct http2_stream *s)
{
    return CONTAINER_OF(s, struct http_exchange, two);
}

static const struct http_limits *limits(const struct server_conn *c)
{
    return &c->server->limits;
}

/* ---- time ---- */

/* When the exchange has to be looked at, INT64_MAX: never. */
static int64_t due(const struct server_conn *c, const struct http_exchange *x)
{
    if (x->state == EXCHANGE_RECEIVING)
        return x->since + limits(c)->body_timeout_ms;
    if (http2_queued(&x->two) && !x->may_stall)
        return x->since + limits(c)->write_stall_ms;
    return INT64_MAX;
}

static void look_by(struct server_conn *c, int64_t at_ms)
{
    if (at_ms >= c->two_deadline)
        return;
    c->two_deadline = at_ms;
    conn_deadline(&c->t, at_ms);
}

/* Connections without a request may rest for a while. */
static void rest(struct server_conn *c)
{
    c->two_deadline = INT64_MAX;
    look_by(c, loop_now_ms(c->t.loop) + limits(c)->idle_timeout_ms);
}

/* True: the exchange's time is over. */
static bool overdue(struct server_conn *c, struct http_exchange *x, int64_t now)
{
    if (due(c, x) > now)
        return false;
    bool moved = x->state != EXCHANGE_RECEIVING && http2_queued(&x->two) < x->stall_mark;
    x->stall_mark = http2_queued(&x->two);
    if (moved)
        x->since = now;
    return !moved;
}

static void timed_out(struct conn *t)
{
    struct server_conn *c = server_conn(t);
    int64_t now = loop_now_ms(t->loop), next = INT64_MAX;
    c->two_deadline = INT64_MAX;
    if (list_empty(&c->exchanges)) {
        http2_goaway(c->two);
        conn_finish(t);
        return;
    }
    struct http_exchange *x;
    list_each (x, &c->exchanges, link)
        if (overdue(c, x, now))
            http2_reset(&x->two, CODE_CANCEL);
        else
            next = MIN(next, due(c, x));
    look_by(c, next);
}

/* ---- responses ---- */

/* The handler's fields and ours, on the arena. */
static struct http_headers fields(struct http_exchange *x, int status, const struct http_headers *h,
                                  const size_t *length)
{
    struct http_headers f = {0};
    size_t n = h ? h->n : 0;
    f.v = arena_array(&x->arena, n + 2, struct http_header);
    f.room = n + 2;
    if (!h || !http_header_get(h, "date").p)
        http_header_add(&x->arena, &f, STR("date"), server_date(x->server));
    struct str given = h ? http_header_get(h, "content-length") : STR_NULL;
    if (given.p && (x->head || !length))
        http_header_add(&x->arena, &f, STR("content-length"), given);
    else if (length && !bodiless_status(status))
        http_header_add(&x->arena, &f, STR("content-length"), arena_fmt(&x->arena, "%zu", *length));
    for (size_t i = 0; i < n; i++)
        if (!http_field_is_framing(h->v[i].name))
            http_header_add(&x->arena, &f, h->v[i].name, h->v[i].value);
    return f;
}

/* The request's memory is not needed any more, even while the response waits for the client. */
static void release(struct http_exchange *x)
{
    arena_fini(&x->arena);
}

static void respond(struct http_exchange *x, int status, const struct http_headers *h,
                    struct str body)
{
    bool bodiless = x->head || bodiless_status(status) || body.n == 0;
    struct http_headers f = fields(x, status, h, &body.n);
    http2_respond(&x->two, status, f.v, f.n, bodiless);
    if (!bodiless && http2_write(&x->two, &body, 1, true)) {
        x->since = loop_now_ms(x->server->loop);
        x->stall_mark = http2_queued(&x->two);
        look_by(x->conn, due(x->conn, x));
    }
    release(x);
}

static size_t write_body(struct http_exchange *x, const struct str *parts, size_t n_parts)
{
    if (x->head)
        return 0;
    bool waited = http2_queued(&x->two) > 0;
    size_t queued = http2_write(&x->two, parts, n_parts, false);
    if (queued && !waited) {
        x->since = loop_now_ms(x->server->loop);
        x->stall_mark = queued;
        look_by(x->conn, due(x->conn, x));
    }
    return queued;
}

static void start(struct http_exchange *x, int status, const struct http_headers *h)
{
    x->head |= bodiless_status(status);
    struct http_headers f = fields(x, status, h, NULL);
    http2_respond(&x->two, status, f.v, f.n, x->head);
    write_body(x, NULL, 0); /* sends the head */
}

static void end(struct http_exchange *x)
{
    http2_write(&x->two, NULL, 0, true);
    release(x);
}

static void reset(struct http_exchange *x)
{
    http2_reset(&x->two, CODE_INTERNAL);
    release(x);
}

static const struct wire wire = {respond, start, write_body, end, reset};

/* ---- what the session asks for ---- */

static struct http2_stream *stream_opened(void *arg)
{
    struct server_conn *c = arg;
    if (c->server->closing)
        return NULL;
    struct http_exchange *x = exchange_new(c);
    x->request.http2 = true;
    x->two.arena = &x->arena;
    x->two.request = &x->request;
    look_by(c, x->since + limits(c)->body_timeout_ms);
    return &x->two;
}

static void refuse(struct http_exchange *x, int status)
{
    struct http_headers h = {0};
    x->head = str_eqz(x->request.method, "HEAD");
    http_header_add(&x->arena, &h, STR("content-type"), STR("text/plain; charset=utf-8"));
    x->state = EXCHANGE_DONE;
    respond(x, status, &h, exchange_refusal(&x->arena, status));
}

static void request_complete(void *arg, struct http2_stream *s)
{
    struct http_exchange *x = exchange_of(s);
    if (s->refused)
        refuse(x, s->refused);
    else
        exchange_dispatch(x);
}

static void stream_drained(void *arg, struct http2_stream *s)
{
    struct http_exchange *x = exchange_of(s);
    if (x->state == EXCHANGE_STREAMING && x->drained)
        x->drained(x->drained_arg, x);
}

static void stream_over(void *arg, struct http2_stream *s, bool in_order)
{
    struct server_conn *c = arg;
    struct http_exchange *x = exchange_of(s);
    if (x->state == EXCHANGE_DONE)
        exchange_free(x);
    else
        exchange_abandon(x);
    if (c->t.dead || !list_empty(&c->exchanges))
        return;
    if (c->server->closing)
        conn_finish(&c->t);
    else
        rest(c);
}

static void woken(struct task *task)
{
    struct server_conn *c = CONTAINER_OF(task, struct server_conn, wake);
    http2_dispatch(c->two);
}

static void wake(void *arg)
{
    struct server_conn *c = arg;
    loop_defer(c->t.loop, &c->wake, woken);
}

static void write_out(void *arg, const struct str *parts, size_t n_parts)
{
    struct server_conn *c = arg;
    if (!c->t.finishing)
        conn_write(&c->t, parts, n_parts);
}

static bool blocked(void *arg)
{
    struct server_conn *c = arg;
    return conn_blocked(&c->t);
}

static const struct http2_ops session_ops = {.open = stream_opened,
                                             .request = request_complete,
                                             .drained = stream_drained,
                                             .closed = stream_over,
                                             .wake = wake,
                                             .write = write_out,
                                             .blocked = blocked};

/* ---- the connection ---- */

static void gone(struct server_conn *c)
{
    conn_close(&c->t);
    http2_abandon(c->two);
    exchange_abandon_all(c);
}

static void received(struct conn *t, struct str bytes)
{
    struct server_conn *c = server_conn(t);
    if (http2_feed(c->two, bytes, loop_now_ms(t->loop)) == 0 || t->dead || t->finishing)
        return;
    http2_abandon(c->two);
    exchange_abandon_all(c);
    conn_finish(t);
}

static void ended(struct conn *t, int error)
{
    gone(server_conn(t));
}

static void drained(struct conn *t)
{
    struct server_conn *c = server_conn(t);
    http2_pump(c->two);
    http2_dispatch(c->two);
}

static const struct conn_ops ops = {
    .read = received, .end = ended, .drained = drained, .timeout = timed_out};

void serve2_start(struct server_conn *c, struct str first)
{
    c->protocol = PROTOCOL_2;
    c->wire = &wire;
    c->t.ops = &ops;
    c->two = http2_new(limits(c), &c->server->bodies, &session_ops, c);
    http2_pump(c->two);
    rest(c);
    if (first.n)
        received(&c->t, first);
}

void serve2_close(struct server_conn *c)
{
    http2_goaway(c->two);
    if (list_empty(&c->exchanges))
        conn_finish(&c->t);
}
