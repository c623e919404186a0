/* SPDX-License-Identifier: Apache-2.0 */
/* Clients: datagrams and connections. The way to upstream is in dns_forward.c. */
#include "network/dns_server.h"

#include "network/dns_forward.h"

/* ---- answers ---- */

static uint8_t *message_room(struct dns_server *s)
{
    return s->scratch + 2;
}

static void stop_connection(struct dns_connection *c);

static void reply_tcp(struct dns_connection *c, size_t n)
{
    struct dns_server *s = c->server;
    s->scratch[0] = (uint8_t)(n >> 8);
    s->scratch[1] = (uint8_t)n;
    struct str part = str_n((const char *)s->scratch, n + 2);
    if (stream_write(c->stream, &part, 1) > DNS_BACKLOG_MAX)
        c->broken = true;
}

/* The message of n bytes in the scratch room goes to the client. */
void dns_reply(struct dns_server *s, const struct dns_client *to, size_t n)
{
    if (n == 0)
        return;
    if (to->connection)
        reply_tcp(to->connection, n);
    else
        udp_send(to->udp, str_n((const char *)message_room(s), n), &to->peer, to->peer_len);
}

void dns_reply_error(struct dns_server *s, const struct dns_client *to, struct str query,
                     enum dns_rcode rcode)
{
    dns_reply(s, to, dns_error(query, rcode, message_room(s)));
}

void dns_serve(struct dns_server *s, const struct dns_client *from, struct str query,
               struct str chased)
{
    struct dns_name chase;
    size_t n;
    enum dns_verdict v =
        dns_answer(&s->zone, query, from->connection, (uint32_t)loop_random_u64(s->loop), chased,
                   message_room(s), &n, &chase);
    if (v == DNS_ANSWER)
        dns_reply(s, from, n);
    else if (v == DNS_FORWARD)
        dns_forward(s, from, query, NULL);
    else if (v == DNS_CHASE)
        dns_forward(s, from, query, &chase);
}

/* ---- datagrams ---- */

static void received(struct udp *u, void *arg, struct str bytes, const void *peer, size_t peer_len)
{
    struct dns_server *s = arg;
    struct dns_client from = {.udp = u, .peer_len = peer_len};
    s->queries++;
    if (peer_len > sizeof from.peer || bytes.n > DNS_QUERY_MAX) {
        s->dropped++;
        return;
    }
    memcpy(&from.peer, peer, peer_len);
    dns_serve(s, &from, bytes, STR_NULL);
}

/* ---- connections ---- */

static void stop_connection(struct dns_connection *c)
{
    struct dns_server *s = c->server;
    dns_forget_connection(s, c);
    timer_stop(&c->idle);
    task_cancel(&c->work);
    stream_close(c->stream);
    list_remove(&c->link);
    s->connection_count--;
    buf_fini(&c->in);
    free(c);
}

static void idle_too_long(struct timer *t)
{
    stop_connection(CONTAINER_OF(t, struct dns_connection, idle));
}

static void rest(struct dns_connection *c)
{
    if (c->asking == 0)
        timer_start(c->server->loop, &c->idle, DNS_IDLE_MS, idle_too_long);
    else
        timer_stop(&c->idle);
}

/* One whole query at the front of the buffer; false: not yet. */
static bool next_query(const struct dns_connection *c, struct str *ret)
{
    const uint8_t *p = (const uint8_t *)c->in.p;
    if (c->in.n < 2)
        return false;
    size_t n = (size_t)p[0] << 8 | p[1];
    *ret = str_n(c->in.p + 2, n);
    return c->in.n >= n + 2;
}

static bool too_long(const struct dns_connection *c)
{
    const uint8_t *p = (const uint8_t *)c->in.p;
    return c->in.failed || (c->in.n >= 2 && ((size_t)p[0] << 8 | p[1]) > DNS_QUERY_MAX);
}

/* Serves what is there, as far as the pipeline allows; the rest waits, unread. */
static void serve_connection(struct task *t)
{
    struct dns_connection *c = CONTAINER_OF(t, struct dns_connection, work);
    struct dns_client from = {.connection = c};
    struct str query;
    while (!c->broken && c->asking < DNS_PIPELINE_MAX && next_query(c, &query)) {
        c->server->queries++;
        dns_serve(c->server, &from, query, STR_NULL);
        buf_consume(&c->in, query.n + 2);
    }
    if (c->broken || too_long(c) || (c->ended && c->asking == 0)) {
        stop_connection(c);
        return;
    }
    if (c->asking >= DNS_PIPELINE_MAX)
        stream_pause(c->stream);
    else if (!c->ended)
        stream_resume(c->stream);
    rest(c);
}

void dns_connection_answered(struct dns_connection *c)
{
    c->asking--;
    loop_defer(c->server->loop, &c->work, serve_connection);
}

static void read_connection(struct stream *st, void *arg, struct str bytes)
{
    struct dns_connection *c = arg;
    buf_str(&c->in, bytes);
    loop_defer(c->server->loop, &c->work, serve_connection);
}

/* A client may close its side and still wait for answers. */
static void end_connection(struct stream *st, void *arg, int error)
{
    struct dns_connection *c = arg;
    c->ended = true;
    c->broken |= error != 0;
    loop_defer(c->server->loop, &c->work, serve_connection);
}

static const struct stream_ops connection_ops = {.read = read_connection, .end = end_connection};

static void accepted(void *arg, struct stream *st)
{
    struct dns_server *s = arg;
    if (s->connection_count >= DNS_CONNECTIONS_MAX) {
        s->dropped++;
        stream_close(st);
        return;
    }
    struct dns_connection *c = xcalloc(1, sizeof *c);
    c->server = s;
    c->stream = st;
    /* What one read brings beyond a full pipeline: 64 KiB. */
    c->in = BUF_INIT(DNS_QUERY_MAX + 2 + KIB(128));
    list_init(&c->askers);
    list_push_back(&s->connections, &c->link);
    s->connection_count++;
    stream_start(st, &connection_ops, c);
    rest(c);
}

/* ---- life ---- */

void dns_server_init(struct dns_server *s, struct loop *l, const struct dns_zone *z,
                     const char *resolv_conf)
{
    memset(s, 0, sizeof *s);
    s->loop = l;
    s->zone = *z;
    s->resolv_conf = resolv_conf;
    s->upstream_port = 53;
    s->looked_ms = INT64_MIN;
    list_init(&s->connections);
}

static struct str socket_address(char *out, size_t room, const char *scheme, struct ip a,
                                 uint16_t port)
{
    char text[IP_TEXT_MAX];
    bool six = a.family == 6;
    int n = snprintf(out, room, "%s:%s%s%s:%u", scheme, six ? "[" : "", ip_text(a, text),
                     six ? "]" : "", port);
    return str_n(out, (size_t)n);
}

int dns_server_listen(struct dns_server *s, struct ip address, uint16_t port, struct err *e)
{
    char text[80];
    size_t slot = address.family == 6;
    s->udp[slot] =
        loop_udp(s->loop, socket_address(text, sizeof text, "udp", address, port), received, s, e);
    if (!s->udp[slot])
        return -(int)e->code;
    struct str bound = udp_address(s->udp[slot]);
    uint64_t chosen = port;
    str_to_u64(str_sub(bound, (size_t)str_rindex(bound, ':') + 1, bound.n), &chosen);
    s->listener[slot] =
        loop_listen(s->loop, socket_address(text, sizeof text, "tcp", address, (uint16_t)chosen),
                    accepted, s, e);
    if (s->listener[slot])
        return 0;
    udp_close(s->udp[slot]);
    s->udp[slot] = NULL;
    return -(int)e->code;
}

void dns_server_close(struct dns_server *s)
{
    for (struct list *at; (at = list_first(&s->connections));)
        stop_connection(list_entry(at, struct dns_connection, link));
    dns_forget_all(s);
    for (size_t i = 0; i < 2; i++) {
        if (s->udp[i])
            udp_close(s->udp[i]);
        if (s->listener[i])
            listener_close(s->listener[i]);
        s->udp[i] = NULL;
        s->listener[i] = NULL;
    }
    map_fini(&s->forwards);
    s->forwards = MAP_INIT;
}
