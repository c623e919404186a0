/* SPDX-License-Identifier: Apache-2.0 */
/* gzip.h: whole-buffer gzip (RFC 1952, by zlib), bounded on the way out. */
#ifndef BARQUE_CODEC_GZIP_H
#define BARQUE_CODEC_GZIP_H

#include "base/buf.h"

/* Appends to b. level 1..9; failure shows in b->failed. */
void gzip_compress(struct buf *b, struct str s, int level);
/* Appends to b. False: malformed, cut short, or more than b->cap bytes; b is then as before. */
bool gzip_decompress(struct buf *b, struct str s);

#endif
