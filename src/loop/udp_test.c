/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "loop/loop.h"

struct ping {
    int got;
    struct udp *server, *client;
    struct timer late;
};

static void answer(struct udp *u, void *arg, struct str bytes, const void *peer, size_t peer_len)
{
    udp_send(u, bytes, peer, peer_len);
}

static void answered(struct udp *u, void *arg, struct str bytes, const void *peer, size_t peer_len)
{
    static const char *const want[] = {"ping", ""};
    struct ping *p = arg;
    assert_str(bytes, want[p->got++]);
    if (p->got < (int)ARRAY_LEN(want))
        return;
    timer_stop(&p->late);
    udp_close(p->server);
    udp_close(p->client);
}

static void too_late(struct timer *t)
{
    fail_msg("no answer");
}

static void echo(void **state)
{
    struct arena arena = ARENA_INIT;
    struct err e = ERR_INIT(&arena);
    struct loop *l = loop_new(&e);
    struct ping p = {0};
    p.server = loop_udp(l, STR("udp:127.0.0.1:0"), answer, NULL, &e);
    p.client = loop_udp(l, STR("udp:127.0.0.1:0"), answered, &p, &e);
    assert_non_null(p.server);
    assert_non_null(p.client);
    uint64_t port;
    struct str host, text;
    assert_true(str_cut(str_sub(udp_address(p.server), 4, 99), ':', &host, &text));
    assert_true(str_to_u64(text, &port));
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    udp_send(p.client, STR("ping"), &to, sizeof to);
    udp_send(p.client, STR(""), &to, sizeof to);
    timer_start(l, &p.late, 3000, too_late);
    loop_run(l);
    assert_int_equal(p.got, 2);
    assert_null(loop_udp(l, STR("tcp:127.0.0.1:0"), answer, NULL, &e));
    assert_int_equal(e.code, ERR_BAD_REQUEST);
    assert_null(loop_udp(l, STR("udp:203.0.113.1:53"), answer, NULL, &e));
    assert_int_equal(e.code, ERR_IO);
    loop_free(l);
    arena_fini(&arena);
}

TESTS(cmocka_unit_test(echo))
