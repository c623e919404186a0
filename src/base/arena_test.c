/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/vec.h"

static void allocations_are_zeroed_aligned_and_distinct(void **state)
{
    struct arena a = ARENA_INIT;
    char *last = NULL;
    for (size_t n = 0; n < 5000; n += 7) {
        char *p = arena_alloc(&a, n);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_ptr_not_equal(p, last);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xee, n);
        last = p;
    }
    size_t held = a.used;
    assert_true(held > 0);
    arena_reset(&a);
    assert_true(a.used < held);
    arena_fini(&a);
    assert_int_equal(a.used, 0);
}

static void cap_bounds_try(void **state)
{
    struct arena a;
    arena_init(&a, 4096);
    assert_null(arena_try(&a, 1, 5000));
    assert_null(arena_try(&a, SIZE_MAX / 2, 4));
    assert_non_null(arena_try(&a, 1, 1000));
    int n = 0;
    while (arena_try(&a, 1, 100))
        n++;
    assert_true(n > 5 && a.used <= 4096);
    arena_fini(&a);
}

static void note(void *arg)
{
    int **at = arg;
    *(*at)++ = 1;
}

static void hooks_run_once(void **state)
{
    int marks[4] = {0}, *at = marks;
    struct arena a = ARENA_INIT;
    arena_on_free(&a, note, &at);
    arena_on_free(&a, note, &at);
    arena_reset(&a);
    assert_int_equal(at - marks, 2);
    arena_fini(&a);
    assert_int_equal(at - marks, 2);
}

static void errors_chain(void **state)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    assert_int_equal(err_set(&e, ERR_NOT_FOUND, "pods \"%s\" not found", "x"), -ERR_NOT_FOUND);
    assert_int_equal(err_wrap(&e, "get"), -ERR_NOT_FOUND);
    assert_str(e.message, "get: pods \"x\" not found");
    assert_int_equal(err_http(e.code), 404);
    for (int i = 0; i < ERR_CAUSES_MAX + 5; i++)
        err_cause(&e, STR("spec.x"), "FieldValueInvalid", "bad %d", i);
    assert_int_equal(e.cause_count, ERR_CAUSES_MAX);
    assert_str(e.causes->next->message, "bad 1");
    assert_int_equal(err_from_http(410), ERR_GONE);
    arena_fini(&a);
}

static void a_full_arena_still_takes_errors(void **state)
{
    struct arena a;
    arena_init(&a, 4096);
    while (arena_try(&a, 1, 64))
        continue;
    struct err e = ERR_INIT(&a);
    assert_int_equal(err_set(&e, ERR_LIMIT, "%0500d", 1), -ERR_LIMIT);
    assert_str(e.message, "(no memory left for the message)");
    assert_int_equal(err_wrap(&e, "%0500d", 1), -ERR_LIMIT);
    err_cause(&e, STR("spec"), "FieldValueInvalid", "bad");
    assert_int_equal(e.cause_count, 0);
    arena_fini(&a);
}

static void vectors_grow(void **state)
{
    struct arena a = ARENA_INIT;
    VEC(int) heap = {0}, on_arena = {0};
    for (int i = 0; i < 100; i++) {
        vec_push(&heap, i);
        vec_push_arena(&a, &on_arena, i * 2);
    }
    int sum = 0;
    LIST_EACH (p, &on_arena)
        sum += *p;
    assert_int_equal(sum, 9900);
    assert_int_equal(heap.v[99], 99);
    vec_free(&heap);
    arena_fini(&a);
}

TESTS(cmocka_unit_test(allocations_are_zeroed_aligned_and_distinct),
      cmocka_unit_test(cap_bounds_try), cmocka_unit_test(hooks_run_once),
      cmocka_unit_test(errors_chain), cmocka_unit_test(a_full_arena_still_takes_errors),
      cmocka_unit_test(vectors_grow))
