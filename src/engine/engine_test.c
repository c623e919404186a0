/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine as a whole, on this machine: real conmon, real OCI runtime, an image made from
 * busybox. Needs root; skipped where something is missing.
 */
#include "base/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "engine/cgroup.h"
#include "engine/engine.h"
#include "engine/files.h"
#include "engine/images.h"

enum { PATIENCE_MS = 20000 };

struct world {
    struct arena arena;
    struct err err;
    struct loop *loop;
    struct engine *engine;
    struct engine_config config;
    char root[64];
    char cgroup[64];
    size_t own_mounts; /* of the engine itself */
    struct timer watchdog;
    struct engine_watch watch;
    struct str wanted; /* id whose end the loop runs for */
    bool seen;
};

static struct world *w; /* one test at a time */

static const char *in_root(const char *name)
{
    return arena_fmt(&w->arena, "%s/%s", w->root, name).p;
}

/* ---- running the loop until something has happened ---- */

static void too_late(struct timer *t)
{
    fail_msg("nothing happened for %d ms", PATIENCE_MS);
}

static void run_loop(void)
{
    timer_start(w->loop, &w->watchdog, PATIENCE_MS, too_late);
    loop_run(w->loop);
    timer_stop(&w->watchdog);
}

static void stop_loop(void *arg)
{
    loop_stop(w->loop);
}

static void call_ended(struct engine_call *c)
{
    loop_stop(w->loop);
}

/* The response, or NULL with w->err set. */
static const void *try_call(enum criv1_method m, const void *request)
{
    struct engine_call c = {.done = call_ended, .arena = &w->arena};
    engine_call(w->engine, m, request, &c);
    run_loop();
    w->err = c.err;
    return c.response;
}

static const void *call(enum criv1_method m, const void *request)
{
    const void *response = try_call(m, request);
    if (!response)
        fail_msg("%s: %.*s", criv1_rpcs[m].method, STR_ARG(w->err.message));
    return response;
}

static void saw(struct engine_watch *watch, const struct engine_event *ev)
{
    if (ev->type == CRIV1_CONTAINER_STOPPED_EVENT && str_eq(ev->container_id, w->wanted)) {
        w->seen = true;
        loop_stop(w->loop);
    }
}

/* ---- the engine under test ---- */

static void open_engine(void)
{
    if (engine_new(&w->config, &w->engine, &w->err) < 0)
        fail_msg("%.*s", STR_ARG(w->err.message));
    engine_watch_start(w->engine, &w->watch, saw);
}

static void close_engine(void)
{
    engine_watch_stop(&w->watch);
    engine_close(w->engine, stop_loop, NULL);
    w->engine = NULL;
    run_loop();
}

static void make_image(void)
{
    struct image_store *store;
    struct image image;
    assert_int_equal(dir_make(in_root("rootfs/bin"), 0755, &w->err), 0);
    assert_int_equal(dir_make(in_root("rootfs/etc"), 0755, &w->err), 0);
    assert_int_equal(dir_make(in_root("rootfs/tmp"), 0755, &w->err), 0);
    struct str busybox;
    assert_int_equal(file_read(&w->arena, AT_FDCWD, "/bin/busybox", MIB(16), &busybox, &w->err), 0);
    assert_int_equal(
        file_write(AT_FDCWD, in_root("rootfs/bin/busybox"), busybox, 0755, FILE_FAST, &w->err), 0);
    static const char *const names[] = {"sh",   "cat",  "id", "echo", "sleep", "ls",
                                        "kill", "true", "nc", "tty",  "stty"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(
            symlink("busybox", arena_fmt(&w->arena, "%s/rootfs/bin/%s", w->root, names[i]).p), 0);
    assert_int_equal(file_write(AT_FDCWD, in_root("rootfs/etc/passwd"),
                                STR("root:x:0:0:root:/root:/bin/sh\nweb:x:33:44::/:/bin/sh\n"),
                                0644, FILE_FAST, &w->err),
                     0);
    assert_int_equal(file_write(AT_FDCWD, in_root("rootfs/etc/group"),
                                STR("root:x:0:\nextra:x:55:web,other\n"), 0644, FILE_FAST, &w->err),
                     0);
    assert_int_equal(image_store_open(in_root("engine"), &store, &w->err), 0);
    if (image_import(store, &w->arena, STR("busybox:test"), in_root("rootfs"), &image, &w->err) < 0)
        fail_msg("%.*s", STR_ARG(w->err.message));
    image_store_close(store);
}

static size_t mounts_below_root(void)
{
    struct arena a = ARENA_INIT;
    struct str text, line;
    size_t n = 0;
    assert_int_equal(file_read(&a, AT_FDCWD, "/proc/self/mountinfo", MIB(16), &text, &w->err), 0);
    while (str_next(&text, '\n', &line))
        n += str_find(line, str_z(w->root)) >= 0;
    arena_fini(&a);
    return n;
}

static int setup(void **state)
{
    w = xcalloc(1, sizeof *w);
    w->arena = ARENA_INIT;
    w->err = ERR_INIT(&w->arena);
    snprintf(w->root, sizeof w->root, "/tmp/engine-test-XXXXXX");
    assert_non_null(mkdtemp(w->root));
    snprintf(w->cgroup, sizeof w->cgroup, "/%s", w->root + strlen("/tmp/"));
    make_image();
    w->loop = loop_new(&w->err);
    w->config = (struct engine_config){
        .loop = w->loop, .root = in_root("engine"), .cgroup_root = w->cgroup};
    open_engine();
    w->own_mounts = mounts_below_root();
    return 0;
}

static int teardown(void **state)
{
    if (w->engine)
        close_engine();
    loop_free(w->loop);
    if (engine_purge(in_root("engine"), true, &w->err) < 0)
        fail_msg("%.*s", STR_ARG(w->err.message));
    assert_int_equal(tree_remove(AT_FDCWD, w->root, &w->err), 0);
    struct cgroups cg;
    assert_int_equal(cgroup_detect(&cg, &w->err), 0);
    assert_false(cgroup_exists(&cg, w->cgroup));
    arena_fini(&w->arena);
    free(w);
    return 0;
}

/* ---- pods and containers ---- */

static struct criv1_pod_sandbox_config *pod_config(const char *name)
{
    struct criv1_pod_sandbox_config *c = arena_new(&w->arena, struct criv1_pod_sandbox_config);
    c->metadata = arena_new(&w->arena, struct criv1_pod_sandbox_metadata);
    c->metadata->name = str_z(name);
    c->metadata->uid = str_z(name);
    c->metadata->namespace = STR("default");
    c->hostname = str_z(name);
    c->log_directory = str_z(in_root("log"));
    c->linux_ = arena_new(&w->arena, struct criv1_linux_pod_sandbox_config);
    c->linux_->security_context = arena_new(&w->arena, struct criv1_linux_sandbox_security_context);
    c->linux_->security_context->namespace_options =
        arena_new(&w->arena, struct criv1_namespace_option);
    c->linux_->security_context->namespace_options->pid = CRIV1_CONTAINER;
    return c;
}

static struct str run_pod_with(struct criv1_pod_sandbox_config *config)
{
    struct criv1_run_pod_sandbox_request q = {.config = config};
    const struct criv1_run_pod_sandbox_response *r = call(CRIV1_RUN_POD_SANDBOX, &q);
    return r->pod_sandbox_id;
}

static struct str run_pod(const char *name)
{
    return run_pod_with(pod_config(name));
}

static struct criv1_container_config *container_config(const char *script)
{
    struct criv1_container_config *c = arena_new(&w->arena, struct criv1_container_config);
    c->metadata = arena_new(&w->arena, struct criv1_container_metadata);
    c->metadata->name = STR("main");
    c->image = arena_new(&w->arena, struct criv1_image_spec);
    c->image->image = STR("busybox:test");
    str_list_push(&w->arena, &c->command, STR("/bin/sh"));
    str_list_push(&w->arena, &c->command, STR("-c"));
    str_list_push(&w->arena, &c->args, str_z(script));
    c->log_path = STR("main.log");
    c->linux_ = arena_new(&w->arena, struct criv1_linux_container_config);
    c->linux_->resources = arena_new(&w->arena, struct criv1_linux_container_resources);
    c->linux_->security_context =
        arena_new(&w->arena, struct criv1_linux_container_security_context);
    c->linux_->security_context->namespace_options =
        arena_new(&w->arena, struct criv1_namespace_option);
    c->linux_->security_context->namespace_options->pid = CRIV1_CONTAINER;
    return c;
}

static struct str create(struct str pod, struct criv1_container_config *config)
{
    struct criv1_create_container_request q = {.pod_sandbox_id = pod, .config = config};
    const struct criv1_create_container_response *r = call(CRIV1_CREATE_CONTAINER, &q);
    return r->container_id;
}

static void start(struct str id)
{
    struct criv1_start_container_request q = {.container_id = id};
    call(CRIV1_START_CONTAINER, &q);
}

static const struct criv1_container_status *status(struct str id)
{
    struct criv1_container_status_request q = {.container_id = id};
    const struct criv1_container_status_response *r = call(CRIV1_CONTAINER_STATUS, &q);
    return r->status;
}

/* Runs the loop until the container has ended. */
static const struct criv1_container_status *wait_exit(struct str id)
{
    w->wanted = id;
    w->seen = false;
    while (status(id)->state != CRIV1_CONTAINER_EXITED)
        run_loop();
    return status(id);
}

static const struct criv1_container_status *run_to_end(struct str pod,
                                                       struct criv1_container_config *config)
{
    struct str id = create(pod, config);
    start(id);
    return wait_exit(id);
}

static void stop(struct str id, int64_t timeout_s)
{
    struct criv1_stop_container_request q = {.container_id = id, .timeout = timeout_s};
    call(CRIV1_STOP_CONTAINER, &q);
}

static void remove_container(struct str id)
{
    struct criv1_remove_container_request q = {.container_id = id};
    call(CRIV1_REMOVE_CONTAINER, &q);
}

static void remove_pod(struct str id)
{
    struct criv1_stop_pod_sandbox_request stop_it = {.pod_sandbox_id = id};
    struct criv1_remove_pod_sandbox_request remove_it = {.pod_sandbox_id = id};
    call(CRIV1_STOP_POD_SANDBOX, &stop_it);
    call(CRIV1_REMOVE_POD_SANDBOX, &remove_it);
}

/* What the container wrote to stdout and stderr, without the log's prefixes. */
static struct str output(void)
{
    struct str text, line, rest;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    if (file_read(&w->arena, AT_FDCWD, in_root("log/main.log"), MIB(1), &text, &w->err) < 0)
        return STR("no log");
    while (str_next(&text, '\n', &line)) {
        if (!line.n)
            continue;
        for (int i = 0; i < 3; i++) /* time, stream, F or P */
            assert_true(str_cut(line, ' ', &rest, &line));
        buf_str(&b, line);
        buf_c(&b, '\n');
    }
    return buf_to_arena(&b, &w->arena);
}

/* ---- tests ---- */

static void test_one_container(void **state)
{
    struct str pod = run_pod("one");
    struct criv1_container_config *config =
        container_config("echo out; echo err >&2; hostname 2>&1; cat /etc/hostname; exit 7");
    const struct criv1_container_status *st = run_to_end(pod, config);
    assert_int_equal(st->exit_code, 7);
    assert_str(st->reason, "Error");
    assert_true(st->created_at > 0 && st->started_at >= st->created_at &&
                st->finished_at >= st->started_at);
    struct str text = output();
    assert_true(str_find(text, STR("out\n")) >= 0 && str_find(text, STR("err\n")) >= 0);
    assert_true(str_find(text, STR("one\n")) >= 0);
    remove_container(st->id);
    struct criv1_container_status_request q = {.container_id = st->id};
    assert_null(try_call(CRIV1_CONTAINER_STATUS, &q));
    assert_int_equal(w->err.code, ERR_NOT_FOUND);
    remove_pod(pod);
    assert_int_equal(mounts_below_root(), w->own_mounts);
}

static void test_stop(void **state)
{
    struct str pod = run_pod("stop");
    struct str polite =
        create(pod, container_config("trap 'exit 3' TERM; while :; do sleep 0.02; done"));
    struct str deaf = create(pod, container_config("trap '' TERM; while :; do sleep 0.02; done"));
    start(polite);
    start(deaf);
    usleep(100000); /* until the shells have set their traps */
    stop(polite, 10);
    assert_int_equal(status(polite)->exit_code, 3);
    stop(polite, 10); /* again is fine */
    stop(deaf, 1);
    assert_int_equal(status(deaf)->exit_code, 137);
    struct str running = create(pod, container_config("sleep 1000"));
    start(running);
    assert_int_equal(status(running)->state, CRIV1_CONTAINER_RUNNING);
    remove_pod(pod); /* takes the running container with it */
    struct criv1_container_status_request q = {.container_id = running};
    assert_null(try_call(CRIV1_CONTAINER_STATUS, &q));
    assert_int_equal(mounts_below_root(), w->own_mounts);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_container, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exec_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exec_session, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exec_terminal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_attach, setup, teardown),
        cmocka_unit_test_setup_teardown(test_port_forward, setup, teardown),
    };
    static const char *const needed[] = {"/bin/busybox", "/usr/bin/conmon", "/usr/bin/crun"};
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if (geteuid() != 0 || access(needed[i], X_OK) < 0) {
            print_message("skipped: needs root and %s\n", needed[i]);
            return 77;
        }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
