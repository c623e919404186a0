/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_peer.h: a client for server tests: sends bytes as told and gathers what comes. Server and
 * client run on one loop; `run_until` drives it until a condition holds.
 */
#ifndef BARQUE_HTTP_TEST_PEER_H
#define BARQUE_HTTP_TEST_PEER_H

#include "base/test.h"

#include "http/conn.h"

struct peer {
    struct conn c;
    struct connect dial;
    struct tls_context *tls;
    struct buf got;
    bool connected, ended, freed;
    int error;
    void (*on_bytes)(struct peer *p, struct str bytes);
    void *user;
};

static struct conn_scratch *peer_scratch;

static void peer_ready(struct conn *c)
{
    CONTAINER_OF(c, struct peer, c)->connected = true;
}

static void peer_read(struct conn *c, struct str bytes)
{
    struct peer *p = CONTAINER_OF(c, struct peer, c);
    if (p->on_bytes)
        p->on_bytes(p, bytes);
    else
        buf_str(&p->got, bytes);
}

static void peer_end(struct conn *c, int error)
{
    struct peer *p = CONTAINER_OF(c, struct peer, c);
    p->ended = true;
    p->error = error;
}

static void peer_nothing(struct conn *c)
{
}

static const struct conn_ops peer_ops = {.ready = peer_ready,
                                         .read = peer_read,
                                         .end = peer_end,
                                         .drained = peer_nothing,
                                         .timeout = peer_nothing};

static void peer_freed(struct conn *c)
{
    CONTAINER_OF(c, struct peer, c)->freed = true;
}

static void peer_dialled(struct connect *d, struct stream *s, int error)
{
    struct peer *p = CONTAINER_OF(d, struct peer, dial);
    assert_int_equal(error, 0);
    struct tls *tls = p->tls ? tls_new(p->tls, STR("localhost")) : NULL;
    conn_init(&p->c, d->loop, s, tls, peer_scratch, &peer_ops, peer_freed);
    p->connected = !tls;
}

/* ---- driving ---- */

static void run_expired(struct timer *t)
{
    loop_stop(t->loop);
}

static bool (*run_condition)(void *arg);
static void *run_arg;

static void run_look(struct timer *t)
{
    if (run_condition(run_arg))
        loop_stop(t->loop);
    else
        timer_start(t->loop, t, 1, run_look);
}

/* False: the condition did not come about within ms. */
static inline bool run_until(struct loop *l, bool (*condition)(void *arg), void *arg, int64_t ms)
{
    struct timer expired = {0}, look = {0};
    run_condition = condition;
    run_arg = arg;
    timer_start(l, &expired, ms, run_expired);
    timer_start(l, &look, 0, run_look);
    loop_run(l);
    timer_stop(&expired);
    timer_stop(&look);
    return condition(arg);
}

static bool never_true(void *arg)
{
    return false;
}

static inline void run_for(struct loop *l, int64_t ms)
{
    (void)run_until(l, never_true, NULL, ms);
}

static bool peer_is_connected(void *arg)
{
    struct peer *p = arg;
    return p->connected || p->ended;
}

static bool peer_has_ended(void *arg)
{
    return ((struct peer *)arg)->ended;
}

static inline void peer_connect(struct peer *p, struct loop *l, struct str address,
                                struct tls_context *tls)
{
    *p = (struct peer){.tls = tls};
    if (!peer_scratch)
        peer_scratch = conn_scratch_new();
    buf_init(&p->got, MIB(256));
    loop_connect(l, &p->dial, address, 2000, peer_dialled);
    assert_true(run_until(l, peer_is_connected, p, 3000));
}

static inline void peer_send(struct peer *p, struct str bytes)
{
    conn_write(&p->c, &bytes, 1);
    conn_flush(&p->c);
}

static inline void peer_send_z(struct peer *p, const char *z)
{
    peer_send(p, str_z(z));
}

struct wanted {
    struct peer *p;
    const char *text;
    size_t bytes;
};

static bool peer_shows(void *arg)
{
    struct wanted *w = arg;
    return str_find(buf_view(&w->p->got), str_z(w->text)) >= 0;
}

static bool peer_has_bytes(void *arg)
{
    struct wanted *w = arg;
    return w->p->got.n >= w->bytes;
}

/* Waits for text in what came. */
static inline void peer_expect(struct loop *l, struct peer *p, const char *text)
{
    struct wanted w = {p, text, 0};
    if (!run_until(l, peer_shows, &w, 3000))
        fail_msg("no \"%s\" in:\n%.*s", text, STR_ARG(buf_view(&p->got)));
}

static inline void peer_expect_bytes(struct loop *l, struct peer *p, size_t bytes)
{
    struct wanted w = {p, NULL, bytes};
    assert_true(run_until(l, peer_has_bytes, &w, 10000));
}

static inline void peer_expect_end(struct loop *l, struct peer *p)
{
    assert_true(run_until(l, peer_has_ended, p, 3000));
}

static bool peer_is_freed(void *arg)
{
    return ((struct peer *)arg)->freed;
}

static inline void peer_close(struct loop *l, struct peer *p)
{
    conn_close(&p->c);
    assert_true(run_until(l, peer_is_freed, p, 1000));
    buf_fini(&p->got);
}

static inline void peer_done(void)
{
    if (peer_scratch)
        conn_scratch_free(peer_scratch);
    peer_scratch = NULL;
}

#endif
