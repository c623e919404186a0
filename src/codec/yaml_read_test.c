/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "codec/yaml.h"

static void assert_reads_n(struct str text, const char *want)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct json *v;
    if (yaml_parse(&a, text, &v, &e) != 0)
        fail_msg("%.*s: %.*s", STR_ARG(text), STR_ARG(e.message));
    struct str got = json_text(&a, v);
    if (!str_eqz(got, want))
        fail_msg("%.*s: got %.*s, want %s", STR_ARG(text), STR_ARG(got), want);
    arena_fini(&a);
}

static void assert_reads(const char *text, const char *want)
{
    assert_reads_n(str_z(text), want);
}

static void assert_refuses_n(struct str text, const char *want)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct json *v;
    if (yaml_parse(&a, text, &v, &e) != -ERR_BAD_REQUEST)
        fail_msg("accepted: %.*s", STR_ARG(text));
    assert_str(e.message, want);
    arena_fini(&a);
}

static void assert_refuses(const char *text, const char *want)
{
    assert_refuses_n(str_z(text), want);
}

static void words(void **state)
{
    assert_reads("[~, null, Null, NULL, '', nULL]", "[null,null,null,null,\"\",\"nULL\"]");
    assert_reads("a:", "{\"a\":null}");
    assert_reads("[y, Y, yes, Yes, YES, true, True, TRUE, on, On, ON]",
                 "[true,true,true,true,true,true,true,true,true,true,true]");
    assert_reads("[n, N, no, No, NO, false, False, FALSE, off, Off, OFF]",
                 "[false,false,false,false,false,false,false,false,false,false,false]");
    assert_reads("[yEs, tRUE, oN, 'true', \"no\"]", "[\"yEs\",\"tRUE\",\"oN\",\"true\",\"no\"]");
    assert_reads("[nothing, yesterday, often, ~x]", "[\"nothing\",\"yesterday\",\"often\",\"~x\"]");
}

static void integers(void **state)
{
    assert_reads("[0, -0, +7, 685_230, +685_230]", "[0,0,7,685230,685230]");
    assert_reads("[0x_0A_74_AE, 0XfF, -0x10, 0x]", "[685230,255,-16,\"0x\"]");
    assert_reads("[0b1010_0111_0100_1010_1110, -0b101010, 0b2]", "[685230,-42,\"0b2\"]");
    assert_reads("[02472256, 0o17, 0O17, -017, 00]", "[685230,15,15,-15,0]");
    assert_reads("[089, 08, 0o8]", "[89,8,\"0o8\"]"); /* not octal: a float for go-yaml */
    assert_reads("[9223372036854775807, -9223372036854775808, 18446744073709551615]",
                 "[9223372036854775807,-9223372036854775808,18446744073709551615]");
    assert_reads("[18446744073709551616, -9_223372036854775809, 0xffffffffffffffff1]",
                 "[18446744073709551616,-9223372036854775809,\"0xffffffffffffffff1\"]");
    assert_reads("[+, -, _, _1, 1_, 1-, --1, 12e, 50cent]",
                 "[\"+\",\"-\",\"_\",\"_1\",1,\"1-\",\"--1\",\"12e\",\"50cent\"]");
    assert_reads("!!int '3'", "3");
}

static void floats(void **state)
{
    assert_reads("[6.8523e+5, 685.230_15e+03, 685_230.15, 1., 1.e2, .5, -.5, +.5e-1]",
                 "[685230,685230.15,685230.15,1,100,0.5,-0.5,0.05]");
    assert_reads("[1e3, 1E3, 123456e1, 0.1, -0.0, 1e21, 1e-7]",
                 "[1000,1000,1234560,0.1,-0,1e+21,1e-7]");
    assert_reads("[1e400, ., .e1, .5_0, 1.2.3, 1e, 1e+, 0x1p3]",
                 "[\"1e400\",\".\",\".e1\",\".5_0\",\"1.2.3\",\"1e\",\"1e+\",\"0x1p3\"]");
    assert_reads("[190:20:30, 1:30.5]", "[\"190:20:30\",\"1:30.5\"]");
    assert_reads("[!!float '1.1', !!float 7]", "[1.1,7]");
    assert_refuses("a: .inf", "yaml: line 1: json: unsupported value: .inf");
    assert_refuses("a:\n- -.INF", "yaml: line 2: json: unsupported value: -.INF");
    assert_refuses(".nan", "yaml: line 1: json: unsupported value: .nan");
    assert_reads("['.inf', .iNF, .Nan]", "[\".inf\",\".iNF\",\".Nan\"]");
}

static void strings(void **state)
{
    assert_reads("[2015-01-01, 2015-02-24T18:19:39Z, 2001-12-14 21:59:43.10]",
                 "[\"2015-01-01\",\"2015-02-24T18:19:39Z\",\"2001-12-14 21:59:43.10\"]");
    assert_reads("a: |\n  x\n   y\n\n  z\n", "{\"a\":\"x\\n y\\n\\nz\\n\"}");
    assert_reads("a: >-\n  x\n  y\n\n  z\n", "{\"a\":\"x y\\nz\"}");
    assert_reads("a: \"\\u00e9\\n\\x41\\0\"", "{\"a\":\"\xc3\xa9\\nA\\u0000\"}");
    assert_reads("a: plain\n  folded", "{\"a\":\"plain folded\"}");
    assert_reads("url: {a: https://example.com/x, b: [http://y]}",
                 "{\"url\":{\"a\":\"https://example.com/x\",\"b\":[\"http://y\"]}}");
    assert_reads("a: !!str 123", "{\"a\":\"123\"}");
    assert_reads("a: !mine 123", "{\"a\":\"123\"}");
    assert_reads("a: ! test", "{\"a\":\"test\"}");
    assert_reads("a: !!binary aGVsbG8=", "{\"a\":\"hello\"}");
    assert_reads("a: !!binary ''", "{\"a\":\"\"}");
    assert_reads("a: !!binary gIGC", "{\"a\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}");
    assert_refuses("a: !!binary x", "yaml: line 1: !!binary value contains invalid base64 data");
    assert_refuses("a: !!int x", "yaml: line 1: cannot decode !!str `x` as a !!int");
    assert_refuses("a: !!null 0", "yaml: line 1: cannot decode !!int `0` as a !!null");
    assert_reads("a: !!timestamp '2015-01-01'", "{\"a\":\"2015-01-01\"}");
    assert_reads_n(STR("\xff\xfe[\0001\000]\000"), "[1]"); /* UTF-16 */
}

static void structure(void **state)
{
    assert_reads("", "null");
    assert_reads("# only a comment\n", "null");
    assert_reads("---\n...\n", "null");
    assert_reads("{}", "{}");
    assert_reads("a:\n- 1\n- b: 2\n  c: []\n-\n", "{\"a\":[1,{\"b\":2,\"c\":[]},null]}");
    assert_reads("{\"a\": [1, 2.50, true, null], \"b\": {}}", "{\"a\":[1,2.5,true,null],\"b\":{}}");
    assert_reads("a: 1\n---\nb: [\n", "{\"a\":1}"); /* one document only */
}

static void keys(void **state)
{
    assert_reads("1: a\n0x10: b\ntrue: c\n1.5: d\n2015-01-01: e\n'~': f\n.inf: g\n-0.5: h\n",
                 "{\"1\":\"a\",\"16\":\"b\",\"true\":\"c\",\"1.5\":\"d\",\"2015-01-01\":\"e\","
                 "\"~\":\"f\",\".inf\":\"g\",\"-0.5\":\"h\"}");
    /* single precision, as sigs.k8s.io/yaml */
    assert_reads("{0.1: a, 1e6: b, 123456.0: c, 1234567.0: d, 0.00001: e, 3.14159265358979: f}",
                 "{\"0.1\":\"a\",\"1e+06\":\"b\",\"123456\":\"c\",\"1.234567e+06\":\"d\","
                 "\"1e-05\":\"e\",\"3.1415927\":\"f\"}");
    assert_reads("yes: 1\nno: 2", "{\"true\":1,\"false\":2}");
    assert_reads("&k key: 1\nother: *k", "{\"key\":1,\"other\":\"key\"}");
    assert_reads("a: &k 7\n*k : x", "{\"a\":7,\"7\":\"x\"}");
    assert_reads("? long\n: x", "{\"long\":\"x\"}");
    assert_refuses("a:\n  ~: 1", "yaml: line 2: unsupported map key of type: null");
    assert_refuses("[a]: 1", "yaml: line 1: invalid map key: not a scalar");
    assert_refuses("? {a: 1}\n: 1", "yaml: line 1: invalid map key: not a scalar");
    assert_refuses("a: {{ .Values.x }}", "yaml: line 1: invalid map key: not a scalar");
}

static void repeated_keys(void **state)
{
    assert_refuses("a: 1\nb: 2\na: 3\n",
                   "yaml: unmarshal errors:\n  line 3: key \"a\" already set in map");
    assert_refuses("x:\n  a: 1\n  a:\n    b: 1\n9: 1\n9: 2\n",
                   "yaml: unmarshal errors:\n  line 4: key \"a\" already set in map\n"
                   "  line 6: key 9 already set in map");
    assert_reads("a: {x: 1}\nb: {x: 1}", "{\"a\":{\"x\":1},\"b\":{\"x\":1}}");
    struct buf b = BUF_INIT(MIB(1));
    for (int i = 0; i < 1000; i++)
        buf_fmt(&b, "k%d: %d\n", i, i);
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct json *v;
    assert_int_equal(yaml_parse(&a, buf_view(&b), &v, &e), 0);
    assert_int_equal(v->object.n, 1000);
    buf_z(&b, "k500: again\n");
    assert_refuses_n(buf_view(&b),
                     "yaml: unmarshal errors:\n  line 1001: key \"k500\" already set in map");
    buf_fini(&b);
    arena_fini(&a);
}

static void repeated_keys_allowed(void **state)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct json *v;
    struct str repeated;
    assert_int_equal(
        yaml_parse_lenient(&a, STR("a: 1\nb: 2\na: 3\na: 4\n<<: {b: 5}"), &v, &repeated, &e), 0);
    assert_str(json_text(&a, v), "{\"a\":4,\"b\":2}");
    assert_str(repeated, "yaml: unmarshal errors:\n  line 3: key \"a\" already set in map\n"
                         "  line 4: key \"a\" already set in map");
    assert_int_equal(yaml_parse_lenient(&a, STR("a: 1"), &v, &repeated, &e), 0);
    assert_null(repeated.p);
    assert_int_equal(yaml_parse_lenient(&a, STR("a: ]"), &v, &repeated, &e), -ERR_BAD_REQUEST);
    arena_fini(&a);
}

static void aliases(void **state)
{
    assert_reads("a: &x {c: [1]}\nb: *x\n", "{\"a\":{\"c\":[1]},\"b\":{\"c\":[1]}}");
    assert_reads("- &a 1\n- &a 2\n- *a\n", "[1,2,2]");
    assert_refuses("a: *x", "yaml: line 1: unknown anchor 'x' referenced");
    assert_refuses("a: &x\n  b: *x", "yaml: line 2: anchor 'x' value contains itself");

    /* each alias is a tree of its own */
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct json *v;
    assert_int_equal(yaml_parse(&a, STR("a: &x {c: 1}\nb: *x"), &v, &e), 0);
    json_set(&a, json_getz(v, "a"), STR("c"), json_null(&a));
    assert_str(json_text(&a, v), "{\"a\":{\"c\":null},\"b\":{\"c\":1}}");
    arena_fini(&a);
}

static void merges(void **state)
{
    assert_reads("a: &a {p: 1, q: 2}\nb: {<<: *a, q: 3}\nc: {q: 3, <<: *a}",
                 "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"q\":3,\"p\":1},\"c\":{\"q\":3,\"p\":1}}");
    assert_reads("- &a {p: 1}\n- &b {p: 2, q: 2}\n- {<<: [*a, *b, {r: 3}]}",
                 "[{\"p\":1},{\"p\":2,\"q\":2},{\"p\":1,\"q\":2,\"r\":3}]");
    assert_reads("{'<<': 1}", "{\"<<\":1}");
    assert_reads("{!!merge <<: {a: 1}}", "{\"a\":1}");
    assert_refuses("<<: 1",
                   "yaml: line 1: map merge requires map or sequence of maps as the value");
    assert_refuses("a: &a [{b: 1}]\n<<: *a",
                   "yaml: line 2: map merge requires map or sequence of maps as the value");
    assert_refuses("<<: [{a: 1}, x]",
                   "yaml: line 1: map merge requires map or sequence of maps as the value");
}

static void bounds(void **state)
{
    struct buf b = BUF_INIT(MIB(32));
    /* a billion laughs */
    buf_z(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 10; i++) {
        buf_fmt(&b, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            buf_fmt(&b, "*a%d,", i - 1);
        buf_z(&b, "]\n");
    }
    assert_refuses_n(buf_view(&b), "yaml: line 6: document contains excessive aliasing");
    /* a long text, many times */
    buf_clear(&b);
    buf_z(&b, "- &a ");
    for (int i = 0; i < 1000000; i++)
        buf_c(&b, 'x');
    for (int i = 0; i < 100; i++)
        buf_z(&b, "\n- *a");
    assert_refuses_n(buf_view(&b), "yaml: line 19: document contains excessive aliasing");
    /* depth: JSON_DEPTH_MAX is the last one allowed, also by way of aliases */
    for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        buf_clear(&b);
        for (int i = 0; i < depth; i++)
            buf_z(&b, "- ");
        buf_z(&b, "x");
        struct arena a = ARENA_INIT;
        struct err e = ERR_INIT(&a);
        struct json *v;
        assert_int_equal(yaml_parse(&a, buf_view(&b), &v, &e),
                         depth > JSON_DEPTH_MAX ? -ERR_BAD_REQUEST : 0);
        arena_fini(&a);
    }
    buf_clear(&b);
    buf_z(&b, "- &a [[[x]]]\n");
    for (int i = 0; i < JSON_DEPTH_MAX - 2; i++)
        buf_z(&b, "- ");
    buf_z(&b, "*a");
    assert_refuses_n(buf_view(&b), "yaml: line 2: nested too deeply");
    /* what makes libyaml slow */
    buf_clear(&b);
    for (int i = 0; i <= YAML_TAG_DIRECTIVES_MAX; i++)
        buf_fmt(&b, "%%TAG !t%d! x\n", i);
    buf_z(&b, "---\nx\n");
    assert_refuses_n(buf_view(&b), "yaml: document has too many %TAG directives");
    assert_reads_n(str_sub(buf_view(&b), strlen("%TAG !t0! x\n"), b.n), "\"x\"");
    buf_clear(&b);
    for (int i = 0; i < 500; i++)
        buf_c(&b, '[');
    for (int i = 0; i < 500000; i++)
        buf_z(&b, "x,");
    assert_refuses_n(buf_view(&b), "yaml: line 1: document is too large");
    buf_clear(&b);
    for (int i = 0; i <= YAML_ANCHORS_MAX; i++)
        buf_fmt(&b, "- &a%d x\n", i);
    assert_refuses_n(buf_view(&b), "yaml: line 10001: document has too many anchors");
    /* more than the arena holds */
    struct arena small, messages = ARENA_INIT;
    arena_init(&small, KIB(16));
    struct err e = ERR_INIT(&messages);
    struct json *v;
    buf_clear(&b);
    for (int i = 0; i < 1000; i++)
        buf_z(&b, "- x\n");
    assert_int_equal(yaml_parse(&small, buf_view(&b), &v, &e), -ERR_BAD_REQUEST);
    assert_true(str_has_suffix(e.message, STR("document is too large")));
    arena_fini(&small);
    arena_fini(&messages);
    buf_fini(&b);
}

static void syntax_errors(void **state)
{
    assert_refuses("a: b: c", "yaml: line 1: mapping values are not allowed in this context");
    assert_refuses("a: 1\nb: [1,\nc: 2\n", "yaml: line 4: did not find expected ',' or ']'");
    assert_refuses("a:\n\t- b", "yaml: line 2: found character that cannot start any token");
    assert_refuses("a: 'x", "yaml: line 1: found unexpected end of stream");
    assert_refuses("a: 1\nb: \xff", "yaml: line 2: invalid leading UTF-8 octet");
    assert_refuses("a: 1\nb: \x01", "yaml: line 2: control characters are not allowed");
}

static void several_documents(void **state)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct json **v;
    size_t n;
    struct str text = STR("---\n# nothing\n---\na: 1\n---\n~\n---\n- &x 1\n- *x\n...\n---\nc\n");
    assert_int_equal(yaml_parse_all(&a, STR("all.yaml"), text, &v, &n, &e), 0);
    assert_int_equal(n, 3);
    assert_str(json_text(&a, v[0]), "{\"a\":1}");
    assert_str(json_text(&a, v[1]), "[1,1]");
    assert_str(json_text(&a, v[2]), "\"c\"");
    assert_int_equal(yaml_parse_all(&a, STR("none.yaml"), STR(""), &v, &n, &e), 0);
    assert_int_equal(n, 0);

    static const struct {
        const char *text, *message;
    } bad[] = {
        {"a: 1\n---\nb: 2\nc: ]\n", "all.yaml:4: did not find expected node content"},
        {"a: 1\n---\n&x b: 2\n---\nc: *x\n", "all.yaml:5: unknown anchor 'x' referenced"},
        {"a: 1\n---\na: 1\na: 2\n",
         "all.yaml: unmarshal errors:\n  line 4: key \"a\" already set in map"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(yaml_parse_all(&a, STR("all.yaml"), str_z(bad[i].text), &v, &n, &e),
                         -ERR_BAD_REQUEST);
        assert_str(e.message, bad[i].message);
    }
    arena_fini(&a);
}

static const char sample[] =
    "# pod\nkind: Pod\nmetadata: {name: x, labels: &l {a: \"1\"}}\nspec:\n"
    "  <<: *l\n  list:\n  - 0x1F\n  - !!str 5\n  - |\n    text\n     more\n"
    "  - 'it''s'\n  ? key\n  : ~\n---\n- \"\\u00e9\xc3\xa9\"\n...\n";

static void hostile(void **state)
{
    uint32_t seed = 1;
    int good = 0;
    for (size_t round = 0; round < 20000 + sizeof sample; round++) {
        size_t n = round < sizeof sample ? round : sizeof sample - 1;
        char *text = malloc(n + 1);
        assert_non_null(text);
        memcpy(text, sample, n);
        for (int i = 0; i < 3 && round >= sizeof sample; i++) {
            seed = seed * 1103515245 + 12345;
            text[(seed >> 16) % n] = "{}[]:-?&*!|>'\"%@# \n\tax1~<\xff"[(seed >> 8) % 26];
        }
        struct arena a = ARENA_INIT;
        struct err e = ERR_INIT(&a);
        struct json **v;
        size_t count;
        good += yaml_parse_all(&a, STR("x"), str_n(text, n), &v, &count, &e) == 0;
        arena_fini(&a);
        free(text);
    }
    assert_in_range(good, 500, 19000);
}

TESTS(cmocka_unit_test(words), cmocka_unit_test(integers), cmocka_unit_test(floats),
      cmocka_unit_test(strings), cmocka_unit_test(structure), cmocka_unit_test(keys),
      cmocka_unit_test(repeated_keys), cmocka_unit_test(repeated_keys_allowed),
      cmocka_unit_test(aliases), cmocka_unit_test(merges), cmocka_unit_test(bounds),
      cmocka_unit_test(syntax_errors), cmocka_unit_test(several_documents),
      cmocka_unit_test(hostile))
