/* SPDX-License-Identifier: Apache-2.0 */
/* How a client and a server agree on a mux: RFC 6455 section 4, and Kubernetes' SPDY upgrade. */
#include "http/mux.h"
#include "http/ws.h"

#define WS_PROTOCOLS       "sec-websocket-protocol"
#define SPDY_PROTOCOLS     "x-stream-protocol-version"
#define SPDY_ACCEPTED_LIST "x-accepted-stream-protocol-versions"

enum { OFFERS_MAX = 32 };

/* ---- what both sides look at ---- */

/* The comma-separated values of all headers of the name. */
static size_t offers(const struct http_headers *h, const char *name, struct str ret[OFFERS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        struct str values = h->v[i].value, one;
        if (!str_eqz(h->v[i].name, name))
            continue;
        while (str_next(&values, ',', &one) && n < OFFERS_MAX)
            if (!str_empty(str_trim(one)))
                ret[n++] = str_trim(one);
    }
    return n;
}

/* The first of `protocols` that is offered; NULL: none. */
static const char *agree(const char *const *protocols, const struct str *offered, size_t n)
{
    for (; *protocols; protocols++)
        for (size_t i = 0; i < n; i++)
            if (str_eqz(offered[i], *protocols))
                return *protocols;
    return NULL;
}

static const char *protocol_header(enum http_mux_kind kind)
{
    return kind == HTTP_MUX_SPDY ? SPDY_PROTOCOLS : WS_PROTOCOLS;
}

/* ---- the server's side ---- */

enum http_mux_kind http_upgrade_wanted(const struct http_request *r)
{
    if (r->http2 || !http_header_has_token(&r->headers, "connection", "upgrade"))
        return HTTP_MUX_NONE;
    if (http_header_has_token(&r->headers, "upgrade", "websocket"))
        return HTTP_MUX_WEBSOCKET;
    if (http_header_has_token(&r->headers, "upgrade", "spdy/3.1"))
        return HTTP_MUX_SPDY;
    return HTTP_MUX_NONE;
}

static void refuse(struct http_exchange *x, int status, struct http_headers *h, const char *fmt,
                   ...) PRINTF(4, 5);

static void refuse(struct http_exchange *x, int status, struct http_headers *h, const char *fmt,
                   ...)
{
    struct arena *a = http_arena(x);
    struct http_headers none = {0};
    CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB(8));
    va_list ap;
    va_start(ap, fmt);
    buf_vfmt(&text, fmt, ap);
    va_end(ap);
    buf_c(&text, '\n');
    h = h ? h : &none;
    http_header_add(a, h, STR("content-type"), STR("text/plain; charset=utf-8"));
    http_respond(x, status, h, buf_to_arena(&text, a));
}

/* Is the handshake itself in order? Responds when not. */
static bool handshake_ok(struct http_exchange *x, enum http_mux_kind kind)
{
    const struct http_request *r = http_request(x);
    struct http_headers h = {0};
    if (kind == HTTP_MUX_NONE) {
        refuse(x, 400, NULL, "unable to upgrade: missing upgrade headers in request");
        return false;
    }
    if (kind == HTTP_MUX_SPDY)
        return true;
    if (!str_eqz(r->method, "GET") ||
        !ws_key_valid(http_header_get(&r->headers, "sec-websocket-key"))) {
        refuse(x, 400, NULL, "unable to upgrade: not a WebSocket handshake");
        return false;
    }
    if (!str_eqz(http_header_get(&r->headers, "sec-websocket-version"), "13")) {
        http_header_add(http_arena(x), &h, STR("sec-websocket-version"), STR("13"));
        refuse(x, 400, &h, "unable to upgrade: WebSocket version 13 is required");
        return false;
    }
    return true;
}

static void list(struct buf *b, const struct str *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_fmt(b, "%s%.*s", i ? " " : "", STR_ARG(v[i]));
}

static void refuse_protocols(struct http_exchange *x, enum http_mux_kind kind,
                             const char *const *protocols, const struct str *offered, size_t n)
{
    struct http_headers h = {0};
    struct str mine[OFFERS_MAX];
    size_t n_mine = 0;
    CLEANUP(buf_fini) struct buf clients = BUF_INIT(KIB(2)), servers = BUF_INIT(KIB(2));
    for (; protocols[n_mine] && n_mine < OFFERS_MAX; n_mine++) {
        mine[n_mine] = str_z(protocols[n_mine]);
        if (kind == HTTP_MUX_SPDY)
            http_header_add(http_arena(x), &h, STR(SPDY_ACCEPTED_LIST), mine[n_mine]);
    }
    list(&clients, offered, n);
    list(&servers, mine, n_mine);
    refuse(
        x, 403, &h,
        "unable to upgrade: unable to negotiate protocol: client supports [%.*s], server accepts "
        "[%.*s]",
        STR_ARG(buf_view(&clients)), STR_ARG(buf_view(&servers)));
}

/* "" or one of `protocols`; NULL after a refusal. */
static const char *negotiate(struct http_exchange *x, enum http_mux_kind kind,
                             const char *const *protocols, bool allow_none)
{
    struct str offered[OFFERS_MAX];
    size_t n = offers(&http_request(x)->headers, protocol_header(kind), offered);
    if (n == 0 && allow_none)
        return "";
    if (n == 0 && kind == HTTP_MUX_SPDY) {
        refuse(x, 400, NULL, "unable to upgrade: X-Stream-Protocol-Version is required");
        return NULL;
    }
    const char *agreed = agree(protocols, offered, n);
    if (!agreed)
        refuse_protocols(x, kind, protocols, offered, n);
    return agreed;
}

static void answer_headers(struct http_exchange *x, enum http_mux_kind kind, const char *agreed,
                           struct http_headers *h)
{
    struct arena *a = http_arena(x);
    bool spdy = kind == HTTP_MUX_SPDY;
    http_header_add(a, h, STR("connection"), STR("Upgrade"));
    http_header_add(a, h, STR("upgrade"), spdy ? STR("SPDY/3.1") : STR("websocket"));
    if (*agreed)
        http_header_add(a, h, str_z(protocol_header(kind)), str_z(agreed));
    if (spdy)
        return;
    char accept[WS_ACCEPT_SIZE];
    ws_accept(accept, http_header_get(&http_request(x)->headers, "sec-websocket-key"));
    http_header_add(a, h, STR("sec-websocket-accept"), arena_cstr(a, accept));
}

struct http_mux *http_upgrade(struct http_exchange *x, const char *const *protocols,
                              bool allow_none, const struct http_mux_ops *ops, void *arg,
                              struct str *ret_protocol)
{
    enum http_mux_kind kind = http_upgrade_wanted(http_request(x));
    if (!handshake_ok(x, kind))
        return NULL;
    const char *agreed = negotiate(x, kind, protocols, allow_none);
    if (!agreed)
        return NULL;
    struct http_headers h = {0};
    answer_headers(x, kind, agreed, &h);
    *ret_protocol = str_z(agreed);
    struct http_mux *m = mux_new(http_loop(x), ops, arg);
    mux_begin(m, mux_format(kind, *ret_protocol, false), http_hijack(x, 101, &h, &mux_raw_ops, m));
    return m;
}

/* ---- the client's side ---- */

enum { REFUSAL_BYTES_MAX = 4096 };

struct http_mux_call {
    enum http_mux_kind kind;
    struct http_call *call;
    struct http_mux *mux;
    const char *const *protocols;
    char key[WS_KEY_SIZE];
    void *arg;
    void (*up)(void *arg, struct http_mux *m, struct str protocol, const struct err *error);
    int status;
    struct buf text; /* of a refusal */
};

static void mux_call_free(struct http_mux_call *c)
{
    if (c->mux)
        mux_free(c->mux);
    buf_fini(&c->text);
    free(c);
}

static void call_head(void *arg, int status, const struct http_headers *headers)
{
    struct http_mux_call *c = *mux_waiter(arg);
    c->status = status;
}

static void call_data(void *arg, struct str bytes)
{
    struct http_mux_call *c = *mux_waiter(arg);
    buf_str(&c->text, str_sub(bytes, 0, REFUSAL_BYTES_MAX - c->text.n));
}

static void call_done(void *arg, const struct err *error)
{
    struct http_mux_call *c = *mux_waiter(arg);
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct str text = str_trim(buf_view(&c->text));
    enum err_code code = c->status >= 400 ? err_from_http(c->status) : ERR_UNAVAILABLE;
    if (error)
        e = *error;
    else if (text.n)
        err_set(&e, code, "%.*s", STR_ARG(text));
    else
        err_set(&e, code, "the server answered %d instead of switching protocols", c->status);
    c->up(c->arg, NULL, STR_NULL, &e);
    mux_call_free(c);
    arena_fini(&a);
}

/* Is what the server agreed to what was asked? NULL: no. */
static const char *agreed_by(struct http_mux_call *c, const struct http_headers *headers)
{
    struct str chosen = http_header_get(headers, protocol_header(c->kind));
    if (c->kind == HTTP_MUX_WEBSOCKET) {
        char accept[WS_ACCEPT_SIZE];
        ws_accept(accept, str_z(c->key));
        if (!str_eqz(http_header_get(headers, "sec-websocket-accept"), accept))
            return NULL;
    }
    return str_empty(chosen) ? "" : agree(c->protocols, &chosen, 1);
}

static void call_upgraded(void *arg, int status, const struct http_headers *headers,
                          struct http_raw *raw)
{
    struct http_mux_call *c = *mux_waiter(arg);
    const char *protocol = agreed_by(c, headers);
    if (!protocol) {
        http_raw_close(raw);
        buf_z(&c->text, "the server switched to a protocol that was not asked for");
        call_done(arg, NULL);
        return;
    }
    struct http_mux *m = TAKE_PTR(c->mux);
    mux_begin(m, mux_format(c->kind, str_z(protocol), true), raw);
    c->up(c->arg, m, str_z(protocol), NULL);
    mux_call_free(c);
}

static const struct http_call_ops call_ops = {call_head, call_data, call_done};

static void request_headers(struct http_mux_call *c, struct arena *a, struct http_headers *h)
{
    bool spdy = c->kind == HTTP_MUX_SPDY;
    struct str name = str_z(protocol_header(c->kind));
    http_header_add(a, h, STR("connection"), STR("Upgrade"));
    http_header_add(a, h, STR("upgrade"), spdy ? STR("SPDY/3.1") : STR("websocket"));
    for (size_t i = 0; c->protocols[i]; i++)
        http_header_add(a, h, name, str_z(c->protocols[i]));
    if (spdy)
        return;
    http_header_add(a, h, STR("sec-websocket-version"), STR("13"));
    http_header_add(a, h, STR("sec-websocket-key"), str_z(c->key));
}

struct http_mux_call *http_mux_call(struct http_client *client, enum http_mux_kind kind,
                                    struct str target, const struct http_headers *headers,
                                    const char *const *protocols, const struct http_mux_ops *ops,
                                    void *arg,
                                    void (*up)(void *arg, struct http_mux *m, struct str protocol,
                                               const struct err *error))
{
    struct arena a = ARENA_INIT;
    struct http_headers h = {0};
    unsigned char nonce[16];
    struct http_mux_call *c = xcalloc(1, sizeof *c);
    c->kind = kind;
    c->protocols = protocols;
    c->up = up;
    c->arg = arg;
    buf_init(&c->text, REFUSAL_BYTES_MAX);
    loop_random(http_client_loop(client), nonce, sizeof nonce);
    ws_key_make(c->key, nonce);
    for (size_t i = 0; headers && i < headers->n; i++)
        http_header_add(&a, &h, headers->v[i].name, headers->v[i].value);
    request_headers(c, &a, &h);
    c->mux = mux_new(http_client_loop(client), ops, arg);
    *mux_waiter(c->mux) = c;
    c->call = http_call_upgrade(client, kind == HTTP_MUX_SPDY ? STR("POST") : STR("GET"), target,
                                &h, &call_ops, call_upgraded, &mux_raw_ops, c->mux);
    arena_fini(&a);
    return c;
}

void http_mux_call_cancel(struct http_mux_call *c)
{
    http_call_cancel(c->call);
    mux_call_free(c);
}
