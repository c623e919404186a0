/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1.h: HTTP/1.x messages (RFC 9112) without I/O: where a head ends, what it says, where its
 * body ends; and the other direction. Private to src/http; the server drives the request half,
 * the client the response half.
 *
 * Strict wherever leniency would let two parties disagree about where a message ends: line ends
 * are CRLF, no folded lines, no blank before a colon, no control character in a field, one
 * Content-Length in plain digits, no Content-Length beside Transfer-Encoding, "chunked" the only
 * coding, chunk sizes in plain hexadecimal with CRLF where the grammar has it.
 *
 * Outcomes are 0 for good and otherwise the status with which to refuse the message.
 */
#ifndef BARQUE_HTTP_HTTP1_H
#define BARQUE_HTTP_HTTP1_H

#include "http/headers.h"

enum {
    HTTP1_METHOD_MAX = 32,
    HTTP1_CHUNK_LINE_MAX = 256, /* size and extensions */
};

/* ---- where does the head end? ---- */

struct http1_scan {
    size_t at;      /* looked at so far */
    size_t line_at; /* start of the present line */
    uint32_t lines; /* complete ones, the empty last one included */
};

/* Looks at what was added to `bytes` (the whole head so far) since the last call with the same
 * scan. *ret_n: length of the head with its final empty line, 0 while it is incomplete. */
int http1_scan(struct http1_scan *scan, struct str bytes, size_t *ret_n) MUST_USE;

/* ---- heads ---- */

enum http1_body_kind { HTTP1_BODY_NONE, HTTP1_BODY_LENGTH, HTTP1_BODY_CHUNKED, HTTP1_BODY_TO_END };

struct http1_framing {
    enum http1_body_kind kind;
    uint64_t length;      /* of HTTP1_BODY_LENGTH */
    uint8_t minor;        /* HTTP/1.minor */
    bool keep_alive;      /* after this message, as far as the sender is concerned */
    bool expect_continue; /* the sender waits for 100 before the body */
};

/* head: a complete one of `lines` lines as http1_scan found it, on the arena; it is changed (names
 * become lower case) and the request points into it. Sets method, target, path, query, host and
 * headers. */
int http1_parse_request(struct arena *a, char *head, size_t n, uint32_t lines,
                        struct http_request *r, struct http1_framing *f) MUST_USE;
/* The same for a response; any failure is 502. head_request: it answers a HEAD. */
int http1_parse_response(struct arena *a, char *head, size_t n, uint32_t lines, bool head_request,
                         int *ret_status, struct http_headers *headers,
                         struct http1_framing *f) MUST_USE;

/* ---- bodies ---- */

enum http1_body_state {
    HTTP1_BODY_DONE,
    HTTP1_BODY_DATA, /* `left` bytes of the body or chunk; without a limit when TO_END */
    HTTP1_BODY_CHUNK_LINE,
    HTTP1_BODY_CHUNK_END, /* CRLF after the data */
    HTTP1_BODY_TRAILER,
};

struct http1_body {
    enum http1_body_kind kind;
    enum http1_body_state state;
    uint64_t left;
    size_t trailer_bytes, trailer_bytes_max;
    uint32_t line_n;
    char line[HTTP1_CHUNK_LINE_MAX]; /* the part of a chunk line or trailer that has come */
};

void http1_body_init(struct http1_body *b, const struct http1_framing *f, size_t trailer_bytes_max);
/* Takes the next piece off *in: body bytes into *ret (may be empty). Call again while in->n is
 * left and the state is not HTTP1_BODY_DONE. Trailers are checked and dropped. */
int http1_body_next(struct http1_body *b, struct str *in, struct str *ret) MUST_USE;

/* ---- output ---- */

/* "HTTP/1.1 200 OK" and its line end. */
void http1_put_status(struct buf *b, int status);
void http1_put_field(struct buf *b, struct str name, struct str value);
/* The handler's fields, without those that framing writes. */
void http1_put_fields(struct buf *b, const struct http_headers *h);
/* What precedes n (> 0) bytes of data in a chunked body; CRLF follows them. */
struct str http1_chunk_line(char room[20], size_t n);

#endif
