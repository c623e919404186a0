/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel.h: bytes to and from a descriptor of any kind (pipe, terminal, socket of packets) with
 * a queue on the way out. For what loop.h's streams do not cover: one-way pipes, terminals, and
 * sockets where a read is a packet.
 */
#ifndef BARQUE_ENGINE_CHANNEL_H
#define BARQUE_ENGINE_CHANNEL_H

#include "base/buf.h"
#include "loop/loop.h"

enum { CHANNEL_QUEUE_MAX = 64 << 20 };

struct channel;

struct channel_ops {
    /* One read's worth, valid during the call. The channel may be closed in it. */
    void (*read)(struct channel *ch, struct str bytes);
    /* Nothing comes any more; error is 0 or a negative errno. At most once. */
    void (*end)(struct channel *ch, int error);
    /* The queue has become empty. */
    void (*drained)(struct channel *ch);
};

struct channel {
    const struct channel_ops *ops;
    struct loop *loop;
    struct fd_watch watch;
    int fd; /* -1: closed, or never opened */
    struct buf queue;
    size_t write_max;        /* bytes in one write(2); 0: any */
    bool readable, writable; /* what the descriptor is for */
    bool paused, ended;
    bool input_ended; /* no more will be queued: then the sending side is closed */
    bool watching, watch_read, watch_write; /* private */
};

/* A channel that is closed. */
void channel_init(struct channel *ch);
/* Takes the descriptor, which becomes non-blocking, and begins to read when readable. */
void channel_open(struct channel *ch, struct loop *l, int fd, bool readable, bool writable,
                  const struct channel_ops *ops);
/* Queues; returns the bytes queued afterwards. What is written to a closed channel is lost. */
size_t channel_write(struct channel *ch, struct str bytes);
/* After the queue has gone: a one-way channel is closed, a socket's sending side shut down. */
void channel_end_input(struct channel *ch);
void channel_pause(struct channel *ch, bool paused);
/* Reads what is there now. True when the end was reached. */
bool channel_drain(struct channel *ch);
/* No callback any more; fine when closed. */
void channel_close(struct channel *ch);

#endif
