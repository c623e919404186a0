/* SPDX-License-Identifier: Apache-2.0 */
/* Clients and an upstream resolver on loopback, in one loop with the server. */
#include "base/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "network/dns_forward.h"
#include "network/dns_wire.h"

static struct loop *loop;
static struct network_state state;
static struct dns_server server;
static uint16_t port;
static struct arena arena = ARENA_INIT;
static char resolv_conf[] = "/tmp/barque-resolv-XXXXXX";

/* ---- upstream ---- */

static struct udp *upstream;
static struct listener *upstream_tcp;
static int upstream_asked;
static int upstream_drops; /* so many first */

/* Turns a query into a reply with one address. */
static size_t make_reply(uint8_t *m, struct str query)
{
    static const uint8_t rr[] = {0xc0, 12, 0, DNS_A, 0, 1, 0, 0, 1, 0, 0, 4, 93, 184, 216, 34};
    struct dns_query q;
    enum dns_rcode fault;
    assert_true(dns_read_query(query, &q, &fault));
    memcpy(m, query.p, q.question_end);
    memcpy(m + q.question_end, rr, sizeof rr);
    m[2] |= 0x80;
    m[7] = 1;
    m[11] = 0;
    return q.question_end + sizeof rr;
}

static void upstream_got(struct udp *u, void *arg, struct str bytes, const void *peer, size_t len)
{
    uint8_t m[4096];
    upstream_asked++;
    if (upstream_drops-- > 0)
        return;
    size_t n = make_reply(m, bytes);
    udp_send(u, str_n((const char *)m, n), peer, len);
}

static void upstream_read(struct stream *s, void *arg, struct str bytes)
{
    uint8_t m[4096];
    upstream_asked++;
    size_t n = make_reply(m + 2, str_sub(bytes, 2, bytes.n));
    m[0] = (uint8_t)(n >> 8);
    m[1] = (uint8_t)n;
    struct str part = str_n((const char *)m, n + 2);
    stream_write(s, &part, 1);
}

static void upstream_end(struct stream *s, void *arg, int error)
{
    stream_close(s);
}

static void upstream_accepted(void *arg, struct stream *s)
{
    static const struct stream_ops ops = {.read = upstream_read, .end = upstream_end};
    stream_start(s, &ops, NULL);
}

/* ---- client ---- */

static struct udp *client;
static uint8_t got[65536];
static size_t got_n, got_count;

static void on_timer(struct timer *t)
{
    loop_stop(loop);
}

/* Until so many answers have come, at most so long. */
static void run(size_t answers, int64_t ms)
{
    struct timer t = {0};
    timer_start(loop, &t, ms, on_timer);
    while (got_count < answers && timer_active(&t))
        loop_run(loop);
    timer_stop(&t);
}

static void client_got(struct udp *u, void *arg, struct str bytes, const void *peer, size_t len)
{
    memcpy(got, bytes.p, bytes.n);
    got_n = bytes.n;
    got_count++;
    loop_stop(loop);
}

static void send_query(const char *name, uint16_t id, bool upper)
{
    uint8_t q[DNS_UDP_MAX];
    struct dns_name n;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(dns_name_parse(str_z(name), &n));
    size_t len = dns_ask(&n, DNS_A, id, q);
    if (upper)
        q[13] = (uint8_t)(q[13] - 32);
    udp_send(client, str_n((const char *)q, len), &to, sizeof to);
}

/* ---- set-up ---- */

static uint16_t port_of(struct str address)
{
    uint64_t v = 0;
    str_to_u64(str_sub(address, (size_t)str_rindex(address, ':') + 1, address.n), &v);
    return (uint16_t)v;
}

static void write_resolv_conf(const char *text)
{
    FILE *f = fopen(resolv_conf, "we");
    must(f && fputs(text, f) >= 0 && fclose(f) == 0);
    server.looked_ms = INT64_MIN; /* look again at once */
    memset(server.file_id, 0, sizeof server.file_id);
}

static void put_services(void)
{
    struct err e = ERR_INIT(&arena);
    struct str ip = STR("10.96.0.80");
    struct network_service s = {.namespace_ = STR("default"),
                                .name = STR("web"),
                                .cluster_ips = &ip,
                                .cluster_ip_count = 1};
    assert_int_equal(state_service_set(&state, &s, &e), 0);
    s.name = STR("out");
    s.type = NETWORK_EXTERNAL_NAME;
    s.external_name = STR("example.com");
    assert_int_equal(state_service_set(&state, &s, &e), 0);
}

static int set_up(void **unused)
{
    struct err e = ERR_INIT(&arena);
    struct ip loopback = {4, {127, 0, 0, 1}};
    int fd = mkstemp(resolv_conf);
    must(fd >= 0);
    close(fd);
    loop = loop_new(&e);
    state_init(&state, STR("n"));
    state.synced = true;
    put_services();
    struct dns_zone zone = {.state = &state, .domain = "cluster.local"};
    dns_server_init(&server, loop, &zone, resolv_conf);
    if (dns_server_listen(&server, loopback, 0, &e))
        fail_msg("%.*s", STR_ARG(e.message));
    port = port_of(udp_address(server.udp[0]));
    upstream = loop_udp(loop, STR("udp:127.0.0.1:0"), upstream_got, NULL, &e);
    must(upstream != NULL);
    server.upstream_port = port_of(udp_address(upstream));
    char address[64];
    snprintf(address, sizeof address, "tcp:127.0.0.1:%u", server.upstream_port);
    upstream_tcp = loop_listen(loop, str_z(address), upstream_accepted, NULL, &e);
    must(upstream_tcp != NULL);
    client = loop_udp(loop, STR("udp:127.0.0.1:0"), client_got, NULL, &e);
    write_resolv_conf("nameserver 127.0.0.1\n");
    return 0;
}

static int tear_down(void **unused)
{
    dns_server_close(&server);
    udp_close(upstream);
    udp_close(client);
    listener_close(upstream_tcp);
    loop_run(loop);
    loop_free(loop);
    state_fini(&state);
    arena_fini(&arena);
    unlink(resolv_conf);
    return 0;
}

static int begin(void **unused)
{
    got_count = got_n = 0;
    upstream_asked = upstream_drops = 0;
    return 0;
}

static uint16_t got_u16(size_t at)
{
    return (uint16_t)(got[at] << 8 | got[at + 1]);
}

/* ---- tests ---- */

static void own_names_are_answered(void **unused)
{
    send_query("web.default.svc.cluster.local", 7, false);
    run(1, 2000);
    assert_int_equal(got_u16(0), 7);
    assert_int_equal(got_u16(6), 1);
    assert_int_equal(upstream_asked, 0);
}

static void others_go_upstream_together(void **unused)
{
    send_query("example.com", 1, false);
    send_query("example.com", 2, true);
    run(2, 2000);
    assert_int_equal(got_count, 2);
    assert_int_equal(upstream_asked, 1);
    assert_int_equal(got_u16(0), 2);
    assert_int_equal(got[13], 'E'); /* its own case */
    assert_memory_equal(got + got_n - 4, "\x5d\xb8\xd8\x22", 4);
    assert_int_equal(server.asker_count, 0);
    assert_int_equal(server.forwards.count, 0);
}

static void external_names_are_completed(void **unused)
{
    send_query("out.default.svc.cluster.local", 3, false);
    run(1, 2000);
    assert_int_equal(got_u16(0), 3);
    assert_int_equal(got_u16(6), 2); /* CNAME and A */
}

static void a_lost_packet_is_sent_again(void **unused)
{
    upstream_drops = 1;
    send_query("again.example.com", 4, false);
    run(1, 4000);
    assert_int_equal(got_count, 1);
    assert_int_equal(got[3] & DNS_RCODE, DNS_NOERROR);
    assert_int_equal(upstream_asked, 2);
}

static void without_resolvers_it_fails_at_once(void **unused)
{
    write_resolv_conf("# none\nnameserver nonsense\n");
    send_query("example.com", 5, false);
    run(1, 1000);
    assert_int_equal(got[3] & DNS_RCODE, DNS_SERVFAIL);
    write_resolv_conf("nameserver 127.0.0.1\n");
}

static void connected_read(struct stream *s, void *arg, struct str bytes)
{
    memcpy(got + got_n, bytes.p, bytes.n);
    got_n += bytes.n;
    got_count += got_n >= 100;
    loop_stop(loop);
}

static void connected_end(struct stream *s, void *arg, int error)
{
}

static struct stream *connection;

static void on_connected(struct connect *c, struct stream *s, int error)
{
    connection = s;
    got_count++;
    loop_stop(loop);
}

static size_t tcp_query(uint8_t *q, const char *name, uint16_t id)
{
    struct dns_name n;
    assert_true(dns_name_parse(str_z(name), &n));
    size_t len = dns_ask(&n, DNS_A, id, q + 2);
    q[0] = 0;
    q[1] = (uint8_t)len;
    return len + 2;
}

static void connections_pipeline(void **unused)
{
    static const struct stream_ops ops = {.read = connected_read, .end = connected_end};
    struct connect c = {0};
    char address[64];
    uint8_t q[2 * DNS_UDP_MAX];
    snprintf(address, sizeof address, "tcp:127.0.0.1:%u", port);
    loop_connect(loop, &c, str_z(address), 1000, on_connected);
    run(1, 2000);
    assert_non_null(connection);
    stream_start(connection, &ops, NULL);
    size_t n = tcp_query(q, "example.com", 10);
    n += tcp_query(q + n, "web.default.svc.cluster.local", 11);
    got_count = 0;
    struct str first = str_n((const char *)q, 5), rest = str_n((const char *)q + 5, n - 5);
    stream_write(connection, &first, 1);
    stream_write(connection, &rest, 1);
    run(1, 2000);
    assert_int_equal(got_u16(2), 11); /* ours did not wait for upstream's */
    assert_int_equal(upstream_asked, 1);
    assert_int_equal(server.connection_count, 1);
    stream_close(connection);
    got_count = 0;
    run(1, 50);
    assert_int_equal(server.connection_count, 0);
}

static void resolv_conf_is_understood(void **unused)
{
    static const struct ip own[2] = {{4, {10, 96, 0, 10}}};
    struct ip v[DNS_UPSTREAMS_MAX];
    char text[IP_TEXT_MAX];
    size_t n = dns_parse_resolv_conf(
        STR("# nameserver 9.9.9.9\nsearch a b\nnameserver\t1.1.1.1 # one\n"
            "  nameserver 2606:4700::1111\nnameserver 10.96.0.10\nnameserverx 2.2.2.2\n"
            "nameserver 0.0.0.0\nnameserver fe80::1%eth0\nnameserver 8.8.8.8"),
        own, v);
    assert_int_equal(n, 3);
    assert_string_equal(ip_text(v[0], text), "1.1.1.1");
    assert_string_equal(ip_text(v[1], text), "2606:4700::1111");
    assert_string_equal(ip_text(v[2], text), "8.8.8.8");
}

#define TEST(fn) cmocka_unit_test_setup(fn, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(own_names_are_answered),
        TEST(others_go_upstream_together),
        TEST(external_names_are_completed),
        TEST(a_lost_packet_is_sent_again),
        TEST(without_resolvers_it_fails_at_once),
        TEST(connections_pipeline),
        TEST(resolv_conf_is_understood),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
