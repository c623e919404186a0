/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "sched/filter.h"

static struct corev1_pod *pod(struct arena *a, const char *json)
{
    struct corev1_pod *p = arena_new(a, struct corev1_pod);
    struct err e = ERR_INIT(a);
    if (desc_decode_json(&corev1_pod_desc, str_z(json), a, p, NULL, &e) < 0)
        fail_msg("%.*s", STR_ARG(e.message));
    if (!p->metadata.uid.n)
        p->metadata.uid = arena_fmt(a, "%p", (void *)p);
    return p;
}

static struct node_info *node(struct snapshot *s, const char *json)
{
    struct item *i = item_from_bytes(STR("core/nodes//n"), str_z(json), 1, 1);
    assert_true(snapshot_node(s, i, STR("n")));
    item_unref(i);
    return s->nodes.v[0];
}

/* The first reason why the pod does not fit, or "". */
static struct str reason(struct arena *a, struct node_info *n, const char *json)
{
    struct candidate c;
    struct reasons why;
    candidate_init(&c, a, pod(a, json));
    return filter(&c, n, &why) ? STR("") : why.v[0];
}

#define NODE                                                                                       \
    "{\"kind\":\"Node\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"n\",\"labels\":{\"zone\":"  \
    "\"a\","                                                                                       \
    "\"size\":\"8\"}},\"spec\":{%s},\"status\":{\"allocatable\":{\"cpu\":\"2\",\"memory\":"        \
    "\"1Gi\","                                                                                     \
    "\"pods\":\"3\",\"example.com/gpu\":\"1\"}}}"

static const char *node_json(struct arena *a, const char *spec)
{
    return arena_fmt(a, NODE, spec).p;
}

static void requests_sum_containers_and_weigh_init(void **state)
{
    struct arena a = ARENA_INIT;
    struct resources r;
    pod_requests(
        &a,
        pod(&a,
            "{\"spec\":{\"initContainers\":["
            "{\"restartPolicy\":\"Always\",\"resources\":{\"requests\":{\"cpu\":\"100m\"}}},"
            "{\"resources\":{\"requests\":{\"cpu\":\"2\",\"memory\":\"10Mi\"}}}],"
            "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"500m\",\"memory\":\"64Mi\"}}},"
            "{\"resources\":{\"requests\":{\"cpu\":\"250m\",\"example.com/gpu\":\"2\"}}}],"
            "\"overhead\":{\"memory\":\"1Mi\"}}}"),
        &r);
    assert_int_equal(r.cpu_milli, 2100); /* the init container beside its sidecar */
    assert_int_equal(r.memory, 65 << 20);
    assert_int_equal(r.pods, 1);
    assert_int_equal(extended_amount(&r, STR("example.com/gpu")), 2);
    arena_fini(&a);
}

static void reasons_in_the_words_of_upstream(void **state)
{
    static const struct {
        const char *spec, *pod, *want;
    } rows[] = {
        {"", "{\"spec\":{\"containers\":[{}]}}", ""},
        {"", "{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"3\"}}}]}}",
         "Insufficient cpu"},
        {"", "{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"memory\":\"2Gi\"}}}]}}",
         "Insufficient memory"},
        {"",
         "{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"example.com/gpu\":\"2\"}}}]}}",
         "Insufficient example.com/gpu"},
        {"", "{\"spec\":{\"nodeSelector\":{\"zone\":\"b\"}}}",
         "node(s) didn't match Pod's node affinity/selector"},
        {"", "{\"spec\":{\"nodeSelector\":{\"zone\":\"a\"}}}", ""},
        {"\"unschedulable\":true", "{}", "node(s) were unschedulable"},
        {"\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]", "{}",
         "node(s) had untolerated taint(s)"},
        {"\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]",
         "{\"spec\":{\"tolerations\":[{\"key\":\"k\",\"operator\":\"Equal\",\"value\":\"v\"}]}}",
         ""},
        {"\"taints\":[{\"key\":\"k\",\"effect\":\"PreferNoSchedule\"}]", "{}", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena a = ARENA_INIT;
        struct snapshot s;
        snapshot_init(&s);
        struct str got = reason(&a, node(&s, node_json(&a, rows[i].spec)), rows[i].pod);
        if (!str_eqz(got, rows[i].want))
            fail_msg("row %zu: \"%.*s\", want \"%s\"", i, STR_ARG(got), rows[i].want);
        snapshot_fini(&s);
        arena_fini(&a);
    }
}

static void affinity_terms(void **state)
{
    static const struct {
        const char *requirement;
        bool fits;
    } rows[] = {
        {"\"key\":\"zone\",\"operator\":\"In\",\"values\":[\"a\",\"b\"]", true},
        {"\"key\":\"zone\",\"operator\":\"NotIn\",\"values\":[\"a\"]", false},
        {"\"key\":\"none\",\"operator\":\"NotIn\",\"values\":[\"a\"]", true},
        {"\"key\":\"none\",\"operator\":\"Exists\"", false},
        {"\"key\":\"none\",\"operator\":\"DoesNotExist\"", true},
        {"\"key\":\"size\",\"operator\":\"Gt\",\"values\":[\"7\"]", true},
        {"\"key\":\"size\",\"operator\":\"Lt\",\"values\":[\"8\"]", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena a = ARENA_INIT;
        struct snapshot s;
        snapshot_init(&s);
        const char *json =
            arena_fmt(&a,
                      "{\"spec\":{\"affinity\":{\"nodeAffinity\":{"
                      "\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":["
                      "{\"matchExpressions\":[{%s}]}]}}}}}",
                      rows[i].requirement)
                .p;
        bool fits = reason(&a, node(&s, node_json(&a, "")), json).n == 0;
        if (fits != rows[i].fits)
            fail_msg("row %zu: %s", i, rows[i].requirement);
        snapshot_fini(&s);
        arena_fini(&a);
    }
}

static void placed_pods_take_room_and_give_it_back(void **state)
{
    struct arena a = ARENA_INIT;
    struct snapshot s;
    snapshot_init(&s);
    struct node_info *n = node(&s, node_json(&a, ""));
    const char *half =
        "{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1500m\"}},"
        "\"ports\":[{\"containerPort\":80,\"hostPort\":80}]}]}}";
    struct corev1_pod *first = pod(&a, half);
    assert_str(reason(&a, n, half), "");
    snapshot_place(&s, first, STR("n"), true);
    assert_str(reason(&a, n, half), "node(s) didn't have free ports for the requested pod ports");
    assert_str(
        reason(&a, n,
               "{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\"}}}]}}"),
        "Insufficient cpu");
    snapshot_place(&s, pod(&a, "{}"), STR("n"), false);
    snapshot_place(&s, pod(&a, "{}"), STR("n"), false);
    assert_str(reason(&a, n, "{}"), "Too many pods");
    assert_true(snapshot_remove(&s, first->metadata.uid));
    assert_false(snapshot_remove(&s, first->metadata.uid));
    assert_str(reason(&a, n, half), "");
    assert_int_equal(n->used.cpu_milli, 0);
    snapshot_fini(&s);
    arena_fini(&a);
}

static void heartbeats_wake_nobody(void **state)
{
    struct arena a = ARENA_INIT;
    struct snapshot s;
    snapshot_init(&s);
    (void)node(&s, node_json(&a, ""));
    struct item *same = item_from_bytes(STR("core/nodes//n"), str_z(node_json(&a, "")), 1, 2);
    struct item *grown = item_from_bytes(STR("core/nodes//n"),
                                         str_z(node_json(&a, "\"podCIDR\":\"10.0.0.0/24\"")), 1, 3);
    assert_false(snapshot_node(&s, same, STR("n")));
    assert_true(snapshot_node(&s, grown, STR("n")));
    assert_false(snapshot_node(&s, NULL, STR("n")));
    assert_int_equal(s.nodes.n, 0);
    item_unref(same);
    item_unref(grown);
    snapshot_fini(&s);
    arena_fini(&a);
}

TESTS(cmocka_unit_test(requests_sum_containers_and_weigh_init),
      cmocka_unit_test(reasons_in_the_words_of_upstream), cmocka_unit_test(affinity_terms),
      cmocka_unit_test(placed_pods_take_room_and_give_it_back),
      cmocka_unit_test(heartbeats_wake_nobody))
