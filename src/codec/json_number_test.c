/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include <float.h>
#include <math.h>

#include "codec/json.h"

static void integers(void **state)
{
    static const struct {
        const char *text;
        int64_t want;
    } good[] = {
        {"0", 0},
        {"-0", 0},
        {"0.000", 0},
        {"0e400", 0},
        {"7", 7},
        {"1.0", 1},
        {"1e3", 1000},
        {"12.50e1", 125},
        {"-1500E-2", -15},
        {"0.0012e4", 12},
        {"100e-2", 1},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"-9.223372036854775808e18", INT64_MIN},
        {"9223372036854775807.000000000000000000000000", INT64_MAX},
    };
    static const char *const bad[] = {
        "",
        "-",
        "1.5",
        "1e-1",
        "1e19",
        "9223372036854775808",
        "-9223372036854775809",
        "0.1",
        "1e4000",
        "1e",
        "1e+",
        ".5",
        "5.",
        "1.2.3",
        "0x10",
        "1 ",
        "+1",
        "1e5.5",
        "1e-999999999999999999999",
        "18446744073709551616",
        "nan",
        "1e99999999999999999999999",
        "12e18",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        int64_t v = 42;
        if (!json_number_i64(str_z(good[i].text), &v) || v != good[i].want)
            fail_msg("%s: got %lld", good[i].text, (long long)v);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t v;
        if (json_number_i64(str_z(bad[i]), &v))
            fail_msg("%s: got %lld", bad[i], (long long)v);
    }
}

static void equality(void **state)
{
    assert_true(json_number_eq(STR("1"), STR("1.0")));
    assert_true(json_number_eq(STR("1e400"), STR("10e399")));
    assert_true(json_number_eq(STR("-0"), STR("0.0e9")));
    assert_true(json_number_eq(STR("123.45"), STR("12345E-2")));
    assert_true(json_number_eq(STR("0.05"), STR("5e-2")));
    assert_true(json_number_eq(STR("1234567890123456789012345678901"),
                               STR("123456789012345678901234567890.1e1")));
    assert_false(json_number_eq(STR("1234567890123456789012345678901"),
                                STR("1234567890123456789012345678902")));
    assert_false(json_number_eq(STR("1"), STR("-1")));
    assert_false(json_number_eq(STR("1"), STR("10")));
    assert_false(json_number_eq(STR("1.5"), STR("1.55")));
    assert_false(json_number_eq(STR("0"), STR("1")));
}

static void doubles(void **state)
{
    double v;
    assert_true(json_number_double(STR("0.1"), &v) && v == 0.1);
    assert_true(json_number_double(STR("-2.5e-3"), &v) && v == -2.5e-3);
    assert_true(json_number_double(STR("-0"), &v) && v == 0 && signbit(v));
    assert_true(json_number_double(STR("9007199254740993"), &v) && v == 9007199254740992.0);
    assert_true(json_number_double(STR("1e-400"), &v) && v == 0);
    assert_true(json_number_double(STR("1.7976931348623157e308"), &v) && v == DBL_MAX);
    assert_false(json_number_double(STR("1e309"), &v));
    assert_false(json_number_double(STR("-1e309"), &v));
    assert_false(json_number_double(STR("inf"), &v));
    assert_false(json_number_double(STR("0x1p3"), &v));
    assert_false(json_number_double(STR(""), &v));
    /* just above the middle between two doubles, decided by the last of 300 digits */
    char text[310] = "1.00000000000000011102230246251565404236316680908203125";
    for (size_t n = strlen(text); n < 300; n++)
        text[n] = '0';
    assert_true(json_number_double(str_n(text, 300), &v) && v == 1.0);
    text[299] = '1';
    assert_true(json_number_double(str_n(text, 300), &v) && v == 1.0 + DBL_EPSILON);
}

static void assert_put(double v, const char *want)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(100);
    json_put_double(&b, v);
    assert_false(b.failed);
    assert_str(buf_view(&b), want);
}

static void put_as_go(void **state)
{
    assert_put(0, "0");
    assert_put(-0.0, "-0");
    assert_put(1, "1");
    assert_put(-1.5, "-1.5");
    assert_put(100, "100");
    assert_put(0.1, "0.1");
    assert_put(0.30000000000000004, "0.30000000000000004");
    assert_put(1e-6, "0.000001");
    assert_put(9.999e-7, "9.999e-7");
    assert_put(1e-7, "1e-7");
    assert_put(-1.25e-10, "-1.25e-10");
    assert_put(1e20, "100000000000000000000");
    assert_put(123456789012345680000.0, "123456789012345680000");
    assert_put(1e21, "1e+21");
    assert_put(1.5e300, "1.5e+300");
    assert_put(DBL_MAX, "1.7976931348623157e+308");
    assert_put(DBL_MIN, "2.2250738585072014e-308");
    assert_put(5e-324, "5e-324");
    assert_put(5.0e-322, "5e-322");
    assert_put(9007199254740993.0, "9007199254740992");
    /* powers of two, where the neighbour below is nearer than the one above */
    assert_put(0x1p-44, "5.684341886080802e-14");
    assert_put(7.120236347223045e-307, "7.120236347223045e-307"); /* 2 to the -1017 */
    assert_put(0x1p-24, "5.960464477539063e-8");
    assert_put(0x1p89, "6.189700196426902e+26");
    static const double none[] = {INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        CLEANUP(buf_fini) struct buf b = BUF_INIT(100);
        json_put_double(&b, none[i]);
        assert_true(b.failed);
    }
}

static void round_trip(void **state)
{
    uint64_t bits = 88172645463325252;
    int seen = 0;
    for (int i = 0; i < 100000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double v, back;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        struct buf b = BUF_INIT(100);
        json_put_double(&b, v);
        if (!json_number_double(buf_view(&b), &back) || back != v)
            fail_msg("%.17g is written %s", v, b.p);
        buf_fini(&b);
        seen++;
    }
    assert_true(seen > 90000);
}

TESTS(cmocka_unit_test(integers), cmocka_unit_test(equality), cmocka_unit_test(doubles),
      cmocka_unit_test(put_as_go), cmocka_unit_test(round_trip))
