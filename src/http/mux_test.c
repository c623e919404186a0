/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "base/buf.h"
#include "http/http.h"
#include "loop/sim.h"

/* A server whose /exec echoes stdin to stdout and says "done" on the error channel when stdin ends
 * (or something came on the resize channel), and a client that checks all that. On the real loop
 * and in the simulator, in every form of mux. */

enum { STDIN, STDOUT, STDERR, ERROR, RESIZE, CHANNELS };
static const char *const channel_names[CHANNELS] = {"stdin", "stdout", "stderr", "error", "resize"};
enum { QUEUE_MAX = 100000 };

static const char *const server_protocols[] = {
    "v5.channel.k8s.io",           "v4.channel.k8s.io", "v4.base64.channel.k8s.io",
    "SPDY/3.1+portforward.k8s.io", "channel.k8s.io",    NULL};

struct world {
    struct loop *server_loop, *client_loop;
    struct sim *sim; /* NULL: the real loop */
    struct http_server *server;
    struct http_client *client;
    struct timer watchdog;
    /* the server's session */
    struct http_mux *served;
    int open_count;
    bool open[CHANNELS];
    bool ending, server_closed;
    size_t most_queued;
    char agreed[64];
    /* the client's */
    struct http_mux *mux;
    enum http_mux_kind kind;
    bool spdy, can_half_close;
    size_t total, sent, got;
    struct buf error_text;
    bool all_sent, client_closed;
    struct err failure;
    struct arena arena;
};

static char pattern(size_t i)
{
    return (char)(i * 31 + (i >> 8));
}

/* ---- server ---- */

static int served_open(void *arg, const struct http_headers *h, int channel)
{
    struct world *w = arg;
    struct str type = http_header_get(h, "streamtype");
    for (int i = 0; i < CHANNELS; i++) {
        bool named = str_eqz(type, channel_names[i]);
        if (!(type.p ? named : channel == i) || w->open[i])
            continue;
        w->open[i] = true;
        w->open_count++;
        return i;
    }
    return -1;
}

static void server_says_done(struct world *w)
{
    if (w->ending)
        return;
    w->ending = true;
    http_mux_write(w->served, ERROR, STR("done"));
    http_mux_close(w->served);
}

static void served_data(void *arg, int channel, struct str bytes)
{
    struct world *w = arg;
    if (channel == RESIZE) {
        server_says_done(w);
        return;
    }
    assert_int_equal(channel, STDIN);
    size_t queued = http_mux_write(w->served, STDOUT, bytes);
    w->most_queued = MAX(w->most_queued, queued);
    if (queued > QUEUE_MAX)
        http_mux_pause(w->served, true);
}

static void served_half_closed(void *arg, int channel)
{
    struct world *w = arg;
    if (channel == STDIN)
        server_says_done(w);
}

static void served_drained(void *arg)
{
    struct world *w = arg;
    http_mux_pause(w->served, false);
}

static void served_closed(void *arg)
{
    struct world *w = arg;
    w->server_closed = true;
    w->served = NULL;
}

static const struct http_mux_ops served_ops = {.open = served_open,
                                               .data = served_data,
                                               .half_closed = served_half_closed,
                                               .drained = served_drained,
                                               .closed = served_closed};

static void handle(void *arg, struct http_exchange *x)
{
    struct world *w = arg;
    struct str agreed;
    w->open_count = 0;
    memset(w->open, 0, sizeof w->open);
    w->ending = w->server_closed = false;
    w->served = http_upgrade(x, server_protocols, str_eqz(http_request(x)->path, "/any"),
                             &served_ops, w, &agreed);
    if (w->served)
        snprintf(w->agreed, sizeof w->agreed, "%.*s", STR_ARG(agreed));
}

static const struct http_handler handler = {handle};

/* ---- client ---- */

static int client_open(void *arg, const struct http_headers *h, int channel)
{
    return channel < CHANNELS ? channel : -1;
}

static void client_send(struct world *w)
{
    char block[10000];
    size_t queued = 0;
    while (w->sent < w->total && queued < QUEUE_MAX) {
        size_t n = MIN(sizeof block, w->total - w->sent);
        for (size_t i = 0; i < n; i++)
            block[i] = pattern(w->sent + i);
        queued = http_mux_write(w->mux, STDIN, str_n(block, n));
        w->sent += n;
    }
    if (w->sent < w->total || w->all_sent)
        return;
    w->all_sent = true;
    if (w->can_half_close)
        http_mux_half_close(w->mux, STDIN);
    else
        http_mux_write(w->mux, RESIZE, STR("quit"));
}

static void client_data(void *arg, int channel, struct str bytes)
{
    struct world *w = arg;
    if (channel == ERROR) {
        buf_str(&w->error_text, bytes);
        return;
    }
    assert_int_equal(channel, STDOUT);
    for (size_t i = 0; i < bytes.n; i++)
        assert_int_equal(bytes.p[i], pattern(w->got++));
}

static void client_half_closed(void *arg, int channel)
{
}

static void client_drained(void *arg)
{
    client_send(arg);
}

static void client_closed(void *arg)
{
    struct world *w = arg;
    w->client_closed = true;
    w->mux = NULL;
    loop_stop(w->client_loop);
}

static const struct http_mux_ops client_ops = {.open = client_open,
                                               .data = client_data,
                                               .half_closed = client_half_closed,
                                               .drained = client_drained,
                                               .closed = client_closed};

static void up(void *arg, struct http_mux *m, struct str protocol, const struct err *error)
{
    struct world *w = arg;
    if (error) {
        w->failure.code = error->code;
        w->failure.message = arena_str(&w->arena, error->message);
        loop_stop(w->client_loop);
        return;
    }
    w->mux = m;
    for (int i = 0; i < CHANNELS && w->spdy; i++) {
        struct http_header h = {STR("streamtype"), str_z(channel_names[i])};
        assert_int_equal(http_mux_open(m, &(struct http_headers){&h, 1, 1}, i), 0);
    }
    client_send(w);
}

/* ---- worlds ---- */

static void hung(struct timer *t)
{
    fail_msg("hung");
}

static void world_init(struct world *w, struct sim *sim)
{
    *w = (struct world){.sim = sim, .error_text = BUF_INIT(1000), .arena = ARENA_INIT};
    struct err e = ERR_INIT(&w->arena);
    w->server_loop = sim ? sim_loop(sim, "server") : loop_new(&e);
    w->client_loop = sim ? sim_loop(sim, "client") : w->server_loop;
    w->server =
        http_server_new(w->server_loop, sim ? STR("tcp:0.0.0.0:80") : STR("tcp:127.0.0.1:0"), NULL,
                        NULL, &handler, w, &e);
    assert_non_null(w->server);
    struct http_client_config config = {.address = sim ? STR("tcp:10.0.0.1:80")
                                                       : http_server_address(w->server)};
    w->client = http_client_new(w->client_loop, &config);
    timer_start(w->client_loop, &w->watchdog, sim ? 3600000 : 4000, hung);
}

static void world_fini(struct world *w)
{
    timer_stop(&w->watchdog);
    http_client_free(w->client);
    http_server_close(w->server, 0, NULL, NULL);
    if (w->sim)
        sim_run(w->sim, 60000);
    else
        loop_run(w->server_loop);
    loop_free(w->server_loop);
    if (w->sim)
        loop_free(w->client_loop);
    buf_fini(&w->error_text);
    arena_fini(&w->arena);
}

static void exec(struct world *w, enum http_mux_kind kind, const char *target,
                 const char *const *protocols, size_t total)
{
    w->kind = kind;
    w->spdy = kind == HTTP_MUX_SPDY || (protocols[0] && strncmp(protocols[0], "SPDY", 4) == 0);
    w->can_half_close = w->spdy || (protocols[0] && strncmp(protocols[0], "v5", 2) == 0);
    w->total = total;
    w->sent = w->got = 0;
    w->all_sent = w->client_closed = false;
    w->failure.code = ERR_NONE;
    buf_clear(&w->error_text);
    http_mux_call(w->client, kind, str_z(target), NULL, protocols, &client_ops, w, up);
    loop_run(w->client_loop);
}

static const struct form {
    enum http_mux_kind kind;
    const char *protocol;
} forms[] = {
    {HTTP_MUX_WEBSOCKET, "v5.channel.k8s.io"},           {HTTP_MUX_WEBSOCKET, "v4.channel.k8s.io"},
    {HTTP_MUX_WEBSOCKET, "v4.base64.channel.k8s.io"},    {HTTP_MUX_WEBSOCKET, "channel.k8s.io"},
    {HTTP_MUX_WEBSOCKET, "SPDY/3.1+portforward.k8s.io"}, {HTTP_MUX_SPDY, "v4.channel.k8s.io"},
};

static void every_form(struct world *w, size_t total)
{
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        const char *protocols[] = {forms[i].protocol, NULL};
        exec(w, forms[i].kind, "/exec", protocols, total);
        assert_int_equal(w->failure.code, ERR_NONE);
        assert_string_equal(w->agreed, forms[i].protocol);
        assert_int_equal(w->open_count, CHANNELS);
        assert_true(w->client_closed);
        assert_int_equal(w->got, total);
        assert_str(buf_view(&w->error_text), "done");
    }
}

static void echo_small(void **state)
{
    struct world w;
    world_init(&w, NULL);
    every_form(&w, 0);
    every_form(&w, 5);
    world_fini(&w);
}

static void echo_large(void **state)
{
    struct world w;
    world_init(&w, NULL);
    every_form(&w, 3000000);
    /* Back-pressure: the echo never piled up. */
    assert_true(w.most_queued < 2000000);
    world_fini(&w);
}

static void echo_in_the_simulator(void **state)
{
    struct sim_faults rough = sim_faults_rough;
    rough.reset_ppm = 0;
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct sim *sim = sim_new(seed);
        struct world w;
        sim_set_faults(sim, &rough);
        world_init(&w, sim);
        every_form(&w, 200000);
        world_fini(&w);
        sim_free(sim);
    }
}

static void refusals(void **state)
{
    static const char *const unknown[] = {"v9.channel.k8s.io", "x", NULL}, *const none[] = {NULL};
    struct world w;
    world_init(&w, NULL);
    exec(&w, HTTP_MUX_WEBSOCKET, "/exec", unknown, 0);
    assert_int_equal(w.failure.code, ERR_FORBIDDEN);
    exec(&w, HTTP_MUX_SPDY, "/exec", unknown, 0);
    assert_int_equal(w.failure.code, ERR_FORBIDDEN);
    assert_str(w.failure.message,
               "unable to upgrade: unable to negotiate protocol: client supports "
               "[v9.channel.k8s.io x], server accepts [v5.channel.k8s.io v4.channel.k8s.io "
               "v4.base64.channel.k8s.io SPDY/3.1+portforward.k8s.io channel.k8s.io]");
    exec(&w, HTTP_MUX_SPDY, "/exec", none, 0);
    assert_int_equal(w.failure.code, ERR_BAD_REQUEST);
    assert_str(w.failure.message, "unable to upgrade: X-Stream-Protocol-Version is required");
    /* Where an offer of none is allowed, the plain channel byte it is. */
    exec(&w, HTTP_MUX_WEBSOCKET, "/any", none, 7);
    assert_int_equal(w.failure.code, ERR_NONE);
    assert_string_equal(w.agreed, "");
    assert_int_equal(w.got, 7);
    /* The server's order decides. */
    static const char *const both[] = {"v4.channel.k8s.io", "v5.channel.k8s.io", NULL};
    exec(&w, HTTP_MUX_WEBSOCKET, "/exec", both, 7);
    assert_string_equal(w.agreed, "v5.channel.k8s.io");
    world_fini(&w);
}

/* ---- what no client of ours would send ---- */

struct plain {
    struct world *w;
    int status;
    struct buf body;
};

static void plain_head(void *arg, int status, const struct http_headers *headers)
{
    ((struct plain *)arg)->status = status;
}

static void plain_data(void *arg, struct str bytes)
{
    buf_str(&((struct plain *)arg)->body, bytes);
}

static void plain_done(void *arg, const struct err *error)
{
    loop_stop(((struct plain *)arg)->w->client_loop);
}

static const struct http_call_ops plain_ops = {plain_head, plain_data, plain_done};

static void not_an_upgrade(void **state)
{
    struct world w;
    world_init(&w, NULL);
    struct plain p = {.w = &w, .body = BUF_INIT(10000)};
    http_call(w.client, STR("GET"), STR("/exec"), NULL, STR_NULL, 0, &plain_ops, &p);
    loop_run(w.client_loop);
    assert_int_equal(p.status, 400);
    assert_str(buf_view(&p.body), "unable to upgrade: missing upgrade headers in request\n");
    buf_fini(&p.body);
    world_fini(&w);
}

/* ---- giving up before the connection is there ---- */

struct canceller {
    struct timer t;
    struct world *w;
    struct http_mux_call *call;
};

static void cancel_it(struct timer *t)
{
    struct canceller *c = CONTAINER_OF(t, struct canceller, t);
    http_mux_call_cancel(c->call);
    loop_stop(c->w->client_loop);
}

static void cancelled(void **state)
{
    static const char *const protocols[] = {"v5.channel.k8s.io", NULL};
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim *sim = sim_new(seed);
        struct world w;
        struct canceller c = {.w = &w};
        world_init(&w, sim);
        w.total = 1;
        c.call = http_mux_call(w.client, HTTP_MUX_WEBSOCKET, STR("/exec"), NULL, protocols,
                               &client_ops, &w, up);
        if (seed == 0) {
            http_mux_call_cancel(c.call);
        } else {
            /* Somewhere between the first task and the answer. */
            struct sim_faults slow = sim_faults_none;
            slow.latency_us_min = slow.latency_us_max = 4000;
            sim_set_faults(sim, &slow);
            timer_start(w.client_loop, &c.t, (int64_t)seed * 15 / 20, cancel_it);
            loop_run(w.client_loop);
        }
        assert_null(w.mux);
        assert_int_equal(w.failure.code, ERR_NONE);
        world_fini(&w);
        assert_true(w.served == NULL);
        sim_free(sim);
    }
}

TESTS(cmocka_unit_test(echo_small), cmocka_unit_test(echo_large),
      cmocka_unit_test(echo_in_the_simulator), cmocka_unit_test(refusals),
      cmocka_unit_test(not_an_upgrade), cmocka_unit_test(cancelled))
