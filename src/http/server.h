/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h: the server's connections and exchanges. Private to src/http.
 *
 *   server.c    accepting, choosing the protocol, limits, closing
 *   exchange.c  the exchange and the response calls of http.h
 *   serve1.c    HTTP/1.1 on a connection
 *   serve2.c    HTTP/2 on a connection
 *   raw.c       the byte stream after an upgrade
 *
 * An exchange belongs to its connection until the client goes away; then to its handler, when that
 * has no abort callback: everything it does leads nowhere, and its last call frees it.
 */
#ifndef BARQUE_HTTP_SERVER_H
#define BARQUE_HTTP_SERVER_H

#include "http/conn.h"
#include "http/http1.h"
#include "http/http2.h"
#include "http/raw.h"

enum {
    EXCHANGES_SPARE_MAX = 32,        /* freed ones kept for reuse, each with a few KiB */
    EXCHANGE_SPARE_BYTES = 8 * 1024, /* one that holds more gives its memory back */
    PIPELINE_BYTES_MAX = 64 * 1024,  /* read ahead while a request is being handled */
};

struct server_conn;

/* What the two protocols do differently for a response. The exchange is in the state that the call
 * of http.h requires; respond, end and reset leave it to the protocol, which frees it. */
struct wire {
    void (*respond)(struct http_exchange *x, int status, const struct http_headers *headers,
                    struct str body);
    void (*start)(struct http_exchange *x, int status, const struct http_headers *headers);
    size_t (*write)(struct http_exchange *x, const struct str *parts, size_t n_parts);
    void (*end)(struct http_exchange *x);
    void (*reset)(struct http_exchange *x);
};

enum exchange_state {
    EXCHANGE_RECEIVING, /* the request is not complete */
    EXCHANGE_HANDLING,  /* with the handler */
    EXCHANGE_STREAMING, /* with the handler, after http_respond_start */
    EXCHANGE_DONE,      /* the handler has made its last call */
};

struct http_exchange {
    struct http_request request;
    struct arena arena;
    struct http_server *server;
    struct server_conn *conn; /* NULL: the client has gone */
    struct list link;         /* in server_conn.exchanges, or in http_server.spare */
    enum exchange_state state;
    bool head; /* a HEAD request: no body bytes go out */
    bool may_stall;
    void (*abort)(void *arg, struct http_exchange *x);
    void *abort_arg;
    void (*drained)(void *arg, struct http_exchange *x);
    void *drained_arg;
    struct tls_identity *identity; /* reference */
    int64_t since;                 /* the request began, or output last moved */
    size_t stall_mark;             /* HTTP/2: bytes queued then */
    union {
        struct {
            bool persist;      /* the connection outlives the exchange */
            bool keep_alive_1; /* HTTP/1.0 has to be told */
            bool chunked;
            bool sized; /* content-length was sent: `left` bytes to come */
            uint64_t left;
            struct buf body;
            struct http1_body decoder;
        } one;
        struct http2_stream two;
    };
};

enum protocol { PROTOCOL_UNKNOWN, PROTOCOL_1, PROTOCOL_2, PROTOCOL_RAW };

struct server_conn {
    struct conn t;
    struct http_server *server;
    struct list link; /* in http_server.conns */
    const struct wire *wire;
    enum protocol protocol;
    bool eof;              /* the client has ended its side */
    struct list exchanges; /* those of the protocol; HTTP/1: at most one */
    struct task wake;
    struct tls_identity *identity;
    const char *refused_identity; /* why a client certificate was not accepted, or NULL */
    struct {
        struct buf in; /* bytes not yet used: a head that is incomplete, pipelined requests */
        struct http1_scan scan;
        bool processing;
        bool paused;
    } one;
    struct http2 *two;
    int64_t two_deadline;
};

static inline struct server_conn *server_conn(struct conn *c)
{
    return CONTAINER_OF(c, struct server_conn, t);
}

struct http_server {
    struct loop *loop;
    struct listener *listener; /* NULL once closing */
    struct tls_context *tls;
    struct http_limits limits;
    const struct http_handler *handler;
    void *arg;
    struct conn_scratch *scratch;
    struct list conns;
    uint32_t conn_count;
    uint32_t refs; /* connections, exchanges, and one until it is closed */
    size_t bodies; /* bytes of request bodies held */
    struct list spare;
    uint32_t spare_count;
    bool closing;
    struct timer grace;
    struct task closed;
    void (*done)(void *arg);
    void *done_arg;
    char address[128];
    char date[32]; /* the Date field's value, of date_at */
    int64_t date_at_ms;
};

/* "Sun, 06 Nov 1994 08:49:37 GMT"; made once a second. */
struct str server_date(struct http_server *s);
void server_unref(struct http_server *s);
/* Serves a connection that came by other ways than the listener; owns the stream from here on. */
void server_accept(struct http_server *s, struct stream *stream);

/* ---- exchange.c ---- */

struct http_exchange *exchange_new(struct server_conn *c);
void exchange_free(struct http_exchange *x);
/* Hands the request out. The exchange may be gone when this returns. */
void exchange_dispatch(struct http_exchange *x);
/* The client has gone: the exchange leaves its connection. */
void exchange_abandon(struct http_exchange *x);
void exchange_abandon_all(struct server_conn *c);
/* A short text that names the status. */
struct str exchange_refusal(struct arena *a, int status);
/* No body bytes follow the head of such a response. */
static inline bool bodiless_status(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* ---- serve1.c, serve2.c ---- */

/* Takes the connection; `first`: what was read already. */
void serve1_start(struct server_conn *c, struct str first);
void serve2_start(struct server_conn *c, struct str first);
/* The server closes: end when what is under way has ended. */
void serve1_close(struct server_conn *c);
void serve2_close(struct server_conn *c);
/* An abort callback was set when the client had ended its side already. */
void serve1_recheck(struct server_conn *c);
/* Writes the head that switches protocols and forgets the exchange; the connection is the caller's
 * from then on: it replaces ops before it returns to the loop. *ret_rest: what was read beyond the
 * request, unless it is still being looked at; then it comes by ops->read. */
void serve1_switch(struct http_exchange *x, int status, const struct http_headers *headers,
                   struct buf *ret_rest);

#endif
