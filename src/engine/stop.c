/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a container: signals, the exit, and what is left behind to clean. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "engine/bundle.h"
#include "engine/files.h"
#include "engine/local.h"

enum {
    KILL_PATIENCE_MS = 120000, /* after SIGKILL; a process may hang in the kernel */
    DELETE_TRIES = 5,
};

/* ---- signals ---- */

void container_signal(struct container *c, int signal)
{
    char path[64], text[8192];
    size_t n;
    if (c->pid <= 1 || c->r.state != CRIV1_CONTAINER_RUNNING)
        return;
    CLEANUP(close_fd) int fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    /* the pid may be another's by now: only a process in our cgroup is ours */
    snprintf(path, sizeof path, "/proc/%d/cgroup", c->pid);
    if (fd >= 0 && file_read_small(AT_FDCWD, path, text, sizeof text, &n) &&
        str_find(str_n(text, n), c->r.id) >= 0)
        syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
}

/* ---- the exit ---- */

void container_unwatch_conmon(struct container *c)
{
    if (!c->conmon_watched)
        return;
    int fd = c->conmon_watch.fd;
    c->conmon_watched = false;
    fd_watch_stop(&c->conmon_watch);
    close(fd);
}

static void set_exited(struct container *c, int32_t code, int64_t at_ns)
{
    bool oom = cgroup_oom_kills(&c->g->cgroups, c->r.cgroup.p) > 0;
    c->r.state = CRIV1_CONTAINER_EXITED;
    c->r.exit_code = code;
    c->r.finished_at = MAX(at_ns, c->r.started_at);
    c->r.reason = oom ? STR("OOMKilled") : code ? STR("Error") : STR("Completed");
    c->kill_at_ms = INT64_MAX;
    c->pid = 0;
    timer_stop(&c->stop_timer);
    container_unwatch_conmon(c);
    local_event(c->g, CRIV1_CONTAINER_STOPPED_EVENT, c->r.id, c->r.sandbox_id);
    calls_done(c->g, &c->stop_calls, NULL);
    container_clean(c);
}

void container_exited(struct container *c)
{
    int32_t code;
    int64_t at_ns;
    if (c->phase == CONTAINER_STARTING) {
        c->exit_seen = true;
        return;
    }
    if (c->r.state == CRIV1_CONTAINER_RUNNING && exit_read(c->g, c->r.id, &code, &at_ns))
        set_exited(c, code, at_ns);
}

/* conmon ended. It writes the exit file before; if it did not, it was killed, and the container
 * has nobody who reads its output or will tell of its end. */
static void conmon_gone(struct fd_watch *w, bool readable, bool writable)
{
    struct container *c = CONTAINER_OF(w, struct container, conmon_watch);
    container_unwatch_conmon(c);
    container_exited(c);
    if (c->r.state != CRIV1_CONTAINER_RUNNING)
        return;
    container_signal(c, SIGKILL);
    c->r.message = STR("the container's supervisor (conmon) was killed");
    set_exited(c, 128 + SIGKILL, local_now_ns(c->g));
}

void container_watch_conmon(struct container *c)
{
    struct arena a = ARENA_INIT;
    int pid = pid_file_read(container_path(c->g, &a, c->r.id, "conmon.pid"));
    arena_fini(&a);
    int fd = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (fd < 0)
        return; /* gone already: the exit file is there or never comes */
    c->conmon_watched = true;
    fd_watch_start(c->g->loop, &c->conmon_watch, fd, true, false, conmon_gone);
}

/* ---- cleaning ---- */

struct clean {
    struct container *c;
    struct command command;
    struct job job;
    struct arena arena;
    struct err err;
    int result;
};

static void cleaned(struct job *job)
{
    struct clean *k = CONTAINER_OF(job, struct clean, job);
    struct container *c = k->c;
    c->phase = CONTAINER_IDLE;
    c->r.cleaned = k->result == 0;
    arena_fini(&k->arena);
    free(k);
    container_save(c);
    container_step(c);
}

static void clean_run(struct job *job)
{
    struct clean *k = CONTAINER_OF(job, struct clean, job);
    const struct container *c = k->c;
    /* the runtime has removed the group, unless it was killed itself or knew nothing of it */
    if (cgroup_exists(&job->g->cgroups, c->r.cgroup.p)) {
        for (int i = 0; i < DELETE_TRIES && cgroup_kill(&job->g->cgroups, c->r.cgroup.p) > 0; i++)
            usleep(10000);
        (void)!cgroup_remove(&job->g->cgroups, c->r.cgroup.p, &k->err);
    }
    k->result = bundle_unmount(job->g, c->r.id, &k->err);
}

static void runtime_deleted(struct command *command)
{
    struct clean *k = CONTAINER_OF(command, struct clean, command);
    command_fini(command);
    job_start(k->c->g, &k->job, clean_run, cleaned);
}

void container_clean(struct container *c)
{
    struct clean *k = xcalloc(1, sizeof *k);
    const char *argv[RUNTIME_ARGS_MAX + 4];
    k->c = c;
    k->arena = ARENA_INIT;
    k->err = ERR_INIT(&k->arena);
    c->phase = CONTAINER_CLEANING;
    size_t n = runtime_args(c->g, c->handler, false, &k->arena, argv);
    argv[n++] = "delete";
    argv[n++] = "-f";
    argv[n++] = c->r.id.p;
    argv[n] = NULL;
    if (command_start(c->g, &k->command, argv, NULL, 0, COMMAND_OUTPUT_MAX, runtime_deleted,
                      &k->err) < 0)
        job_start(c->g, &k->job, clean_run, cleaned);
}

/* ---- stopping ---- */

static void patience_over(struct timer *t)
{
    struct container *c = CONTAINER_OF(t, struct container, stop_timer);
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    if (!c->killed) {
        c->killed = true;
        container_signal(c, SIGKILL);
        timer_start(c->g->loop, &c->stop_timer, KILL_PATIENCE_MS, patience_over);
        return;
    }
    err_set(&e, ERR_TIMEOUT, "container \"%.*s\" does not end, %d seconds after SIGKILL",
            STR_ARG(c->r.id), KILL_PATIENCE_MS / 1000);
    c->kill_at_ms = INT64_MAX;
    calls_done(c->g, &c->stop_calls, &e);
    calls_done(c->g, &c->remove_calls, &e);
    c->removal_wanted = false;
    arena_fini(&a);
}

/* A stop that is under way is hastened by a shorter grace, never slowed down. */
static void begin_stop(struct container *c, int64_t grace_ms)
{
    int64_t now = loop_now_ms(c->g->loop);
    if (c->kill_at_ms == INT64_MAX) {
        c->killed = false;
        if (grace_ms > 0)
            container_signal(c, c->r.stop_signal);
    }
    if (now + grace_ms >= c->kill_at_ms || c->killed)
        return;
    c->kill_at_ms = now + grace_ms;
    if (grace_ms > 0)
        timer_start(c->g->loop, &c->stop_timer, grace_ms, patience_over);
    else
        patience_over(&c->stop_timer);
}

void container_kill(struct container *c)
{
    if (c->phase == CONTAINER_STARTING)
        c->kill_wanted = true;
    else if (c->r.state == CRIV1_CONTAINER_RUNNING)
        begin_stop(c, 0);
}

void container_stop(struct local *g, struct engine_call *call)
{
    const struct criv1_stop_container_request *q = call->request;
    struct container *c = container_find(g, q->container_id);
    RESPONSE(call, struct criv1_stop_container_response);
    bool running = c && (c->phase == CONTAINER_STARTING || c->r.state == CRIV1_CONTAINER_RUNNING);
    if (!running) {
        call_done(g, call);
        return;
    }
    list_push_back(&c->stop_calls, &call->link);
    if (c->phase == CONTAINER_STARTING)
        c->kill_wanted = true; /* it has not begun to do anything that would need its grace */
    else
        begin_stop(c, MIN(MAX(q->timeout, (int64_t)0), (int64_t)INT32_MAX) * 1000);
}
