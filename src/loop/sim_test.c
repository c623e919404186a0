/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include <errno.h>

#include "base/buf.h"
#include "base/log.h"
#include "loop/sim.h"

static struct arena arena = ARENA_INIT;
static struct err e = {.arena = &arena};

/* ---- clock, timers, tasks ---- */

struct note_timer {
    struct timer t;
    struct buf *diary;
    char what;
};

static void note_it(struct timer *t)
{
    struct note_timer *n = CONTAINER_OF(t, struct note_timer, t);
    buf_c(n->diary, n->what);
}

static void the_clock_jumps(void **state)
{
    CLEANUP(buf_fini) struct buf diary = BUF_INIT(100);
    struct sim *w = sim_new(1);
    struct loop *l = sim_loop(w, "a");
    struct note_timer day = {.diary = &diary, .what = 'd'}, soon = {.diary = &diary, .what = 's'};
    struct note_timer never = {.diary = &diary, .what = 'n'};
    int64_t begin = loop_now_ms(l);
    assert_int_equal(wall_ms(loop_wall(l)), INT64_C(1767225600000));
    timer_start(l, &day.t, 86400000, note_it);
    timer_start(l, &soon.t, 5, note_it);
    timer_start(l, &never.t, INT64_MAX, note_it);
    assert_false(sim_idle(w));
    sim_run(w, 6);
    assert_str(buf_view(&diary), "s");
    assert_int_equal(loop_now_ms(l) - begin, 6);
    timer_stop(&never.t);
    loop_run(l); /* until nothing is registered */
    assert_str(buf_view(&diary), "sd");
    assert_int_equal(loop_now_ms(l) - begin, 86400000);
    assert_int_equal(wall_ms(loop_wall(l)), INT64_C(1767225600000) + 86400000);
    assert_true(sim_idle(w));
    sim_run(w, 1000);
    assert_int_equal(sim_now_ms(w), 86401000);
    sim_wall_step(w, "a", -3600000);
    assert_int_equal(wall_ms(loop_wall(l)), INT64_C(1767225600000) + 86401000 - 3600000);
    assert_int_equal(loop_now_ms(l) - begin, 86401000);
    loop_free(l);
    sim_free(w);
}

struct stopper {
    struct task t;
    struct loop *l;
    int ran;
};

static void stop_it(struct task *t)
{
    struct stopper *s = CONTAINER_OF(t, struct stopper, t);
    if (++s->ran == 3)
        loop_stop(s->l);
    else
        loop_post(s->l, &s->t, stop_it);
}

static void tasks_and_stop(void **state)
{
    struct sim *w = sim_new(2);
    struct stopper s = {.l = sim_loop(w, "a")};
    loop_defer(s.l, &s.t, stop_it);
    loop_run(s.l);
    assert_int_equal(s.ran, 3);
    loop_defer(s.l, &s.t, stop_it);
    task_cancel(&s.t);
    loop_run(s.l);
    assert_int_equal(s.ran, 3);
    loop_free(s.l);
    sim_free(w);
}

/* ---- an echo server and a client that checks what comes back ---- */

struct server {
    struct loop *l;
    struct listener *ls;
    struct stream *s; /* the one connection */
    int ended;        /* 1: orderly; else the error */
    bool closing;     /* once all has gone out */
};

static void server_read(struct stream *s, void *arg, struct str bytes)
{
    if (stream_write(s, &bytes, 1) > 50000)
        stream_pause(s);
}

static void server_close(struct server *sv)
{
    if (sv->s)
        stream_close(sv->s);
    sv->s = NULL;
    sv->closing = false;
}

static void server_drained(struct stream *s, void *arg)
{
    struct server *sv = arg;
    assert_int_equal(stream_queued(s), 0);
    if (sv->closing)
        server_close(sv);
    else
        stream_resume(s);
}

static void server_end(struct stream *s, void *arg, int error)
{
    struct server *sv = arg;
    sv->ended = error ? error : 1;
    sv->closing = error == 0 && stream_queued(s) > 0;
    if (sv->closing)
        stream_shutdown(s);
    else
        server_close(sv);
}

static const struct stream_ops server_ops = {server_read, server_end, server_drained};

static void server_accepted(void *arg, struct stream *s)
{
    struct server *sv = arg;
    server_close(sv);
    sv->s = s;
    sv->ended = 0;
    stream_start(s, &server_ops, sv);
}

static void server_start(struct server *sv, struct loop *l, const char *address)
{
    *sv = (struct server){.l = l};
    sv->ls = loop_listen(l, str_z(address), server_accepted, sv, &e);
    assert_non_null(sv->ls);
}

static void server_stop(struct server *sv)
{
    server_close(sv);
    listener_close(sv->ls);
    loop_free(sv->l);
}

struct client {
    struct loop *l;
    struct connect c;
    struct stream *s;
    size_t total, sent, got;
    int error; /* of connecting or of the connection */
    bool done, waited;
    bool hold; /* keep the connection open when all is sent */
};

static char pattern(size_t i)
{
    return (char)(i * 131 + (i >> 7));
}

static void client_send(struct client *c)
{
    char block[3000];
    ssize_t queued = 0;
    while (c->sent < c->total && queued == 0) {
        size_t n = MIN(sizeof block, c->total - c->sent);
        for (size_t i = 0; i < n; i++)
            block[i] = pattern(c->sent + i);
        struct str parts[] = {str_n(block, n / 2), str_n(block + n / 2, n - n / 2)};
        queued = stream_write(c->s, parts, 2);
        if (queued < 0)
            return;
        c->sent += n;
    }
    c->waited |= queued > 0;
    if (c->sent == c->total && !c->hold)
        stream_shutdown(c->s);
}

static void client_read(struct stream *s, void *arg, struct str bytes)
{
    struct client *c = arg;
    for (size_t i = 0; i < bytes.n; i++)
        assert_int_equal(bytes.p[i], pattern(c->got++));
}

static void client_end(struct stream *s, void *arg, int error)
{
    struct client *c = arg;
    c->error = error;
    c->done = error == 0 && c->got == c->total;
    c->s = NULL;
    stream_close(s);
}

static void client_drained(struct stream *s, void *arg)
{
    struct client *c = arg;
    if (c->sent < c->total)
        client_send(c);
}

static const struct stream_ops client_ops = {client_read, client_end, client_drained};

static void client_connected(struct connect *cc, struct stream *s, int error)
{
    struct client *c = CONTAINER_OF(cc, struct client, c);
    c->error = error;
    c->s = s;
    if (!s)
        return;
    stream_start(s, &client_ops, c);
    client_send(c);
}

static void client_start(struct client *c, struct loop *l, const char *address, size_t total)
{
    *c = (struct client){.l = l, .total = total};
    loop_connect(l, &c->c, str_z(address), 60000, client_connected);
}

/* Connects and sends nothing. */
static void client_hold(struct client *c, struct loop *l, const char *address)
{
    client_start(c, l, address, 0);
    c->hold = true;
}

static void client_stop(struct client *c)
{
    connect_cancel(&c->c);
    if (c->s)
        stream_close(c->s);
    loop_free(c->l);
}

static bool is_true(void *flag)
{
    return *(bool *)flag;
}

static void bytes_arrive(void **state)
{
    struct sim_faults rough = sim_faults_rough;
    rough.reset_ppm = 0;
    bool waited = false;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim *w = sim_new(seed);
        sim_set_faults(w, seed % 2 ? &rough : &sim_faults_none);
        struct server sv;
        struct client c;
        server_start(&sv, sim_loop(w, "server"), "tcp:0.0.0.0:80");
        client_start(&c, sim_loop(w, "client"), "tcp:10.0.0.1:80", 1000000);
        assert_true(sim_run_until(w, is_true, &c.done, 3600000));
        assert_int_equal(sv.ended, 1);
        waited |= c.waited;
        server_stop(&sv);
        client_stop(&c);
        sim_free(w);
    }
    assert_true(waited);
}

static void peers_have_names(void **state)
{
    struct sim *w = sim_new(3);
    struct server sv;
    struct client c;
    struct loop *l = sim_loop(w, "one");
    server_start(&sv, l, "tcp:127.0.0.1:0");
    assert_str(listener_address(sv.ls), "tcp:127.0.0.1:32768");
    client_hold(&c, sim_loop(w, "one"), "tcp:127.0.0.1:32768");
    sim_run(w, 10);
    assert_str(stream_peer(c.s), "127.0.0.1:32768");
    assert_true(str_has_prefix(stream_peer(sv.s), STR("10.0.0.1:3276")));
    assert_int_equal(stream_fd(c.s), -1);
    /* What is bound to loopback is not there for others. */
    struct client far;
    client_start(&far, sim_loop(w, "two"), "tcp:10.0.0.1:32768", 5);
    sim_run(w, 10);
    assert_int_equal(far.error, -ECONNREFUSED);
    client_stop(&far);
    client_stop(&c);
    server_stop(&sv);

    server_start(&sv, sim_loop(w, "one"), "unix:/run/x.sock");
    assert_null(loop_listen(sv.l, STR("unix:/run/x.sock"), server_accepted, &sv, &e));
    assert_null(loop_listen(sv.l, STR("tcp:10.0.0.2:80"), server_accepted, &sv, &e));
    client_start(&c, sim_loop(w, "one"), "unix:/run/x.sock", 5);
    client_start(&far, sim_loop(w, "two"), "unix:/run/x.sock", 5);
    assert_true(sim_run_until(w, is_true, &c.done, 1000));
    assert_int_equal(far.error, -ENOENT);
    client_stop(&far);
    client_start(&far, sim_loop(w, "two"), "tcp:10.9.9.9:1", 5);
    sim_run(w, 5000);
    assert_int_equal(far.error, -EHOSTUNREACH);
    client_stop(&far);
    client_stop(&c);
    server_stop(&sv);
    sim_free(w);
}

/* ---- faults ---- */

static struct sim *world_with_pair(uint64_t seed, struct server *sv, struct client *c)
{
    struct sim *w = sim_new(seed);
    server_start(sv, sim_loop(w, "server"), "tcp:0.0.0.0:80");
    client_hold(c, sim_loop(w, "client"), "tcp:10.0.0.1:80");
    sim_run(w, 20);
    assert_non_null(sv->s);
    assert_non_null(c->s);
    return w;
}

static void partitions(void **state)
{
    struct server sv;
    struct client c;
    struct sim *w = sim_new(4);
    server_start(&sv, sim_loop(w, "server"), "tcp:0.0.0.0:80");
    client_start(&c, sim_loop(w, "client"), "tcp:10.0.0.1:80", 500000);
    sim_run_until(w, NULL, NULL, 1);
    sim_partition(w, "client", NULL);
    sim_run(w, 120000);
    assert_false(c.done);
    assert_int_equal(c.error, 0);
    sim_heal(w, "client", NULL);
    assert_true(sim_run_until(w, is_true, &c.done, 10000));
    client_stop(&c);

    /* For good: connecting times out, connections die at both ends. */
    client_hold(&c, sim_loop(w, "client"), "tcp:10.0.0.1:80");
    sim_run(w, 1000);
    assert_non_null(sv.s);
    sim_partition(w, "client", "server");
    struct client late;
    client_start(&late, sim_loop(w, "client"), "tcp:10.0.0.1:80", 10);
    sim_run(w, 61000);
    assert_int_equal(late.error, -ETIMEDOUT);
    assert_non_null(sv.s);
    sim_run(w, SIM_DEAD_MS);
    assert_int_equal(sv.ended, -ETIMEDOUT);
    assert_int_equal(c.error, -ETIMEDOUT);
    client_stop(&late);
    client_stop(&c);
    server_stop(&sv);
    sim_free(w);
}

static void crash_and_restart(void **state)
{
    int orderly = 0, reset = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct server sv;
        struct client c;
        struct sim *w = sim_new(seed);
        server_start(&sv, sim_loop(w, "server"), "tcp:0.0.0.0:80");
        client_start(&c, sim_loop(w, "client"), "tcp:10.0.0.1:80", 2000000);
        sim_run(w, 2);
        assert_non_null(sv.s);
        sim_crash(w, sv.l);
        /* The owner cleans up as ever, and nothing of it has an effect. */
        struct timer t = {0};
        assert_int_equal(stream_write(sv.s, &STR("x"), 1), -ERR_IO);
        timer_start(sv.l, &t, 0, NULL);
        timer_stop(&t);
        server_stop(&sv);
        sim_run(w, 1000);
        assert_null(c.s);
        assert_false(c.done);
        orderly += c.error == 0;
        reset += c.error == -ECONNRESET;
        client_stop(&c);
        client_start(&c, sim_loop(w, "client"), "tcp:10.0.0.1:80", 1000);
        sim_run(w, 1000);
        assert_int_equal(c.error, -ECONNREFUSED);
        client_stop(&c);
        server_start(&sv, sim_loop(w, "server"), "tcp:0.0.0.0:80");
        client_start(&c, sim_loop(w, "client"), "tcp:10.0.0.1:80", 1000);
        assert_true(sim_run_until(w, is_true, &c.done, 1000));
        client_stop(&c);
        server_stop(&sv);
        sim_free(w);
    }
    assert_int_equal(orderly + reset, 20);
    assert_true(reset > 0);
}

static void power_fails(void **state)
{
    struct server sv;
    struct client c;
    struct sim *w = world_with_pair(6, &sv, &c);
    sim_power_off(w, "server");
    server_stop(&sv); /* crashed with its machine */
    sim_run(w, 600000);
    assert_non_null(c.s); /* half-open: nobody told the client */
    sim_power_on(w, "server");
    server_start(&sv, sim_loop(w, "server"), "tcp:0.0.0.0:80");
    sim_run(w, 80000);
    assert_null(c.s);
    assert_int_equal(c.error, -ECONNRESET);
    client_stop(&c);
    server_stop(&sv);
    sim_free(w);
}

static void resets_by_decision(void **state)
{
    struct server sv;
    struct client c;
    struct sim *w = world_with_pair(7, &sv, &c);
    sim_reset_streams(w, "server", NULL);
    sim_run(w, 1);
    assert_int_equal(c.error, -ECONNRESET);
    assert_int_equal(sv.ended, -ECONNRESET);
    client_stop(&c);
    server_stop(&sv);
    sim_free(w);
}

/* ---- work ---- */

struct job {
    struct work w;
    int ran, done;
};

static void job_run(struct work *w)
{
    CONTAINER_OF(w, struct job, w)->ran++;
}

static void job_done(struct work *w)
{
    CONTAINER_OF(w, struct job, w)->done++;
}

static void work_is_lost_in_a_crash(void **state)
{
    bool between = false;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct sim *w = sim_new(seed);
        struct loop *l = sim_loop(w, "a");
        struct job jobs[10] = {0};
        for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
            loop_work(l, &jobs[i].w, job_run, job_done);
        assert_int_equal(jobs[0].ran, 0);
        if (seed % 2) {
            loop_run(l);
            for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
                assert_true(jobs[i].ran == 1 && jobs[i].done == 1);
        } else {
            sim_run(w, 2);
            sim_crash(w, l);
            int ran = 0, done = 0, was_done = 0;
            for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
                ran += jobs[i].ran;
                was_done += jobs[i].done;
            }
            between |= ran > was_done;
            assert_true(ran - was_done <= WORK_PARALLEL_MAX);
            sim_run(w, 1000);
            for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
                done += jobs[i].done;
            assert_int_equal(done, was_done);
        }
        loop_free(l);
        sim_free(w);
    }
    assert_true(between);
}

static void resolve_names(struct resolve *r)
{
    *(int *)r->private_ += 1;
}

static void names_of_machines(void **state)
{
    struct sim *w = sim_new(9);
    struct loop *l = sim_loop(w, "a");
    int answers = 0;
    struct resolve known, numeric, unknown;
    assert_string_equal(sim_ip(w, "b"), "10.0.0.2");
    loop_resolve(l, &known, STR("b"), resolve_names);
    loop_resolve(l, &numeric, STR("fd00::1"), resolve_names);
    loop_resolve(l, &unknown, STR("c"), resolve_names);
    known.private_ = numeric.private_ = unknown.private_ = &answers;
    loop_run(l);
    assert_int_equal(answers, 3);
    assert_string_equal(known.addresses[0], "10.0.0.2");
    assert_string_equal(numeric.addresses[0], "fd00::1");
    assert_int_equal(unknown.error, -ERR_NOT_FOUND);
    struct child c;
    const char *const argv[] = {"true", NULL};
    struct spawn how = {.argv = argv, .n_fds = 3};
    assert_int_equal(loop_spawn(l, &c, &how, NULL, &e), -ERR_UNAVAILABLE);
    loop_free(l);
    sim_free(w);
}

/* ---- datagrams ---- */

struct box {
    struct udp *u;
    int got;
    unsigned last;
    bool overtaken, answer;
};

static void box_received(struct udp *u, void *arg, struct str bytes, const void *peer,
                         size_t peer_len)
{
    struct box *b = arg;
    unsigned n;
    memcpy(&n, bytes.p, sizeof n);
    b->overtaken |= n < b->last;
    b->last = n;
    b->got++;
    if (b->answer)
        udp_send(u, bytes, peer, peer_len);
}

struct first_datagram {
    struct timer t;
    struct box *b;
    unsigned n;
};

#include <arpa/inet.h>

static void send_many(struct timer *t)
{
    struct first_datagram *f = CONTAINER_OF(t, struct first_datagram, t);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
    inet_pton(AF_INET, "10.0.0.1", &to.sin_addr);
    for (; f->n < 1000; f->n++)
        udp_send(f->b->u, str_n((char *)&f->n, sizeof f->n), &to, sizeof to);
}

static void datagrams(void **state)
{
    struct sim *w = sim_new(10);
    struct loop *a = sim_loop(w, "a"), *b = sim_loop(w, "b");
    struct box server = {.answer = true}, client = {0};
    struct first_datagram first = {.b = &client};
    server.u = loop_udp(a, STR("udp:0.0.0.0:53"), box_received, &server, &e);
    client.u = loop_udp(b, STR("udp:0.0.0.0:0"), box_received, &client, &e);
    assert_null(loop_udp(a, STR("udp:0.0.0.0:53"), box_received, &server, &e));
    timer_start(b, &first.t, 1, send_many);
    sim_run(w, 1000);
    assert_int_equal(server.got, 1000);
    assert_int_equal(client.got, 1000);
    assert_true(server.overtaken);
    struct sim_faults f = sim_faults_none;
    f.loss_ppm = 100000;
    sim_set_faults(w, &f);
    first.n = 0;
    server.got = 0;
    timer_start(b, &first.t, 1, send_many);
    sim_run(w, 1000);
    assert_in_range(server.got, 800, 980);
    sim_partition(w, "a", "b");
    first.n = 0;
    server.got = 0;
    timer_start(b, &first.t, 1, send_many);
    sim_run(w, 1000);
    assert_int_equal(server.got, 0);
    sim_crash(w, a);
    udp_close(server.u);
    udp_close(client.u);
    loop_free(a);
    loop_free(b);
    sim_free(w);
}

/* ---- the same seed is the same run; and a system that retries gets there ---- */

/* A client adds one to a number that a server keeps on disk, over and over, with retries; the
 * server crashes, the network fails. The number must never exceed the tries nor fall below the
 * answers, and the target must be reached once the faults stop. */
struct counter {
    struct sim *w;
    struct loop *l;
    struct listener *ls;
    struct stream *s;
    int disk, requests;
    struct job_write {
        struct work w;
        struct counter *c;
        bool busy;
    } write;
    bool up;
};

static void counter_accept(void *arg, struct stream *s);

static void write_run(struct work *w)
{
    CONTAINER_OF(w, struct job_write, w)->c->disk++;
}

static void write_done(struct work *w)
{
    struct counter *c = CONTAINER_OF(w, struct job_write, w)->c;
    c->write.busy = false;
    if (c->s)
        (void)stream_write(c->s, &STR("."), 1);
}

static void counter_read(struct stream *s, void *arg, struct str bytes)
{
    struct counter *c = arg;
    if (c->write.busy)
        return;
    c->write.busy = true;
    c->write.c = c;
    loop_work(c->l, &c->write.w, write_run, write_done);
}

static void counter_end(struct stream *s, void *arg, int error)
{
    struct counter *c = arg;
    if (c->s == s)
        c->s = NULL;
    stream_close(s);
}

static const struct stream_ops counter_ops = {counter_read, counter_end, NULL};

static void counter_accept(void *arg, struct stream *s)
{
    struct counter *c = arg;
    if (c->s)
        stream_close(c->s);
    c->s = s;
    stream_start(s, &counter_ops, c);
}

static void counter_up(struct counter *c)
{
    c->l = sim_loop(c->w, "server");
    c->write.busy = false;
    c->ls = loop_listen(c->l, STR("tcp:0.0.0.0:1"), counter_accept, c, &e);
    assert_non_null(c->ls);
    c->up = true;
}

static void counter_down(struct counter *c)
{
    sim_crash(c->w, c->l);
    if (c->s)
        stream_close(c->s);
    c->s = NULL;
    listener_close(c->ls);
    loop_free(c->l);
    c->up = false;
}

struct adder {
    struct loop *l;
    struct connect c;
    struct stream *s;
    struct timer retry;
    int tries, answers, target;
    bool reached;
};

static void adder_dial(struct timer *t);

static void adder_again(struct adder *a)
{
    if (a->s)
        stream_close(a->s);
    a->s = NULL;
    timer_start(a->l, &a->retry, 100 + (int64_t)(loop_random_u64(a->l) % 400), adder_dial);
}

static void adder_try(struct adder *a)
{
    a->tries++;
    timer_start(a->l, &a->retry, 2000, adder_dial);
    if (stream_write(a->s, &STR("+"), 1) < 0)
        adder_again(a);
}

static void adder_read(struct stream *s, void *arg, struct str bytes)
{
    struct adder *a = arg;
    a->answers += (int)bytes.n;
    a->reached = a->answers >= a->target;
    if (a->reached)
        timer_stop(&a->retry);
    else
        adder_try(a);
}

static void adder_end(struct stream *s, void *arg, int error)
{
    adder_again(arg);
}

static const struct stream_ops adder_ops = {adder_read, adder_end, NULL};

static void adder_connected(struct connect *c, struct stream *s, int error)
{
    struct adder *a = CONTAINER_OF(c, struct adder, c);
    a->s = s;
    if (!s) {
        adder_again(a);
        return;
    }
    stream_start(s, &adder_ops, a);
    adder_try(a);
}

/* Also when an answer took too long. */
static void adder_dial(struct timer *t)
{
    struct adder *a = CONTAINER_OF(t, struct adder, retry);
    if (a->s)
        stream_close(a->s);
    a->s = NULL;
    loop_connect(a->l, &a->c, STR("tcp:10.0.0.1:1"), 1000, adder_connected);
}

struct scenario {
    struct sim_alarm alarm;
    struct counter *c;
    int faults;
};

static void make_trouble(struct sim_alarm *al)
{
    struct scenario *s = CONTAINER_OF(al, struct scenario, alarm);
    struct sim *w = s->c->w;
    switch (sim_draw(w, 4)) {
    case 0: s->c->up ? counter_down(s->c) : counter_up(s->c); break;
    case 1: sim_partition(w, "server", "client"); break;
    case 2: sim_heal(w, "server", "client"); break;
    default: sim_reset_streams(w, "client", NULL); break;
    }
    sim_note(w, "fault %d", s->faults);
    if (++s->faults < 60) {
        sim_alarm(w, &s->alarm, 1 + (int64_t)sim_draw(w, 3000), make_trouble);
        return;
    }
    if (!s->c->up)
        counter_up(s->c);
    sim_heal(w, "server", "client");
    sim_set_faults(w, &sim_faults_none);
}

struct invariant {
    const struct counter *c;
    const struct adder *a;
};

static void check_counter(void *arg)
{
    const struct invariant *i = arg;
    assert_true(i->c->disk >= i->a->answers && i->c->disk <= i->a->tries);
}

static uint64_t retry_run(uint64_t seed, int *ret_disk)
{
    struct sim *w = sim_new(seed);
    sim_set_faults(w, &sim_faults_rough);
    struct counter c = {.w = w};
    struct adder a = {.target = 400};
    struct scenario s = {.c = &c};
    struct invariant i = {&c, &a};
    sim_check(w, check_counter, &i);
    counter_up(&c);
    a.l = sim_loop(w, "client");
    timer_start(a.l, &a.retry, 0, adder_dial);
    sim_alarm(w, &s.alarm, 1000, make_trouble);
    if (!sim_run_until(w, is_true, &a.reached, 10 * 3600 * 1000))
        fail_msg("seed %d: stuck at %d after %d faults", (int)seed, a.answers, s.faults);
    uint64_t trace = sim_trace(w);
    *ret_disk = c.disk;
    connect_cancel(&a.c);
    timer_stop(&a.retry);
    if (a.s)
        stream_close(a.s);
    loop_free(a.l);
    sim_alarm_stop(&s.alarm);
    if (!c.up)
        counter_up(&c);
    counter_down(&c);
    sim_free(w);
    return trace;
}

static void a_seed_is_a_run(void **state)
{
    uint64_t traces[12];
    int disk, again, more_than_answers = 0;
    for (size_t i = 0; i < ARRAY_LEN(traces); i++) {
        traces[i] = retry_run(100 + i, &disk);
        more_than_answers += disk > 400;
        if (i < 4) {
            assert_true(retry_run(100 + i, &again) == traces[i]);
            assert_int_equal(again, disk);
        }
        for (size_t k = 0; k < i; k++)
            assert_true(traces[k] != traces[i]);
    }
    /* Some write was done and its answer lost: the faults are real. */
    assert_true(more_than_answers > 0);
}

TESTS(cmocka_unit_test(the_clock_jumps), cmocka_unit_test(tasks_and_stop),
      cmocka_unit_test(bytes_arrive), cmocka_unit_test(peers_have_names),
      cmocka_unit_test(partitions), cmocka_unit_test(crash_and_restart),
      cmocka_unit_test(power_fails), cmocka_unit_test(resets_by_decision),
      cmocka_unit_test(work_is_lost_in_a_crash), cmocka_unit_test(names_of_machines),
      cmocka_unit_test(datagrams), cmocka_unit_test(a_seed_is_a_run))
