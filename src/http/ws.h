/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws.h: the WebSocket protocol (RFC 6455) without I/O: bytes in, events and bytes out.
 *
 * Feed what the transport read to ws_feed; send what has gathered in `out` and empty it. Both
 * roles. Messages are handed on in pieces as they arrive, so that no message is ever held in
 * memory; text is checked to be UTF-8 on the way. Pings are answered, a close is answered with
 * the same code. No extension is negotiated, so reserved bits are an error.
 *
 * A violation by the peer queues the close frame with the code that RFC 6455 section 7.4 names,
 * and ws_feed fails: send `out`, then close the transport.
 *
 * Callbacks may call any function here on the same connection but ws_fini and ws_feed.
 */
#ifndef BARQUE_HTTP_WS_H
#define BARQUE_HTTP_WS_H

#include "base/buf.h"
#include "base/err.h"

enum ws_role { WS_SERVER, WS_CLIENT };
enum ws_type { WS_TEXT = 1, WS_BINARY = 2 };

enum ws_code {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL_ERROR = 1002,
    WS_UNSUPPORTED = 1003,
    WS_NO_CODE = 1005, /* never sent: the close frame was empty */
    WS_BAD_DATA = 1007,
    WS_POLICY = 1008,
    WS_TOO_BIG = 1009,
    WS_INTERNAL = 1011,
};

enum {
    WS_CONTROL_MAX = 125,      /* payload of ping, pong and close, bytes */
    WS_HEAD_MAX = 14,          /* of a frame, bytes */
    WS_OUT_MAX = 64 << 20,     /* bytes that may wait in out */
    WS_MESSAGE_MAX = 32 << 20, /* default bound of one message, bytes */
    WS_ACCEPT_SIZE = 29,       /* Sec-WebSocket-Accept with its NUL */
    WS_KEY_SIZE = 25,          /* Sec-WebSocket-Key with its NUL */
};

struct ws_ops {
    /* A piece of a message, in order; bytes (possibly none) are valid during the call. A message
     * that came at once is first and last. */
    void (*piece)(void *arg, enum ws_type type, struct str bytes, bool first, bool last);
    /* May be NULL. */
    void (*pong)(void *arg, struct str bytes);
    /* The peer's close frame; the answer is already in out. May be NULL. */
    void (*closed)(void *arg, uint16_t code, struct str reason);
    /* Client only: unpredictable bytes for masking keys (RFC 6455 section 10.3). */
    void (*random)(void *arg, void *p, size_t n);
};

struct ws {
    struct buf out;       /* to be sent by the user; failed when WS_OUT_MAX was exceeded */
    uint64_t message_max; /* bytes; may be set after ws_init */
    bool close_sent;      /* read only: what is sent from now on is dropped */
    bool close_received;  /* read only */
    /* private from here */
    enum ws_role role;
    const struct ws_ops *ops;
    void *arg;
    int error;                       /* sticky result of ws_feed */
    unsigned char head[WS_HEAD_MAX]; /* of the frame being read */
    uint8_t head_n;
    bool in_payload;
    uint64_t left; /* payload bytes to come */
    unsigned char mask[4];
    unsigned mask_at;
    uint8_t opcode;
    bool fin;
    enum ws_type type; /* of the message being read */
    bool in_message, started;
    uint64_t message_n;
    unsigned char utf8_need, utf8_low, utf8_high;
    unsigned char control[WS_CONTROL_MAX];
    uint8_t control_n;
};

/* ops must outlive the connection. */
void ws_init(struct ws *w, enum ws_role role, const struct ws_ops *ops, void *arg);
void ws_fini(struct ws *w);

/* Bytes from the peer. 0: go on; WS_CLOSED: the peer's close frame came (what follows it is
 * ignored), send out and close the transport; -ERR_BAD_REQUEST or -ERR_TOO_LARGE: the peer broke
 * the protocol or the bound. */
enum { WS_CLOSED = 1 };
int ws_feed(struct ws *w, struct str bytes) MUST_USE;

/* One unfragmented message made of the parts. Dropped after ws_close. */
void ws_send(struct ws *w, enum ws_type type, const struct str *parts, size_t n_parts);
/* At most WS_CONTROL_MAX bytes. */
void ws_ping(struct ws *w, struct str bytes);
/* Queues the close frame once; reason is cut to fit. No piece is delivered any more. */
void ws_close(struct ws *w, enum ws_code code, struct str reason);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 section 4.2.2). */
void ws_accept(char out[WS_ACCEPT_SIZE], struct str key);
/* Is it base64 of 16 bytes? */
bool ws_key_valid(struct str key);
void ws_key_make(char out[WS_KEY_SIZE], const unsigned char random[16]);

#endif
