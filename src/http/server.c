/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting connections, choosing their protocol, closing. */
#include "http/server.h"

#include <errno.h>

static const struct str preface = {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24};

struct str server_date(struct http_server *s)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t now = loop_now_ms(s->loop);
    if (!s->date[0] || now - s->date_at_ms >= 500) {
        int64_t t = loop_wall(s->loop).s, day = t / 86400;
        int year, month, mday, left = (int)(t % 86400);
        civil_from_days(day, &year, &month, &mday);
        s->date_at_ms = now;
        snprintf(s->date, sizeof s->date, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                 days[(day + 4) % 7], mday, months[month - 1], year % 10000, left / 3600,
                 left / 60 % 60, left % 60);
    }
    return str_z(s->date);
}

/* ---- the end of a server ---- */

static void free_server(struct http_server *s)
{
    struct list *spare;
    while ((spare = list_pop_front(&s->spare))) {
        struct http_exchange *x = list_entry(spare, struct http_exchange, link);
        arena_fini(&x->arena);
        free(x);
    }
    conn_scratch_free(s->scratch);
    free(s);
}

void server_unref(struct http_server *s)
{
    if (--s->refs == 0)
        free_server(s);
}

static void all_closed(struct task *t)
{
    struct http_server *s = CONTAINER_OF(t, struct http_server, closed);
    timer_stop(&s->grace);
    if (s->done)
        s->done(s->done_arg);
    server_unref(s);
}

static void look_if_closed(struct http_server *s)
{
    if (s->closing && list_empty(&s->conns))
        loop_defer(s->loop, &s->closed, all_closed);
}

/* ---- connections ---- */

static void conn_freed(struct conn *t)
{
    struct server_conn *c = server_conn(t);
    struct http_server *s = c->server;
    task_cancel(&c->wake);
    list_remove(&c->link);
    http2_free(c->two);
    tls_identity_unref(c->identity);
    buf_fini(&c->one.in);
    free(c);
    s->conn_count--;
    look_if_closed(s);
    server_unref(s);
}

static void tls_agreed(struct conn *t)
{
    struct server_conn *c = server_conn(t);
    c->identity = tls_identity(t->tls, &c->refused_identity);
    if (tls_is_http2(t->tls))
        serve2_start(c, STR_NULL);
    else
        serve1_start(c, STR_NULL);
}

/* On a plain connection the first bytes tell HTTP/2 (with prior knowledge) from HTTP/1. */
static void first_bytes(struct conn *t, struct str bytes)
{
    struct server_conn *c = server_conn(t);
    struct buf in = c->one.in; /* an earlier piece of a preface */
    in.cap = KIB(128);
    buf_init(&c->one.in, 1);
    buf_str(&in, bytes);
    struct str seen = buf_view(&in);
    if (str_has_prefix(seen, preface)) {
        serve2_start(c, seen);
    } else if (str_has_prefix(preface, seen)) {
        c->one.in = in;
        return;
    } else {
        serve1_start(c, seen);
    }
    buf_fini(&in);
}

static void ended_early(struct conn *t, int error)
{
    conn_close(t);
}

static void nothing(struct conn *t)
{
}

static const struct conn_ops undecided = {.ready = tls_agreed,
                                          .read = first_bytes,
                                          .end = ended_early,
                                          .drained = nothing,
                                          .timeout = conn_close};

void server_accept(struct http_server *s, struct stream *stream)
{
    struct tls *tls = NULL;
    bool room = s->conn_count < s->limits.connections_max;
    if (room && s->tls)
        tls = tls_new(s->tls, STR_NULL);
    if (!room || (s->tls && !tls)) {
        stream_close(stream);
        return;
    }
    struct server_conn *c = xcalloc(1, sizeof *c);
    c->server = s;
    s->refs++;
    s->conn_count++;
    list_init(&c->exchanges);
    list_push_back(&s->conns, &c->link);
    conn_init(&c->t, s->loop, stream, tls, s->scratch, &undecided, conn_freed);
    conn_stall_limit(&c->t, s->limits.write_stall_ms);
    conn_deadline(&c->t, loop_now_ms(s->loop) + s->limits.header_timeout_ms);
}

static void accepted(void *arg, struct stream *stream)
{
    server_accept(arg, stream);
}

/* ---- http.h ---- */

struct http_server *http_server_new(struct loop *l, struct str address, struct tls_context *tls,
                                    const struct http_limits *limits,
                                    const struct http_handler *handler, void *arg, struct err *e)
{
    struct http_server *s = xcalloc(1, sizeof *s);
    s->loop = l;
    s->tls = tls;
    s->limits = limits ? *limits : http_limits_default;
    s->handler = handler;
    s->arg = arg;
    s->refs = 1;
    list_init(&s->conns);
    list_init(&s->spare);
    s->scratch = conn_scratch_new();
    s->listener = loop_listen(l, address, accepted, s, e);
    if (!s->listener) {
        free_server(s);
        return NULL;
    }
    snprintf(s->address, sizeof s->address, "%.*s", STR_ARG(listener_address(s->listener)));
    return s;
}

struct str http_server_address(const struct http_server *s)
{
    return str_z(s->address);
}

static void close_in_order(struct server_conn *c)
{
    switch (c->protocol) {
    case PROTOCOL_UNKNOWN: conn_close(&c->t); break;
    case PROTOCOL_1: serve1_close(c); break;
    case PROTOCOL_2: serve2_close(c); break;
    case PROTOCOL_RAW: break; /* its owner closes it */
    }
}

static void cut(struct server_conn *c)
{
    if (c->t.finishing)
        conn_close(&c->t);
    else
        c->t.ops->end(&c->t, -ECANCELED);
}

static void grace_over(struct timer *t)
{
    struct http_server *s = CONTAINER_OF(t, struct http_server, grace);
    struct server_conn *c;
    /* Connections leave the list from a later round only. */
    list_each (c, &s->conns, link)
        if (!c->t.dead)
            cut(c);
}

void http_server_close(struct http_server *s, int64_t grace_ms, void (*done)(void *), void *arg)
{
    must(!s->closing);
    s->closing = true;
    s->done = done;
    s->done_arg = arg;
    listener_close(TAKE_PTR(s->listener));
    struct server_conn *c;
    list_each (c, &s->conns, link)
        if (!c->t.dead && !c->t.finishing)
            close_in_order(c);
    timer_start(s->loop, &s->grace, grace_ms, grace_over);
    look_if_closed(s);
}
