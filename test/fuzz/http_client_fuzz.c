/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile HTTP/1.1 server: whatever bytes answer a call, it ends exactly once. The first byte
 * chooses the call and how the bytes are cut. In the simulated world, so that an input is one
 * run. */
#include "fuzz.h"
#include "http/http.h"
#include "loop/sim.h"

struct call {
    struct http_client *client;
    struct http_call *call;
    int heads, done;
    bool pause;
    struct timer resume;
    struct loop *l;
    struct http_raw *raw;
};

static void on_head(void *arg, int status, const struct http_headers *h)
{
    struct call *c = arg;
    must(!c->done && ++c->heads == 1 && status >= 200);
}

static void resume(struct timer *t)
{
    struct call *c = CONTAINER_OF(t, struct call, resume);
    http_call_pause(c->call, false);
}

static void on_data(void *arg, struct str bytes)
{
    struct call *c = arg;
    must(bytes.n > 0 && c->heads == 1 && !c->done && !timer_active(&c->resume));
    if (!c->pause)
        return;
    http_call_pause(c->call, true);
    timer_start(c->l, &c->resume, 10, resume);
}

static void on_done(void *arg, const struct err *e)
{
    struct call *c = arg;
    timer_stop(&c->resume);
    c->done++;
}

static const struct http_call_ops call_ops = {on_head, on_data, on_done};

static void raw_data(void *arg, struct str bytes)
{
}

static void raw_end(void *arg)
{
    struct call *c = arg;
    http_raw_close(TAKE_PTR(c->raw));
}

static const struct http_raw_ops raw_ops = {.data = raw_data, .end = raw_end};

static void on_upgraded(void *arg, int status, const struct http_headers *h, struct http_raw *raw)
{
    struct call *c = arg;
    must(!c->done && c->heads == 0);
    c->done++;
    c->raw = raw;
}

/* ---- the hostile server ---- */

struct answer {
    struct loop *l;
    struct str bytes;
    size_t step;
    int connections;
};

struct session {
    struct answer *answer;
    struct stream *s;
    struct str left;
    bool begun;
    struct timer next;
};

static void session_send(struct timer *t)
{
    struct session *x = CONTAINER_OF(t, struct session, next);
    struct str part = str_sub(x->left, 0, x->answer->step);
    x->left = str_sub(x->left, part.n, x->left.n);
    if (stream_write(x->s, &part, 1) >= 0 && x->left.n)
        timer_start(x->answer->l, t, 1, session_send);
    else
        stream_shutdown(x->s);
}

static void session_read(struct stream *s, void *arg, struct str bytes)
{
    struct session *x = arg;
    if (!x->begun)
        timer_start(x->answer->l, &x->next, 1, session_send);
    x->begun = true;
}

static void session_end(struct stream *s, void *arg, int error)
{
    struct session *x = arg;
    timer_stop(&x->next);
    stream_close(s);
    free(x);
}

static const struct stream_ops session_ops = {session_read, session_end, NULL};

static void accepted(void *arg, struct stream *s)
{
    struct answer *a = arg;
    struct session *x = xcalloc(1, sizeof *x);
    must(++a->connections < 100); /* retries end */
    x->answer = a;
    x->s = s;
    x->left = a->bytes;
    stream_start(s, &session_ops, x);
}

static void start(struct call *c, uint8_t how)
{
    static const char *const methods[] = {"GET", "HEAD", "POST"};
    struct http_header fields[] = {{STR("connection"), STR("Upgrade")},
                                   {STR("upgrade"), STR("websocket")}};
    struct http_headers h = {fields, 2, 2};
    unsigned kind = how & 3;
    if (kind < 3)
        c->call = http_call(c->client, str_z(methods[kind]), STR("/x"), NULL, STR("body"), 5000,
                            &call_ops, c);
    else
        c->call = http_call_upgrade(c->client, STR("GET"), STR("/x"), &h, &call_ops, on_upgraded,
                                    &raw_ops, c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {data, n};
    uint8_t how = fuzz_byte(&in);
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct sim *w = sim_new(how);
    struct answer answer = {.l = sim_loop(w, "server"),
                            .bytes = fuzz_rest(&in),
                            .step = how & 8 ? SIZE_MAX : 1 + (size_t)(how >> 4)};
    struct listener *ls = loop_listen(answer.l, STR("tcp:0.0.0.0:80"), accepted, &answer, &e);
    must(ls != NULL);
    struct call c = {.l = sim_loop(w, "client"), .pause = how & 4};
    struct http_client_config config = {.address = STR("tcp:10.0.0.1:80")};
    c.client = http_client_new(c.l, &config);
    if (how & 16)
        sim_set_faults(w, &sim_faults_rough);
    start(&c, how);
    sim_run(w, 3600000);
    must(c.done == 1 && !c.raw);
    http_client_free(c.client);
    listener_close(ls);
    sim_run(w, 3600000);
    loop_free(answer.l);
    loop_free(c.l);
    sim_free(w);
    arena_fini(&a);
    return 0;
}
