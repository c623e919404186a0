/* SPDX-License-Identifier: Apache-2.0 */
/*
 * types.h: the scalar and container types that API structs are made of.
 */
#ifndef BARQUE_API_TYPES_H
#define BARQUE_API_TYPES_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

/* resource.Quantity. Decoding checks it and brings it into canonical form ("1000m" becomes "1"). */
struct quantity {
    struct str text; /* p == NULL: absent */
};

/* intstr.IntOrString */
struct intstr {
    bool is_string;
    int32_t i;
    struct str s; /* when is_string */
};

struct str_pair {
    struct str key, value;
};
struct quantity_pair {
    struct str key;
    struct quantity value;
};
struct time_pair {
    struct str key;
    struct wall value;
};

struct str_list {
    struct str *v;
    size_t n;
};
struct strings_pair {
    struct str key;
    struct str_list value;
};

/* Maps are sorted by key; keys are unique. */
struct str_map {
    struct str_pair *v;
    size_t n;
};
struct quantity_map {
    struct quantity_pair *v;
    size_t n;
};
struct time_map {
    struct time_pair *v;
    size_t n;
};
struct strings_map {
    struct strings_pair *v;
    size_t n;
};

/* The value, or STR_NULL when the key is absent. */
struct str str_map_get(const struct str_map *m, struct str key);
bool str_map_has(const struct str_map *m, struct str key);
/* Sets or replaces, keeping order; memory from the arena; key and value are not copied. */
void str_map_set(struct arena *a, struct str_map *m, struct str key, struct str value);
bool str_map_del(struct str_map *m, struct str key); /* was it there? */
bool str_map_equal(const struct str_map *a, const struct str_map *b);
const struct quantity *quantity_map_get(const struct quantity_map *m, struct str key);
void quantity_map_set(struct arena *a, struct quantity_map *m, struct str key,
                      struct quantity value);
bool str_list_has(const struct str_list *l, struct str s);
void str_list_push(struct arena *a, struct str_list *l, struct str s);

/* ---- quantities (k8s.io/apimachinery/pkg/api/resource) ---- */

/* Checks and canonicalises; ret's text is on the arena (or is s itself when it is canonical).
 * False: not a quantity. Values beyond +-2^63-1 saturate, finer than nano rounds up. */
bool quantity_parse(struct arena *a, struct str s, struct quantity *ret);
/* Rounded up; saturating. Absent is 0. */
int64_t quantity_value(const struct quantity *q); /* whole units */
int64_t quantity_milli(const struct quantity *q); /* thousandths */
int quantity_cmp(const struct quantity *a, const struct quantity *b);
/* Canonical text of a whole or milli number, decimal SI ("1500m", "2", "3k" only when exact) or
 * binary SI ("1Gi"). */
struct quantity quantity_from_milli(struct arena *a, int64_t milli);
struct quantity quantity_from_bytes(struct arena *a, int64_t bytes);
struct quantity quantity_from_int(struct arena *a, int64_t units);
/* a + b and a - b, in a's format (b's when a is zero). */
struct quantity quantity_add(struct arena *ar, const struct quantity *a, const struct quantity *b);
struct quantity quantity_sub(struct arena *ar, const struct quantity *a, const struct quantity *b);

/* ---- int or string ---- */

static inline struct intstr intstr_int(int32_t i)
{
    return (struct intstr){.i = i};
}
static inline struct intstr intstr_str(struct str s)
{
    return (struct intstr){.is_string = true, .s = s};
}
static inline bool intstr_zero(const struct intstr *v)
{
    return !v->is_string && v->i == 0;
}
/* "25%" of total (rounded up or down) or the plain number. False: neither. */
bool intstr_scaled(const struct intstr *v, int32_t total, bool round_up, int32_t *ret);

/* ---- durations as Go prints and parses them: "1h2m3.5s" ---- */
bool duration_parse(struct str s, int64_t *ret_ns);
struct str duration_format(struct arena *a, int64_t ns);

/* ---- allocation helpers for building objects ---- */
#define NEW_VALUE(arena, type, value_)                                                             \
    ({                                                                                             \
        type *p_ = arena_new((arena), type);                                                       \
        *p_ = (value_);                                                                            \
        p_;                                                                                        \
    })

/* Makes room for one more element at the end of a LIST and returns a pointer to it (zeroed).
 * Decoders, desc_copy and list_add all leave room for list_room(n) elements; a list whose memory
 * came from elsewhere must not grow this way. */
#define list_add(arena, list)                                                                      \
    ({                                                                                             \
        __typeof__((list)->v[0]) *v_ =                                                             \
            list_grow((arena), (list)->v, (list)->n, sizeof((list)->v[0]));                        \
        (list)->v = v_;                                                                            \
        &v_[(list)->n++];                                                                          \
    })
void *list_grow(struct arena *a, void *v, size_t n, size_t elem_size);
/* n rounded up to a power of two, at least 4. */
size_t list_room(size_t n);

#endif
