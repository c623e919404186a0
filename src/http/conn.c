/* SPDX-License-Identifier: Apache-2.0 */
#include "http/conn.h"

#include <errno.h>

enum { OUT_BYTES_MAX = INT32_MAX }; /* of one connection; handlers stop far earlier */

struct conn_scratch *conn_scratch_new(void)
{
    struct conn_scratch *s = xcalloc(1, sizeof *s);
    buf_init(&s->cipher, MIB(64));
    buf_init(&s->spare, OUT_BYTES_MAX);
    return s;
}

void conn_scratch_free(struct conn_scratch *s)
{
    buf_fini(&s->cipher);
    buf_fini(&s->spare);
    free(s);
}

static void conn_round(struct task *t);
static void timer_fired(struct timer *t);
static void tls_step(struct conn *c);
static void finish_on(struct conn *c);

/* ---- the end ---- */

static void reap(struct task *t)
{
    struct conn *c = CONTAINER_OF(t, struct conn, flush);
    tls_free(c->tls);
    c->freed(c);
}

void conn_close(struct conn *c)
{
    if (c->dead)
        return;
    c->dead = true;
    stream_close(c->stream);
    timer_stop(&c->timer);
    task_cancel(&c->flush);
    buf_fini(&c->out);
    c->out_at = 0;
    loop_defer(c->loop, &c->flush, reap);
}

static void report_end(struct conn *c, int error)
{
    bool *told = error ? &c->broken : &c->ended;
    if (c->dead || c->broken || *told)
        return;
    *told = true;
    if (c->finishing)
        conn_close(c);
    else
        c->ops->end(c, error);
}

/* ---- output ---- */

static size_t waiting(const struct conn *c)
{
    return c->out.n - c->out_at;
}

size_t conn_queued(const struct conn *c)
{
    return c->dead ? 0 : waiting(c) + stream_queued(c->stream);
}

bool conn_blocked(const struct conn *c)
{
    return c->dead || stream_queued(c->stream) > 0 || waiting(c) > CONN_STEP;
}

/* Empties the output buffer and lends its memory on. */
static void out_empty(struct conn *c)
{
    struct buf *spare = &c->scratch->spare;
    c->out_at = 0;
    buf_clear(&c->out);
    if (spare->p || c->out.room > CONN_SPARE_MAX)
        buf_fini(&c->out);
    else
        *spare = c->out;
    buf_init(&c->out, OUT_BYTES_MAX);
}

struct buf *conn_out(struct conn *c)
{
    if (!c->out.p) {
        c->out = c->scratch->spare;
        buf_init(&c->scratch->spare, OUT_BYTES_MAX);
    }
    return &c->out;
}

/* Reported by conn_round, since whoever writes does not expect callbacks. */
static void lose(struct conn *c, int error)
{
    if (c->lost || c->dead)
        return;
    c->lost = error;
    loop_defer(c->loop, &c->flush, conn_round);
}

static void push_cipher(struct conn *c)
{
    struct buf *cipher = &c->scratch->cipher;
    if (cipher->n && !c->dead &&
        stream_write(c->stream, &(struct str){cipher->p, cipher->n}, 1) < 0)
        lose(c, -EPIPE);
    buf_clear(cipher);
    if (cipher->room > 2 * CONN_SPARE_MAX)
        buf_fini(cipher);
}

static void send_step(struct conn *c, struct str bytes)
{
    if (!c->tls) {
        if (stream_write(c->stream, &bytes, 1) < 0)
            lose(c, -EPIPE);
        return;
    }
    bool good = tls_write(c->tls, &c->scratch->cipher, bytes);
    push_cipher(c);
    if (good)
        return;
    c->failure = tls_failure(c->tls);
    lose(c, -EPROTO);
}

/* Can bytes go out now? */
static bool open_to_send(const struct conn *c)
{
    return !c->dead && !c->lost && (!c->tls || c->tls_up) && !stream_queued(c->stream);
}

/* Sends of bytes what the kernel takes; returns how much was taken. */
static size_t send_bytes(struct conn *c, struct str bytes)
{
    size_t sent = 0, step_max = c->tls ? CONN_STEP : 4 * CONN_STEP;
    while (sent < bytes.n && open_to_send(c)) {
        struct str step = str_sub(bytes, sent, sent + step_max);
        send_step(c, step);
        sent += step.n;
    }
    return sent;
}

static void send_waiting(struct conn *c)
{
    if (!waiting(c))
        return;
    c->out_at += send_bytes(c, str_n(c->out.p + c->out_at, waiting(c)));
    if (!waiting(c)) {
        out_empty(c);
    } else if (c->out_at > c->out.n / 2) {
        buf_consume(&c->out, c->out_at);
        c->out_at = 0;
    }
}

static void arm(struct conn *c)
{
    int64_t at = MIN(c->deadline, c->stall_deadline);
    /* A timer that fires too early only looks again: cheaper than moving it for every request. */
    if (at == INT64_MAX || c->dead || (timer_active(&c->timer) && c->timer_at <= at))
        return;
    c->timer_at = at;
    timer_start(c->loop, &c->timer, at - loop_now_ms(c->loop), timer_fired);
}

/* What has not reached the peer: waiting here, in the stream, or unacknowledged in the kernel. */
static size_t unreceived(const struct conn *c)
{
    return conn_queued(c) + stream_unacked(c->stream);
}

static void watch_stall(struct conn *c)
{
    if (!stream_queued(c->stream)) { /* the kernel took all so far */
        c->stall_deadline = INT64_MAX;
    } else if (c->stall_deadline == INT64_MAX && c->stall_ms != INT64_MAX) {
        c->stall_mark = unreceived(c);
        c->stall_deadline = loop_now_ms(c->loop) + c->stall_ms;
        arm(c);
    }
}

/* Called when output may have gone: tells the user, or goes on to close. */
static void after_output(struct conn *c)
{
    if (c->dead)
        return;
    watch_stall(c);
    if (conn_queued(c))
        return;
    if (c->finishing) {
        finish_on(c);
    } else if (c->notify) {
        c->notify = false;
        c->ops->drained(c);
    }
}

void conn_flush(struct conn *c)
{
    if (c->dead)
        return;
    send_waiting(c);
    watch_stall(c);
}

static void conn_round(struct task *t)
{
    struct conn *c = CONTAINER_OF(t, struct conn, flush);
    if (c->tls && !c->started) {
        tls_feed(c->tls, STR_NULL);
        tls_step(c);
    }
    if (!c->dead)
        send_waiting(c);
    if (c->lost)
        report_end(c, c->lost);
    after_output(c);
}

size_t conn_wrote(struct conn *c)
{
    must(!c->finishing || c->dead);
    if (c->out.failed)
        lose(c, -ENOBUFS);
    if (c->dead || c->lost) {
        buf_fini(&c->out);
        c->out_at = 0;
        return 0;
    }
    if (waiting(c) >= CONN_STEP)
        send_waiting(c);
    if (waiting(c) && !stream_queued(c->stream))
        loop_defer(c->loop, &c->flush, conn_round);
    watch_stall(c);
    c->notify |= conn_queued(c) > 0;
    return conn_queued(c);
}

/* A part that is worth sending from where it is, after what waits before it. */
static void write_large(struct conn *c, struct str part)
{
    size_t fill = waiting(c) % TLS_RECORD_BYTES_MAX;
    if (fill) { /* whole records, but for the last one */
        struct str first = str_sub(part, 0, TLS_RECORD_BYTES_MAX - fill);
        buf_str(&c->out, first);
        part = str_sub(part, first.n, part.n);
    }
    send_waiting(c);
    /* The tail that fills no record waits for company. */
    size_t whole = part.n - part.n % TLS_RECORD_BYTES_MAX;
    size_t sent = waiting(c) ? 0 : send_bytes(c, str_sub(part, 0, whole));
    if (sent < part.n)
        buf_str(conn_out(c), str_sub(part, sent, part.n));
}

size_t conn_write(struct conn *c, const struct str *parts, size_t n_parts)
{
    for (size_t i = 0; i < n_parts && !c->dead; i++) {
        if (parts[i].n >= CONN_SMALL && open_to_send(c))
            write_large(c, parts[i]);
        else if (parts[i].n)
            buf_str(conn_out(c), parts[i]);
        if (waiting(c) >= CONN_STEP)
            send_waiting(c);
    }
    return conn_wrote(c);
}

/* ---- input ---- */

static void read_failed(struct conn *c, ssize_t error)
{
    if (error == -ERR_CANCELED) {
        report_end(c, 0);
        return;
    }
    c->failure = tls_failure(c->tls);
    if (error == -ERR_BAD_REQUEST) {
        struct str answer = STR("HTTP/1.0 400 Bad Request\r\nconnection: close\r\n\r\n"
                                "Client sent an HTTP request to an HTTPS server.\n");
        (void)!stream_write(c->stream, &answer, 1);
    }
    report_end(c, -EPROTO);
}

static void note_ready(struct conn *c)
{
    if (c->tls_up || !tls_ready(c->tls))
        return;
    c->tls_up = true;
    if (!c->finishing)
        c->ops->ready(c);
}

static void tls_step(struct conn *c)
{
    struct conn_scratch *s = c->scratch;
    c->started = true;
    for (;;) {
        ssize_t n = tls_read(c->tls, &s->cipher, s->plain, sizeof s->plain);
        push_cipher(c);
        note_ready(c);
        if (c->dead)
            return;
        if (n < 0)
            read_failed(c, n);
        if (n <= 0 || c->dead)
            return;
        if (!c->finishing)
            c->ops->read(c, str_n(s->plain, (size_t)n));
        if (c->dead)
            return;
    }
}

static void stream_read(struct stream *s, void *arg, struct str bytes)
{
    struct conn *c = arg;
    if (c->lingering)
        return;
    if (c->tls) {
        tls_feed(c->tls, bytes);
        tls_step(c);
    } else if (!c->finishing) {
        c->ops->read(c, bytes);
    }
    /* Answers that came about at once need not wait for the end of the round. */
    conn_flush(c);
}

static void stream_end(struct stream *s, void *arg, int error)
{
    report_end(arg, error);
}

static void stream_drained(struct stream *s, void *arg)
{
    struct conn *c = arg;
    send_waiting(c);
    c->stall_deadline = INT64_MAX; /* the peer takes bytes: a new measure */
    after_output(c);
}

static const struct stream_ops stream_ops = {stream_read, stream_end, stream_drained};

void conn_init(struct conn *c, struct loop *l, struct stream *stream, struct tls *tls,
               struct conn_scratch *scratch, const struct conn_ops *ops,
               void (*freed)(struct conn *c))
{
    *c = (struct conn){.ops = ops,
                       .freed = freed,
                       .loop = l,
                       .stream = stream,
                       .tls = tls,
                       .scratch = scratch,
                       .deadline = INT64_MAX,
                       .stall_deadline = INT64_MAX,
                       .stall_ms = INT64_MAX};
    buf_init(&c->out, OUT_BYTES_MAX);
    if (tls)
        loop_defer(l, &c->flush, conn_round);
    stream_start(stream, &stream_ops, c);
}

void conn_pause(struct conn *c, bool paused)
{
    if (c->dead)
        return;
    if (paused)
        stream_pause(c->stream);
    else
        stream_resume(c->stream);
}

/* ---- time ---- */

/* True when the peer has taken something since the mark. */
static bool progressed(struct conn *c)
{
    size_t left = unreceived(c);
    bool less = left < c->stall_mark;
    c->stall_mark = left;
    c->stall_deadline = loop_now_ms(c->loop) + c->stall_ms;
    return less;
}

static void timer_fired(struct timer *t)
{
    struct conn *c = CONTAINER_OF(t, struct conn, timer);
    int64_t now = loop_now_ms(c->loop);
    if (c->stall_deadline <= now && !progressed(c)) {
        report_end(c, -ETIMEDOUT);
        return;
    }
    if (c->deadline <= now) {
        c->deadline = INT64_MAX;
        if (c->finishing)
            conn_close(c);
        else
            c->ops->timeout(c);
    }
    arm(c);
}

void conn_deadline(struct conn *c, int64_t at_ms)
{
    c->deadline = at_ms;
    arm(c);
}

void conn_stall_limit(struct conn *c, int64_t ms)
{
    c->stall_ms = ms;
    c->stall_deadline = INT64_MAX;
    if (!c->dead)
        watch_stall(c);
}

/* ---- closing in order ---- */

static void finish_on(struct conn *c)
{
    if (c->lingering)
        return;
    c->lingering = true;
    if (c->tls) {
        tls_close_notify(c->tls, &c->scratch->cipher);
        push_cipher(c);
    }
    if (c->ended) { /* the peer has nothing more to say, so nothing can be lost */
        conn_close(c);
        return;
    }
    stream_shutdown(c->stream);
    /* Closing while the peer still sends would reset the connection and might cost it our last
     * bytes: read on and drop, for a moment. */
    stream_resume(c->stream);
    conn_deadline(c, loop_now_ms(c->loop) + CONN_LINGER_MS);
}

void conn_finish(struct conn *c)
{
    if (c->dead || c->finishing)
        return;
    c->finishing = true;
    c->deadline = INT64_MAX;
    c->stall_ms = MIN(c->stall_ms, (int64_t)CONN_FINISH_STALL_MS);
    send_waiting(c);
    after_output(c);
}
