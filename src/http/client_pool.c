/* SPDX-License-Identifier: Apache-2.0 */
/* The connections of a client: dialling, TLS, who carries which call. */
#include <errno.h>

#include "http/client.h"

static void dial_next(struct client_dial *d);
static void dial(struct http_client *c, struct http_call *upgrade);

/* ---- who carries what ---- */

static struct client_conn *free_conn(const struct http_client *c)
{
    struct client_conn *conn;
    list_each (conn, &c->conns, link) {
        if (conn->closing || conn->upgrade_only)
            continue;
        if (conn->protocol == CLIENT_HTTP1 && list_empty(&conn->calls))
            return conn;
        if (conn->protocol == CLIENT_HTTP2 && client2_has_room(conn))
            return conn;
    }
    return NULL;
}

static void assign(struct client_conn *conn, struct http_call *x)
{
    list_remove(&x->link);
    list_push_back(&conn->calls, &x->link);
    x->conn = conn;
    x->tries++;
    if (conn->protocol == CLIENT_HTTP2)
        client2_start(conn, x);
    else
        client1_start(conn, x);
}

/* Connections on their way. */
static uint32_t expected(const struct http_client *c)
{
    uint32_t n = c->dial_count;
    struct client_conn *conn;
    list_each (conn, &c->conns, link)
        n += conn->protocol == CLIENT_UNKNOWN && !conn->upgrade_only;
    return n;
}

/* HTTP/1.1 wants a connection for each call that waits, HTTP/2 one for all; until we know which it
 * is, one. */
static void dial_more(struct http_client *c)
{
    struct http_call *x;
    uint32_t wanted = 0;
    list_each (x, &c->waiting, link)
        if (++wanted >= (c->protocol == CLIENT_HTTP1 ? c->connections_max : 1))
            break;
    for (uint32_t have = expected(c);
         have < wanted && c->conn_count + c->dial_count < c->connections_max; have++)
        dial(c, NULL);
}

void client_next(struct http_client *c)
{
    struct client_conn *conn;
    while (!c->closed && !list_empty(&c->waiting) && (conn = free_conn(c)))
        assign(conn, list_entry(list_first(&c->waiting), struct http_call, link));
    if (!c->closed)
        dial_more(c);
}

/* ---- connections ---- */

static void conn_freed(struct conn *t)
{
    struct client_conn *c = client_conn(t);
    must(list_empty(&c->calls));
    client2_fini(c);
    buf_fini(&c->one.in);
    client_unref(c->client);
    free(c);
}

void client_conn_forget(struct client_conn *c)
{
    c->closing = true;
    if (!list_linked(&c->link))
        return;
    list_remove(&c->link);
    if (!c->upgrade_only)
        c->client->conn_count--;
}

void client_conn_close(struct client_conn *c)
{
    client_conn_forget(c);
    conn_close(&c->t);
}

void client_conn_idle(struct client_conn *c)
{
    if (c->closing || c->client->closed) {
        client_conn_close(c);
        return;
    }
    /* The last one used is the first to be used again, so that the others can go. */
    list_remove(&c->link);
    list_push_front(&c->client->conns, &c->link);
    conn_deadline(&c->t, loop_now_ms(c->client->loop) + CLIENT_IDLE_MS);
}

/* The handshake is done, or there is none. */
static void conn_begin(struct client_conn *c)
{
    struct http_client *client = c->client;
    struct http_call *x = TAKE_PTR(c->upgrade);
    bool http2 = c->t.tls && tls_is_http2(c->t.tls);
    c->protocol = http2 ? CLIENT_HTTP2 : CLIENT_HTTP1;
    c->t.ops = http2 ? &client2_ops : &client1_ops;
    conn_deadline(&c->t, INT64_MAX);
    if (c->upgrade_only) {
        if (x)
            assign(c, x);
        else
            client_conn_close(c);
        return;
    }
    client->protocol = c->protocol;
    if (http2)
        client2_init(c);
    client_conn_idle(c);
    client_next(client);
}

static void handshake_ready(struct conn *t)
{
    conn_begin(client_conn(t));
}

/* Every call that waits fails: no connection could serve it. */
static void fail_waiting(struct http_client *c, const char *why)
{
    size_t n = 0;
    struct http_call *x;
    list_each (x, &c->waiting, link)
        n++;
    while (n-- > 0 && !c->closed && !list_empty(&c->waiting)) {
        x = list_entry(list_pop_front(&c->waiting), struct http_call, link);
        call_failed(x, ERR_UNAVAILABLE, "%s", why);
    }
}

/* x: the upgrade that it was for, if any. */
static void no_connection(struct http_client *c, bool upgrade_only, struct http_call *x,
                          const char *why)
{
    c->refs++;
    if (x)
        call_failed(x, ERR_UNAVAILABLE, "%s", why);
    else if (!upgrade_only && c->conn_count == 0)
        fail_waiting(c, why);
    client_next(c);
    client_unref(c);
}

static void handshake_failed(struct conn *t, int error)
{
    struct client_conn *c = client_conn(t);
    struct http_call *x = TAKE_PTR(c->upgrade);
    char why[256];
    const char *reason = t->failure ? t->failure : error ? strerror(-error) : "connection closed";
    snprintf(why, sizeof why, "TLS handshake with %.*s: %s", STR_ARG(c->client->host), reason);
    if (x)
        x->conn = NULL;
    client_conn_close(c);
    no_connection(c->client, c->upgrade_only, x, why);
}

static void handshake_timeout(struct conn *t)
{
    handshake_failed(t, -ETIMEDOUT);
}

static void handshake_read(struct conn *t, struct str bytes)
{
    never("plaintext before the handshake is done");
}

static void handshake_drained(struct conn *t)
{
}

static const struct conn_ops handshake_ops = {.ready = handshake_ready,
                                              .drained = handshake_drained,
                                              .read = handshake_read,
                                              .end = handshake_failed,
                                              .timeout = handshake_timeout};

/* NULL: the server's name cannot be verified. */
static struct client_conn *conn_new(struct http_client *client, struct stream *s, bool upgrade_only,
                                    int64_t deadline_ms)
{
    struct tls *tls = NULL;
    if (client->tls && !(tls = tls_new(client->tls, client->server_name))) {
        stream_close(s);
        return NULL;
    }
    if (tls && upgrade_only)
        tls_offer_http1(tls);
    struct client_conn *c = xcalloc(1, sizeof *c);
    c->client = client;
    client->refs++;
    c->upgrade_only = upgrade_only;
    list_init(&c->calls);
    buf_init(&c->one.in, CLIENT_HEADER_BYTES_MAX);
    list_push_back(&client->conns, &c->link);
    if (!upgrade_only)
        client->conn_count++;
    conn_init(&c->t, client->loop, s, tls, client->scratch, &handshake_ops, conn_freed);
    conn_deadline(&c->t, deadline_ms);
    return c;
}

/* ---- dialling ---- */

static void dial_free(struct client_dial *d)
{
    list_remove(&d->link);
    if (d->client && !d->upgrade_only)
        d->client->dial_count--;
    if (d->upgrade)
        d->upgrade->dial = NULL;
    free(d);
}

static void dial_failed(struct client_dial *d, const char *what, int error)
{
    struct http_client *c = d->client;
    struct http_call *x = d->upgrade;
    bool upgrade_only = d->upgrade_only;
    char why[256];
    snprintf(why, sizeof why, "%s %.*s: %s", what, STR_ARG(c->host), strerror(error));
    dial_free(d);
    no_connection(c, upgrade_only, x, why);
}

static void dial_connected(struct connect *cc, struct stream *s, int error)
{
    struct client_dial *d = CONTAINER_OF(cc, struct client_dial, connect);
    d->connecting = false;
    if (!s) {
        d->error = -error;
        dial_next(d);
        return;
    }
    struct http_call *x = d->upgrade;
    if (d->upgrade_only && !x) { /* cancelled meanwhile */
        stream_close(s);
        dial_free(d);
        return;
    }
    struct client_conn *c = conn_new(d->client, s, d->upgrade_only, d->deadline_ms);
    if (!c) {
        dial_failed(d, "verifying the name of", EINVAL);
        return;
    }
    dial_free(d);
    c->upgrade = x;
    if (x)
        x->conn = c;
    if (!c->t.tls)
        conn_begin(c);
}

/* The next address, or failure. */
static void dial_next(struct client_dial *d)
{
    struct http_client *c = d->client;
    int64_t left = d->deadline_ms - loop_now_ms(c->loop);
    size_t addresses = c->address.n ? 1 : d->resolve.n;
    if (left <= 0)
        d->error = ETIMEDOUT;
    if (left <= 0 || d->next_address >= addresses) {
        dial_failed(d, "connecting to", d->error);
        return;
    }
    char text[80];
    const char *ip = d->resolve.addresses[d->next_address++];
    snprintf(text, sizeof text, strchr(ip, ':') ? "tcp:[%s]:%d" : "tcp:%s:%d", ip, c->port);
    d->connecting = true;
    loop_connect(c->loop, &d->connect, c->address.n ? c->address : str_z(text), left,
                 dial_connected);
}

static void dial_resolved(struct resolve *r)
{
    struct client_dial *d = CONTAINER_OF(r, struct client_dial, resolve);
    d->resolving = false;
    if (!d->client) /* freed meanwhile */
        dial_free(d);
    else if (r->error)
        dial_failed(d, "resolving", r->error == -ERR_NOT_FOUND ? ENOENT : EAGAIN);
    else
        dial_next(d);
}

static void dial_begin(struct task *t)
{
    struct client_dial *d = CONTAINER_OF(t, struct client_dial, start);
    struct http_client *c = d->client;
    d->error = EINVAL;
    if (c->address.n) {
        dial_next(d);
        return;
    }
    d->resolving = true;
    loop_resolve(c->loop, &d->resolve, c->server_name, dial_resolved);
}

static void dial(struct http_client *c, struct http_call *upgrade)
{
    struct client_dial *d = xcalloc(1, sizeof *d);
    d->client = c;
    d->upgrade = upgrade;
    d->upgrade_only = upgrade != NULL;
    if (upgrade)
        upgrade->dial = d;
    else
        c->dial_count++;
    d->deadline_ms = loop_now_ms(c->loop) + c->connect_timeout_ms;
    list_push_back(&c->dials, &d->link);
    loop_defer(c->loop, &d->start, dial_begin);
}

void client_dial_upgrade(struct http_client *c, struct http_call *x)
{
    dial(c, x);
}

static void dial_drop(struct client_dial *d)
{
    task_cancel(&d->start);
    if (d->upgrade)
        d->upgrade->dial = NULL;
    d->upgrade = NULL;
    if (d->resolving) { /* cannot be cancelled: dial_resolved frees it */
        list_remove(&d->link);
        d->client = NULL;
        return;
    }
    if (d->connecting)
        connect_cancel(&d->connect);
    dial_free(d);
}

/* ---- the client ---- */

/* "example.com:443" -> "example.com" and 443; "[::1]:80" -> "::1" and 80. */
static void split_host(struct http_client *c)
{
    struct str host = c->host, port = STR_NULL;
    ptrdiff_t colon = str_rindex(host, ':');
    uint64_t number = 0;
    bool v6 = str_has_prefix(host, STR("["));
    if (colon >= 0 && (!v6 || colon > str_rindex(host, ']'))) {
        port = str_sub(host, (size_t)colon + 1, host.n);
        host = str_sub(host, 0, (size_t)colon);
    }
    if (v6 && str_skip(&host, STR("[")))
        str_chop(&host, STR("]"));
    c->server_name = host;
    c->port = c->tls ? 443 : 80;
    if (str_to_u64(port, &number) && number <= UINT16_MAX)
        c->port = (uint16_t)number;
}

struct http_client *http_client_new(struct loop *l, const struct http_client_config *config)
{
    struct http_client *c = xcalloc(1, sizeof *c);
    struct str host = config->host;
    c->loop = l;
    arena_init(&c->names, KIB(64));
    c->address = arena_str(&c->names, config->address);
    if (!host.n) { /* the address says it too, unless it is a path */
        host = c->address;
        if (!str_skip(&host, STR("tcp:")))
            host = STR("localhost");
    }
    c->host = arena_str(&c->names, host);
    c->tls = config->tls;
    split_host(c);
    c->protocol = c->tls ? CLIENT_UNKNOWN : CLIENT_HTTP1;
    c->connections_max =
        config->connections_max ? config->connections_max : CLIENT_CONNECTIONS_DEFAULT;
    c->connect_timeout_ms =
        config->connect_timeout_ms ? config->connect_timeout_ms : CLIENT_CONNECT_MS_DEFAULT;
    c->scratch = conn_scratch_new();
    c->refs = 1;
    list_init(&c->conns);
    list_init(&c->dials);
    list_init(&c->waiting);
    list_init(&c->ripe);
    return c;
}

struct loop *http_client_loop(const struct http_client *c)
{
    return c->loop;
}

void client_unref(struct http_client *c)
{
    if (--c->refs > 0)
        return;
    conn_scratch_free(c->scratch);
    arena_fini(&c->names);
    free(c);
}

static void drop_calls(struct list *calls)
{
    while (!list_empty(calls))
        call_drop(list_entry(list_first(calls), struct http_call, link));
}

void http_client_free(struct http_client *c)
{
    c->closed = true;
    drop_calls(&c->waiting);
    drop_calls(&c->ripe);
    while (!list_empty(&c->dials))
        dial_drop(list_entry(list_first(&c->dials), struct client_dial, link));
    while (!list_empty(&c->conns)) {
        struct client_conn *conn = list_entry(list_first(&c->conns), struct client_conn, link);
        drop_calls(&conn->calls);
        conn->upgrade = NULL;
        client_conn_close(conn);
    }
    client_unref(c);
}
