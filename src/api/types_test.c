/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "api/appsv1.h"
#include "api/corev1.h"
#include "api/registry.h"

static void quantities(void **state)
{
    static const struct {
        const char *in, *out; /* NULL: rejected */
        int64_t value, milli;
    } rows[] = {
        {"0", "0", 0, 0},
        {"1000m", "1", 1, 1000},
        {"100m", "100m", 1, 100},
        {"1500m", "1500m", 2, 1500},
        {"0.5", "500m", 1, 500},
        {"1024Mi", "1Gi", 1073741824, 1073741824000},
        {"1000", "1k", 1000, 1000000},
        {"1e3", "1e3", 1000, 1000000},
        {"12E", "9223372036854775807", INT64_MAX, INT64_MAX},
        {"1.5Gi", "1536Mi", 1610612736, 1610612736000},
        {"-1", "-1", -1, -1000},
        {"+5", "5", 5, 5000},
        {"1n", "1n", 1, 1},
        {"0.1n", "1n", 1, 1},
        {"100Ki", "100Ki", 102400, 102400000},
        {"1023", "1023", 1023, 1023000},
        {"999", "999", 999, 999000},
        {"010", "10", 10, 10000},
        {"", NULL, 0, 0},
        {"x", NULL, 0, 0},
        {"1.2.3", NULL, 0, 0},
        {"1Kb", NULL, 0, 0},
        {"Mi", NULL, 0, 0},
        {"1e", NULL, 0, 0},
        {"99999999999999999999", "9223372036854775807", INT64_MAX, INT64_MAX},
    };
    struct arena a = ARENA_INIT;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct quantity q;
        bool ok = quantity_parse(&a, str_z(rows[i].in), &q);
        if (ok != (rows[i].out != NULL))
            fail_msg("\"%s\" %s", rows[i].in, ok ? "accepted" : "rejected");
        if (!ok)
            continue;
        assert_str(q.text, rows[i].out);
        if (quantity_value(&q) != rows[i].value && rows[i].value != INT64_MAX)
            fail_msg("%s: value %lld", rows[i].in, (long long)quantity_value(&q));
        if (quantity_milli(&q) != rows[i].milli && rows[i].milli != INT64_MAX)
            fail_msg("%s: milli %lld", rows[i].in, (long long)quantity_milli(&q));
    }
    struct quantity x = quantity_from_bytes(&a, 3 << 20), y = quantity_from_milli(&a, 250);
    assert_str(x.text, "3Mi");
    assert_str(y.text, "250m");
    assert_str(quantity_add(&a, &x, &x).text, "6Mi");
    assert_str(quantity_sub(&a, &y, &y).text, "0");
    assert_true(quantity_cmp(&x, &y) > 0);
    arena_fini(&a);
}

static void durations(void **state)
{
    struct arena a = ARENA_INIT;
    int64_t ns;
    assert_true(duration_parse(STR("1h2m3.5s"), &ns));
    assert_int_equal(ns, 3723500000000);
    assert_str(duration_format(&a, ns), "1h2m3.5s");
    assert_str(duration_format(&a, 60000000000), "1m0s");
    assert_str(duration_format(&a, 1500000), "1.5ms");
    assert_str(duration_format(&a, -300), "-300ns");
    assert_false(duration_parse(STR("10"), &ns));
    assert_false(duration_parse(STR("1d"), &ns));
    assert_true(duration_parse(STR("0"), &ns) && ns == 0);
    arena_fini(&a);
}

static void percentages(void **state)
{
    int32_t v;
    struct intstr p = intstr_str(STR("25%"));
    assert_true(intstr_scaled(&p, 10, true, &v) && v == 3);
    assert_true(intstr_scaled(&p, 10, false, &v) && v == 2);
    p = intstr_str(STR("x%"));
    assert_false(intstr_scaled(&p, 10, false, &v));
    p = intstr_int(7);
    assert_true(intstr_scaled(&p, 10, false, &v) && v == 7);
}

static void maps_stay_sorted(void **state)
{
    struct arena a = ARENA_INIT;
    struct str_map m = {0};
    str_map_set(&a, &m, STR("b"), STR("2"));
    str_map_set(&a, &m, STR("a"), STR("1"));
    str_map_set(&a, &m, STR("c"), STR("3"));
    str_map_set(&a, &m, STR("b"), STR("4"));
    assert_int_equal(m.n, 3);
    assert_str(m.v[0].key, "a");
    assert_str(str_map_get(&m, STR("b")), "4");
    assert_null(str_map_get(&m, STR("x")).p);
    assert_true(str_map_del(&m, STR("a")));
    assert_false(str_map_has(&m, STR("a")));
    arena_fini(&a);
}

/* Decodes a pod; returns the error's text, or STR_NULL. */
static struct str decode(struct arena *a, const char *text, struct corev1_pod *pod,
                         struct decode_notes *notes)
{
    struct err e = ERR_INIT(a);
    *pod = (struct corev1_pod){0};
    if (desc_decode_json(&corev1_pod_desc, str_z(text), a, pod, notes, &e) < 0)
        return e.message;
    return STR_NULL;
}

static void decode_errors_speak_go(void **state)
{
    struct arena a = ARENA_INIT;
    struct corev1_pod pod;
    assert_str(decode(&a, "{\"spec\":{\"hostNetwork\":\"yes\"}}", &pod, NULL),
               "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of "
               "type bool");
    assert_str(decode(&a, "{\"spec\":{\"containers\":{}}}", &pod, NULL),
               "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of "
               "type []Container");
    assert_str(decode(&a, "{\"metadata\":{\"labels\":{\"a\":1}}}", &pod, NULL),
               "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels.a of "
               "type string");
    assert_non_null(decode(&a, "{\"spec\":{", &pod, NULL).p);
    assert_non_null(decode(&a, "{} x", &pod, NULL).p);
    assert_non_null(decode(&a, "[]", &pod, NULL).p);
    assert_non_null(decode(&a, "{\"metadata\":{\"creationTimestamp\":\"soon\"}}", &pod, NULL).p);
    arena_fini(&a);
}

static void unknown_and_repeated_fields_are_noted(void **state)
{
    struct arena a = ARENA_INIT;
    struct corev1_pod pod;
    struct decode_notes notes = {.arena = &a};
    assert_null(decode(&a,
                       "{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"nmae\":\"b\"}],"
                       "\"nodeName\":\"x\",\"nodeName\":\"y\"},\"extra\":{\"deep\":[1,{}]}}",
                       &pod, &notes)
                    .p);
    assert_int_equal(notes.unknown.n, 2);
    assert_str(notes.unknown.v[0], "spec.containers[1].nmae");
    assert_str(notes.unknown.v[1], "extra");
    assert_int_equal(notes.duplicate.n, 1);
    assert_str(notes.duplicate.v[0], "spec.nodeName");
    assert_str(pod.spec.node_name, "y");
    assert_int_equal(pod.spec.containers.n, 2);
    arena_fini(&a);
}

static void defaults_reach_nested_fields(void **state)
{
    struct arena a = ARENA_INIT;
    struct corev1_pod pod;
    assert_null(
        decode(&a, "{\"spec\":{\"containers\":[{\"ports\":[{\"containerPort\":80}]}]}}", &pod, NULL)
            .p);
    desc_default(&corev1_pod_desc, &pod, &a);
    assert_str(pod.spec.containers.v[0].ports.v[0].protocol, "TCP");
    arena_fini(&a);
}

static void registry(void **state)
{
    const struct resource_def *r = resource_find(STR("apps"), STR("v1"), STR("deployments"));
    assert_non_null(r);
    assert_ptr_equal(r->desc, &appsv1_deployment_desc);
    assert_ptr_equal(r->list_desc, &appsv1_deployment_list_desc);
    assert_true(r->namespaced);
    assert_string_equal(r->short_names[0], "deploy");
    assert_ptr_equal(resource_find_kind(STR(""), STR("v1"), STR("Pod")),
                     resource_find(STR(""), STR("v1"), STR("pods")));
    assert_null(resource_find(STR("apps"), STR("v1"), STR("pods")));
    struct str g, v;
    assert_true(api_version_split(STR("apps/v1"), &g, &v));
    assert_str(g, "apps");
    assert_false(api_version_split(STR("a/b/c"), &g, &v));
    assert_false(api_version_split(STR(""), &g, &v));
    /* Every field of every type can be found by its name. */
    for (size_t i = 0; i < kind_def_count; i++)
        for (size_t f = 0; f < kind_defs[i].desc->n_json; f++)
            assert_ptr_equal(
                desc_field(kind_defs[i].desc, str_z(kind_defs[i].desc->fields[f].name)),
                &kind_defs[i].desc->fields[f]);
}

TESTS(cmocka_unit_test(quantities), cmocka_unit_test(durations), cmocka_unit_test(percentages),
      cmocka_unit_test(maps_stay_sorted), cmocka_unit_test(decode_errors_speak_go),
      cmocka_unit_test(unknown_and_repeated_fields_are_noted),
      cmocka_unit_test(defaults_reach_nested_fields), cmocka_unit_test(registry))
