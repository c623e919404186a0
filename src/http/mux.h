/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mux.h: what the two halves of the mux share. Private to src/http.
 *
 *   mux.c          channels over an upgraded connection: the calls of http.h
 *   mux_upgrade.c  how client and server agree on one
 */
#ifndef BARQUE_HTTP_MUX_H
#define BARQUE_HTTP_MUX_H

#include "http/http.h"

/* How the channels travel. */
enum mux_carrier {
    MUX_NOTHING,   /* not begun */
    MUX_WEBSOCKET, /* a channel byte before each message */
    MUX_SPDY,      /* a SPDY stream each */
    MUX_TUNNEL,    /* SPDY inside WebSocket messages */
};

struct mux_format {
    enum mux_carrier carrier;
    bool base64;       /* messages are text: a channel digit, then base64 */
    bool close_signal; /* v5: byte 255 half-closes the channel that follows */
    bool client;       /* our role */
};

/* The format that an agreed protocol names. kind: not HTTP_MUX_NONE. */
struct mux_format mux_format(enum http_mux_kind kind, struct str protocol, bool client);

/* A mux that has no connection yet: nothing happens until mux_begin gives it one. */
struct http_mux *mux_new(struct loop *l, const struct http_mux_ops *ops, void *arg);
void mux_begin(struct http_mux *m, struct mux_format format, struct http_raw *raw);
/* The connection never came: no callback. */
void mux_free(struct http_mux *m);
/* For the connection; arg is the mux. */
extern const struct http_raw_ops mux_raw_ops;
/* Who waits for the connection, for the client's half. */
void **mux_waiter(struct http_mux *m);

#endif
