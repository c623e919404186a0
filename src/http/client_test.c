/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "base/buf.h"
#include "http/http.h"
#include "http/pki.h"
#include "loop/sim.h"

/* Our client against our server: plain, TLS with HTTP/1.1, TLS with HTTP/2. */

enum mode { PLAIN, TLS_1, TLS_2, MODES };

struct world {
    struct arena arena;
    struct err e;
    struct loop *l;
    struct http_server *server;
    struct http_client *client;
    struct tls_context *server_tls, *client_tls;
    struct timer watchdog;
    struct pki_pair ca;
    enum mode mode;
    /* what the server saw */
    int requests, aborted;
    char common_name[64], organization[64];
    /* its endless response */
    struct http_exchange *watch;
    size_t watch_sent, watch_total, watch_queued_most;
    bool watch_stuck; /* waits for `drained` */
};

/* ---- the server ---- */

static void watch_more(void *arg, struct http_exchange *x)
{
    struct world *w = arg;
    char block[4000];
    size_t queued = 0;
    memset(block, 'w', sizeof block);
    while (w->watch_sent < w->watch_total && queued < 200000) {
        struct str part = str_n(block, MIN(sizeof block, w->watch_total - w->watch_sent));
        queued = http_write(x, &part, 1);
        w->watch_sent += part.n;
        w->watch_queued_most = MAX(w->watch_queued_most, queued);
    }
    w->watch_stuck = queued >= 200000;
    if (w->watch_sent == w->watch_total && w->watch_total) {
        w->watch = NULL;
        http_end(x);
    }
}

static void watch_aborted(void *arg, struct http_exchange *x)
{
    struct world *w = arg;
    w->aborted++;
    w->watch = NULL;
}

static void respond_echo(struct http_exchange *x, const struct http_request *r)
{
    struct http_headers h = {0};
    http_header_add(http_arena(x), &h, STR("x-method"), r->method);
    http_header_add(http_arena(x), &h, STR("x-query"), r->query);
    http_header_add(http_arena(x), &h, STR("x-custom"), http_header_get(&r->headers, "x-custom"));
    http_respond(x, 200, &h, r->body);
}

static void respond_big(struct http_exchange *x)
{
    size_t n = 5000000;
    char *p = arena_raw(http_arena(x), n);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 7 + (i >> 9));
    http_respond(x, 200, NULL, str_n(p, n));
}

static void handle(void *arg, struct http_exchange *x)
{
    struct world *w = arg;
    const struct http_request *r = http_request(x);
    w->requests++;
    if (r->tls_peer) {
        snprintf(w->common_name, sizeof w->common_name, "%.*s", STR_ARG(r->tls_peer->common_name));
        if (r->tls_peer->organizations.n)
            snprintf(w->organization, sizeof w->organization, "%.*s",
                     STR_ARG(r->tls_peer->organizations.v[0]));
    }
    if (str_eqz(r->path, "/echo")) {
        respond_echo(x, r);
    } else if (str_eqz(r->path, "/big")) {
        respond_big(x);
    } else if (str_eqz(r->path, "/watch")) {
        http_on_abort(x, watch_aborted, w);
        http_on_drained(x, watch_more, w);
        w->watch = x;
        w->watch_sent = 0;
        http_respond_start(x, 200, NULL);
        watch_more(w, x);
    } else if (str_eqz(r->path, "/silent")) {
        /* never answers */
        http_on_abort(x, watch_aborted, w);
    } else if (str_eqz(r->path, "/break")) {
        http_respond_start(x, 200, NULL);
        http_write(x, &STR("half"), 1);
        http_reset(x);
    } else {
        http_respond(x, 404, NULL, STR("nothing here\n"));
    }
}

static const struct http_handler handler = {handle};

/* ---- a call and what came of it ---- */

struct call {
    struct world *w;
    struct http_call *call;
    int status, done;
    struct http_headers *headers;
    char x_method[16], x_query[32], x_custom[32];
    struct buf body;
    size_t got;
    enum err_code code;
    char message[200];
    bool cancel_in_head, free_client_in_data, pause_in_data;
    bool keep_running; /* the loop does not stop when this is done */
    bool count_only;
};

static void call_init(struct call *c, struct world *w)
{
    *c = (struct call){.w = w, .body = BUF_INIT(MIB(16))};
}

static void copy(char *to, size_t room, struct str s)
{
    snprintf(to, room, "%.*s", STR_ARG(s));
}

static void on_head(void *arg, int status, const struct http_headers *h)
{
    struct call *c = arg;
    assert_int_equal(c->done, 0);
    c->status = status;
    copy(c->x_method, sizeof c->x_method, http_header_get(h, "x-method"));
    copy(c->x_query, sizeof c->x_query, http_header_get(h, "x-query"));
    copy(c->x_custom, sizeof c->x_custom, http_header_get(h, "x-custom"));
    if (c->cancel_in_head) {
        http_call_cancel(c->call);
        loop_stop(c->w->l);
    }
}

static void on_data(void *arg, struct str bytes)
{
    struct call *c = arg;
    assert_true(bytes.n > 0 && c->done == 0 && !c->cancel_in_head);
    c->got += bytes.n;
    if (!c->count_only)
        buf_str(&c->body, bytes);
    if (c->pause_in_data)
        http_call_pause(c->call, true);
    if (c->free_client_in_data) {
        http_client_free(TAKE_PTR(c->w->client));
        loop_stop(c->w->l);
    }
}

static void on_done(void *arg, const struct err *e)
{
    struct call *c = arg;
    c->done++;
    if (e) {
        c->code = e->code;
        copy(c->message, sizeof c->message, e->message);
    }
    if (!c->keep_running)
        loop_stop(c->w->l);
}

static const struct http_call_ops ops = {on_head, on_data, on_done};

/* Starts a call and runs the loop until it is done. */
static void do_call(struct call *c, struct world *w, const char *method, const char *target,
                    struct str body, int64_t timeout_ms)
{
    struct http_header v = {STR("x-custom"), STR("hello")};
    struct http_headers h = {&v, 1, 1};
    call_init(c, w);
    c->call = http_call(w->client, str_z(method), str_z(target), &h, body, timeout_ms, &ops, c);
    loop_run(w->l);
}

static void call_fini(struct call *c)
{
    buf_fini(&c->body);
}

/* ---- worlds ---- */

static void hung(struct timer *t)
{
    fail_msg("hung");
}

static void make_server(struct world *w)
{
    w->server =
        http_server_new(w->l, STR("tcp:127.0.0.1:0"), w->server_tls, NULL, &handler, w, &w->e);
    assert_non_null(w->server);
}

static struct tls_context *make_tls(struct world *w, bool server, bool http2)
{
    static const char *const names[] = {"localhost", NULL}, *const addresses[] = {"127.0.0.1",
                                                                                  NULL};
    static const char *const groups[] = {"crew", NULL};
    struct pki_request q = {.common_name = server ? "server" : "alice",
                            .organizations = server ? NULL : groups,
                            .dns_names = server ? names : NULL,
                            .addresses = server ? addresses : NULL,
                            .server = server,
                            .client = !server,
                            .not_before_s = 0,
                            .not_after_s = INT64_C(4000000000)};
    struct pki_pair pair;
    assert_int_equal(pki_issue(&w->arena, &w->ca, &q, &pair, &w->e), 0);
    struct tls_config config = {.cert_pem = pair.cert_pem, .key_pem = pair.key_pem, .http2 = http2};
    if (server)
        config.client_ca_pem = w->ca.cert_pem;
    else
        config.server_ca_pem = w->ca.cert_pem;
    struct tls_context *t = tls_context_new(&config, server, &w->e);
    assert_non_null(t);
    return t;
}

static void make_client(struct world *w, uint32_t connections_max)
{
    struct http_client_config config = {.address = http_server_address(w->server),
                                        .tls = w->client_tls,
                                        .connections_max = connections_max,
                                        .connect_timeout_ms = 1000};
    w->client = http_client_new(w->l, &config);
}

static void world_init(struct world *w, enum mode mode)
{
    *w = (struct world){.arena = ARENA_INIT, .mode = mode};
    w->e = ERR_INIT(&w->arena);
    w->l = loop_new(&w->e);
    if (mode != PLAIN) {
        assert_int_equal(pki_authority(&w->arena, "ca", &w->ca, &w->e), 0);
        w->server_tls = make_tls(w, true, mode == TLS_2);
        w->client_tls = make_tls(w, false, true);
    }
    make_server(w);
    make_client(w, 0);
    timer_start(w->l, &w->watchdog, 4000, hung);
}

static void world_fini(struct world *w)
{
    timer_stop(&w->watchdog);
    if (w->client)
        http_client_free(w->client);
    if (w->server)
        http_server_close(w->server, 0, NULL, NULL);
    loop_run(w->l);
    loop_free(w->l);
    tls_context_free(w->server_tls);
    tls_context_free(w->client_tls);
    arena_fini(&w->arena);
}

static void requests_and_responses(void **state)
{
    for (int mode = 0; mode < MODES; mode++) {
        struct world w;
        struct call c;
        world_init(&w, (enum mode)mode);
        do_call(&c, &w, "POST", "/echo?a=b", STR("the body"), 1000);
        assert_int_equal(c.code, ERR_NONE);
        assert_int_equal(c.status, 200);
        assert_string_equal(c.x_method, "POST");
        assert_string_equal(c.x_query, "a=b");
        assert_string_equal(c.x_custom, "hello");
        assert_str(buf_view(&c.body), "the body");
        assert_int_equal(c.done, 1);
        call_fini(&c);
        do_call(&c, &w, "HEAD", "/echo", STR_NULL, 1000);
        assert_int_equal(c.status, 200);
        assert_int_equal(c.got, 0);
        call_fini(&c);
        do_call(&c, &w, "DELETE", "/nowhere", STR_NULL, 1000);
        assert_int_equal(c.status, 404);
        assert_str(buf_view(&c.body), "nothing here\n");
        call_fini(&c);
        do_call(&c, &w, "GET", "/big", STR_NULL, 0);
        assert_int_equal(c.got, 5000000);
        for (size_t i = 0; i < c.got; i++)
            assert_true(c.body.p[i] == (char)(i * 7 + (i >> 9)));
        call_fini(&c);
        char *big = xcalloc(1, 2000000);
        do_call(&c, &w, "PUT", "/echo", str_n(big, 2000000), 0);
        assert_int_equal(c.got, 2000000);
        call_fini(&c);
        free(big);
        do_call(&c, &w, "GET", "/bad target", STR_NULL, 0);
        assert_int_equal(c.code, ERR_BAD_REQUEST);
        call_fini(&c);
        if (mode != PLAIN) {
            assert_string_equal(w.common_name, "alice");
            assert_string_equal(w.organization, "crew");
        }
        world_fini(&w);
    }
}

static void many_at_once(void **state)
{
    for (int mode = 0; mode < MODES; mode++) {
        struct world w;
        static struct call calls[300];
        world_init(&w, (enum mode)mode);
        for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
            call_init(&calls[i], &w);
            calls[i].keep_running = true;
            calls[i].call =
                http_call(w.client, STR("POST"), STR("/echo"), NULL, STR("x"), 0, &ops, &calls[i]);
        }
        int done = 0;
        struct call last;
        while (done < (int)ARRAY_LEN(calls)) {
            do_call(&last, &w, "GET", "/echo", STR_NULL, 0);
            call_fini(&last);
            done = 0;
            for (size_t i = 0; i < ARRAY_LEN(calls); i++)
                done += calls[i].done;
        }
        for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
            assert_int_equal(calls[i].status, 200);
            assert_str(buf_view(&calls[i].body), "x");
            call_fini(&calls[i]);
        }
        world_fini(&w);
    }
}

struct resumer {
    struct timer t;
    struct call *c;
    size_t got_then;
};

static void resume_later(struct timer *t)
{
    struct resumer *r = CONTAINER_OF(t, struct resumer, t);
    /* Nothing came during the pause, and the server had to stop. */
    assert_int_equal(r->c->got, r->got_then);
    assert_true(r->c->w->watch_stuck);
    r->c->pause_in_data = false;
    http_call_pause(r->c->call, false);
}

static void watch_with_back_pressure(void **state)
{
    for (int mode = 0; mode < MODES; mode++) {
        struct world w;
        struct call c;
        struct resumer r = {.c = &c};
        world_init(&w, (enum mode)mode);
        w.watch_total = 30000000;
        call_init(&c, &w);
        c.count_only = true;
        c.pause_in_data = true;
        c.call = http_call(w.client, STR("GET"), STR("/watch"), NULL, STR_NULL, 0, &ops, &c);
        /* Until the pipes are full. */
        struct call other;
        do {
            do_call(&other, &w, "GET", "/echo", STR_NULL, 0);
            call_fini(&other);
        } while (!w.watch_stuck);
        assert_true(c.got > 0 && c.got < 3000000);
        r.got_then = c.got;
        timer_start(w.l, &r.t, 50, resume_later);
        loop_run(w.l);
        assert_int_equal(c.code, ERR_NONE);
        assert_int_equal(c.done, 1);
        assert_int_equal(c.got, w.watch_total);
        assert_true(w.watch_queued_most < 1000000);
        call_fini(&c);
        world_fini(&w);
    }
}

/* Once the server has the request. */
static void cancel_from_timer(struct timer *t)
{
    struct resumer *r = CONTAINER_OF(t, struct resumer, t);
    if (r->c->w->requests == 0) {
        timer_start(r->c->w->l, t, 1, cancel_from_timer);
        return;
    }
    http_call_cancel(r->c->call);
    loop_stop(r->c->w->l);
}

static void cancelling(void **state)
{
    for (int mode = 0; mode < MODES; mode++) {
        struct world w;
        struct call c;
        struct resumer r = {.c = &c};
        world_init(&w, (enum mode)mode);
        /* Before anything happened, under way, inside a callback. */
        call_init(&c, &w);
        c.call = http_call(w.client, STR("GET"), STR("/echo"), NULL, STR_NULL, 0, &ops, &c);
        http_call_cancel(c.call);
        c.call = http_call(w.client, STR("GET"), STR("/silent"), NULL, STR_NULL, 0, &ops, &c);
        timer_start(w.l, &r.t, 1, cancel_from_timer);
        loop_run(w.l);
        c.cancel_in_head = true;
        c.call = http_call(w.client, STR("GET"), STR("/watch"), NULL, STR_NULL, 0, &ops, &c);
        loop_run(w.l);
        assert_int_equal(c.done, 0);
        call_fini(&c);
        do_call(&c, &w, "GET", "/echo", STR_NULL, 0);
        assert_int_equal(c.status, 200);
        call_fini(&c);
        while (w.aborted < 2) { /* the server noticed */
            do_call(&c, &w, "GET", "/echo", STR_NULL, 0);
            call_fini(&c);
        }
        /* The client goes inside a callback, with others under way. */
        struct call other;
        call_init(&other, &w);
        http_call(w.client, STR("GET"), STR("/silent"), NULL, STR_NULL, 0, &ops, &other);
        call_init(&c, &w);
        c.free_client_in_data = true;
        http_call(w.client, STR("GET"), STR("/big"), NULL, STR_NULL, 0, &ops, &c);
        loop_run(w.l);
        assert_int_equal(c.done + other.done, 0);
        call_fini(&c);
        call_fini(&other);
        world_fini(&w);
    }
}

static void failures(void **state)
{
    for (int mode = 0; mode < MODES; mode++) {
        struct world w;
        struct call c;
        world_init(&w, (enum mode)mode);
        do_call(&c, &w, "GET", "/silent", STR_NULL, 50);
        assert_int_equal(c.code, ERR_TIMEOUT);
        call_fini(&c);
        do_call(&c, &w, "GET", "/break", STR_NULL, 1000);
        assert_int_equal(c.code, ERR_UNAVAILABLE);
        assert_int_equal(c.done, 1);
        call_fini(&c);
        /* The server goes while calls are under way and connections idle. */
        call_init(&c, &w);
        c.keep_running = true;
        http_call(w.client, STR("POST"), STR("/silent"), NULL, STR_NULL, 0, &ops, &c);
        struct call echo;
        do_call(&echo, &w, "GET", "/echo", STR_NULL, 0);
        call_fini(&echo);
        http_server_close(TAKE_PTR(w.server), 0, NULL, NULL);
        do_call(&echo, &w, "POST", "/echo", STR_NULL, 1000);
        assert_int_equal(echo.code, ERR_UNAVAILABLE);
        call_fini(&echo);
        assert_int_equal(c.code, ERR_UNAVAILABLE);
        call_fini(&c);
        world_fini(&w);
    }
}

/* An idle connection that the server has closed does not fail the next call. */
static void stale_connections(void **state)
{
    for (int mode = 0; mode < MODES; mode++) {
        struct world w;
        struct call c;
        world_init(&w, (enum mode)mode);
        do_call(&c, &w, "GET", "/echo", STR_NULL, 1000);
        call_fini(&c);
        char address[64];
        snprintf(address, sizeof address, "%.*s", STR_ARG(http_server_address(w.server)));
        http_server_close(w.server, 0, NULL, NULL);
        /* Listening again at the same place, before the client has read that its connection ended.
         */
        w.server = http_server_new(w.l, str_z(address), w.server_tls, NULL, &handler, &w, &w.e);
        assert_non_null(w.server);
        do_call(&c, &w, "GET", "/echo", STR_NULL, 1000);
        assert_int_equal(c.code, ERR_NONE);
        assert_int_equal(c.status, 200);
        call_fini(&c);
        world_fini(&w);
    }
}

static void trust(void **state)
{
    struct world w;
    struct call c;
    world_init(&w, TLS_2);
    /* A client that does not know the authority. */
    http_client_free(w.client);
    tls_context_free(w.client_tls);
    struct pki_pair other;
    assert_int_equal(pki_authority(&w.arena, "other", &other, &w.e), 0);
    struct tls_config config = {.server_ca_pem = other.cert_pem, .http2 = true};
    w.client_tls = tls_context_new(&config, false, &w.e);
    make_client(&w, 0);
    do_call(&c, &w, "GET", "/echo", STR_NULL, 1000);
    assert_int_equal(c.code, ERR_UNAVAILABLE);
    assert_true(str_find(str_z(c.message), STR("self-signed certificate")) >= 0);
    call_fini(&c);
    /* One that does not look. */
    http_client_free(w.client);
    tls_context_free(w.client_tls);
    config = (struct tls_config){.insecure_skip_verify = true, .http2 = true};
    w.client_tls = tls_context_new(&config, false, &w.e);
    make_client(&w, 0);
    do_call(&c, &w, "GET", "/echo", STR_NULL, 1000);
    assert_int_equal(c.status, 200);
    assert_string_equal(w.common_name, ""); /* showed no certificate */
    call_fini(&c);
    /* One that expects another name. */
    http_client_free(w.client);
    tls_context_free(w.client_tls);
    config = (struct tls_config){.server_ca_pem = w.ca.cert_pem, .http2 = true};
    w.client_tls = tls_context_new(&config, false, &w.e);
    struct http_client_config by_name = {.address = http_server_address(w.server),
                                         .host = STR("elsewhere.example:443"),
                                         .tls = w.client_tls};
    w.client = http_client_new(w.l, &by_name);
    do_call(&c, &w, "GET", "/echo", STR_NULL, 1000);
    assert_int_equal(c.code, ERR_UNAVAILABLE);
    call_fini(&c);
    world_fini(&w);
}

static void dialling(void **state)
{
    struct world w;
    struct call c;
    world_init(&w, PLAIN);
    http_client_free(w.client);
    /* By name, through the resolver. */
    struct str address = http_server_address(w.server), port;
    ptrdiff_t colon = str_rindex(address, ':');
    port = str_sub(address, (size_t)colon, address.n);
    struct http_client_config config = {.host = arena_cat(&w.arena, STR("localhost"), port)};
    w.client = http_client_new(w.l, &config);
    do_call(&c, &w, "GET", "/echo", STR_NULL, 2000);
    assert_int_equal(c.status, 200);
    call_fini(&c);
    http_client_free(w.client);
    config.host = STR("no-such-host.invalid:80");
    w.client = http_client_new(w.l, &config);
    do_call(&c, &w, "GET", "/echo", STR_NULL, 3000);
    assert_int_equal(c.code, ERR_UNAVAILABLE);
    call_fini(&c);
    http_client_free(w.client);
    /* Nobody listens: every waiting call learns it. */
    config = (struct http_client_config){.address = STR("tcp:127.0.0.1:1")};
    w.client = http_client_new(w.l, &config);
    struct call waiting[20];
    for (size_t i = 0; i < ARRAY_LEN(waiting); i++) {
        call_init(&waiting[i], &w);
        waiting[i].keep_running = i + 1 < ARRAY_LEN(waiting);
        http_call(w.client, STR("GET"), STR("/"), NULL, STR_NULL, 0, &ops, &waiting[i]);
    }
    loop_run(w.l);
    for (size_t i = 0; i < ARRAY_LEN(waiting); i++) {
        assert_int_equal(waiting[i].code, ERR_UNAVAILABLE);
        call_fini(&waiting[i]);
    }
    http_client_free(w.client);
    /* Freed while it dials, resolves. */
    w.client = http_client_new(w.l, &config);
    call_init(&c, &w);
    http_call(w.client, STR("GET"), STR("/"), NULL, STR_NULL, 0, &ops, &c);
    http_client_free(w.client);
    config = (struct http_client_config){.host = STR("localhost")};
    w.client = http_client_new(w.l, &config);
    http_call(w.client, STR("GET"), STR("/"), NULL, STR_NULL, 0, &ops, &c);
    http_client_free(w.client);
    w.client = NULL;
    call_fini(&c);
    world_fini(&w);
}

/* ---- in the simulator: every call ends exactly once, whatever happens to the server ---- */

struct sim_world {
    struct world w;
    struct sim *sim;
    struct loop *server_loop;
    struct sim_alarm alarm;
    int faults, good, bad;
    bool over;
};

static void sim_server_up(struct sim_world *s)
{
    s->server_loop = sim_loop(s->sim, "server");
    s->w.server = http_server_new(s->server_loop, STR("tcp:0.0.0.0:80"), NULL, NULL, &handler,
                                  &s->w, &s->w.e);
    assert_non_null(s->w.server);
}

static void sim_trouble(struct sim_alarm *a)
{
    struct sim_world *s = CONTAINER_OF(a, struct sim_world, alarm);
    switch (sim_draw(s->sim, 3)) {
    case 0: sim_reset_streams(s->sim, "client", NULL); break;
    case 1: sim_partition(s->sim, "client", "server"); break;
    default: sim_heal(s->sim, "client", "server"); break;
    }
    if (++s->faults < 100) {
        sim_alarm(s->sim, a, 1 + (int64_t)sim_draw(s->sim, 2000), sim_trouble);
        return;
    }
    sim_heal(s->sim, "client", "server");
    sim_set_faults(s->sim, &sim_faults_none);
    s->over = true;
}

static void sim_calls_done(void *arg, const struct err *e)
{
    struct sim_world *s = arg;
    if (e)
        s->bad++;
    else
        s->good++;
}

static void sim_ignore_data(void *arg, struct str bytes)
{
}

static const struct http_call_ops sim_ops = {NULL, sim_ignore_data, sim_calls_done};

static void in_the_simulator(void **state)
{
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct sim_world s = {.sim = sim_new(seed)};
        s.w.arena = ARENA_INIT;
        s.w.e = ERR_INIT(&s.w.arena);
        sim_set_faults(s.sim, &sim_faults_rough);
        sim_server_up(&s);
        s.w.l = sim_loop(s.sim, "client");
        struct http_client_config config = {.address = STR("tcp:10.0.0.1:80")};
        s.w.client = http_client_new(s.w.l, &config);
        sim_alarm(s.sim, &s.alarm, 1000, sim_trouble);
        int calls = 0;
        while (!s.over) {
            const char *target = calls % 7 == 0 ? "/big" : calls % 5 == 0 ? "/silent" : "/echo";
            http_call(s.w.client, calls % 3 ? STR("GET") : STR("POST"), str_z(target), NULL,
                      STR("x"), 5000, &sim_ops, &s);
            calls++;
            sim_run(s.sim, 200);
        }
        sim_run(s.sim, 60000);
        assert_int_equal(s.good + s.bad, calls);
        assert_true(s.good > 0 && s.bad > 0);
        int good = s.good;
        for (int i = 0; i < 50; i++)
            http_call(s.w.client, STR("POST"), STR("/echo"), NULL, STR("x"), 5000, &sim_ops, &s);
        sim_run(s.sim, 60000);
        assert_int_equal(s.good, good + 50);
        http_client_free(s.w.client);
        http_server_close(s.w.server, 0, NULL, NULL);
        sim_run(s.sim, 60000);
        loop_free(s.w.l);
        loop_free(s.server_loop);
        sim_free(s.sim);
        arena_fini(&s.w.arena);
    }
}

TESTS(cmocka_unit_test(requests_and_responses), cmocka_unit_test(many_at_once),
      cmocka_unit_test(watch_with_back_pressure), cmocka_unit_test(cancelling),
      cmocka_unit_test(failures), cmocka_unit_test(stale_connections), cmocka_unit_test(trust),
      cmocka_unit_test(dialling), cmocka_unit_test(in_the_simulator))
