/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing, on the real file. */
#include "store/testing.h"

#define WITH_STORE(f)                                                                              \
    struct fixture f;                                                                              \
    setup(&f);                                                                                     \
    must_open(&f)

static void a_new_store_is_empty_at_revision_1(void **state)
{
    WITH_STORE(f);
    assert_int_equal(store_revision(f.store), 1);
    assert_int_equal(store_oldest(f.store), 1);
    assert_null(store_get(f.store, STR("a")));
    assert_int_equal(store_count(f.store, STR("")), 0);
    assert_str(listed(&f, (struct store_range){0}), "");
    teardown(&f);
}

static void a_write_is_seen_when_it_is_durable(void **state)
{
    WITH_STORE(f);
    struct result r;
    assert_int_equal(start_put(&f, put_of("/a", "1"), &r), STORE_OK);
    assert_null(store_get(f.store, STR("/a")));
    assert_str(item_value(store_get_pending(f.store, STR("/a"))), "1");
    assert_int_equal(r.calls, 0);
    assert_int_equal(store_revision(f.store), 1);
    run(&f);
    assert_int_equal(r.calls, 1);
    assert_int_equal(r.outcome, STORE_OK);
    assert_true(r.with_item);
    assert_int_equal(r.rev, 2);
    assert_str(get(&f, "/a"), "1");
    assert_int_equal(store_revision(f.store), 2);
    teardown(&f);
}

static void compares_meet_pending_values(void **state)
{
    WITH_STORE(f);
    struct result r1, r2;
    struct put p = put_of("/a", "1");
    p.expect_mod_rev = 0;
    assert_int_equal(start_put(&f, p, &r1), STORE_OK);
    struct item *met = NULL;
    assert_int_equal(store_write(f.store, &p, 1, &met, note_result, &r2), STORE_CONFLICT);
    assert_non_null(met);
    assert_int_equal(met->mod_rev, 2);
    p = put_of("/a", "2");
    p.expect_mod_rev = 2;
    assert_int_equal(start_put(&f, p, &r2), STORE_OK);
    p.expect_mod_rev = 2;
    assert_int_equal(store_write(f.store, &p, 1, &met, note_result, &r2), STORE_CONFLICT);
    assert_int_equal(met->mod_rev, 3);
    run(&f);
    assert_int_equal(r1.calls + r2.calls, 2);
    assert_str(get(&f, "/a"), "2");
    struct item *i = store_get(f.store, STR("/a"));
    assert_int_equal(i->create_rev, 2);
    assert_int_equal(i->mod_rev, 3);
    teardown(&f);
}

static void deletes(void **state)
{
    WITH_STORE(f);
    struct put gone = put_of("/a", "ignored");
    gone.flags = STORE_DELETE;
    struct item *met = (struct item *)&f;
    assert_int_equal(store_write(f.store, &gone, 1, &met, NULL, NULL), STORE_CONFLICT);
    assert_null(met);
    rev_t created = put(&f, "/a", "1");
    struct result r;
    gone.expect_mod_rev = created;
    assert_int_equal(start_put(&f, gone, &r), STORE_OK);
    assert_null(store_get_pending(f.store, STR("/a")));
    assert_str(get(&f, "/a"), "1");
    struct put again = put_of("/a", "2");
    again.expect_mod_rev = 0;
    struct result r2;
    assert_int_equal(start_put(&f, again, &r2), STORE_OK);
    run(&f);
    assert_int_equal(r.outcome, STORE_OK);
    assert_false(r.with_item);
    assert_str(get(&f, "/a"), "2");
    assert_int_equal(store_get(f.store, STR("/a"))->create_rev, r2.rev);
    delete (&f, "/a");
    assert_null(store_get(f.store, STR("/a")));
    close_store(&f);
    must_open(&f);
    assert_null(store_get(f.store, STR("/a")));
    teardown(&f);
}

static void the_value_holds_its_revision(void **state)
{
    WITH_STORE(f);
    struct put p = put_of("/a", "{\"rv\":\"\"}");
    p.splice_at = 7;
    put_now(&f, p);
    assert_str(get(&f, "/a"), "{\"rv\":\"2\"}");
    close_store(&f);
    must_open(&f);
    assert_str(get(&f, "/a"), "{\"rv\":\"2\"}");
    p.splice_at = 9;
    put_now(&f, p);
    p.splice_at = 0;
    p.key = STR("/b");
    put_now(&f, p);
    close_store(&f);
    must_open(&f);
    assert_str(get(&f, "/a"), "{\"rv\":\"\"}3");
    assert_str(get(&f, "/b"), "4{\"rv\":\"\"}");
    teardown(&f);
}

static void a_transaction_is_one_revision(void **state)
{
    WITH_STORE(f);
    put(&f, "/c", "0");
    struct put puts[] = {put_of("/a", "1"), put_of("/b", "2"), put_of("/c", "")};
    puts[2].flags = STORE_DELETE;
    struct result r = {0};
    assert_int_equal(store_write(f.store, puts, 3, NULL, note_result, &r), STORE_OK);
    run(&f);
    assert_int_equal(r.rev, 3);
    assert_str(listed(&f, (struct store_range){0}), "/a=1@3 /b=2@3");
    puts[2].flags = 0;
    puts[0].expect_mod_rev = 3;
    puts[1].expect_mod_rev = 2;
    assert_int_equal(store_write(f.store, puts, 3, NULL, NULL, NULL), STORE_CONFLICT);
    run(&f);
    assert_str(listed(&f, (struct store_range){0}), "/a=1@3 /b=2@3");
    close_store(&f);
    must_open(&f);
    assert_str(listed(&f, (struct store_range){0}), "/a=1@3 /b=2@3");
    assert_int_equal(store_revision(f.store), 3);
    teardown(&f);
}

static void ranges_page_and_look_back(void **state)
{
    WITH_STORE(f);
    put(&f, "/p/a", "1");
    put(&f, "/p/b", "2");
    put(&f, "/q", "3");
    rev_t then = put(&f, "/p/d", "4");
    assert_int_equal(then, 5);
    put(&f, "/p/c", "5");
    put(&f, "/p/b", "6");
    delete (&f, "/p/a");
    assert_int_equal(store_count(f.store, STR("/p/")), 3);
    assert_str(listed(&f, (struct store_range){.prefix = STR("/p/")}),
               "/p/b=6@7 /p/c=5@6 /p/d=4@5");
    assert_str(
        listed(&f, (struct store_range){.prefix = STR("/p/"), .limit = 1, .after = STR("/p/b")}),
        "/p/c=5@6");
    assert_str(listed(&f, (struct store_range){.prefix = STR("/p/"), .at = then}),
               "/p/a=1@2 /p/b=2@3 /p/d=4@5");
    assert_str(listed(&f, (struct store_range){.prefix = STR("/p/"), .at = then, .limit = 1}),
               "/p/a=1@2");
    assert_str(listed(&f,
                      (struct store_range){
                          .prefix = STR("/p/"), .at = then, .limit = 9, .after = STR("/p/a")}),
               "/p/b=2@3 /p/d=4@5");
    assert_str(listed(&f, (struct store_range){.at = 1}), "");
    struct store_range future = {.at = 9};
    assert_int_equal(store_each(f.store, &future, list_item, NULL), -ERR_TIMEOUT);
    close_store(&f);
    must_open(&f);
    struct store_range past = {.at = 7};
    assert_int_equal(store_each(f.store, &past, list_item, NULL), -ERR_EXPIRED);
    past.at = 8;
    assert_str(listed(&f, past), "/p/b=6@7 /p/c=5@6 /p/d=4@5 /q=3@4");
    teardown(&f);
}

static void volatile_puts_survive_an_orderly_close(void **state)
{
    WITH_STORE(f);
    put(&f, "/lease", "durable");
    struct store_stats before, after;
    store_stats(f.store, &before);
    for (int i = 0; i < 100; i++)
        put_volatile(&f, "/lease", "volatile");
    put_volatile(&f, "/new", "x");
    store_stats(f.store, &after);
    assert_int_equal(after.commits, before.commits);
    assert_int_equal(after.volatile_puts, 101);
    rev_t last = store_revision(f.store);
    close_store(&f);
    must_open(&f);
    assert_int_equal(store_revision(f.store), last);
    assert_str(get(&f, "/lease"), "volatile");
    assert_str(get(&f, "/new"), "x");
    assert_int_equal(store_get(f.store, STR("/lease"))->create_rev, 2);
    teardown(&f);
}

static void bounds(void **state)
{
    WITH_STORE(f);
    struct result r;
    assert_int_equal(start_put(&f, put_of("", "x"), &r), -ERR_LIMIT);
    char *big = xcalloc(1, STORE_VALUE_MAX + 1);
    struct put p = put_of("k", "");
    p.value = str_n(big, STORE_VALUE_MAX + 1);
    assert_int_equal(start_put(&f, p, &r), -ERR_LIMIT);
    p.value.n--;
    memset(big, 'v', p.value.n);
    put_now(&f, p);
    p.key = str_n(big, STORE_KEY_MAX + 1);
    assert_int_equal(start_put(&f, p, &r), -ERR_LIMIT);
    p.key.n--;
    p.value = STR("long key");
    put_now(&f, p);
    close_store(&f);
    must_open(&f);
    assert_int_equal(store_get(f.store, STR("k"))->value_len, STORE_VALUE_MAX);
    assert_non_null(store_get(f.store, p.key));
    int queued = 0;
    p.value = str_n(big, STORE_VALUE_MAX);
    while ((r.outcome = store_write(f.store, &p, 1, NULL, NULL, NULL)) == STORE_OK)
        queued++;
    assert_int_equal(r.outcome, -ERR_LIMIT);
    assert_true(queued >= 8 && queued <= 9);
    run(&f);
    assert_int_equal(start_put(&f, p, &r), STORE_OK);
    free(big);
    teardown(&f);
}

struct order {
    rev_t last;
    int calls;
    struct fixture *f;
};

static void in_order(void *arg, int outcome, struct item *item, rev_t rev)
{
    struct order *o = arg;
    assert_true(rev > o->last);
    o->last = rev;
    o->calls++;
    if (o->calls <= 50) { /* writes from callbacks */
        struct put p = put_of("/again", "x");
        p.flags = o->calls % 2 ? STORE_VOLATILE : 0;
        assert_int_equal(store_write(o->f->store, &p, 1, NULL, in_order, o), STORE_OK);
    }
}

static void callbacks_come_in_order_of_revision(void **state)
{
    WITH_STORE(f);
    struct order o = {.f = &f};
    for (int i = 0; i < 500; i++) {
        char key[16];
        snprintf(key, sizeof key, "/k%d", i % 37);
        struct put p = put_of(key, "v");
        p.flags = i % 5 == 0 ? STORE_VOLATILE : 0;
        assert_int_equal(store_write(f.store, &p, 1, NULL, in_order, &o), STORE_OK);
    }
    run(&f);
    assert_int_equal(o.calls, 550);
    assert_int_equal(o.last, store_revision(f.store));
    struct store_stats st;
    store_stats(f.store, &st);
    assert_true(st.commits < 100); /* group commit */
    teardown(&f);
}

static void close_commits_what_is_queued(void **state)
{
    WITH_STORE(f);
    struct order o = {.f = &f, .calls = 1000};
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof key, "/k%03d", i);
        struct put p = put_of(key, "v");
        assert_int_equal(store_write(f.store, &p, 1, NULL, in_order, &o), STORE_OK);
        if (i == 100) {
            loop_stop(f.loop);
            run(&f);
        }
    }
    close_store(&f);
    assert_int_equal(o.calls, 1300);
    must_open(&f);
    assert_int_equal(store_count(f.store, STR("/k")), 300);
    assert_int_equal(store_revision(f.store), 301);
    teardown(&f);
}

TESTS(cmocka_unit_test(a_new_store_is_empty_at_revision_1),
      cmocka_unit_test(a_write_is_seen_when_it_is_durable),
      cmocka_unit_test(compares_meet_pending_values), cmocka_unit_test(deletes),
      cmocka_unit_test(the_value_holds_its_revision),
      cmocka_unit_test(a_transaction_is_one_revision), cmocka_unit_test(ranges_page_and_look_back),
      cmocka_unit_test(volatile_puts_survive_an_orderly_close), cmocka_unit_test(bounds),
      cmocka_unit_test(callbacks_come_in_order_of_revision),
      cmocka_unit_test(close_commits_what_is_queued))
