/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/log.h"
#include "cmd/ready.h"
#include "loop/loop.h"

enum {
    RESTART_MIN_MS = 50,
    RESTART_MAX_MS = 10000,
    QUICK_RESTARTS = 20,
    STABLE_MS = 10000,     /* a role that ran so long starts again at once */
    STOP_GRACE_MS = 10000, /* then SIGKILL */
    READY_TIMEOUT_MS = 60000,
};

struct role {
    const char *name; /* "server"; also the verb, the pid file and the log */
    struct supervisor *s;
    struct child child;
    struct timer restart;
    bool running;
    int64_t started_ms, delay_ms;
    int restarts; /* since it last ran for STABLE_MS */
};

struct supervisor {
    struct arena arena;
    const struct cluster *c;
    const char *exe; /* this program */
    struct loop *loop;
    struct role roles[2]; /* server, agent */
    size_t n_roles;
    struct signal_watch term, intr;
    struct timer kill;
    bool ending;
};

static void role_start(struct role *r);

static void maybe_done(struct supervisor *s)
{
    for (size_t i = 0; i < s->n_roles; i++)
        if (s->roles[i].running)
            return;
    loop_stop(s->loop);
}

static void restart_due(struct timer *t)
{
    role_start(CONTAINER_OF(t, struct role, restart));
}

static void role_exited(struct child *child, int status)
{
    struct role *r = CONTAINER_OF(child, struct role, child);
    struct supervisor *s = r->s;
    r->running = false;
    pid_remove(s->c, r->name);
    if (s->ending) {
        maybe_done(s);
        return;
    }
    /* The first restarts are quick, whatever ended the role; one that keeps ending waits longer
     * and longer. */
    bool stable = loop_now_ms(s->loop) - r->started_ms > STABLE_MS;
    r->restarts = stable ? 0 : r->restarts + 1;
    r->delay_ms =
        r->restarts <= QUICK_RESTARTS ? RESTART_MIN_MS : MIN(r->delay_ms * 2, RESTART_MAX_MS);
    log_warn("supervisor", "%s ended with status %d; starting it again in %lld ms", r->name, status,
             (long long)r->delay_ms);
    timer_start(s->loop, &r->restart, r->delay_ms, restart_due);
}

static int open_log(struct supervisor *s, const char *name)
{
    const char *path = arena_fmt(&s->arena, "%s/log/%s.log", s->c->dir, name).p;
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void role_start(struct role *r)
{
    struct supervisor *s = r->s;
    struct err e = ERR_INIT(&s->arena);
    CLEANUP(close_fd) int log = open_log(s, r->name);
    const char *argv[] = {s->exe, r->name, "--data-dir", s->c->dir, NULL};
    struct spawn how = {
        .argv = argv,
        .fds = {-1, log, log},
        .n_fds = 3,
        .new_session = true,
        .uid = (uint32_t)s->c->uid,
        .gid = (uint32_t)s->c->gid,
        .set_ids = geteuid() == 0 && strcmp(r->name, "server") == 0,
    };
    r->started_ms = loop_now_ms(s->loop);
    if (loop_spawn(s->loop, &r->child, &how, role_exited, &e) < 0) {
        log_error("supervisor", "%s: %.*s", r->name, STR_ARG(e.message));
        timer_start(s->loop, &r->restart, RESTART_MAX_MS, restart_due);
        return;
    }
    r->running = true;
    if (pid_write(s->c, r->name, r->child.pid, &e) < 0)
        log_error("supervisor", "%.*s", STR_ARG(e.message));
}

static void kill_all(struct timer *t)
{
    struct supervisor *s = CONTAINER_OF(t, struct supervisor, kill);
    for (size_t i = 0; i < s->n_roles; i++)
        if (s->roles[i].running)
            child_kill(&s->roles[i].child, SIGKILL);
}

static void end(struct supervisor *s)
{
    if (s->ending)
        return;
    s->ending = true;
    for (size_t i = 0; i < s->n_roles; i++) {
        timer_stop(&s->roles[i].restart);
        if (s->roles[i].running)
            child_kill(&s->roles[i].child, SIGTERM);
    }
    timer_start(s->loop, &s->kill, STOP_GRACE_MS, kill_all);
    maybe_done(s);
}

static void on_term(struct signal_watch *w)
{
    end(CONTAINER_OF(w, struct supervisor, term));
}

static void on_intr(struct signal_watch *w)
{
    end(CONTAINER_OF(w, struct supervisor, intr));
}

/* The supervisor's life: until a signal has ended it. */
static int supervisor_run(const struct cluster *c, bool with_agent, struct err *e)
{
    struct supervisor s = {.arena = ARENA_INIT, .c = c, .n_roles = with_agent ? 2 : 1};
    static const char *const names[] = {"server", "agent"};
    s.loop = loop_new(e);
    if (!s.loop)
        return -(int)e->code;
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    s.exe = arena_str(&s.arena, n > 0 ? str_n(exe, (size_t)n) : STR("/proc/self/exe")).p;
    int rc = pid_write(c, "supervisor", (int)getpid(), e);
    if (rc < 0)
        return rc;
    signal_watch_start(s.loop, &s.term, SIGTERM, on_term);
    signal_watch_start(s.loop, &s.intr, SIGINT, on_intr);
    for (size_t i = 0; i < s.n_roles; i++) {
        s.roles[i] = (struct role){.name = names[i], .s = &s};
        role_start(&s.roles[i]);
    }
    loop_run(s.loop);
    timer_stop(&s.kill);
    signal_watch_stop(&s.term);
    signal_watch_stop(&s.intr);
    pid_remove(c, "supervisor");
    loop_run(s.loop); /* until what was closed is gone */
    loop_free(s.loop);
    arena_fini(&s.arena);
    return 0;
}

/* In the background process: away from the terminal, words go to the log. */
static void leave_terminal(const struct cluster *c)
{
    struct arena a = ARENA_INIT;
    setsid();
    int null = open("/dev/null", O_RDWR);
    int log =
        open(arena_fmt(&a, "%s/log/supervisor.log", c->dir).p, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (null >= 0 && log >= 0) {
        dup2(null, 0);
        dup2(log, 1);
        dup2(log, 2);
    }
    if (null > 2)
        close(null);
    if (log > 2)
        close(log);
    if (chdir("/") < 0)
        log_warn("supervisor", "chdir: %s", strerror(errno));
    arena_fini(&a);
}

int supervise(const struct cluster *c, bool detach, bool with_agent, struct err *e)
{
    int old = pid_read(c, "supervisor");
    if (old && !detach)
        return err_set(e, ERR_ALREADY_EXISTS, "the cluster in %s is running (process %d)", c->dir,
                       old);
    if (!detach)
        return supervisor_run(c, with_agent, e);
    if (!old) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid < 0)
            return err_errno(e, errno, "fork");
        if (pid == 0) {
            leave_terminal(c);
            _exit(supervisor_run(c, with_agent, e) < 0);
        }
    }
    return wait_ready(c, with_agent, READY_TIMEOUT_MS, e);
}
