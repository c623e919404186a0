/* SPDX-License-Identifier: Apache-2.0 */
/* Containers outlive the engine: whatever moment it ends, the next one takes over. */
#include "engine/test_world.h"

#include <dirent.h>
#include <sys/mount.h>
#include <sys/wait.h>

static void test_taken_over(void **state)
{
    struct str pod = run_pod("adopt");
    struct str runs =
        create(pod, container_config("trap 'exit 5' TERM; while :; do sleep 0.02; done"));
    struct str ends =
        create(pod, container_config("while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 6"));
    struct str waits = create(pod, container_config("sleep 1000"));
    struct criv1_container_config *unread_config = container_config("exit 8");
    start(runs);
    start(ends);
    close_engine();
    /* what happens while there is no engine */
    const char *mounted =
        arena_fmt(&w->arena, "%s/engine/run/containers/%.*s/rootfs/tmp/go", w->root, STR_ARG(ends))
            .p;
    assert_int_equal(file_write(AT_FDCWD, mounted, STR(""), 0644, FILE_FAST, &w->err), 0);
    usleep(200000);
    open_engine();
    const struct criv1_container_status *st = wait_exit(ends);
    assert_int_equal(st->exit_code, 6);
    assert_true(st->finished_at >= st->started_at);
    assert_int_equal(status(runs)->state, CRIV1_CONTAINER_RUNNING);
    assert_int_equal(status(waits)->state, CRIV1_CONTAINER_CREATED);
    assert_str(status(runs)->metadata->name, "main");
    struct criv1_exec_sync_request q = {.container_id = runs, .timeout = 5};
    str_list_push(&w->arena, &q.cmd, STR("/bin/true"));
    call(CRIV1_EXEC_SYNC, &q);
    start(waits);
    assert_int_equal(run_to_end(pod, unread_config)->exit_code, 8);
    stop(runs, 10);
    assert_int_equal(status(runs)->exit_code, 5);
    close_engine();
    open_engine();
    assert_int_equal(status(runs)->exit_code, 5);
    assert_int_equal(status(ends)->exit_code, 6);
    remove_pod(pod);
}

static void test_one_engine_only(void **state)
{
    struct engine *second;
    assert_int_equal(engine_new(&w->config, &second, &w->err), -ERR_CONFLICT);
    assert_int_equal(engine_purge(in_root("engine"), false, &w->err), -ERR_CONFLICT);
    err_clear(&w->err);
}

static int read_pid(struct str id, const char *file)
{
    uint64_t pid = 0;
    struct str path =
        arena_fmt(&w->arena, "%s/engine/run/containers/%.*s/%s", w->root, STR_ARG(id), file);
    assert_true(file_read_u64(AT_FDCWD, path.p, &pid));
    return (int)pid;
}

static void test_conmon_killed(void **state)
{
    struct str pod = run_pod("conmon");
    struct str id = create(pod, container_config("sleep 1000"));
    start(id);
    int pid = read_pid(id, "pid");
    kill(read_pid(id, "conmon.pid"), SIGKILL);
    const struct criv1_container_status *st = wait_exit(id);
    assert_int_equal(st->exit_code, 137);
    assert_true(str_find(st->message, STR("conmon")) >= 0);
    for (int i = 0; kill(pid, 0) == 0 && i < 200; i++) {
        char path[64], text[512];
        size_t n;
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        if (file_read_small(AT_FDCWD, path, text, sizeof text, &n) && strstr(text, ") Z "))
            break; /* dead; its new parent may take its time */
        usleep(10000);
    }
    remove_pod(pod);
}

/* The machine starts again: nothing runs any more, and the records say so. */
static void test_new_boot(void **state)
{
    struct str pod = run_pod("boot");
    struct str ran = create(pod, container_config("sleep 1000"));
    struct str ended = create(pod, container_config("exit 3"));
    start(ran);
    start(ended);
    wait_exit(ended);
    close_engine();
    /* what a restart leaves: no processes, no mounts, another boot id */
    assert_int_equal(kill(read_pid(ran, "conmon.pid"), SIGKILL), 0);
    struct str history;
    const char *path =
        arena_fmt(&w->arena, "%s/engine/history/containers/%.*s", w->root, STR_ARG(ended)).p;
    assert_int_equal(file_read(&w->arena, AT_FDCWD, path, MIB(1), &history, &w->err), 0);
    open_engine(); /* once more, to end what the test itself started */
    close_engine();
    assert_true(umount2(in_root("engine/run"), MNT_DETACH) == 0);
    assert_int_equal(
        file_write(AT_FDCWD, in_root("engine/boot"), STR("another"), 0600, FILE_FAST, &w->err), 0);
    open_engine();
    assert_int_equal(status(ran)->state, CRIV1_CONTAINER_EXITED);
    assert_int_equal(status(ended)->exit_code, 3);
    struct criv1_pod_sandbox_status_request q = {.pod_sandbox_id = pod};
    const struct criv1_pod_sandbox_status_response *r = call(CRIV1_POD_SANDBOX_STATUS, &q);
    assert_int_equal(r->status->state, CRIV1_SANDBOX_NOTREADY);
    remove_pod(pod);
}

/* ---- kill -9 at any moment ---- */

static uint32_t seed = 12345;

static uint32_t chance(uint32_t n)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % n;
}

/* In a process of its own: pods come and go until it is killed. */
static void churn(void)
{
    struct str old = STR_NULL;
    w->loop = loop_new(&w->err);
    w->config.loop = w->loop;
    open_engine();
    for (int i = 0;; i++) {
        char name[32];
        snprintf(name, sizeof name, "churn-%d", i);
        struct str pod = run_pod(name);
        struct str a = create(pod, container_config(chance(2) ? "sleep 1000" : "exit 4"));
        struct str b = create(pod, container_config("sleep 1000"));
        start(a);
        start(b);
        if (chance(2))
            stop(a, 0);
        if (chance(3) == 0)
            remove_container(b);
        if (old.n)
            remove_pod(old);
        old = pod;
    }
}

static bool find_process(const char *text, char cmdline[8192])
{
    DIR *proc = opendir("/proc");
    struct dirent *d;
    bool found = false;
    while (!found && (d = readdir(proc))) {
        char path[300];
        size_t n;
        snprintf(path, sizeof path, "/proc/%s/cmdline", d->d_name);
        found = d->d_name[0] >= '1' && d->d_name[0] <= '9' &&
                file_read_small(AT_FDCWD, path, cmdline, 8192, &n) &&
                str_find(str_n(cmdline, n), str_z(text)) >= 0;
        for (size_t i = 0; found && i + 1 < n; i++)
            if (!cmdline[i])
                cmdline[i] = ' ';
    }
    closedir(proc);
    return found;
}

/* A supervisor may still be on its way out after its container is gone. */
static void assert_no_process(const char *text)
{
    char cmdline[8192];
    for (int i = 0; find_process(text, cmdline); i++) {
        if (i == 100)
            fail_msg("left: %s", cmdline);
        usleep(20000);
    }
}

/* What is said to run runs; what does not is gone. */
static void check_containers(void)
{
    struct criv1_list_containers_request q = {0};
    const struct criv1_list_containers_response *r = call(CRIV1_LIST_CONTAINERS, &q);
    LIST_EACH (c, &r->containers) {
        if (c->state != CRIV1_CONTAINER_RUNNING)
            continue;
        struct criv1_exec_sync_request x = {.container_id = c->id, .timeout = 10};
        str_list_push(&w->arena, &x.cmd, STR("/bin/true"));
        if (!try_call(CRIV1_EXEC_SYNC, &x) && status(c->id)->state == CRIV1_CONTAINER_RUNNING)
            fail_msg("%.*s: %.*s", STR_ARG(c->id), STR_ARG(w->err.message));
    }
}

static void remove_everything(void)
{
    struct criv1_list_pod_sandbox_request q = {0};
    const struct criv1_list_pod_sandbox_response *r = call(CRIV1_LIST_POD_SANDBOX, &q);
    LIST_EACH (p, &r->items)
        remove_pod(p->id);
}

static void test_killed(void **state)
{
    const char *rounds = getenv("ENGINE_KILLS");
    int64_t n = 10;
    if (rounds)
        assert_true(str_to_i64(str_z(rounds), &n));
    seed = (uint32_t)getpid();
    print_message("seed %u\n", seed);
    close_engine();
    for (int64_t i = 0; i < n; i++) {
        int status_of_child, child = fork();
        if (child == 0) {
            churn();
            _exit(1);
        }
        usleep(20000 + chance(130000));
        kill(child, SIGKILL);
        waitpid(child, &status_of_child, 0);
        assert_true(WIFSIGNALED(status_of_child));
        open_engine();
        check_containers();
        if (chance(2)) {
            remove_everything();
            assert_int_equal(mounts_below_root(), w->own_mounts);
            assert_no_process(w->root);
        }
        close_engine();
    }
    open_engine();
    remove_everything();
    assert_int_equal(mounts_below_root(), w->own_mounts);
    assert_no_process(w->root);
}

/* The same, undone by a purge without any engine. */
static void test_purged(void **state)
{
    close_engine();
    for (int i = 0; i < 4; i++) {
        int status_of_child, child = fork();
        if (child == 0) {
            churn();
            _exit(1);
        }
        usleep(30000 + chance(100000));
        kill(child, SIGKILL);
        waitpid(child, &status_of_child, 0);
        if (engine_purge(in_root("engine"), false, &w->err) < 0)
            fail_msg("%.*s", STR_ARG(w->err.message));
        assert_int_equal(mounts_below_root(), 0);
        assert_no_process(w->root);
        assert_int_equal(engine_purge(in_root("engine"), false, &w->err), 0);
    }
}

ENGINE_TESTS(ENGINE_TEST(test_taken_over), ENGINE_TEST(test_one_engine_only),
             ENGINE_TEST(test_conmon_killed), ENGINE_TEST(test_new_boot), ENGINE_TEST(test_killed),
             ENGINE_TEST(test_purged))
