/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "codec/json.h"

static struct json *parse(struct arena *a, struct str text)
{
    struct err e = ERR_INIT(a);
    struct json *v = NULL;
    if (json_parse(a, text, &v, &e) != 0)
        fail_msg("%.*s: %.*s", STR_ARG(text), STR_ARG(e.message));
    return v;
}

static void assert_same(const char *text, const char *want)
{
    struct arena a = ARENA_INIT;
    assert_str(json_text(&a, parse(&a, str_z(text))), want);
    arena_fini(&a);
}

static void parsing(void **state)
{
    assert_same(" null ", "null");
    assert_same("[ ]", "[]");
    assert_same("{\"b\":[1.50,{\"x\":{}}],\"a\":\"\\u0041\"}",
                "{\"b\":[1.50,{\"x\":{}}],\"a\":\"A\"}");
    /* the last one of a key wins, at the first one's place */
    assert_same("{\"a\":1,\"b\":2,\"a\":{\"c\":1,\"c\":2}}", "{\"a\":{\"c\":2},\"b\":2}");
    assert_same("{\"a\":1,\"\\u0061\":2}", "{\"a\":2}");
}

static void assert_refused(struct str text, size_t arena_cap, const char *message)
{
    struct arena a, messages = ARENA_INIT;
    arena_init(&a, arena_cap);
    struct err e = ERR_INIT(&messages);
    struct json *v;
    assert_int_equal(json_parse(&a, text, &v, &e), -ERR_BAD_REQUEST);
    if (!str_has_suffix(e.message, str_z(message)))
        fail_msg("got \"%.*s\", want \"%s\"", STR_ARG(e.message), message);
    arena_fini(&a);
    arena_fini(&messages);
}

static void refusing(void **state)
{
    assert_refused(STR(""), MIB(1), "line 1, column 1: unexpected end of the text");
    assert_refused(STR("{\n\"a\": [1,\n2,]}"), MIB(1), "line 3, column 3: expected a value");
    assert_refused(STR("[1] 2"), MIB(1), "line 1, column 5: unexpected text after the value");
    assert_refused(STR("{\"a\":1 \"b\":2}"), MIB(1),
                   "line 1, column 8: expected a comma or a closing brace");
    /* more than the arena may hold: an error, not an abort */
    static char text[100001];
    memset(text, '[', 1);
    for (size_t i = 1; i < sizeof text; i += 2)
        memcpy(text + i, i + 2 < sizeof text ? "1," : "1]", 2);
    struct arena a = ARENA_INIT;
    assert_int_equal(parse(&a, str_n(text, sizeof text))->array.n, 50000);
    arena_fini(&a);
    assert_refused(str_n(text, sizeof text), KIB(64), ": value too large");
}

/* Many members, every key twice, in another order the second time. */
static void many_members(void **state)
{
    enum { N = 20000, COPRIME = 7919 };
    struct arena a = ARENA_INIT;
    struct buf b = BUF_INIT(MIB(4));
    buf_c(&b, '{');
    for (uint64_t i = 0; i < 2 * N; i++) {
        uint64_t key = i < N ? i : i * COPRIME % N;
        buf_fmt(&b, "%s\"k%llu\":%llu", i ? "," : "", (unsigned long long)key,
                (unsigned long long)(i < N ? 0 : key + 1));
    }
    buf_c(&b, '}');
    struct json *o = parse(&a, buf_view(&b));
    assert_int_equal(o->object.n, N);
    for (int64_t i = 0, v; i < N; i++) {
        assert_true(json_i64(o->object.v[i].value, &v));
        assert_int_equal(v, i + 1);
    }
    /* equal to itself in the order of the texts */
    struct json *sorted = json_copy(&a, o);
    json_sort(sorted);
    assert_str(sorted->object.v[2].key, "k10");
    assert_true(json_eq(o, sorted) && json_eq(sorted, o));
    sorted->object.v[N / 2].value = json_null(&a);
    assert_false(json_eq(o, sorted));
    buf_fini(&b);
    arena_fini(&a);
}

static void looking_up(void **state)
{
    struct arena a = ARENA_INIT;
    struct json *o = parse(&a, STR("{\"spec\":{\"template\":{\"n\":3,\"s\":\"x\"}},\"l\":[1]}"));
    int64_t n = 0;
    assert_true(json_i64(json_path(o, "spec", "template", "n", NULL), &n) && n == 3);
    assert_str(json_str(json_path(o, "spec", "template", "s", NULL)), "x");
    assert_null(json_path(o, "spec", "other", "n", NULL));
    assert_null(json_path(o, "l", "n", NULL));
    assert_null(json_path(NULL, "l", NULL));
    assert_null(json_str(json_getz(o, "l")).p);
    assert_null(json_str(NULL).p);
    assert_false(json_i64(NULL, &n));
    assert_true(json_del(o, STR("spec")));
    assert_false(json_del(o, STR("spec")));
    assert_str(json_text(&a, o), "{\"l\":[1]}");
    arena_fini(&a);
}

static bool texts_eq(const char *x, const char *y)
{
    struct arena a = ARENA_INIT;
    struct json *v = parse(&a, str_z(x)), *w = parse(&a, str_z(y));
    bool equal = json_eq(v, w);
    assert_int_equal(json_eq(w, v), equal);
    arena_fini(&a);
    return equal;
}

static void equality(void **state)
{
    assert_true(texts_eq("{\"a\":[1,true],\"b\":null}", "{\"b\":null,\"a\":[1.0,true]}"));
    assert_false(texts_eq("[1,2]", "[2,1]"));
    assert_false(texts_eq("[1]", "[1,2]"));
    assert_false(texts_eq("{\"a\":1}", "{\"b\":1}"));
    assert_false(texts_eq("{\"a\":1,\"b\":2}", "{\"b\":2,\"c\":1}"));
    assert_false(texts_eq("{\"a\":null}", "{}"));
    assert_false(texts_eq("\"1\"", "1"));
    assert_false(texts_eq("true", "false"));
}

static void copies_stand_alone(void **state)
{
    struct arena a = ARENA_INIT, other = ARENA_INIT;
    char text[] = "{\"b\":[{\"y\":1,\"x\":\"text\"}],\"a\":{}}";
    struct json *copy = json_copy(&other, parse(&a, str_z(text)));
    memset(text, '#', sizeof text - 1);
    arena_fini(&a);
    json_sort(copy);
    assert_str(json_text(&other, copy), "{\"a\":{},\"b\":[{\"x\":\"text\",\"y\":1}]}");
    arena_fini(&other);
}

static void deep(void **state)
{
    struct arena a = ARENA_INIT;
    char text[2 * JSON_DEPTH_MAX];
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    struct json *v = parse(&a, str_n(text, sizeof text));
    assert_true(json_eq(v, json_copy(&a, v)));
    assert_true(str_eq(json_text(&a, v), str_n(text, sizeof text)));
    arena_fini(&a);
}

TESTS(cmocka_unit_test(parsing), cmocka_unit_test(refusing), cmocka_unit_test(many_members),
      cmocka_unit_test(looking_up), cmocka_unit_test(equality),
      cmocka_unit_test(copies_stand_alone), cmocka_unit_test(deep))
