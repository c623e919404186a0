/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "base/vec.h"
#include "store/index.h"

static struct item *make(struct str key, rev_t rev)
{
    struct item_spec spec = {.key = key, .head = STR("v"), .create_rev = rev, .mod_rev = rev};
    struct item *i = item_new(&spec);
    assert_non_null(i);
    return i;
}

/* xorshift: the tests need repeatable chance, not good chance. */
static uint64_t chance_state;
static uint64_t chance(uint64_t below_n)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return chance_state % below_n;
}

/* The naive model: a sorted array. */
struct model {
    VEC(struct item *) items;
};

static size_t model_below(const struct model *m, struct bound b)
{
    size_t n = 0;
    for (; n < m->items.n; n++) {
        struct str key = item_key(m->items.v[n]);
        bool is_below = b.at == BOUND_BEFORE ? str_cmp(key, b.key) < 0
                        : b.at == BOUND_AFTER
                            ? str_cmp(key, b.key) <= 0
                            : str_cmp(key, b.key) <= 0 || str_has_prefix(key, b.key);
        if (!is_below)
            break;
    }
    return n;
}

static void model_put(struct model *m, struct item *i)
{
    size_t at = model_below(m, (struct bound){item_key(i), BOUND_BEFORE});
    if (at < m->items.n && str_eq(item_key(m->items.v[at]), item_key(i))) {
        m->items.v[at] = i;
        return;
    }
    vec_push(&m->items, i);
    memmove(m->items.v + at + 1, m->items.v + at, (m->items.n - 1 - at) * sizeof i);
    m->items.v[at] = i;
}

static void model_remove(struct model *m, struct str key)
{
    size_t at = model_below(m, (struct bound){key, BOUND_BEFORE});
    assert_true(at < m->items.n);
    memmove(m->items.v + at, m->items.v + at + 1, (m->items.n - 1 - at) * sizeof m->items.v[0]);
    m->items.n--;
}

static struct item *model_get(const struct model *m, struct str key)
{
    size_t at = model_below(m, (struct bound){key, BOUND_BEFORE});
    return at < m->items.n && str_eq(item_key(m->items.v[at]), key) ? m->items.v[at] : NULL;
}

static void check_from(const struct index *ix, const struct model *m, struct bound b)
{
    size_t at = model_below(m, b);
    assert_int_equal(index_rank(ix, b), at);
    struct index_iter it;
    index_seek(ix, b, &it);
    struct item *i;
    size_t n = 0;
    while ((i = index_next(&it)) && n < 300) {
        assert_true(at < m->items.n);
        assert_ptr_equal(i, m->items.v[at]);
        at++;
        n++;
    }
    if (!i)
        assert_int_equal(at, m->items.n);
}

static struct str random_key(char room[64], unsigned keys)
{
    static const char *const kinds[] = {"/pods/", "/pods/default/", "/leases/", "", "/pods/ns-"};
    int n = snprintf(room, 64, "%s%llu", kinds[chance(ARRAY_LEN(kinds))],
                     (unsigned long long)chance(keys));
    return str_n(room, (size_t)n);
}

static void run_model(uint64_t seed, unsigned steps, unsigned keys, unsigned removals_percent)
{
    chance_state = seed;
    struct index ix;
    index_init(&ix);
    struct model m = {0};
    for (unsigned step = 1; step <= steps; step++) {
        char room[64];
        struct str key = random_key(room, keys);
        struct item *had = model_get(&m, key);
        assert_ptr_equal(index_get(&ix, key), had);
        if (chance(100) < removals_percent) {
            struct item *old = index_remove(&ix, key);
            assert_ptr_equal(old, had);
            if (had)
                model_remove(&m, key);
            item_unref(old);
        } else {
            struct item *i = make(key, step);
            struct item *old = index_put(&ix, i);
            assert_ptr_equal(old, had);
            model_put(&m, i);
            item_unref(old);
        }
        assert_int_equal(ix.count, m.items.n);
        if (step % 64 == 0)
            check_from(&ix, &m, (struct bound){random_key(room, keys), (int)chance(3)});
    }
    while (m.items.n) {
        struct item *gone = index_remove(&ix, item_key(m.items.v[chance(m.items.n)]));
        model_remove(&m, item_key(gone));
        item_unref(gone);
        assert_int_equal(ix.count, m.items.n);
    }
    assert_null(ix.root);
    vec_free(&m.items);
    index_fini(&ix);
}

static void behaves_like_a_sorted_array(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        run_model(seed, 6000, 2000, 20);
        run_model(seed * 77, 6000, 300, 50);
    }
    run_model(5, 30, 4, 50);
}

static void built_equals_inserted(void **state)
{
    for (unsigned n = 0; n < 9000; n = n * 3 / 2 + 1) {
        struct index ix;
        index_init(&ix);
        struct model m = {0};
        for (unsigned i = 0; i < n; i++) {
            char room[64];
            int len = snprintf(room, sizeof room, "/pods/%06u", i * 2);
            vec_push(&m.items, make(str_n(room, (size_t)len), 1 + i));
        }
        VEC(void *) items = {0};
        LIST_EACH (i, &m.items)
            vec_push(&items, *i);
        index_build(&ix, items.v, items.n);
        vec_free(&items);
        assert_int_equal(ix.count, n);
        check_from(&ix, &m, (struct bound){STR(""), BOUND_BEFORE});
        check_from(&ix, &m, (struct bound){STR("/pods/000100"), BOUND_AFTER});
        check_from(&ix, &m, (struct bound){STR("/pods/"), BOUND_PAST_PREFIX});
        for (unsigned i = 0; i < n; i += 3) {
            char room[64];
            int len = snprintf(room, sizeof room, "/pods/%06u", i * 2 + 1);
            struct item *item = make(str_n(room, (size_t)len), 1 + i);
            assert_null(index_put(&ix, item));
            model_put(&m, item);
        }
        check_from(&ix, &m, (struct bound){STR("/pods/001"), BOUND_BEFORE});
        index_fini(&ix);
        vec_free(&m.items);
    }
}

static void costs_few_bytes_a_key(void **state)
{
    chance_state = 42;
    struct index random, rising;
    index_init(&random);
    index_init(&rising);
    char room[64];
    for (unsigned i = 0; i < 50000; i++) {
        int n = snprintf(room, sizeof room, "/pods/default/%016llx",
                         (unsigned long long)chance(UINT64_MAX));
        item_unref(index_put(&random, make(str_n(room, (size_t)n), 1)));
        n = snprintf(room, sizeof room, "/events/default/%08x", i);
        item_unref(index_put(&rising, make(str_n(room, (size_t)n), 1)));
    }
    assert_true(index_bytes(&random) < random.count * 16);
    assert_true(index_bytes(&rising) < rising.count * 10);
    index_fini(&random);
    index_fini(&rising);
}

static void the_value_holds_the_revision(void **state)
{
    struct item_spec spec = {.key = STR("k"),
                             .create_rev = 3,
                             .mod_rev = 12345,
                             .place = 127,
                             .flags = ITEM_VOLATILE,
                             .hidden = 77};
    item_spec_value(&spec, STR("{\"rv\":\"\"}"), 7);
    struct item *i = item_new(&spec);
    assert_str(item_value(i), "{\"rv\":\"12345\"}");
    assert_int_equal(i->bytes[i->key_len + 1 + i->value_len], 0);
    struct item_spec raw;
    item_raw_value(i, &raw);
    assert_true(raw.spliced);
    assert_str(raw.head, "{\"rv\":\"");
    assert_str(raw.tail, "\"}");
    assert_int_equal(item_durable_id(i), 77);
    assert_int_equal(row_rev(item_id(i)), 12345);
    assert_int_equal(row_place(item_id(i)), 127);
    item_unref(i);
}

TESTS(cmocka_unit_test(behaves_like_a_sorted_array), cmocka_unit_test(built_equals_inserted),
      cmocka_unit_test(costs_few_bytes_a_key), cmocka_unit_test(the_value_holds_the_revision))
