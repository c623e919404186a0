/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server in the simulated world, on bad networks: clients on other machines send pipelined
 * requests and check every answer. Connections may break at any moment; what arrives must be right
 * and in order, nothing may be left behind, and the same seed must be the same run.
 */
#include "base/test.h"

#include "http/conn.h"
#include "http/http1.h"
#include "loop/sim.h"

enum { CLIENTS = 4, REQUESTS = 60, PIPELINE = 5, SEEDS = 30 };

struct world {
    struct sim *sim;
    struct http_server *server;
    struct str address;
    struct conn_scratch *scratch;
    bool closed;
    int handled, aborted;
};

struct client {
    struct conn c;
    struct world *w;
    struct loop *l;
    struct connect dial;
    struct timer retry;
    bool open;
    int done;               /* answers that came, in all */
    int asked, answered;    /* on this connection */
    size_t sizes[PIPELINE]; /* of the bodies asked for */
    struct buf in;
    struct http1_scan scan;
    bool in_body;
    struct http1_body body;
    size_t body_n;
    int broken;
};

/* ---- the server's handler: echo at once, later, or in pieces with back-pressure ---- */

struct job {
    struct timer t;
    struct world *w;
    struct http_exchange *x;
    size_t sent;
};

static void job_gone(void *arg, struct http_exchange *x)
{
    struct job *j = arg;
    j->w->aborted++;
    timer_stop(&j->t);
    free(j);
}

static void job_write(void *arg, struct http_exchange *x)
{
    struct job *j = arg;
    struct str body = http_request(x)->body;
    while (j->sent < body.n) {
        struct str piece = str_sub(body, j->sent, j->sent + 3000);
        j->sent += piece.n;
        if (http_write(x, &piece, 1) > 4000)
            return;
    }
    http_end(x);
    free(j);
}

static void job_begin(struct timer *t)
{
    struct job *j = CONTAINER_OF(t, struct job, t);
    http_on_drained(j->x, job_write, j);
    http_respond_start(j->x, 200, NULL);
    job_write(j, j->x);
}

static void handle(void *arg, struct http_exchange *x)
{
    struct world *w = arg;
    w->handled++;
    if (str_eqz(http_request(x)->path, "/now")) {
        http_respond(x, 200, NULL, http_request(x)->body);
        return;
    }
    struct job *j = xcalloc(1, sizeof *j);
    j->w = w;
    j->x = x;
    http_on_abort(x, job_gone, j);
    timer_start(http_loop(x), &j->t, (int64_t)(loop_random_u64(http_loop(x)) % 30), job_begin);
}

/* ---- clients ---- */

static void client_dial(struct timer *t);

static void ask_one(struct client *c)
{
    uint64_t draw = loop_random_u64(c->l);
    size_t n = draw % 4 ? draw % 2000 : draw % 150000;
    char *body = xmalloc(n + 1), head[128];
    memset(body, 'a' + (int)(n % 26), n);
    int head_n =
        snprintf(head, sizeof head, "POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                 draw & 1024 ? "now" : "later", n);
    struct str parts[] = {{head, (size_t)head_n}, {body, n}};
    c->sizes[c->asked++ % PIPELINE] = n;
    conn_write(&c->c, parts, 2);
    free(body);
}

static void ask_more(struct client *c)
{
    while (c->open && c->asked - c->answered < PIPELINE &&
           c->done + c->asked - c->answered < REQUESTS)
        ask_one(c);
    if (c->open && c->done == REQUESTS) {
        c->open = false;
        conn_finish(&c->c);
    }
}

static bool take_head(struct client *c)
{
    size_t n;
    assert_int_equal(http1_scan(&c->scan, buf_view(&c->in), &n), 0);
    if (n == 0)
        return false;
    struct arena a = ARENA_INIT;
    struct http_headers h;
    struct http1_framing f;
    int status;
    char *copy = arena_raw(&a, n);
    memcpy(copy, c->in.p, n);
    assert_int_equal(http1_parse_response(&a, copy, n, c->scan.lines, false, &status, &h, &f), 0);
    assert_int_equal(status, 200);
    arena_fini(&a);
    http1_body_init(&c->body, &f, 100);
    c->in_body = true;
    c->body_n = 0;
    c->scan = (struct http1_scan){0};
    buf_consume(&c->in, n);
    return true;
}

static bool take_body(struct client *c)
{
    size_t want = c->sizes[c->answered % PIPELINE];
    struct str in = buf_view(&c->in), piece = STR_NULL;
    if (c->body.state != HTTP1_BODY_DONE && in.n == 0)
        return false;
    assert_int_equal(http1_body_next(&c->body, &in, &piece), 0);
    for (size_t i = 0; i < piece.n; i++)
        assert_int_equal(piece.p[i], 'a' + (int)(want % 26));
    c->body_n += piece.n;
    buf_consume(&c->in, c->in.n - in.n);
    if (c->body.state != HTTP1_BODY_DONE)
        return c->in.n > 0;
    assert_int_equal(c->body_n, want);
    c->in_body = false;
    c->answered++;
    c->done++;
    return true;
}

static void client_read(struct conn *t, struct str bytes)
{
    struct client *c = CONTAINER_OF(t, struct client, c);
    buf_str(&c->in, bytes);
    while (c->in_body ? take_body(c) : take_head(c)) {
        /* the next piece */
    }
    ask_more(c);
}

static void client_end(struct conn *t, int error)
{
    struct client *c = CONTAINER_OF(t, struct client, c);
    c->open = false;
    conn_close(t);
}

static void client_nothing(struct conn *t)
{
}

static const struct conn_ops client_ops = {
    .read = client_read, .end = client_end, .drained = client_nothing, .timeout = client_nothing};

/* Gone before it had all its answers: once more. */
static void client_freed(struct conn *t)
{
    struct client *c = CONTAINER_OF(t, struct client, c);
    buf_clear(&c->in);
    if (c->done == REQUESTS)
        return;
    c->broken++;
    timer_start(c->l, &c->retry, 50, client_dial);
}

static void client_dialled(struct connect *d, struct stream *s, int error)
{
    struct client *c = CONTAINER_OF(d, struct client, dial);
    if (!s) {
        timer_start(c->l, &c->retry, 50, client_dial);
        return;
    }
    c->open = true;
    c->asked = c->answered = 0;
    c->in_body = false;
    c->scan = (struct http1_scan){0};
    conn_init(&c->c, c->l, s, NULL, c->w->scratch, &client_ops, client_freed);
    ask_more(c);
}

static void client_dial(struct timer *t)
{
    struct client *c = CONTAINER_OF(t, struct client, retry);
    loop_connect(c->l, &c->dial, c->w->address, 5000, client_dialled);
}

/* ---- runs ---- */

static struct client clients[CLIENTS];

static bool all_done(void *arg)
{
    for (size_t i = 0; i < CLIENTS; i++)
        if (clients[i].done < REQUESTS || !clients[i].c.dead)
            return false;
    return true;
}

static void note_closed(void *arg)
{
    ((struct world *)arg)->closed = true;
}

static bool is_closed(void *arg)
{
    return ((struct world *)arg)->closed;
}

static uint64_t run_seed(uint64_t seed, const struct sim_faults *faults, int *ret_broken)
{
    static const struct http_handler handler = {handle};
    struct arena arena = ARENA_INIT;
    struct err e = ERR_INIT(&arena);
    struct world w = {.sim = sim_new(seed), .scratch = conn_scratch_new()};
    struct loop *l = sim_loop(w.sim, "control");
    struct http_limits limits = http_limits_default;
    limits.write_queue_max = 20000;
    sim_set_faults(w.sim, faults);
    w.server = http_server_new(l, STR("tcp:10.0.0.1:6443"), NULL, &limits, &handler, &w, &e);
    assert_non_null(w.server);
    w.address = arena_str(&arena, http_server_address(w.server));
    for (size_t i = 0; i < CLIENTS; i++) {
        char name[16];
        snprintf(name, sizeof name, "node-%zu", i);
        clients[i] = (struct client){.w = &w, .l = sim_loop(w.sim, name), .in = BUF_INIT(MIB(1))};
        timer_start(clients[i].l, &clients[i].retry, 0, client_dial);
    }
    bool done = sim_run_until(w.sim, all_done, NULL, 3600000);
    if (!done)
        fail_msg("seed %llu: not done after an hour", (unsigned long long)seed);
    http_server_close(w.server, 1000, note_closed, &w);
    assert_true(sim_run_until(w.sim, is_closed, &w, 10000));
    sim_run(w.sim, 10000);
    *ret_broken = 0;
    for (size_t i = 0; i < CLIENTS; i++) {
        *ret_broken += clients[i].broken;
        buf_fini(&clients[i].in);
        loop_free(clients[i].l);
    }
    assert_true(w.handled >= CLIENTS * REQUESTS);
    uint64_t trace = sim_trace(w.sim);
    loop_free(l);
    sim_free(w.sim);
    conn_scratch_free(w.scratch);
    arena_fini(&arena);
    return trace;
}

static void a_good_network(void **state)
{
    int broken;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        run_seed(seed, &sim_faults_none, &broken);
        assert_int_equal(broken, 0);
    }
}

static void bad_networks(void **state)
{
    int broken, all_broken = 0;
    struct sim_faults faults = sim_faults_rough;
    faults.reset_ppm = 5000;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_seed(seed, &faults, &broken);
        all_broken += broken;
    }
    assert_true(all_broken > SEEDS);
}

static void a_seed_is_a_run(void **state)
{
    int broken;
    uint64_t trace = run_seed(7, &sim_faults_rough, &broken);
    assert_true(trace == run_seed(7, &sim_faults_rough, &broken));
    assert_false(trace == run_seed(8, &sim_faults_rough, &broken));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_network),
        cmocka_unit_test(bad_networks),
        cmocka_unit_test(a_seed_is_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
