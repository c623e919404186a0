/* SPDX-License-Identifier: Apache-2.0 */
/* Readiness of descriptors that belong to others. */
#include "loop/uv.h"

struct poll {
    uv_poll_t h;
    struct fd_watch *w;
    int events;
};

static void ready(uv_poll_t *h, int status, int events)
{
    struct poll *p = h->data;
    if (status == 0) {
        p->w->fn(p->w, events & UV_READABLE, events & UV_WRITABLE);
        return;
    }
    /* The descriptor reports an error (a netlink overrun, say), and libuv stopped watching. The
     * owner learns which by its next read or write; unless it gives up, watching goes on. */
    p->w->fn(p->w, true, true);
    if (!uv_is_closing((uv_handle_t *)h))
        uv_poll_start(h, p->events, ready);
}

void uv_backend_fd_watch_start(struct fd_watch *w, bool want_read, bool want_write)
{
    struct poll *p = w->private_;
    if (!p) {
        p = xcalloc(1, sizeof *p);
        p->h.data = p;
        p->w = w;
        w->private_ = p;
        must(uv_poll_init(uv_of(w->loop), &p->h, w->fd) == 0);
        uv_real(w->loop)->registered++;
    }
    p->events = (want_read ? UV_READABLE : 0) | (want_write ? UV_WRITABLE : 0);
    must(uv_poll_start(&p->h, p->events, ready) == 0);
}

void uv_backend_fd_watch_stop(struct fd_watch *w)
{
    struct poll *p = TAKE_PTR(w->private_);
    if (!p)
        return;
    uv_real(w->loop)->registered--;
    uv_close_and_free((uv_handle_t *)&p->h);
}
