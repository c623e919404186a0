/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 on a client's connection. */
#include <errno.h>

#include "http/client.h"
#include "http/raw.h"

static struct http_call *current(struct client_conn *c)
{
    struct list *first = list_first(&c->calls);
    return first ? list_entry(first, struct http_call, link) : NULL;
}

/* ---- the request ---- */

static bool body_expected(struct str method)
{
    return str_eqz(method, "POST") || str_eqz(method, "PUT") || str_eqz(method, "PATCH");
}

void client1_start(struct client_conn *c, struct http_call *x)
{
    struct buf *b = conn_out(&c->t);
    buf_str(b, x->method);
    buf_c(b, ' ');
    buf_str(b, x->target);
    buf_z(b, " HTTP/1.1\r\n");
    http1_put_field(b, STR("host"), c->client->host);
    if (!http_header_get(&x->headers, "user-agent").p)
        http1_put_field(b, STR("user-agent"), STR("barque/" BARQUE_VERSION));
    if (x->body.n || body_expected(x->method)) {
        buf_z(b, "content-length: ");
        buf_u64(b, x->body.n);
        buf_z(b, "\r\n");
    }
    /* An upgrade's own connection and upgrade fields are what it is about. */
    for (size_t i = 0; i < x->headers.n; i++)
        if (x->upgrade || !http_field_is_framing(x->headers.v[i].name))
            http1_put_field(b, x->headers.v[i].name, x->headers.v[i].value);
    buf_z(b, "\r\n");
    conn_write(&c->t, &x->body, 1);
    c->one.in_body = false;
    conn_deadline(&c->t, INT64_MAX);
}

void client1_cancel(struct client_conn *c, struct http_call *x)
{
    if (c->upgrade == x)
        c->upgrade = NULL;
    client_conn_close(c);
}

/* ---- the response ---- */

/* The response is complete; clean: and nothing follows it. */
static void complete(struct client_conn *c, struct http_call *x, bool clean)
{
    struct http_client *client = c->client;
    call_leave(x);
    c->used = true;
    c->one.in_body = false;
    if (clean && c->one.framing.keep_alive && !c->upgrade_only)
        client_conn_idle(c);
    else
        client_conn_close(c);
    client->refs++;
    call_done(x, NULL);
    client_next(client);
    client_unref(client);
}

static void fail(struct client_conn *c, const char *why)
{
    struct http_call *x = current(c);
    struct http_client *client = c->client;
    bool retry = c->used && !x->answered && c->one.in.n == 0;
    call_leave(x);
    client_conn_close(c);
    client->refs++;
    if (retry)
        call_broken(x, false, why);
    else
        call_failed(x, ERR_UNAVAILABLE, "%s", why);
    client_next(client);
    client_unref(client);
}

static void switch_protocols(struct client_conn *c, struct http_call *x,
                             const struct http_headers *headers, struct str rest)
{
    struct buf first = BUF_INIT(CLIENT_HEADER_BYTES_MAX);
    buf_str(&first, rest);
    call_leave(x);
    client_conn_forget(c);
    struct http_raw *raw = raw_new(c->client->loop, &c->t, &first, x->raw_ops, x->arg);
    x->in_callback = true;
    x->upgraded(x->arg, 101, headers, raw);
    call_free(x);
}

/* Takes the head off *bytes once it is complete. False: go no further. */
static bool take_head(struct client_conn *c, struct http_call *x, struct str *bytes)
{
    struct buf *in = &c->one.in;
    struct http_headers headers = {0};
    size_t n = 0;
    int status = 0;
    buf_str(in, *bytes);
    int bad = http1_scan(&c->one.scan, buf_view(in), &n);
    if (bad || in->failed || c->one.scan.lines > CLIENT_HEADERS_MAX) {
        fail(c, "malformed or oversized response");
        return false;
    }
    if (n == 0)
        return false;
    *bytes = str_sub(*bytes, bytes->n - (in->n - n), bytes->n);
    char *head = arena_raw(&x->arena, n);
    memcpy(head, in->p, n);
    uint32_t lines = c->one.scan.lines;
    buf_fini(in);
    c->one.scan = (struct http1_scan){0};
    if (http1_parse_response(&x->arena, head, n, lines, x->head_request, &status, &headers,
                             &c->one.framing) ||
        (status == 101 && !x->upgrade)) {
        fail(c, "malformed response");
        return false;
    }
    if (status == 101) {
        switch_protocols(c, x, &headers, *bytes);
        return false;
    }
    if (status < 200)
        return true; /* not yet the answer */
    http1_body_init(&c->one.body, &c->one.framing, CLIENT_HEADER_BYTES_MAX);
    c->one.in_body = true;
    return call_head(x, status, &headers);
}

static bool take_body(struct client_conn *c, struct http_call *x, struct str *bytes)
{
    struct str piece = STR_NULL;
    if (c->one.body.state != HTTP1_BODY_DONE && http1_body_next(&c->one.body, bytes, &piece)) {
        fail(c, "malformed response body");
        return false;
    }
    return call_data(x, piece);
}

static void feed(struct client_conn *c, struct str bytes)
{
    struct http_call *x;
    while (!c->t.dead && (x = current(c))) {
        bool done = c->one.in_body && c->one.body.state == HTTP1_BODY_DONE;
        if (done) {
            complete(c, x, bytes.n == 0);
            return;
        }
        if (bytes.n == 0)
            return;
        if (x->paused && c->one.in_body) {
            buf_str(&c->one.in, bytes);
            return;
        }
        if (!(c->one.in_body ? take_body(c, x, &bytes) : take_head(c, x, &bytes)))
            return;
    }
}

static void received(struct conn *t, struct str bytes)
{
    struct client_conn *c = client_conn(t);
    struct http_call *x = current(c);
    if (!x)
        client_conn_close(c); /* nobody asked */
    else if (x->paused && c->one.in_body)
        buf_str(&c->one.in, bytes);
    else
        feed(c, bytes);
}

static void ended(struct conn *t, int error)
{
    struct client_conn *c = client_conn(t);
    struct http_call *x = current(c);
    if (!x) {
        client_conn_close(c);
    } else if (x->paused && error == 0) {
        c->one.eof = true;
    } else if (error == 0 && c->one.in_body && c->one.body.kind == HTTP1_BODY_TO_END) {
        complete(c, x, false);
    } else {
        fail(c, t->failure ? t->failure : error ? strerror(-error) : "connection broke off");
    }
}

void client1_resume(struct client_conn *c)
{
    if (!c->one.in_body)
        return; /* heads are not held back */
    struct buf held = c->one.in;
    buf_init(&c->one.in, CLIENT_HEADER_BYTES_MAX);
    if (held.failed)
        fail(c, "too much came during a pause");
    else
        feed(c, buf_view(&held));
    buf_fini(&held);
    if (c->one.eof && !c->t.dead && current(c) && !current(c)->paused)
        ended(&c->t, 0);
}

static void idled(struct conn *t)
{
    struct client_conn *c = client_conn(t);
    if (!current(c))
        client_conn_close(c);
}

static void drained(struct conn *t)
{
    /* Requests are handed over whole. */
}

const struct conn_ops client1_ops = {
    .read = received, .end = ended, .drained = drained, .timeout = idled};
