/* SPDX-License-Identifier: Apache-2.0 */
#include "store/testing.h"

#include "store/item.h"
#include "store/sort.h"

static int by_key_and_id(const void *a, const void *b)
{
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
    int order = str_cmp(item_key(x), item_key(y));
    if (order)
        return order;
    return item_id(x) < item_id(y) ? -1 : item_id(x) > item_id(y);
}

/* Keys made of few letters, NUL among them, so that they share beginnings, end in the middle of a
 * word, and repeat. */
static struct item *random_item(struct chance *c, rev_t rev, size_t letters, size_t len_max)
{
    static const char alphabet[] = {'a', 0, (char)0xff, 'b', '/'};
    char key[64];
    size_t n = 1 + chance_below(c, len_max);
    for (size_t i = 0; i < n; i++)
        key[i] = alphabet[chance_below(c, letters)];
    struct item_spec spec = {.key = str_n(key, n), .create_rev = 1, .mod_rev = rev};
    return item_new(&spec);
}

static void sorts_as_a_plain_sort_does(void **state)
{
    enum { N = 3000 };
    static struct item *v[N], *want[N];
    struct chance c = {5};
    for (size_t letters = 1; letters <= 5; letters++)
        for (size_t len_max = 1; len_max < 60; len_max = len_max * 2 + 5) {
            size_t n = chance_below(&c, N);
            for (size_t i = 0; i < n; i++)
                v[i] = want[i] = random_item(&c, (rev_t)(1 + i), letters, len_max);
            items_sort(v, n);
            qsort(want, n, sizeof want[0], by_key_and_id);
            for (size_t i = 0; i < n; i++)
                assert_ptr_equal(v[i], want[i]);
            for (size_t i = 0; i < n; i++)
                item_unref(v[i]);
        }
}

TESTS(cmocka_unit_test(sorts_as_a_plain_sort_does))
