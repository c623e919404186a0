/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdarg.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
enum { RED_ZONE = 16 }; /* unaddressable gap between allocations */
#else
#define POISON(p, n)   ((void)0)
#define UNPOISON(p, n) ((void)0)
enum { RED_ZONE = 0 };
#endif

enum { ALIGN = 16, CHUNK_MIN = 2048, CHUNK_MAX = 1 << 18 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* of the whole chunk, this header included */
};

struct arena_hook {
    struct arena_hook *next;
    void (*fn)(void *);
    void *arg;
};

enum { HEADER = (sizeof(struct arena_chunk) + ALIGN - 1) / ALIGN * ALIGN };

void arena_init(struct arena *a, size_t cap_bytes)
{
    *a = (struct arena){.cap = cap_bytes};
}

static void run_hooks(struct arena *a)
{
    while (a->hooks) {
        struct arena_hook *h = a->hooks;
        a->hooks = h->next;
        h->fn(h->arg);
    }
}

static void free_chunks(struct arena *a, struct arena_chunk *c)
{
    while (c) {
        struct arena_chunk *next = c->next;
        a->used -= c->size;
        UNPOISON(c, c->size);
        free(c);
        c = next;
    }
}

void arena_fini(struct arena *a)
{
    run_hooks(a);
    free_chunks(a, a->chunks);
    arena_init(a, a->cap);
}

void arena_reset(struct arena *a)
{
    run_hooks(a);
    struct arena_chunk *keep = a->chunks;
    if (!keep)
        return;
    free_chunks(a, keep->next);
    keep->next = NULL;
    a->at = (char *)keep + HEADER;
    a->end = (char *)keep + keep->size;
    POISON(a->at, (size_t)(a->end - a->at));
}

/* Starts a new chunk that holds at least n bytes. False: over the cap. */
static bool grow(struct arena *a, size_t n)
{
    size_t want = a->chunks ? MIN(a->chunks->size * 2, (size_t)CHUNK_MAX) : CHUNK_MIN;
    if (want < n + HEADER)
        want = n + HEADER;
    if (want < n || a->used > a->cap || want > a->cap - a->used) {
        want = n + HEADER;
        if (want < n || a->used > a->cap || want > a->cap - a->used)
            return false;
    }
    struct arena_chunk *c = malloc(want);
    if (!c)
        return false;
    c->size = want;
    a->used += want;
    /* A chunk made for one big allocation goes behind the current one, whose rest stays usable. */
    c->next = a->chunks;
    a->chunks = c;
    a->at = (char *)c + HEADER;
    a->end = (char *)c + want;
    POISON(a->at, want - HEADER);
    return true;
}

static void *take(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    size_t need = (n + RED_ZONE + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (need == 0)
        need = ALIGN;
    if ((size_t)(a->end - a->at) < need && !grow(a, need))
        return NULL;
    char *p = a->at;
    a->at += need;
    UNPOISON(p, n);
    return p;
}

void *arena_raw(struct arena *a, size_t n)
{
    void *p = take(a, n);
    must(p != NULL);
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    return memset(arena_raw(a, n), 0, n);
}

void *arena_try(struct arena *a, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        return NULL;
    void *p = take(a, n);
    return p ? memset(p, 0, n) : NULL;
}

void arena_on_free(struct arena *a, void (*fn)(void *), void *arg)
{
    struct arena_hook *h = arena_new(a, struct arena_hook);
    *h = (struct arena_hook){.next = a->hooks, .fn = fn, .arg = arg};
    a->hooks = h;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = arena_raw(a, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return (struct str){p, s.n};
}

struct str arena_cstr(struct arena *a, const char *s)
{
    return arena_str(a, str_z(s));
}

struct str arena_fmt(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    must(n >= 0);
    char *p = arena_raw(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return (struct str){p, (size_t)n};
}

struct str arena_join(struct arena *a, const struct str *parts, size_t n)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        total += parts[i].n;
    char *p = arena_raw(a, total + 1);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n)
            memcpy(p + at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    p[total] = 0;
    return (struct str){p, total};
}

struct str arena_cat(struct arena *a, struct str x, struct str y)
{
    return arena_join(a, (struct str[]){x, y}, 2);
}

const char *arena_z(struct arena *a, struct str s)
{
    return arena_str(a, s).p;
}
