/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "base/buf.h"
#include "base/str.h"

static void numbers(void **state)
{
    int64_t v;
    assert_true(str_to_i64(STR("-9223372036854775808"), &v) && v == INT64_MIN);
    assert_true(str_to_i64(STR("9223372036854775807"), &v) && v == INT64_MAX);
    assert_false(str_to_i64(STR("9223372036854775808"), &v));
    assert_false(str_to_i64(STR(""), &v));
    assert_false(str_to_i64(STR("-"), &v));
    assert_false(str_to_i64(STR("1 "), &v));
    int32_t i;
    assert_false(str_to_i32(STR("2147483648"), &i));
    bool b = false;
    assert_true(str_to_bool(STR("T"), &b) && b);
    assert_false(str_to_bool(STR("yes"), &b));
}

static void splitting(void **state)
{
    struct str s = STR("a,,b,"), part;
    const char *want[] = {"a", "", "b", ""};
    size_t n = 0;
    while (str_next(&s, ',', &part))
        assert_str(part, want[n++]);
    assert_int_equal(n, 4);
    struct str head, tail;
    assert_true(str_cut(STR("k=v=w"), '=', &head, &tail));
    assert_str(head, "k");
    assert_str(tail, "v=w");
    assert_false(str_cut(STR("k"), '=', &head, &tail));
    assert_str(str_trim(STR(" \t x y\n")), "x y");
    assert_int_equal(str_find(STR("hello"), STR("ll")), 2);
    assert_int_equal(str_rindex(STR("a/b/c"), '/'), 3);
    assert_true(str_cmp(STR("ab"), STR("abc")) < 0);
    assert_true(str_case_eq(STR("Content-TYPE"), STR("content-type")));
}

static void utf8(void **state)
{
    assert_true(str_is_utf8(STR("plain ascii, longer than eight bytes")));
    assert_true(str_is_utf8(STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2")));
    assert_false(str_is_utf8(STR("\xc0\x80")));         /* overlong */
    assert_false(str_is_utf8(STR("\xed\xa0\x80")));     /* surrogate */
    assert_false(str_is_utf8(STR("\xf4\x90\x80\x80"))); /* past U+10FFFF */
    assert_false(str_is_utf8(STR("abcdefg\xff")));
    assert_false(str_is_utf8(STR("\xe2\x82"))); /* cut */
}

static void buffer_cap(void **state)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(10);
    buf_z(&b, "12345");
    buf_i64(&b, -123);
    assert_false(b.failed);
    assert_str(buf_view(&b), "12345-123");
    buf_z(&b, "ab");
    assert_true(b.failed);
    buf_c(&b, 'c'); /* sticky */
    assert_str(buf_view(&b), "12345-123");
    buf_clear(&b);
    buf_i64(&b, INT32_MIN);
    assert_true(b.failed);
}

TESTS(cmocka_unit_test(numbers), cmocka_unit_test(splitting), cmocka_unit_test(utf8),
      cmocka_unit_test(buffer_cap))
