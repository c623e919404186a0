/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls.h: one TLS connection on OpenSSL without I/O: ciphertext in, plaintext out, and back.
 * Private to src/http.
 *
 * Ciphertext is not copied on its way in: OpenSSL pulls it straight from what tls_feed was given.
 * Ciphertext out is appended to a buffer of the caller's choice. When nothing is under way a
 * connection holds no record buffers (SSL_MODE_RELEASE_BUFFERS).
 */
#ifndef BARQUE_HTTP_TLS_H
#define BARQUE_HTTP_TLS_H

#include "http/http.h"

struct tls;

enum { TLS_RECORD_BYTES_MAX = 16384 };

/* server_name: the name or address that the server's certificate must show; STR_NULL for a server
 * or when it is not verified. NULL when memory is out or the name is malformed. */
struct tls *tls_new(struct tls_context *t, struct str server_name);
void tls_free(struct tls *t); /* NULL allowed */
/* A client that needs HTTP/1.1 on this connection, for an upgrade; before the handshake. */
void tls_offer_http1(struct tls *t);

/* Bytes from the peer; they must stay valid until tls_read has returned 0 or an error. */
void tls_feed(struct tls *t, struct str bytes);
/* Takes plaintext, up to room bytes: call until it returns 0 (nothing more for now), and once
 * with nothing fed to start a client's handshake. Handshake messages and alerts for the peer are
 * appended to out. Negative: -ERR_CANCELED when the peer has ended its side in order,
 * -ERR_BAD_REQUEST when it speaks plain HTTP, else -ERR_IO. */
ssize_t tls_read(struct tls *t, struct buf *out, char *to, size_t room) MUST_USE;
bool tls_ready(const struct tls *t);    /* the handshake is complete */
bool tls_is_http2(const struct tls *t); /* agreed by ALPN */
/* Why tls_read or tls_write failed, for logs and errors: static text. */
const char *tls_failure(const struct tls *t);

/* Appends records with the plaintext to out. Only when tls_ready. False: failed. */
bool tls_write(struct tls *t, struct buf *out, struct str plain) MUST_USE;
/* Appends the alert that says that nothing more will be written. */
void tls_close_notify(struct tls *t, struct buf *out);

/* A verified client certificate; shared by the requests of its connection. */
struct tls_identity {
    uint32_t refs;
    struct arena arena;
    struct tls_peer peer;
};
/* NULL when the client showed none, or one that was not accepted; then *ret_refused says why
 * (static text; NULL when none was shown). The caller holds one reference. */
struct tls_identity *tls_identity(struct tls *t, const char **ret_refused);
struct tls_identity *tls_identity_ref(struct tls_identity *i); /* NULL allowed */
void tls_identity_unref(struct tls_identity *i);               /* NULL allowed */

#endif
