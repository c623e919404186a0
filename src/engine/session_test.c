/* SPDX-License-Identifier: Apache-2.0 */
/* Exec, attach and port-forward. */
#include "engine/test_world.h"

/* ---- exec ---- */

static const struct criv1_exec_sync_response *exec_sync_in(struct str id, const char *script,
                                                           int64_t timeout_s)
{
    struct criv1_exec_sync_request q = {.container_id = id, .timeout = timeout_s};
    str_list_push(&w->arena, &q.cmd, STR("/bin/sh"));
    str_list_push(&w->arena, &q.cmd, STR("-c"));
    str_list_push(&w->arena, &q.cmd, str_z(script));
    return try_call(CRIV1_EXEC_SYNC, &q);
}

static void test_exec_sync(void **state)
{
    struct str pod = run_pod("exec");
    struct str id = create(pod, container_config("sleep 1000"));
    const struct criv1_exec_sync_response *r;
    assert_null(exec_sync_in(id, "true", 5));
    assert_true(str_find(w->err.message, STR("is not running")) >= 0);
    start(id);
    r = exec_sync_in(id, "echo out; echo err >&2; exit 3", 5);
    assert_non_null(r);
    assert_str(r->stdout, "out\n");
    assert_str(r->stderr, "err\n");
    assert_int_equal(r->exit_code, 3);
    r = exec_sync_in(id, "kill -9 $$", 5);
    assert_int_equal(r->exit_code, 137);
    /* a child that keeps the pipes open is not waited for */
    r = exec_sync_in(id, "sleep 1000 & echo now", 5);
    assert_str(r->stdout, "now\n");
    assert_null(exec_sync_in(id, "sleep 1000", 1));
    assert_int_equal(w->err.code, ERR_TIMEOUT);
    struct criv1_exec_sync_request missing = {.container_id = id};
    str_list_push(&w->arena, &missing.cmd, STR("no-such-program"));
    assert_null(try_call(CRIV1_EXEC_SYNC, &missing));
    assert_true(str_find(w->err.message, STR("no-such-program")) >= 0);
    remove_pod(pod);
}

/* A session and what came of it. */
struct client {
    struct engine_session *session;
    struct buf out, err;
    int exit_code;
    bool ended, failed;
    struct str until; /* stop the loop when the output holds this */
};

static void client_output(struct engine_session *s, void *arg, enum engine_output which,
                          struct str bytes)
{
    struct client *c = arg;
    assert_false(c->ended);
    buf_str(which == ENGINE_STDOUT ? &c->out : &c->err, bytes);
    if (c->until.n && str_find(buf_view(&c->out), c->until) >= 0)
        loop_stop(w->loop);
}

static void client_ended(struct engine_session *s, void *arg, int exit_code, const struct err *err)
{
    struct client *c = arg;
    assert_false(c->ended);
    c->ended = true;
    c->failed = err != NULL;
    c->exit_code = exit_code;
    if (err)
        w->err.message = arena_str(&w->arena, err->message);
    loop_stop(w->loop);
}

static const struct engine_session_ops client_ops = {.output = client_output,
                                                     .ended = client_ended};

static void client_init(struct client *c)
{
    *c = (struct client){.out = BUF_INIT(MIB(64)), .err = BUF_INIT(MIB(64))};
}

static void client_wait(struct client *c)
{
    while (!c->ended)
        run_loop();
}

static void client_wait_for(struct client *c, const char *text)
{
    c->until = str_z(text);
    while (!c->ended && str_find(buf_view(&c->out), c->until) < 0)
        run_loop();
    c->until = STR_NULL;
}

static void client_fini(struct client *c)
{
    engine_session_close(c->session);
    buf_fini(&c->out);
    buf_fini(&c->err);
}

static void test_exec_session(void **state)
{
    struct str pod = run_pod("exec2");
    struct str id = create(pod, container_config("sleep 1000"));
    struct client c;
    start(id);

    struct criv1_exec_request q = {
        .container_id = id, .stdin = true, .stdout = true, .stderr = true};
    str_list_push(&w->arena, &q.cmd, STR("/bin/sh"));
    str_list_push(&w->arena, &q.cmd, STR("-c"));
    str_list_push(&w->arena, &q.cmd, STR("cat; echo done >&2; exit 4"));
    client_init(&c);
    c.session = engine_exec(w->engine, &q, &client_ops, &c);
    /* more than a pipe holds, given before the command runs */
    char *big = xcalloc(1, MIB(1));
    memset(big, 'x', MIB(1));
    assert_true(engine_session_input(c.session, str_n(big, MIB(1))) > 0);
    engine_session_input_end(c.session);
    client_wait(&c);
    assert_int_equal(c.exit_code, 4);
    assert_false(c.failed);
    assert_int_equal(c.out.n, MIB(1));
    assert_memory_equal(c.out.p, big, MIB(1));
    assert_str(buf_view(&c.err), "done\n");
    free(big);
    client_fini(&c);

    q.cmd = (struct str_list){0};
    str_list_push(&w->arena, &q.cmd, STR("no-such-program"));
    client_init(&c);
    c.session = engine_exec(w->engine, &q, &client_ops, &c);
    client_wait(&c);
    assert_true(c.failed);
    assert_true(str_find(w->err.message, STR("no-such-program")) >= 0);
    client_fini(&c);

    /* closed by the client while it runs */
    q.cmd = (struct str_list){0};
    str_list_push(&w->arena, &q.cmd, STR("cat"));
    client_init(&c);
    c.session = engine_exec(w->engine, &q, &client_ops, &c);
    engine_session_input(c.session, STR("hello"));
    client_wait_for(&c, "hello");
    client_fini(&c);
    remove_pod(pod);
}

static void test_exec_terminal(void **state)
{
    struct str pod = run_pod("exec3");
    struct str id = create(pod, container_config("sleep 1000"));
    struct client c;
    start(id);
    struct criv1_exec_request q = {.container_id = id, .tty = true, .stdin = true, .stdout = true};
    str_list_push(&w->arena, &q.cmd, STR("/bin/sh"));
    client_init(&c);
    c.session = engine_exec(w->engine, &q, &client_ops, &c);
    engine_session_resize(c.session, 90, 33);
    client_wait_for(&c, "# ");
    engine_session_input(c.session, STR("stty size; tty; exit 6\n"));
    client_wait(&c);
    assert_int_equal(c.exit_code, 6);
    assert_true(str_find(buf_view(&c.out), STR("33 90")) >= 0);
    assert_true(str_find(buf_view(&c.out), STR("/dev/pts/")) >= 0);
    client_fini(&c);
    remove_pod(pod);
}

static void test_attach(void **state)
{
    struct str pod = run_pod("attach");
    struct criv1_container_config *config =
        container_config("read line; echo got $line; echo oops >&2; cat >/dev/null; exit 9");
    config->stdin = true;
    config->stdin_once = true;
    struct str id = create(pod, config);
    struct client c;
    start(id);
    struct criv1_attach_request q = {
        .container_id = id, .stdin = true, .stdout = true, .stderr = true};
    client_init(&c);
    c.session = engine_attach(w->engine, &q, &client_ops, &c);
    engine_session_input(c.session, STR("word\n"));
    client_wait_for(&c, "got word\n");
    engine_session_input_end(c.session);
    client_wait(&c);
    assert_false(c.failed);
    assert_str(buf_view(&c.err), "oops\n");
    client_fini(&c);
    assert_int_equal(wait_exit(id)->exit_code, 9);
    assert_true(str_find(output(), STR("got word\n")) >= 0);
    client_init(&c);
    c.session = engine_attach(w->engine, &q, &client_ops, &c);
    client_wait(&c);
    assert_true(c.failed);
    client_fini(&c);
    remove_pod(pod);
}

static void test_port_forward(void **state)
{
    struct str pod = run_pod("forward");
    struct str id =
        create(pod, container_config("nc -l -p 8080 -e /bin/sh -c 'read l; echo you said $l'"));
    struct client c;
    start(id);
    for (int i = 0;; i++) { /* until it listens */
        client_init(&c);
        c.session = engine_port_forward(w->engine, pod, 8080, &client_ops, &c);
        engine_session_input(c.session, STR("hello\n"));
        client_wait(&c);
        if (!c.failed || i == 100)
            break;
        client_fini(&c);
        usleep(20000);
    }
    assert_str(buf_view(&c.out), "you said hello\n");
    client_fini(&c);
    client_init(&c);
    c.session = engine_port_forward(w->engine, pod, 8081, &client_ops, &c);
    client_wait(&c);
    assert_true(c.failed);
    assert_true(str_find(w->err.message, STR("Connection refused")) >= 0);
    client_fini(&c);
    remove_pod(pod);
}

ENGINE_TESTS(ENGINE_TEST(test_exec_sync), ENGINE_TEST(test_exec_session),
             ENGINE_TEST(test_exec_terminal), ENGINE_TEST(test_attach),
             ENGINE_TEST(test_port_forward))
