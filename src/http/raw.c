/* SPDX-License-Identifier: Apache-2.0 */
/* The byte stream that an upgrade leaves: of a server after 101, of a client the same. */
#include "http/server.h"

enum { REST_BYTES_MAX = 1 << 20 }; /* only what was in flight when reading was paused */

struct http_raw {
    struct loop *loop;
    struct conn *conn; /* NULL: broken */
    const struct http_raw_ops *ops;
    void *arg;
    bool ended; /* the peer ended its side */
    bool told;  /* ops->end was called */
    bool paused;
    struct buf rest; /* to be delivered before anything else */
    struct task deliver;
};

/* Delivers what waits, then the end. The user may close inside each callback. */
static void deliver(struct task *t)
{
    struct http_raw *r = CONTAINER_OF(t, struct http_raw, deliver);
    if (r->paused)
        return;
    if (r->rest.n) {
        CLEANUP(buf_fini) struct buf rest = r->rest;
        buf_init(&r->rest, REST_BYTES_MAX);
        loop_defer(r->loop, &r->deliver, deliver);
        r->ops->data(r->arg, buf_view(&rest));
    } else if (r->ended && !r->told) {
        r->told = true;
        r->ops->end(r->arg);
    }
}

static void received(struct conn *c, struct str bytes)
{
    struct http_raw *r = c->arg;
    if (r->rest.n || r->paused)
        buf_str(&r->rest, bytes);
    else
        r->ops->data(r->arg, bytes);
}

static void ended(struct conn *c, int error)
{
    struct http_raw *r = c->arg;
    r->ended = true;
    if (error) {
        r->conn = NULL;
        r->paused = false;
        conn_close(c);
    }
    loop_defer(r->loop, &r->deliver, deliver);
}

static void drained(struct conn *c)
{
    struct http_raw *r = c->arg;
    if (r->ops->drained)
        r->ops->drained(r->arg);
}

static void no_timeout(struct conn *c)
{
}

static const struct conn_ops conn_ops = {
    .read = received, .end = ended, .drained = drained, .timeout = no_timeout};

struct http_raw *raw_new(struct loop *l, struct conn *c, struct buf *rest,
                         const struct http_raw_ops *ops, void *arg)
{
    struct http_raw *r = xcalloc(1, sizeof *r);
    r->loop = l;
    r->conn = c;
    r->ops = ops;
    r->arg = arg;
    r->rest = *rest;
    buf_init(rest, 1);
    r->rest.cap = REST_BYTES_MAX;
    r->ended = !c || c->ended;
    if (c) {
        c->ops = &conn_ops;
        c->arg = r;
    }
    loop_defer(l, &r->deliver, deliver);
    return r;
}

struct http_raw *http_hijack(struct http_exchange *x, int status,
                             const struct http_headers *headers, const struct http_raw_ops *ops,
                             void *arg)
{
    must(x->state == EXCHANGE_HANDLING);
    if (x->request.http2) {
        http_respond(x, 400, NULL, STR("this request needs HTTP/1.1\n"));
        return NULL;
    }
    struct loop *l = http_loop(x);
    struct conn *c = x->conn ? &x->conn->t : NULL;
    struct buf rest = BUF_INIT(REST_BYTES_MAX);
    if (c)
        serve1_switch(x, status, headers, &rest);
    else
        exchange_free(x);
    return raw_new(l, c, &rest, ops, arg);
}

size_t http_raw_write(struct http_raw *r, struct str bytes)
{
    return r->conn ? conn_write(r->conn, &bytes, 1) : 0;
}

void http_raw_pause(struct http_raw *r, bool paused)
{
    if (!r->conn || r->paused == paused)
        return;
    r->paused = paused;
    conn_pause(r->conn, paused);
    if (!paused)
        loop_defer(r->loop, &r->deliver, deliver);
}

void http_raw_close(struct http_raw *r)
{
    if (r->conn)
        conn_finish(r->conn);
    task_cancel(&r->deliver);
    buf_fini(&r->rest);
    free(r);
}
