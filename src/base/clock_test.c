/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "base/clock.h"

static void parse_and_format(void **state)
{
    struct wall t;
    char text[WALL_TEXT_MAX];
    assert_true(wall_parse(STR("2008-01-01T01:01:01Z"), &t));
    assert_int_equal(t.s, 1199149261);
    wall_format(text, t);
    assert_string_equal(text, "2008-01-01T01:01:01Z");
    assert_true(wall_parse(STR("2024-02-29T23:59:59.123456789+02:30"), &t));
    wall_format_micro(text, t);
    assert_string_equal(text, "2024-02-29T21:29:59.123456Z");
    wall_format_nano(text, t);
    assert_string_equal(text, "2024-02-29T21:29:59.123456789Z");
    assert_true(wall_parse(STR("0001-01-01T00:00:00Z"), &t));
    wall_format(text, t);
    assert_string_equal(text, "0001-01-01T00:00:00Z");
    wall_format_nano(text, (struct wall){0, 500000000});
    assert_string_equal(text, "1970-01-01T00:00:00.5Z");
}

static void malformed(void **state)
{
    static const char *const bad[] = {
        "",  "2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z", "2024-01-01 00:00:00Z",
        "2024-01-01T24:00:00Z", "2024-01-01T00:00:00", "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00Zx", "2024-13-01T00:00:00Z", "2024-01-01T00:00:00+2:00",
    };
    struct wall t;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(wall_parse(str_z(bad[i]), &t));
}

static void civil_round_trip(void **state)
{
    for (int64_t d = -800000; d < 800000; d += 37) {
        int y, m, day;
        civil_from_days(d, &y, &m, &day);
        assert_int_equal(days_from_civil(y, m, day), d);
    }
}

static void milliseconds(void **state)
{
    struct wall t = wall_from_ms(-1);
    assert_int_equal(t.s, -1);
    assert_int_equal(t.ns, 999000000);
    assert_int_equal(wall_ms(t), -1);
    assert_int_equal(wall_ms(wall_add_ms(wall_from_ms(1500), -2000)), -500);
}

TESTS(cmocka_unit_test(parse_and_format), cmocka_unit_test(malformed),
      cmocka_unit_test(civil_round_trip), cmocka_unit_test(milliseconds))
