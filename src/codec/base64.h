/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64.h: RFC 4648 base64 (standard alphabet with padding, and base64url without) and hex.
 *
 * Encoders append to a buf; failure shows in b->failed. Decoders put bytes on the arena; false
 * means bad text or an arena too small, and *ret is untouched.
 */
#ifndef BARQUE_CODEC_BASE64_H
#define BARQUE_CODEC_BASE64_H

#include "base/buf.h"

void base64_encode(struct buf *b, struct str s);
void base64url_encode(struct buf *b, struct str s);
/* Standard alphabet, padding required, CR and LF ignored wherever they stand, spare bits of the
 * last digit ignored (all as Go's StdEncoding). */
bool base64_decode(struct arena *a, struct str s, struct str *ret);
/* URL alphabet, no padding, nothing ignored: one text for each value, as tokens need. */
bool base64url_decode(struct arena *a, struct str s, struct str *ret);
/* Lower case. */
void hex_encode(struct buf *b, struct str s);
/* Either case. */
bool hex_decode(struct arena *a, struct str s, struct str *ret);

#endif
