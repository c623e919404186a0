/* SPDX-License-Identifier: Apache-2.0 */
/* gzip.h: whole-buffer gzip (zlib), bounded on the way out. */
#ifndef BARQUE_CODEC_GZIP_H
#define BARQUE_CODEC_GZIP_H

#include "base/buf.h"

/* level 1..9; failure shows in b->failed. */
void gzip_compress(struct buf *b, struct str s, int level);
/* False: malformed, or more than b->cap bytes. */
bool gzip_decompress(struct buf *b, struct str s);

#endif
