/* SPDX-License-Identifier: Apache-2.0 */
/* Exec, attach and port-forward: bytes between a client and something inside a pod. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "engine/channel.h"
#include "engine/local.h"
#include "engine/namespaces.h"

enum {
    CONMON_PACKET_MAX = 8192, /* conmon's own buffer for what comes from a client */
    CONMON_STDOUT = 2,        /* the first byte of a packet to a client */
    CONMON_STDERR = 3,
};

struct session {
    struct engine_session base;
    struct local *g;
    struct task task; /* tells the end, or frees, from a clean stack */
    bool closed, ended;
    struct arena arena; /* of err */
    struct err err;
    int exit_code;
    struct channel in, out, error; /* out alone where one descriptor does all */

    /* exec */
    struct exec x;
    struct child child;
    bool prepared, child_runs, child_left;
    bool want_stdin, want_stdout, want_stderr;
    int console; /* listening for the runtime to hand over the terminal; -1 */
    struct fd_watch console_watch;
    uint16_t columns, rows;
    struct buf early_input; /* before there is somebody to give it to */
    bool early_end;

    /* attach */
    struct str container_id; /* on the arena */
    bool tty;

    /* port-forward */
    const char *net_pin; /* on the arena; NULL: the host's */
    uint16_t port;
    int family;
    struct fd_watch connect_watch;
    int connecting; /* -1 */
};

static struct session *session_of(struct engine_session *s)
{
    return CONTAINER_OF(s, struct session, base);
}

/* ---- beginning and end ---- */

static void close_all(struct session *s)
{
    channel_close(&s->in);
    channel_close(&s->out);
    channel_close(&s->error);
    if (s->console >= 0) {
        fd_watch_stop(&s->console_watch);
        close_fd(&s->console);
    }
    if (s->connecting >= 0) {
        fd_watch_stop(&s->connect_watch);
        close_fd(&s->connecting);
    }
}

/* Frees it once nothing refers to it any more. */
static void free_if_idle(struct session *s)
{
    struct local *g = s->g;
    if (s->child_runs || (s->x.ready && !s->prepared))
        return;
    if (s->x.ready)
        exec_fini(&s->x);
    buf_fini(&s->early_input);
    arena_fini(&s->arena);
    free(s);
    local_let_go(g);
}

static void on_task(struct task *t)
{
    struct session *s = CONTAINER_OF(t, struct session, task);
    if (s->closed) {
        free_if_idle(s);
        return;
    }
    s->base.ops->ended(&s->base, s->base.arg, s->exit_code, s->err.code ? &s->err : NULL);
}

/* Tells the end once; nothing follows. */
static void end(struct session *s)
{
    if (s->ended || s->closed)
        return;
    s->ended = true;
    close_all(s);
    loop_defer(s->g->loop, &s->task, on_task);
}

static const struct engine_session_impl impl;

static struct session *session_new(struct engine *engine, const struct engine_session_ops *ops,
                                   void *arg)
{
    struct session *s = xcalloc(1, sizeof *s);
    s->base = (struct engine_session){&impl, ops, arg};
    s->g = local_of(engine);
    s->arena = ARENA_INIT;
    s->err = ERR_INIT(&s->arena);
    s->console = s->connecting = -1;
    s->early_input = BUF_INIT(CHANNEL_QUEUE_MAX);
    channel_init(&s->in);
    channel_init(&s->out);
    channel_init(&s->error);
    local_hold(s->g);
    return s;
}

static struct channel *input_channel(struct session *s)
{
    return s->in.ops ? &s->in : &s->out;
}

/* ---- what the client does ---- */

static void tell_drained(struct session *s)
{
    if (s->base.ops->drained && !s->closed)
        s->base.ops->drained(&s->base, s->base.arg);
}

/* The command is not there yet, or the connection: what comes is kept. */
static bool is_early(const struct session *s)
{
    return !s->ended && !s->in.ops && !s->out.ops;
}

static size_t input(struct engine_session *base, struct str bytes)
{
    struct session *s = session_of(base);
    if (!is_early(s))
        return channel_write(input_channel(s), bytes);
    buf_add(&s->early_input, bytes.p, bytes.n);
    return s->early_input.n;
}

static void input_end(struct engine_session *base)
{
    struct session *s = session_of(base);
    if (is_early(s))
        s->early_end = true;
    else
        channel_end_input(input_channel(s));
}

static void give_early(struct session *s)
{
    struct channel *ch = input_channel(s);
    bool some = s->early_input.n > 0;
    size_t queued = channel_write(ch, buf_view(&s->early_input));
    buf_fini(&s->early_input);
    if (s->early_end)
        channel_end_input(ch);
    else if (some && !queued)
        tell_drained(s);
}

static void set_size(int fd, uint16_t columns, uint16_t rows)
{
    struct winsize size = {.ws_col = columns, .ws_row = rows};
    ioctl(fd, TIOCSWINSZ, &size);
}

static void resize(struct engine_session *base, uint16_t columns, uint16_t rows)
{
    struct session *s = session_of(base);
    struct container *c = s->container_id.n ? container_find(s->g, s->container_id) : NULL;
    struct err ignored = ERR_INIT(&s->arena);
    char line[64];
    s->columns = columns;
    s->rows = rows;
    if (s->x.tty && s->out.fd >= 0) {
        set_size(s->out.fd, columns, rows);
    } else if (c && s->tty) {
        snprintf(line, sizeof line, "1 %u %u\n", rows, columns);
        (void)!container_control(c, line, &ignored);
    }
}

static void pause_output(struct engine_session *base)
{
    struct session *s = session_of(base);
    channel_pause(&s->out, true);
    channel_pause(&s->error, true);
}

static void check_exec_end(struct session *s);

static void resume_output(struct engine_session *base)
{
    struct session *s = session_of(base);
    channel_pause(&s->out, false);
    channel_pause(&s->error, false);
    check_exec_end(s);
}

static void close_session(struct engine_session *base)
{
    struct session *s = session_of(base);
    close_all(s);
    s->closed = true;
    loop_defer(s->g->loop, &s->task, on_task);
}

static const struct engine_session_impl impl = {
    .input = input,
    .input_end = input_end,
    .resize = resize,
    .pause = pause_output,
    .resume = resume_output,
    .close = close_session,
};

/* ---- output ---- */

static void give(struct session *s, enum engine_output which, struct str bytes)
{
    s->base.ops->output(&s->base, s->base.arg, which, bytes);
}

static void out_read(struct channel *ch, struct str bytes)
{
    give(CONTAINER_OF(ch, struct session, out), ENGINE_STDOUT, bytes);
}

static void error_read(struct channel *ch, struct str bytes)
{
    give(CONTAINER_OF(ch, struct session, error), ENGINE_STDERR, bytes);
}

static void in_drained(struct channel *ch)
{
    tell_drained(CONTAINER_OF(ch, struct session, in));
}

static void out_drained(struct channel *ch)
{
    tell_drained(CONTAINER_OF(ch, struct session, out));
}

/* ---- exec ---- */

/* The end is told when the command has ended and what it wrote was taken. Its own children may
 * hold the pipes for ever: they are not waited for. */
static void check_exec_end(struct session *s)
{
    if (!s->child_left || s->ended || s->closed)
        return;
    bool out = s->out.fd < 0 || channel_drain(&s->out) || !s->out.paused;
    if (s->closed)
        return;
    bool error = s->error.fd < 0 || channel_drain(&s->error) || !s->error.paused;
    if (out && error && !s->closed)
        end(s);
}

static void exec_out_end(struct channel *ch, int error)
{
    check_exec_end(CONTAINER_OF(ch, struct session, out));
}

static void exec_error_end(struct channel *ch, int error)
{
    check_exec_end(CONTAINER_OF(ch, struct session, error));
}

static const struct channel_ops exec_in_ops = {.drained = in_drained};
static const struct channel_ops exec_out_ops = {
    .read = out_read, .end = exec_out_end, .drained = out_drained};
static const struct channel_ops exec_error_ops = {.read = error_read, .end = exec_error_end};

static void exec_left(struct child *child, int status)
{
    struct session *s = CONTAINER_OF(child, struct session, child);
    struct local *g = s->g;
    s->child_runs = false;
    s->child_left = true;
    s->exit_code = status;
    if (s->closed) {
        free_if_idle(s);
        local_let_go(g);
        return;
    }
    exec_check(&s->x, status);
    if (s->x.err.code)
        err_set(&s->err, s->x.err.code, "%.*s", STR_ARG(s->x.err.message));
    check_exec_end(s);
    local_let_go(g);
}

/* Makes a pipe if wanted; the end for the child goes to *ret_child (or stays -1). */
static int open_end(struct session *s, bool wanted, bool to_child, struct channel *ch,
                    const struct channel_ops *ops, int *ret_child)
{
    int fds[2];
    if (!wanted)
        return 0;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(&s->err, errno, "make pipe");
    *ret_child = fds[to_child ? 0 : 1];
    channel_open(ch, s->g->loop, fds[to_child ? 1 : 0], !to_child, to_child, ops);
    return 0;
}

static int spawn_exec(struct session *s, int in, int out, int error)
{
    struct spawn how = {
        .argv = s->x.argv,
        .cwd = s->x.folder,
        .fds = {in, out, error},
        .n_fds = 3,
    };
    int r = loop_spawn(s->g->loop, &s->child, &how, exec_left, &s->err);
    if (r == 0) {
        s->child_runs = true;
        local_hold(s->g);
    }
    return r;
}

static int start_piped(struct session *s)
{
    CLEANUP(close_fd) int in = -1;
    CLEANUP(close_fd) int out = -1;
    CLEANUP(close_fd) int error = -1;
    int r = open_end(s, s->want_stdin, true, &s->in, &exec_in_ops, &in);
    if (r == 0)
        r = open_end(s, s->want_stdout, false, &s->out, &exec_out_ops, &out);
    if (r == 0)
        r = open_end(s, s->want_stderr, false, &s->error, &exec_error_ops, &error);
    if (r == 0)
        r = spawn_exec(s, in, out, error);
    if (r == 0)
        give_early(s);
    return r;
}

/* A path below a folder, short enough for a socket's address. */
static int socket_address(struct session *s, const char *folder, const char *name,
                          struct sockaddr_un *ret, int *ret_folder)
{
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(&s->err, errno, "open %s", folder);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", fd, name);
    *ret_folder = fd;
    return 0;
}

/* The terminal's descriptor from the runtime's message. */
static int receive_terminal(int from)
{
    char byte[256];
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {byte, sizeof byte};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    int fd = -1;
    if (recvmsg(from, &msg, MSG_CMSG_CLOEXEC) <= 0)
        return -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

static void stop_listening(struct session *s)
{
    fd_watch_stop(&s->console_watch);
    close_fd(&s->console);
    unlink(arena_fmt(&s->arena, "%s/%s", s->x.folder, s->x.socket_name).p);
}

static void console_called(struct fd_watch *w, bool readable, bool writable)
{
    struct session *s = CONTAINER_OF(w, struct session, console_watch);
    CLEANUP(close_fd) int peer = accept4(s->console, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0)
        return;
    int terminal = receive_terminal(peer); /* it is sent right after connecting */
    stop_listening(s);
    if (terminal < 0)
        return; /* the runtime will end and say why */
    if (s->columns && s->rows)
        set_size(terminal, s->columns, s->rows);
    channel_open(&s->out, s->g->loop, terminal, true, true, &exec_out_ops);
    give_early(s);
}

static int start_with_terminal(struct session *s)
{
    struct sockaddr_un address;
    CLEANUP(close_fd) int folder = -1;
    int r = socket_address(s, s->x.folder, s->x.socket_name, &address, &folder);
    if (r < 0)
        return r;
    s->console = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->console < 0 || bind(s->console, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(s->console, 1) < 0) {
        close_fd(&s->console);
        return err_errno(&s->err, errno, "listen for the terminal");
    }
    fd_watch_start(s->g->loop, &s->console_watch, s->console, true, false, console_called);
    return spawn_exec(s, -1, -1, -1);
}

static void exec_ready(struct exec *x)
{
    struct session *s = CONTAINER_OF(x, struct session, x);
    s->prepared = true;
    if (s->closed) {
        free_if_idle(s);
        return;
    }
    if (x->err.code)
        err_set(&s->err, x->err.code, "%.*s", STR_ARG(x->err.message));
    else
        (void)!(x->tty ? start_with_terminal(s) : start_piped(s));
    if (s->err.code)
        end(s);
}

struct engine_session *session_exec(struct engine *engine, const struct criv1_exec_request *q,
                                    const struct engine_session_ops *ops, void *arg)
{
    struct session *s = session_new(engine, ops, arg);
    s->want_stdin = q->stdin;
    s->want_stdout = q->stdout;
    s->want_stderr = q->stderr && !q->tty;
    exec_prepare(&s->x, s->g, q->container_id, &q->cmd, q->tty, exec_ready);
    return &s->base;
}

/* ---- attach ---- */

/* One read is one packet: which stream, then the bytes. */
static void attach_read(struct channel *ch, struct str packet)
{
    struct session *s = CONTAINER_OF(ch, struct session, out);
    if (packet.n < 2)
        return;
    struct str bytes = str_sub(packet, 1, packet.n);
    if (packet.p[0] == CONMON_STDOUT && s->want_stdout)
        give(s, ENGINE_STDOUT, bytes);
    else if (packet.p[0] == CONMON_STDERR && s->want_stderr)
        give(s, ENGINE_STDERR, bytes);
}

static void attach_end(struct channel *ch, int error)
{
    end(CONTAINER_OF(ch, struct session, out));
}

static const struct channel_ops attach_ops = {
    .read = attach_read, .end = attach_end, .drained = out_drained};

static int connect_conmon(struct session *s, struct container *c)
{
    struct sockaddr_un address;
    CLEANUP(close_fd) int folder = -1;
    int r = socket_address(s, container_path(s->g, &s->arena, c->r.id, ""), "attach", &address,
                           &folder);
    if (r < 0)
        return r;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        r = err_errno(&s->err, errno, "attach to container \"%.*s\"", STR_ARG(c->r.id));
        close_fd(&fd);
        return r;
    }
    channel_open(&s->out, s->g->loop, fd, true, s->want_stdin, &attach_ops);
    s->out.write_max = CONMON_PACKET_MAX;
    return 0;
}

struct engine_session *session_attach(struct engine *engine, const struct criv1_attach_request *q,
                                      const struct engine_session_ops *ops, void *arg)
{
    struct session *s = session_new(engine, ops, arg);
    struct container *c = container_find(s->g, q->container_id);
    s->want_stdin = q->stdin;
    s->want_stdout = q->stdout;
    s->want_stderr = q->stderr;
    s->tty = q->tty;
    s->container_id = arena_str(&s->arena, c ? c->r.id : q->container_id);
    if (!c)
        err_set(&s->err, ERR_NOT_FOUND, "container \"%.*s\" not found", STR_ARG(q->container_id));
    else if (c->r.state != CRIV1_CONTAINER_RUNNING)
        err_set(&s->err, ERR_BAD_REQUEST, "container \"%.*s\" is not running", STR_ARG(c->r.id));
    else
        (void)!connect_conmon(s, c);
    if (s->err.code)
        end(s);
    return &s->base;
}

/* ---- port-forward ---- */

static void forward_end(struct channel *ch, int error)
{
    struct session *s = CONTAINER_OF(ch, struct session, out);
    if (error)
        err_errno(&s->err, -error, "connection to port %u", s->port);
    end(s);
}

static const struct channel_ops forward_ops = {
    .read = out_read, .end = forward_end, .drained = out_drained};

static void connect_next(struct session *s);

static void connected(struct fd_watch *w, bool readable, bool writable)
{
    struct session *s = CONTAINER_OF(w, struct session, connect_watch);
    int error = 0;
    socklen_t n = sizeof error;
    getsockopt(s->connecting, SOL_SOCKET, SO_ERROR, &error, &n);
    fd_watch_stop(&s->connect_watch);
    if (error) {
        close_fd(&s->connecting);
        err_errno(&s->err, error, "dial port %u of the pod", s->port);
        connect_next(s);
        return;
    }
    err_clear(&s->err);
    channel_open(&s->out, s->g->loop, TAKE_FD(s->connecting), true, true, &forward_ops);
    give_early(s);
}

/* IPv4 first, then IPv6, then no more. */
static void connect_next(struct session *s)
{
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(s->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(s->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    if (s->family == AF_INET6) {
        end(s);
        return;
    }
    s->family = s->family ? AF_INET6 : AF_INET;
    const struct sockaddr *to =
        s->family == AF_INET ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
    struct err second = ERR_INIT(&s->arena);
    s->connecting = namespace_socket(s->net_pin, s->family, &second);
    if (s->connecting < 0) {
        s->connecting = -1;
        if (!s->err.code)
            err_set(&s->err, second.code, "%.*s", STR_ARG(second.message));
        end(s);
        return;
    }
    (void)!connect(s->connecting, to, s->family == AF_INET ? sizeof v4 : sizeof v6);
    fd_watch_start(s->g->loop, &s->connect_watch, s->connecting, false, true, connected);
}

struct engine_session *session_port_forward(struct engine *engine, struct str sandbox_id,
                                            uint16_t port, const struct engine_session_ops *ops,
                                            void *arg)
{
    struct session *s = session_new(engine, ops, arg);
    struct sandbox *pod = sandbox_find(s->g, sandbox_id);
    s->port = port;
    if (!pod || !pod->r.ready) {
        err_set(&s->err, ERR_NOT_FOUND, "sandbox \"%.*s\" %s", STR_ARG(sandbox_id),
                pod ? "is not running" : "not found");
        end(s);
        return &s->base;
    }
    if (!sandbox_host_network(pod))
        s->net_pin = arena_z(&s->arena, pod->r.netns);
    connect_next(s);
    return &s->base;
}
