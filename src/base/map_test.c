/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"

static void put_get_remove_in_order(void **state)
{
    struct map m = MAP_INIT;
    char key[16];
    for (intptr_t i = 1; i <= 2000; i++) {
        snprintf(key, sizeof key, "k%d", (int)i);
        assert_null(map_put(&m, str_z(key), (void *)i));
    }
    for (intptr_t i = 1; i <= 2000; i += 2) {
        snprintf(key, sizeof key, "k%d", (int)i);
        assert_ptr_equal(map_remove(&m, str_z(key)), (void *)i);
        assert_null(map_remove(&m, str_z(key)));
    }
    assert_int_equal(m.count, 1000);
    assert_ptr_equal(map_put(&m, STR("k2"), (void *)77), (void *)2);
    uint32_t it = 0;
    struct map_entry *e = map_next(&m, &it);
    assert_str(e->key, "k2");
    assert_ptr_equal(e->value, (void *)77);
    intptr_t last = 2;
    while ((e = map_next(&m, &it))) {
        assert_true((intptr_t)e->value == last + 2);
        last = (intptr_t)e->value;
    }
    assert_int_equal(last, 2000);
    map_fini(&m);
}

static void churn_stays_small(void **state)
{
    struct map m = MAP_INIT;
    char key[16];
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "%d", i);
        map_put(&m, str_z(key), &m);
        if (i >= 10) {
            snprintf(key, sizeof key, "%d", i - 10);
            assert_ptr_equal(map_remove(&m, str_z(key)), &m);
        }
    }
    assert_int_equal(m.count, 10);
    assert_true(m.room < 64);
    map_fini(&m);
}

static void heap_orders_and_removes(void **state)
{
    struct heap h = {0};
    struct heap_node nodes[500] = {0};
    uint32_t seed = 1;
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
        seed = seed * 1664525u + 1013904223u;
        heap_push(&h, &nodes[i], seed >> 26);
    }
    for (size_t i = 0; i < ARRAY_LEN(nodes); i += 3)
        heap_remove(&h, &nodes[i]);
    struct heap_node *prev = NULL, *n;
    size_t count = 0;
    while ((n = heap_pop(&h))) {
        if (prev)
            assert_true(prev->key < n->key || (prev->key == n->key && prev->seq < n->seq));
        prev = n;
        count++;
    }
    assert_int_equal(count, 500 - 167);
    heap_fini(&h);
}

TESTS(cmocka_unit_test(put_get_remove_in_order), cmocka_unit_test(churn_stays_small),
      cmocka_unit_test(heap_orders_and_removes))
