/* SPDX-License-Identifier: Apache-2.0 */
/* TLS: contexts, handshakes, client certificates, and the server over it. */
#include "http/test_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "http/server.h"
#include "http/test_certs.h"

static struct arena arena = ARENA_INIT;
static struct test_cert ca, other_ca, server_cert;
static struct peer p;

static struct test_cert client_cert(const struct test_cert *issuer, const char *usage, int days)
{
    static const char *const subject[] = {"CN=first", "CN=system:node:n1", "O=system:nodes",
                                          "O=gr\xc3\xbcn", NULL};
    return test_cert_new(&arena, issuer, subject, usage, days);
}

static struct tls_context *server_context(bool http2)
{
    struct err e = ERR_INIT(&arena);
    struct tls_config c = {.cert_pem = server_cert.cert_pem,
                           .key_pem = server_cert.key_pem,
                           .client_ca_pem = ca.cert_pem,
                           .http2 = http2};
    struct tls_context *t = tls_context_new(&c, true, &e);
    assert_non_null(t);
    return t;
}

static struct tls_context *client_context(const struct test_cert *trusted,
                                          const struct test_cert *own, bool http2)
{
    struct err e = ERR_INIT(&arena);
    struct tls_config c = {.server_ca_pem = trusted->cert_pem, .http2 = http2};
    if (own) {
        c.cert_pem = own->cert_pem;
        c.key_pem = own->key_pem;
    }
    struct tls_context *t = tls_context_new(&c, false, &e);
    assert_non_null(t);
    return t;
}

/* ---- one request with a client certificate of some kind ---- */

static void ask_with(const struct test_cert *own)
{
    struct tls_context *st = server_context(true), *ct = client_context(&ca, own, false);
    server_start(NULL, st, "tcp:127.0.0.1:0");
    peer_connect(&p, ts.l, http_server_address(ts.s), ct);
    assert_true(p.connected);
    assert_false(tls_is_http2(p.c.tls));
    for (int i = 0; i < 3; i++) {
        buf_clear(&p.got);
        peer_send_z(&p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        peer_expect(ts.l, &p, "hello");
    }
    assert_int_equal(ts.requests, 3);
}

static void done_asking(void)
{
    struct tls_context *st = ts.s->tls, *ct = p.tls;
    peer_close(ts.l, &p);
    server_stop(0);
    tls_context_free(st);
    tls_context_free(ct);
}

static void a_verified_client_certificate(void **state)
{
    struct test_cert c = client_cert(&ca, "clientAuth", 10);
    ask_with(&c);
    assert_true(ts.had_peer);
    assert_string_equal(ts.refused, "");
    assert_str(ts.peer.common_name, "system:node:n1"); /* the last one */
    assert_int_equal(ts.peer.organizations.n, 2);
    assert_str(ts.peer.organizations.v[0], "system:nodes");
    assert_str(ts.peer.organizations.v[1], "gr\xc3\xbcn");
    unsigned char digest[32];
    unsigned n;
    char hex[65];
    X509_digest(c.cert, EVP_sha256(), digest, &n);
    for (unsigned i = 0; i < n; i++)
        snprintf(hex + i * 2, 3, "%02x", digest[i]);
    assert_str(ts.peer.der_sha256, hex);
    done_asking();
    test_cert_free(&c);
}

static void without_a_client_certificate(void **state)
{
    ask_with(NULL);
    assert_false(ts.had_peer);
    assert_string_equal(ts.refused, "");
    done_asking();
}

static void refused_client_certificate(struct test_cert c)
{
    ask_with(&c);
    assert_false(ts.had_peer);
    assert_true(strlen(ts.refused) > 0);
    done_asking();
    test_cert_free(&c);
}

static void client_certificates_that_do_not_verify(void **state)
{
    refused_client_certificate(client_cert(&other_ca, "clientAuth", 10));
    refused_client_certificate(client_cert(&ca, "clientAuth", -1));
    refused_client_certificate(client_cert(&ca, "serverAuth", 10));
    refused_client_certificate(client_cert(NULL, NULL, 10));
}

/* ---- handshakes that must fail, or not ---- */

static void the_client_checks_the_server(void **state)
{
    struct tls_context *st = server_context(true), *ct = client_context(&other_ca, NULL, true);
    server_start(NULL, st, "tcp:127.0.0.1:0");
    peer_connect(&p, ts.l, http_server_address(ts.s), ct);
    assert_false(p.connected);
    assert_int_equal(p.error, -EPROTO);
    assert_string_equal(p.c.failure, "certificate signature failure");
    done_asking();
}

static void names(void **state)
{
    struct tls_context *ct = client_context(&ca, NULL, true);
    struct tls *t = tls_new(ct, STR("127.0.0.1"));
    assert_non_null(t);
    tls_free(t);
    t = tls_new(ct, STR("::1"));
    assert_non_null(t);
    tls_free(t);
    assert_null(tls_new(ct, str_n("a\0b", 3)));
    char longest[300];
    memset(longest, 'a', sizeof longest);
    assert_null(tls_new(ct, str_n(longest, sizeof longest)));
    tls_context_free(ct);
}

/* Feeds what waits in `from`, in pieces of step bytes. */
static bool pass_on(struct tls *to, struct buf *from, struct buf *answer, size_t step)
{
    char plain[100];
    bool good = true;
    for (size_t at = 0; at < from->n && good; at += step) {
        tls_feed(to, str_sub(buf_view(from), at, at + step));
        good = tls_read(to, answer, plain, sizeof plain) == 0;
    }
    buf_clear(from);
    return good;
}

/* Runs a handshake in memory. True: both sides are ready. */
static bool handshake(struct tls *client, struct tls *server, size_t step)
{
    struct buf to_server = BUF_INIT(MIB(1)), to_client = BUF_INIT(MIB(1));
    char plain[100];
    tls_feed(client, STR_NULL);
    bool good = tls_read(client, &to_server, plain, sizeof plain) == 0;
    while (good && (to_server.n || to_client.n))
        good = pass_on(server, &to_server, &to_client, step) &&
               pass_on(client, &to_client, &to_server, step);
    good = good && tls_ready(client) && tls_ready(server);
    buf_fini(&to_client);
    buf_fini(&to_server);
    return good;
}

/* A certificate that is refused must not be taken for an error of whatever comes next. */
static void handshakes_in_pieces(void **state)
{
    struct test_cert bad = client_cert(&other_ca, "clientAuth", 10);
    struct tls_context *st = server_context(true), *ct = client_context(&ca, &bad, true);
    for (size_t step = 1; step < 2000; step += step < 20 ? 1 : 97) {
        struct tls *c = tls_new(ct, STR("localhost")), *s = tls_new(st, STR_NULL);
        const char *refused;
        assert_true(handshake(c, s, step));
        assert_null(tls_identity(s, &refused));
        assert_string_equal(refused, "certificate signature failure");
        tls_free(c);
        tls_free(s);
    }
    tls_context_free(st);
    tls_context_free(ct);
    test_cert_free(&bad);
}

static void the_name_must_match(void **state)
{
    static const struct {
        const char *name;
        bool good;
    } table[] = {
        {"localhost", true}, {"127.0.0.1", true}, {"example.com", false}, {"127.0.0.2", false}};
    struct tls_context *st = server_context(true), *ct = client_context(&ca, NULL, true);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct tls *c = tls_new(ct, str_z(table[i].name)), *s = tls_new(st, STR_NULL);
        assert_int_equal(handshake(c, s, 9999), table[i].good);
        tls_free(c);
        tls_free(s);
    }
    tls_context_free(st);
    tls_context_free(ct);
}

static void alpn_and_records(void **state)
{
    struct tls_context *st = server_context(true), *ct = client_context(&ca, NULL, true);
    struct tls *c = tls_new(ct, STR("localhost")), *s = tls_new(st, STR_NULL);
    assert_true(handshake(c, s, 9999));
    assert_true(tls_is_http2(c));
    assert_true(tls_is_http2(s));
    struct buf wire = BUF_INIT(MIB(1)), back = BUF_INIT(MIB(1));
    static char big[100000], got[100000];
    memset(big, 'x', sizeof big);
    assert_true(tls_write(c, &wire, str_n(big, sizeof big)));
    assert_in_range(wire.n, sizeof big, sizeof big + 7 * 40);
    size_t n = 0;
    for (size_t at = 0; at < wire.n; at += 777) { /* records cut anywhere */
        tls_feed(s, str_sub(buf_view(&wire), at, at + 777));
        ssize_t r;
        while ((r = tls_read(s, &back, got + n, sizeof got - n)) > 0)
            n += (size_t)r;
        assert_int_equal(r, 0);
    }
    assert_int_equal(n, sizeof big);
    assert_memory_equal(got, big, n);
    buf_clear(&wire);
    tls_close_notify(c, &wire);
    tls_feed(s, buf_view(&wire));
    assert_int_equal(tls_read(s, &back, got, sizeof got), -ERR_CANCELED);
    tls_free(c);
    tls_free(s);
    /* a flipped bit */
    c = tls_new(ct, STR("localhost"));
    s = tls_new(st, STR_NULL);
    assert_true(handshake(c, s, 9999));
    buf_clear(&wire);
    assert_true(tls_write(c, &wire, STR("secret")));
    wire.p[wire.n - 3] ^= 1;
    tls_feed(s, buf_view(&wire));
    assert_int_equal(tls_read(s, &back, got, sizeof got), -ERR_IO);
    tls_free(c);
    tls_free(s);
    buf_fini(&wire);
    buf_fini(&back);
    tls_context_free(st);
    tls_context_free(ct);
}

/* A bare OpenSSL client, to offer what our own would not. */
static int raw_handshake(const char *address, int min, int max)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t port;
    must(str_to_u64(str_z(strrchr(address, ':') + 1), &port));
    a.sin_port = htons((uint16_t)port);
    must(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, min);
    SSL_CTX_set_max_proto_version(ctx, max);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    int version = SSL_connect(ssl) == 1 ? SSL_version(ssl) : 0;
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    return version;
}

static struct versions {
    const char *address;
    int got[3];
} versions;

static void try_versions(struct work *w)
{
    versions.got[0] = raw_handshake(versions.address, TLS1_VERSION, TLS1_1_VERSION);
    versions.got[1] = raw_handshake(versions.address, TLS1_2_VERSION, TLS1_2_VERSION);
    versions.got[2] = raw_handshake(versions.address, TLS1_3_VERSION, TLS1_3_VERSION);
}

static bool tried;

static void versions_tried(struct work *w)
{
    tried = true;
}

static bool have_tried(void *arg)
{
    return tried;
}

static void only_tls_1_2_and_1_3(void **state)
{
    struct tls_context *st = server_context(true);
    struct work w;
    server_start(NULL, st, "tcp:127.0.0.1:0");
    versions.address = ts.s->address;
    loop_work(ts.l, &w, try_versions, versions_tried);
    assert_true(run_until(ts.l, have_tried, NULL, 5000));
    assert_int_equal(versions.got[0], 0);
    assert_int_equal(versions.got[1], TLS1_2_VERSION);
    assert_int_equal(versions.got[2], TLS1_3_VERSION);
    server_stop(0);
    tls_context_free(st);
}

static void plain_http_on_a_tls_port(void **state)
{
    struct tls_context *st = server_context(true);
    server_start(NULL, st, "tcp:127.0.0.1:0");
    peer_connect(&p, ts.l, http_server_address(ts.s), NULL);
    peer_send_z(&p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect(ts.l, &p, "Client sent an HTTP request to an HTTPS server.");
    peer_expect_end(ts.l, &p);
    peer_close(ts.l, &p);
    peer_connect(&p, ts.l, http_server_address(ts.s), NULL);
    peer_send_z(&p, "\x16\x03\x01\x7f\xff garbage garbage garbage");
    peer_expect_end(ts.l, &p);
    peer_close(ts.l, &p);
    server_stop(0);
    tls_context_free(st);
}

static void a_silent_client_is_cut(void **state)
{
    struct http_limits limits = http_limits_default;
    limits.header_timeout_ms = 50;
    struct tls_context *st = server_context(true);
    server_start(&limits, st, "tcp:127.0.0.1:0");
    peer_connect(&p, ts.l, http_server_address(ts.s), NULL);
    peer_expect_end(ts.l, &p);
    peer_close(ts.l, &p);
    server_stop(0);
    tls_context_free(st);
}

/* ---- the server's paths over TLS ---- */

static void large_and_streamed_responses(void **state)
{
    struct tls_context *st = server_context(true), *ct = client_context(&ca, NULL, false);
    server_start(NULL, st, "tcp:127.0.0.1:0");
    peer_connect(&p, ts.l, http_server_address(ts.s), ct);
    peer_send_z(&p, "GET /big HTTP/1.1\r\nHost: a\r\n\r\nGET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_held(1);
    peer_expect_bytes(ts.l, &p, MIB(3) + 150);
    assert_memory_equal(p.got.p + p.got.n / 2, "bbbbbbbb", 8);
    for (int i = 0; i < 10; i++)
        http_write(ts.held[0], &STR("event;"), 1);
    peer_expect(ts.l, &p, "event;");
    http_end(ts.held[0]);
    peer_expect(ts.l, &p, "\r\n0\r\n\r\n");
    buf_clear(&p.got);
    conn_pause(&p.c, true);
    peer_send_z(&p, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    run_for(ts.l, 50);
    assert_in_range(ts.flood_sent, 1, FLOOD_BYTES - 1);
    assert_in_range(ts.flood_queued_most, 1, FLOOD_BOUND + 200000);
    conn_pause(&p.c, false);
    peer_expect(ts.l, &p, "\r\n0\r\n\r\n");
    assert_true(p.got.n > FLOOD_BYTES);
    done_asking();
}

static void an_upload_over_tls(void **state)
{
    struct tls_context *st = server_context(true), *ct = client_context(&ca, NULL, false);
    server_start(NULL, st, "tcp:127.0.0.1:0");
    peer_connect(&p, ts.l, http_server_address(ts.s), ct);
    peer_send_z(&p, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    char *body = calloc(1, 3000000);
    peer_send(&p, str_n(body, 3000000));
    free(body);
    peer_expect_bytes(ts.l, &p, 3000000);
    assert_string_equal(ts.last, "POST /echo  3000000");
    done_asking();
}

static void bad_configurations(void **state)
{
    struct err e = ERR_INIT(&arena);
    struct tls_config c = {.cert_pem = server_cert.cert_pem, .key_pem = ca.key_pem};
    assert_null(tls_context_new(&c, true, &e));
    assert_int_equal(e.code, ERR_BAD_REQUEST);
    assert_true(str_find(e.message, STR("TLS private key")) >= 0);
    c.key_pem = STR("nonsense");
    assert_null(tls_context_new(&c, true, &e));
    c.cert_pem = STR("");
    assert_null(tls_context_new(&c, true, &e));
    assert_true(str_find(e.message, STR("TLS certificate")) >= 0);
    c = (struct tls_config){.cert_pem = server_cert.cert_pem,
                            .key_pem = server_cert.key_pem,
                            .client_ca_pem = STR("x")};
    assert_null(tls_context_new(&c, true, &e));
    assert_true(str_find(e.message, STR("authority")) >= 0);
}

static int group_start(void **state)
{
    ca = test_cert_new(&arena, NULL, (const char *const[]){"CN=ca", NULL}, NULL, 10);
    other_ca = test_cert_new(&arena, NULL, (const char *const[]){"CN=ca", NULL}, NULL, 10);
    server_cert =
        test_cert_new(&arena, &ca, (const char *const[]){"CN=server", NULL}, "serverAuth", 10);
    return 0;
}

static int group_done(void **state)
{
    test_cert_free(&ca);
    test_cert_free(&other_ca);
    test_cert_free(&server_cert);
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_verified_client_certificate),
        cmocka_unit_test(without_a_client_certificate),
        cmocka_unit_test(client_certificates_that_do_not_verify),
        cmocka_unit_test(the_client_checks_the_server),
        cmocka_unit_test(names),
        cmocka_unit_test(handshakes_in_pieces),
        cmocka_unit_test(the_name_must_match),
        cmocka_unit_test(alpn_and_records),
        cmocka_unit_test(only_tls_1_2_and_1_3),
        cmocka_unit_test(plain_http_on_a_tls_port),
        cmocka_unit_test(a_silent_client_is_cut),
        cmocka_unit_test(large_and_streamed_responses),
        cmocka_unit_test(an_upload_over_tls),
        cmocka_unit_test(bad_configurations),
    };
    return cmocka_run_group_tests(tests, group_start, group_done);
}
