/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

enum { READ_CHUNK = 32 << 10, READS_IN_A_ROW = 8 };

static void ready(struct fd_watch *w, bool readable, bool writable);

static void update_watch(struct channel *ch)
{
    bool want_read = ch->fd >= 0 && ch->readable && !ch->paused && !ch->ended;
    bool want_write = ch->fd >= 0 && ch->queue.n > 0;
    if (!want_read && !want_write) {
        if (ch->watching)
            fd_watch_stop(&ch->watch);
        ch->watching = false;
        return;
    }
    if (ch->watching && want_read == ch->watch_read && want_write == ch->watch_write)
        return;
    ch->watching = true;
    ch->watch_read = want_read;
    ch->watch_write = want_write;
    fd_watch_start(ch->loop, &ch->watch, ch->fd, want_read, want_write, ready);
}

void channel_init(struct channel *ch)
{
    *ch = (struct channel){.fd = -1};
}

void channel_open(struct channel *ch, struct loop *l, int fd, bool readable, bool writable,
                  const struct channel_ops *ops)
{
    *ch = (struct channel){.ops = ops,
                           .loop = l,
                           .fd = fd,
                           .readable = readable,
                           .writable = writable,
                           .paused = ch->paused,
                           .queue = BUF_INIT(CHANNEL_QUEUE_MAX)};
    int flags = fcntl(fd, F_GETFL);
    must(flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
    update_watch(ch);
}

void channel_close(struct channel *ch)
{
    if (ch->watching)
        fd_watch_stop(&ch->watch);
    ch->watching = false;
    close_fd(&ch->fd);
    buf_fini(&ch->queue);
}

/* ---- out ---- */

static void end_input_now(struct channel *ch)
{
    if (ch->readable)
        shutdown(ch->fd, SHUT_WR); /* a terminal has no such thing, and says so */
    else
        channel_close(ch);
}

/* The other side does not take any more: what is queued is lost, reading goes on. */
static void broken(struct channel *ch)
{
    buf_clear(&ch->queue);
    ch->writable = false;
    if (!ch->readable)
        channel_close(ch);
}

static void send_queue(struct channel *ch)
{
    while (ch->fd >= 0 && ch->queue.n) {
        size_t n = ch->write_max ? MIN(ch->queue.n, ch->write_max) : ch->queue.n;
        ssize_t done = write(ch->fd, ch->queue.p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno == EAGAIN)
            return;
        if (done < 0) {
            broken(ch);
            return;
        }
        buf_consume(&ch->queue, (size_t)done);
    }
    if (ch->fd >= 0 && ch->input_ended)
        end_input_now(ch);
}

size_t channel_write(struct channel *ch, struct str bytes)
{
    if (ch->fd < 0 || !ch->writable || ch->input_ended)
        return 0;
    buf_add(&ch->queue, bytes.p, bytes.n);
    if (ch->queue.failed)
        broken(ch);
    send_queue(ch);
    update_watch(ch);
    return ch->fd >= 0 ? ch->queue.n : 0;
}

void channel_end_input(struct channel *ch)
{
    if (ch->fd < 0 || ch->input_ended)
        return;
    ch->input_ended = true;
    send_queue(ch);
    update_watch(ch);
}

/* ---- in ---- */

/* 1: something was read; 0: nothing there; -1: the end was reported. */
static int read_once(struct channel *ch)
{
    char chunk[READ_CHUNK];
    ssize_t n = read(ch->fd, chunk, sizeof chunk);
    if (n > 0) {
        ch->ops->read(ch, str_n(chunk, (size_t)n));
        return 1;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    /* a terminal whose last user is gone gives EIO */
    int error = n < 0 && errno != EIO ? -errno : 0;
    ch->ended = true;
    update_watch(ch);
    ch->ops->end(ch, error);
    return -1;
}

static void read_some(struct channel *ch)
{
    for (int i = 0; i < READS_IN_A_ROW && ch->fd >= 0 && !ch->paused && !ch->ended; i++)
        if (read_once(ch) <= 0)
            return;
}

bool channel_drain(struct channel *ch)
{
    while (ch->fd >= 0 && ch->readable && !ch->paused && !ch->ended)
        if (read_once(ch) <= 0)
            break;
    return ch->fd < 0 || ch->ended;
}

void channel_pause(struct channel *ch, bool paused)
{
    ch->paused = paused;
    if (ch->fd >= 0)
        update_watch(ch);
}

static void ready(struct fd_watch *w, bool readable, bool writable)
{
    struct channel *ch = CONTAINER_OF(w, struct channel, watch);
    if (writable && ch->queue.n) {
        send_queue(ch);
        update_watch(ch);
        if (ch->fd >= 0 && !ch->queue.n && ch->ops->drained)
            ch->ops->drained(ch);
    }
    if (readable && ch->fd >= 0)
        read_some(ch);
}
