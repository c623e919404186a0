/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations against a naive model: the list of all events. Whatever the store tells (a
 * value, a range now or at a past revision, a count, the events of a watch, its progress) is
 * checked against what follows from that list. Disks that are slow, fail and lose what was under
 * way, crashes and restarts are part of the operations. STORE_SEED=7 runs one seed alone.
 */
#include "store/testing.h"

enum { KEYS = 40, WATCHES = 6, STEPS = 1500, QUEUE_MAX = 4096 };

struct past {
    rev_t rev, create_rev;
    int key;
    uint64_t value; /* numbers are given out once */
    bool deleted, durable;
};

struct watching {
    struct world *world;
    struct store_watch *w;
    struct str prefix;
    char prefix_text[16];
    rev_t since, progress;
    size_t at; /* events before this one of the history were handed out or are none of its */
    bool paused;
};

/* A write that was accepted and has not been answered. */
struct asked {
    struct world *world;
    size_t n;
    struct {
        int key;
        uint64_t value;
        bool deleted;
        rev_t expect;
    } puts[4];
    bool with_volatile; /* flag on all puts that are no deletes */
};

struct world {
    struct fixture f;
    struct sim_disk disk;
    struct chance chance;
    char keys[KEYS][16];
    VEC(struct past) history; /* since the store was opened; what was there then comes first */
    rev_t opened_at;
    struct watching watches[WATCHES];
    struct asked *asked[QUEUE_MAX]; /* in order */
    size_t n_asked;
    uint64_t next_value;
    bool may_fail, on_file;
    int failed, conflicts, expired, events, ok;
};

static uint64_t below(struct world *w, uint64_t n)
{
    return chance_below(&w->chance, n);
}

/* ---- the model ---- */

/* The newest event of the key up to the revision (0: of all); NULL when it is absent then. */
static const struct past *model_get(const struct world *w, int key, rev_t at)
{
    for (size_t i = w->history.n; i > 0; i--) {
        const struct past *p = &w->history.v[i - 1];
        if (p->key == key && (at == 0 || p->rev <= at))
            return p->deleted ? NULL : p;
    }
    return NULL;
}

/* Does a crash bring back some value of the key? */
static bool has_durable_value(const struct world *w, int key)
{
    for (size_t i = w->history.n; i > 0; i--) {
        const struct past *p = &w->history.v[i - 1];
        if (p->key == key && (p->deleted || p->durable))
            return !p->deleted;
    }
    return false;
}

static void check_item(const struct world *w, struct item *i, const struct past *p)
{
    assert_true((i != NULL) == (p != NULL));
    if (!p)
        return;
    char want[64];
    snprintf(want, sizeof want, "value %llu of %lld.", (unsigned long long)p->value,
             (long long)p->rev);
    assert_str(item_key(i), w->keys[p->key]);
    assert_str(item_value(i), want);
    assert_int_equal(i->mod_rev, p->rev);
    assert_int_equal(i->create_rev, p->create_rev);
}

/* Keys are numbered in their order. */
static void make_keys(struct world *w)
{
    static const char *const prefixes[] = {"/a/", "/a/b/", "/b", "/c/"};
    for (int i = 0; i < KEYS; i++)
        snprintf(w->keys[i], sizeof w->keys[i], "%s%03d", prefixes[i / (KEYS / 4)], i * 7 % 1000);
    for (int i = 1; i < KEYS; i++) /* insertion sort, by the order the store promises */
        for (int k = i; k > 0 && str_cmp(str_z(w->keys[k - 1]), str_z(w->keys[k])) > 0; k--) {
            char t[16];
            memcpy(t, w->keys[k], sizeof t);
            memcpy(w->keys[k], w->keys[k - 1], sizeof t);
            memcpy(w->keys[k - 1], t, sizeof t);
        }
}

static const char *random_prefix(struct world *w)
{
    static const char *const prefixes[] = {"", "/", "/a/", "/a/b/", "/b", "/c/0", "/none"};
    return prefixes[below(w, ARRAY_LEN(prefixes))];
}

/* ---- reading ---- */

struct range_check {
    struct world *w;
    struct store_range r;
    int key; /* next to look at */
    size_t n;
};

static int next_in_range(const struct range_check *c, int key)
{
    for (; key < KEYS; key++)
        if (str_has_prefix(str_z(c->w->keys[key]), c->r.prefix) &&
            (c->r.after.n == 0 || str_cmp(str_z(c->w->keys[key]), c->r.after) > 0) &&
            model_get(c->w, key, c->r.at))
            break;
    return key;
}

static bool check_range_item(void *arg, struct item *i)
{
    struct range_check *c = arg;
    c->key = next_in_range(c, c->key);
    assert_true(c->key < KEYS);
    check_item(c->w, i, model_get(c->w, c->key, c->r.at));
    c->key++;
    c->n++;
    return true;
}

static void check_range(struct world *w)
{
    struct range_check c = {.w = w, .r = {.prefix = str_z(random_prefix(w))}};
    if (below(w, 2))
        c.r.after = str_z(w->keys[below(w, KEYS)]);
    if (below(w, 2))
        c.r.limit = 1 + below(w, 10);
    rev_t now = store_revision(w->f.store), oldest = store_oldest(w->f.store);
    if (below(w, 2))
        c.r.at = MAX(now - (rev_t)below(w, 100), 1);
    int rc = store_each(w->f.store, &c.r, check_range_item, &c);
    if (c.r.at && c.r.at < oldest) {
        assert_int_equal(rc, -ERR_EXPIRED);
        return;
    }
    assert_int_equal(rc, 0);
    if (c.r.limit == 0 || c.n < c.r.limit)
        assert_int_equal(next_in_range(&c, c.key), KEYS);
    else
        assert_int_equal(c.n, c.r.limit);
}

static void check_count(struct world *w)
{
    struct str prefix = str_z(random_prefix(w));
    size_t want = 0;
    for (int k = 0; k < KEYS; k++)
        want += str_has_prefix(str_z(w->keys[k]), prefix) && model_get(w, k, 0);
    assert_int_equal(store_count(w->f.store, prefix), want);
}

static void check_all(struct world *w)
{
    for (int k = 0; k < KEYS; k++)
        check_item(w, store_get(w->f.store, str_z(w->keys[k])), model_get(w, k, 0));
}

/* ---- writing ---- */

static void answered(void *arg, int outcome, struct item *item, rev_t rev)
{
    struct asked *a = arg;
    struct world *w = a->world;
    assert_ptr_equal(a, w->asked[0]); /* in order */
    memmove(w->asked, w->asked + 1, --w->n_asked * sizeof w->asked[0]);
    if (outcome != STORE_OK) {
        assert_int_equal(outcome, -ERR_IO);
        assert_true(w->may_fail);
        w->failed++;
        free(a);
        return;
    }
    w->ok++;
    if (w->history.n)
        assert_true(rev > w->history.v[w->history.n - 1].rev);
    struct past made[4];
    bool durable = false;
    for (size_t i = 0; i < a->n; i++)
        durable |= a->puts[i].deleted ? has_durable_value(w, a->puts[i].key) : !a->with_volatile;
    for (size_t i = 0; i < a->n; i++) {
        /* the compare held when it counts: against what was visible just before */
        const struct past *was = model_get(w, a->puts[i].key, 0);
        if (a->puts[i].expect >= 0)
            assert_int_equal(was ? was->rev : 0, a->puts[i].expect);
        assert_true(was || !a->puts[i].deleted);
        made[i] = (struct past){.rev = rev,
                                .create_rev = was ? was->create_rev : rev,
                                .key = a->puts[i].key,
                                .value = a->puts[i].value,
                                .deleted = a->puts[i].deleted,
                                .durable = durable};
    }
    for (size_t i = 0; i < a->n; i++)
        vec_push(&w->history, made[i]);
    if (!a->puts[a->n - 1].deleted) {
        assert_non_null(item);
        assert_int_equal(item->mod_rev, rev);
    } else {
        assert_null(item);
    }
    free(a);
}

static struct put random_put(struct world *w, struct asked *a, char value[64])
{
    size_t i = a->n++;
    int key;
    bool again = true; /* the keys of a call differ */
    while (again) {
        key = (int)below(w, KEYS);
        again = false;
        for (size_t k = 0; k < i; k++)
            again |= a->puts[k].key == key;
    }
    struct item *now = store_get_pending(w->f.store, str_z(w->keys[key]));
    rev_t expect = now ? now->mod_rev : 0;
    if (below(w, 10) == 0)
        expect = (rev_t)below(w, 50);
    if (below(w, 3) == 0)
        expect = -1;
    a->puts[i].key = key;
    a->puts[i].value = w->next_value++;
    a->puts[i].expect = expect;
    a->puts[i].deleted = below(w, 5) == 0;
    int n = snprintf(value, 64, "value %llu of .", (unsigned long long)a->puts[i].value);
    return (struct put){.key = str_z(w->keys[key]),
                        .value = str_n(value, (size_t)n),
                        .expect_mod_rev = expect,
                        .flags = a->puts[i].deleted ? STORE_DELETE : 0,
                        .splice_at = (size_t)n - 1};
}

static void write_something(struct world *w)
{
    if (w->n_asked == QUEUE_MAX)
        return;
    struct asked *a = xcalloc(1, sizeof *a);
    a->world = w;
    struct put puts[4];
    char values[4][64];
    size_t n = below(w, 4) ? 1 : 1 + below(w, 4);
    bool conflict = false;
    a->with_volatile = below(w, 3) == 0;
    for (size_t i = 0; i < n; i++) {
        puts[i] = random_put(w, a, values[i]);
        if (a->with_volatile)
            puts[i].flags |= STORE_VOLATILE;
        struct item *now = store_get_pending(w->f.store, puts[i].key);
        conflict |= a->puts[i].deleted && !now;
        conflict |=
            puts[i].expect_mod_rev >= 0 && puts[i].expect_mod_rev != (now ? now->mod_rev : 0);
    }
    w->asked[w->n_asked++] = a;
    int rc = store_write(w->f.store, puts, n, NULL, answered, a);
    assert_int_equal(rc, conflict ? STORE_CONFLICT : STORE_OK);
    if (conflict) {
        w->n_asked--;
        w->conflicts++;
        free(a);
    }
}

/* ---- watching ---- */

static const struct past *next_event(const struct watching *g)
{
    const struct world *w = g->world;
    for (size_t i = g->at; i < w->history.n; i++) {
        const struct past *p = &w->history.v[i];
        if (p->rev > g->since && str_has_prefix(str_z(w->keys[p->key]), g->prefix))
            return p;
    }
    return NULL;
}

static void check_event(struct watching *g, const struct store_event *v)
{
    struct world *w = g->world;
    const struct past *p = next_event(g);
    assert_non_null(p);
    assert_int_equal(v->rev, p->rev);
    assert_int_equal(v->deleted, p->deleted);
    assert_str(item_key(v->item), w->keys[p->key]);
    const struct past *was = model_get(w, p->key, p->rev - 1);
    check_item(w, v->prev, was);
    if (!p->deleted) {
        check_item(w, v->item, p);
    } else {
        struct past item = *was;
        item.rev = p->rev;
        check_item(w, v->item, &item);
    }
    g->at = (size_t)(p - w->history.v) + 1;
    w->events++;
}

static bool on_events(void *arg, const struct store_event *v, size_t n)
{
    struct watching *g = arg;
    assert_false(g->paused);
    for (size_t i = 0; i < n; i++)
        check_event(g, &v[i]);
    const struct past *next = next_event(g);
    assert_true(!next || next->rev > v[n - 1].rev); /* revisions are not cut */
    g->paused = below(g->world, 10) == 0;
    return !g->paused;
}

static void on_progress(void *arg, rev_t rev)
{
    struct watching *g = arg;
    const struct past *next = next_event(g);
    assert_true(!next || next->rev > rev);
    assert_true(rev >= g->progress);
    g->progress = rev;
}

static void on_expired(void *arg)
{
    struct watching *g = arg;
    g->world->expired++;
    store_watch_stop(TAKE_PTR(g->w));
}

static const struct store_watch_ops watch_ops = {on_events, on_progress, on_expired};

static void start_watch(struct world *w, struct watching *g)
{
    struct fixture *f = &w->f;
    snprintf(g->prefix_text, sizeof g->prefix_text, "%s", random_prefix(w));
    g->world = w;
    g->prefix = str_z(g->prefix_text);
    g->since = store_revision(f->store) + 5 - (rev_t)below(w, 60);
    g->at = 0;
    g->progress = 0;
    g->paused = false;
    int rc = store_watch_start(f->store, g->prefix, g->since, &watch_ops, g, &g->w, &f->err);
    if (g->since < store_oldest(f->store)) {
        assert_int_equal(rc, -ERR_EXPIRED);
        g->w = NULL;
        err_clear(&f->err);
    } else {
        assert_int_equal(rc, 0);
    }
}

static void change_watch(struct world *w)
{
    struct watching *g = &w->watches[below(w, WATCHES)];
    if (!g->w) {
        start_watch(w, g);
    } else if (g->paused) {
        g->paused = below(w, 4) != 0;
        if (!g->paused)
            store_watch_resume(g->w);
    } else if (below(w, 10) == 0) {
        store_watch_stop(TAKE_PTR(g->w));
    }
}

static void check_watches(struct world *w)
{
    for (int i = 0; i < WATCHES; i++) {
        struct watching *g = &w->watches[i];
        if (!g->w)
            continue;
        rev_t rev = store_watch_revision(g->w);
        const struct past *next = next_event(g);
        assert_true(!next || next->rev > rev || rev == 0);
        assert_true(rev <= store_revision(w->f.store));
    }
}

static void stop_watches(struct world *w)
{
    for (int i = 0; i < WATCHES; i++)
        if (w->watches[i].w)
            store_watch_stop(TAKE_PTR(w->watches[i].w));
}

/* ---- time, ends and beginnings ---- */

static void stop_after_round(struct task *t)
{
    loop_stop(t->loop);
}

static rev_t newest_answered(const struct world *w)
{
    return w->history.n ? MAX(w->opened_at, w->history.v[w->history.n - 1].rev) : w->opened_at;
}

/* A round of the loop, and more until all that is visible has been answered. */
static void one_round(struct world *w)
{
    do {
        struct task t = {0};
        loop_defer(w->f.loop, &t, stop_after_round);
        run(&w->f);
    } while (newest_answered(w) != store_revision(w->f.store));
}

static void settle_all(struct world *w)
{
    run(&w->f);
    assert_int_equal(w->n_asked, 0);
    for (int i = 0; i < WATCHES; i++)
        if (w->watches[i].w && !w->watches[i].paused) {
            assert_null(next_event(&w->watches[i]));
            assert_int_equal(store_watch_revision(w->watches[i].w), store_revision(w->f.store));
        }
    check_all(w);
}

/* The state at the start of this store, as events that no watch can ask for. */
static void begin_history(struct world *w)
{
    struct fixture *f = &w->f;
    VEC(struct past) found = {0};
    for (int k = 0; k < KEYS; k++) {
        struct item *i = store_get(f->store, str_z(w->keys[k]));
        unsigned long long value;
        long long rev;
        if (!i)
            continue;
        assert_int_equal(sscanf(item_value(i).p, "value %llu of %lld.", &value, &rev), 2);
        assert_int_equal(rev, i->mod_rev);
        struct past p = {i->mod_rev, i->create_rev, k, value, false, true};
        vec_push(&found, p);
    }
    vec_free(&w->history);
    LIST_EACH (p, &found) /* in order of revision */
    {
        vec_push(&w->history, *p);
        for (size_t i = w->history.n - 1; i > 0 && w->history.v[i - 1].rev > p->rev; i--) {
            w->history.v[i] = w->history.v[i - 1];
            w->history.v[i - 1] = *p;
        }
    }
    vec_free(&found);
    w->opened_at = store_revision(f->store);
    assert_int_equal(store_oldest(f->store), w->opened_at);
}

static void restart(struct world *w)
{
    stop_watches(w);
    rev_t newest = 0;
    uint32_t fail = w->disk.fail_next;
    w->disk.fail_next = 0; /* a close that fails is a crash */
    close_store(&w->f);
    assert_int_equal(w->n_asked, 0);
    if (w->history.n)
        newest = w->history.v[w->history.n - 1].rev;
    must_open(&w->f);
    assert_true(store_revision(w->f.store) >= newest);
    check_all(w);
    begin_history(w);
    w->disk.fail_next = fail;
}

/* Is it what the key held in one of the writes that were not answered? */
static bool was_asked(const struct world *w, int key, struct item *i)
{
    for (size_t k = 0; k < w->n_asked; k++)
        for (size_t n = 0; n < w->asked[k]->n; n++) {
            char want[64];
            if (w->asked[k]->puts[n].key != key)
                continue;
            if (!i && w->asked[k]->puts[n].deleted)
                return true;
            snprintf(want, sizeof want, "value %llu of ",
                     (unsigned long long)w->asked[k]->puts[n].value);
            if (i && str_has_prefix(item_value(i), str_z(want)))
                return true;
        }
    return false;
}

static void check_after_crash(struct world *w, size_t kept)
{
    /* Volatile events never were. */
    size_t n = 0;
    for (size_t i = 0; i < w->history.n; i++) {
        struct past p = w->history.v[i];
        const struct past *was;
        size_t all = w->history.n;
        if (!p.durable)
            continue;
        w->history.n = n;
        was = model_get(w, p.key, 0);
        w->history.n = all;
        if (p.deleted && !was)
            continue;
        w->history.v[n++] = p;
    }
    w->history.n = n;
    for (int k = 0; k < KEYS; k++) {
        struct item *i = store_get(w->f.store, str_z(w->keys[k]));
        const struct past *p = model_get(w, k, 0);
        bool same = (i != NULL) == (p != NULL) && (!i || i->mod_rev == p->rev);
        if (!same)
            assert_true(kept && was_asked(w, k, i));
    }
}

static void crash_world(struct world *w)
{
    rev_t seen = store_revision(w->f.store);
    for (int i = 0; i < WATCHES; i++)
        w->watches[i].w = NULL;
    size_t keep = below(w, 2) ? sim_disk_unsynced(&w->disk) : 0;
    crash(&w->f, keep);
    assert_true(store_revision(w->f.store) >= seen);
    check_after_crash(w, keep);
    for (size_t i = 0; i < w->n_asked; i++)
        free(w->asked[i]);
    w->n_asked = 0;
    begin_history(w);
}

/* ---- the run ---- */

static void step(struct world *w)
{
    switch (below(w, 16)) {
    case 0:
    case 1:
    case 2: change_watch(w); break;
    case 3: w->disk.commit_ms = (int64_t)below(w, 3) * 5; break;
    case 4:
    case 5:
    case 6:
        one_round(w);
        check_range(w);
        check_count(w);
        check_watches(w);
        break;
    case 7:
        if (below(w, 20) == 0)
            settle_all(w);
        break;
    case 8:
        if (w->may_fail && below(w, 10) == 0)
            w->disk.fail_next = 1 + (uint32_t)below(w, 2);
        break;
    case 9:
        if (below(w, 100) == 0)
            restart(w);
        else if (below(w, 50) == 0 && !w->on_file) {
            one_round(w);
            crash_world(w);
        }
        break;
    default: write_something(w); break;
    }
}

static void begin_world(struct world *w, uint64_t seed, bool on_file)
{
    *w = (struct world){.chance = {seed * 0x9e3779b97f4a7c15u + 1}, .next_value = 1};
    w->on_file = on_file;
    if (on_file)
        setup(&w->f);
    else
        setup_sim(&w->f, seed, &w->disk);
    w->may_fail = !on_file && seed % 2;
    w->f.config.ring_events_max = 5 + (uint32_t)below(w, 100);
    make_keys(w);
    must_open(&w->f);
    begin_history(w);
}

static void end_world(struct world *w)
{
    w->disk.fail_next = 0;
    settle_all(w);
    restart(w);
    vec_free(&w->history);
    teardown(&w->f);
}

static int seed_from_env(void)
{
    const char *text = getenv("STORE_SEED");
    return text ? (int)strtol(text, NULL, 10) : 0;
}

static int last_seed;

static int tell_seed(void **state)
{
    print_message("last seed: %d\n", last_seed);
    return 0;
}

static void run_seeds(int from, int to, bool on_file)
{
    int ok = 0, failed = 0, conflicts = 0, expired = 0, events = 0;
    if (seed_from_env())
        from = to = seed_from_env();
    for (int seed = from; seed <= to; seed++) {
        static struct world w;
        last_seed = seed;
        begin_world(&w, (uint64_t)seed, on_file);
        for (int i = 0; i < STEPS; i++)
            step(&w);
        end_world(&w);
        ok += w.ok;
        failed += w.failed;
        conflicts += w.conflicts;
        expired += w.expired;
        events += w.events;
    }
    print_message("%d writes, %d failed, %d conflicts, %d events, %d watches expired\n", ok, failed,
                  conflicts, events, expired);
    if (!seed_from_env() && !on_file)
        assert_true(ok > 1000 && failed > 20 && conflicts > 100 && expired > 20 && events > 1000);
}

static void a_simulated_disk(void **state)
{
    run_seeds(1, 60, false);
}

static void a_real_file(void **state)
{
    run_seeds(1, 6, true);
}

TESTS(cmocka_unit_test_teardown(a_simulated_disk, tell_seed),
      cmocka_unit_test_teardown(a_real_file, tell_seed))
