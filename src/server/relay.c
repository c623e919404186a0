/* SPDX-License-Identifier: Apache-2.0 */
#include "server/relay.h"

#include "server/impl.h"

enum { CONNECT_QUEUE_BYTES_MAX = 256 << 10 };

struct relay {
    struct request *r; /* NULL once the client's side is over */
    struct http_client *client;
    struct http_call *call;
    struct http_raw *down, *up; /* to the client, to the agent */
    struct task cleanup;
    struct loop *loop;
    bool started; /* the plain answer's head has left */
    bool keep_headers;
};

static void relay_free(struct task *t)
{
    struct relay *y = CONTAINER_OF(t, struct relay, cleanup);
    http_client_free(y->client);
    free(y);
}

/* Everything is over; memory goes when the present callback has returned. */
static void relay_end(struct relay *y)
{
    loop_defer(y->loop, &y->cleanup, relay_free);
}

/* ---- raw bytes, both ways ---- */

static void down_data(void *arg, struct str bytes)
{
    struct relay *y = arg;
    if (y->up && http_raw_write(y->up, bytes) > CONNECT_QUEUE_BYTES_MAX)
        http_raw_pause(y->down, true);
}

static void up_data(void *arg, struct str bytes)
{
    struct relay *y = arg;
    if (y->down && http_raw_write(y->down, bytes) > CONNECT_QUEUE_BYTES_MAX)
        http_raw_pause(y->up, true);
}

static void either_end(void *arg)
{
    struct relay *y = arg;
    if (y->down)
        http_raw_close(y->down);
    if (y->up)
        http_raw_close(y->up);
    if (y->down || y->up)
        relay_end(y);
    y->down = y->up = NULL;
}

static void down_drained(void *arg)
{
    struct relay *y = arg;
    if (y->up)
        http_raw_pause(y->up, false);
}

static void up_drained(void *arg)
{
    struct relay *y = arg;
    if (y->down)
        http_raw_pause(y->down, false);
}

static const struct http_raw_ops down_ops = {down_data, either_end, down_drained};
static const struct http_raw_ops up_ops = {up_data, either_end, up_drained};

static void upgraded(void *arg, int status, const struct http_headers *headers,
                     struct http_raw *raw)
{
    struct relay *y = arg;
    struct request *r = y->r;
    y->up = raw;
    y->call = NULL;
    if (!r || r->aborted) {
        http_raw_close(raw);
        relay_end(y);
        return;
    }
    r->on_abort = NULL;
    y->down = http_hijack(r->exchange, status, headers, &down_ops, y);
    y->r = NULL;
    request_free(r);
}

/* Headers that concern one connection only (RFC 9110 7.6.1), and the length, which the framing of
 * the answer tells. */
static bool hop_by_hop(struct str name)
{
    static const char *const names[] = {"connection",          "keep-alive", "proxy-authenticate",
                                        "proxy-authorization", "te",         "trailer",
                                        "transfer-encoding",   "upgrade",    "content-length"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eqz(name, names[i]))
            return true;
    return false;
}

/* ---- a plain answer (logs, or a refusal of the upgrade) ---- */

static void head(void *arg, int status, const struct http_headers *headers)
{
    struct relay *y = arg;
    struct request *r = y->r;
    struct http_headers kept = {0};
    struct str type = http_header_get(headers, "content-type");
    for (size_t i = 0; y->keep_headers && i < headers->n; i++)
        if (!hop_by_hop(headers->v[i].name) && !str_eq(headers->v[i].name, STR("content-type")))
            http_header_add(r->arena, &kept, arena_str(r->arena, headers->v[i].name),
                            arena_str(r->arena, headers->v[i].value));
    y->started = true;
    r->responded = true;
    r->responder->start(r, status, type.n ? type : STR("text/plain"), &kept);
}

static void data(void *arg, struct str bytes)
{
    struct relay *y = arg;
    if (y->r->responder->write(y->r, &bytes, 1) > CONNECT_QUEUE_BYTES_MAX)
        http_call_pause(y->call, true);
}

static void done(void *arg, const struct err *error)
{
    struct relay *y = arg;
    struct request *r = y->r;
    y->call = NULL;
    y->r = NULL;
    r->on_abort = NULL;
    r->on_drained = NULL;
    if (y->started && error) {
        http_reset(r->exchange);
        request_free(r);
    } else if (y->started) {
        r->responder->end(r);
    } else
        respond_errorf(r, y->keep_headers ? ERR_UNAVAILABLE : ERR_INTERNAL,
                       "error dialing backend: %.*s",
                       STR_ARG(error ? error->message : STR("no answer")));
    relay_end(y);
}

static const struct http_call_ops call_ops = {head, data, done};

static void client_gone(struct request *r)
{
    struct relay *y = r->stage;
    if (y->call)
        http_call_cancel(y->call);
    y->call = NULL;
    y->r = NULL;
    request_free(r);
    relay_end(y);
}

static void client_drained(struct request *r)
{
    struct relay *y = r->stage;
    if (y->call)
        http_call_pause(y->call, false);
}

/* What the client sent, without what was meant for this server. */
static struct http_headers onward(struct request *r)
{
    struct http_headers h = {0};
    for (size_t i = 0; i < r->headers->n; i++) {
        struct str name = r->headers->v[i].name;
        if (!hop_by_hop(name) && !str_eq(name, STR("host")) &&
            !str_eq(name, STR("authorization")) && !str_has_prefix(name, STR("impersonate-")))
            http_header_add(r->arena, &h, name, r->headers->v[i].value);
    }
    http_header_add(r->arena, &h, STR("x-forwarded-for"), r->source_ip);
    return h;
}

/* The headers that an upgrade is made of. */
static struct http_headers upgrade_headers(struct request *r)
{
    struct http_headers h = {0};
    for (size_t i = 0; i < r->headers->n; i++) {
        struct str name = r->headers->v[i].name;
        if (str_eq(name, STR("connection")) || str_eq(name, STR("upgrade")) ||
            str_has_prefix(name, STR("sec-websocket-")) ||
            str_eq(name, STR("x-stream-protocol-version")))
            http_header_add(r->arena, &h, name, r->headers->v[i].value);
    }
    return h;
}

void relay_start(struct request *r, const struct relay_target *t)
{
    struct relay *y = xcalloc(1, sizeof *y);
    struct http_client_config c = {.address = t->address, .host = t->host, .tls = t->tls};
    y->r = r;
    y->loop = r->server->loop;
    y->keep_headers = t->proxy;
    y->client = http_client_new(y->loop, &c);
    r->stage = y;
    r->on_abort = client_gone;
    r->on_drained = client_drained;
    if (http_header_has_token(r->headers, "connection", "upgrade")) {
        struct http_headers h = upgrade_headers(r);
        y->call =
            http_call_upgrade(y->client, r->method, t->path, &h, &call_ops, upgraded, &up_ops, y);
        return;
    }
    struct http_headers h = t->proxy ? onward(r) : (struct http_headers){0};
    y->call = http_call(y->client, r->method, t->path, &h, r->body, 0, &call_ops, y);
}
