/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.h: what every file of Barque may assume.
 *
 * Contracts (`must`) stay on in production: a violated invariant ends the process, the
 * supervisor restarts it, and level-triggered loops converge. `never` marks impossible
 * branches. Neither is for input from outside: that gets an error (base/err.h).
 *
 * Functions that can fail return `int`: 0 is success, a negative value is -enum err_code and
 * is forwarded unchanged, a positive value is an outcome that the function's header documents.
 */
#ifndef BARQUE_BASE_BASE_H
#define BARQUE_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST_USE        __attribute__((warn_unused_result))
#define PRINTF(f, a)    __attribute__((format(printf, f, a)))
#define NORETURN        __attribute__((noreturn))
#define UNUSED          __attribute__((unused))
#define CLEANUP(fn)     __attribute__((cleanup(fn)))
#define ARRAY_LEN(a)    (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))
#define MIN(a, b)       ((a) < (b) ? (a) : (b))
#define MAX(a, b)       ((a) > (b) ? (a) : (b))
#define KIB(n)          ((size_t)(n) << 10)
#define MIB(n)          ((size_t)(n) << 20)

/* Ends the process with file, line and the failed condition on stderr. */
NORETURN void must_fail(const char *file, int line, const char *what);
#define must(cond) ((cond) ? (void)0 : must_fail(__FILE__, __LINE__, #cond))
#define never(why) must_fail(__FILE__, __LINE__, why)

/* malloc family that never returns NULL: small sizes only. Sizes that a peer influences go
 * through a capped buf, a capped arena, or plain malloc with an error path. */
void *xmalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) PRINTF(1, 2) __attribute__((malloc, returns_nonnull));

/* Scope-bound resources: `CLEANUP(close_fd) int fd = open(...)`; hand over with TAKE_FD. */
void close_fd(int *fd);
void free_ptr(void *pp);
#define TAKE_FD(fd)                                                                               \
    ({                                                                                            \
        int take_ = (fd);                                                                         \
        (fd) = -1;                                                                                \
        take_;                                                                                    \
    })
#define TAKE_PTR(p)                                                                               \
    ({                                                                                            \
        __typeof__(p) take_ = (p);                                                                \
        (p) = NULL;                                                                               \
        take_;                                                                                    \
    })

/* Unsafe or locale-dependent libc calls do not compile. */
#define BANNED(fn) sorry_##fn##_is_banned
#undef strcpy
#undef strcat
#undef sprintf
#undef vsprintf
#undef strncpy
#undef strncat
#undef strtok
#undef atoi
#undef atol
#undef gets
#define strcpy(...)   BANNED(strcpy)
#define strcat(...)   BANNED(strcat)
#define sprintf(...)  BANNED(sprintf)
#define vsprintf(...) BANNED(vsprintf)
#define strncpy(...)  BANNED(strncpy)
#define strncat(...)  BANNED(strncat)
#define strtok(...)   BANNED(strtok)
#define atoi(...)     BANNED(atoi)
#define atol(...)     BANNED(atol)
#define gets(...)     BANNED(gets)

#endif
