/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.h: one connection, plain or TLS, of a server or a client: plaintext in, plaintext out.
 * Private to src/http.
 *
 * What it does for its user:
 *   - small writes of one loop round leave together, in one TLS record; large ones are encrypted
 *     straight from the caller's memory,
 *   - what the peer does not take is kept once, as plaintext, and sent on as it takes more; only
 *     about CONN_STEP bytes of ciphertext wait at a time,
 *   - one timer carries the user's deadline and the detection of a peer that reads nothing.
 *
 * Ownership. `struct conn` is the first member of its user's struct. conn_close ends it at once
 * and calls `freed` from a clean stack in a later round, where the user frees the memory; until
 * then the struct may still be looked at, and every function here does nothing on it. So after
 * any callback into the user's user: look at `dead`.
 *
 * Callbacks come from the loop only, never from inside a call of the user.
 *
 * Taking over. An upgrade replaces `ops` (and `arg`) in a callback; from then on the new owner
 * gets the bytes.
 */
#ifndef BARQUE_HTTP_CONN_H
#define BARQUE_HTTP_CONN_H

#include "http/tls.h"

enum {
    CONN_STEP = 64 * 1024,        /* plaintext encrypted and handed to the kernel at a time */
    CONN_SMALL = 32 * 1024,       /* parts below are gathered, larger ones are sent in place */
    CONN_LINGER_MS = 1000,        /* after our last byte, for the peer to read it */
    CONN_FINISH_STALL_MS = 30000, /* a peer that takes nothing keeps no closing connection */
    CONN_SPARE_MAX = 64 * 1024,   /* scratch memory that is kept between uses */
};

struct conn;

/* Scratch memory shared by the connections of one server or client (of one loop). */
struct conn_scratch {
    struct buf cipher; /* ciphertext on its way to a stream; empty whenever a callback runs */
    struct buf spare;  /* lent to the connection that has output waiting */
    char plain[TLS_RECORD_BYTES_MAX];
};
struct conn_scratch *conn_scratch_new(void);
void conn_scratch_free(struct conn_scratch *s);

struct conn_ops {
    /* TLS is agreed. Not called on a plain connection. */
    void (*ready)(struct conn *c);
    /* Plaintext arrived; valid during the call. */
    void (*read)(struct conn *c, struct str bytes);
    /* The peer ended its side (error 0; output still works) or the connection broke (negative
     * errno; -EPROTO: TLS, see c->failure; -ETIMEDOUT: it read nothing for the stall time). Each at
     * most once. After an error the user still calls conn_close. */
    void (*end)(struct conn *c, int error);
    /* All output has gone to the kernel; called after conn_write returned > 0. */
    void (*drained)(struct conn *c);
    /* The deadline set by conn_deadline has passed. */
    void (*timeout)(struct conn *c);
};

struct conn {
    const struct conn_ops *ops;
    void *arg;                     /* for whoever took over */
    void (*freed)(struct conn *c); /* frees the memory */
    struct loop *loop;
    struct stream *stream;
    struct tls *tls; /* NULL: plain */
    struct conn_scratch *scratch;
    const char *failure; /* why TLS failed */
    bool dead;           /* conn_close was called */
    /* private from here */
    bool tls_up;
    bool started;   /* the TLS handshake was begun */
    bool ended;     /* the peer ended its side */
    bool broken;    /* ops->end was called with an error */
    int lost;       /* a write failed: to be reported from a clean stack */
    bool finishing; /* conn_finish: flush, linger, close */
    bool lingering; /* all is sent and our side is shut */
    bool notify;    /* the user waits for `drained` */
    struct buf out; /* plaintext waiting; [out_at, out.n) is left */
    size_t out_at;
    struct task flush; /* also the task that ends a dead connection */
    struct timer timer;
    int64_t timer_at;       /* what the timer is set to, when active */
    int64_t deadline;       /* the user's, in loop_now_ms; INT64_MAX: none */
    int64_t stall_deadline; /* INT64_MAX: nothing waits */
    int64_t stall_ms;
    size_t stall_mark; /* bytes that waited anywhere when stall_deadline was set */
};

/* stream: accepted or connected, not started; owned from here on, also on failure. tls: NULL for
 * plain; owned. ops may be called as soon as the next round. */
void conn_init(struct conn *c, struct loop *l, struct stream *stream, struct tls *tls,
               struct conn_scratch *scratch, const struct conn_ops *ops,
               void (*freed)(struct conn *c));

/* Sends now or soon; copies what it cannot send. Returns conn_queued, or 0 when the connection is
 * dead or broken (`end` tells). Before TLS is agreed, everything waits. Not after conn_finish. */
size_t conn_write(struct conn *c, const struct str *parts, size_t n_parts);
/* The same by writing into the output buffer: append, then call conn_wrote. */
struct buf *conn_out(struct conn *c);
size_t conn_wrote(struct conn *c);
/* Plaintext waiting here plus bytes waiting in the stream. */
size_t conn_queued(const struct conn *c);
/* The kernel takes no more at present: better not to produce. */
bool conn_blocked(const struct conn *c);
/* Sends what waits, without waiting for the end of the round. */
void conn_flush(struct conn *c);

void conn_pause(struct conn *c, bool paused);
/* Replaces the deadline; at_ms in loop_now_ms, INT64_MAX for none. */
void conn_deadline(struct conn *c, int64_t at_ms);
/* Cuts the peer when it has taken nothing for so long while something waits; INT64_MAX: never. */
void conn_stall_limit(struct conn *c, int64_t ms);

/* Sends what waits, ends our side, gives the peer a moment to read it, closes. No callback but
 * `freed` comes any more. */
void conn_finish(struct conn *c);
/* Closes at once; no callback but `freed` comes any more. */
void conn_close(struct conn *c);

#endif
