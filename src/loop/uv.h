/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uv.h: the real loop, on libuv: what its files share. Private to src/loop.
 *
 * libuv drives streams, datagrams, readiness, children, signals and the worker pool. Timers and
 * tasks are our own (impl.h); one uv_timer carries the earliest deadline.
 */
#ifndef BARQUE_LOOP_UV_H
#define BARQUE_LOOP_UV_H

#include "loop/impl.h"

#include <uv.h>

/* One buffer serves all streams of a loop, since bytes are handed on before the next read. */
enum { READ_BYTES_MAX = 64 * 1024 };

struct uv_real {
    struct loop base;
    uv_loop_t uv;
    uv_timer_t deadline; /* set to the earliest timer while the loop waits */
    int64_t deadline_ms; /* what it is set to; INT64_MAX: stopped */
    uv_async_t wake;
    char *read_buffer; /* READ_BYTES_MAX */
    /* Streams, listeners, watches, children, work under way ...: what keeps loop_run going.
     * libuv's own count leaves out paused streams. */
    size_t registered;
};

static inline struct uv_real *uv_real(struct loop *l)
{
    return CONTAINER_OF(l, struct uv_real, base);
}

static inline uv_loop_t *uv_of(struct loop *l)
{
    return &uv_real(l)->uv;
}

/* A system call's failure as an error; n is libuv's code (a negative errno). */
int uv_err(struct err *e, int n, const char *what, const char *name);

/* uv_close with a callback that frees handle->data. */
void uv_close_and_free(uv_handle_t *handle);

/* Gives libuv the loop's read buffer. */
void uv_give_read_buffer(uv_handle_t *h, size_t suggested, uv_buf_t *ret);

/* uv_stream.c */
struct listener *uv_backend_listen(struct loop *l, const struct address *a, struct err *e);
void uv_backend_listener_close(struct listener *ls);
void uv_backend_connect(struct loop *l, struct connect *c, const struct address *a,
                        int64_t timeout_ms);
void uv_backend_connect_cancel(struct connect *c);
struct stream *uv_backend_stream_from_fd(struct loop *l, int fd, struct err *e);
void uv_backend_stream_start(struct stream *s);
void uv_backend_stream_pause(struct stream *s, bool paused);
ssize_t uv_backend_stream_write(struct stream *s, const struct str *parts, size_t n_parts);
size_t uv_backend_stream_queued(const struct stream *s);
size_t uv_backend_stream_unacked(struct stream *s);
void uv_backend_stream_shutdown(struct stream *s);
void uv_backend_stream_close(struct stream *s);
struct str uv_backend_stream_peer(struct stream *s);
int uv_backend_stream_fd(struct stream *s);

/* uv_udp.c */
struct udp *uv_backend_udp(struct loop *l, const struct address *a, struct err *e);
void uv_backend_udp_send(struct udp *u, struct str bytes, const void *peer, size_t peer_len);
void uv_backend_udp_close(struct udp *u);

/* uv_fd.c */
void uv_backend_fd_watch_start(struct fd_watch *w, bool want_read, bool want_write);
void uv_backend_fd_watch_stop(struct fd_watch *w);

/* uv_process.c */
int uv_backend_spawn(struct loop *l, struct child *c, const struct spawn *how, struct err *e);
void uv_backend_child_kill(struct child *c, int signal);
void uv_backend_signal_start(struct signal_watch *w, int signal);
void uv_backend_signal_stop(struct signal_watch *w);

/* uv_work.c */
void uv_backend_work(struct loop *l, struct work *w);
void uv_backend_resolve(struct loop *l, struct resolve *r, struct str host);

#endif
