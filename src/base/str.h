/* SPDX-License-Identifier: Apache-2.0 */
/*
 * str.h: a view of bytes, passed by value.
 *
 * A struct str never owns what it points to. It is not NUL-terminated unless the function that
 * made it says so (arena_str and arena_fmt do). {NULL, 0} is the empty string and also "absent"
 * where a header says that absence matters.
 */
#ifndef BARQUE_BASE_STR_H
#define BARQUE_BASE_STR_H

#include "base/base.h"

struct str {
    const char *p;
    size_t n;
};

#define STR(literal)  ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NULL      ((struct str){NULL, 0})
/* printf("%.*s", STR_ARG(s)) */
#define STR_ARG(s)    ((int)MIN((s).n, (size_t)INT32_MAX)), ((s).p ? (s).p : "")

static inline struct str str_z(const char *z)
{
    return (struct str){z, z ? strlen(z) : 0};
}

static inline struct str str_n(const char *p, size_t n)
{
    return (struct str){p, n};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_eqz(struct str a, const char *z)
{
    return str_eq(a, str_z(z));
}

static inline bool str_empty(struct str s)
{
    return s.n == 0;
}

/* Byte order; a prefix sorts first. */
int str_cmp(struct str a, struct str b);
/* ASCII case folded. */
bool str_case_eq(struct str a, struct str b);
bool str_has_prefix(struct str s, struct str prefix);
bool str_has_suffix(struct str s, struct str suffix);
/* Removes the prefix (suffix) if it is there; tells whether it was. */
bool str_skip(struct str *s, struct str prefix);
bool str_chop(struct str *s, struct str suffix);
/* Index of the first (last) byte c, or -1. */
ptrdiff_t str_index(struct str s, char c);
ptrdiff_t str_rindex(struct str s, char c);
/* Index of the first occurrence of needle, or -1. */
ptrdiff_t str_find(struct str s, struct str needle);
/* s[from, to), clamped to s. */
struct str str_sub(struct str s, size_t from, size_t to);
/* Iterates as strsep does: the part before the next sep; *s becomes the rest, and STR_NULL after
 * the last part. False when *s is STR_NULL. "a,,b" gives "a", "", "b"; "" gives one empty part. */
bool str_next(struct str *s, char sep, struct str *ret_part);
/* Splits at the first sep: true and both halves, or false and *ret_head = s, *ret_tail = "". */
bool str_cut(struct str s, char sep, struct str *ret_head, struct str *ret_tail);
/* Without leading and trailing blanks (space, tab, CR, LF). */
struct str str_trim(struct str s);

/* Whole string, base 10, optional leading '-' (signed only). False: not a number or no fit. */
bool str_to_i64(struct str s, int64_t *ret);
bool str_to_u64(struct str s, uint64_t *ret);
bool str_to_i32(struct str s, int32_t *ret);
/* Go's strconv.ParseBool: 1 t T TRUE true True 0 f F FALSE false False. */
bool str_to_bool(struct str s, bool *ret);

/* 64-bit hash of the bytes; the same in every run (iteration order never depends on it). */
uint64_t str_hash(struct str s);

/* Is s well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms)? */
bool str_is_utf8(struct str s);

/* qsort comparator over struct str. */
int str_qsort(const void *a, const void *b);

#endif
