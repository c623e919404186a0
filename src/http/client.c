/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of a client. */
#include "http/client.h"

enum { CALL_TRIES_MAX = 3, CALL_TRIES_UNSEEN_MAX = 10 };

/* ---- calls ---- */

void call_leave(struct http_call *x)
{
    list_remove(&x->link);
    x->conn = NULL;
}

void call_free(struct http_call *x)
{
    list_remove(&x->link);
    timer_stop(&x->timer);
    task_cancel(&x->deliver);
    buf_fini(&x->held);
    arena_fini(&x->arena);
    free(x);
}

/* Off whatever carries it, which need not go on. */
static void call_detach(struct http_call *x)
{
    struct client_conn *c = x->conn;
    if (x->dial)
        x->dial->upgrade = NULL;
    x->dial = NULL;
    if (c)
        c->protocol == CLIENT_HTTP2 ? client2_cancel(c, x) : client1_cancel(c, x);
    list_remove(&x->link);
    x->conn = NULL;
}

/* The client goes: no callback comes any more. */
void call_drop(struct http_call *x)
{
    if (!x->in_callback) {
        call_free(x);
        return;
    }
    x->gone = true;
    list_remove(&x->link);
    x->conn = NULL;
    x->dial = NULL;
}

/* After a callback: false when the user cancelled the call in it. */
static bool call_survives(struct http_call *x)
{
    x->in_callback = false;
    if (!x->gone)
        return true;
    call_detach(x);
    call_free(x);
    return false;
}

bool call_head(struct http_call *x, int status, const struct http_headers *headers)
{
    x->answered = true;
    if (!x->ops->head)
        return true;
    x->in_callback = true;
    x->ops->head(x->arg, status, headers);
    return call_survives(x);
}

bool call_data(struct http_call *x, struct str bytes)
{
    if (bytes.n == 0)
        return true;
    x->in_callback = true;
    x->ops->data(x->arg, bytes);
    return call_survives(x);
}

void call_done(struct http_call *x, const struct err *e)
{
    must(!x->conn);
    list_remove(&x->link);
    timer_stop(&x->timer);
    x->in_callback = true; /* cancelling it now has no effect */
    x->ops->done(x->arg, e);
    call_free(x);
}

void call_failed(struct http_call *x, enum err_code code, const char *fmt, ...)
{
    struct err e = ERR_INIT(&x->arena);
    CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB(4));
    va_list ap;
    va_start(ap, fmt);
    buf_vfmt(&text, fmt, ap);
    va_end(ap);
    err_set(&e, code, "%.*s %.*s: %.*s", STR_ARG(x->method), STR_ARG(x->target),
            STR_ARG(buf_view(&text)));
    call_done(x, &e);
}

/* RFC 9110 section 9.2.1. As Go's client, this one does not repeat PUT and DELETE by itself. */
static bool is_safe(struct str method)
{
    return str_eqz(method, "GET") || str_eqz(method, "HEAD") || str_eqz(method, "OPTIONS");
}

void call_broken(struct http_call *x, bool unseen, const char *why)
{
    struct http_client *c = x->client;
    bool again =
        unseen ? x->tries < CALL_TRIES_UNSEEN_MAX : x->tries < CALL_TRIES_MAX && is_safe(x->method);
    if (again && !x->answered && !c->closed && !x->upgrade) {
        list_push_front(&c->waiting, &x->link);
        client_next(c);
        return;
    }
    call_failed(x, ERR_UNAVAILABLE, "%s", why);
}

static void call_timeout(struct timer *t)
{
    struct http_call *x = CONTAINER_OF(t, struct http_call, timer);
    struct http_client *c = x->client;
    c->refs++;
    call_detach(x);
    call_failed(x, ERR_TIMEOUT, "no complete response in time");
    client_next(c);
    client_unref(c);
}

void http_call_cancel(struct http_call *x)
{
    if (x->in_callback) {
        x->gone = true;
        return;
    }
    struct http_client *c = x->client;
    call_detach(x);
    call_free(x);
    client_next(c);
}

/* Goes on after a pause: what was held back, then the end. */
static void call_deliver(struct task *t)
{
    struct http_call *x = CONTAINER_OF(t, struct http_call, deliver);
    if (x->paused)
        return;
    if (x->conn && x->conn->protocol == CLIENT_HTTP1) {
        client1_resume(x->conn);
        return;
    }
    CLEANUP(buf_fini) struct buf held = x->held;
    buf_init(&x->held, CLIENT_STREAM_WINDOW);
    if (!call_data(x, buf_view(&held)))
        return;
    if (x->conn)
        client2_consumed(x->conn, x, held.n);
    if (x->ended && !x->paused)
        call_done(x, NULL);
}

void http_call_pause(struct http_call *x, bool paused)
{
    if (x->paused == paused)
        return;
    x->paused = paused;
    if (x->conn && x->conn->protocol == CLIENT_HTTP1)
        conn_pause(&x->conn->t, paused);
    if (!paused)
        loop_defer(x->client->loop, &x->deliver, call_deliver);
}

static void copy_headers(struct arena *a, const struct http_headers *from, struct http_headers *to)
{
    for (size_t i = 0; from && i < from->n; i++)
        http_header_add(a, to, arena_str(a, from->v[i].name),
                        http_safe_value(a, arena_str(a, from->v[i].value)));
}

static void refuse_call(struct timer *t)
{
    call_failed(CONTAINER_OF(t, struct http_call, timer), ERR_BAD_REQUEST, "malformed request");
}

static bool well_formed(const struct http_call *x)
{
    for (size_t i = 0; i < x->headers.n; i++)
        if (!x->headers.v[i].name.n || !http_all(x->headers.v[i].name, CHAR_TOKEN))
            return false;
    return x->method.n && x->target.n && http_all(x->method, CHAR_TOKEN) &&
           http_all(x->target, CHAR_TARGET);
}

static struct http_call *call_new(struct http_client *c, struct str method, struct str target,
                                  const struct http_headers *headers, struct str body,
                                  const struct http_call_ops *ops, void *arg)
{
    struct http_call *x = xcalloc(1, sizeof *x);
    x->client = c;
    x->arena = ARENA_INIT;
    x->ops = ops;
    x->arg = arg;
    x->method = arena_str(&x->arena, method);
    x->target = arena_str(&x->arena, target);
    x->body = arena_str(&x->arena, body);
    x->head_request = str_eqz(method, "HEAD");
    copy_headers(&x->arena, headers, &x->headers);
    buf_init(&x->held, CLIENT_STREAM_WINDOW);
    return x;
}

struct http_call *http_call(struct http_client *c, struct str method, struct str target,
                            const struct http_headers *headers, struct str body, int64_t timeout_ms,
                            const struct http_call_ops *ops, void *arg)
{
    struct http_call *x = call_new(c, method, target, headers, body, ops, arg);
    list_push_back(&c->waiting, &x->link);
    if (!well_formed(x)) {
        list_remove(&x->link);
        list_push_back(&c->ripe, &x->link);
        timer_start(c->loop, &x->timer, 0, refuse_call);
        return x;
    }
    if (timeout_ms > 0)
        timer_start(c->loop, &x->timer, timeout_ms, call_timeout);
    client_next(c);
    return x;
}

struct http_call *
http_call_upgrade(struct http_client *c, struct str method, struct str target,
                  const struct http_headers *headers, const struct http_call_ops *ops,
                  void (*upgraded)(void *arg, int status, const struct http_headers *headers,
                                   struct http_raw *raw),
                  const struct http_raw_ops *raw_ops, void *arg)
{
    struct http_call *x = call_new(c, method, target, headers, STR_NULL, ops, arg);
    x->upgrade = true;
    x->upgraded = upgraded;
    x->raw_ops = raw_ops;
    list_push_back(&c->ripe, &x->link);
    if (well_formed(x))
        client_dial_upgrade(c, x);
    else
        timer_start(c->loop, &x->timer, 0, refuse_call);
    return x;
}
