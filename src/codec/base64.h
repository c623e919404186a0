/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h: RFC 4648 base64 (standard alphabet with padding, and base64url without). */
#ifndef BARQUE_CODEC_BASE64_H
#define BARQUE_CODEC_BASE64_H

#include "base/buf.h"

void base64_encode(struct buf *b, struct str s);
void base64url_encode(struct buf *b, struct str s);
/* Standard alphabet, padding required, CR and LF ignored (as Go's StdEncoding). False: bad. */
bool base64_decode(struct arena *a, struct str s, struct str *ret);
/* URL alphabet, no padding. */
bool base64url_decode(struct arena *a, struct str s, struct str *ret);
void hex_encode(struct buf *b, struct str s);
bool hex_decode(struct arena *a, struct str s, struct str *ret);

#endif
