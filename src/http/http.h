/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h: HTTP server and client over loop/ streams: HTTP/1.1 and HTTP/2 (ALPN) with TLS 1.2/1.3
 * or plain; upgrades to WebSocket and SPDY/3.1 multiplexed channels.
 *
 * The protocol cores (http1.c, http2.c, ws.c, spdy.c) do no I/O: bytes and time in, bytes and
 * events out; they are what the fuzz targets drive.
 *
 * RFC 9110 (semantics), 9112 (HTTP/1.1), 9113 (HTTP/2), 6455 (WebSocket), SPDY/3.1 draft, and
 * Kubernetes' channel protocols on top (v4.channel.k8s.io, v5.channel.k8s.io, portforward).
 */
#ifndef BARQUE_HTTP_HTTP_H
#define BARQUE_HTTP_HTTP_H

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"
#include "loop/loop.h"

/* ---- headers ---- */

struct http_header {
    struct str name, value; /* names in lower case */
};
struct http_headers {
    struct http_header *v;
    size_t n, room;
};
/* First value, or STR_NULL. name in lower case. */
struct str http_header_get(const struct http_headers *h, const char *name);
/* Is token in the comma-separated list of all values of name (case-insensitive)? */
bool http_header_has_token(const struct http_headers *h, const char *name, const char *token);
void http_header_add(struct arena *a, struct http_headers *h, struct str name, struct str value);

/* Percent-decoding; plus becomes a blank in queries only. False when malformed. */
bool http_url_decode(struct arena *a, struct str s, bool query, struct str *ret);
void http_url_encode(struct buf *b, struct str s); /* RFC 3986 unreserved stay */

/* ---- TLS ---- */

struct tls_context; /* certificates and trust; shared by connections */

struct tls_config {
    struct str cert_pem, key_pem;   /* chain and key; may be empty for a client */
    struct str client_ca_pem;       /* server: ask for client certificates and verify them; a
                                       connection without one, or with a bad one, is served too */
    struct str server_ca_pem;       /* client: trust; empty: the system's store */
    bool insecure_skip_verify;      /* client only */
    bool http2;                     /* offer h2 by ALPN */
};
struct tls_context *tls_context_new(const struct tls_config *c, bool server, struct err *e);
void tls_context_free(struct tls_context *t);

/* The verified client certificate's subject, on the connection's memory. */
struct tls_peer {
    struct str common_name;
    LIST(struct str) organizations;
    struct str der_sha256; /* hex, for logs and TokenReview extras */
};

/* ---- server ---- */

struct http_server;
struct http_exchange; /* one request and its response */

struct http_request {
    struct str method, target;      /* "GET", "/api/v1/pods?limit=5" (as sent) */
    struct str path, query;         /* split, still percent-encoded */
    struct str host;
    struct http_headers headers;
    struct str body;                /* whole, after `handle`; empty when streaming */
    struct str peer;                /* "10.0.0.7:41234" */
    const struct tls_peer *tls_peer;/* NULL without a client certificate that verifies */
    struct str tls_peer_refused;    /* why one that was shown does not verify, else empty: such a
                                       request is to be answered with 401 */
    bool tls, http2, http_1_0;
};

struct http_limits {
    size_t body_bytes_max;        /* 413 beyond; default 3 MiB + 64 KiB */
    size_t bodies_bytes_max;      /* request bodies held at a time by all connections together, 503
                                     beyond; default 256 MiB */
    size_t header_bytes_max;      /* 431 beyond; default 64 KiB... whole header block */
    uint32_t header_count_max;    /* default 200 */
    uint32_t connections_max;     /* accepted beyond are closed at once; default 10000 */
    uint32_t streams_max;         /* concurrent HTTP/2 streams a connection; default 250 */
    int64_t header_timeout_ms;    /* slowloris: whole header within; default 10 s */
    int64_t body_timeout_ms;      /* whole body within; default 60 s */
    int64_t idle_timeout_ms;      /* keep-alive; default 120 s */
    int64_t write_stall_ms;       /* a client that reads nothing for so long is cut; default 30 s */
    size_t write_queue_max;       /* bytes queued on a connection before its next request waits; a
                                     good bound for handlers too; default 1 MiB */
};
extern const struct http_limits http_limits_default;

struct http_handler {
    /* A request with its whole body. The exchange lives until the response is ended or aborted.
     * Must respond now or later by the calls below. */
    void (*handle)(void *arg, struct http_exchange *x);
};

/* tls: NULL for plain; must outlive the server. limits: NULL for the defaults; copied. handler must
 * outlive the server. Plain connections speak HTTP/1.1 or, with prior knowledge, HTTP/2. */
struct http_server *http_server_new(struct loop *l, struct str address, struct tls_context *tls,
                                    const struct http_limits *limits,
                                    const struct http_handler *handler, void *arg, struct err *e);
struct str http_server_address(const struct http_server *s); /* "tcp:127.0.0.1:6443" */
/* Stops accepting, sends GOAWAY / Connection: close, and frees when the last exchange ended or
 * after grace_ms. done may be NULL. */
void http_server_close(struct http_server *s, int64_t grace_ms, void (*done)(void *), void *arg);

const struct http_request *http_request(struct http_exchange *x);
/* Lives as long as the exchange. */
struct arena *http_arena(struct http_exchange *x);
struct loop *http_loop(struct http_exchange *x);

/* Called once when the client goes away before the response was ended. The exchange is freed
 * after the callback returns; no call may be made on it in the callback. Without a callback the
 * exchange stays valid, and what is still written to it leads nowhere: enough for a handler that
 * responds within a bounded time, not for one that streams or waits. */
void http_on_abort(struct http_exchange *x, void (*fn)(void *arg, struct http_exchange *x),
                   void *arg);
/* Responses: `date`, `content-length` and the fields of the connection are written by the server and
 * need not be given; a `date` that is given wins, `connection: close` is heeded. headers may be
 * NULL. They and the body are not referred to after the call. */

/* Whole response: adds content-length; HEAD sends no body (and then a content-length that is given
 * wins). Frees the exchange. */
void http_respond(struct http_exchange *x, int status, const struct http_headers *headers,
                  struct str body);
/* Streamed response (chunked, or DATA frames; with a content-length in headers, exactly so many
 * bytes: with fewer the client sees it broken off, more are dropped). http_write copies what it cannot send; it returns
 * the bytes queued on this response: stop above a bound of your own and go on in `drained`. */
void http_respond_start(struct http_exchange *x, int status, const struct http_headers *headers);
size_t http_write(struct http_exchange *x, const struct str *parts, size_t n_parts);
void http_on_drained(struct http_exchange *x, void (*fn)(void *arg, struct http_exchange *x),
                     void *arg);
/* Reading nothing for write_stall_ms is no reason to cut this response (following a log into a
 * pager). */
void http_allow_stall(struct http_exchange *x);
void http_end(struct http_exchange *x); /* frees the exchange */
/* Breaks the response off (reset), as when the source of a streamed body failed. Frees the
 * exchange; http_on_abort is not called. */
void http_reset(struct http_exchange *x);

/* ---- upgraded byte channels (exec, attach, port-forward) ----
 * A mux carries channels over one upgraded connection. Three ways to travel look the same from
 * here:
 *   - WebSocket with the Kubernetes channel byte: channel.k8s.io and v4.channel.k8s.io, their
 *     base64 forms, and v5.channel.k8s.io, in which a client can half-close (message 255, n),
 *   - SPDY/3.1 streams (Upgrade: SPDY/3.1, versions by X-Stream-Protocol-Version),
 *   - SPDY/3.1 inside WebSocket messages (subprotocol "SPDY/3.1+portforward.k8s.io").
 *
 * Behaviour follows k8s.io/streaming and moby/spdystream. One thing their clients demand of a SPDY
 * server: they read no stream before the server has accepted all that they open, and stop reading
 * the connection when much arrives for one that they do not read yet. So write nothing before the
 * last expected stream is open (exec: error, and stdin, stdout, stderr, resize as asked for).
 *
 * A mux belongs to one loop; its callbacks come from that loop and, but for that first `open`,
 * never from inside a call of the user. All calls on a mux are allowed until `closed` has returned;
 * those on a channel that is not open have no effect. */

struct http_mux;
struct http_mux_ops {
    /* SPDY: the peer opened a stream with these headers ("streamtype", "port", "requestid");
     * channel is its stream id. WebSocket: asked inside http_upgrade (or before `up`) for 0, 1,
     * 2, ... until the first refusal, with no headers. Return the caller's own id for the channel
     * (non-negative, not in use), or -1 to refuse. */
    int (*open)(void *arg, const struct http_headers *headers, int channel);
    /* Bytes of a channel, in order, in pieces of any size. */
    void (*data)(void *arg, int channel, struct str bytes);
    /* The peer sends no more on this channel (FIN, a reset, or CLOSE in v5). */
    void (*half_closed)(void *arg, int channel);
    /* SPDY: both sides have ended the channel, or one has reset it; its id is free again. May be
     * NULL. */
    void (*gone)(void *arg, int channel);
    /* Something that was queued has gone: go on where writing stopped. May be NULL. */
    void (*drained)(void *arg);
    /* The connection is gone, or http_mux_close is done. The mux is freed after this returns. */
    void (*closed)(void *arg);
};

enum http_mux_kind { HTTP_MUX_NONE, HTTP_MUX_WEBSOCKET, HTTP_MUX_SPDY };
/* What the request asks for by its Upgrade headers. */
enum http_mux_kind http_upgrade_wanted(const struct http_request *r);
/* Accepts the upgrade with the first of `protocols` (NULL-terminated, best first) that the client
 * offers in Sec-WebSocket-Protocol or X-Stream-Protocol-Version; an offer of none is accepted as
 * "" where allow_none. Answers 101 and hands over the connection, or responds 400/403 and returns
 * NULL. Either way the exchange is gone. ret_protocol: what was agreed, one of `protocols` or
 * "". ops must outlive the mux. */
struct http_mux *http_upgrade(struct http_exchange *x, const char *const *protocols,
                              bool allow_none, const struct http_mux_ops *ops, void *arg,
                              struct str *ret_protocol);
/* Returns the bytes queued for this channel and the connection: stop above a bound of your own and
 * go on in `drained`. An empty write is an empty message on WebSocket, with which upstream's
 * servers greet, and nothing on SPDY. */
size_t http_mux_write(struct http_mux *m, int channel, struct str bytes);
/* Ends our side of the channel. WebSocket has no way to say so from server to client. */
void http_mux_half_close(struct http_mux *m, int channel);
/* SPDY: gives the channel up in both directions; `gone` is called. */
void http_mux_reset(struct http_mux *m, int channel);
/* SPDY, mostly a client's: opens a channel under the caller's own id, which is not in use. Fails
 * when the connection is going away or has too many. What is written at once waits for the peer's
 * consent. */
int http_mux_open(struct http_mux *m, const struct http_headers *headers, int channel) MUST_USE;
void http_mux_pause(struct http_mux *m, bool paused); /* stop reading from the peer */
/* Ends all channels, sends what is queued (for at most 10 s), then closes; `closed` is called. */
void http_mux_close(struct http_mux *m);

/* Hands over the raw byte stream after a 101 (server) for a transparent proxy. headers are written
 * as they are (connection and upgrade included). What was read beyond the request comes as the
 * first data. Frees the exchange. HTTP/2 cannot do this: answers 400 and returns NULL. */
struct http_raw;
struct http_raw_ops {
    void (*data)(void *arg, struct str bytes);
    /* The peer sends no more, or the connection broke; writing to it is allowed either way. Once;
     * the user still has to http_raw_close. */
    void (*end)(void *arg);
    void (*drained)(void *arg); /* all is sent, after a write returned > 0; may be NULL */
};
struct http_raw *http_hijack(struct http_exchange *x, int status,
                             const struct http_headers *headers, const struct http_raw_ops *ops,
                             void *arg);
size_t http_raw_write(struct http_raw *r, struct str bytes); /* returns the bytes queued */
void http_raw_pause(struct http_raw *r, bool paused);
/* Sends what is queued, then closes. No callback comes any more; allowed inside callbacks. */
void http_raw_close(struct http_raw *r);

/* ---- client ---- */

struct http_client;  /* a pool of connections to one origin */
struct http_call;    /* one request in flight */

struct http_client_config {
    struct str address;         /* "tcp:127.0.0.1:6443" or "unix:/path"; see host */
    struct str host;            /* Host header and TLS server name; also resolved when address is
                                   empty ("example.com:443") */
    struct tls_context *tls;    /* NULL: plain */
    uint32_t connections_max;   /* default 8. HTTP/1.1 has one call on each at a time: count watches
                                   in; HTTP/2 opens another only when the server's limit of
                                   streams is reached. Upgrades come on top */
    int64_t connect_timeout_ms; /* default 10 s */
};
struct http_client *http_client_new(struct loop *l, const struct http_client_config *c);
void http_client_free(struct http_client *c); /* aborts what is in flight, without callbacks */
struct loop *http_client_loop(const struct http_client *c);

struct http_call_ops {
    void (*head)(void *arg, int status, const struct http_headers *headers); /* may be NULL */
    void (*data)(void *arg, struct str bytes);
    /* error NULL: complete. The call is freed after this returns. */
    void (*done)(void *arg, const struct err *error);
};
/* The body is copied. timeout_ms: whole call, 0 for none (watch). */
struct http_call *http_call(struct http_client *c, struct str method, struct str target,
                            const struct http_headers *headers, struct str body,
                            int64_t timeout_ms, const struct http_call_ops *ops, void *arg);
void http_call_cancel(struct http_call *c); /* no callback comes any more */
void http_call_pause(struct http_call *c, bool paused);
/* The client's side of a mux: asks for the upgrade and calls `up` once, with the mux and what was
 * agreed, or with NULL and the error (a refusal by the server has the code of its status). With
 * WebSocket, ops->open is asked for channels as in a server. protocols and ops must outlive the
 * call and the mux. */
struct http_mux_call;
struct http_mux_call *http_mux_call(struct http_client *c, enum http_mux_kind kind,
                                    struct str target, const struct http_headers *headers,
                                    const char *const *protocols, const struct http_mux_ops *ops,
                                    void *arg,
                                    void (*up)(void *arg, struct http_mux *m, struct str protocol,
                                               const struct err *error));
void http_mux_call_cancel(struct http_mux_call *c); /* before `up`; no callback comes any more */

/* Request with `Upgrade`: on 101 `upgraded` gives the raw channel (then only raw ops are used),
 * otherwise head/data/done report the plain response. */
struct http_call *http_call_upgrade(struct http_client *c, struct str method, struct str target,
                                    const struct http_headers *headers,
                                    const struct http_call_ops *ops,
                                    void (*upgraded)(void *arg, int status,
                                                     const struct http_headers *headers,
                                                     struct http_raw *raw),
                                    const struct http_raw_ops *raw_ops, void *arg);

#endif
