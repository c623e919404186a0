/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "api/corev1.h"
#include "api/patch.h"
#include "api/policyv1.h"

static struct json *parse(struct arena *a, const char *text)
{
    struct err e = ERR_INIT(a);
    struct json *v;
    if (json_parse(a, str_z(text), &v, &e) != 0)
        fail_msg("bad test input %s: %.*s", text, STR_ARG(e.message));
    return v;
}

static const char *first_cause(const struct err *e)
{
    return e->causes ? e->causes->message.p : e->message.p;
}

/* One patch: `want` is the result, or "!" and the message (of the cause, when there is one). */
struct row {
    const char *doc, *patch, *want;
};

static void check(enum patch_type type, const struct desc *d, const struct row *row)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct json *doc = parse(&a, row->doc), *patch, *out = NULL;
    int rc = patch_parse(type, str_z(row->patch), &a, &patch, NULL, &e);
    if (rc == 0 && type == PATCH_JSON)
        rc = patch_json(&a, doc, patch, &out, &e);
    else if (rc == 0 && type == PATCH_MERGE)
        rc = patch_merge(&a, doc, patch, &out, &e);
    else if (rc == 0)
        rc = patch_strategic(&a, d, doc, patch, &out, &e);
    struct str got = rc ? arena_fmt(&a, "!%s", first_cause(&e)) : json_text(&a, out);
    bool same =
        rc || row->want[0] == '!' ? str_eqz(got, row->want) : json_eq(out, parse(&a, row->want));
    if (!same)
        fail_msg("%s\npatched with %s\nis        %.*s\ninstead of %s", row->doc, row->patch,
                 STR_ARG(got), row->want);
    assert_true(json_eq(doc, parse(&a, row->doc)));
    if (rc == 0)
        assert_true(rc || e.code == ERR_NONE);
    arena_fini(&a);
}

/* ---- JSON Patch ---- */

/* The examples of RFC 6902, appendix A. A.15 stays as it is for us: of two members `op` the last
 * one counts. */
static void rfc6902(void **state)
{
    static const struct row rows[] = {
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
         "{\"baz\":\"qux\",\"foo\":\"bar\"}"},
        {"{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
         "{\"foo\":[\"bar\",\"qux\",\"baz\"]}"},
        {"{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]",
         "{\"foo\":\"bar\"}"},
        {"{\"foo\":[\"bar\",\"qux\",\"baz\"]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]",
         "{\"foo\":[\"bar\",\"baz\"]}"},
        {"{\"baz\":\"qux\",\"foo\":\"bar\"}",
         "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":\"boo\"}]",
         "{\"baz\":\"boo\",\"foo\":\"bar\"}"},
        {"{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
         "[{\"op\":\"move\",\"from\":\"/foo/waldo\",\"path\":\"/qux/thud\"}]",
         "{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"corge\":\"grault\",\"thud\":\"fred\"}}"},
        {"{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}",
         "[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]",
         "{\"foo\":[\"all\",\"cows\",\"eat\",\"grass\"]}"},
        {"{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
         "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"},"
         "{\"op\":\"test\",\"path\":\"/foo/1\",\"value\":2}]",
         "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}"},
        {"{\"baz\":\"qux\"}", "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"bar\"}]",
         "!testing value /baz failed: test failed"},
        {"{\"foo\":\"bar\"}",
         "[{\"op\":\"add\",\"path\":\"/child\",\"value\":{\"grandchild\":{}}}]",
         "{\"foo\":\"bar\",\"child\":{\"grandchild\":{}}}"},
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\",\"xyz\":123}]",
         "{\"foo\":\"bar\",\"baz\":\"qux\"}"},
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":\"qux\"}]",
         "!add operation does not apply: doc is missing path: \"/baz/bat\": missing value"},
        {"{\"foo\":\"bar\"}",
         "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\",\"op\":\"remove\"}]",
         "!error in remove for path: '/baz': Unable to remove nonexistent key: baz: missing value"},
        {"{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10}]",
         "{\"/\":9,\"~1\":10}"},
        {"{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":\"10\"}]",
         "!testing value /~01 failed: test failed"},
        {"{\"foo\":[\"bar\"]}",
         "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\",\"def\"]}]",
         "{\"foo\":[\"bar\",[\"abc\",\"def\"]]}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(PATCH_JSON, NULL, &rows[i]);
}

static void json_patch_edges(void **state)
{
    static const struct row rows[] = {
        {"{\"a\":1}", "[]", "{\"a\":1}"},
        {"{\"a\":1}", "null", "{\"a\":1}"},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}"},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":3}]",
         "!replace operation value must be object or array"},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}"},
        {"{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"\"}]",
         "!remove operation does not apply: doc is missing path: \"\": missing value"},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"\",\"value\":{\"a\":1.0}}]", "{\"a\":1}"},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/b\",\"value\":null}]", "{\"a\":1}"},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":2}]", "{\"a\":1,\"b\":2}"},
        {"{\"a\":1}", "[{\"op\":\"copy\",\"from\":\"/x\",\"path\":\"/b\"}]",
         "{\"a\":1,\"b\":null}"},
        {"{\"a\":1}", "[{\"op\":\"move\",\"from\":\"/x\",\"path\":\"/b\"}]",
         "!error in move for path: 'x': Unable to remove nonexistent key: x: missing value"},
        {"{\"a\":{\"b\":{}}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b/c\"}]",
         "!move operation does not apply: doc is missing destination path: /a/b/c: missing value"},
        {"{\"a\":[1,2,3]}", "[{\"op\":\"remove\",\"path\":\"/a/-1\"}]", "{\"a\":[1,2]}"},
        {"{\"a\":[1,2,3]}", "[{\"op\":\"add\",\"path\":\"/a/-1\",\"value\":4}]",
         "{\"a\":[1,2,3,4]}"},
        {"{\"a\":[1,2,3]}", "[{\"op\":\"replace\",\"path\":\"/a/02\",\"value\":4}]",
         "{\"a\":[1,2,4]}"},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":4}]",
         "!error in add for path: '/a/2': Unable to access invalid index: 2: invalid index "
         "referenced"},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/x\",\"value\":4}]",
         "!error in add for path: '/a/x': value was not a proper array index: 'x': strconv.Atoi: "
         "parsing \"x\": invalid syntax"},
        {"{\"a\":[1]}", "[{\"op\":\"replace\",\"path\":\"/a/1\",\"value\":4}]",
         "!replace operation does not apply: doc is missing key: /a/1: missing value"},
        {"{\"a\":[1]}", "[{\"op\":\"remove\",\"path\":\"/a/1\"}]",
         "!error in remove for path: '/a/1': Unable to access invalid index: 1: invalid index "
         "referenced"},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"a\",\"value\":4}]",
         "!add operation does not apply: doc is missing path: \"a\": missing value"},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":4}]",
         "!add operation does not apply: doc is missing path: \"/a/b\": missing value"},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\"}]", "{\"a\":1,\"b\":null}"},
        {"{\"a\":1}", "[{\"op\":\"add\",\"value\":1}]",
         "!add operation failed to decode path: missing value"},
        {"{\"a\":1}", "[{\"op\":\"test\"}]",
         "!test operation failed to decode path: operation missing path field: missing value"},
        {"{\"a\":1}", "[{\"op\":\"copy\",\"path\":\"/b\"}]",
         "!copy operation failed to decode from: operation, missing from field: missing value"},
        {"{\"a\":1}", "[{\"op\":\"frob\",\"path\":\"/b\"}]", "!Unexpected kind: frob"},
        {"{\"a\":1}", "[null]", "!Unexpected kind: unknown"},
        {"{\"a\":1}", "[{}]", "!Unexpected kind: unknown"},
        {"{\"a\":1}", "{}",
         "!error decoding patch: json: cannot unmarshal object into Go value of type "
         "[]handlers.jsonPatchOp"},
        {"{\"a\":1}", "[{\"op\":3}]",
         "!error decoding patch: json: cannot unmarshal number into Go struct field "
         "jsonPatchOp.op of type string"},
        {"{\"a\":1}", "[", "!invalid JSON patch"},
        /* A value that was added may be edited by the next operation; the patch stays as it is. */
        {"{}",
         "[{\"op\":\"add\",\"path\":\"/a\",\"value\":{}},{\"op\":\"add\",\"path\":\"/a/b\","
         "\"value\":1},{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/c\"},"
         "{\"op\":\"replace\",\"path\":\"/a/b\",\"value\":2}]",
         "{\"a\":{\"b\":2},\"c\":{\"b\":1}}"},
        {"{\"a~b\":{\"c/d\":1}}", "[{\"op\":\"remove\",\"path\":\"/a~0b/c~1d\"}]", "{\"a~b\":{}}"},
        {"{\"\":{\"\":1}}", "[{\"op\":\"replace\",\"path\":\"//\",\"value\":2}]",
         "{\"\":{\"\":2}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(PATCH_JSON, NULL, &rows[i]);
}

static int apply_text(struct arena *a, const char *doc, struct str patch, struct err *e)
{
    struct json *p, *out;
    int rc = patch_parse(PATCH_JSON, patch, a, &p, NULL, e);
    return rc ? rc : patch_json(a, parse(a, doc), p, &out, e);
}

static void json_patch_limits(void **state)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);

    buf_c(&b, '[');
    for (int i = 0; i <= JSON_PATCH_OPS_MAX; i++)
        buf_fmt(&b, "%s{\"op\":\"test\",\"path\":\"\"}", i ? "," : "");
    buf_c(&b, ']');
    assert_int_equal(apply_text(&a, "{}", buf_view(&b), &e), -ERR_TOO_LARGE);
    assert_str(e.message, "Request entity too large: The allowed maximum operations in a JSON "
                          "patch is 10000, got 10001");

    /* Each copy doubles the document. */
    buf_clear(&b);
    buf_z(&b, "[{\"op\":\"add\",\"path\":\"/a\",\"value\":\"0123456789abcdef\"}");
    for (int i = 0; i < 40; i++)
        buf_z(&b, ",{\"op\":\"add\",\"path\":\"/b\",\"value\":[]},"
                  "{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b/-\"},"
                  "{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b/-\"},"
                  "{\"op\":\"move\",\"from\":\"/b\",\"path\":\"/a\"}");
    buf_c(&b, ']');
    err_clear(&e);
    assert_int_equal(apply_text(&a, "{}", buf_view(&b), &e), -ERR_INVALID);
    assert_str(e.message, PATCH_REJECTED);
    assert_true(str_has_prefix(e.causes->message, STR("Unable to complete the copy")));

    /* Moves nest the document ever deeper. */
    buf_clear(&b);
    buf_z(&b, "[{\"op\":\"add\",\"path\":\"/a\",\"value\":{}}");
    for (int i = 0; i < JSON_DEPTH_MAX + 1; i++)
        buf_z(&b, ",{\"op\":\"add\",\"path\":\"/b\",\"value\":{}},"
                  "{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b/a\"},"
                  "{\"op\":\"move\",\"from\":\"/b\",\"path\":\"/a\"}");
    buf_c(&b, ']');
    err_clear(&e);
    assert_int_equal(apply_text(&a, "{}", buf_view(&b), &e), -ERR_INVALID);
    assert_true(str_has_prefix(e.causes->message, STR("value for path '/b/a' is nested too")));

    /* The front of a long array, again and again. */
    buf_clear(&b);
    buf_z(&b, "[{\"op\":\"add\",\"path\":\"/a\",\"value\":[");
    for (int i = 0; i < 100000; i++)
        buf_z(&b, i ? ",1" : "1");
    buf_z(&b, "]}");
    for (int i = 0; i < JSON_PATCH_OPS_MAX - 1; i++)
        buf_z(&b, ",{\"op\":\"remove\",\"path\":\"/a/0\"}");
    buf_c(&b, ']');
    err_clear(&e);
    assert_int_equal(apply_text(&a, "{}", buf_view(&b), &e), -ERR_LIMIT);
    arena_fini(&a);
}

static void full_arena(void **state)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    buf_z(&b, "{\"metadata\":{\"finalizers\":[");
    for (int i = 0; i < 10000; i++)
        buf_fmt(&b, "%s\"x%d\"", i ? "," : "", i);
    buf_z(&b, "]}}");
    struct json *patch, *out, *doc = parse(&a, "{\"metadata\":{\"finalizers\":[\"y\"]}}");
    assert_int_equal(patch_parse(PATCH_STRATEGIC, buf_view(&b), &a, &patch, NULL, &e), 0);
    struct json *op = parse(&a, "[{\"op\":\"add\",\"path\":\"/a\"}]");
    json_set(&a, op->array.v[0], STR("value"), patch);
    struct arena small;
    arena_init(&small, KIB(64));
    assert_int_equal(patch_strategic(&small, &corev1_pod_desc, doc, patch, &out, &e), -ERR_LIMIT);
    assert_int_equal(patch_json(&small, doc, op, &out, &e), -ERR_LIMIT);
    arena_fini(&small);
    arena_fini(&a);
}

static void pointers(void **state)
{
    /* RFC 6901, section 5 */
    static const struct {
        const char *pointer, *want;
    } rows[] = {
        {"/foo", "[\"bar\",\"baz\"]"},
        {"/foo/0", "\"bar\""},
        {"/", "0"},
        {"/a~1b", "1"},
        {"/c%d", "2"},
        {"/e^f", "3"},
        {"/g|h", "4"},
        {"/i\\j", "5"},
        {"/k\"l", "6"},
        {"/ ", "7"},
        {"/m~0n", "8"},
        {"/foo/2", NULL},
        {"/foo/00", NULL},
        {"/foo/-", NULL},
        {"foo", NULL},
        {"/x", NULL},
    };
    struct arena a = ARENA_INIT;
    struct json *doc =
        parse(&a, "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,"
                  "\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8}");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct json *v = json_pointer(doc, str_z(rows[i].pointer));
        if (rows[i].want)
            assert_str(json_text(&a, v), rows[i].want);
        else
            assert_null(v);
    }
    assert_ptr_equal(json_pointer(doc, STR("")), doc);
    arena_fini(&a);
}

/* ---- JSON Merge Patch ---- */

/* The examples of RFC 7386, appendix A, that patch objects. */
static void rfc7386(void **state)
{
    static const struct row rows[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
        /* Beyond the RFC, as kube-apiserver: */
        {"{}", "{\"a\":[{\"b\":null,\"c\":1},null]}", "{\"a\":[{\"c\":1},null]}"},
        {"{}", "[1]",
         "!error decoding patch: json: cannot unmarshal array into Go value of type "
         "map[string]interface {}"},
        {"{}", "null", "!Invalid JSON Patch"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(PATCH_MERGE, NULL, &rows[i]);
}

/* ---- strategic merge patch ---- */

static void strategic_objects(void **state)
{
    static const struct row rows[] = {
        {"{\"spec\":{\"nodeName\":\"a\"}}", "{\"spec\":{\"hostname\":\"b\"}}",
         "{\"spec\":{\"nodeName\":\"a\",\"hostname\":\"b\"}}"},
        {"{\"spec\":{\"nodeName\":\"a\"}}", "null", "{\"spec\":{\"nodeName\":\"a\"}}"},
        {"{\"spec\":{\"nodeName\":\"a\"}}", "{\"spec\":{\"nodeName\":null,\"hostname\":null}}",
         "{\"spec\":{}}"},
        {"{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"2\"}}}",
         "{\"metadata\":{\"labels\":{\"a\":null,\"c\":\"3\"}}}",
         "{\"metadata\":{\"labels\":{\"b\":\"2\",\"c\":\"3\"}}}"},
        {"{\"metadata\":{\"labels\":{\"a\":\"1\"}}}",
         "{\"metadata\":{\"labels\":{\"$patch\":\"replace\",\"c\":\"3\"}}}",
         "{\"metadata\":{\"labels\":{\"c\":\"3\"}}}"},
        {"{\"metadata\":{\"labels\":{\"a\":\"1\"}}}",
         "{\"metadata\":{\"labels\":{\"$patch\":\"delete\",\"c\":\"3\"}}}",
         "{\"metadata\":{\"labels\":{}}}"},
        {"{\"metadata\":{\"labels\":{\"a\":\"1\"}}}",
         "{\"metadata\":{\"labels\":{\"$patch\":\"frob\",\"c\":\"3\"}}}",
         "!unknown patch type: frob in map: map[$patch:frob c:3]"},
        {"{\"metadata\":{}}", "{\"metadata\":{\"labels\":{\"$patch\":\"replace\"}}}",
         "{\"metadata\":{}}"},
        {"{\"metadata\":{}}", "{\"metadata\":{\"labels\":{\"a\":null,\"b\":\"1\"}}}",
         "{\"metadata\":{\"labels\":{\"b\":\"1\"}}}"},
        {"{\"spec\":{\"nodeName\":\"a\",\"hostname\":\"b\"}}",
         "{\"spec\":{\"$retainKeys\":[\"hostname\",\"subdomain\"],\"subdomain\":\"c\"}}",
         "{\"spec\":{\"hostname\":\"b\",\"subdomain\":\"c\"}}"},
        {"{\"spec\":{\"nodeName\":\"a\"}}",
         "{\"spec\":{\"$retainKeys\":[\"hostname\"],\"subdomain\":\"c\"}}",
         "!invalid patch format of retainKeys"},
        {"{\"spec\":{\"nodeName\":\"a\"}}",
         "{\"spec\":{\"$retainKeys\":[\"nodeName\"],\"subdomain\":null}}",
         "{\"spec\":{\"nodeName\":\"a\"}}"},
        {"{\"spec\":{}}", "{\"spec\":{\"$retainKeys\":\"x\"}}",
         "!invalid patch format of retainKeys"},
        /* Unknown members merge as plain JSON. */
        {"{\"x\":{\"a\":[1],\"b\":{\"c\":1}}}", "{\"x\":{\"a\":[2],\"b\":{\"d\":2}}}",
         "{\"x\":{\"a\":[2],\"b\":{\"c\":1,\"d\":2}}}"},
        {"{}", "[]", "!json: cannot unmarshal array into Go value of type map[string]interface {}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(PATCH_STRATEGIC, &corev1_pod_desc, &rows[i]);
    static const struct row budget = {"{\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"1\"}}}}",
                                      "{\"spec\":{\"selector\":{\"matchLabels\":{\"b\":\"2\"}}}}",
                                      "{\"spec\":{\"selector\":{\"matchLabels\":{\"b\":\"2\"}}}}"};
    check(PATCH_STRATEGIC, &policyv1_pod_disruption_budget_desc, &budget);
}

/* Rows about a pod's containers, finalizers, tolerations (a list that does not merge). */
static void strategic_lists(void **state)
{
    static const struct row rows[] = {
        {"{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"1\"},{\"name\":\"b\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"2\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"2\"},{\"name\":\"b\"}]}}"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"b\",\"image\":\"2\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"b\",\"image\":\"2\"},{\"name\":\"a\"}]}}"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"b\"}]}}"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
         "{\"spec\":{\"containers\":[{\"$patch\":\"replace\"},{\"name\":\"c\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"c\"}]}}"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}",
         "{\"spec\":{\"containers\":[{\"$patch\":\"merge\",\"name\":\"a\"}]}}",
         "!merging lists cannot yet be specified in the patch"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}",
         "{\"spec\":{\"containers\":[{\"image\":\"x\"}]}}",
         "!map: map[image:x] does not contain declared merge key: name"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}", "{\"spec\":{\"containers\":[\"x\"]}}",
         "!list element types are not identical: [[map[name:a]] [x]]"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}", "{\"spec\":{\"containers\":[[]]}}",
         "!lists of lists are not supported"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"X\",\"value\":\"1\"}]}]}"
         "}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"Y\",\"value\":\"2\"},"
         "{\"name\":\"X\",\"$patch\":\"delete\"}]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"Y\",\"value\":\"2\"}]}]}"
         "}"},
        {"{\"spec\":{}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"},{\"name\":\"b\"}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"b\"}]}}"},
        /* numbers as merge keys */
        {"{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80},"
         "{\"containerPort\":81}]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":81,"
         "\"hostPort\":1}]}]}}",
         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80},"
         "{\"containerPort\":81,\"hostPort\":1}]}]}}"},
        /* volumes: retainKeys */
        {"{\"spec\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}}",
         "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"$retainKeys\":[\"name\",\"hostPath\"],"
         "\"hostPath\":{\"path\":\"/x\"}}]}}",
         "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/x\"}}]}}"},
        /* scalars */
        {"{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}",
         "{\"metadata\":{\"finalizers\":[\"b\",\"c\"]}}",
         "{\"metadata\":{\"finalizers\":[\"a\",\"b\",\"c\"]}}"},
        {"{\"metadata\":{\"finalizers\":[\"a\",\"b\",\"c\"]}}",
         "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[\"b\",\"x\"]}}",
         "{\"metadata\":{\"finalizers\":[\"a\",\"c\"]}}"},
        {"{\"metadata\":{}}", "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[\"b\"]}}",
         "{\"metadata\":{}}"},
        {"{\"metadata\":{}}", "{\"metadata\":{\"$deleteFromPrimitiveList\":[\"b\"]}}",
         "!invalid patch format of primitive list"},
        /* no strategy: replaced */
        {"{\"spec\":{\"tolerations\":[{\"key\":\"a\"}]}}",
         "{\"spec\":{\"tolerations\":[{\"key\":\"b\"}]}}",
         "{\"spec\":{\"tolerations\":[{\"key\":\"b\"}]}}"},
        {"{\"spec\":{\"containers\":[]}}", "{\"spec\":{\"containers\":[]}}",
         "{\"spec\":{\"containers\":[]}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(PATCH_STRATEGIC, &corev1_pod_desc, &rows[i]);
}

#define FINALIZERS(list) "{\"metadata\":{\"finalizers\":" list "}}"
#define CONTAINERS(list) "{\"spec\":{\"containers\":" list "}}"

static void strategic_order(void **state)
{
    static const struct row rows[] = {
        {FINALIZERS("[\"a\",\"b\",\"c\"]"),
         "{\"metadata\":{\"$setElementOrder/finalizers\":[\"c\",\"a\",\"b\"]}}",
         FINALIZERS("[\"c\",\"a\",\"b\"]")},
        /* x is the server's own: it stays before what it stood before */
        {FINALIZERS("[\"a\",\"x\",\"b\"]"),
         "{\"metadata\":{\"$setElementOrder/finalizers\":[\"b\",\"a\"]}}",
         FINALIZERS("[\"x\",\"b\",\"a\"]")},
        {FINALIZERS("[\"a\",\"x\",\"b\"]"),
         "{\"metadata\":{\"$setElementOrder/finalizers\":[\"n\",\"a\",\"b\"],"
         "\"finalizers\":[\"n\"]}}",
         FINALIZERS("[\"n\",\"a\",\"x\",\"b\"]")},
        {"{\"metadata\":{}}",
         "{\"metadata\":{\"$setElementOrder/finalizers\":[\"n\"],\"finalizers\":[\"n\"]}}",
         FINALIZERS("[\"n\"]")},
        {"{\"metadata\":{}}", "{\"metadata\":{\"$setElementOrder/finalizers\":[\"n\"]}}",
         "{\"metadata\":{}}"},
        {FINALIZERS("[\"a\"]"),
         "{\"metadata\":{\"$setElementOrder/finalizers\":[\"a\"],\"finalizers\":[\"n\"]}}",
         "!The order in patch list:\n[n]\n doesn't match $setElementOrder list:\n[a]\n"},
        {FINALIZERS("[\"a\"]"), "{\"metadata\":{\"$setElementOrder/finalizers\":3}}",
         "!expected a []interface {}, but received a int64"},
        {FINALIZERS("[\"a\"]"), "{\"metadata\":{\"$setElementOrder\":[]}}",
         "!invalid patch format of setElementOrder list"},
        {CONTAINERS("[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"s\"}]"),
         "{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"b\"},{\"name\":\"n\"},"
         "{\"name\":\"a\"}],\"containers\":[{\"name\":\"n\",\"image\":\"1\"}]}}",
         CONTAINERS("[{\"name\":\"b\"},{\"name\":\"n\",\"image\":\"1\"},{\"name\":\"a\"},"
                    "{\"name\":\"s\"}]")},
        {CONTAINERS("[{\"name\":\"a\"},{\"name\":\"b\"}]"),
         "{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"b\"}],"
         "\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"}]}}",
         CONTAINERS("[{\"name\":\"b\"}]")},
        {"{\"spec\":{}}",
         "{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"b\"}],"
         "\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"},{\"name\":\"b\"}]}}",
         CONTAINERS("[{\"name\":\"b\"}]")},
        {CONTAINERS("[{\"name\":\"a\"}]"),
         "{\"spec\":{\"$setElementOrder/containers\":[{\"image\":\"b\"}]}}",
         "!map: map[image:b] does not contain declared merge key: name"},
        /* new elements take the places of deleted ones among the server's own */
        {CONTAINERS("[{\"name\":\"a\"},{\"name\":\"s\"}]"),
         "{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"b\"},{\"name\":\"c\"}],"
         "\"containers\":[{\"name\":\"b\"},{\"name\":\"c\"},{\"name\":\"a\",\"$patch\":"
         "\"delete\"}]}}",
         CONTAINERS("[{\"name\":\"s\"},{\"name\":\"b\"},{\"name\":\"c\"}]")},
        /* of an unknown list: no effect */
        {"{\"x\":[2,1]}", "{\"$setElementOrder/x\":[1,2]}", "{\"x\":[2,1]}"},
        {CONTAINERS("[]"), "{\"spec\":{\"$setElementOrder/containers\":[]}}", CONTAINERS("[]")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(PATCH_STRATEGIC, &corev1_pod_desc, &rows[i]);
}

static void notes(void **state)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct decode_notes n = {.arena = &a};
    struct json *p;
    assert_int_equal(patch_parse(PATCH_JSON,
                                 STR("[{\"op\":\"test\",\"op\":\"add\",\"path\":\"/a\",\"why\":1,"
                                     "\"value\":{\"x\":1,\"x\":2,\"y\":1}}]"),
                                 &a, &p, &n, &e),
                     0);
    assert_int_equal(n.duplicate.n, 2);
    assert_str(n.duplicate.v[0], "[0].op");
    assert_str(n.duplicate.v[1], "[0].value.x");
    assert_int_equal(n.unknown.n, 1);
    assert_str(n.unknown.v[0], "[0].why");

    n = (struct decode_notes){.arena = &a};
    assert_int_equal(patch_parse(PATCH_MERGE,
                                 STR("{\"spec\":{\"a\":[{\"b\":1,\"b\":2}]},\"spec\":{}}"), &a, &p,
                                 &n, &e),
                     0);
    assert_int_equal(n.unknown.n, 0);
    assert_int_equal(n.duplicate.n, 2);
    assert_str(n.duplicate.v[0], "spec.a[0].b");
    assert_str(n.duplicate.v[1], "spec");
    arena_fini(&a);
}

/* ---- random documents ---- */

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* No nulls; objects' members are named a to f. */
static struct json *random_value(struct arena *a, uint64_t *seed, int depth)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    uint32_t kind = next_random(seed) % (depth > 0 ? 5 : 3);
    if (kind == 0)
        return json_int(a, next_random(seed) % 3);
    if (kind == 1)
        return json_string(a, str_z(names[next_random(seed) % 6]));
    if (kind == 2)
        return json_bool(a, next_random(seed) % 2);
    struct json *v = kind == 3 ? json_array(a) : json_object(a);
    for (uint32_t n = next_random(seed) % 5; n > 0; n--)
        if (kind == 3)
            json_push(a, v, random_value(a, seed, depth - 1));
        else
            json_set(a, v, str_z(names[next_random(seed) % 6]), random_value(a, seed, depth - 1));
    return v;
}

static struct json *random_object(struct arena *a, uint64_t *seed)
{
    struct json *v = json_object(a);
    for (const char *name = "abcd"; *name; name++)
        json_set(a, v, str_n(name, 1), random_value(a, seed, 4));
    return v;
}

/* The merge patch that makes `to` of `from`. */
static struct json *merge_diff(struct arena *a, const struct json *from, const struct json *to)
{
    struct json *patch = json_object(a);
    for (size_t i = 0; i < from->object.n; i++)
        if (!json_get(to, from->object.v[i].key))
            json_set(a, patch, from->object.v[i].key, json_null(a));
    for (size_t i = 0; i < to->object.n; i++) {
        struct str key = to->object.v[i].key;
        struct json *old = json_get(from, key), *new = to->object.v[i].value;
        bool both = old && old->type == JSON_OBJECT && new->type == JSON_OBJECT;
        if (both)
            json_set(a, patch, key, merge_diff(a, old, new));
        else if (!old || !json_eq(old, new))
            json_set(a, patch, key, new);
    }
    return patch;
}

/* The same as operations. */
static void json_diff(struct arena *a, struct json *ops, struct str path, const struct json *from,
                      const struct json *to)
{
    for (size_t i = 0; i < from->object.n; i++) {
        struct str key = from->object.v[i].key, at = arena_fmt(a, "%s/%.*s", path.p, STR_ARG(key));
        struct json *old = from->object.v[i].value, *new = json_get(to, key);
        if (new && old->type == JSON_OBJECT &&new->type == JSON_OBJECT) {
            json_diff(a, ops, at, old, new);
            continue;
        }
        struct json *op = json_object(a);
        json_set(a, op, STR("op"), json_string(a, new ? STR("replace") : STR("remove")));
        json_set(a, op, STR("path"), json_string(a, at));
        if (new)
            json_set(a, op, STR("value"), new);
        json_push(a, ops, op);
    }
    for (size_t i = 0; i < to->object.n; i++) {
        if (json_get(from, to->object.v[i].key))
            continue;
        struct json *op = json_object(a);
        json_set(a, op, STR("op"), json_string(a, STR("add")));
        json_set(a, op, STR("path"),
                 json_string(a, arena_fmt(a, "%s/%.*s", path.p, STR_ARG(to->object.v[i].key))));
        json_set(a, op, STR("value"), to->object.v[i].value);
        json_push(a, ops, op);
    }
}

static void diffs_apply(void **state)
{
    uint64_t seed = 7;
    for (int round = 0; round < 2000; round++) {
        struct arena a = ARENA_INIT;
        struct err e = ERR_INIT(&a);
        struct json *from = random_object(&a, &seed), *to = random_object(&a, &seed), *out;
        struct json *before = json_copy(&a, from);
        struct json *patch = merge_diff(&a, from, to);
        assert_int_equal(patch_merge(&a, from, patch, &out, &e), 0);
        assert_true(json_eq(out, to));
        /* A strategic patch without type is a merge patch. */
        assert_int_equal(patch_strategic(&a, NULL, from, patch, &out, &e), 0);
        assert_true(json_eq(out, to));
        struct json *ops = json_array(&a);
        json_diff(&a, ops, STR(""), from, to);
        assert_int_equal(patch_json(&a, from, ops, &out, &e), 0);
        assert_true(json_eq(out, to));
        assert_true(json_eq(from, before));
        arena_fini(&a);
    }
}

/* ---- random lists, against the simplest thing that can be said of them ---- */

static struct json *random_containers(struct arena *a, uint64_t *seed, uint32_t of)
{
    struct json *list = json_array(a);
    for (uint32_t i = 0; i < of; i++) {
        if (next_random(seed) % 2)
            continue;
        struct json *item = json_object(a);
        json_set(a, item, STR("name"), json_string(a, arena_fmt(a, "c%u", (i * 7) % of)));
        json_set(a, item, STR("image"), json_int(a, next_random(seed) % 100));
        json_push(a, list, item);
    }
    return list;
}

static struct json *find_named(const struct json *list, struct str name)
{
    for (size_t i = 0; i < list->array.n; i++)
        if (str_eq(json_str(json_getz(list->array.v[i], "name")), name))
            return list->array.v[i];
    return NULL;
}

static ptrdiff_t position(const struct json *list, const struct json *item)
{
    for (size_t i = 0; i < list->array.n; i++)
        if (json_eq(json_getz(list->array.v[i], "name"), json_getz(item, "name")))
            return (ptrdiff_t)i;
    return -1;
}

/* Does result hold the elements of `of` that it has in their order? */
static void check_sequence(const struct json *result, const struct json *of,
                           const struct json *without)
{
    ptrdiff_t last = -1;
    for (size_t i = 0; i < of->array.n; i++) {
        ptrdiff_t at = position(result, of->array.v[i]);
        if (position(without, of->array.v[i]) >= 0)
            continue;
        assert_true(at > last);
        last = at;
    }
}

static void lists_merge(void **state)
{
    uint64_t seed = 11;
    for (int round = 0; round < 500; round++) {
        struct arena a = ARENA_INIT;
        struct err e = ERR_INIT(&a);
        uint32_t of = 2 + next_random(&seed) % 40;
        of += of % 7 == 0; /* names are multiples of 7 modulo this */
        struct json *live = random_containers(&a, &seed, of);
        struct json *wanted = random_containers(&a, &seed, of);
        struct json *doc = json_object(&a), *patch = json_object(&a), *out;
        json_set(&a, doc, STR("containers"), live);
        json_set(&a, patch, STR("containers"), wanted);
        int rc = patch_strategic(&a, &corev1_pod_spec_desc, doc, patch, &out, &e);
        assert_int_equal(rc, 0);
        struct json *merged = json_getz(out, "containers"), *nothing = json_array(&a);
        size_t expected = live->array.n;
        for (size_t i = 0; i < wanted->array.n; i++) {
            struct str name = json_str(json_getz(wanted->array.v[i], "name"));
            expected += !find_named(live, name);
            assert_true(json_eq(find_named(merged, name), wanted->array.v[i]));
        }
        assert_int_equal(merged->array.n, expected);
        check_sequence(merged, wanted, nothing);
        check_sequence(merged, live, wanted);
        arena_fini(&a);
    }
}

TESTS(cmocka_unit_test(rfc6902), cmocka_unit_test(json_patch_edges),
      cmocka_unit_test(json_patch_limits), cmocka_unit_test(full_arena), cmocka_unit_test(pointers),
      cmocka_unit_test(rfc7386), cmocka_unit_test(strategic_objects),
      cmocka_unit_test(strategic_lists), cmocka_unit_test(strategic_order), cmocka_unit_test(notes),
      cmocka_unit_test(diffs_apply), cmocka_unit_test(lists_merge))
