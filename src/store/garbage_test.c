/* SPDX-License-Identifier: Apache-2.0 */
/* What superseded rows may pile up to, under several mixes of sizes. */
#include "store/testing.h"

#include "store/garbage.h"

enum { KEYS = 300, PUTS = 60000 };

struct mix {
    size_t value_max, batch_max;
    unsigned large_percent; /* of the puts, a thousand times as large */
};

struct rows {
    size_t live_bytes, size_of[KEYS];
    int64_t id_of[KEYS];
    size_t garbage_bytes;
    VEC(size_t) size_by_id;
};

static void put_row(struct rows *r, struct garbage *g, int key, size_t size)
{
    if (r->id_of[key]) {
        garbage_add(g, r->id_of[key], r->size_of[key]);
        r->garbage_bytes += r->size_of[key];
        r->live_bytes -= r->size_of[key];
    }
    r->id_of[key] = (int64_t)r->size_by_id.n;
    r->size_of[key] = size;
    r->live_bytes += size;
    vec_push(&r->size_by_id, size);
}

static void drop_due(struct rows *r, struct garbage *g, size_t new_rows, size_t new_bytes)
{
    struct garbage_pace pace = {KEYS, r->live_bytes, new_rows, new_bytes};
    const int64_t *ids;
    size_t n = garbage_due(g, &pace, &ids);
    for (size_t i = 0; i < n; i++) {
        if (i)
            assert_true(ids[i] > ids[i - 1]);
        r->garbage_bytes -= r->size_by_id.v[ids[i]];
        r->size_by_id.v[ids[i]] = 0; /* once only */
    }
    garbage_dropped(g, n);
}

static void run_mix(const struct mix *m)
{
    struct chance c = {17};
    struct garbage g = {0};
    struct rows r = {0};
    size_t live_max = 0, garbage_max = 0, put_max = 0;
    vec_push(&r.size_by_id, 0); /* ids start at 1 */
    for (size_t done = 0; done < PUTS;) {
        size_t n = 1 + chance_below(&c, m->batch_max), bytes = 0;
        for (size_t i = 0; i < n; i++) {
            size_t size = 1 + chance_below(&c, m->value_max);
            if (chance_below(&c, 100) < m->large_percent)
                size *= 1000;
            put_row(&r, &g, (int)chance_below(&c, KEYS), size);
            bytes += size;
        }
        drop_due(&r, &g, n, bytes);
        done += n;
        live_max = MAX(live_max, r.live_bytes);
        garbage_max = MAX(garbage_max, r.garbage_bytes);
        put_max = MAX(put_max, bytes);
        assert_true(garbage_count(&g) <= 1024 * 2 + 2 * m->batch_max);
    }
    assert_true(garbage_max <= 2 * MAX(live_max / 4, MIB(4)) + 2 * put_max);
    garbage_fini(&g);
    vec_free(&r.size_by_id);
}

static void superseded_rows_stay_a_share_of_the_live_ones(void **state)
{
    static const struct mix mixes[] = {
        {100, 1, 0}, {5000, 64, 0}, {5000, 8, 1}, {200, 64, 10}, {8000, 1, 50}, {1, 500, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(mixes); i++)
        run_mix(&mixes[i]);
}

TESTS(cmocka_unit_test(superseded_rows_stay_a_share_of_the_live_ones))
