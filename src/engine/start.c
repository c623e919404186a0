/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a container: conmon is spawned, has the OCI runtime create and start the container,
 * and tells the pid over its sync pipe.
 *
 * conmon(8) 2.1: {"data": PID} or {"data": -1, "message": "..."} on descriptor _OCI_SYNCPIPE.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "codec/json.h"
#include "engine/files.h"
#include "engine/local.h"

enum { SYNC_BYTES_MAX = 64 << 10, CONMON_ARGS_MAX = 48, START_ERROR_CODE = 128 };

struct start {
    struct container *c;
    struct engine_call *call; /* NULL: nobody waits */
    struct arena arena;
    struct err err;
    struct child conmon;
    struct fd_watch sync;
    int sync_fd; /* -1: no more */
    struct buf line;
    bool conmon_left;   /* its first process has ended */
    bool outcome_known; /* err says which */
};

static struct start *start_new(struct container *c, struct engine_call *call)
{
    struct start *s = xcalloc(1, sizeof *s);
    s->c = c;
    s->call = call;
    s->arena = ARENA_INIT;
    s->err = ERR_INIT(&s->arena);
    s->sync_fd = -1;
    s->line = BUF_INIT(SYNC_BYTES_MAX);
    return s;
}

static void start_free(struct start *s)
{
    buf_fini(&s->line);
    arena_fini(&s->arena);
    free(s);
}

/* ---- the end of a start ---- */

static void answer(struct start *s)
{
    struct local *g = s->c->g;
    if (!s->call)
        return;
    if (s->err.code)
        err_set(&s->call->err, s->err.code, "%.*s", STR_ARG(s->err.message));
    else
        RESPONSE(s->call, struct criv1_start_container_response);
    call_done(g, s->call);
}

static void succeed(struct start *s)
{
    struct container *c = s->c;
    c->phase = CONTAINER_IDLE;
    c->r.state = CRIV1_CONTAINER_RUNNING;
    c->r.started_at = local_now_ns(c->g);
    container_save(c);
    container_watch_conmon(c);
    local_event(c->g, CRIV1_CONTAINER_STARTED_EVENT, c->r.id, c->r.sandbox_id);
    answer(s);
    start_free(s);
    if (c->exit_seen)
        container_exited(c);
    else if (c->kill_wanted)
        container_kill(c);
    container_step(c);
}

static void fail(struct start *s)
{
    struct container *c = s->c;
    c->phase = CONTAINER_IDLE;
    c->r.state = CRIV1_CONTAINER_EXITED;
    c->r.exit_code = START_ERROR_CODE;
    c->r.reason = STR("StartError");
    c->r.message = arena_str(&c->arena, s->err.message);
    c->r.finished_at = local_now_ns(c->g);
    answer(s);
    start_free(s);
    local_event(c->g, CRIV1_CONTAINER_STOPPED_EVENT, c->r.id, c->r.sandbox_id);
    calls_done(c->g, &c->stop_calls, NULL);
    container_clean(c);
}

/* Ends the start once conmon's first process, which is our child, is gone too. */
static void settle(struct start *s)
{
    if (!s->conmon_left || !s->outcome_known)
        return;
    if (s->err.code)
        fail(s);
    else
        succeed(s);
}

/* ---- conmon ---- */

static void close_sync(struct start *s)
{
    if (s->sync_fd < 0)
        return;
    fd_watch_stop(&s->sync);
    close_fd(&s->sync_fd);
}

static void take_line(struct start *s)
{
    struct json *doc;
    int64_t pid = -1;
    if (json_parse(&s->arena, str_trim(buf_view(&s->line)), &doc, &s->err) < 0) {
        err_set(&s->err, ERR_INTERNAL, "conmon ended early: see conmon.log of container %.*s",
                STR_ARG(s->c->r.id));
        return;
    }
    if (!json_i64(json_getz(doc, "data"), &pid) || pid <= 0 || pid > INT32_MAX)
        err_set(&s->err, ERR_INTERNAL, "OCI runtime create failed: %.*s",
                STR_ARG(readable_message(json_str(json_getz(doc, "message")))));
    s->c->pid = (int)pid;
}

static void sync_readable(struct fd_watch *w, bool readable, bool writable)
{
    struct start *s = CONTAINER_OF(w, struct start, sync);
    char chunk[4096];
    ssize_t n = read(s->sync_fd, chunk, sizeof chunk);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        buf_add(&s->line, chunk, (size_t)n);
        if (!memchr(chunk, '\n', (size_t)n) && !s->line.failed)
            return;
    }
    close_sync(s);
    take_line(s);
    s->outcome_known = true;
    settle(s);
}

static void conmon_left(struct child *child, int status)
{
    struct start *s = CONTAINER_OF(child, struct start, conmon);
    struct local *g = s->c->g;
    s->conmon_left = true;
    settle(s);
    local_let_go(g);
}

static const char *log_argument(struct start *s)
{
    struct container *c = s->c;
    if (!c->r.log_path.n)
        return "none";
    return arena_fmt(&s->arena, "k8s-file:%.*s", STR_ARG(c->r.log_path)).p;
}

static void conmon_arguments(struct start *s, const char **argv)
{
    struct container *c = s->c;
    struct local *g = c->g;
    const struct criv1_container_config *config = c->r.config;
    const char *runtime[RUNTIME_ARGS_MAX];
    size_t n_runtime = runtime_args(g, c->handler, true, &s->arena, runtime), n = 0;
    const char *const fixed[] = {
        g->conmon,
        "--api-version",
        "1",
        "-c",
        c->r.id.p,
        "-u",
        c->r.id.p,
        "-n",
        c->r.id.p,
        "-b",
        container_path(g, &s->arena, c->r.id, ""),
        "-p",
        container_path(g, &s->arena, c->r.id, "pid"),
        "-P",
        container_path(g, &s->arena, c->r.id, "conmon.pid"),
        "--exit-dir",
        arena_fmt(&s->arena, "%s/exits", g->run).p,
        "-l",
        log_argument(s),
        "--log-level",
        "error",
        "--full-attach",
        "--no-sync-log",
        "-r",
        runtime[0],
    };
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        argv[n++] = fixed[i];
    for (size_t i = 1; i < n_runtime; i++)
        argv[n++] = arena_fmt(&s->arena, "--runtime-arg=%s", runtime[i]).p;
    if (config->stdin)
        argv[n++] = "-i";
    if (config->stdin && !config->stdin_once)
        argv[n++] = "--leave-stdin-open";
    if (config->tty)
        argv[n++] = "-t";
    argv[n] = NULL;
}

static int open_conmon_log(struct start *s)
{
    return open(container_path(s->c->g, &s->arena, s->c->r.id, "conmon.log"),
                O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* Left on disk before the first process is made: see container_resume_start. */
static int mark(struct start *s)
{
    const char *path = container_path(s->c->g, &s->arena, s->c->r.id, "starting");
    CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 ? err_errno(&s->err, errno, "create %s", path) : 0;
}

static int make_log_folder(struct start *s)
{
    struct str path = s->c->r.log_path;
    ptrdiff_t slash = str_rindex(path, '/');
    if (slash <= 0)
        return 0;
    return dir_make(arena_z(&s->arena, str_sub(path, 0, (size_t)slash)), 0755, &s->err);
}

static int spawn_conmon(struct start *s)
{
    static const char *const env[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "_OCI_SYNCPIPE=3",
        NULL};
    const char *argv[CONMON_ARGS_MAX];
    int fds[2], r = mark(s);
    if (r == 0)
        r = make_log_folder(s);
    if (r < 0)
        return r;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(&s->err, errno, "make pipe");
    CLEANUP(close_fd) int theirs = fds[1];
    CLEANUP(close_fd) int log = open_conmon_log(s);
    must(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
    conmon_arguments(s, argv);
    struct spawn how = {
        .argv = argv, .env = env, .fds = {-1, log, log, theirs}, .n_fds = 4, .new_session = true};
    r = loop_spawn(s->c->g->loop, &s->conmon, &how, conmon_left, &s->err);
    if (r < 0) {
        close(fds[0]);
        return r;
    }
    local_hold(s->c->g);
    s->sync_fd = fds[0];
    fd_watch_start(s->c->g->loop, &s->sync, s->sync_fd, true, false, sync_readable);
    return 0;
}

static int check_start(const struct criv1_start_container_request *q, const struct container *c,
                       struct err *e)
{
    static const char *const states[] = {"CREATED", "RUNNING", "EXITED", "UNKNOWN"};
    if (!c)
        return err_set(e, ERR_NOT_FOUND, "container \"%.*s\" not found", STR_ARG(q->container_id));
    if (c->removal_wanted)
        return err_set(e, ERR_BAD_REQUEST, "container \"%.*s\" is in removing state",
                       STR_ARG(c->r.id));
    if (c->r.state != CRIV1_CONTAINER_CREATED || c->phase != CONTAINER_IDLE)
        return err_set(e, ERR_BAD_REQUEST, "container \"%.*s\" is in CONTAINER_%s state",
                       STR_ARG(c->r.id),
                       c->phase == CONTAINER_STARTING ? "STARTING" : states[c->r.state & 3]);
    if (!c->sandbox->r.ready || c->sandbox->phase != SANDBOX_IDLE)
        return err_set(e, ERR_BAD_REQUEST, "sandbox \"%.*s\" is not ready",
                       STR_ARG(c->r.sandbox_id));
    return 0;
}

void container_start(struct local *g, struct engine_call *call)
{
    const struct criv1_start_container_request *q = call->request;
    struct container *c = container_find(g, q->container_id);
    if (check_start(q, c, &call->err) < 0) {
        call_done(g, call);
        return;
    }
    struct start *s = start_new(c, call);
    c->phase = CONTAINER_STARTING;
    if (spawn_conmon(s) < 0)
        fail(s);
}

/* ---- going on where the last engine stopped ---- */

void container_resume_start(struct container *c, bool new_boot)
{
    struct arena a = ARENA_INIT;
    int conmon = pid_file_read(container_path(c->g, &a, c->r.id, "conmon.pid"));
    c->pid = pid_file_read(container_path(c->g, &a, c->r.id, "pid"));
    arena_fini(&a);
    if (!new_boot && c->pid && process_is_ours(conmon, c->r.id)) {
        struct start *s = start_new(c, NULL);
        s->conmon_left = s->outcome_known = true;
        settle(s);
        container_exited(c);
        return;
    }
    /* It never ran. It stays "created", which node agents replace whatever the restart policy. */
    if (!new_boot)
        processes_kill(c->r.id);
    container_clean(c);
}
