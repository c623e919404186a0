/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http2.h: the server side of one HTTP/2 connection (RFC 9113) without I/O, on nghttp2: bytes in,
 * requests out; responses in, bytes out. Private to src/http.
 *
 * nghttp2 keeps the frame and header-compression rules, flow control and the limits on floods of
 * resets, CONTINUATION and SETTINGS frames. On top of it this adds: bounds on header and body
 * bytes, on what a connection holds for its requests and responses together, on the rate of
 * frames that carry nothing; and response bytes that are not copied while the peer takes them.
 *
 * Flow control is the handler's back-pressure: what the peer's window does not take stays queued
 * on the stream, and http2_write tells how much that is.
 *
 * Callbacks come from http2_feed and http2_dispatch only. They may call everything here but these
 * two and http2_free.
 */
#ifndef BARQUE_HTTP_HTTP2_H
#define BARQUE_HTTP_HTTP2_H

#include "base/list.h"
#include "http/headers.h"

enum {
    HTTP2_STREAM_WINDOW = 256 * 1024,
    HTTP2_CONNECTION_WINDOW = 1024 * 1024,
    HTTP2_BODIES_MIN = 16 * 1024 * 1024, /* request bodies held by a connection: this, or four
                                            times body_bytes_max where that is more */
    HTTP2_PENDING_MAX = 8 * 1024 * 1024, /* response bytes queued, before new requests wait */
    HTTP2_IDLE_FRAMES_BURST = 10000,     /* frames that carry nothing: PING, SETTINGS, ... */
    HTTP2_IDLE_FRAMES_PER_S = 2000,
};

struct http2;

/* One request and its response; embedded in its user, which calls http2_stream_fini at last. */
struct http2_stream {
    struct arena *arena;          /* set by ops->open */
    struct http_request *request; /* set by ops->open; complete when ops->request is called */
    int refused;                  /* not 0: answer with this status instead of handling */
    /* private from here */
    int32_t id;
    struct http2 *session;
    bool complete;  /* the peer has sent its END_STREAM */
    bool delivered; /* ops->request was called */
    bool responded; /* the response's head was submitted */
    bool fin;       /* nothing more will be written */
    bool closed;    /* nghttp2 has forgotten the stream */
    bool in_order;  /* closed without error */
    bool notify;    /* ops->drained is due */
    size_t header_bytes;
    size_t *bodies; /* http2_new's */
    struct buf body;
    struct buf out; /* [out_at, out.n) is left */
    size_t out_at;
    const struct str *parts; /* borrowed during http2_write */
    size_t n_parts, part_at;
    struct list ready; /* waits for ops->request */
    struct list event; /* waits for ops->drained or ops->closed */
};

struct http2_ops {
    /* A request begins: its stream (zeroed but for arena and request), or NULL to refuse it. */
    struct http2_stream *(*open)(void *arg);
    /* The whole request has come, or was refused. */
    void (*request)(void *arg, struct http2_stream *s);
    /* Everything queued on the stream has been written. */
    void (*drained)(void *arg, struct http2_stream *s);
    /* The stream is over and no longer referred to. in_order: the response was sent in full. */
    void (*closed)(void *arg, struct http2_stream *s, bool in_order);
    /* http2_dispatch has something to do: call it from a clean stack. */
    void (*wake)(void *arg);
    /* Output; parts are valid during the call. */
    void (*write)(void *arg, const struct str *parts, size_t n_parts);
    /* Better not to produce more output now; call http2_pump when that changes. */
    bool (*blocked)(void *arg);
};

/* limits and ops must outlive the session. bodies: bytes of request bodies that all connections of
 * the server hold together, kept up to date here and bounded by limits->bodies_bytes_max. Queues
 * our SETTINGS; call http2_pump. */
struct http2 *http2_new(const struct http_limits *limits, size_t *bodies,
                        const struct http2_ops *ops, void *arg);
/* Calls nothing back; streams still open are the user's to free. */
void http2_free(struct http2 *h);
/* Forgets all streams; from now on nothing is called back and nothing is written. */
void http2_abandon(struct http2 *h);

/* Bytes from the peer, then output and callbacks. now_ms: monotonic. -ERR_BAD_REQUEST: the peer
 * broke the protocol or a bound; what it is to be told (GOAWAY) is written: close in order. */
int http2_feed(struct http2 *h, struct str bytes, int64_t now_ms) MUST_USE;
/* Writes what can be written. */
void http2_pump(struct http2 *h);
/* Calls back what is due. */
void http2_dispatch(struct http2 *h);

size_t http2_open_streams(const struct http2 *h);
/* The peer has finished sending this request. */
static inline bool http2_complete(const struct http2_stream *s)
{
    return s->complete;
}
/* Response bytes queued on the stream. */
static inline size_t http2_queued(const struct http2_stream *s)
{
    return s->out.n - s->out_at;
}

/* The head of the response; bodiless: it ends the stream. */
void http2_respond(struct http2_stream *s, int status, const struct http_header *fields, size_t n,
                   bool bodiless);
/* Body bytes; fin: the last ones. Copies what cannot be written now; returns http2_queued. */
size_t http2_write(struct http2_stream *s, const struct str *parts, size_t n_parts, bool fin);
/* Resets the stream. code: an HTTP/2 error code, 0 none, 2 internal, 8 cancel, 11 calm down. */
void http2_reset(struct http2_stream *s, uint32_t code);
/* Frees what the stream holds, its request's body included: after ops->closed or http2_abandon, and
 * even after http2_free. */
void http2_stream_fini(struct http2_stream *s);
/* Says that no new requests are taken; those under way go on. */
void http2_goaway(struct http2 *h);

#endif
