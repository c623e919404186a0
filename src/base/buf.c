/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

void buf_init(struct buf *b, size_t cap_bytes)
{
    *b = BUF_INIT(cap_bytes);
}

void buf_fini(struct buf *b)
{
    free(b->p);
    *b = BUF_INIT(b->cap);
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
    if (b->p)
        b->p[0] = 0;
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->failed || n > b->cap || b->n > b->cap - n) {
        b->failed = true;
        return NULL;
    }
    size_t need = b->n + n + 1;
    if (need > b->room) {
        size_t room = MAX(need, b->room * 2);
        room = MIN(MAX(room, (size_t)64), b->cap + 1);
        char *p = realloc(b->p, room);
        if (!p) {
            b->failed = true;
            return NULL;
        }
        b->p = p;
        b->room = room;
    }
    return b->p + b->n;
}

void buf_advance(struct buf *b, size_t n)
{
    must(b->n + n < b->room);
    b->n += n;
    b->p[b->n] = 0;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    char *to = buf_reserve(b, n);
    if (!to)
        return;
    memcpy(to, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void buf_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}

void buf_z(struct buf *b, const char *z)
{
    buf_add(b, z, strlen(z));
}

void buf_vfmt(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    must(n >= 0);
    char *to = buf_reserve(b, (size_t)n);
    if (to) {
        vsnprintf(to, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vfmt(b, fmt, ap);
    va_end(ap);
}

void buf_u64(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_add(b, digits + at, sizeof digits - at);
}

void buf_i64(struct buf *b, int64_t v)
{
    if (v < 0)
        buf_c(b, '-');
    buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void buf_consume(struct buf *b, size_t n)
{
    must(n <= b->n);
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
    b->p[b->n] = 0;
}

void buf_truncate(struct buf *b, size_t n)
{
    must(n <= b->n);
    b->n = n;
    if (b->p)
        b->p[n] = 0;
}

struct str buf_to_arena(const struct buf *b, struct arena *a)
{
    return arena_str(a, buf_view(b));
}

char *buf_take(struct buf *b, size_t *ret_n)
{
    char *p = b->p ? b->p : xcalloc(1, 1);
    if (ret_n)
        *ret_n = b->n;
    *b = BUF_INIT(b->cap);
    return p;
}
