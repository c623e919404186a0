/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "network/ip.h"

static struct ip parsed(const char *z)
{
    struct ip a = {0};
    if (!ip_parse(str_z(z), &a))
        fail_msg("%s is an address", z);
    return a;
}

static struct cidr prefix(const char *z)
{
    struct cidr c = {0};
    if (!cidr_parse(str_z(z), &c))
        fail_msg("%s is a prefix", z);
    return c;
}

static void addresses_in_and_out(void **state)
{
    static const char *const good[] = {"0.0.0.0", "10.244.0.1", "255.255.255.255",
                                       "::",      "fd00::1",    "2001:db8::8:800:200c:417a"};
    char text[IP_TEXT_MAX];
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_string_equal(ip_text(parsed(good[i]), text), good[i]);
    static const char *const bad[] = {
        "",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.256",
        "::ffff:1.2.3.4",
        "fd00::1%eth0",
        " 1.2.3.4",
        "1.2.3.4 ",
        "None",
        "1:2:3:4:5:6:7:8:9",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct ip a;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(ip_parse(str_z(bad[i]), &a));
    assert_false(ip_parse(str_n("1.2.3.4\0", 8), &a));
    assert_string_equal(ip_text((struct ip){0}, text), "");
    assert_true(ip_is_any(parsed("0.0.0.0")) && ip_is_any(parsed("::")));
    assert_false(ip_is_any(parsed("0.0.0.1")));
}

static void addresses_count(void **state)
{
    assert_true(ip_eq(ip_add(parsed("10.0.0.255"), 1), parsed("10.0.1.0")));
    assert_true(ip_eq(ip_add(parsed("fd00::ffff"), 65537), parsed("fd00::2:0")));
    assert_int_equal(ip_distance(parsed("10.1.0.0"), parsed("10.0.255.255")), 1);
    assert_int_equal(ip_distance(parsed("10.0.0.0"), parsed("10.0.0.1")), -1);
    assert_int_equal(ip_distance(parsed("fd00::1:0"), parsed("fd00::")), 65536);
    assert_int_equal(ip_distance(parsed("fd00::"), parsed("::")), -1);
    assert_int_equal(ip_distance(parsed("::7"), parsed("0.0.0.0")), -1);
}

static void prefixes_contain(void **state)
{
    char text[IP_TEXT_MAX];
    struct cidr c = prefix("10.244.3.77/22");
    assert_string_equal(ip_text(c.ip, text), "10.244.0.0");
    assert_string_equal(ip_text(cidr_last(c), text), "10.244.3.255");
    assert_true(cidr_has(c, parsed("10.244.3.255")));
    assert_false(cidr_has(c, parsed("10.244.4.0")));
    assert_false(cidr_has(c, parsed("fd00::1")));
    assert_true(cidr_has(prefix("0.0.0.0/0"), parsed("8.8.8.8")));
    assert_false(cidr_has((struct cidr){0}, (struct ip){0}));
    assert_true(cidr_overlaps(prefix("10.0.0.0/8"), c));
    assert_true(cidr_overlaps(c, prefix("10.244.2.0/24")));
    assert_false(cidr_overlaps(c, prefix("10.245.0.0/16")));
    assert_string_equal(ip_text(cidr_last(prefix("fd00:1::/64")), text),
                        "fd00:1::ffff:ffff:ffff:ffff");
    struct cidr d;
    assert_false(cidr_parse(STR("10.0.0.0"), &d));
    assert_false(cidr_parse(STR("10.0.0.0/33"), &d));
    assert_false(cidr_parse(STR("10.0.0.0/-1"), &d));
    assert_false(cidr_parse(STR("fd00::/129"), &d));
    assert_false(cidr_parse(STR("/8"), &d));
}

TESTS(cmocka_unit_test(addresses_in_and_out), cmocka_unit_test(addresses_count),
      cmocka_unit_test(prefixes_contain))
