/* SPDX-License-Identifier: Apache-2.0 */
/* TCP and Unix streams: connections, listeners, dialling. */
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "loop/uv.h"

enum {
    BACKLOG = 1024,
    KEEPALIVE_S = 60, /* finds peers that vanished without a word */
    WRITE_PARTS_MAX = 64,
};

union handle {
    uv_handle_t any;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct uv_conn {
    struct stream base;
    union handle h;
    struct task broke; /* reports end(error) from a clean stack */
    int error;         /* of the first failed write; 0: writable */
    bool paused;
    bool ended;  /* end was called */
    bool failed; /* with an error: for the last time */
    bool shut;   /* stream_shutdown was called */
    char *peer;  /* made when asked for */
};

static struct uv_conn *conn_of(struct stream *s)
{
    return CONTAINER_OF(s, struct uv_conn, base);
}

static int handle_init(struct loop *l, union handle *h, enum address_scheme scheme)
{
    return scheme == ADDRESS_UNIX ? uv_pipe_init(uv_of(l), &h->pipe, 0)
                                  : uv_tcp_init(uv_of(l), &h->tcp);
}

static struct uv_conn *conn_new(struct loop *l, enum address_scheme scheme)
{
    struct uv_conn *c = xcalloc(1, sizeof *c);
    must(handle_init(l, &c->h, scheme) == 0);
    c->base.loop = l;
    c->h.any.data = c;
    uv_real(l)->registered++;
    return c;
}

static void conn_closed(uv_handle_t *h)
{
    struct uv_conn *c = h->data;
    free(c->peer);
    free(c);
}

void uv_backend_stream_close(struct stream *s)
{
    struct uv_conn *c = conn_of(s);
    uv_real(s->loop)->registered--;
    task_cancel(&c->broke);
    uv_close(&c->h.any, conn_closed);
}

/* ---- reading ---- */

static void report_end(struct uv_conn *c, int error)
{
    if (c->failed || (c->ended && !error))
        return;
    c->ended = true;
    c->failed = error != 0;
    uv_read_stop(&c->h.stream);
    c->base.ops->end(&c->base, c->base.arg, error);
}

static void bytes_read(uv_stream_t *h, ssize_t n, const uv_buf_t *b)
{
    struct uv_conn *c = h->data;
    if (n > 0)
        c->base.ops->read(&c->base, c->base.arg, str_n(b->base, (size_t)n));
    else if (n < 0)
        report_end(c, n == UV_EOF ? 0 : (int)n);
}

static void read_on(struct uv_conn *c)
{
    if (!c->base.ops || c->paused || c->ended || c->error)
        return;
    int failed = uv_read_start(&c->h.stream, uv_give_read_buffer, bytes_read);
    must(failed == 0 || failed == UV_EALREADY);
}

static void report_broken(struct task *t)
{
    struct uv_conn *c = CONTAINER_OF(t, struct uv_conn, broke);
    if (c->base.ops)
        report_end(c, c->error);
}

void uv_backend_stream_start(struct stream *s)
{
    struct uv_conn *c = conn_of(s);
    if (c->error)
        loop_defer(s->loop, &c->broke, report_broken);
    read_on(c);
}

void uv_backend_stream_pause(struct stream *s, bool paused)
{
    struct uv_conn *c = conn_of(s);
    c->paused = paused;
    if (paused)
        uv_read_stop(&c->h.stream);
    else
        read_on(c);
}

/* ---- writing ---- */

struct queued_write {
    uv_write_t req;
    char bytes[];
};

static void broken(struct uv_conn *c, int error)
{
    if (c->error)
        return;
    c->error = error;
    uv_read_stop(&c->h.stream);
    loop_defer(c->base.loop, &c->broke, report_broken);
}

static void written(uv_write_t *req, int status)
{
    struct uv_conn *c = req->handle->data;
    free(CONTAINER_OF(req, struct queued_write, req));
    if (uv_is_closing(&c->h.any))
        return;
    if (status < 0)
        broken(c, status);
    else if (!c->h.stream.write_queue_size && c->base.ops && c->base.ops->drained)
        c->base.ops->drained(&c->base, c->base.arg);
}

/* Where a write has got to. */
struct cursor {
    const struct str *parts;
    size_t n;      /* parts left */
    size_t offset; /* into the first of them */
};

static size_t cursor_view(const struct cursor *at, uv_buf_t bufs[WRITE_PARTS_MAX],
                          size_t *ret_bytes)
{
    size_t n = MIN(at->n, (size_t)WRITE_PARTS_MAX);
    *ret_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        size_t skip = i ? 0 : at->offset;
        bufs[i].base = (char *)(uintptr_t)at->parts[i].p + skip;
        bufs[i].len = at->parts[i].n - skip;
        *ret_bytes += bufs[i].len;
    }
    return n;
}

static void cursor_advance(struct cursor *at, size_t bytes)
{
    bytes += at->offset;
    while (at->n && bytes >= at->parts->n) {
        bytes -= at->parts->n;
        at->parts++;
        at->n--;
    }
    at->offset = bytes;
}

/* Writes until the kernel takes no more. Negative: libuv's code. */
static int write_now(struct uv_conn *c, struct cursor *at)
{
    uv_buf_t bufs[WRITE_PARTS_MAX];
    while (at->n) {
        size_t bytes;
        size_t n = cursor_view(at, bufs, &bytes);
        int taken = bytes ? uv_try_write(&c->h.stream, bufs, (unsigned)n) : 0;
        if (taken < 0)
            return taken == UV_EAGAIN ? 0 : taken;
        cursor_advance(at, (size_t)taken);
        if ((size_t)taken < bytes)
            return 0;
    }
    return 0;
}

static int write_later(struct uv_conn *c, struct cursor *at)
{
    size_t bytes = 0, to = 0;
    for (size_t i = 0; i < at->n; i++)
        bytes += at->parts[i].n;
    bytes -= at->offset;
    struct queued_write *q = malloc(sizeof *q + bytes);
    if (!q)
        return UV_ENOMEM;
    for (size_t i = 0; i < at->n; i++) {
        size_t skip = i ? 0 : at->offset, n = at->parts[i].n - skip;
        if (n)
            memcpy(q->bytes + to, at->parts[i].p + skip, n);
        to += n;
    }
    uv_buf_t b = {q->bytes, bytes};
    int failed = uv_write(&q->req, &c->h.stream, &b, 1, written);
    if (failed)
        free(q);
    return failed;
}

ssize_t uv_backend_stream_write(struct stream *s, const struct str *parts, size_t n_parts)
{
    struct uv_conn *c = conn_of(s);
    must(!c->shut);
    if (c->error)
        return -ERR_IO;
    struct cursor at = {parts, n_parts, 0};
    int failed = c->h.stream.write_queue_size ? 0 : write_now(c, &at);
    cursor_advance(&at, 0); /* past empty parts */
    if (!failed && at.n)
        failed = write_later(c, &at);
    if (failed) {
        broken(c, failed);
        return -ERR_IO;
    }
    return (ssize_t)c->h.stream.write_queue_size;
}

size_t uv_backend_stream_queued(const struct stream *s)
{
    const struct uv_conn *c = (const void *)s; /* base is the first member */
    return c->h.stream.write_queue_size;
}

size_t uv_backend_stream_unacked(struct stream *s)
{
    int n = 0, fd = uv_backend_stream_fd(s);
    return fd >= 0 && ioctl(fd, SIOCOUTQ, &n) == 0 && n > 0 ? (size_t)n : 0;
}

static void shut(uv_shutdown_t *req, int status)
{
    free(req);
}

void uv_backend_stream_shutdown(struct stream *s)
{
    struct uv_conn *c = conn_of(s);
    if (c->shut || c->error)
        return;
    c->shut = true;
    uv_shutdown_t *req = xmalloc(sizeof *req);
    if (uv_shutdown(req, &c->h.stream, shut))
        free(req); /* not connected any more: reading finds out */
}

/* ---- who and what ---- */

int uv_backend_stream_fd(struct stream *s)
{
    int fd;
    return uv_fileno(&conn_of(s)->h.any, &fd) ? -1 : fd;
}

struct str uv_backend_stream_peer(struct stream *s)
{
    struct uv_conn *c = conn_of(s);
    if (!c->peer) {
        char text[80];
        struct address a = {.len = sizeof a.in};
        if (getpeername(uv_backend_stream_fd(s), &a.in.any, &a.len))
            a.in.any.sa_family = AF_UNSPEC;
        address_format_peer(text, sizeof text, &a);
        c->peer = xstrdup(text);
    }
    return str_z(c->peer);
}

static void tune(struct uv_conn *c)
{
    if (c->h.any.type != UV_TCP)
        return;
    /* We coalesce writes ourselves; failure only costs speed. */
    uv_tcp_nodelay(&c->h.tcp, 1);
    uv_tcp_keepalive(&c->h.tcp, 1, KEEPALIVE_S);
}

struct stream *uv_backend_stream_from_fd(struct loop *l, int fd, struct err *e)
{
    int domain = AF_UNIX;
    socklen_t len = sizeof domain;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
    bool tcp = domain == AF_INET || domain == AF_INET6;
    struct uv_conn *c = conn_new(l, tcp ? ADDRESS_TCP : ADDRESS_UNIX);
    int failed = tcp ? uv_tcp_open(&c->h.tcp, fd) : uv_pipe_open(&c->h.pipe, fd);
    if (failed) {
        uv_err(e, failed, "using", "an inherited descriptor as a stream");
        uv_backend_stream_close(&c->base);
        close(fd);
        return NULL;
    }
    tune(c);
    return &c->base;
}

/* ---- listening ---- */

struct uv_listener {
    struct listener base;
    union handle h;
};

static void incoming(uv_stream_t *server, int status)
{
    struct uv_listener *ls = server->data;
    if (status < 0)
        return; /* out of descriptors, or the peer left again: nothing was accepted */
    bool tcp = ls->h.any.type == UV_TCP;
    struct uv_conn *c = conn_new(ls->base.loop, tcp ? ADDRESS_TCP : ADDRESS_UNIX);
    if (uv_accept(server, &c->h.stream)) {
        uv_backend_stream_close(&c->base);
        return;
    }
    tune(c);
    ls->base.accepted(ls->base.arg, &c->base);
}

/* A socket file that nobody listens on any more, left by a crash. */
static void remove_stale_socket(const struct address *a)
{
    CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, &a->in.any, a->len) && errno == ECONNREFUSED)
        unlink(a->in.un.sun_path);
}

static int bind_handle(union handle *h, const struct address *a)
{
    if (a->scheme != ADDRESS_UNIX)
        return uv_tcp_bind(&h->tcp, &a->in.any, 0);
    remove_stale_socket(a);
    return uv_pipe_bind(&h->pipe, a->in.un.sun_path);
}

static void note_address(struct uv_listener *ls, const struct address *asked)
{
    struct address real = *asked;
    int len = sizeof real.in;
    if (asked->scheme != ADDRESS_UNIX)
        must(uv_tcp_getsockname(&ls->h.tcp, &real.in.any, &len) == 0);
    address_format(ls->base.address, sizeof ls->base.address, &real);
}

struct listener *uv_backend_listen(struct loop *l, const struct address *a, struct err *e)
{
    struct uv_listener *ls = xcalloc(1, sizeof *ls);
    must(handle_init(l, &ls->h, a->scheme) == 0);
    ls->base.loop = l;
    ls->h.any.data = ls;
    int failed = bind_handle(&ls->h, a);
    if (!failed)
        failed = uv_listen(&ls->h.stream, BACKLOG, incoming);
    if (failed) {
        char text[128];
        address_format(text, sizeof text, a);
        uv_err(e, failed, "listening on", text);
        uv_close_and_free(&ls->h.any);
        return NULL;
    }
    uv_real(l)->registered++;
    note_address(ls, a);
    return &ls->base;
}

void uv_backend_listener_close(struct listener *base)
{
    struct uv_listener *ls = CONTAINER_OF(base, struct uv_listener, base);
    uv_real(base->loop)->registered--;
    uv_close_and_free(&ls->h.any);
}

/* ---- dialling ---- */

struct dial {
    uv_connect_t req;
    struct connect *c; /* NULL once reported or cancelled */
    struct uv_conn *conn;
    int error;    /* known at once, to be reported in the next round */
    bool pending; /* libuv will call dialled, which frees this */
};

static void dial_drop(struct dial *d)
{
    timer_stop(&d->c->timer);
    d->c->private_ = NULL;
    d->c = NULL;
    if (d->conn)
        uv_backend_stream_close(&d->conn->base);
    if (!d->pending)
        free(d);
}

static void dial_fail(struct dial *d, int error)
{
    struct connect *c = d->c;
    dial_drop(d);
    c->fn(c, NULL, error);
}

static void dial_timer(struct timer *t)
{
    struct dial *d = CONTAINER_OF(t, struct connect, timer)->private_;
    dial_fail(d, d->error ? d->error : -ETIMEDOUT);
}

static void dialled(uv_connect_t *req, int status)
{
    struct dial *d = CONTAINER_OF(req, struct dial, req);
    d->pending = false;
    if (!d->c) {
        free(d);
        return;
    }
    if (status < 0) {
        dial_fail(d, status);
        return;
    }
    struct connect *c = d->c;
    struct uv_conn *conn = TAKE_PTR(d->conn);
    dial_drop(d);
    tune(conn);
    c->fn(c, &conn->base, 0);
}

static int dial_start(struct dial *d, const struct address *a)
{
    if (a->scheme == ADDRESS_UNIX) {
        uv_pipe_connect(&d->req, &d->conn->h.pipe, a->in.un.sun_path, dialled);
        return 0;
    }
    return uv_tcp_connect(&d->req, &d->conn->h.tcp, &a->in.any, dialled);
}

void uv_backend_connect(struct loop *l, struct connect *c, const struct address *a,
                        int64_t timeout_ms)
{
    struct dial *d = xcalloc(1, sizeof *d);
    d->c = c;
    c->private_ = d;
    c->timer = (struct timer){0};
    d->error = -EINVAL;
    if (a) {
        d->conn = conn_new(l, a->scheme);
        d->error = dial_start(d, a);
        d->pending = d->error == 0;
    }
    timer_start(l, &c->timer, d->error ? 0 : timeout_ms, dial_timer);
}

void uv_backend_connect_cancel(struct connect *c)
{
    if (c->private_)
        dial_drop(c->private_);
}
