/* SPDX-License-Identifier: Apache-2.0 */
/* Work on other threads, and other programs' work. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "engine/local.h"

/* ---- jobs ---- */

static void run_job(struct work *w)
{
    struct job *j = CONTAINER_OF(w, struct job, work);
    j->run(j);
}

static void job_done(struct work *w)
{
    struct job *j = CONTAINER_OF(w, struct job, work);
    struct local *g = j->g;
    j->done(j);
    local_let_go(g);
}

void job_start(struct local *g, struct job *j, void (*run)(struct job *j),
               void (*done)(struct job *j))
{
    j->g = g;
    j->run = run;
    j->done = done;
    local_hold(g);
    loop_work(g->loop, &j->work, run_job, job_done);
}

/* ---- commands ---- */

static void close_pipe(struct command_pipe *p)
{
    if (p->fd < 0)
        return;
    fd_watch_stop(&p->watch);
    close_fd(&p->fd);
}

/* Reads what is there. False at the end. */
static bool drain(struct command *c, struct command_pipe *p)
{
    char chunk[16384];
    for (;;) {
        ssize_t n = read(p->fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        size_t fits = MIN((size_t)n, p->bytes.cap - p->bytes.n);
        c->truncated |= fits < (size_t)n;
        buf_add(&p->bytes, chunk, fits);
    }
}

static void out_readable(struct fd_watch *w, bool readable, bool writable)
{
    struct command *c = CONTAINER_OF(w, struct command, out.watch);
    if (!drain(c, &c->out))
        close_pipe(&c->out);
}

static void err_readable(struct fd_watch *w, bool readable, bool writable)
{
    struct command *c = CONTAINER_OF(w, struct command, err.watch);
    if (!drain(c, &c->err))
        close_pipe(&c->err);
}

static void command_exited(struct child *child, int status)
{
    struct command *c = CONTAINER_OF(child, struct command, child);
    struct local *g = c->g;
    c->status = status;
    if (c->out.fd >= 0)
        (void)drain(c, &c->out);
    if (c->err.fd >= 0)
        (void)drain(c, &c->err);
    close_pipe(&c->out);
    close_pipe(&c->err);
    c->done(c);
    local_let_go(g);
}

/* Returns the writing end for the child, or -1. */
static int open_pipe(struct command_pipe *p, size_t max, struct err *e)
{
    int fds[2];
    p->fd = -1;
    p->bytes = BUF_INIT(max);
    if (!max)
        return -1;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        err_errno(e, errno, "make pipe");
        return -1;
    }
    must(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
    p->fd = fds[0];
    return fds[1];
}

int command_start(struct local *g, struct command *c, const char *const *argv, const char *cwd,
                  size_t out_max, size_t err_max, void (*done)(struct command *c), struct err *e)
{
    *c = (struct command){.g = g, .done = done};
    CLEANUP(close_fd) int out = open_pipe(&c->out, out_max, e);
    CLEANUP(close_fd) int err = open_pipe(&c->err, err_max, e);
    struct spawn how = {.argv = argv, .cwd = cwd, .fds = {-1, out, err}, .n_fds = 3};
    int r = (out_max && out < 0) || (err_max && err < 0)
                ? -(int)e->code
                : loop_spawn(g->loop, &c->child, &how, command_exited, e);
    if (r < 0) {
        close_fd(&c->out.fd);
        close_fd(&c->err.fd);
        return r;
    }
    if (out_max)
        fd_watch_start(g->loop, &c->out.watch, c->out.fd, true, false, out_readable);
    if (err_max)
        fd_watch_start(g->loop, &c->err.watch, c->err.fd, true, false, err_readable);
    local_hold(g);
    return 0;
}

void command_fini(struct command *c)
{
    buf_fini(&c->out.bytes);
    buf_fini(&c->err.bytes);
}

struct str readable_message(struct str text)
{
    text = str_trim(text);
    ptrdiff_t newline = str_rindex(text, '\n');
    if (newline >= 0)
        text = str_sub(text, (size_t)newline + 1, text.n);
    /* crun: "2026-11-20T14:00:00Z: message"; runc: time="..." level=error msg="message" */
    if (text.n > 21 && text.p[4] == '-' && text.p[10] == 'T') {
        ptrdiff_t blank = str_index(text, ' ');
        if (blank > 0)
            text = str_sub(text, (size_t)blank + 1, text.n);
    }
    ptrdiff_t msg = str_find(text, STR(" msg=\""));
    if (msg >= 0) {
        text = str_sub(text, (size_t)msg + 6, text.n);
        str_chop(&text, STR("\""));
    }
    return text.n ? text : STR("no message");
}

struct str command_message(const struct command *c)
{
    return readable_message(buf_view(&c->err.bytes));
}

size_t runtime_args(const struct local *g, const struct handler *h, bool start, struct arena *a,
                    const char *argv[RUNTIME_ARGS_MAX])
{
    size_t n = 0;
    bool hide_unified = h->crun && g->cgroups.mode == CGROUP_HYBRID;
    if (hide_unified || start) {
        argv[n++] = g->helper;
        argv[n++] = "runtime";
        argv[n++] = hide_unified ? start ? "ur" : "u" : "r";
    }
    argv[n++] = h->path;
    argv[n++] = arena_fmt(a, "--root=%s/oci/%s", g->run, *h->name ? h->name : "default").p;
    if (h->crun)
        argv[n++] = "--cgroup-manager=cgroupfs";
    return n;
}
