/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spdy.h: SPDY/3.1 framing without I/O, both roles: bytes in, events and bytes out.
 *
 * What it is for: kubectl up to 1.30, crictl and every kubelet carry exec, attach and
 * port-forward in SPDY streams after an HTTP/1.1 upgrade; kubectl 1.31 and later tunnels the same
 * through WebSocket for port-forward. All of these are built on moby/spdystream, which departs
 * from the draft in two ways that this code has to live with:
 *
 *   - it has no flow control: it neither sends nor heeds WINDOW_UPDATE and SETTINGS. So windows
 *     bind us only towards a peer that has shown that it keeps them (it sent SETTINGS, which our
 *     own role sends first of all, or a WINDOW_UPDATE). Towards others the transport's
 *     back-pressure is all there is.
 *   - it drops data that comes before its SYN_REPLY, so writes are held back until the reply;
 *     and it may write after its FIN, which is ignored.
 *
 * Feed what the transport read to spdy_feed; send what has gathered in `out` and empty it. Data is
 * handed on as it arrives and never held; what a window holds back is kept on the stream, and
 * spdy_write tells how much that is.
 *
 * Bounds: control frames SPDY_CONTROL_MAX (longer ones end the connection), header blocks as in
 * spdy_block.h, SPDY_STREAMS_MAX streams at a time (further ones are refused), SPDY_OUT_MAX bytes
 * in out.
 *
 * Callbacks may call any function here on the same connection but spdy_fini and spdy_feed.
 */
#ifndef BARQUE_HTTP_SPDY_H
#define BARQUE_HTTP_SPDY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "http/http.h"
#include "http/spdy_block.h"

enum spdy_role { SPDY_SERVER, SPDY_CLIENT };

/* RST_STREAM status codes. */
enum spdy_status {
    SPDY_OK = 0, /* never on the wire */
    SPDY_PROTOCOL_ERROR = 1,
    SPDY_INVALID_STREAM = 2,
    SPDY_REFUSED_STREAM = 3,
    SPDY_UNSUPPORTED_VERSION = 4,
    SPDY_CANCEL = 5,
    SPDY_INTERNAL_ERROR = 6,
    SPDY_FLOW_CONTROL_ERROR = 7,
    SPDY_STREAM_IN_USE = 8,
    SPDY_STREAM_ALREADY_CLOSED = 9,
};

enum {
    SPDY_WINDOW = 64 << 10,      /* initial window of a stream and of the session, bytes */
    SPDY_DATA_MAX = 32 << 10,    /* payload of the DATA frames that we send, bytes */
    SPDY_CONTROL_MAX = 64 << 10, /* payload of a control frame, bytes */
    SPDY_STREAMS_MAX = 1024,     /* open at a time, of both sides together */
    SPDY_OUT_MAX = 64 << 20,     /* bytes that may wait in out */
};

/* Valid from spdy_open or ops.open until ops.gone returns. */
struct spdy_stream {
    uint32_t id;      /* read only */
    void *user;       /* for the user */
    bool local_done;  /* read only: FIN was asked for; nothing more can be written */
    bool remote_done; /* read only: the peer's FIN came */
    /* private from here */
    bool fin_sent;
    bool replied;                  /* SYN_REPLY was sent or came, so data may follow */
    int64_t send_window, received; /* received: bytes not yet given back by WINDOW_UPDATE */
    struct buf pending;            /* held back by a window or for the reply */
    struct list link;              /* in the connection's list, in order of creation */
};

struct spdy_ops {
    /* The peer opened a stream (headers are valid during the call). 0 accepts it, anything else
     * refuses it, and then `gone` is not called. What is written inside goes out after the
     * reply. */
    int (*open)(void *arg, struct spdy_stream *s, const struct http_headers *headers);
    /* The peer accepted our stream. May be NULL. */
    void (*reply)(void *arg, struct spdy_stream *s, const struct http_headers *headers);
    void (*data)(void *arg, struct spdy_stream *s, struct str bytes);
    /* The peer sends no more on this stream. */
    void (*fin)(void *arg, struct spdy_stream *s);
    /* The stream ends: SPDY_OK when both sides had finished, else the status of the reset, the
     * peer's or our own. For every accepted or opened stream once, also in spdy_fini
     * (SPDY_CANCEL). */
    void (*gone)(void *arg, struct spdy_stream *s, enum spdy_status status);
    /* All that was held back has gone to out. May be NULL. */
    void (*drained)(void *arg, struct spdy_stream *s);
    /* May be NULL. */
    void (*goaway)(void *arg, uint32_t last_stream, uint32_t status);
    /* The answer to spdy_ping. May be NULL. */
    void (*pong)(void *arg, uint32_t id);
};

struct spdy {
    struct buf out;        /* to be sent by the user; failed when SPDY_OUT_MAX was exceeded */
    uint32_t stream_count; /* read only */
    bool goaway_sent;      /* read only: streams that the peer opens are ignored */
    bool goaway_received;  /* read only: no stream can be opened */
    /* private from here */
    enum spdy_role role;
    const struct spdy_ops *ops;
    void *arg;
    int error;             /* sticky result of spdy_feed */
    bool peer_windows;     /* the peer has shown that it keeps windows */
    int64_t send_window;   /* of the session */
    int64_t stream_window; /* initial one of the peer's streams */
    int64_t received;      /* session bytes not yet given back */
    uint32_t next_id, last_id, next_ping;
    struct map by_id;
    struct list streams;
    struct spdy_block deflate, inflate;
    struct arena arena;    /* headers during a callback */
    unsigned char head[8]; /* of the frame being read */
    uint8_t head_n;
    uint32_t left;      /* payload bytes to come */
    struct buf control; /* payload of the control frame being read */
};

/* Queues SETTINGS. ops must outlive the connection. */
void spdy_init(struct spdy *c, enum spdy_role role, const struct spdy_ops *ops, void *arg);
/* Ends every stream; sends nothing. */
void spdy_fini(struct spdy *c);

/* Bytes from the peer. Fails with -ERR_BAD_REQUEST or -ERR_LIMIT when the peer broke the protocol
 * or a bound; GOAWAY is then in out: send it and close the transport. */
int spdy_feed(struct spdy *c, struct str bytes) MUST_USE;

/* Opens a stream; header names in lower case. NULL when the peer goes away, or SPDY_STREAMS_MAX
 * is reached, or the headers are too big. */
struct spdy_stream *spdy_open(struct spdy *c, const struct http_headers *headers, void *user);
/* Returns the bytes held back after the call. Nothing is taken after spdy_fin. */
size_t spdy_write(struct spdy *c, struct spdy_stream *s, struct str bytes);
/* Bytes held back at present. */
static inline size_t spdy_held(const struct spdy_stream *s)
{
    return s->pending.n;
}
/* Half close, after what was written. The stream may be gone when this returns. */
void spdy_fin(struct spdy *c, struct spdy_stream *s);
/* Ends both directions at once; the stream is gone when this returns. */
void spdy_reset(struct spdy *c, struct spdy_stream *s, enum spdy_status status);
/* Says that no new streams are taken. status: 0 ok, 1 protocol error, 2 internal error. */
void spdy_goaway(struct spdy *c, uint32_t status);
uint32_t spdy_ping(struct spdy *c); /* returns the ping's id */

#endif
