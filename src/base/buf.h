/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.h: a growing byte buffer with a mandatory cap and a sticky failure.
 *
 * Append without checking each call and look at `failed` once at the end: after the cap is hit
 * (or memory is out) nothing more is appended. The content is NUL-terminated whenever p is set.
 */
#ifndef BARQUE_BASE_BUF_H
#define BARQUE_BASE_BUF_H

#include <stdarg.h>

#include "base/arena.h"
#include "base/base.h"
#include "base/str.h"

struct buf {
    char *p;
    size_t n;     /* bytes in use */
    size_t room;  /* bytes held, the terminating NUL included */
    size_t cap;   /* n never exceeds this */
    bool failed;
};

#define BUF_INIT(cap_bytes) ((struct buf){.cap = (cap_bytes)})
/* For output whose size the program itself decides. */
#define BUF_CAP_DEFAULT MIB(64)

void buf_init(struct buf *b, size_t cap_bytes);
void buf_fini(struct buf *b); /* also as CLEANUP(buf_fini) */
/* Empties it, keeps the memory, clears the failure. */
void buf_clear(struct buf *b);

void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, struct str s);
void buf_z(struct buf *b, const char *z);
void buf_fmt(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_vfmt(struct buf *b, const char *fmt, va_list ap) PRINTF(2, 0);
void buf_i64(struct buf *b, int64_t v);
void buf_u64(struct buf *b, uint64_t v);

/* Room for n more bytes at the end, to be written by the caller and then counted with
 * buf_advance; NULL (and failed) when over the cap. */
char *buf_reserve(struct buf *b, size_t n);
void buf_advance(struct buf *b, size_t n);
/* Removes n bytes at the front. Costs a move of the rest. */
void buf_consume(struct buf *b, size_t n);
/* Cuts the content to n bytes (n <= b->n). */
void buf_truncate(struct buf *b, size_t n);

static inline void buf_c(struct buf *b, char c)
{
    if (b->n + 1 < b->room && !b->failed) {
        b->p[b->n++] = c;
        b->p[b->n] = 0;
        return;
    }
    buf_add(b, &c, 1);
}

static inline struct str buf_view(const struct buf *b)
{
    return str_n(b->p, b->n);
}

/* A copy on the arena. */
struct str buf_to_arena(const struct buf *b, struct arena *a);
/* Hands over the malloc'd bytes (NUL-terminated, never NULL); the buffer is empty afterwards. */
char *buf_take(struct buf *b, size_t *ret_n);

#endif
