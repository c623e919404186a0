/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h: the client's calls and connections. Private to src/http.
 *
 *   client.c       calls: the functions of http.h, callbacks, retries
 *   client_pool.c  connections: dialling, TLS, which of them carries which call
 *   client1.c      HTTP/1.1 on a connection: one call at a time, or an upgrade
 *   client2.c      HTTP/2 on a connection: many calls
 *
 * A call waits in the pool until a connection takes it; from then on it belongs to the connection
 * until call_done. Which protocol the origin speaks is known from the first connection on.
 */
#ifndef BARQUE_HTTP_CLIENT_H
#define BARQUE_HTTP_CLIENT_H

#include "http/conn.h"
#include "http/http1.h"

enum {
    CLIENT_CONNECTIONS_DEFAULT = 8,
    CLIENT_CONNECT_MS_DEFAULT = 10000,
    CLIENT_IDLE_MS = 90000, /* an unused connection is kept so long, as Go's client does */
    CLIENT_HEADER_BYTES_MAX = 256 * 1024, /* of a response's head */
    CLIENT_HEADERS_MAX = 1000,
    CLIENT_PING_AFTER_MS = 30000,   /* HTTP/2 with calls under way and nothing heard: ask */
    CLIENT_PING_WAIT_MS = 15000,    /* and wait for the answer; both as client-go does */
    CLIENT_STREAM_WINDOW = 1 << 20, /* HTTP/2, bytes; what a paused call may hold */
    CLIENT_CONNECTION_WINDOW = 1 << 30,
};

struct client_conn;

struct http_call {
    struct http_client *client;
    struct list link;         /* in the client's waiting, or the connection's calls */
    struct client_conn *conn; /* NULL: waiting or dialling */
    struct arena arena;
    struct str method, target, body;
    struct http_headers headers;
    const struct http_call_ops *ops;
    void *arg;
    struct timer timer; /* the whole call */
    bool head_request, upgrade;
    bool answered; /* the head of the response came */
    bool paused;
    bool in_callback, gone; /* cancelled inside one of its callbacks */
    uint8_t tries;
    /* an upgrade */
    void (*upgraded)(void *arg, int status, const struct http_headers *headers,
                     struct http_raw *raw);
    const struct http_raw_ops *raw_ops;
    struct client_dial *dial; /* its own */
    /* HTTP/2 */
    int32_t stream;
    size_t body_sent;
    int status;
    struct http_headers reply;
    size_t reply_bytes;
    struct buf held;     /* arrived while paused */
    bool ended;          /* the response is complete, `held` is not delivered yet */
    struct task deliver; /* after a pause */
};

enum client_protocol { CLIENT_UNKNOWN, CLIENT_HTTP1, CLIENT_HTTP2 };

struct client_conn {
    struct conn t;
    struct http_client *client;
    struct list link; /* in the client's conns */
    enum client_protocol protocol;
    struct list calls;         /* struct http_call.link; HTTP/1: at most one */
    bool closing;              /* takes no further call */
    bool used;                 /* has completed a call: it may be stale */
    bool upgrade_only;         /* dialled for one call */
    struct http_call *upgrade; /* that call, until the connection is up */
    struct {
        struct buf in; /* an incomplete head, or what came after a pause */
        struct http1_scan scan;
        struct http1_body body;
        struct http1_framing framing;
        bool in_body;
        bool eof; /* came during a pause */
    } one;
    struct {
        struct nghttp2_session *session;
        uint32_t open, open_max; /* streams */
        int64_t heard_ms;        /* when something came */
        bool pinged;
        bool feeding; /* inside nghttp2, which must not be called to send */
    } two;
};

struct client_dial {
    struct http_client *client; /* NULL: nobody waits any more */
    struct list link;           /* in the client's dials */
    struct http_call *upgrade;  /* dialled for this call; NULL also when that was cancelled */
    bool upgrade_only;
    struct task start;
    struct resolve resolve;
    struct connect connect;
    bool resolving, connecting;
    size_t next_address; /* of resolve.addresses */
    int64_t deadline_ms;
    int error; /* errno of the last try */
};

struct http_client {
    struct loop *loop;
    struct arena names;
    struct str address;     /* empty: server_name is resolved */
    struct str host;        /* as the Host field has it */
    struct str server_name; /* without port and brackets */
    uint16_t port;
    struct tls_context *tls;
    uint32_t connections_max;
    int64_t connect_timeout_ms;
    enum client_protocol protocol;
    struct conn_scratch *scratch;
    struct list conns, dials;
    struct list waiting;             /* calls for a connection */
    struct list ripe;                /* calls whose response is complete and held */
    uint32_t conn_count, dial_count; /* without those of upgrades */
    uint32_t refs;                   /* connections, and one until it is freed */
    bool closed;
};

static inline struct client_conn *client_conn(struct conn *c)
{
    return CONTAINER_OF(c, struct client_conn, t);
}

/* ---- client.c ---- */

/* Callbacks of a call. The call may be gone after each (then false), and its client as well. */
bool call_head(struct http_call *x, int status, const struct http_headers *headers) MUST_USE;
bool call_data(struct http_call *x, struct str bytes) MUST_USE;
/* Tells the user and frees the call, which has left its connection. e: NULL when complete. */
void call_done(struct http_call *x, const struct err *e);
void call_failed(struct http_call *x, enum err_code code, const char *fmt, ...) PRINTF(3, 4);
/* The call has left a connection that broke: another try where that is safe, else a failure.
 * unseen: the server is known not to have looked at the request. */
void call_broken(struct http_call *x, bool unseen, const char *why);
/* Off the connection's list; the connection goes on. */
void call_leave(struct http_call *x);
/* Frees without telling. */
void call_free(struct http_call *x);
/* The same when the client goes, also inside one of the call's callbacks. */
void call_drop(struct http_call *x);

/* ---- client_pool.c ---- */

void client_unref(struct http_client *c);
/* Gives waiting calls to connections; dials where that is needed. Calls nothing back. */
void client_next(struct http_client *c);
/* Dials for an upgrade. */
void client_dial_upgrade(struct http_client *c, struct http_call *x);
/* Takes the connection out of the pool's books; it goes on. */
void client_conn_forget(struct client_conn *c);
/* The same and closes it. Its calls must have left, or leave before the next round. */
void client_conn_close(struct client_conn *c);
/* Nothing is under way: ready for the next call, closed after a while. */
void client_conn_idle(struct client_conn *c);

/* ---- client1.c, client2.c ---- */

extern const struct conn_ops client1_ops, client2_ops;
void client1_start(struct client_conn *c, struct http_call *x);
void client1_cancel(struct client_conn *c, struct http_call *x);
void client1_resume(struct client_conn *c); /* after a pause */

void client2_init(struct client_conn *c);
void client2_fini(struct client_conn *c);
bool client2_has_room(const struct client_conn *c);
void client2_start(struct client_conn *c, struct http_call *x);
void client2_cancel(struct client_conn *c, struct http_call *x);
/* The user took n bytes that were held back. */
void client2_consumed(struct client_conn *c, struct http_call *x, size_t n);

#endif
