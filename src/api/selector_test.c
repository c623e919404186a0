/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "api/corev1.h"
#include "api/selector.h"

/* What upstream's parser accepts and how it prints it; labels {a: b, n: 7, "": none}. */
static void label_strings(void **state)
{
    static const struct {
        const char *text, *printed; /* printed NULL: an error, whose text is in `fault` */
        bool matches;
        const char *fault;
    } rows[] = {
        {"", "", true, NULL},
        {"  ", "", true, NULL},
        {"a=b", "a=b", true, NULL},
        {"a==b", "a=b", true, NULL},
        {" a = b ", "a=b", true, NULL},
        {"a=c", "a=c", false, NULL},
        {"a!=c", "a!=c", true, NULL},
        {"x!=c", "x!=c", true, NULL},
        {"a", "a", true, NULL},
        {"x", "x", false, NULL},
        {"!x", "!x", true, NULL},
        {"!a", "!a", false, NULL},
        {"a in (c,b,c)", "a in (b,c)", true, NULL},
        {"a in (c)", "a in (c)", false, NULL},
        {"a notin (c,d)", "a notin (c,d)", true, NULL},
        {"x notin ()", "x notin ()", true, NULL},
        {"e in (,x)", "e in (,x)", true, NULL},
        {"e in (x,,y)", "e in (,x,y)", true, NULL},
        {"e=", "e=", true, NULL},
        {"e=,a=b", "a=b,e=", true, NULL},
        {"n>6", "n>6", true, NULL},
        {"n<7", "n<7", false, NULL},
        {"a>1", "a>1", false, NULL},
        {"in in (in)", "in in (in)", false, NULL},
        {"z=1,a=b", "a=b,z=1", false, NULL},
        {"example.com/x!=y", "example.com/x!=y", true, NULL},
        {",", NULL, false, "found ',', expected: !, identifier, or 'end of string'"},
        {"a=b,", NULL, false, "found '', expected: identifier after ','"},
        {"a b", NULL, false,
         "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
        {"a=b c", NULL, false, "found 'c', expected: ',' or 'end of string'"},
        {"a in b", NULL, false, "unable to parse requirement: found 'b' expected: '('"},
        {"a in (b", NULL, false, "unable to parse requirement: found '', expected: ',' or ')'"},
        {"a in (=", NULL, false,
         "unable to parse requirement: found '=', expected: ',', ')' or identifier"},
        {"!!a", NULL, false, "unable to parse requirement: found '!', expected: identifier"},
        {"a==(", NULL, false, "unable to parse requirement: found '(', expected: identifier"},
        {"-a=b", NULL, false,
         "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of"},
        {"a=-b", NULL, false,
         "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must"},
        {"n>x", NULL, false,
         "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' "
         "operators, the value must be an integer"},
    };
    struct arena a = ARENA_INIT;
    struct str_map labels = {0};
    str_map_set(&a, &labels, STR("a"), STR("b"));
    str_map_set(&a, &labels, STR("n"), STR("7"));
    str_map_set(&a, &labels, STR("e"), STR(""));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct label_selector s;
        struct err e = ERR_INIT(&a);
        int rc = label_selector_parse(&a, str_z(rows[i].text), &s, &e);
        if ((rc == 0) != (rows[i].printed != NULL))
            fail_msg("\"%s\": %.*s", rows[i].text, STR_ARG(e.message));
        if (rc < 0) {
            assert_int_equal(rc, -ERR_BAD_REQUEST);
            if (!str_has_prefix(e.message, str_z(rows[i].fault)))
                fail_msg("\"%s\": %.*s", rows[i].text, STR_ARG(e.message));
            continue;
        }
        assert_str(label_selector_format(&a, &s), rows[i].printed);
        if (label_selector_match(&s, &labels) != rows[i].matches)
            fail_msg("\"%s\" matches: %d", rows[i].text, !rows[i].matches);
    }
    arena_fini(&a);
}

static void label_objects(void **state)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct metav1_label_selector from = {0};
    struct label_selector s;
    struct str_map labels = {0}, none = {0};
    str_map_set(&a, &labels, STR("a"), STR("b"));
    assert_int_equal(label_selector_from(&a, NULL, &s, &e), 0);
    assert_false(label_selector_match(&s, &labels));
    assert_false(label_selector_is_empty(&s));
    assert_int_equal(label_selector_from(&a, &from, &s, &e), 0);
    assert_true(label_selector_match(&s, &none) && label_selector_is_empty(&s));
    str_map_set(&a, &from.match_labels, STR("a"), STR("b"));
    struct metav1_label_selector_requirement *r = list_add(&a, &from.match_expressions);
    r->key = STR("A");
    r->operator_ = STR("DoesNotExist");
    assert_int_equal(label_selector_from(&a, &from, &s, &e), 0);
    assert_true(label_selector_match(&s, &labels));
    assert_false(label_selector_match(&s, &none));
    assert_str(label_selector_format(&a, &s), "!A,a=b");
    struct str value;
    assert_true(label_selector_exact(&s, STR("a"), &value));
    assert_str(value, "b");
    assert_false(label_selector_exact(&s, STR("A"), &value));
    r->operator_ = STR("Near");
    assert_int_equal(label_selector_from(&a, &from, &s, &e), -ERR_BAD_REQUEST);
    assert_str(e.message, "\"Near\" is not a valid label selector operator");
    arena_fini(&a);
}

static int select_by(struct arena *a, const char *plural, const char *text,
                     struct field_selector *s, struct err *e)
{
    const struct resource_def *r = resource_find(STR(""), STR("v1"), str_z(plural));
    int rc = field_selector_parse(a, str_z(text), s, e);
    return rc < 0 ? rc : field_selector_bind(s, r, e);
}

static void fields(void **state)
{
    static const struct {
        const char *text;
        bool matches;
        const char *fault; /* of parsing or binding */
    } rows[] = {
        {"", true, NULL},
        {"metadata.name=x", true, NULL},
        {"metadata.name==x,spec.nodeName!=m", true, NULL},
        {"metadata.name!=x", false, NULL},
        {"spec.nodeName=n", true, NULL},
        {"spec.host=n", true, NULL},
        {"spec.hostNetwork=false", true, NULL},
        {"status.podIP=", true, NULL},
        {"status.podIPs=", true, NULL},
        {",metadata.namespace=a\\,b\\=c,", true, NULL},
        {"metadata.namespace=a=b", false,
         "invalid field selector: unescaped character in value: 61"},
        {"metadata.namespace=a\\b", false, "invalid field selector: invalid escape sequence: \\b"},
        {"metadata.namespace=a\\", false, "invalid field selector: invalid escape sequence: \\"},
        {"x", false, "invalid selector: 'x'; can't understand 'x'"},
        {"spec.priority=1", false, "field label not supported: spec.priority"},
    };
    struct arena a = ARENA_INIT;
    struct corev1_pod pod = {.metadata = {.name = STR("x"), .namespace = STR("a,b=c")},
                             .spec = {.node_name = STR("n")}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct field_selector s;
        struct err e = ERR_INIT(&a);
        int rc = select_by(&a, "pods", rows[i].text, &s, &e);
        if (rc < 0) {
            assert_int_equal(rc, -ERR_BAD_REQUEST);
            assert_str(e.message, rows[i].fault ? rows[i].fault : "no fault");
        } else if (rows[i].fault || field_selector_match(&s, &pod) != rows[i].matches) {
            fail_msg("\"%s\"", rows[i].text);
        }
    }
    struct field_selector s;
    struct err e = ERR_INIT(&a);
    assert_int_equal(select_by(&a, "configmaps", "type=x", &s, &e), -ERR_BAD_REQUEST);
    assert_str(e.message, "\"type\" is not a known field selector: only \"metadata.name\", "
                          "\"metadata.namespace\"");
    struct str value;
    assert_int_equal(select_by(&a, "pods", "metadata.name=x,spec.nodeName!=y", &s, &e), 0);
    assert_true(field_selector_exact(&s, STR("metadata.name"), &value));
    assert_str(value, "x");
    assert_false(field_selector_exact(&s, STR("spec.nodeName"), &value));
    arena_fini(&a);
}

/* Every name that a schema declares as selectable leads to a field. */
static void all_selectable_fields_exist(void **state)
{
    struct arena a = ARENA_INIT;
    for (size_t i = 0; i < resource_def_count; i++) {
        const struct resource_def *r = &resource_defs[i];
        for (size_t j = 0; r->select && r->select[j]; j++) {
            struct field_selector s;
            struct err e = ERR_INIT(&a);
            struct str text = arena_fmt(&a, "%s=x", r->select[j]);
            assert_int_equal(field_selector_parse(&a, text, &s, &e), 0);
            assert_int_equal(field_selector_bind(&s, r, &e), 0);
        }
    }
    arena_fini(&a);
}

TESTS(cmocka_unit_test(label_strings), cmocka_unit_test(label_objects), cmocka_unit_test(fields),
      cmocka_unit_test(all_selectable_fields_exist))
