/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "network/ipam.h"

static struct ipam of(const char *cidr)
{
    struct cidr c;
    assert_true(cidr_parse(str_z(cidr), &c));
    struct ipam m;
    ipam_init(&m, c);
    return m;
}

static void gives_each_address_once(void **state)
{
    struct ipam m = of("10.244.7.0/29");
    assert_int_equal(ipam_size(&m), 5);
    for (uint32_t i = 2; i <= 6; i++)
        assert_int_equal(ipam_take(&m), i);
    assert_int_equal(ipam_take(&m), 0);
    assert_int_equal(m.count, 5);
    ipam_release(&m, 4);
    assert_int_equal(ipam_take(&m), 4);
    assert_int_equal(ipam_take(&m), 0);
    ipam_fini(&m);
}

static void freed_comes_back_last(void **state)
{
    struct ipam m = of("10.244.7.0/24");
    uint32_t first = ipam_take(&m);
    ipam_release(&m, first);
    for (int i = 0; i < 252; i++)
        assert_int_not_equal(ipam_take(&m), first);
    assert_int_equal(ipam_take(&m), first);
    ipam_fini(&m);
}

static void claims_what_records_say(void **state)
{
    struct ipam m = of("10.244.7.0/24");
    char text[IP_TEXT_MAX];
    assert_string_equal(ip_text(ipam_address(&m, 9), text), "10.244.7.9");
    assert_int_equal(ipam_offset(&m, ipam_address(&m, 9)), 9);
    assert_true(ipam_claim(&m, 3));
    assert_false(ipam_claim(&m, 3));
    assert_false(ipam_claim(&m, 0));
    assert_false(ipam_claim(&m, 1));
    assert_false(ipam_claim(&m, 255));
    assert_false(ipam_claim(&m, 70000));
    assert_int_equal(ipam_take(&m), 2);
    assert_int_equal(ipam_take(&m), 4);
    assert_int_equal(ipam_offset(&m, ipam_address(&m, 1)), 0);
    assert_int_equal(ipam_offset(&m, ipam_address(&m, 256)), 0);
    ipam_fini(&m);
}

static void large_prefixes_are_bounded(void **state)
{
    struct ipam m = of("fd00::/64");
    assert_int_equal(ipam_size(&m), IPAM_OFFSET_MAX - 1);
    assert_true(ipam_claim(&m, IPAM_OFFSET_MAX));
    ipam_fini(&m);
    m = of("10.0.0.0/16");
    assert_int_equal(m.last, IPAM_OFFSET_MAX);
    ipam_fini(&m);
}

TESTS(cmocka_unit_test(gives_each_address_once), cmocka_unit_test(freed_comes_back_last),
      cmocka_unit_test(claims_what_records_say), cmocka_unit_test(large_prefixes_are_bounded))
