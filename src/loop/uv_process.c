/* SPDX-License-Identifier: Apache-2.0 */
/* Children and signals. */
#include <errno.h>
#include <linux/close_range.h>

#include "loop/uv.h"

struct process {
    uv_process_t h;
    struct child *child;
};

static void exited(uv_process_t *h, int64_t status, int signal)
{
    struct process *p = h->data;
    struct child *c = p->child;
    uv_real(c->loop)->registered--;
    c->private_ = NULL;
    uv_close_and_free((uv_handle_t *)h);
    c->exited(c, signal ? 128 + signal : (int)status);
}

static void map_fds(const struct spawn *how, uv_stdio_container_t *stdio)
{
    for (size_t i = 0; i < how->n_fds; i++) {
        stdio[i].flags = how->fds[i] < 0 ? UV_IGNORE : UV_INHERIT_FD;
        stdio[i].data.fd = how->fds[i];
    }
}

/* Whatever opened a descriptor without O_CLOEXEC (a library, our own parent): it stays here. */
static int seal_descriptors(void)
{
    return close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) ? -errno : 0;
}

static int process_start(struct loop *l, struct process *p, const struct spawn *how)
{
    uv_stdio_container_t stdio[ARRAY_LEN(how->fds)];
    map_fds(how, stdio);
    uv_process_options_t o = {
        .exit_cb = exited,
        .file = how->argv[0],
        .args = (char **)(uintptr_t)how->argv,
        .env = (char **)(uintptr_t)how->env,
        .cwd = how->cwd,
        .flags = (how->new_session ? UV_PROCESS_DETACHED : 0u) |
                 (how->set_ids ? UV_PROCESS_SETUID | UV_PROCESS_SETGID : 0u),
        .stdio_count = (int)how->n_fds,
        .stdio = stdio,
        .uid = how->uid,
        .gid = how->gid,
    };
    int sealed = seal_descriptors();
    /* Called even when sealing failed, so that the handle is in a state that can be closed. */
    int started = uv_spawn(uv_of(l), &p->h, &o);
    return started ? started : sealed;
}

int uv_backend_spawn(struct loop *l, struct child *c, const struct spawn *how, struct err *e)
{
    struct process *p = xcalloc(1, sizeof *p);
    p->h.data = p;
    p->child = c;
    int failed = process_start(l, p, how);
    if (failed) {
        uv_close_and_free((uv_handle_t *)&p->h);
        return uv_err(e, failed, "starting", how->argv[0]);
    }
    uv_real(l)->registered++;
    c->private_ = p;
    c->pid = p->h.pid;
    return 0;
}

void uv_backend_child_kill(struct child *c, int signal)
{
    struct process *p = c->private_;
    if (p)
        uv_process_kill(&p->h, signal);
}

/* ---- signals ---- */

struct signal_handle {
    uv_signal_t h;
    struct signal_watch *w;
};

static void signalled(uv_signal_t *h, int signal)
{
    struct signal_handle *s = h->data;
    s->w->fn(s->w);
}

void uv_backend_signal_start(struct signal_watch *w, int signal)
{
    struct signal_handle *s = xcalloc(1, sizeof *s);
    s->h.data = s;
    s->w = w;
    w->private_ = s;
    must(uv_signal_init(uv_of(w->loop), &s->h) == 0);
    must(uv_signal_start(&s->h, signalled, signal) == 0);
    uv_real(w->loop)->registered++;
}

void uv_backend_signal_stop(struct signal_watch *w)
{
    struct signal_handle *s = TAKE_PTR(w->private_);
    if (!s)
        return;
    uv_real(w->loop)->registered--;
    uv_close_and_free((uv_handle_t *)&s->h);
}
