/* SPDX-License-Identifier: Apache-2.0 */
/* The worker pool and name resolution. */
#include "base/test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "loop/loop.h"

static struct arena arena = ARENA_INIT;

static struct loop *new_loop(void)
{
    struct err e = ERR_INIT(&arena);
    struct loop *l = loop_new(&e);
    assert_non_null(l);
    return l;
}

enum { JOBS = 12 };

static atomic_int running, most;
static int done_count;
static pthread_t loop_thread;

static void job_run(struct work *w)
{
    int now = atomic_fetch_add(&running, 1) + 1, seen = atomic_load(&most);
    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now)) {
        /* seen was refreshed */
    }
    usleep(5000);
    atomic_fetch_sub(&running, 1);
}

static void job_done(struct work *w)
{
    assert_true(pthread_equal(pthread_self(), loop_thread));
    done_count++;
    free(w);
}

static void work_is_parallel_within_the_limit(void **state)
{
    struct loop *l = new_loop();
    loop_thread = pthread_self();
    for (int i = 0; i < JOBS; i++)
        loop_work(l, xmalloc(sizeof(struct work)), job_run, job_done);
    assert_int_equal(done_count, 0);
    loop_run(l);
    assert_int_equal(done_count, JOBS);
    assert_in_range(atomic_load(&most), 2, WORK_PARALLEL_MAX);
    loop_free(l);
}

static int resolved;

static void local_found(struct resolve *r)
{
    resolved++;
    assert_int_equal(r->error, 0);
    assert_true(r->n >= 1);
    assert_true(strcmp(r->addresses[0], "127.0.0.1") == 0 || strcmp(r->addresses[0], "::1") == 0);
}

static void numeric_found(struct resolve *r)
{
    resolved++;
    assert_int_equal(r->error, 0);
    assert_int_equal(r->n, 1);
    assert_string_equal(r->addresses[0], "10.1.2.3");
}

static void not_found(struct resolve *r)
{
    resolved++;
    assert_int_equal(r->error, -ERR_NOT_FOUND);
    assert_int_equal(r->n, 0);
}

static void names_resolve(void **state)
{
    struct loop *l = new_loop();
    struct resolve r[5];
    char longest[400];
    memset(longest, 'a', sizeof longest);
    loop_resolve(l, &r[0], STR("localhost"), local_found);
    loop_resolve(l, &r[1], STR("10.1.2.3"), numeric_found);
    loop_resolve(l, &r[2], str_n("localhost\0.example", 18), not_found);
    loop_resolve(l, &r[3], STR(""), not_found);
    loop_resolve(l, &r[4], str_n(longest, sizeof longest), not_found);
    loop_run(l);
    assert_int_equal(resolved, 5);
    loop_free(l);
}

static int group_done(void **state)
{
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(work_is_parallel_within_the_limit),
                                       cmocka_unit_test(names_resolve)};
    return cmocka_run_group_tests(tests, NULL, group_done);
}
