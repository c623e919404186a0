/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h: memory that dies together.
 *
 * One arena per unit of work: a request, a reconcile, a decoded object. Allocate freely, free
 * once. Nothing in an arena is freed singly; other resources hang on it by arena_on_free().
 *
 * An arena has a byte cap. Allocation past it aborts the process when made by arena_alloc()
 * (a programming error: size the cap from the limits), and returns NULL when made by
 * arena_try(), which is the call for sizes that a peer influences.
 *
 * Not thread-safe; an arena may move between threads when only one uses it at a time.
 */
#ifndef BARQUE_BASE_ARENA_H
#define BARQUE_BASE_ARENA_H

#include "base/base.h"
#include "base/str.h"

struct arena_chunk;
struct arena_hook;

struct arena {
    char *at;                  /* next free byte of the newest chunk */
    char *end;                 /* end of the newest chunk */
    struct arena_chunk *chunks; /* newest first */
    struct arena_hook *hooks;
    size_t used;               /* bytes held from malloc */
    size_t cap;                /* bytes that may be held */
};

#define ARENA_CAP_DEFAULT MIB(256)

/* Ready to use with the default cap; allocates nothing before the first allocation. */
#define ARENA_INIT ((struct arena){.cap = ARENA_CAP_DEFAULT})

void arena_init(struct arena *a, size_t cap_bytes);
/* Runs the hooks (newest first) and frees all memory; the arena may be used again. */
void arena_fini(struct arena *a);
/* As arena_fini, but keeps one chunk for the next use. */
void arena_reset(struct arena *a);

/* Zeroed memory, aligned for any type. n == 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
/* The same without zeroing. */
void *arena_raw(struct arena *a, size_t n) __attribute__((returns_nonnull));
/* Zeroed memory for count elements, or NULL when the cap or the address space is exceeded. */
void *arena_try(struct arena *a, size_t count, size_t size);
#define arena_new(a, type)       ((type *)arena_alloc((a), sizeof(type)))
#define arena_array(a, n, type)  ((type *)arena_alloc((a), (size_t)(n) * sizeof(type)))

/* Calls fn(arg) when the arena is finished or reset. */
void arena_on_free(struct arena *a, void (*fn)(void *arg), void *arg);

/* NUL-terminated copies. */
struct str arena_str(struct arena *a, struct str s);
struct str arena_cstr(struct arena *a, const char *s);
struct str arena_fmt(struct arena *a, const char *fmt, ...) PRINTF(2, 3);
struct str arena_cat(struct arena *a, struct str x, struct str y);
/* All parts, one behind the other. */
struct str arena_join(struct arena *a, const struct str *parts, size_t n);
/* A C string on the arena for system calls. */
const char *arena_z(struct arena *a, struct str s);

#endif
