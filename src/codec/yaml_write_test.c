/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "codec/yaml.h"

/* Writes the JSON text as YAML, compares, and reads it back. */
static void assert_writes(const char *json, const char *want)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct json *v, *back;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    assert_int_equal(json_parse(&a, str_z(json), &v, &e), 0);
    yaml_write(&b, v);
    assert_false(b.failed);
    assert_str(buf_view(&b), want);
    assert_int_equal(yaml_parse(&a, buf_view(&b), &back, &e), 0);
    if (!json_eq(v, back))
        fail_msg("%s reads as %.*s", want, STR_ARG(json_text(&a, back)));
    arena_fini(&a);
}

static void structure(void **state)
{
    assert_writes("{}", "{}\n");
    assert_writes("[]", "[]\n");
    assert_writes("null", "null\n");
    assert_writes("\"x\"", "x\n");
    assert_writes("{\"b\":1,\"a\":{\"c\":[],\"d\":{}}}", "b: 1\na:\n  c: []\n  d: {}\n");
    assert_writes("{\"l\":[1,\"x\",{\"a\":1,\"b\":[2,3]},[4,[5]]]}",
                  "l:\n- 1\n- x\n- a: 1\n  b:\n  - 2\n  - 3\n- - 4\n  - - 5\n");
    assert_writes("[{\"a\":null,\"b\":true}]", "- a: null\n  b: true\n");
}

static void quoting(void **state)
{
    assert_writes(
        "[\"\",\"true\",\"no\",\"null\",\"~\",\"10\",\"1_0\",\"0x1f\",\"1e3\",\".5\",\".inf\"]",
        "- \"\"\n- \"true\"\n- \"no\"\n- \"null\"\n- \"~\"\n- \"10\"\n- \"1_0\"\n"
        "- \"0x1f\"\n- \"1e3\"\n- \".5\"\n- \".inf\"\n");
    assert_writes("[\"1:30\",\"1:1:1.5\",\"1:60\",\"a:1\",\"12:34:56:78\",\"1:\"]",
                  "- \"1:30\"\n- \"1:1:1.5\"\n- 1:60\n- a:1\n- 12:34:56:78\n- '1:'\n");
    assert_writes("[\"2026-03-14T09:26:53Z\",\"2026-3-1\",\"2026-02-30\",\"2026-03-14 9:26:53.1\","
                  "\"2026-03-14t09:26:53.123+01:00\",\"2026-03\",\"2026-03-14T25:00:00Z\"]",
                  "- \"2026-03-14T09:26:53Z\"\n- \"2026-3-1\"\n- 2026-02-30\n"
                  "- \"2026-03-14 9:26:53.1\"\n- \"2026-03-14t09:26:53.123+01:00\"\n- 2026-03\n"
                  "- 2026-03-14T25:00:00Z\n");
    assert_writes(
        "[\"b: c\",\"-\",\"- x\",\"#x\",\"a #b\",\"*a\",\"&a\",\"!t\",\"%d\",\"@x\",\"`x\",\"{a}\","
        "\"[a]\",\"'q'\",\"\\\"q\\\"\",\"a,b\",\"?\",\" x\",\"x \",\"<<\",\"a: \"]",
        "- 'b: c'\n- '-'\n- '- x'\n- '#x'\n- 'a #b'\n- '*a'\n- '&a'\n- '!t'\n- '%d'\n"
        "- '@x'\n- '`x'\n- '{a}'\n- '[a]'\n- '''q'''\n- '\"q\"'\n- a,b\n- '?'\n- ' x'\n"
        "- 'x '\n- \"<<\"\n- 'a: '\n");
    assert_writes("[\"\\t\",\"\\u0000\\u001b\",\"\xc3\xa9\",\"\xf0\x9f\x9a\xa2\",\"\\u2028\"]",
                  "- \"\\t\"\n- \"\\0\\e\"\n- \xc3\xa9\n- \"\\U0001F6A2\"\n- '\xe2\x80\xa8  '\n");
    assert_writes("{\"yes\":1,\"1\":2,\"\":3,\"<<\":4,\"a b\":5}",
                  "\"yes\": 1\n\"1\": 2\n\"\": 3\n\"<<\": 4\na b: 5\n");
}

static void blocks(void **state)
{
    assert_writes("{\"a\":\"x\\ny\\n\",\"b\":\"x\\ny\",\"c\":\"x\\n\\n\",\"d\":\"\\n\"}",
                  "a: |\n  x\n  y\nb: |-\n  x\n  y\nc: |+\n  x\n\nd: |2+\n\n");
    assert_writes("{\"a\":\"  x\\ny\"}", "a: |2-\n    x\n  y\n");
    assert_writes("[\"#!/bin/sh\\necho \\\"hi: $x\\\"\\n\"]",
                  "- |\n  #!/bin/sh\n  echo \"hi: $x\"\n");
    assert_writes("{\"a\":\"x \\ny\"}", "a: \"x \\ny\"\n");
    assert_writes("{\"a\\nb\":1}", "? |-\n  a\n  b\n: 1\n");
    assert_writes("\"x\\n\\n\"", "|+\n  x\n\n");
}

static void long_lines(void **state)
{
    assert_writes("{\"a\":\"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 1234567890 "
                  "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 1234567890 \"}",
                  "a: 'abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 1234567890 "
                  "abcdefghijklmnopqrstuvwxyz\n  ABCDEFGHIJKLMNOPQRSTUVWXYZ 1234567890 '\n");
}

static void numbers(void **state)
{
    assert_writes("[0,-7,9223372036854775807,18446744073709551616,1.5,0.1,1e3,1.0]",
                  "- 0\n- -7\n- 9223372036854775807\n- 18446744073709551616\n- 1.5\n- 0.1\n"
                  "- 1000\n- 1\n");
    assert_writes("[1000000.0,1234567.5,0.0001,0.00001,1e21,-2.5e-7,123456.5]",
                  "- 1e+06\n- 1.2345675e+06\n- 0.0001\n- 1e-05\n- 1e+21\n- -2.5e-07\n"
                  "- 123456.5\n");
}

static void caps_and_bad_text(void **state)
{
    struct arena a = ARENA_INIT;
    struct buf small = BUF_INIT(10);
    struct json *o = json_object(&a);
    json_set(&a, o, STR("key"), json_string(&a, STR("a \xff value")));
    yaml_write(&small, o);
    assert_true(small.failed);
    buf_fini(&small);
    struct buf b = BUF_INIT(100);
    yaml_write(&b, o);
    assert_str(buf_view(&b), "key: a \xef\xbf\xbd value\n");
    buf_fini(&b);
    arena_fini(&a);
}

TESTS(cmocka_unit_test(structure), cmocka_unit_test(quoting), cmocka_unit_test(blocks),
      cmocka_unit_test(long_lines), cmocka_unit_test(numbers), cmocka_unit_test(caps_and_bad_text))
