/* SPDX-License-Identifier: Apache-2.0 */
/* The pull reader: RFC 8259's edges; reading, skipping and parsing must agree on every text. */
#include "base/test.h"

#include <dirent.h>

#include "codec/json.h"

/* Reads one value with the pull functions; counts what it saw. */
static bool walk(struct json_in *in, size_t *count)
{
    struct str s;
    bool b;
    ++*count;
    switch (json_peek(in)) {
    case JSON_NULL: return json_read_null(in);
    case JSON_BOOL: return json_read_bool(in, &b);
    case JSON_NUMBER: return json_read_number(in, &s);
    case JSON_STRING: return json_read_string(in, &s) && str_is_utf8(s);
    case JSON_ARRAY:
        if (json_enter_array(in))
            while (json_next_item(in) && walk(in, count))
                ;
        return !in->error;
    case JSON_OBJECT:
        if (json_enter_object(in))
            while (json_next_key(in, &s) && str_is_utf8(s) && walk(in, count))
                ;
        return !in->error;
    case JSON_BAD: break;
    }
    return false;
}

/* An exact copy on the heap, so that the address sanitizer sees a read past the end. */
static char *exact(struct str text)
{
    char *p = malloc(text.n ? text.n : 1);
    assert_non_null(p);
    if (text.n)
        memcpy(p, text.p, text.n);
    return p;
}

/* Is the text JSON? Asks all three readers. */
static bool accepted(struct str text)
{
    CLEANUP(free_ptr) char *copy = exact(text);
    struct str bounded = str_n(copy, text.n), raw;
    struct arena a = ARENA_INIT;
    struct json_in in;
    size_t count = 0;
    json_in_init(&in, bounded, &a);
    bool walked = walk(&in, &count) && json_end(&in);
    assert_int_equal(walked, in.error == NULL);
    assert_true(in.at >= in.start && in.at <= copy + text.n);
    json_in_init(&in, bounded, NULL);
    bool skipped = json_skip(&in, &raw) && json_end(&in);
    assert_int_equal(skipped, in.error == NULL);
    struct json *tree;
    struct err e = ERR_INIT(&a);
    bool parsed = json_parse(&a, bounded, &tree, &e) == 0;
    if (walked != skipped || walked != parsed)
        fail_msg("read %d, skipped %d, parsed %d: %.*s", walked, skipped, parsed, STR_ARG(text));
    arena_fini(&a);
    return walked;
}

static struct str read_file(struct arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    char *p = arena_raw(a, MIB(1));
    size_t n = fread(p, 1, MIB(1), f);
    fclose(f);
    return str_n(p, n);
}

/* JSONTestSuite: y_ must be accepted, n_ refused, i_ either. */
static void suite(void **state)
{
    static const char folder[] = TEST_DATA "/json-parsing";
    DIR *d = opendir(folder);
    assert_non_null(d);
    int seen = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (!str_has_suffix(str_z(e->d_name), STR(".json")))
            continue;
        struct arena a = ARENA_INIT;
        struct str path = arena_fmt(&a, "%s/%s", folder, e->d_name);
        bool ok = accepted(read_file(&a, path.p));
        if (e->d_name[0] != 'i' && ok != (e->d_name[0] == 'y'))
            fail_msg("%s: %s", e->d_name, ok ? "accepted" : "refused");
        seen++;
        arena_fini(&a);
    }
    closedir(d);
    assert_int_equal(seen, 318);
}

static const char sample[] =
    "{ \"kind\":\"Pod\" ,\"n\": [ -0, 1.5e+3,0.25, 10E2 ,7],\"o\":{},\"a\":[ ],\n"
    "  \"t\":true,\"f\":false,\"z\":null,\"deep\":[[{\"x\":[{}]}],[]],\r\n\t"
    "\"s\\u00e9\\ud83d\\udea2\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t "
    "\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2\","
    "\"longer than a word\":\"a text that fills several words of eight bytes\"}";

static void truncated(void **state)
{
    struct str text = str_n(sample, sizeof sample - 1);
    assert_true(accepted(text));
    for (size_t n = 0; n < text.n; n++)
        assert_false(accepted(str_sub(text, 0, n)));
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void mutated(void **state)
{
    static const char interesting[] = "{}[]\",:\\ \n0-.eEu\x80\xed\xff\x1f\x7ftn";
    uint32_t seed = 20260102;
    int good = 0;
    for (int round = 0; round < 100000; round++) {
        char text[sizeof sample];
        memcpy(text, sample, sizeof sample);
        size_t n = sizeof sample - 1;
        for (uint32_t edits = 1 + next_random(&seed) % 3; edits; edits--) {
            size_t at = next_random(&seed) % n;
            if (next_random(&seed) % 4 == 0)
                memmove(text + at, text + at + 1, --n - at);
            else
                text[at] = interesting[next_random(&seed) % (sizeof interesting - 1)];
        }
        good += accepted(str_n(text, n));
    }
    /* Both outcomes must be common, or this tests nothing. */
    assert_in_range(good, 5000, 95000);
}

static void assert_read(struct str text, struct str want)
{
    CLEANUP(free_ptr) char *copy = exact(text);
    struct arena a = ARENA_INIT;
    struct json_in in;
    struct str got = STR_NULL;
    json_in_init(&in, str_n(copy, text.n), &a);
    bool ok = json_read_string(&in, &got) && json_end(&in);
    if (!ok || !str_eq(got, want))
        fail_msg("%.*s: got \"%.*s\", want \"%.*s\" (%s)", STR_ARG(text), STR_ARG(got),
                 STR_ARG(want), ok ? "" : in.error);
    arena_fini(&a);
}

static void strings(void **state)
{
    assert_read(STR("\"\""), STR(""));
    assert_read(STR("\"\\u0000x\""), STR("\0x"));
    assert_read(STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), STR("\"\\/\b\f\n\r\t"));
    assert_read(STR("\"\\u00e9\\u20AC\\ud83d\\udea2.\""),
                STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2."));
    assert_read(STR("\"\x7f\""), STR("\x7f"));
    /* lone surrogates, each replaced by itself */
    assert_read(STR("\"\\ud83dx\""), STR("\xef\xbf\xbdx"));
    assert_read(STR("\"\\udea2\\ud83d\""), STR("\xef\xbf\xbd\xef\xbf\xbd"));
    assert_read(STR("\"\\ud83d\\ud83d\\udea2\""), STR("\xef\xbf\xbd\xf0\x9f\x9a\xa2"));
    assert_read(STR("\"\\ud83d\\u0041\""), STR("\xef\xbf\xbd"
                                               "A"));
    assert_read(STR("\"\\ud83d\\n\""), STR("\xef\xbf\xbd\n"));
    /* each byte that is not UTF-8 becomes one U+FFFD */
    assert_read(STR("\"\xff\xfe\""), STR("\xef\xbf\xbd\xef\xbf\xbd"));
    assert_read(STR("\"\xe2\x82\""), STR("\xef\xbf\xbd\xef\xbf\xbd"));
    assert_read(STR("\"\xc0\x80\xed\xa0\x80\""),
                STR("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"));
    assert_read(STR("\"a\xf4\x90\x80\x80z\\n\""),
                STR("a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\n"));
}

/* A special byte at each place of a word, before and behind the scan's eight-byte steps. */
static void string_lengths(void **state)
{
    for (size_t n = 0; n < 40; n++) {
        char text[64], want[64];
        memset(text, 'x', sizeof text);
        text[0] = text[n + 1] = '"';
        memset(want, 'x', n);
        assert_read(str_n(text, n + 2), str_n(want, n));
        for (size_t at = 1; at <= n; at++) {
            memset(text + 1, 'x', n);
            text[at] = 0x1f;
            assert_false(accepted(str_n(text, n + 2)));
            text[at] = '"';
            assert_false(accepted(str_n(text, n + 2)));
            text[at] = '\\';
            assert_false(accepted(str_n(text, n + 2)));
        }
    }
}

static void plain_strings_are_views(void **state)
{
    struct str text = STR("[\"no escape, \xc3\xa9\"]"), s;
    struct json_in in;
    json_in_init(&in, text, NULL); /* an allocation would abort */
    assert_true(json_enter_array(&in) && json_next_item(&in) && json_read_string(&in, &s));
    assert_ptr_equal(s.p, text.p + 2);
    assert_false(json_next_item(&in));
    assert_true(json_end(&in));
}

static void depth(void **state)
{
    char text[4 * JSON_DEPTH_MAX];
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    assert_true(accepted(str_n(text, 2 * JSON_DEPTH_MAX)));
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    assert_false(accepted(str_n(text, 2 * JSON_DEPTH_MAX + 2)));
    /* skipping counts the levels that the reader is already in */
    struct json_in in;
    json_in_init(&in, str_n(text, 2 * JSON_DEPTH_MAX + 2), NULL);
    assert_true(json_enter_array(&in) && json_next_item(&in));
    assert_false(json_skip(&in, NULL));
    assert_string_equal(in.error, "nested too deeply");
}

static void errors(void **state)
{
    struct json_in in;
    struct str s = STR_NULL;
    uint32_t line, column;
    json_in_init(&in, STR("{\n \"a\": 1,\n  b: 2}"), NULL);
    assert_true(json_enter_object(&in) && json_next_key(&in, &s) && json_skip(&in, &s));
    assert_str(s, "1");
    assert_false(json_next_key(&in, &s));
    assert_string_equal(in.error, "expected a string");
    json_where(&in, &line, &column);
    assert_int_equal(line, 3);
    assert_int_equal(column, 3);
    /* sticky, and the first one wins */
    assert_false(json_fail(&in, "another"));
    assert_false(json_skip(&in, NULL) || json_next_key(&in, &s) || json_next_item(&in) ||
                 json_end(&in) || json_enter_array(&in));
    assert_int_equal(json_peek(&in), JSON_BAD);
    assert_string_equal(in.error, "expected a string");
    json_where(&in, &line, &column);
    assert_int_equal(line, 3);

    json_in_init(&in, STR(" 7 "), NULL);
    assert_int_equal(json_peek(&in), JSON_NUMBER);
    assert_false(json_read_string(&in, &s));
    json_in_init(&in, STR_NULL, NULL);
    assert_true(json_end(&in));
    assert_int_equal(json_peek(&in), JSON_BAD);
    assert_string_equal(in.error, "unexpected end of the text");
}

TESTS(cmocka_unit_test(suite), cmocka_unit_test(truncated), cmocka_unit_test(mutated),
      cmocka_unit_test(strings), cmocka_unit_test(string_lengths),
      cmocka_unit_test(plain_strings_are_views), cmocka_unit_test(depth), cmocka_unit_test(errors))
