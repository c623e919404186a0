/* SPDX-License-Identifier: Apache-2.0 */
/* What is left when commits fail, are slow, or the process dies: in the simulated world. */
#include "store/testing.h"

static void on_disk(struct fixture *f, struct sim_disk *d)
{
    setup_sim(f, 1, d);
    must_open(f);
}

static void run_ms(struct fixture *f, int64_t ms)
{
    sim_run(f->sim, ms);
}

static void stop_after_round(struct task *t)
{
    loop_stop(t->loop);
}

static void one_round(struct fixture *f)
{
    struct task t = {0};
    loop_defer(f->loop, &t, stop_after_round);
    run(f);
}

static void a_failed_commit_takes_with_it_what_was_checked_against_it(void **state)
{
    struct fixture f;
    struct sim_disk d;
    on_disk(&f, &d);
    put(&f, "/a", "old");
    d.commit_ms = 20;
    d.fail_next = 1;
    struct result a, a2, a3, b, v, c = {0};
    start_put(&f, put_of("/a", "1"), &a);
    run_ms(&f, 5); /* it is on its way to the disk; the others wait */
    struct put p = put_of("/a", "2");
    p.expect_mod_rev = 3;
    assert_int_equal(start_put(&f, p, &a2), STORE_OK);
    assert_int_equal(start_put(&f, put_of("/a", "3"), &a3), STORE_OK);
    assert_int_equal(start_put(&f, put_of("/b", "1"), &b), STORE_OK);
    p = put_of("/v", "1");
    p.flags = STORE_VOLATILE;
    assert_int_equal(start_put(&f, p, &v), STORE_OK);
    struct put both[] = {put_of("/c", "1"), put_of("/a", "4")};
    assert_int_equal(store_write(f.store, both, 2, NULL, note_result, &c), STORE_OK);
    assert_str(get(&f, "/a"), "old");
    assert_str(get(&f, "/v"), "");
    run(&f);
    assert_int_equal(a.outcome, -ERR_IO);
    assert_false(a.with_item);
    assert_int_equal(a2.outcome, -ERR_IO);
    assert_int_equal(a3.outcome, -ERR_IO);
    assert_int_equal(c.outcome, -ERR_IO);
    assert_int_equal(b.outcome, STORE_OK);
    assert_int_equal(v.outcome, STORE_OK);
    assert_str(listed(&f, (struct store_range){0}), "/a=old@2 /b=1@6 /v=1@7");
    assert_int_equal(a.calls + a2.calls + a3.calls + b.calls + v.calls + c.calls, 6);
    assert_str(item_value(store_get_pending(f.store, STR("/a"))), "old");
    put(&f, "/a", "new");
    assert_str(store_failure(f.store), "");
    crash(&f, 0);
    assert_str(listed(&f, (struct store_range){.prefix = STR("/a")}), "/a=new@9");
    teardown(&f);
}

static void a_delete_that_failed_never_was(void **state)
{
    struct fixture f;
    struct sim_disk d;
    on_disk(&f, &d);
    put(&f, "/a", "old");
    d.commit_ms = 20;
    d.fail_next = 1;
    struct result gone, again, over;
    struct put p = put_of("/a", "");
    p.flags = STORE_DELETE;
    assert_int_equal(start_put(&f, p, &gone), STORE_OK);
    run_ms(&f, 5);
    p = put_of("/a", "again");
    p.expect_mod_rev = 0;
    assert_int_equal(start_put(&f, p, &again), STORE_OK);
    assert_int_equal(start_put(&f, put_of("/a", "over"), &over), STORE_OK);
    run(&f);
    assert_int_equal(gone.outcome, -ERR_IO);
    assert_int_equal(again.outcome, -ERR_IO);
    assert_int_equal(over.outcome, -ERR_IO);
    assert_str(listed(&f, (struct store_range){0}), "/a=old@2");
    assert_true(store_failure(f.store).n > 0);
    teardown(&f);
}

struct journal {
    rev_t last;
    int ok, failed;
};

static void note_order(void *arg, int outcome, struct item *item, rev_t rev)
{
    struct journal *j = arg;
    assert_true(rev > j->last);
    j->last = rev;
    if (outcome == STORE_OK)
        j->ok++;
    else
        j->failed++;
}

static void failures_are_reported_in_order_too(void **state)
{
    struct fixture f;
    struct sim_disk d;
    on_disk(&f, &d);
    struct journal j = {0};
    struct chance c = {7};
    for (int i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof key, "/%d", (int)chance_below(&c, 20));
        struct put p = put_of(key, "v");
        p.flags = chance_below(&c, 3) == 0 ? STORE_VOLATILE : 0;
        assert_int_equal(store_write(f.store, &p, 1, NULL, note_order, &j), STORE_OK);
        if (chance_below(&c, 4) == 0)
            one_round(&f);
        if (chance_below(&c, 50) == 0)
            d.fail_next = 1 + (uint32_t)chance_below(&c, 3);
    }
    run(&f);
    assert_int_equal(j.ok + j.failed, 3000);
    assert_true(j.failed > 50 && j.ok > 1000);
    teardown(&f);
}

static void volatile_puts_wait_for_earlier_durable_ones(void **state)
{
    struct fixture f;
    struct sim_disk d;
    on_disk(&f, &d);
    put(&f, "/x", "1");
    d.commit_ms = 20;
    struct result slow, fast;
    start_put(&f, put_of("/d", "1"), &slow);
    run_ms(&f, 5);
    struct put p = put_of("/v", "1");
    p.flags = STORE_VOLATILE;
    start_put(&f, p, &fast);
    run_ms(&f, 5);
    assert_int_equal(fast.calls, 0);
    assert_str(get(&f, "/v"), "");
    run(&f);
    assert_str(listed(&f, (struct store_range){0}), "/d=1@3 /v=1@4 /x=1@2");
    start_put(&f, p, &fast);
    assert_str(get(&f, "/v"), "1");
    assert_int_equal(store_revision(f.store), 5);
    run(&f);
    assert_int_equal(fast.calls, 1);
    teardown(&f);
}

static void after_a_crash_volatile_values_are_as_last_durable(void **state)
{
    struct fixture f;
    struct sim_disk d;
    on_disk(&f, &d);
    put(&f, "/lease", "durable");
    for (int i = 0; i < 1000; i++)
        put_volatile(&f, "/lease", "volatile");
    put_volatile(&f, "/new", "volatile");
    rev_t seen = store_revision(f.store);
    crash(&f, 0);
    assert_str(get(&f, "/lease"), "durable");
    assert_null(store_get(f.store, STR("/new")));
    assert_true(store_revision(f.store) >= seen);
    assert_true(put(&f, "/lease", "next") > seen);
    struct store_watch *w;
    static const struct store_watch_ops ops = {NULL, NULL, NULL};
    assert_int_equal(store_watch_start(f.store, STR(""), seen, &ops, NULL, &w, &f.err),
                     -ERR_EXPIRED);
    teardown(&f);
}

static void reservations_last(void **state)
{
    struct fixture f;
    struct sim_disk d;
    on_disk(&f, &d);
    struct put p = put_of("/lease", "v");
    p.flags = STORE_VOLATILE;
    for (int i = 0; i < 200000; i++) {
        assert_int_equal(store_write(f.store, &p, 1, NULL, NULL, NULL), STORE_OK);
        if (i % 100 == 0)
            run(&f);
    }
    run(&f);
    assert_true(d.commits >= 3 && d.commits <= 10);
    rev_t seen = store_revision(f.store);
    assert_int_equal(seen, 200001);
    crash(&f, 0);
    assert_true(store_revision(f.store) >= seen);
    assert_int_equal(store_count(f.store, STR("")), 0);
    teardown(&f);
}

static void volatile_puts_without_reservation_fail_with_the_disk(void **state)
{
    struct fixture f;
    struct sim_disk d;
    on_disk(&f, &d);
    struct result r;
    struct put p = put_of("/lease", "v");
    p.flags = STORE_VOLATILE;
    d.fail_next = 1; /* the very first write needs a reservation */
    assert_int_equal(start_put(&f, p, &r), STORE_OK);
    run(&f);
    assert_int_equal(r.outcome, -ERR_IO);
    assert_null(store_get(f.store, STR("/lease")));
    put_now(&f, p);
    d.fail_next = UINT32_MAX;
    put_now(&f, p); /* now there is a reservation, the disk does not matter */
    d.fail_next = 0;
    teardown(&f);
}

static void deletes_of_what_was_never_durable_cost_nothing(void **state)
{
    struct fixture f;
    struct sim_disk d;
    on_disk(&f, &d);
    put_volatile(&f, "/event", "1");
    put(&f, "/durable", "1");
    uint64_t commits = d.commits;
    struct put p = put_of("/event", "");
    p.flags = STORE_DELETE | STORE_VOLATILE;
    put_now(&f, p);
    assert_int_equal(d.commits, commits);
    p.key = STR("/durable");
    put_now(&f, p);
    assert_int_equal(d.commits, commits + 1);
    crash(&f, 0);
    assert_int_equal(store_count(f.store, STR("")), 0);
    /* a delete without the flag, of a volatile value over a durable one */
    put(&f, "/lease", "1");
    put_volatile(&f, "/lease", "2");
    delete (&f, "/lease");
    crash(&f, 0);
    assert_int_equal(store_count(f.store, STR("")), 0);
    teardown(&f);
}

static void a_lying_disk_loses_the_tail_only(void **state)
{
    struct fixture f;
    struct sim_disk d;
    on_disk(&f, &d);
    d.unsynced_max = 3;
    for (int i = 0; i < 10; i++) {
        char key[16];
        snprintf(key, sizeof key, "/%d", i);
        put(&f, key, "v");
    }
    assert_int_equal(sim_disk_unsynced(&d), 3);
    crash(&f, 1);
    assert_int_equal(store_count(f.store, STR("")), 8);
    put(&f, "/x", "v");
    close_store(&f); /* syncs */
    assert_int_equal(sim_disk_unsynced(&d), 0);
    must_open(&f);
    assert_int_equal(store_count(f.store, STR("")), 9);
    teardown(&f);
}

static void superseded_rows_are_dropped(void **state)
{
    struct fixture f;
    struct sim_disk d;
    on_disk(&f, &d);
    struct chance c = {3};
    size_t rows_max = 0;
    for (int i = 0; i < 30000; i++) {
        char key[16];
        snprintf(key, sizeof key, "/%d", (int)chance_below(&c, 100));
        struct put p = put_of(key, "v");
        if (chance_below(&c, 4) == 0 && store_get_pending(f.store, p.key))
            p.flags = STORE_DELETE;
        assert_int_equal(store_write(f.store, &p, 1, NULL, NULL, NULL), STORE_OK);
        if (chance_below(&c, 8) == 0)
            run(&f);
        rows_max = MAX(rows_max, sim_disk_rows(&d));
    }
    run(&f);
    assert_true(rows_max < 100 + 2048);
    struct store_stats st;
    store_stats(f.store, &st);
    assert_int_equal(sim_disk_rows(&d), st.keys + st.superseded_rows);
    struct str before = listed(&f, (struct store_range){0});
    for (int i = 0; i < 5; i++) {
        crash(&f, 0);
        assert_true(str_eq(before, listed(&f, (struct store_range){0})));
        store_stats(f.store, &st);
        assert_int_equal(sim_disk_rows(&d), st.keys + st.superseded_rows);
    }
    teardown(&f);
}

static void closing_waits_for_the_disk(void **state)
{
    struct fixture f;
    struct sim_disk d;
    on_disk(&f, &d);
    d.commit_ms = 1000000;
    struct result a, b, v;
    start_put(&f, put_of("/a", "1"), &a);
    run_ms(&f, 2);
    start_put(&f, put_of("/b", "1"), &b);
    struct put p = put_of("/v", "1");
    p.flags = STORE_VOLATILE;
    start_put(&f, p, &v);
    close_store(&f);
    assert_int_equal(a.calls + b.calls + v.calls, 3);
    must_open(&f);
    assert_str(listed(&f, (struct store_range){0}), "/a=1@2 /b=1@3 /v=1@4");
    assert_int_equal(store_revision(f.store), 4);
    d.commit_ms = 0;
    teardown(&f);
}

static void an_idle_store_does_nothing(void **state)
{
    struct fixture f;
    struct sim_disk d;
    on_disk(&f, &d);
    for (int i = 0; i < 5000; i++)
        put(&f, "/a", "v");
    uint64_t commits = d.commits;
    run(&f); /* returns: nothing is registered with the loop */
    assert_int_equal(d.commits, commits);
    close_store(&f);
    commits = d.commits;
    must_open(&f);
    run(&f);
    close_store(&f);
    assert_int_equal(d.commits, commits);
    teardown(&f);
}

TESTS(cmocka_unit_test(a_failed_commit_takes_with_it_what_was_checked_against_it),
      cmocka_unit_test(a_delete_that_failed_never_was),
      cmocka_unit_test(failures_are_reported_in_order_too),
      cmocka_unit_test(volatile_puts_wait_for_earlier_durable_ones),
      cmocka_unit_test(after_a_crash_volatile_values_are_as_last_durable),
      cmocka_unit_test(reservations_last),
      cmocka_unit_test(volatile_puts_without_reservation_fail_with_the_disk),
      cmocka_unit_test(deletes_of_what_was_never_durable_cost_nothing),
      cmocka_unit_test(a_lying_disk_loses_the_tail_only),
      cmocka_unit_test(superseded_rows_are_dropped), cmocka_unit_test(closing_waits_for_the_disk),
      cmocka_unit_test(an_idle_store_does_nothing))
