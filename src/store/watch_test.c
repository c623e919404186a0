/* SPDX-License-Identifier: Apache-2.0 */
/* Watches, on a store in memory. */
#include "store/testing.h"

#include "store/prefix.h"

static void memory(struct fixture *f)
{
    setup(f);
    f->config.path = ":memory:";
    must_open(f);
}

/* Notes what it is told as text: "+/a=1@2" created, "~" changed (with the value before), "-"
 * deleted, "|" between calls, "^5" progress, "!" expired. */
struct watcher {
    struct fixture *f;
    struct store_watch *w;
    struct buf seen;
    int calls;
    int pause_after; /* calls; 0: never */
    int stop_after;
    struct watcher *stops; /* with its first call */
    struct watcher *starts;
};

static const struct store_watch_ops ops;

static void watch(struct fixture *f, struct watcher *w, const char *prefix, rev_t since)
{
    w->f = f;
    w->seen.cap = BUF_CAP_DEFAULT;
    if (store_watch_start(f->store, str_z(prefix), since, &ops, w, &w->w, &f->err) != 0)
        fail_msg("%.*s", STR_ARG(f->err.message));
}

static void stop(struct watcher *w)
{
    if (w->w)
        store_watch_stop(TAKE_PTR(w->w));
    buf_fini(&w->seen);
}

static void note_event(struct buf *b, const struct store_event *v)
{
    buf_z(b, v->deleted ? "-" : v->prev ? "~" : "+");
    buf_str(b, item_key(v->item));
    buf_c(b, '=');
    if (v->prev) {
        buf_str(b, item_value(v->prev));
        buf_c(b, '>');
    }
    buf_str(b, item_value(v->item));
    assert_int_equal(v->rev, v->item->mod_rev);
    buf_fmt(b, "@%lld ", (long long)v->rev);
}

static bool events(void *arg, const struct store_event *v, size_t n)
{
    struct watcher *w = arg;
    assert_true(n > 0 && n <= STORE_WATCH_BATCH_MAX);
    for (size_t i = 0; i < n; i++)
        note_event(&w->seen, &v[i]);
    buf_z(&w->seen, "| ");
    w->calls++;
    if (w->stops && w->stops->w)
        store_watch_stop(TAKE_PTR(w->stops->w));
    if (w->starts && !w->starts->w)
        watch(w->f, w->starts, "", v[0].rev);
    if (w->calls == w->stop_after)
        store_watch_stop(TAKE_PTR(w->w));
    return w->calls != w->pause_after;
}

static void progress(void *arg, rev_t rev)
{
    struct watcher *w = arg;
    assert_int_equal(rev, store_watch_revision(w->w));
    buf_fmt(&w->seen, "^%lld ", (long long)rev);
}

static void expired(void *arg)
{
    struct watcher *w = arg;
    buf_z(&w->seen, "! ");
    store_watch_stop(TAKE_PTR(w->w));
}

static const struct store_watch_ops ops = {events, progress, expired};

static void events_of_the_prefix_in_order(void **state)
{
    struct fixture f;
    memory(&f);
    struct watcher a = {0}, all = {0};
    put(&f, "/b", "0");
    watch(&f, &a, "/a", 1);
    watch(&f, &all, "", 1);
    run(&f);
    put(&f, "/a/x", "1");
    put(&f, "/a/x", "2");
    delete (&f, "/a/x");
    put(&f, "/c", "3");
    assert_str(buf_view(&a.seen), "^2 +/a/x=1@3 | ^3 ~/a/x=1>2@4 | ^4 -/a/x=2>2@5 | ^5 ");
    assert_str(buf_view(&all.seen), "+/b=0@2 | ^2 +/a/x=1@3 | ^3 ~/a/x=1>2@4 | ^4 "
                                    "-/a/x=2>2@5 | ^5 +/c=3@6 | ^6 ");
    assert_int_equal(store_watch_revision(a.w), 6);
    stop(&a);
    stop(&all);
    teardown(&f);
}

static void a_deletes_item_has_the_old_value_and_its_revision(void **state)
{
    struct fixture f;
    memory(&f);
    struct watcher a = {0};
    watch(&f, &a, "", 1);
    struct put p = put_of("/a", "rv=;");
    p.splice_at = 3;
    put_now(&f, p);
    delete (&f, "/a");
    assert_str(buf_view(&a.seen), "^1 +/a=rv=2;@2 | ^2 -/a=rv=2;>rv=3;@3 | ^3 ");
    stop(&a);
    teardown(&f);
}

static void replay_equals_live(void **state)
{
    struct fixture f;
    memory(&f);
    struct watcher live = {0}, late = {0}, future = {0};
    watch(&f, &live, "/a", 1);
    watch(&f, &future, "/a", 600);
    run(&f);
    struct result ignored;
    for (int i = 0; i < 700; i++) {
        char key[24];
        snprintf(key, sizeof key, "/%s/%d", i % 3 ? "a" : "b", i % 13);
        assert_int_equal(start_put(&f, put_of(key, "v"), &ignored), 0);
        if (i % 97 == 0)
            run(&f);
    }
    run(&f);
    watch(&f, &late, "/a", 1);
    run(&f);
    struct str x = buf_view(&live.seen), y = buf_view(&late.seen), part;
    CLEANUP(buf_fini) struct buf x_only = BUF_INIT(BUF_CAP_DEFAULT);
    CLEANUP(buf_fini) struct buf y_only = BUF_INIT(BUF_CAP_DEFAULT);
    while (str_next(&x, ' ', &part))
        if (part.n > 4)
            buf_str(&x_only, part);
    while (str_next(&y, ' ', &part))
        if (part.n > 4)
            buf_str(&y_only, part);
    assert_true(x_only.n > 1000);
    assert_true(str_eq(buf_view(&x_only), buf_view(&y_only)));
    assert_int_equal(store_watch_revision(live.w), 701);
    assert_int_equal(str_find(buf_view(&future.seen), STR("@600 ")), -1);
    assert_true(str_find(buf_view(&future.seen), STR("@602 ")) > 0 ||
                str_find(buf_view(&future.seen), STR("@601 ")) > 0);
    stop(&live);
    stop(&late);
    stop(&future);
    teardown(&f);
}

static void a_paused_watch_resumes_where_it_was(void **state)
{
    struct fixture f;
    memory(&f);
    struct watcher a = {.pause_after = 1}, b = {0};
    watch(&f, &a, "/a", 1);
    watch(&f, &b, "/a", 1);
    put(&f, "/a", "1");
    put(&f, "/x", "1");
    put(&f, "/a", "2");
    assert_str(buf_view(&a.seen), "^1 +/a=1@2 | ");
    assert_int_equal(store_watch_revision(a.w), 2);
    assert_int_equal(store_watch_revision(b.w), 4);
    store_watch_resume(a.w);
    store_watch_resume(a.w);
    run(&f);
    put(&f, "/a", "3");
    assert_str(buf_view(&a.seen), "^1 +/a=1@2 | ~/a=1>2@4 | ^4 ~/a=2>3@5 | ^5 ");
    assert_str(buf_view(&b.seen), "^1 +/a=1@2 | ^2 ~/a=1>2@4 | ^4 ~/a=2>3@5 | ^5 ");
    stop(&a);
    stop(&b);
    teardown(&f);
}

static void a_watch_that_falls_out_of_the_ring_dies(void **state)
{
    struct fixture f;
    setup(&f);
    f.config.path = ":memory:";
    f.config.ring_events_max = 10;
    must_open(&f);
    struct watcher slow = {.pause_after = 1}, fast = {0}, quiet = {0};
    watch(&f, &slow, "/a", 1);
    watch(&f, &fast, "/a", 1);
    watch(&f, &quiet, "/q", 1);
    run(&f);
    struct result r;
    for (int i = 0; i < 100; i++) /* one batch, much longer than the ring */
        assert_int_equal(start_put(&f, put_of("/a", "v"), &r), STORE_OK);
    run(&f);
    assert_int_equal(fast.calls, 1);
    assert_non_null(fast.w);
    put(&f, "/a", "last");
    put(&f, "/q", "1");
    assert_true(str_has_suffix(buf_view(&fast.seen), STR("~/a=v>last@102 | ^102 ")));
    assert_str(buf_view(&quiet.seen), "^1 +/q=1@103 | ^103 ");
    for (int i = 0; i < 12; i++)
        put(&f, "/a", "more");
    assert_null(slow.w);
    assert_true(str_has_suffix(buf_view(&slow.seen), STR("@101 | ! ")));
    struct store_watch *none;
    assert_int_equal(store_watch_start(f.store, STR("/a"), 5, &ops, NULL, &none, &f.err),
                     -ERR_EXPIRED);
    assert_int_equal(store_oldest(f.store), 105);
    struct store_stats st;
    store_stats(f.store, &st);
    assert_int_equal(st.ring_events, 10);
    stop(&slow);
    stop(&fast);
    stop(&quiet);
    teardown(&f);
}

static void the_ring_is_bounded_in_bytes(void **state)
{
    struct fixture f;
    setup(&f);
    f.config.path = ":memory:";
    f.config.ring_bytes_max = KIB(64);
    must_open(&f);
    char *big = xcalloc(1, 4000);
    memset(big, 'x', 3999);
    struct store_stats st;
    for (int i = 0; i < 100; i++) {
        put(&f, i % 2 ? "/a" : "/b", big);
        if (i % 10 == 9)
            delete (&f, "/a");
        store_stats(f.store, &st);
        assert_true(st.ring_bytes <= KIB(64));
    }
    assert_true(st.ring_bytes > KIB(50));
    assert_true(st.ring_events >= 10 && st.ring_events <= 20);
    free(big);
    teardown(&f);
}

static void callbacks_may_stop_and_start_watches(void **state)
{
    struct fixture f;
    memory(&f);
    struct watcher victim = {0}, late = {0}, self = {.stop_after = 1}, killer = {0}, victim2 = {0};
    watch(&f, &victim, "/a", 1);
    watch(&f, &killer, "/a", 1);
    watch(&f, &victim2, "/a", 1);
    watch(&f, &self, "/a", 1);
    run(&f);
    killer.stops = &victim2;
    killer.starts = &late;
    victim.stops = &victim;
    put(&f, "/a", "1");
    put(&f, "/a", "2");
    assert_str(buf_view(&victim.seen), "^1 +/a=1@2 | ");
    assert_str(buf_view(&victim2.seen), "^1 ");
    assert_str(buf_view(&self.seen), "^1 +/a=1@2 | ");
    assert_str(buf_view(&late.seen), "^2 ~/a=1>2@3 | ^3 ");
    assert_str(buf_view(&killer.seen), "^1 +/a=1@2 | ^2 ~/a=1>2@3 | ^3 ");
    stop(&victim);
    stop(&killer);
    stop(&late);
    stop(&self);
    stop(&victim2);
    teardown(&f);
}

static bool write_back(void *arg, const struct store_event *v, size_t n)
{
    struct watcher *w = arg;
    for (size_t i = 0; i < n; i++)
        note_event(&w->seen, &v[i]);
    if (w->calls++ < 20) {
        struct put p = put_of("/a", w->calls % 2 ? "odd" : "even");
        p.flags = w->calls % 3 ? STORE_VOLATILE : 0;
        assert_int_equal(store_write(w->f->store, &p, 1, NULL, NULL, NULL), STORE_OK);
    }
    return true;
}

static void callbacks_may_write(void **state)
{
    static const struct store_watch_ops back = {write_back, NULL, expired};
    struct fixture f;
    setup(&f);
    f.config.path = ":memory:";
    f.config.ring_events_max = 1;
    must_open(&f);
    struct watcher w = {.f = &f, .seen = BUF_INIT(BUF_CAP_DEFAULT)}, other = {0};
    assert_int_equal(store_watch_start(f.store, STR(""), 1, &back, &w, &w.w, &f.err), 0);
    watch(&f, &other, "/", 1);
    run(&f);
    put(&f, "/a", "x");
    assert_int_equal(w.calls, 21);
    assert_int_equal(store_watch_revision(w.w), 22);
    assert_int_equal(store_watch_revision(other.w), 22);
    stop(&w);
    stop(&other);
    teardown(&f);
}

static bool write_once(void *arg, const struct store_event *v, size_t n)
{
    struct watcher *w = arg;
    struct put p = put_of("/a", "volatile");
    p.flags = STORE_VOLATILE;
    if (w->calls++ == 0)
        assert_int_equal(store_write(w->f->store, &p, 1, NULL, NULL, NULL), STORE_OK);
    return true;
}

static void watch_late(void *arg, int outcome, struct item *item, rev_t rev)
{
    struct watcher *late = arg;
    watch(late->f, late, "/a", rev - 1);
}

/* A watch catches up in the same pass in which a callback writes something that is visible at
 * once; its group must not hand it that a second time. */
static void nothing_comes_twice(void **state)
{
    static const struct store_watch_ops once = {write_once, NULL, NULL};
    struct fixture f;
    memory(&f);
    put_volatile(&f, "/reserve", "x");
    struct watcher w = {.f = &f}, late = {.f = &f};
    assert_int_equal(store_watch_start(f.store, STR("/a"), 2, &once, &w, &w.w, &f.err), 0);
    run(&f);
    struct put p = put_of("/a", "1");
    assert_int_equal(store_write(f.store, &p, 1, NULL, watch_late, &late), STORE_OK);
    run(&f);
    put(&f, "/a", "2");
    assert_str(buf_view(&late.seen), "+/a=1@3 ~/a=1>volatile@4 | ^4 ^4 ~/a=volatile>2@5 | ^5 ");
    stop(&w);
    stop(&late);
    teardown(&f);
}

static void a_revision_is_never_cut(void **state)
{
    struct fixture f;
    memory(&f);
    struct watcher w = {0};
    struct put puts[100];
    char keys[100][16];
    for (int i = 0; i < 100; i++) {
        snprintf(keys[i], sizeof keys[i], "/k%d", i);
        puts[i] = put_of(keys[i], "v");
    }
    for (int i = 0; i < 7; i++)
        assert_int_equal(store_write(f.store, puts, 100, NULL, NULL, NULL), STORE_OK);
    run(&f);
    watch(&f, &w, "/", 1);
    run(&f);
    assert_int_equal(w.calls, 4); /* two revisions fit in a call, and the last is alone */
    stop(&w);
    teardown(&f);
}

/* ---- prefix sets ---- */

static void prefixes_match_like_a_naive_search(void **state)
{
    struct chance c = {99};
    static const char letters[] = "ab";
    enum { N = 60 };
    struct prefix all[N];
    char text[N][8];
    bool in[N] = {0};
    struct prefix_set set = {0};
    for (int step = 0; step < 20000; step++) {
        size_t at = chance_below(&c, N);
        if (in[at]) {
            prefix_remove(&set, &all[at]);
            in[at] = false;
        } else {
            size_t n = chance_below(&c, 7);
            for (size_t i = 0; i < n; i++)
                text[at][i] = letters[chance_below(&c, 2)];
            all[at] = (struct prefix){.text = str_n(text[at], n)};
            if (!prefix_find(&set, all[at].text)) {
                prefix_add(&set, &all[at]);
                in[at] = true;
            }
        }
        char key[12];
        size_t key_n = chance_below(&c, 12);
        for (size_t i = 0; i < key_n; i++)
            key[i] = letters[chance_below(&c, 2)];
        size_t want = 0, got = 0;
        for (size_t i = 0; i < N; i++)
            want += in[i] && str_has_prefix(str_n(key, key_n), all[i].text);
        for (struct prefix *p = prefix_match(&set, str_n(key, key_n)); p; p = p->outer) {
            assert_true(str_has_prefix(str_n(key, key_n), p->text));
            got++;
        }
        assert_int_equal(got, want);
    }
    prefix_set_fini(&set);
}

TESTS(cmocka_unit_test(events_of_the_prefix_in_order),
      cmocka_unit_test(a_deletes_item_has_the_old_value_and_its_revision),
      cmocka_unit_test(replay_equals_live), cmocka_unit_test(a_paused_watch_resumes_where_it_was),
      cmocka_unit_test(a_watch_that_falls_out_of_the_ring_dies),
      cmocka_unit_test(the_ring_is_bounded_in_bytes),
      cmocka_unit_test(callbacks_may_stop_and_start_watches), cmocka_unit_test(callbacks_may_write),
      cmocka_unit_test(nothing_comes_twice), cmocka_unit_test(a_revision_is_never_cut),
      cmocka_unit_test(prefixes_match_like_a_naive_search))
