/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "codec/json.h"

static void assert_put(struct str s, const char *want)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(1000);
    json_put_string(&b, s);
    assert_false(b.failed);
    assert_str(buf_view(&b), want);
}

static void strings_as_go(void **state)
{
    assert_put(STR_NULL, "\"\"");
    assert_put(STR("a plain text longer than a word"), "\"a plain text longer than a word\"");
    assert_put(STR("say \"\\\"/<>&'\x7f"), "\"say \\\"\\\\\\\"/<>&'\x7f\"");
    assert_put(STR("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"");
    assert_put(STR("\0\x01\x0b\x1f"), "\"\\u0000\\u0001\\u000b\\u001f\"");
    assert_put(STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2"),
               "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2\"");
    assert_put(STR("a\xe2\x80\xa7\xe2\x80\xa8"
                   "b\xe2\x80\xa9\xe2\x80\xaa"),
               "\"a\xe2\x80\xa7\\u2028b\\u2029\xe2\x80\xaa\"");
    assert_put(STR("\xff"
                   "a\xc0\x80\xe2\x80"),
               "\"\\ufffda\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

/* What is written reads back as itself, or with U+FFFD for what was not UTF-8. */
static void strings_round_trip(void **state)
{
    uint32_t seed = 99;
    for (int round = 0; round < 20000; round++) {
        char bytes[24];
        size_t n = 0;
        while (n < sizeof bytes && (seed >> 8) % 32) {
            seed = seed * 1103515245 + 12345;
            bytes[n++] = (char)(seed >> 16 & (round % 2 ? 0x7f : 0xff));
        }
        seed = seed * 1103515245 + 12345;
        struct arena a = ARENA_INIT;
        struct buf b = BUF_INIT(1000);
        json_put_string(&b, str_n(bytes, n));
        struct json_in in;
        struct str back;
        json_in_init(&in, buf_view(&b), &a);
        assert_true(json_read_string(&in, &back) && json_end(&in));
        if (str_is_utf8(str_n(bytes, n)))
            assert_true(str_eq(back, str_n(bytes, n)));
        else
            assert_true(str_is_utf8(back) && str_find(back, STR("\xef\xbf\xbd")) >= 0);
        buf_fini(&b);
        arena_fini(&a);
    }
}

static void trees(void **state)
{
    struct arena a = ARENA_INIT;
    struct json *o = json_object(&a), *list = json_array(&a);
    json_set(&a, o, STR("a\n"), json_bool(&a, true));
    json_set(&a, o, STR("list"), list);
    json_push(&a, list, json_int(&a, INT64_MIN));
    json_push(&a, list, json_null(&a));
    json_push(&a, list, json_string(&a, STR("\"")));
    json_set(&a, o, STR("none"), json_array(&a));
    json_set(&a, o, STR("empty"), json_object(&a));
    assert_str(json_text(&a, o), "{\"a\\n\":true,\"list\":[-9223372036854775808,null,\"\\\"\"],"
                                 "\"none\":[],\"empty\":{}}");
    CLEANUP(buf_fini) struct buf b = BUF_INIT(1000);
    json_write_pretty(&b, o, 2);
    assert_str(buf_view(&b), "{\n  \"a\\n\": true,\n  \"list\": [\n    -9223372036854775808,\n"
                             "    null,\n    \"\\\"\"\n  ],\n  \"none\": [],\n  \"empty\": {}\n}");
    struct buf small = BUF_INIT(20);
    json_write(&small, o);
    assert_true(small.failed);
    buf_fini(&small);
    arena_fini(&a);
}

TESTS(cmocka_unit_test(strings_as_go), cmocka_unit_test(strings_round_trip),
      cmocka_unit_test(trees))
