/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_world.h: the engine as a whole, on this machine, for the tests that need it: real conmon,
 * real OCI runtime, an image "busybox:test" made from the static busybox. One world for a test
 * program, a fresh engine for each test; afterwards nothing may be left on the host.
 */
#ifndef BARQUE_ENGINE_TEST_WORLD_H
#define BARQUE_ENGINE_TEST_WORLD_H

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

UNUSED static const char *in_root(const char *name)
{
    return arena_fmt(&w->arena, "%s/%s", w->root, name).p;
}

/* ---- running the loop until something has happened ---- */

static void too_late(struct timer *t)
{
    fail_msg("nothing happened for %d ms", PATIENCE_MS);
}

UNUSED static void run_loop(void)
{
    timer_start(w->loop, &w->watchdog, PATIENCE_MS, too_late);
    loop_run(w->loop);
    timer_stop(&w->watchdog);
}

UNUSED static void stop_loop(void *arg)
{
    loop_stop(w->loop);
}

UNUSED static void call_ended(struct engine_call *c)
{
    loop_stop(w->loop);
}

/* The response, or NULL with w->err set. */
UNUSED static const void *try_call(enum criv1_method m, const void *request)
{
    struct engine_call c = {.done = call_ended, .arena = &w->arena};
    engine_call(w->engine, m, request, &c);
    run_loop();
    w->err = c.err;
    return c.response;
}

UNUSED static const void *call(enum criv1_method m, const void *request)
{
    const void *response = try_call(m, request);
    if (!response)
        fail_msg("%s: %.*s", criv1_rpcs[m].method, STR_ARG(w->err.message));
    return response;
}

UNUSED static void saw(struct engine_watch *watch, const struct engine_event *ev)
{
    if (ev->type == CRIV1_CONTAINER_STOPPED_EVENT && str_eq(ev->container_id, w->wanted)) {
        w->seen = true;
        loop_stop(w->loop);
    }
}

/* ---- the engine under test ---- */

UNUSED static void open_engine(void)
{
    if (engine_new(&w->config, &w->engine, &w->err) < 0)
        fail_msg("%.*s", STR_ARG(w->err.message));
    engine_watch_start(w->engine, &w->watch, saw);
}

UNUSED static void close_engine(void)
{
    engine_watch_stop(&w->watch);
    engine_close(w->engine, stop_loop, NULL);
    w->engine = NULL;
    run_loop();
}

UNUSED static void make_image(void)
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

UNUSED static size_t mounts_below_root(void)
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

/* ---- once for a program ---- */

UNUSED static int world_setup(void **state)
{
    w = xcalloc(1, sizeof *w);
    w->arena = ARENA_INIT;
    w->err = ERR_INIT(&w->arena);
    snprintf(w->root, sizeof w->root, "/tmp/engine-test-XXXXXX");
    assert_non_null(mkdtemp(w->root));
    snprintf(w->cgroup, sizeof w->cgroup, "/%s", w->root + strlen("/tmp/"));
    make_image();
    w->loop = loop_new(&w->err);
    return 0;
}

UNUSED static int world_teardown(void **state)
{
    loop_free(w->loop);
    assert_int_equal(tree_remove(AT_FDCWD, w->root, &w->err), 0);
    arena_fini(&w->arena);
    free(w);
    return 0;
}

/* ---- for each test ---- */

UNUSED static int setup(void **state)
{
    w->config = (struct engine_config){
        .loop = w->loop, .root = in_root("engine"), .cgroup_root = w->cgroup};
    open_engine();
    w->own_mounts = mounts_below_root();
    return 0;
}

/* Whatever the test did or left undone, nothing stays but the images. */
UNUSED static int teardown(void **state)
{
    struct cgroups cg;
    if (w->engine)
        close_engine();
    if (engine_purge(in_root("engine"), false, &w->err) < 0)
        fail_msg("%.*s", STR_ARG(w->err.message));
    assert_int_equal(mounts_below_root(), 0);
    assert_int_equal(cgroup_detect(&cg, &w->err), 0);
    assert_false(cgroup_exists(&cg, w->cgroup));
    assert_int_equal(tree_remove(AT_FDCWD, in_root("log"), &w->err), 0);
    return 0;
}

/* ---- pods and containers ---- */

UNUSED static struct criv1_pod_sandbox_config *pod_config(const char *name)
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

UNUSED static struct str run_pod_with(struct criv1_pod_sandbox_config *config)
{
    struct criv1_run_pod_sandbox_request q = {.config = config};
    const struct criv1_run_pod_sandbox_response *r = call(CRIV1_RUN_POD_SANDBOX, &q);
    return r->pod_sandbox_id;
}

UNUSED static struct str run_pod(const char *name)
{
    return run_pod_with(pod_config(name));
}

UNUSED static struct criv1_container_config *container_config(const char *script)
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

UNUSED static struct str create(struct str pod, struct criv1_container_config *config)
{
    struct criv1_create_container_request q = {.pod_sandbox_id = pod, .config = config};
    const struct criv1_create_container_response *r = call(CRIV1_CREATE_CONTAINER, &q);
    return r->container_id;
}

UNUSED static void start(struct str id)
{
    struct criv1_start_container_request q = {.container_id = id};
    call(CRIV1_START_CONTAINER, &q);
}

UNUSED static const struct criv1_container_status *status(struct str id)
{
    struct criv1_container_status_request q = {.container_id = id};
    const struct criv1_container_status_response *r = call(CRIV1_CONTAINER_STATUS, &q);
    return r->status;
}

/* Runs the loop until the container has ended. */
UNUSED static const struct criv1_container_status *wait_exit(struct str id)
{
    w->wanted = id;
    w->seen = false;
    while (status(id)->state != CRIV1_CONTAINER_EXITED)
        run_loop();
    return status(id);
}

UNUSED static const struct criv1_container_status *run_to_end(struct str pod,
                                                              struct criv1_container_config *config)
{
    struct str id = create(pod, config);
    start(id);
    return wait_exit(id);
}

UNUSED static void stop(struct str id, int64_t timeout_s)
{
    struct criv1_stop_container_request q = {.container_id = id, .timeout = timeout_s};
    call(CRIV1_STOP_CONTAINER, &q);
}

UNUSED static void remove_container(struct str id)
{
    struct criv1_remove_container_request q = {.container_id = id};
    call(CRIV1_REMOVE_CONTAINER, &q);
}

UNUSED static void remove_pod(struct str id)
{
    struct criv1_stop_pod_sandbox_request stop_it = {.pod_sandbox_id = id};
    struct criv1_remove_pod_sandbox_request remove_it = {.pod_sandbox_id = id};
    call(CRIV1_STOP_POD_SANDBOX, &stop_it);
    call(CRIV1_REMOVE_POD_SANDBOX, &remove_it);
}

/* What the container wrote to stdout and stderr, without the log's prefixes. */
UNUSED static struct str output(void)
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

#define ENGINE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define ENGINE_TESTS(...)                                                                          \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests_[] = {__VA_ARGS__};                                          \
        static const char *const needed_[] = {"/bin/busybox", "/usr/bin/conmon", "/usr/bin/crun"}; \
        for (size_t i = 0; i < ARRAY_LEN(needed_); i++)                                            \
            if (geteuid() != 0 || access(needed_[i], X_OK) < 0) {                                  \
                print_message("skipped: needs root and %s\n", needed_[i]);                         \
                return 77;                                                                         \
            }                                                                                      \
        return cmocka_run_group_tests(tests_, world_setup, world_teardown);                        \
    }

#endif
