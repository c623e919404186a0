/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vec.h: typed growing arrays, on the heap or on an arena.
 *
 *   VEC(struct str) names = {0};
 *   vec_push(&names, s);                        heap; vec_free(&names) at the end
 *   vec_push_arena(arena, &names, s);           arena; never freed singly
 *
 * LIST(T) is the read side that API objects use: {v, n}, memory owned by the object's arena.
 */
#ifndef BARQUE_BASE_VEC_H
#define BARQUE_BASE_VEC_H

#include "base/arena.h"
#include "base/base.h"

#define LIST(T)                                                                                   \
    struct {                                                                                      \
        T *v;                                                                                     \
        size_t n;                                                                                 \
    }

#define VEC(T)                                                                                    \
    struct {                                                                                      \
        T *v;                                                                                     \
        size_t n, room;                                                                           \
    }

#define vec_push(vec, item)                                                                       \
    do {                                                                                          \
        if ((vec)->n == (vec)->room) {                                                            \
            (vec)->room = (vec)->room ? (vec)->room * 2 : 8;                                      \
            (vec)->v = xrealloc((vec)->v, (vec)->room * sizeof *(vec)->v);                        \
        }                                                                                         \
        (vec)->v[(vec)->n++] = (item);                                                            \
    } while (0)

#define vec_push_arena(arena, vec, item)                                                          \
    do {                                                                                          \
        if ((vec)->n == (vec)->room) {                                                            \
            size_t room_ = (vec)->room ? (vec)->room * 2 : 8;                                     \
            void *grown_ = arena_alloc((arena), room_ * sizeof *(vec)->v);                        \
            if ((vec)->n)                                                                         \
                memcpy(grown_, (vec)->v, (vec)->n * sizeof *(vec)->v);                            \
            (vec)->v = grown_;                                                                    \
            (vec)->room = room_;                                                                  \
        }                                                                                         \
        (vec)->v[(vec)->n++] = (item);                                                            \
    } while (0)

#define vec_free(vec)                                                                             \
    do {                                                                                          \
        free((vec)->v);                                                                           \
        (vec)->v = NULL;                                                                          \
        (vec)->n = (vec)->room = 0;                                                               \
    } while (0)

/* for a VEC or a LIST: LIST_EACH(c, &spec->containers) use(c); c is a pointer to the element. */
#define LIST_EACH(var, list)                                                                      \
    for (__typeof__(*(list)->v) *var = (list)->v; var < (list)->v + (list)->n; var++)

#endif
