/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.h: what the text codecs share: one step through UTF-8, words of eight bytes, hex digits.
 * Private to codec/.
 */
#ifndef BARQUE_CODEC_UTF8_H
#define BARQUE_CODEC_UTF8_H

#include "base/buf.h"

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* The same byte in all eight places of a word. */
#define BYTES8(c) ((uint64_t)(c)*0x0101010101010101u)

/* Eight bytes with the first one in the lowest bits. */
static inline uint64_t load8(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(w) : w;
}

/* Value of a hex digit in either case, or -1. */
static inline int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline bool utf8_is_tail(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Length of the well-formed multi-byte character at p (2 to 4), or 0 when the bytes there are
 * not one (RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF). */
static inline unsigned utf8_step(const char *p, const char *end)
{
    unsigned char c = (unsigned char)p[0], d = end - p > 1 ? (unsigned char)p[1] : 0;
    if (c >= 0xc2 && c <= 0xdf)
        return utf8_is_tail((char)d) ? 2 : 0;
    if (c >= 0xe0 && c <= 0xef) {
        unsigned char low = c == 0xe0 ? 0xa0 : 0x80, high = c == 0xed ? 0x9f : 0xbf;
        return d >= low && d <= high && end - p > 2 && utf8_is_tail(p[2]) ? 3 : 0;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        unsigned char low = c == 0xf0 ? 0x90 : 0x80, high = c == 0xf4 ? 0x8f : 0xbf;
        return d >= low && d <= high && end - p > 3 && utf8_is_tail(p[2]) && utf8_is_tail(p[3]) ? 4
                                                                                                : 0;
    }
    return 0;
}

/* Writes the character's one to four bytes; returns how many. */
static inline unsigned utf8_put(char *to, uint32_t rune)
{
    if (rune < 0x80) {
        to[0] = (char)rune;
        return 1;
    }
    if (rune < 0x800) {
        to[0] = (char)(0xc0 | rune >> 6);
        to[1] = (char)(0x80 | (rune & 0x3f));
        return 2;
    }
    if (rune < 0x10000) {
        to[0] = (char)(0xe0 | rune >> 12);
        to[1] = (char)(0x80 | (rune >> 6 & 0x3f));
        to[2] = (char)(0x80 | (rune & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | rune >> 18);
    to[1] = (char)(0x80 | (rune >> 12 & 0x3f));
    to[2] = (char)(0x80 | (rune >> 6 & 0x3f));
    to[3] = (char)(0x80 | (rune & 0x3f));
    return 4;
}

/* Appends s, with U+FFFD for each byte that is not UTF-8. */
void utf8_put_valid(struct buf *b, struct str s);

/* The high bit of each byte that a JSON string cannot hold as it is, or that needs a look:
 * quotes, backslashes, control characters, bytes above 0x7f. The lowest bit set is exact; bits
 * above it may be wrong, because a subtraction borrows from the next byte.
 * (xor 2 brings the quote, 0x22, next to the control characters: both are then below 0x21.) */
static inline uint64_t json_special8(uint64_t w)
{
    uint64_t quote_or_control = (w ^ BYTES8(0x02)) - BYTES8(0x21);
    uint64_t backslash = (w ^ BYTES8('\\')) - BYTES8(0x01);
    return (quote_or_control | backslash | w) & BYTES8(0x80);
}

static inline bool json_is_special(char c)
{
    return (unsigned char)c < 0x20 || (unsigned char)c >= 0x80 || c == '"' || c == '\\';
}

/* The first special byte at or after p, or end. */
static inline const char *json_plain_run(const char *p, const char *end)
{
    for (; end - p >= 8; p += 8) {
        uint64_t special = json_special8(load8(p));
        if (special)
            return p + (__builtin_ctzll(special) >> 3);
    }
    while (p < end && !json_is_special(*p))
        p++;
    return p;
}

#endif
