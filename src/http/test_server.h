/* SPDX-License-Identifier: Apache-2.0 */
/* test_server.h: a server whose paths do what the tests need. Includes test_peer.h. */
#ifndef BARQUE_HTTP_TEST_SERVER_H
#define BARQUE_HTTP_TEST_SERVER_H

#include "http/test_peer.h"

enum { FLOOD_BYTES = 24 * 1024 * 1024, FLOOD_BOUND = 256 * 1024 };

struct test_server {
    struct loop *l;
    struct http_server *s;
    struct arena arena;
    int requests, aborts, drains;
    struct http_exchange *held[64];
    size_t n_held;
    size_t flood_sent, flood_queued_most;
    bool closed;
    char last[256]; /* method, path, query, body length of the latest request */
    struct tls_peer peer;
    char refused[128];
    bool had_peer;
};

static struct test_server ts;

static void count_abort(void *arg, struct http_exchange *x)
{
    ts.aborts++;
}

static void flood(void *arg, struct http_exchange *x)
{
    static char piece[50000];
    struct str parts[2] = {str_n(piece, 30000), str_n(piece + 30000, 20000)};
    ts.drains++;
    for (size_t i = 0; i < sizeof piece; i++)
        piece[i] = (char)('a' + i % 26);
    while (ts.flood_sent < FLOOD_BYTES) {
        size_t queued = http_write(x, parts, 2);
        ts.flood_sent += sizeof piece;
        ts.flood_queued_most = MAX(ts.flood_queued_most, queued);
        if (queued > FLOOD_BOUND)
            return;
    }
    http_end(x);
}

static void hold(struct http_exchange *x)
{
    must(ts.n_held < ARRAY_LEN(ts.held));
    ts.held[ts.n_held++] = x;
}

static void note_request(struct http_exchange *x)
{
    const struct http_request *r = http_request(x);
    ts.requests++;
    snprintf(ts.last, sizeof ts.last, "%.*s %.*s %.*s %zu", STR_ARG(r->method), STR_ARG(r->path),
             STR_ARG(r->query), r->body.n);
    snprintf(ts.refused, sizeof ts.refused, "%.*s", STR_ARG(r->tls_peer_refused));
    ts.had_peer = r->tls_peer != NULL;
    if (!r->tls_peer)
        return;
    ts.peer.common_name = arena_str(&ts.arena, r->tls_peer->common_name);
    ts.peer.der_sha256 = arena_str(&ts.arena, r->tls_peer->der_sha256);
    ts.peer.organizations.n = r->tls_peer->organizations.n;
    ts.peer.organizations.v = arena_array(&ts.arena, ts.peer.organizations.n, struct str);
    for (size_t i = 0; i < ts.peer.organizations.n; i++)
        ts.peer.organizations.v[i] = arena_str(&ts.arena, r->tls_peer->organizations.v[i]);
}

static void test_handle(void *arg, struct http_exchange *x)
{
    const struct http_request *r = http_request(x);
    struct http_headers h = {0};
    note_request(x);
    if (str_eqz(r->path, "/echo")) {
        http_header_add(http_arena(x), &h, STR("content-type"), STR("text/plain"));
        http_respond(x, 200, &h, r->body);
    } else if (str_eqz(r->path, "/hold")) {
        hold(x);
    } else if (str_eqz(r->path, "/wait")) {
        http_on_abort(x, count_abort, NULL);
        hold(x);
    } else if (str_eqz(r->path, "/watch")) {
        http_on_abort(x, count_abort, NULL);
        http_respond_start(x, 200, NULL);
        hold(x);
    } else if (str_eqz(r->path, "/flood")) {
        http_on_abort(x, count_abort, NULL);
        http_on_drained(x, flood, NULL);
        http_respond_start(x, 200, NULL);
        flood(NULL, x);
    } else if (str_eqz(r->path, "/none")) {
        http_respond(x, 204, NULL, STR("ignored"));
    } else if (str_eqz(r->path, "/big")) {
        char *p = arena_raw(http_arena(x), MIB(3));
        memset(p, 'b', MIB(3));
        http_respond(x, 200, NULL, str_n(p, MIB(3)));
    } else {
        http_respond(x, 200, NULL, STR("hello"));
    }
}

static const struct http_handler test_handler = {test_handle};

static inline void server_start(const struct http_limits *limits, struct tls_context *tls,
                                const char *address)
{
    ts = (struct test_server){.arena = ARENA_INIT};
    struct err e = ERR_INIT(&ts.arena);
    ts.l = loop_new(&e);
    ts.s = http_server_new(ts.l, str_z(address), tls, limits, &test_handler, NULL, &e);
    if (!ts.s)
        fail_msg("%.*s", STR_ARG(e.message));
}

static void server_closed(void *arg)
{
    ts.closed = true;
}

static bool server_is_closed(void *arg)
{
    return ts.closed;
}

/* Ends everything; all memory must be gone, which the sanitizers check. */
static inline void server_stop(int64_t grace_ms)
{
    http_server_close(ts.s, grace_ms, server_closed, NULL);
    assert_true(run_until(ts.l, server_is_closed, NULL, grace_ms + 3000));
    peer_done();
    loop_free(ts.l);
    arena_fini(&ts.arena);
}

static bool have_held(void *arg)
{
    return ts.n_held >= (size_t)(uintptr_t)arg;
}

static inline void expect_held(size_t n)
{
    assert_true(run_until(ts.l, have_held, (void *)n, 3000));
}

static bool have_aborts(void *arg)
{
    return ts.aborts >= (int)(intptr_t)arg;
}

static inline void expect_aborts(intptr_t n)
{
    assert_true(run_until(ts.l, have_aborts, (void *)n, 3000));
    assert_int_equal(ts.aborts, n);
}

#endif
