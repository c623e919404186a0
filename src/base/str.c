/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

int str_cmp(struct str a, struct str b)
{
    size_t n = MIN(a.n, b.n);
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c)
        return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

int str_qsort(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_case_eq(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool str_has_prefix(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_n(s.p, prefix.n), prefix);
}

bool str_has_suffix(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq(str_n(s.p + (s.n - suffix.n), suffix.n), suffix);
}

bool str_skip(struct str *s, struct str prefix)
{
    if (!str_has_prefix(*s, prefix))
        return false;
    *s = str_n(s->p + prefix.n, s->n - prefix.n);
    return true;
}

bool str_chop(struct str *s, struct str suffix)
{
    if (!str_has_suffix(*s, suffix))
        return false;
    s->n -= suffix.n;
    return true;
}

ptrdiff_t str_index(struct str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? at - s.p : -1;
}

ptrdiff_t str_rindex(struct str s, char c)
{
    const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;
    return at ? at - s.p : -1;
}

ptrdiff_t str_find(struct str s, struct str needle)
{
    if (needle.n == 0)
        return 0;
    const char *at = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
    return at ? at - s.p : -1;
}

struct str str_sub(struct str s, size_t from, size_t to)
{
    to = MIN(to, s.n);
    from = MIN(from, to);
    return str_n(s.p ? s.p + from : NULL, to - from);
}

bool str_next(struct str *s, char sep, struct str *ret_part)
{
    if (!s->p)
        return false;
    if (!str_cut(*s, sep, ret_part, s))
        *s = STR_NULL;
    return true;
}

bool str_cut(struct str s, char sep, struct str *ret_head, struct str *ret_tail)
{
    ptrdiff_t at = str_index(s, sep);
    if (at < 0) {
        *ret_head = s;
        *ret_tail = STR_NULL;
        return false;
    }
    *ret_head = str_n(s.p, (size_t)at);
    *ret_tail = str_n(s.p + at + 1, s.n - (size_t)at - 1);
    return true;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.n && blank(s.p[0]))
        s = str_n(s.p + 1, s.n - 1);
    while (s.n && blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool str_to_u64(struct str s, uint64_t *ret)
{
    if (s.n == 0)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            return false;
    }
    *ret = v;
    return true;
}

bool str_to_i64(struct str s, int64_t *ret)
{
    bool negative = str_skip(&s, STR("-"));
    uint64_t v;
    if (!str_to_u64(s, &v))
        return false;
    if (negative ? v > (uint64_t)INT64_MAX + 1 : v > INT64_MAX)
        return false;
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool str_to_i32(struct str s, int32_t *ret)
{
    int64_t v;
    if (!str_to_i64(s, &v) || v < INT32_MIN || v > INT32_MAX)
        return false;
    *ret = (int32_t)v;
    return true;
}

bool str_to_bool(struct str s, bool *ret)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (str_eqz(s, yes[i]) || str_eqz(s, no[i])) {
            *ret = str_eqz(s, yes[i]);
            return true;
        }
    }
    return false;
}

uint64_t str_hash(struct str s)
{
    /* Multiply-and-fold over 8-byte words; the seed is fixed on purpose (see the header).
     * Tables bound their chains, so chosen collisions cost a constant factor only. */
    const uint64_t k = 0x9e3779b97f4a7c15u;
    uint64_t h = k ^ s.n;
    const char *p = s.p;
    size_t n = s.n;
    while (n >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        __uint128_t m = (__uint128_t)(h ^ w) * k;
        h = (uint64_t)m ^ (uint64_t)(m >> 64);
        p += 8;
        n -= 8;
    }
    uint64_t w = 0;
    if (n)
        memcpy(&w, p, n);
    __uint128_t m = (__uint128_t)(h ^ w) * (k | 1);
    h = (uint64_t)m ^ (uint64_t)(m >> 64);
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ (h >> 32);
}

/* Length of the UTF-8 sequence at p (n bytes left), or 0 when malformed. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size_t len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0)
        return 0; /* overlong */
    if (p[0] == 0xed && p[1] > 0x9f)
        return 0; /* surrogate */
    if (p[0] == 0xf0 && p[1] < 0x90)
        return 0; /* overlong */
    if (p[0] == 0xf4 && p[1] > 0x8f)
        return 0; /* past U+10FFFF */
    return len;
}

bool str_is_utf8(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t n = s.n;
    while (n) {
        uint64_t w;
        if (n >= 8 && (memcpy(&w, p, 8), (w & 0x8080808080808080u) == 0)) {
            p += 8;
            n -= 8;
            continue;
        }
        size_t len = utf8_len(p, n);
        if (!len)
            return false;
        p += len;
        n -= len;
    }
    return true;
}
