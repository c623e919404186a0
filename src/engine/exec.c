/* SPDX-License-Identifier: Apache-2.0 */
/* Further processes in a running container: what exec and ExecSync have in common, and ExecSync. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "codec/json.h"
#include "engine/files.h"
#include "engine/local.h"

enum { EXEC_OUTPUT_MAX = 16 << 20 }; /* of each stream; as much as CRI clients take */

/* ---- preparing ---- */

static void set_terminal(struct arena *a, struct json *process)
{
    struct json *env = json_getz(process, "env");
    json_set(a, process, STR("terminal"), json_bool(a, true));
    if (env && env->type == JSON_ARRAY)
        json_push(a, env, json_string(a, STR("TERM=xterm")));
}

/* The container's own process with another command. */
static int write_process(struct exec *x, const char *config_file)
{
    struct str text;
    struct json *config, *args = json_array(&x->arena);
    int r = file_read(&x->arena, AT_FDCWD, config_file, SPEC_BYTES_MAX, &text, &x->err);
    if (r == 0)
        r = json_parse(&x->arena, text, &config, &x->err);
    if (r < 0)
        return r;
    struct json *process = json_getz(config, "process");
    if (!process)
        return err_set(&x->err, ERR_INTERNAL, "%s has no process", config_file);
    LIST_EACH (word, &x->cmd)
        json_push(&x->arena, args, json_string(&x->arena, *word));
    json_set(&x->arena, process, STR("args"), args);
    json_set(&x->arena, process, STR("terminal"), json_bool(&x->arena, false));
    if (x->tty)
        set_terminal(&x->arena, process);
    return file_write(AT_FDCWD, x->process_file, json_text(&x->arena, process), 0600, FILE_FAST,
                      &x->err);
}

static void prepare_run(struct job *job)
{
    struct exec *x = CONTAINER_OF(job, struct exec, job);
    if (!x->err.code)
        (void)!write_process(x, arena_fmt(&x->arena, "%s/config.json", x->folder).p);
}

static void prepare_done(struct job *job)
{
    struct exec *x = CONTAINER_OF(job, struct exec, job);
    struct container *c = container_find(job->g, x->container_id);
    if (!x->err.code && (!c || c->r.state != CRIV1_CONTAINER_RUNNING))
        err_set(&x->err, ERR_BAD_REQUEST, "container \"%.*s\" is not running",
                STR_ARG(x->container_id));
    x->ready(x);
}

static const char *in_folder(struct exec *x, uint32_t number, const char *suffix)
{
    return arena_fmt(&x->arena, "%s/exec-%u.%s", x->folder, number, suffix).p;
}

static void fill_arguments(struct exec *x, struct container *c)
{
    struct arena *a = &x->arena;
    uint32_t number = c->execs++;
    size_t n = runtime_args(c->g, c->handler, false, a, x->argv);
    x->container_id = arena_str(a, c->r.id);
    x->folder = container_path(c->g, a, c->r.id, "");
    x->process_file = in_folder(x, number, "json");
    x->pid_file = in_folder(x, number, "pid");
    x->log_file = in_folder(x, number, "log");
    x->socket_name = arena_fmt(a, "exec-%u.tty", number).p;
    x->argv[n++] = arena_fmt(a, "--log=%s", x->log_file).p;
    x->argv[n++] = "exec";
    x->argv[n++] = "--process";
    x->argv[n++] = x->process_file;
    x->argv[n++] = "--pid-file";
    x->argv[n++] = x->pid_file;
    if (x->tty) {
        x->argv[n++] = "--console-socket";
        x->argv[n++] = x->socket_name; /* relative: paths of sockets are short */
    }
    x->argv[n++] = x->container_id.p;
    x->argv[n] = NULL;
}

void exec_prepare(struct exec *x, struct local *g, struct str container_id,
                  const struct str_list *cmd, bool tty, void (*ready)(struct exec *x))
{
    struct container *c = container_find(g, container_id);
    x->arena = ARENA_INIT;
    x->err = ERR_INIT(&x->arena);
    x->ready = ready;
    x->tty = tty;
    LIST_EACH (word, cmd)
        str_list_push(&x->arena, &x->cmd, arena_str(&x->arena, *word));
    if (!c)
        err_set(&x->err, ERR_NOT_FOUND, "container \"%.*s\" not found", STR_ARG(container_id));
    else if (c->r.state != CRIV1_CONTAINER_RUNNING || c->removal_wanted)
        err_set(&x->err, ERR_BAD_REQUEST, "container \"%.*s\" is not running", STR_ARG(c->r.id));
    else if (!cmd->n)
        err_set(&x->err, ERR_BAD_REQUEST, "no command is given");
    else
        fill_arguments(x, c);
    job_start(g, &x->job, prepare_run, prepare_done);
}

/* The pid file is written when the command runs. */
void exec_check(struct exec *x, int status)
{
    struct str text = STR_NULL;
    struct err ignored = ERR_INIT(&x->arena);
    if (status == 0 || pid_file_read(x->pid_file))
        return;
    (void)!file_read(&x->arena, AT_FDCWD, x->log_file, COMMAND_OUTPUT_MAX, &text, &ignored);
    text = readable_message(text);
    err_set(&x->err, ERR_INTERNAL, "OCI runtime exec failed: %.*s", STR_ARG(text));
}

void exec_kill(struct exec *x)
{
    int pid = x->pid_file ? pid_file_read(x->pid_file) : 0;
    CLEANUP(close_fd) int fd = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    char path[64], text[8192];
    size_t n;
    snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
    if (fd >= 0 && file_read_small(AT_FDCWD, path, text, sizeof text, &n) &&
        str_find(str_n(text, n), x->container_id) >= 0)
        syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
}

void exec_fini(struct exec *x)
{
    if (x->process_file) {
        unlink(x->process_file);
        unlink(x->pid_file);
        unlink(x->log_file);
    }
    arena_fini(&x->arena);
}

/* ---- ExecSync ---- */

struct sync_exec {
    struct exec x;
    struct local *g;
    struct engine_call *call;
    struct command command;
    struct timer timer;
    struct list link; /* among those that run, for cancelling */
    bool timed_out, running;
};

static void finish(struct sync_exec *s)
{
    timer_stop(&s->timer);
    list_remove(&s->link);
    if (s->x.err.code)
        err_set(&s->call->err, s->x.err.code, "%.*s", STR_ARG(s->x.err.message));
    call_done(s->g, s->call);
    exec_fini(&s->x);
    free(s);
}

static void fill_response(struct sync_exec *s)
{
    struct criv1_exec_sync_response *r = RESPONSE(s->call, struct criv1_exec_sync_response);
    r->exit_code = s->command.status;
    r->stdout = arena_str(s->call->arena, buf_view(&s->command.out.bytes));
    r->stderr = arena_str(s->call->arena, buf_view(&s->command.err.bytes));
}

static void sync_ended(struct command *command)
{
    struct sync_exec *s = CONTAINER_OF(command, struct sync_exec, command);
    const struct criv1_exec_sync_request *q = s->call->request;
    if (s->call->canceled)
        err_set(&s->x.err, ERR_CANCELED, "canceled");
    else if (s->timed_out)
        err_set(&s->x.err, ERR_TIMEOUT, "timeout %llds exceeded", (long long)q->timeout);
    else
        exec_check(&s->x, command->status);
    if (!s->x.err.code)
        fill_response(s);
    command_fini(command);
    finish(s);
}

/* Ends the process, and the runtime that waits for it: it may not have got that far. */
static void end_early(struct sync_exec *s)
{
    if (!s->running)
        return;
    exec_kill(&s->x);
    child_kill(&s->command.child, SIGKILL);
}

static void time_over(struct timer *t)
{
    struct sync_exec *s = CONTAINER_OF(t, struct sync_exec, timer);
    s->timed_out = true;
    end_early(s);
}

static void sync_ready(struct exec *x)
{
    struct sync_exec *s = CONTAINER_OF(x, struct sync_exec, x);
    const struct criv1_exec_sync_request *q = s->call->request;
    if (s->call->canceled && !x->err.code)
        err_set(&x->err, ERR_CANCELED, "canceled");
    if (x->err.code || command_start(s->g, &s->command, x->argv, x->folder, EXEC_OUTPUT_MAX,
                                     EXEC_OUTPUT_MAX, sync_ended, &x->err) < 0) {
        finish(s);
        return;
    }
    s->running = true;
    list_push_back(&s->g->sync_execs, &s->link);
    if (q->timeout > 0)
        timer_start(s->g->loop, &s->timer, MIN(q->timeout, (int64_t)INT32_MAX) * 1000, time_over);
}

void exec_sync(struct local *g, struct engine_call *call)
{
    const struct criv1_exec_sync_request *q = call->request;
    struct sync_exec *s = xcalloc(1, sizeof *s);
    s->g = g;
    s->call = call;
    exec_prepare(&s->x, g, q->container_id, &q->cmd, false, sync_ready);
}

void exec_sync_cancel(struct local *g, struct engine_call *call)
{
    struct sync_exec *s;
    list_each (s, &g->sync_execs, link) {
        if (s->call == call) {
            end_early(s);
            return;
        }
    }
}
