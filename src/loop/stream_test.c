/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "loop/loop.h"

static struct arena arena = ARENA_INIT;

static struct loop *new_loop(void)
{
    struct err e = ERR_INIT(&arena);
    struct loop *l = loop_new(&e);
    assert_non_null(l);
    return l;
}

/* ---- an echo server that stops reading while its own output waits ---- */

struct echo {
    struct listener *ls;
    size_t queued_most;
    int pauses;
};

enum { ECHO_QUEUE_MAX = 256 * 1024 };

static void echo_read(struct stream *s, void *arg, struct str bytes)
{
    struct echo *echo = arg;
    ssize_t queued = stream_write(s, &bytes, 1);
    assert_true(queued >= 0);
    assert_int_equal(queued, stream_queued(s));
    echo->queued_most = MAX(echo->queued_most, (size_t)queued);
    if (queued > ECHO_QUEUE_MAX) {
        echo->pauses++;
        stream_pause(s);
    }
}

static void echo_drained(struct stream *s, void *arg)
{
    assert_int_equal(stream_queued(s), 0);
    stream_resume(s);
}

static void echo_end(struct stream *s, void *arg, int error)
{
    struct echo *echo = arg;
    assert_int_equal(error, 0);
    assert_int_equal(stream_queued(s), 0);
    stream_close(s);
    listener_close(echo->ls);
}

static const struct stream_ops echo_ops = {echo_read, echo_end, echo_drained};

static void echo_accepted(void *arg, struct stream *s)
{
    stream_start(s, &echo_ops, arg);
}

/* ---- a client that sends much before it reads anything ---- */

enum { TOTAL = 16 * 1024 * 1024 };

struct client {
    struct connect c;
    struct timer slow;
    struct stream *s;
    char *data;
    size_t got;
    bool drained;
    char peer[64];
};

static void client_read(struct stream *s, void *arg, struct str bytes)
{
    struct client *c = arg;
    assert_true(c->got + bytes.n <= TOTAL);
    assert_memory_equal(bytes.p, c->data + c->got, bytes.n);
    c->got += bytes.n;
    if (c->got == TOTAL)
        stream_shutdown(s);
}

static void client_end(struct stream *s, void *arg, int error)
{
    struct client *c = arg;
    assert_int_equal(error, 0);
    assert_int_equal(c->got, TOTAL);
    stream_close(s);
}

static void client_drained(struct stream *s, void *arg)
{
    struct client *c = arg;
    c->drained = true;
}

static const struct stream_ops client_ops = {client_read, client_end, client_drained};

static void read_at_last(struct timer *t)
{
    stream_resume(CONTAINER_OF(t, struct client, slow)->s);
}

static void client_connected(struct connect *cc, struct stream *s, int error)
{
    struct client *c = CONTAINER_OF(cc, struct client, c);
    assert_int_equal(error, 0);
    c->s = s;
    snprintf(c->peer, sizeof c->peer, "%.*s", STR_ARG(stream_peer(s)));
    stream_start(s, &client_ops, c);
    stream_pause(s);
    timer_start(cc->loop, &c->slow, 100, read_at_last);
    /* many parts, some empty, so that a part ends inside a short write */
    struct str parts[300];
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        parts[i] = STR_NULL;
    for (size_t i = 0; i < 256; i++)
        parts[i + i / 8] = str_n(c->data + i * (TOTAL / 256), TOTAL / 256);
    assert_true(stream_write(s, parts, ARRAY_LEN(parts)) > 0);
    assert_true(stream_fd(s) >= 0);
}

static void echo_over(const char *address)
{
    struct err e = ERR_INIT(&arena);
    struct loop *l = new_loop();
    struct echo echo = {0};
    struct client c = {.data = malloc(TOTAL)};
    for (size_t i = 0; i < TOTAL; i++)
        c.data[i] = (char)(i * 7 + i / 4096);
    echo.ls = loop_listen(l, str_z(address), echo_accepted, &echo, &e);
    assert_non_null(echo.ls);
    struct str real = listener_address(echo.ls);
    assert_false(str_has_suffix(real, STR(":0")));
    loop_connect(l, &c.c, real, 1000, client_connected);
    loop_run(l);
    assert_int_equal(c.got, TOTAL);
    assert_true(c.drained);
    assert_true(echo.pauses > 0);
    assert_true(echo.queued_most < ECHO_QUEUE_MAX + 128 * 1024);
    loop_free(l);
    free(c.data);
}

static void echo_tcp_with_back_pressure(void **state)
{
    echo_over("tcp:127.0.0.1:0");
}

static void echo_unix_and_stale_socket(void **state)
{
    char dir[] = "/tmp/loop-test-XXXXXX", address[64];
    assert_non_null(mkdtemp(dir));
    snprintf(address, sizeof address, "unix:%s/s", dir);
    /* a socket file that a dead process left */
    struct err e = ERR_INIT(&arena);
    struct loop *l = new_loop();
    struct listener *ls = loop_listen(l, str_z(address), echo_accepted, NULL, &e);
    char moved[64];
    snprintf(moved, sizeof moved, "%s/t", dir);
    assert_int_equal(rename(address + 5, moved), 0);
    listener_close(ls);
    loop_free(l);
    assert_int_equal(rename(moved, address + 5), 0);

    echo_over(address);
    struct stat st;
    assert_int_not_equal(stat(address + 5, &st), 0); /* closing removed it */
    assert_int_equal(rmdir(dir), 0);
}

static void a_listener_in_use_is_not_taken(void **state)
{
    struct err e = ERR_INIT(&arena);
    struct loop *l = new_loop();
    struct listener *ls = loop_listen(l, STR("tcp:127.0.0.1:0"), echo_accepted, NULL, &e);
    assert_non_null(ls);
    assert_null(loop_listen(l, listener_address(ls), echo_accepted, NULL, &e));
    assert_int_equal(e.code, ERR_IO);
    assert_true(str_find(e.message, listener_address(ls)) >= 0);
    assert_null(loop_listen(l, STR("tcp:nonsense"), echo_accepted, NULL, &e));
    assert_int_equal(e.code, ERR_BAD_REQUEST);
    listener_close(ls);
    loop_free(l);
}

/* ---- failures to connect ---- */

static int connect_error;
static int connect_calls;

static void connect_failed(struct connect *c, struct stream *s, int error)
{
    assert_null(s);
    connect_error = error;
    connect_calls++;
}

static void connect_fails_later_never_at_once(void **state)
{
    struct loop *l = new_loop();
    struct err e = ERR_INIT(&arena);
    struct connect c;
    /* a port that was just free */
    struct listener *ls = loop_listen(l, STR("tcp:127.0.0.1:0"), echo_accepted, NULL, &e);
    struct str address = arena_str(&arena, listener_address(ls));
    listener_close(ls);
    connect_calls = 0;
    loop_connect(l, &c, address, 1000, connect_failed);
    assert_int_equal(connect_calls, 0);
    loop_run(l);
    assert_int_equal(connect_calls, 1);
    assert_int_equal(connect_error, -ECONNREFUSED);

    loop_connect(l, &c, STR("tcp:bad"), 1000, connect_failed);
    loop_run(l);
    assert_int_equal(connect_error, -EINVAL);
    loop_connect(l, &c, STR("unix:/nonexistent/x"), 1000, connect_failed);
    loop_run(l);
    assert_int_equal(connect_error, -ENOENT);
    assert_int_equal(connect_calls, 3);
    loop_connect(l, &c, address, 1000, connect_failed);
    connect_cancel(&c);
    loop_run(l);
    assert_int_equal(connect_calls, 3);
    loop_free(l);
}

/* A full backlog makes the kernel drop the SYN: only our own clock ends the attempt. */
static void connect_times_out(void **state)
{
    int ls = socket(AF_INET, SOCK_STREAM, 0), fill[8];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    assert_int_equal(bind(ls, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(ls, 0), 0);
    assert_int_equal(getsockname(ls, (struct sockaddr *)&a, &len), 0);
    for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fill[i], (struct sockaddr *)&a, sizeof a);
    }
    struct loop *l = new_loop();
    struct connect c;
    loop_connect(l, &c, arena_fmt(&arena, "tcp:127.0.0.1:%d", ntohs(a.sin_port)), 50,
                 connect_failed);
    loop_run(l);
    assert_int_equal(connect_error, -ETIMEDOUT);
    loop_free(l);
    for (size_t i = 0; i < ARRAY_LEN(fill); i++)
        close(fill[i]);
    close(ls);
}

/* ---- broken connections ---- */

struct breaking {
    struct stream *s;
    int ends, error;
    ssize_t last_write;
};

static void breaking_read(struct stream *s, void *arg, struct str bytes)
{
}

static void breaking_end(struct stream *s, void *arg, int error)
{
    struct breaking *b = arg;
    b->ends++;
    b->error = error;
    b->last_write = stream_write(s, &STR("late"), 1);
    stream_close(s);
}

static const struct stream_ops breaking_ops = {breaking_read, breaking_end, NULL};

/* Nothing is read while paused, so only the write can find out. */
static void a_broken_write_ends_a_paused_stream_once(void **state)
{
    struct err e = ERR_INIT(&arena);
    struct loop *l = new_loop();
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct breaking b = {.s = loop_stream_from_fd(l, pair[0], &e)};
    stream_start(b.s, &breaking_ops, &b);
    stream_pause(b.s);
    assert_str(stream_peer(b.s), "@");
    close(pair[1]);
    assert_int_equal(stream_write(b.s, &STR("x"), 1), -ERR_IO);
    assert_int_equal(b.ends, 0);
    loop_run(l);
    assert_int_equal(b.ends, 1);
    assert_int_equal(b.error, -EPIPE);
    assert_int_equal(b.last_write, -ERR_IO);
    loop_free(l);
}

static void half_close_still_writes(void **state)
{
    struct err e = ERR_INIT(&arena);
    struct loop *l = new_loop();
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct breaking b = {.s = loop_stream_from_fd(l, pair[0], &e)};
    stream_start(b.s, &breaking_ops, &b);
    shutdown(pair[1], SHUT_WR);
    loop_run(l);
    assert_int_equal(b.ends, 1);
    assert_int_equal(b.error, 0);
    assert_int_equal(b.last_write, 0);
    char late[8];
    assert_int_equal(read(pair[1], late, sizeof late), 4);
    close(pair[1]);
    loop_free(l);
}

static void note_end(struct stream *s, void *arg, int error)
{
    struct breaking *b = arg;
    b->ends++;
    b->error = error;
    if (b->ends == 2)
        stream_close(s);
}

static void close_other(struct timer *t)
{
    close(*(int *)(t + 1));
}

/* The peer ends its side, does not read what is queued for it, and goes. */
static void a_break_after_the_end_is_told(void **state)
{
    static const struct stream_ops ops = {breaking_read, note_end, NULL};
    struct err e = ERR_INIT(&arena);
    struct loop *l = new_loop();
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct breaking b = {.s = loop_stream_from_fd(l, pair[0], &e)};
    struct {
        struct timer t;
        int fd;
    } closer = {.fd = pair[1]};
    stream_start(b.s, &ops, &b);
    char *much = xcalloc(1, MIB(4));
    assert_true(stream_write(b.s, &(struct str){much, MIB(4)}, 1) > 0);
    free(much);
    shutdown(pair[1], SHUT_WR);
    timer_start(l, &closer.t, 20, close_other);
    loop_run(l);
    assert_int_equal(b.ends, 2);
    assert_int_equal(b.error, -EPIPE);
    loop_free(l);
}

static void a_bad_descriptor_is_refused(void **state)
{
    struct err e = ERR_INIT(&arena);
    struct loop *l = new_loop();
    assert_null(loop_stream_from_fd(l, -1, &e));
    assert_int_equal(e.code, ERR_IO);
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
        cmocka_unit_test(echo_tcp_with_back_pressure),
        cmocka_unit_test(echo_unix_and_stale_socket),
        cmocka_unit_test(a_listener_in_use_is_not_taken),
        cmocka_unit_test(connect_fails_later_never_at_once),
        cmocka_unit_test(connect_times_out),
        cmocka_unit_test(a_broken_write_ends_a_paused_stream_once),
        cmocka_unit_test(half_close_still_writes),
        cmocka_unit_test(a_break_after_the_end_is_told),
        cmocka_unit_test(a_bad_descriptor_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, group_done);
}
