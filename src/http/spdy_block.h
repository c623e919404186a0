/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spdy_block.h: SPDY/3 header blocks: names and values behind one zlib stream for each direction
 * of a connection, primed with the dictionary of SPDY/3 section 2.6.10.1.
 *
 * The zlib state carries over from block to block, so every block must pass through here in wire
 * order; after a failure the direction is lost and the connection has to end.
 */
#ifndef BARQUE_HTTP_SPDY_BLOCK_H
#define BARQUE_HTTP_SPDY_BLOCK_H

#include "http/http.h"

enum {
    SPDY_BLOCK_MAX = 32 << 10,   /* of an uncompressed block, bytes */
    SPDY_HEADER_COUNT_MAX = 200, /* names in a block */
};

struct z_stream_s;

struct spdy_block {
    struct z_stream_s *z; /* made by the first block */
    bool failed;
};

/* Frees the state; a zeroed struct is a valid unused one. Use each for one direction only. */
void spdy_deflate_fini(struct spdy_block *b);
void spdy_inflate_fini(struct spdy_block *b);

/* Appends the compressed block. Names are in lower case; values of one name are joined by NUL.
 * -ERR_LIMIT: more than SPDY_BLOCK_MAX or SPDY_HEADER_COUNT_MAX; nothing was appended and the
 * stream is as before. */
int spdy_deflate(struct spdy_block *b, const struct http_headers *headers,
                 struct buf *out) MUST_USE;
/* *ret is on the arena. -ERR_BAD_REQUEST: malformed; -ERR_LIMIT: over a bound. A name twice or
 * in upper case is malformed too (section 2.6.10). */
int spdy_inflate(struct spdy_block *b, struct str bytes, struct arena *a,
                 struct http_headers *ret) MUST_USE;

#endif
