/* SPDX-License-Identifier: Apache-2.0 */
#include "network/dns_forward.h"

#include <netinet/in.h>
#include <sys/stat.h>

#include "network/dns_wire.h"
#include "network/record.h"

/* One question to upstream, and everyone who waits for its answer. */
struct forward {
    struct dns_server *server;
    struct buf key; /* in server->forwards, when listed */
    bool listed;
    uint8_t *query; /* as sent, with an id of its own */
    size_t query_len;
    bool tcp;
    uint32_t tries;
    struct ip upstream; /* asked now */
    struct timer timer;
    struct udp *udp;
    struct connect connect;
    bool connecting;
    struct stream *stream;
    struct buf in;
    struct list askers;
};

struct asker {
    struct list link;            /* in forward->askers */
    struct list connection_link; /* in connection->askers */
    struct dns_server *server;
    struct dns_client client;
    bool chase;
    size_t query_len;
    uint8_t query[];
};

static void next_try(struct forward *f);

/* ---- resolv.conf ---- */

enum { LOOK_AGAIN_MS = 1000, RESOLV_CONF_MAX = 1 << 16 };

static bool is_own(struct ip a, const struct ip own[2])
{
    return ip_is_any(a) || ip_eq(a, own[0]) || ip_eq(a, own[1]);
}

size_t dns_parse_resolv_conf(struct str text, const struct ip own[2],
                             struct ip ret[DNS_UPSTREAMS_MAX])
{
    size_t n = 0;
    struct str line;
    while (n < DNS_UPSTREAMS_MAX && str_next(&text, '\n', &line)) {
        struct ip a;
        line = str_trim(line);
        if (!str_skip(&line, STR("nameserver")) || !line.n || (*line.p != ' ' && *line.p != '\t'))
            continue;
        line = str_trim(line);
        size_t end = 0;
        while (end < line.n && line.p[end] != ' ' && line.p[end] != '\t' && line.p[end] != '#')
            end++;
        if (ip_parse(str_sub(line, 0, end), &a) && !is_own(a, own))
            ret[n++] = a;
    }
    return n;
}

static void look_at_file(struct dns_server *s)
{
    int64_t now = loop_now_ms(s->loop);
    struct stat st;
    if (s->looked_ms != INT64_MIN && now - s->looked_ms < LOOK_AGAIN_MS)
        return;
    s->looked_ms = now;
    if (stat(s->resolv_conf, &st) < 0)
        return;
    const int64_t id[4] = {(int64_t)st.st_dev, (int64_t)st.st_ino, st.st_size,
                           st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
    if (memcmp(id, s->file_id, sizeof id) == 0)
        return;
    CLEANUP(free_ptr) char *text = xmalloc(RESOLV_CONF_MAX);
    ssize_t n = file_read(s->resolv_conf, text, RESOLV_CONF_MAX);
    if (n < 0)
        return;
    memcpy(s->file_id, id, sizeof id);
    s->upstream_count =
        dns_parse_resolv_conf(str_n(text, (size_t)n), s->zone.address, s->upstreams);
    s->preferred = 0;
}

/* ---- those who wait ---- */

static void asker_free(struct asker *a)
{
    list_remove(&a->link);
    list_remove(&a->connection_link);
    a->server->asker_count--;
    free(a);
}

static void asker_done(struct asker *a)
{
    struct dns_connection *c = a->client.connection;
    asker_free(a);
    if (c)
        dns_connection_answered(c);
}

static void asker_add(struct forward *f, const struct dns_client *from, struct str query,
                      bool chase)
{
    struct asker *a = xcalloc(1, sizeof *a + query.n);
    a->server = f->server;
    a->client = *from;
    a->chase = chase;
    a->query_len = query.n;
    memcpy(a->query, query.p, query.n);
    list_push_back(&f->askers, &a->link);
    f->server->asker_count++;
    if (!from->connection)
        return;
    list_push_back(&from->connection->askers, &a->connection_link);
    from->connection->asking++;
}

/* ---- one question ---- */

static void close_sockets(struct forward *f)
{
    timer_stop(&f->timer);
    if (f->udp)
        udp_close(f->udp);
    if (f->connecting)
        connect_cancel(&f->connect);
    if (f->stream)
        stream_close(f->stream);
    f->udp = NULL;
    f->stream = NULL;
    f->connecting = false;
    buf_clear(&f->in);
}

static void forward_free(struct forward *f)
{
    close_sockets(f);
    if (f->listed)
        map_remove(&f->server->forwards, buf_view(&f->key));
    buf_fini(&f->key);
    buf_fini(&f->in);
    free(f->query);
    free(f);
}

/* The reply for one of those who asked: its id, and the name in the case it wrote. */
static void pass_on(struct dns_server *s, const struct asker *a, struct str reply)
{
    struct str query = str_n((const char *)a->query, a->query_len);
    if (a->chase) {
        dns_serve(s, &a->client, query, reply);
        return;
    }
    struct dns_query q;
    enum dns_rcode fault;
    uint8_t *out = s->scratch + 2;
    must(reply.n <= DNS_MESSAGE_MAX && dns_read_query(query, &q, &fault));
    memcpy(out, reply.p, reply.n);
    memcpy(out, a->query, 2);
    memcpy(out + DNS_HEADER, a->query + DNS_HEADER, q.question_end - DNS_HEADER);
    dns_reply(s, &a->client, reply.n);
}

static void finish(struct forward *f, struct str reply)
{
    struct dns_server *s = f->server;
    struct list askers;
    list_init(&askers);
    for (struct list *at; (at = list_pop_front(&f->askers));)
        list_push_back(&askers, at);
    /* Out of the way first: answering may ask the same again. The reply is in f->in or in the
     * socket's buffer, so f goes last. */
    map_remove(&s->forwards, buf_view(&f->key));
    f->listed = false;
    for (struct list *at; (at = list_first(&askers));) {
        struct asker *a = list_entry(at, struct asker, link);
        struct str query = str_n((const char *)a->query, a->query_len);
        if (reply.n)
            pass_on(s, a, reply);
        else if (a->chase)
            dns_serve(s, &a->client, query, STR(""));
        else
            dns_reply_error(s, &a->client, query, DNS_SERVFAIL);
        asker_done(a);
    }
    forward_free(f);
}

static bool is_from(const struct forward *f, const void *peer)
{
    const struct sockaddr *sa = peer;
    struct ip a = {0};
    uint16_t port = 0;
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = peer;
        a.family = 4;
        memcpy(a.bytes, &in->sin_addr, 4);
        port = ntohs(in->sin_port);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = peer;
        a.family = 6;
        memcpy(a.bytes, &in->sin6_addr, 16);
        port = ntohs(in->sin6_port);
    }
    return ip_eq(a, f->upstream) && port == f->server->upstream_port;
}

static void try_reply(struct forward *f, struct str reply)
{
    if (dns_is_reply(str_n((const char *)f->query, f->query_len), reply))
        finish(f, reply);
}

static void got_datagram(struct udp *u, void *arg, struct str bytes, const void *peer, size_t len)
{
    struct forward *f = arg;
    if (is_from(f, peer))
        try_reply(f, bytes);
}

/* ---- over TCP ---- */

static void got_bytes(struct stream *s, void *arg, struct str bytes)
{
    struct forward *f = arg;
    buf_str(&f->in, bytes);
    const uint8_t *p = (const uint8_t *)f->in.p;
    if (f->in.failed) {
        next_try(f);
        return;
    }
    size_t n = f->in.n < 2 ? 0 : (size_t)p[0] << 8 | p[1];
    if (f->in.n >= 2 && f->in.n >= n + 2)
        try_reply(f, str_n(f->in.p + 2, n));
}

static void got_end(struct stream *s, void *arg, int error)
{
    next_try(arg);
}

static const struct stream_ops stream_ops = {.read = got_bytes, .end = got_end};

static void connected(struct connect *c, struct stream *s, int error)
{
    struct forward *f = CONTAINER_OF(c, struct forward, connect);
    f->connecting = false;
    if (!s) {
        next_try(f);
        return;
    }
    f->stream = s;
    stream_start(s, &stream_ops, f);
    const char length[2] = {(char)(f->query_len >> 8), (char)f->query_len};
    const struct str parts[] = {str_n(length, 2), str_n((const char *)f->query, f->query_len)};
    stream_write(s, parts, ARRAY_LEN(parts)); /* when broken, end comes */
}

static void send_tcp(struct forward *f)
{
    char text[IP_TEXT_MAX], address[80];
    bool six = f->upstream.family == 6;
    snprintf(address, sizeof address, "tcp:%s%s%s:%u", six ? "[" : "", ip_text(f->upstream, text),
             six ? "]" : "", f->server->upstream_port);
    f->connecting = true;
    loop_connect(f->server->loop, &f->connect, str_z(address), DNS_TRY_MS, connected);
}

/* ---- over UDP ---- */

static bool send_udp(struct forward *f)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    bool six = f->upstream.family == 6;
    f->udp = loop_udp(f->server->loop, six ? STR("udp:[::]:0") : STR("udp:0.0.0.0:0"), got_datagram,
                      f, &e);
    arena_fini(&a);
    if (!f->udp)
        return false;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(f->server->upstream_port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons(f->server->upstream_port)};
    memcpy(&v4.sin_addr, f->upstream.bytes, 4);
    memcpy(&v6.sin6_addr, f->upstream.bytes, 16);
    udp_send(f->udp, str_n((const char *)f->query, f->query_len),
             six ? (const void *)&v6 : (const void *)&v4, six ? sizeof v6 : sizeof v4);
    return true;
}

/* ---- tries ---- */

static void timed_out(struct timer *t)
{
    next_try(CONTAINER_OF(t, struct forward, timer));
}

/* The one that answered last is asked first; each failure moves on to the next. */
static void next_try(struct forward *f)
{
    struct dns_server *s = f->server;
    close_sockets(f);
    if (f->tries > 0) {
        s->upstream_failures++;
        if (s->upstream_count && ip_eq(f->upstream, s->upstreams[s->preferred]))
            s->preferred = (s->preferred + 1) % s->upstream_count;
    }
    if (f->tries >= DNS_TRIES_MAX || s->upstream_count == 0) {
        finish(f, STR_NULL);
        return;
    }
    f->tries++;
    f->upstream = s->upstreams[s->preferred];
    loop_random(s->loop, f->query, 2);
    timer_start(s->loop, &f->timer, DNS_TRY_MS, timed_out);
    if (f->tcp)
        send_tcp(f);
    else if (!send_udp(f))
        next_try(f);
}

static struct forward *forward_new(struct dns_server *s, struct buf *key, struct str query,
                                   bool tcp)
{
    struct forward *f = xcalloc(1, sizeof *f);
    f->server = s;
    f->key = *key;
    *key = BUF_INIT(DNS_QUERY_MAX);
    f->query = xmalloc(query.n);
    memcpy(f->query, query.p, query.n);
    f->query_len = query.n;
    f->tcp = tcp;
    f->in = BUF_INIT(DNS_MESSAGE_MAX + 2);
    list_init(&f->askers);
    map_put(&s->forwards, buf_view(&f->key), f);
    f->listed = true;
    return f;
}

void dns_forward(struct dns_server *s, const struct dns_client *from, struct str query,
                 const struct dns_name *chase)
{
    uint8_t own[DNS_UDP_MAX];
    struct str sent = query;
    struct dns_query q;
    enum dns_rcode fault;
    CLEANUP(buf_fini) struct buf key = BUF_INIT(DNS_QUERY_MAX + 1);
    bool tcp = from->connection;
    if (chase && dns_read_query(query, &q, &fault))
        sent = str_n((const char *)own, dns_ask(chase, q.type, 0, own));
    buf_c(&key, tcp ? 't' : 'u');
    if (!dns_question_key(sent, &key) || s->asker_count >= DNS_ASKERS_MAX) {
        s->dropped++;
        dns_reply_error(s, from, query, DNS_SERVFAIL);
        return;
    }
    struct forward *f = map_get(&s->forwards, buf_view(&key));
    if (!f && s->forwards.count >= DNS_FORWARDS_MAX) {
        s->dropped++;
        dns_reply_error(s, from, query, DNS_SERVFAIL);
        return;
    }
    bool fresh = !f;
    if (fresh)
        f = forward_new(s, &key, sent, tcp);
    asker_add(f, from, query, chase != NULL);
    if (!fresh)
        return;
    s->forwarded++;
    look_at_file(s);
    next_try(f);
}

void dns_forget_connection(struct dns_server *s, struct dns_connection *c)
{
    for (struct list *at; (at = list_first(&c->askers));)
        asker_free(list_entry(at, struct asker, connection_link));
}

void dns_forget_all(struct dns_server *s)
{
    uint32_t it = 0;
    for (struct map_entry *entry; (entry = map_next(&s->forwards, &it));) {
        struct forward *f = entry->value;
        for (struct list *at; (at = list_first(&f->askers));)
            asker_free(list_entry(at, struct asker, link));
        forward_free(f);
    }
}
