/* SPDX-License-Identifier: Apache-2.0 */
/* Children, signals, readiness of descriptors. */
#include "base/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "loop/loop.h"

static struct arena arena = ARENA_INIT;

static struct loop *new_loop(void)
{
    struct err e = ERR_INIT(&arena);
    struct loop *l = loop_new(&e);
    assert_non_null(l);
    return l;
}

static int status_seen;

static void exited(struct child *c, int status)
{
    assert_int_equal(status_seen, -1);
    status_seen = status;
    child_kill(c, SIGKILL); /* no effect any more */
}

/* Runs a shell command to its end; what it wrote to descriptor 1 goes into out. */
static int run_shell(struct spawn how, const char *script, char *out, size_t room)
{
    struct err e = ERR_INIT(&arena);
    struct loop *l = new_loop();
    struct child c;
    int out_pipe[2];
    assert_int_equal(pipe2(out_pipe, O_CLOEXEC), 0);
    const char *argv[] = {"sh", "-c", script, NULL};
    how.argv = argv;
    how.fds[1] = out_pipe[1];
    status_seen = -1;
    assert_int_equal(loop_spawn(l, &c, &how, exited, &e), 0);
    assert_true(c.pid > 0);
    close(out_pipe[1]);
    loop_run(l);
    ssize_t n = read(out_pipe[0], out, room - 1);
    assert_true(n >= 0);
    out[n] = 0;
    close(out_pipe[0]);
    loop_free(l);
    return status_seen;
}

static const struct spawn plain = {.fds = {-1, -1, -1}, .n_fds = 3};

static void exit_status_and_signal(void **state)
{
    char out[64];
    assert_int_equal(run_shell(plain, "exit 7", out, sizeof out), 7);
    assert_int_equal(run_shell(plain, "kill -TERM $$", out, sizeof out), 128 + SIGTERM);
}

static void descriptors_are_mapped_and_the_rest_closed(void **state)
{
    char out[256];
    int leak = open("/dev/null", O_RDONLY); /* without O_CLOEXEC on purpose */
    int five = open("/dev/zero", O_RDONLY);
    struct spawn how = {.fds = {-1, -1, -1, -1, -1, five}, .n_fds = 6};
    int status = run_shell(how,
                           "cd /proc/self/fd && for f in *; do [ -e $f ] && "
                           "echo $f=$(readlink /proc/$$/fd/$f); done | grep -v =pipe: | "
                           "grep -v =/proc | grep -v '=$'",
                           out, sizeof out);
    assert_int_equal(status, 0);
    assert_string_equal(out, "0=/dev/null\n2=/dev/null\n5=/dev/zero\n");
    close(leak);
    close(five);
}

static void environment_directory_and_session(void **state)
{
    char out[128];
    static const char *const env[] = {"WHO=barque", "PATH=/usr/bin:/bin", NULL};
    struct spawn how = plain;
    how.env = env;
    how.cwd = "/usr";
    how.new_session = true;
    assert_int_equal(run_shell(how,
                               "echo $WHO $PWD $HOME; set -- $(cut -d' ' -f6 /proc/$$/stat); "
                               "[ $1 = $$ ] && echo leader",
                               out, sizeof out),
                     0);
    assert_string_equal(out, "barque /usr\nleader\n");
}

static void user_and_group(void **state)
{
    if (geteuid() != 0)
        skip();
    char out[64];
    struct spawn how = plain;
    how.set_ids = true;
    how.uid = 65534;
    how.gid = 65533;
    assert_int_equal(run_shell(how, "id -u; id -g; id -G", out, sizeof out), 0);
    assert_string_equal(out, "65534\n65533\n65533\n");
}

static void a_missing_program_is_an_error(void **state)
{
    struct err e = ERR_INIT(&arena);
    struct loop *l = new_loop();
    struct child c;
    struct spawn how = plain;
    const char *argv[] = {"no-such-program-here", NULL};
    how.argv = argv;
    assert_int_equal(loop_spawn(l, &c, &how, exited, &e), -ERR_IO);
    assert_true(str_find(e.message, STR("no-such-program-here")) >= 0);
    loop_run(l);
    loop_free(l);
}

static void kill_child(struct timer *t)
{
    child_kill(*(struct child **)(t + 1), SIGKILL);
}

static void a_child_can_be_killed(void **state)
{
    struct err e = ERR_INIT(&arena);
    struct loop *l = new_loop();
    struct child c;
    struct {
        struct timer t;
        struct child *c;
    } killer = {.c = &c};
    struct spawn how = plain;
    const char *argv[] = {"sleep", "100", NULL};
    how.argv = argv;
    status_seen = -1;
    assert_int_equal(loop_spawn(l, &c, &how, exited, &e), 0);
    timer_start(l, &killer.t, 10, kill_child);
    loop_run(l);
    assert_int_equal(status_seen, 128 + SIGKILL);
    loop_free(l);
}

/* ---- signals ---- */

static int signals;

static void on_signal(struct signal_watch *w)
{
    if (++signals == 2)
        signal_watch_stop(w);
    else
        kill(getpid(), SIGUSR1);
}

static void signals_are_callbacks(void **state)
{
    struct loop *l = new_loop();
    struct signal_watch w = {0};
    signal_watch_stop(&w);
    signals = 0;
    signal_watch_start(l, &w, SIGUSR1, on_signal);
    kill(getpid(), SIGUSR1);
    loop_run(l);
    assert_int_equal(signals, 2);
    loop_free(l);
}

/* ---- descriptors ---- */

static int readable_calls, writable_calls;

static void on_event(struct fd_watch *w, bool readable, bool writable)
{
    uint64_t v;
    if (readable) {
        readable_calls++;
        assert_int_equal(read(w->fd, &v, sizeof v), sizeof v);
        fd_watch_start(w->loop, w, w->fd, false, true, on_event);
        return;
    }
    assert_true(writable);
    writable_calls++;
    fd_watch_stop(w);
    fd_watch_stop(w);
}

static void readiness_and_change_of_interest(void **state)
{
    struct loop *l = new_loop();
    struct fd_watch w = {0};
    fd_watch_stop(&w);
    int fd = eventfd(3, EFD_CLOEXEC);
    fd_watch_start(l, &w, fd, true, false, on_event);
    loop_run(l);
    assert_int_equal(readable_calls, 1);
    assert_int_equal(writable_calls, 1);
    close(fd);
    loop_free(l);
}

static void on_hangup(struct fd_watch *w, bool readable, bool writable)
{
    char c;
    assert_true(readable);
    assert_int_equal(read(w->fd, &c, 1), 0);
    fd_watch_stop(w);
}

static void a_hangup_is_readable(void **state)
{
    struct loop *l = new_loop();
    struct fd_watch w = {0};
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[1]);
    fd_watch_start(l, &w, ends[0], true, false, on_hangup);
    loop_run(l);
    close(ends[0]);
    loop_free(l);
}

static void on_write_error(struct fd_watch *w, bool readable, bool writable)
{
    assert_true(writable);
    if (write(w->fd, "x", 1) < 0) {
        assert_int_equal(errno, EPIPE);
        if (++writable_calls == 2) /* told again while it watches on */
            fd_watch_stop(w);
    }
}

static void an_error_is_reported_while_watched(void **state)
{
    struct loop *l = new_loop();
    struct fd_watch w = {0};
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    writable_calls = 0;
    fd_watch_start(l, &w, ends[1], false, true, on_write_error);
    loop_run(l);
    assert_int_equal(writable_calls, 2);
    close(ends[1]);
    loop_free(l);
}

static int group_done(void **state)
{
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_status_and_signal),
        cmocka_unit_test(descriptors_are_mapped_and_the_rest_closed),
        cmocka_unit_test(environment_directory_and_session),
        cmocka_unit_test(user_and_group),
        cmocka_unit_test(a_missing_program_is_an_error),
        cmocka_unit_test(a_child_can_be_killed),
        cmocka_unit_test(signals_are_callbacks),
        cmocka_unit_test(readiness_and_change_of_interest),
        cmocka_unit_test(a_hangup_is_readable),
        cmocka_unit_test(an_error_is_reported_while_watched),
    };
    return cmocka_run_group_tests(tests, NULL, group_done);
}
