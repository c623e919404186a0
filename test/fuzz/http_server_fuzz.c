/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile bytes for a whole server connection, HTTP/1 and (behind its preface) HTTP/2, over a
 * socket pair and a real loop. The handler answers by the first letter of the path: at once, in
 * the next round, streamed, by reset, by taking the connection over, or never. The client sends
 * in pieces, may stop reading, and leaves at the end, in order or not.
 */
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "http/server.h"

enum { HELD_MAX = 256 };

static struct loop *l;
static struct http_server *server;
static struct http_exchange *held[HELD_MAX];
static size_t n_held;
static struct http_raw *raw;
static char large[200000];

static void on_abort(void *arg, struct http_exchange *x)
{
    for (size_t i = 0; i < n_held; i++)
        if (held[i] == x)
            held[i] = held[--n_held];
}

static void hold(struct http_exchange *x)
{
    if (n_held == HELD_MAX) {
        http_respond(x, 503, NULL, STR("full"));
        return;
    }
    http_on_abort(x, on_abort, NULL);
    held[n_held++] = x;
}

static void on_drained(void *arg, struct http_exchange *x)
{
    http_end(x);
}

static void raw_data(void *arg, struct str bytes)
{
    http_raw_write(raw, bytes);
}

static void raw_end(void *arg)
{
    http_raw_close(raw);
    raw = NULL;
}

static const struct http_raw_ops raw_ops = {raw_data, raw_end, NULL};

static void stream_gone(void *arg, struct http_exchange *x)
{
}

static void stream(struct http_exchange *x)
{
    http_on_abort(x, stream_gone, NULL);
    http_on_drained(x, on_drained, NULL);
    http_respond_start(x, 200, NULL);
    struct str parts[] = {STR("first"), {large, sizeof large}, STR("last")};
    if (http_write(x, parts, ARRAY_LEN(parts)) == 0)
        http_end(x);
}

static void handle(void *arg, struct http_exchange *x)
{
    const struct http_request *r = http_request(x);
    struct http_headers h = {0};
    switch (r->path.n > 1 ? r->path.p[1] : 0) {
    case 'h': hold(x); break;
    case 'o': http_respond(x, 200, NULL, r->body); break;
    case 'l': http_respond(x, 200, NULL, str_n(large, sizeof large)); break;
    case 's': stream(x); break;
    case 'r': http_reset(x); break;
    case 'n': http_respond(x, 204, NULL, STR_NULL); break;
    case 'c':
        http_header_add(http_arena(x), &h, STR("content-length"), STR("5"));
        http_respond_start(x, 200, &h);
        http_write(x, &STR("abcdefg"), 1);
        http_end(x);
        break;
    case 'u':
        if (raw)
            http_respond(x, 409, NULL, STR("one at a time"));
        else
            raw = http_hijack(x, 101, NULL, &raw_ops, NULL);
        break;
    default: http_respond(x, 404, NULL, STR("no")); break;
    }
}

static void start_server(void)
{
    static const struct http_handler handler = {handle};
    static struct arena arena;
    arena = ARENA_INIT;
    struct err e = ERR_INIT(&arena);
    struct http_limits limits = http_limits_default;
    limits.header_bytes_max = 4000;
    limits.body_bytes_max = 20000;
    limits.write_queue_max = 10000;
    l = loop_new(&e);
    server = http_server_new(l, STR("tcp:127.0.0.1:0"), NULL, &limits, &handler, NULL, &e);
    must(server != NULL);
}

static void end_round(struct fd_watch *w, bool readable, bool writable)
{
    loop_stop(l);
}

/* Each round takes what is there and ends: a descriptor that is always readable sees to it. */
static void rounds(int n)
{
    static struct fd_watch always;
    if (!always.loop)
        fd_watch_start(l, &always, eventfd(1, EFD_CLOEXEC), true, false, end_round);
    for (int i = 0; i < n; i++)
        loop_run(l);
}

static void answer_held(uint8_t how)
{
    if (n_held == 0)
        return;
    struct http_exchange *x = held[--n_held];
    if (how & 1)
        stream(x);
    else
        http_respond(x, 200, NULL, STR("late"));
}

static void read_some(int fd, size_t n)
{
    static char sink[65536];
    for (; n && read(fd, sink, sizeof sink) > 0; n--) {
        /* dropped */
    }
}

static void send_some(int fd, struct fuzz_input *in, size_t n)
{
    struct str piece = str_sub(fuzz_rest(in), 0, n);
    in->p += piece.n;
    in->n -= piece.n;
    (void)!send(fd, piece.p, piece.n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void act(int fd, struct fuzz_input *in, uint8_t op)
{
    size_t n = op & 0x3f;
    switch (op >> 6) {
    case 0: send_some(fd, in, n + 1); break;
    case 1: send_some(fd, in, n * 8 + 1); break;
    case 2: read_some(fd, n); break;
    default: answer_held(op); break;
    }
    rounds(1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    struct fuzz_input in = {data, n};
    struct arena arena = ARENA_INIT;
    struct err e = ERR_INIT(&arena);
    int ends[2];
    if (!l)
        start_server();
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    server_accept(server, loop_stream_from_fd(l, ends[0], &e));
    uint8_t how = fuzz_byte(&in);
    if (how & 1)
        must(send(ends[1], preface, sizeof preface - 1, MSG_NOSIGNAL) > 0);
    while (in.n)
        act(ends[1], &in, how & 2 ? 0x7f : fuzz_byte(&in));
    if (how & 4) {
        shutdown(ends[1], SHUT_WR);
        rounds(2);
    }
    close(ends[1]);
    for (int i = 0; i < 100 && (server->conn_count || n_held); i++)
        rounds(1);
    must(server->conn_count == 0 && n_held == 0 && raw == NULL);
    arena_fini(&arena);
    return 0;
}
