/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 on a client's connection (RFC 9113), on nghttp2. */
#include <errno.h>
#include <nghttp2/nghttp2.h>

#include "http/client.h"

enum {
    STREAMS_ASSUMED = 1, /* until the server says how many it takes, which is soon */
    FIELDS_MAX = 200,    /* of a request */
};

static struct http_call *call_of(nghttp2_session *s, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(s, stream);
}

/* ---- output ---- */

static void pump(struct client_conn *c)
{
    const uint8_t *p;
    ssize_t n = 1;
    if (c->t.dead || c->two.feeding)
        return;
    /* What the connection cannot take now is asked for again in `drained`. */
    while (n > 0) {
        while (!conn_blocked(&c->t) && (n = nghttp2_session_mem_send(c->two.session, &p)) > 0)
            buf_add(conn_out(&c->t), p, (size_t)n);
        if (conn_wrote(&c->t) > 0)
            return;
    }
}

static void watch_silence(struct client_conn *c)
{
    if (!list_empty(&c->calls))
        conn_deadline(&c->t, c->two.heard_ms + CLIENT_PING_AFTER_MS);
}

/* ---- requests ---- */

static ssize_t give_body(nghttp2_session *s, int32_t stream, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct http_call *x = source->ptr;
    struct str part = str_sub(x->body, x->body_sent, x->body_sent + room);
    memcpy(to, part.p, part.n);
    x->body_sent += part.n;
    if (x->body_sent == x->body.n)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)part.n;
}

static nghttp2_nv field(struct str name, struct str value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                        .namelen = name.n,
                        .value = (uint8_t *)(uintptr_t)value.p,
                        .valuelen = value.n};
}

static size_t request_fields(const struct http_call *x, nghttp2_nv nv[FIELDS_MAX])
{
    const struct http_client *client = x->client;
    size_t n = 0;
    nv[n++] = field(STR(":method"), x->method);
    nv[n++] = field(STR(":scheme"), STR("https"));
    nv[n++] = field(STR(":authority"), client->host);
    nv[n++] = field(STR(":path"), x->target);
    if (!http_header_get(&x->headers, "user-agent").p)
        nv[n++] = field(STR("user-agent"), STR("barque/" BARQUE_VERSION));
    for (size_t i = 0; i < x->headers.n && n < FIELDS_MAX; i++) {
        struct str name = x->headers.v[i].name;
        if (!http_field_is_framing(name) && !str_eqz(name, "host") && !str_eqz(name, "te"))
            nv[n++] = field(name, x->headers.v[i].value);
    }
    return n;
}

void client2_start(struct client_conn *c, struct http_call *x)
{
    nghttp2_nv nv[FIELDS_MAX];
    nghttp2_data_provider body = {.source.ptr = x, .read_callback = give_body};
    size_t n = request_fields(x, nv);
    if (c->two.open == 0)
        c->two.heard_ms = loop_now_ms(c->client->loop);
    x->body_sent = 0;
    x->stream = nghttp2_submit_request(c->two.session, NULL, nv, n, x->body.n ? &body : NULL, x);
    if (x->stream < 0) { /* stream ids have run out: another connection takes it */
        c->closing = true;
        call_leave(x);
        list_push_front(&x->client->waiting, &x->link);
        return;
    }
    c->two.open++;
    watch_silence(c);
    pump(c);
}

bool client2_has_room(const struct client_conn *c)
{
    return c->two.open < c->two.open_max && !c->t.dead;
}

void client2_cancel(struct client_conn *c, struct http_call *x)
{
    if (c->upgrade == x)
        c->upgrade = NULL;
    if (c->t.dead)
        return;
    nghttp2_session_set_stream_user_data(c->two.session, x->stream, NULL);
    nghttp2_submit_rst_stream(c->two.session, NGHTTP2_FLAG_NONE, x->stream, NGHTTP2_CANCEL);
    pump(c);
}

void client2_consumed(struct client_conn *c, struct http_call *x, size_t n)
{
    if (c->t.dead)
        return;
    nghttp2_session_consume_stream(c->two.session, x->stream, n);
    pump(c);
}

/* ---- responses ---- */

static int begin_headers(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
    struct http_call *x = call_of(s, f->hd.stream_id);
    if (x && !x->answered) {
        x->status = 0;
        x->reply = (struct http_headers){0};
        x->reply_bytes = 0;
    }
    return 0;
}

static int got_field(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct http_call *x = call_of(s, f->hd.stream_id);
    if (!x || x->answered)
        return 0; /* trailers */
    struct str n = str_n((const char *)name, name_n), v = str_n((const char *)value, value_n);
    int64_t status;
    if (str_eqz(n, ":status")) {
        x->status = str_to_i64(v, &status) && status >= 100 && status < 1000 ? (int)status : 0;
        return 0;
    }
    x->reply_bytes += n.n + v.n + 32;
    if (x->reply_bytes > CLIENT_HEADER_BYTES_MAX || x->reply.n >= CLIENT_HEADERS_MAX)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
    http_header_add(&x->arena, &x->reply, arena_str(&x->arena, n), arena_str(&x->arena, v));
    return 0;
}

/* After a callback of a call: its connection may have been closed in it. */
static int go_on(const struct client_conn *c)
{
    return c->t.dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int got_head(struct client_conn *c, nghttp2_session *s, int32_t stream)
{
    struct http_call *x = call_of(s, stream);
    if (!x || x->answered || (x->status >= 100 && x->status < 200))
        return 0;
    if (x->status == 0)
        nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, stream, NGHTTP2_PROTOCOL_ERROR);
    else
        (void)!call_head(x, x->status, &x->reply);
    return go_on(c);
}

static int got_frame(nghttp2_session *s, const nghttp2_frame *f, void *arg)
{
    struct client_conn *c = arg;
    switch (f->hd.type) {
    case NGHTTP2_HEADERS: return got_head(c, s, f->hd.stream_id);
    case NGHTTP2_SETTINGS:
        c->two.open_max =
            nghttp2_session_get_remote_settings(s, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
        return 0;
    case NGHTTP2_GOAWAY: c->closing = true; return 0;
    default: return 0;
    }
}

static int got_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *p, size_t n,
                    void *arg)
{
    struct client_conn *c = arg;
    struct http_call *x = call_of(s, stream);
    struct str bytes = str_n((const char *)p, n);
    nghttp2_session_consume_connection(s, n);
    if (!x)
        return 0;
    if (x->paused || x->held.n) {
        buf_str(&x->held, bytes); /* no more than the window */
        return 0;
    }
    if (call_data(x, bytes) && !c->t.dead)
        nghttp2_session_consume_stream(s, stream, n);
    return go_on(c);
}

/* The response is complete. */
static void finished(struct client_conn *c, struct http_call *x)
{
    struct http_client *client = c->client;
    call_leave(x);
    if (x->held.n) {
        x->ended = true;
        list_push_back(&client->ripe, &x->link);
        return;
    }
    call_done(x, NULL);
}

static int closed(nghttp2_session *s, int32_t stream, uint32_t code, void *arg)
{
    struct client_conn *c = arg;
    struct http_call *x = call_of(s, stream);
    c->two.open--;
    if (!x)
        return 0;
    if (code == NGHTTP2_NO_ERROR && x->answered) {
        finished(c, x);
        return go_on(c);
    }
    char why[100];
    snprintf(why, sizeof why, "stream reset by the server: %s", nghttp2_http2_strerror(code));
    call_leave(x);
    if (x->answered)
        call_failed(x, ERR_UNAVAILABLE, "%s", why);
    else
        call_broken(x, code == NGHTTP2_REFUSED_STREAM, why);
    return go_on(c);
}

/* ---- the connection ---- */

static nghttp2_session_callbacks *callbacks(void)
{
    nghttp2_session_callbacks *cb;
    must(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, got_field);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, got_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, got_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, closed);
    return cb;
}

void client2_init(struct client_conn *c)
{
    nghttp2_option *option;
    nghttp2_session_callbacks *cb = callbacks();
    must(nghttp2_option_new(&option) == 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    must(nghttp2_session_client_new2(&c->two.session, cb, c, option) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, CLIENT_STREAM_WINDOW},
    };
    must(nghttp2_submit_settings(c->two.session, NGHTTP2_FLAG_NONE, settings,
                                 ARRAY_LEN(settings)) == 0);
    must(nghttp2_session_set_local_window_size(c->two.session, NGHTTP2_FLAG_NONE, 0,
                                               CLIENT_CONNECTION_WINDOW) == 0);
    c->two.open_max = STREAMS_ASSUMED;
    c->two.heard_ms = loop_now_ms(c->client->loop);
    pump(c);
}

void client2_fini(struct client_conn *c)
{
    if (c->two.session)
        nghttp2_session_del(c->two.session);
}

/* All calls fail or try again elsewhere; the connection is closed. */
static void give_up(struct client_conn *c, const char *why)
{
    struct http_client *client = c->client;
    client->refs++;
    client_conn_close(c);
    while (!list_empty(&c->calls)) {
        struct http_call *x = list_entry(list_first(&c->calls), struct http_call, link);
        call_leave(x);
        if (client->closed) /* in the callback of a call before this one */
            call_drop(x);
        else if (x->answered)
            call_failed(x, ERR_UNAVAILABLE, "%s", why);
        else
            call_broken(x, false, why);
    }
    client_next(client);
    client_unref(client);
}

static void settle(struct client_conn *c)
{
    struct http_client *client = c->client;
    if (c->t.dead)
        return;
    pump(c);
    if (!list_empty(&c->calls))
        watch_silence(c);
    else
        client_conn_idle(c);
    client_next(client);
}

static void received(struct conn *t, struct str bytes)
{
    struct client_conn *c = client_conn(t);
    struct http_client *client = c->client;
    c->two.heard_ms = loop_now_ms(client->loop);
    c->two.pinged = false;
    c->two.feeding = true;
    ssize_t n = nghttp2_session_mem_recv(c->two.session, (const uint8_t *)bytes.p, bytes.n);
    c->two.feeding = false;
    if (t->dead)
        return;
    if (n < 0)
        give_up(c, nghttp2_strerror((int)n));
    else
        settle(c);
}

static void ended(struct conn *t, int error)
{
    give_up(client_conn(t), t->failure ? t->failure
                            : error    ? strerror(-error)
                                       : "connection closed by the server");
}

static void drained(struct conn *t)
{
    pump(client_conn(t));
}

static void silent(struct conn *t)
{
    struct client_conn *c = client_conn(t);
    int64_t now = loop_now_ms(c->client->loop);
    if (list_empty(&c->calls)) {
        client_conn_close(c);
    } else if (now < c->two.heard_ms + CLIENT_PING_AFTER_MS) {
        watch_silence(c);
    } else if (c->two.pinged) {
        give_up(c, "no answer from the server");
    } else {
        c->two.pinged = true;
        nghttp2_submit_ping(c->two.session, NGHTTP2_FLAG_NONE, NULL);
        pump(c);
        conn_deadline(t, now + CLIENT_PING_WAIT_MS);
    }
}

const struct conn_ops client2_ops = {
    .read = received, .end = ended, .drained = drained, .timeout = silent};
