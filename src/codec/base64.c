/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/base64.h"

#include "codec/utf8.h"

static const char standard[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum { BAD = 0x80, NEW_LINE = 0x81, PADDING = 0x82 };

/* clang-format off */
/* Value of each byte, in both alphabets, or one of the above. */
static const uint8_t value_of[2][256] = {
#define B BAD
#define B8 B, B, B, B, B, B, B, B
#define B128 B8, B8, B8, B8, B8, B8, B8, B8, B8, B8, B8, B8, B8, B8, B8, B8
#define LETTERS(x) x, x+1, x+2, x+3, x+4, x+5, x+6, x+7, x+8, x+9, x+10, x+11, x+12, x+13, \
    x+14, x+15, x+16, x+17, x+18, x+19, x+20, x+21, x+22, x+23, x+24, x+25
#define DIGITS 52, 53, 54, 55, 56, 57, 58, 59, 60, 61
    {
        B8, B, B, NEW_LINE, B, B, NEW_LINE, B, B, B8, B8,
        B8, B, B, B, 62, B, B, B, 63,
        DIGITS, B, B, B, PADDING, B, B,
        B, LETTERS(0), B, B, B, B, B,
        B, LETTERS(26), B, B, B, B, B,
        B128,
    },
    {
        B8, B8, B8, B8,
        B8, B, B, B, B, B, 62, B, B,
        DIGITS, B, B, B, B, B, B,
        B, LETTERS(0), B, B, B, B, 63,
        B, LETTERS(26), B, B, B, B, B,
        B128,
    },
};
/* clang-format on */

static char *encode(char *to, const char *alphabet, struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t n = s.n;
    for (; n >= 3; n -= 3, p += 3, to += 4) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        to[0] = alphabet[v >> 18];
        to[1] = alphabet[v >> 12 & 63];
        to[2] = alphabet[v >> 6 & 63];
        to[3] = alphabet[v & 63];
    }
    if (n == 0)
        return to;
    uint32_t v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);
    *to++ = alphabet[v >> 18];
    *to++ = alphabet[v >> 12 & 63];
    if (n == 2)
        *to++ = alphabet[v >> 6 & 63];
    return to;
}

/* Room for the text with padding, or NULL. */
static char *reserve(struct buf *b, struct str s)
{
    if (s.n > b->cap) {
        b->failed = true;
        return NULL;
    }
    return buf_reserve(b, (s.n + 2) / 3 * 4);
}

void base64_encode(struct buf *b, struct str s)
{
    char *start = reserve(b, s), *to = start;
    if (!start)
        return;
    to = encode(to, standard, s);
    while ((to - start) % 4)
        *to++ = '=';
    buf_advance(b, (size_t)(to - start));
}

void base64url_encode(struct buf *b, struct str s)
{
    /* The text may fit where the padded one does not: nothing is written past it. */
    size_t n = s.n / 3 * 4 + (s.n % 3 ? s.n % 3 + 1 : 0);
    char *to = s.n > b->cap ? reserve(b, s) : buf_reserve(b, n);
    if (!to)
        return;
    encode(to, url, s);
    buf_advance(b, n);
}

struct decoded {
    char *at;
    uint32_t bits; /* of the group of four that is not complete yet */
    unsigned have; /* digits in bits */
};

/* Whole groups from the start of s, as long as there is nothing but digits. */
static struct str decode_groups(struct decoded *d, const uint8_t *values, struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t n = s.n;
    for (; n >= 4; n -= 4, p += 4) {
        uint8_t v0 = values[p[0]], v1 = values[p[1]], v2 = values[p[2]], v3 = values[p[3]];
        if ((v0 | v1 | v2 | v3) & 0x80)
            break;
        uint32_t v = (uint32_t)v0 << 18 | (uint32_t)v1 << 12 | (uint32_t)v2 << 6 | v3;
        d->at[0] = (char)(v >> 16);
        d->at[1] = (char)(v >> 8);
        d->at[2] = (char)v;
        d->at += 3;
    }
    return str_n((const char *)p, n);
}

static void decode_digit(struct decoded *d, uint32_t v)
{
    d->bits = d->bits << 6 | v;
    if (++d->have < 4)
        return;
    *d->at++ = (char)(d->bits >> 16);
    *d->at++ = (char)(d->bits >> 8);
    *d->at++ = (char)d->bits;
    d->have = d->bits = 0;
}

/* The one or two bytes of an incomplete group; its spare bits are lost. */
static void decode_rest(struct decoded *d)
{
    uint32_t bits = d->bits << (4 - d->have) * 6;
    if (d->have >= 2)
        *d->at++ = (char)(bits >> 16);
    if (d->have == 3)
        *d->at++ = (char)(bits >> 8);
}

/* Only padding and new lines may be left. */
static bool padding_ok(struct str s, unsigned have)
{
    unsigned count = 0;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t v = value_of[0][(uint8_t)s.p[i]];
        count += v == PADDING;
        if (v != PADDING && v != NEW_LINE)
            return false;
    }
    return have == 0 ? count == 0 : have >= 2 && have + count == 4;
}

bool base64_decode(struct arena *a, struct str s, struct str *ret)
{
    char *start = arena_try(a, s.n / 4 * 3 + 3, 1);
    struct decoded d = {.at = start};
    if (!start)
        return false;
    while (s.n) {
        if (d.have == 0)
            s = decode_groups(&d, value_of[0], s);
        if (s.n == 0)
            break;
        uint8_t v = value_of[0][(uint8_t)*s.p];
        if (v == PADDING)
            break;
        if (v == BAD)
            return false;
        if (v != NEW_LINE)
            decode_digit(&d, v);
        s = str_sub(s, 1, s.n);
    }
    if (!padding_ok(s, d.have))
        return false;
    decode_rest(&d);
    *ret = str_n(start, (size_t)(d.at - start));
    return true;
}

bool base64url_decode(struct arena *a, struct str s, struct str *ret)
{
    char *start = arena_try(a, s.n / 4 * 3 + 3, 1);
    struct decoded d = {.at = start};
    if (!start)
        return false;
    s = decode_groups(&d, value_of[1], s);
    if (s.n == 1 || s.n > 3)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t v = value_of[1][(uint8_t)s.p[i]];
        if (v == BAD)
            return false;
        decode_digit(&d, v);
    }
    uint32_t spare_bits = d.have == 2 ? 0xf : d.have == 3 ? 0x3 : 0;
    if (d.bits & spare_bits)
        return false;
    decode_rest(&d);
    *ret = str_n(start, (size_t)(d.at - start));
    return true;
}

void hex_encode(struct buf *b, struct str s)
{
    static const char digits[] = "0123456789abcdef";
    if (s.n > b->cap) {
        b->failed = true;
        return;
    }
    char *to = buf_reserve(b, s.n * 2);
    if (!to)
        return;
    for (size_t i = 0; i < s.n; i++) {
        *to++ = digits[(uint8_t)s.p[i] >> 4];
        *to++ = digits[s.p[i] & 15];
    }
    buf_advance(b, s.n * 2);
}

bool hex_decode(struct arena *a, struct str s, struct str *ret)
{
    char *to = s.n % 2 ? NULL : arena_try(a, s.n / 2, 1);
    if (!to)
        return false;
    for (size_t i = 0; i < s.n; i += 2) {
        int high = hex_value(s.p[i]), low = hex_value(s.p[i + 1]);
        if (high < 0 || low < 0)
            return false;
        to[i / 2] = (char)(high << 4 | low);
    }
    *ret = str_n(to, s.n / 2);
    return true;
}
