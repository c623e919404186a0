/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <sys/random.h>
#include <time.h>

#include "loop/uv.h"

int uv_err(struct err *e, int n, const char *what, const char *name)
{
    return err_set(e, ERR_IO, "%s %s: %s", what, name, uv_strerror(n));
}

static void free_data(uv_handle_t *handle)
{
    free(handle->data);
}

void uv_close_and_free(uv_handle_t *handle)
{
    uv_close(handle, free_data);
}

void uv_give_read_buffer(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    struct uv_real *r = CONTAINER_OF(h->loop, struct uv_real, uv);
    *ret = uv_buf_init(r->read_buffer, READ_BYTES_MAX);
}

/* ---- clock and chance ---- */

static int64_t now_ms(struct loop *l)
{
    return (int64_t)uv_now(uv_of(l));
}

static int64_t now_ns(struct loop *l)
{
    return (int64_t)uv_hrtime();
}

static struct wall wall_now(struct loop *l)
{
    struct timespec t;
    must(clock_gettime(CLOCK_REALTIME, &t) == 0);
    return (struct wall){t.tv_sec, (int32_t)t.tv_nsec};
}

static void random_bytes(struct loop *l, void *p, size_t n)
{
    char *at = p;
    while (n) {
        ssize_t got = getrandom(at, n, 0);
        must(got > 0 || errno == EINTR);
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
}

/* ---- rounds ---- */

static void deadline_passed(uv_timer_t *t)
{
    /* The next loop_round runs the timers. It may have passed just before uv_run would wait. */
    uv_stop(t->loop);
    CONTAINER_OF(t, struct uv_real, deadline)->deadline_ms = INT64_MAX;
}

static void woken(uv_async_t *a)
{
}

static void set_deadline(struct uv_real *r)
{
    int64_t next = loop_next_deadline(&r->base);
    if (next == r->deadline_ms)
        return;
    r->deadline_ms = next;
    if (next == INT64_MAX)
        uv_timer_stop(&r->deadline);
    else
        uv_timer_start(&r->deadline, deadline_passed, (uint64_t)MAX(next - now_ms(&r->base), 0), 0);
}

static void run(struct loop *l)
{
    struct uv_real *r = uv_real(l);
    uv_update_time(&r->uv);
    while (!l->stopping) {
        loop_round(l);
        if (l->stopping)
            break;
        set_deadline(r);
        bool busy = loop_busy(l);
        if (!busy && !r->registered && !loop_has_timers_or_tasks(l))
            break;
        uv_run(&r->uv, busy ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    }
}

static void stop(struct loop *l)
{
    /* Rounds end by l->stopping; what the kernel reported in this one is still delivered. */
}

static void wake(struct loop *l)
{
    uv_async_send(&uv_real(l)->wake);
}

static void free_loop(struct loop *l)
{
    struct uv_real *r = uv_real(l);
    must(r->registered == 0);
    uv_close((uv_handle_t *)&r->deadline, NULL);
    uv_close((uv_handle_t *)&r->wake, NULL);
    while (uv_run(&r->uv, UV_RUN_NOWAIT)) {
        /* closing handles finish */
    }
    must(uv_loop_close(&r->uv) == 0);
    loop_fini(l);
    free(r->read_buffer);
    free(r);
}

static const struct loop_backend backend = {
    .run = run,
    .stop = stop,
    .free = free_loop,
    .wake = wake,
    .now_ms = now_ms,
    .now_ns = now_ns,
    .wall = wall_now,
    .random = random_bytes,
    .work = uv_backend_work,
    .resolve = uv_backend_resolve,
    .listen = uv_backend_listen,
    .listener_close = uv_backend_listener_close,
    .connect = uv_backend_connect,
    .connect_cancel = uv_backend_connect_cancel,
    .stream_from_fd = uv_backend_stream_from_fd,
    .stream_start = uv_backend_stream_start,
    .stream_pause = uv_backend_stream_pause,
    .stream_write = uv_backend_stream_write,
    .stream_queued = uv_backend_stream_queued,
    .stream_unacked = uv_backend_stream_unacked,
    .stream_shutdown = uv_backend_stream_shutdown,
    .stream_close = uv_backend_stream_close,
    .stream_peer = uv_backend_stream_peer,
    .stream_fd = uv_backend_stream_fd,
    .udp = uv_backend_udp,
    .udp_send = uv_backend_udp_send,
    .udp_close = uv_backend_udp_close,
    .fd_watch_start = uv_backend_fd_watch_start,
    .fd_watch_stop = uv_backend_fd_watch_stop,
    .spawn = uv_backend_spawn,
    .child_kill = uv_backend_child_kill,
    .signal_start = uv_backend_signal_start,
    .signal_stop = uv_backend_signal_stop,
};

struct loop *loop_new(struct err *e)
{
    struct uv_real *r = xcalloc(1, sizeof *r);
    int n = uv_loop_init(&r->uv);
    if (n) {
        uv_err(e, n, "making", "the event loop");
        free(r);
        return NULL;
    }
    /* Writing to a connection that the peer closed is an error to handle, not a reason to die. */
    signal(SIGPIPE, SIG_IGN);
    loop_init(&r->base, &backend);
    must(uv_timer_init(&r->uv, &r->deadline) == 0);
    must(uv_async_init(&r->uv, &r->wake, woken) == 0);
    r->deadline_ms = INT64_MAX;
    r->read_buffer = xmalloc(READ_BYTES_MAX);
    return &r->base;
}
