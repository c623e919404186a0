/* SPDX-License-Identifier: Apache-2.0 */
/* Server-side apply in scenarios: an object, what is done to it, and who owns what then. */
#include "base/test.h"

#include "api/apply.h"
#include "api/appsv1.h"
#include "api/corev1.h"

struct world {
    struct arena a;
    struct smd_type type;
    struct json *object; /* NULL: does not exist */
    const char *version, *kind;
    const char *sub;
    const struct fieldset *reset, *only;
    int64_t now;
    struct err e;
};

static struct json *parse(struct arena *a, const char *text)
{
    struct err e = ERR_INIT(a);
    struct json *v;
    if (json_parse(a, str_z(text), &v, &e) != 0)
        fail_msg("bad test input %s: %.*s", text, STR_ARG(e.message));
    return v;
}

static void world_init(struct world *w, const struct desc *d, const char *version, const char *kind)
{
    *w = (struct world){.a = ARENA_INIT, .type = smd_desc(d), .version = version, .kind = kind};
    w->now = 1700000000;
    w->sub = "";
}

static void world_fini(struct world *w)
{
    arena_fini(&w->a);
}

static struct apply_in make_in(struct world *w, const char *manager, struct json *object)
{
    w->e = ERR_INIT(&w->a);
    w->now++;
    return (struct apply_in){
        .arena = &w->a,
        .type = w->type,
        .live = w->object,
        .object = object,
        .manager = str_z(manager),
        .api_version = str_z(w->version),
        .kind = str_z(w->kind),
        .subresource = str_z(w->sub),
        .now = {w->now, 0},
        .reset = w->reset,
        .only = w->only,
    };
}

/* A write other than apply; the body has no managedFields, as from a client that ignores them. */
static void put(struct world *w, const char *manager, const char *text)
{
    struct apply_in in = make_in(w, manager, parse(&w->a, text));
    struct json *out;
    assert_int_equal(apply_track_update(&in, &out, &w->e), 0);
    w->object = out;
}

/* The object is stored: it has a uid. */
static void stored(struct world *w)
{
    struct json *meta = json_getz(w->object, "metadata");
    json_set(&w->a, meta, STR("uid"), json_string(&w->a, STR("1")));
}

static int try_apply(struct world *w, const char *manager, const char *text, bool force)
{
    struct apply_in in = make_in(w, manager, parse(&w->a, text));
    struct json *out;
    in.force = force;
    int rc = apply_merge(&in, &out, &w->e);
    if (rc == 0)
        w->object = out;
    return rc;
}

static void apply(struct world *w, const char *manager, const char *text)
{
    if (try_apply(w, manager, text, false) != 0)
        fail_msg("apply by %s: %.*s", manager, STR_ARG(w->e.message));
}

/* "name operation[/subresource] time fields", one line an entry; time as seconds since the start */
static struct str owners(struct world *w)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    const struct json *list = json_path(w->object, "metadata", "managedFields", NULL);
    for (size_t i = 0; list && i < list->array.n; i++) {
        const struct json *m = list->array.v[i];
        struct str sub = json_str(json_getz(m, "subresource"));
        struct wall t = {0};
        wall_parse(json_str(json_getz(m, "time")), &t);
        assert_str(json_str(json_getz(m, "fieldsType")), "FieldsV1");
        buf_fmt(&b, "%s%.*s %.*s%s%.*s %lld ", i ? "\n" : "",
                STR_ARG(json_str(json_getz(m, "manager"))),
                STR_ARG(json_str(json_getz(m, "operation"))), sub.n ? "/" : "", STR_ARG(sub),
                (long long)(t.s ? t.s - 1700000000 : 0));
        json_write(&b, json_getz(m, "fieldsV1"));
    }
    return buf_to_arena(&b, &w->a);
}

/* What is at a path of keys, as text; "-" when nothing is. */
static struct str at(struct world *w, const char *key, const char *key2)
{
    struct json *v = json_path(w->object, key, key2, NULL);
    return v ? json_text(&w->a, v) : STR("-");
}

#define CM(meta, data)                                                                             \
    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"" meta              \
    "},\"data\":{" data "}}"

static void config_map(struct world *w)
{
    world_init(w, &corev1_config_map_desc, "v1", "ConfigMap");
}

static void create_and_update(void **state)
{
    struct world w;
    config_map(&w);
    put(&w, "a", CM("", "\"k\":\"1\",\"l\":\"1\""));
    stored(&w);
    assert_str(owners(&w), "a Update 1 {\"f:data\":{\".\":{},\"f:k\":{},\"f:l\":{}}}");
    /* Nothing changes: no owner, no time does. */
    put(&w, "b", CM(",\"uid\":\"1\"", "\"k\":\"1\",\"l\":\"1\""));
    assert_str(owners(&w), "a Update 1 {\"f:data\":{\".\":{},\"f:k\":{},\"f:l\":{}}}");
    /* Who changes a field takes it. */
    put(&w, "b", CM(",\"uid\":\"1\"", "\"k\":\"2\",\"l\":\"1\",\"m\":\"1\""));
    assert_str(owners(&w), "a Update 1 {\"f:data\":{\".\":{},\"f:l\":{}}}\n"
                           "b Update 3 {\"f:data\":{\"f:k\":{},\"f:m\":{}}}");
    /* Again: the set stays, the time does not. */
    put(&w, "b", CM(",\"uid\":\"1\"", "\"k\":\"3\",\"l\":\"1\",\"m\":\"1\""));
    assert_str(owners(&w), "a Update 1 {\"f:data\":{\".\":{},\"f:l\":{}}}\n"
                           "b Update 4 {\"f:data\":{\"f:k\":{},\"f:m\":{}}}");
    /* What is removed is nobody's; who only removes owns nothing new. */
    put(&w, "c", CM(",\"uid\":\"1\"", "\"l\":\"1\",\"m\":\"1\""));
    assert_str(owners(&w), "a Update 1 {\"f:data\":{\".\":{},\"f:l\":{}}}\n"
                           "b Update 4 {\"f:data\":{\"f:m\":{}}}");
    /* An entry without fields goes. */
    put(&w, "a", CM(",\"uid\":\"1\"", "\"l\":\"1\",\"m\":\"2\""));
    assert_str(owners(&w), "a Update 6 {\"f:data\":{\".\":{},\"f:l\":{},\"f:m\":{}}}");
    world_fini(&w);
}

static void conflict_and_force(void **state)
{
    struct world w;
    config_map(&w);
    apply(&w, "one", CM("", "\"k\":\"1\",\"l\":\"1\""));
    stored(&w);
    assert_str(owners(&w), "one Apply 1 {\"f:data\":{\"f:k\":{},\"f:l\":{}}}");
    /* The same value is shared. */
    apply(&w, "two", CM("", "\"k\":\"1\""));
    assert_str(owners(&w), "two Apply 0 {\"f:data\":{\"f:k\":{}}}\n"
                           "one Apply 1 {\"f:data\":{\"f:k\":{},\"f:l\":{}}}");
    assert_int_equal(try_apply(&w, "two", CM("", "\"k\":\"2\""), false), -ERR_CONFLICT);
    assert_str(w.e.message, "Apply failed with 1 conflict: conflict with \"one\": .data.k");
    assert_int_equal(w.e.cause_count, 1);
    assert_str(w.e.causes->field, ".data.k");
    assert_str(w.e.causes->reason, "FieldManagerConflict");
    assert_str(w.e.causes->message, "conflict with \"one\"");
    assert_int_equal(try_apply(&w, "two", CM("", "\"k\":\"2\",\"l\":\"2\""), false), -ERR_CONFLICT);
    assert_str(w.e.message, "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.k\n"
                            "- .data.l");
    assert_int_equal(w.e.cause_count, 2);
    assert_int_equal(try_apply(&w, "two", CM("", "\"k\":\"2\""), true), 0);
    assert_str(owners(&w), "one Apply 1 {\"f:data\":{\"f:l\":{}}}\n"
                           "two Apply 5 {\"f:data\":{\"f:k\":{}}}");
    assert_str(at(&w, "data", NULL), "{\"k\":\"2\",\"l\":\"1\"}");
    world_fini(&w);
}

static void removal(void **state)
{
    struct world w;
    config_map(&w);
    apply(&w, "one", CM("", "\"k\":\"1\",\"l\":\"1\",\"m\":\"1\""));
    stored(&w);
    apply(&w, "two", CM("", "\"l\":\"1\""));
    /* k was only one's, l is two's as well. */
    apply(&w, "one", CM("", "\"m\":\"1\""));
    assert_str(at(&w, "data", NULL), "{\"l\":\"1\",\"m\":\"1\"}");
    assert_str(owners(&w), "two Apply 0 {\"f:data\":{\"f:l\":{}}}\n"
                           "one Apply 3 {\"f:data\":{\"f:m\":{}}}");
    /* Nothing left of data: it goes with its last field. */
    apply(&w, "two",
          "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"}}");
    assert_str(at(&w, "data", NULL), "{\"m\":\"1\"}");
    apply(&w, "one",
          "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"}}");
    assert_str(at(&w, "data", NULL), "-");
    assert_str(owners(&w), "");
    world_fini(&w);
}

static void update_then_apply(void **state)
{
    struct world w;
    world_init(&w, &appsv1_deployment_desc, "apps/v1", "Deployment");
    put(&w, "kubectl-client-side-apply",
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"d\"},"
        "\"spec\":{\"replicas\":1,\"strategy\":{},\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"
        "\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":["
        "{\"name\":\"c\",\"image\":\"i\",\"resources\":{}}]}}},\"status\":{}}");
    stored(&w);
    /* Structs that are always there are no fields of their own; the selector is one. */
    assert_str(
        owners(&w),
        "kubectl-client-side-apply Update 1 {\"f:spec\":{\"f:replicas\":{},\"f:selector\":{},"
        "\"f:template\":{\"f:metadata\":{\"f:labels\":{\".\":{},\"f:a\":{}}},\"f:spec\":{"
        "\"f:containers\":{\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{},\"f:image\":{},"
        "\"f:name\":{},\"f:resources\":{}}}}}}}");
    const char *three = "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{"
                        "\"name\":\"d\"},\"spec\":{\"replicas\":3}}";
    assert_int_equal(try_apply(&w, "me", three, false), -ERR_CONFLICT);
    assert_str(w.e.message, "Apply failed with 1 conflict: conflict with "
                            "\"kubectl-client-side-apply\" using apps/v1: .spec.replicas");
    assert_str(w.e.causes->message, "conflict with \"kubectl-client-side-apply\" using apps/v1");
    assert_int_equal(try_apply(&w, "me", three, true), 0);
    assert_true(str_has_prefix(owners(&w), STR("me Apply 3 {\"f:spec\":{\"f:replicas\":{}}}\n"
                                               "kubectl-client-side-apply Update 1 {\"f:spec\":{"
                                               "\"f:selector\":{},")));
    /* Another container: the list is keyed. */
    apply(
        &w, "me",
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"d\"},"
        "\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"e\",\"image\":\"j\"}]}}}}");
    assert_str(json_text(&w.a, json_path(w.object, "spec", "template", "spec", "containers", NULL)),
               "[{\"name\":\"c\",\"image\":\"i\",\"resources\":{}},"
               "{\"name\":\"e\",\"image\":\"j\"}]");
    assert_true(str_has_prefix(
        owners(&w), STR("me Apply 4 {\"f:spec\":{\"f:template\":{\"f:spec\":{\"f:containers\":{"
                        "\"k:{\\\"name\\\":\\\"e\\\"}\":{\".\":{},\"f:image\":{},\"f:name\":{}}}}}}"
                        "}\nkubectl-client-side-apply Update 1 ")));
    /* replicas were me's alone and are not applied any more. */
    assert_str(at(&w, "spec", "replicas"), "-");
    world_fini(&w);
}

#define POD(spec)                                                                                  \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"},\"spec\":{" spec "}}"

static void keyed_lists(void **state)
{
    struct world w;
    world_init(&w, &corev1_pod_desc, "v1", "Pod");
    apply(&w, "one",
          POD("\"containers\":[{\"name\":\"a\",\"image\":\"1\",\"ports\":[{\"containerPort\":80},"
              "{\"containerPort\":80,\"protocol\":\"UDP\"}],\"args\":[\"x\",\"y\"]}]"));
    stored(&w);
    /* The key's default counts; args are one field. */
    assert_str(owners(&w),
               "one Apply 1 {\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"a\\\"}\":{"
               "\".\":{},\"f:args\":{},\"f:image\":{},\"f:name\":{},\"f:ports\":{"
               "\"k:{\\\"containerPort\\\":80,\\\"protocol\\\":\\\"TCP\\\"}\":{\".\":{},"
               "\"f:containerPort\":{}},\"k:{\\\"containerPort\\\":80,\\\"protocol\\\":\\\"UDP\\\"}"
               "\":{\".\":{},\"f:containerPort\":{},\"f:protocol\":{}}}}}}}");
    assert_int_equal(
        try_apply(&w, "two", POD("\"containers\":[{\"name\":\"a\",\"args\":[\"x\"]}]"), false),
        -ERR_CONFLICT);
    assert_str(w.e.message, "Apply failed with 1 conflict: conflict with \"one\": "
                            ".spec.containers[name=\"a\"].args");
    /* A second manager adds a container in front; the first one goes on without knowing it. */
    apply(&w, "two", POD("\"containers\":[{\"name\":\"b\",\"image\":\"2\"}]"));
    apply(&w, "one", POD("\"containers\":[{\"name\":\"a\",\"image\":\"1\"}]"));
    assert_str(json_text(&w.a, json_path(w.object, "spec", "containers", NULL)),
               "[{\"name\":\"a\",\"image\":\"1\"},{\"name\":\"b\",\"image\":\"2\"}]");
    /* The owner of an element removes it; the element of both stays for the other. */
    apply(&w, "two", POD("\"containers\":[{\"name\":\"a\"}]"));
    assert_str(json_text(&w.a, json_path(w.object, "spec", "containers", NULL)),
               "[{\"name\":\"a\",\"image\":\"1\"}]");
    apply(&w, "one", POD("\"hostname\":\"h\""));
    assert_str(json_text(&w.a, json_path(w.object, "spec", NULL)),
               "{\"containers\":[{\"name\":\"a\"}],\"hostname\":\"h\"}");
    world_fini(&w);
}

#define FINALIZERS(list)                                                                           \
    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\",\"finalizers\":"   \
    "[" list "]}}"

static void sets(void **state)
{
    struct world w;
    config_map(&w);
    apply(&w, "one", FINALIZERS("\"a\",\"b\""));
    stored(&w);
    assert_str(owners(&w), "one Apply 1 {\"f:metadata\":{\"f:finalizers\":{\"v:\\\"a\\\"\":{},"
                           "\"v:\\\"b\\\"\":{}}}}");
    apply(&w, "two", FINALIZERS("\"c\",\"a\""));
    assert_str(at(&w, "metadata", "finalizers"), "[\"c\",\"a\",\"b\"]");
    apply(&w, "one", FINALIZERS("\"b\""));
    assert_str(at(&w, "metadata", "finalizers"), "[\"c\",\"a\",\"b\"]");
    apply(&w, "two", FINALIZERS("\"c\""));
    assert_str(at(&w, "metadata", "finalizers"), "[\"c\",\"b\"]");
    assert_int_equal(try_apply(&w, "two", FINALIZERS("\"c\",\"c\""), false), -ERR_BAD_REQUEST);
    assert_str(w.e.message, "failed to create typed patch object (/x; /v1, Kind=ConfigMap): "
                            ".metadata.finalizers: duplicate entries for key [=\"c\"]");
    /* Updates may repeat elements. */
    put(&w, "three",
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\","
        "\"uid\":\"1\",\"finalizers\":[\"b\",\"c\",\"d\",\"d\"]}}");
    assert_true(str_has_suffix(
        owners(&w),
        STR("three Update 6 {\"f:metadata\":{\"f:finalizers\":{\"v:\\\"d\\\"\":{}}}}")));
    world_fini(&w);
}

static void atomic(void **state)
{
    struct world w;
    world_init(&w, &corev1_service_desc, "v1", "Service");
    const char *one = "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"s\"},"
                      "\"spec\":{\"selector\":{\"a\":\"1\",\"b\":\"2\"}}}";
    const char *two = "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"s\"},"
                      "\"spec\":{\"selector\":{\"a\":\"1\"}}}";
    apply(&w, "one", one);
    stored(&w);
    assert_str(owners(&w), "one Apply 1 {\"f:spec\":{\"f:selector\":{}}}");
    assert_int_equal(try_apply(&w, "two", two, false), -ERR_CONFLICT);
    assert_str(w.e.message, "Apply failed with 1 conflict: conflict with \"one\": .spec.selector");
    assert_int_equal(try_apply(&w, "two", two, true), 0);
    assert_str(at(&w, "spec", "selector"), "{\"a\":\"1\"}");
    assert_str(owners(&w), "two Apply 3 {\"f:spec\":{\"f:selector\":{}}}");
    world_fini(&w);
}

#define NODE(status)                                                                               \
    "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\",\"uid\":\"1\"},"        \
    "\"spec\":{\"podCIDR\":\"c\"},\"status\":{" status "}}"

static void subresource(void **state)
{
    struct world w;
    world_init(&w, &corev1_node_desc, "v1", "Node");
    struct fields_pool pool = {&w.a, false};
    struct fieldset status = fieldset_of(&pool, "{\"f:status\":{}}");
    struct fieldset rest = fieldset_of(&pool, "{\"f:spec\":{},\"f:metadata\":{}}");
    w.reset = &status;
    /* The main resource's strategy drops the status: nobody owns it through that. */
    put(&w, "a", NODE("\"phase\":\"Running\""));
    assert_str(owners(&w), "a Update 1 {\"f:spec\":{\"f:podCIDR\":{}}}");
    w.sub = "status";
    w.reset = &rest;
    put(&w, "a",
        NODE("\"phase\":\"Pending\",\"conditions\":[{\"type\":\"Ready\","
             "\"status\":\"True\"}]"));
    assert_str(owners(&w),
               "a Update 1 {\"f:spec\":{\"f:podCIDR\":{}}}\n"
               "a Update/status 2 {\"f:status\":{\"f:conditions\":{\".\":{},"
               "\"k:{\\\"type\\\":\\\"Ready\\\"}\":{\".\":{},\"f:status\":{},\"f:type\":{}}},"
               "\"f:phase\":{}}}");
    put(&w, "a",
        NODE("\"phase\":\"Pending\",\"conditions\":[{\"type\":\"Ready\","
             "\"status\":\"False\"}]"));
    put(&w, "b",
        NODE("\"phase\":\"Pending\",\"conditions\":[{\"type\":\"Ready\","
             "\"status\":\"Unknown\"}]"));
    assert_str(owners(&w),
               "a Update 1 {\"f:spec\":{\"f:podCIDR\":{}}}\n"
               "a Update/status 3 {\"f:status\":{\"f:conditions\":{\".\":{},"
               "\"k:{\\\"type\\\":\\\"Ready\\\"}\":{\".\":{},\"f:type\":{}}},\"f:phase\":{}}}\n"
               "b Update/status 4 {\"f:status\":{\"f:conditions\":{"
               "\"k:{\\\"type\\\":\\\"Ready\\\"}\":{\"f:status\":{}}}}}");
    /* managedFields of the body do not count here. */
    put(&w, "b",
        "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\",\"uid\":"
        "\"1\",\"managedFields\":[]},\"spec\":{\"podCIDR\":\"c\"},\"status\":{}}");
    assert_str(owners(&w), "a Update 1 {\"f:spec\":{\"f:podCIDR\":{}}}");
    world_fini(&w);
}

static void forgetting(void **state)
{
    struct world w;
    config_map(&w);
    put(&w, "a", CM("", "\"k\":\"1\""));
    stored(&w);
    put(&w, "b", CM(",\"uid\":\"1\",\"managedFields\":[{}]", "\"k\":\"2\""));
    assert_str(at(&w, "metadata", "managedFields"), "-");
    /* Nobody is tracked until the next apply, which finds all fields in one hand. */
    put(&w, "b", CM(",\"uid\":\"1\"", "\"k\":\"3\""));
    assert_str(owners(&w), "");
    assert_int_equal(try_apply(&w, "c", CM("", "\"k\":\"4\""), false), -ERR_CONFLICT);
    assert_str(w.e.message, "Apply failed with 1 conflict: conflict with \"before-first-apply\" "
                            "using v1: .data.k");
    apply(&w, "c", CM("", "\"l\":\"1\""));
    assert_str(owners(&w), "c Apply 5 {\"f:data\":{\"f:l\":{}}}\n"
                           "before-first-apply Update 5 {\"f:data\":{\".\":{},\"f:k\":{}}}");
    world_fini(&w);
}

static void entries_of_the_request(void **state)
{
    struct world w;
    config_map(&w);
    put(&w, "a", CM("", "\"k\":\"1\",\"l\":\"1\""));
    stored(&w);
    /* A client may write entries; they come out in canonical form. */
    put(&w, "b",
        CM(",\"uid\":\"1\",\"managedFields\":[{\"manager\":\"x\",\"operation\":\"Apply\","
           "\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:data\":{\"f:l\":{},"
           "\"f:k\":{}}}}]",
           "\"k\":\"1\",\"l\":\"2\""));
    assert_str(owners(&w), "x Apply 0 {\"f:data\":{\"f:k\":{}}}\n"
                           "b Update 2 {\"f:data\":{\"f:l\":{}}}");
    /* Bad ones are no reason to forget the good ones. */
    put(&w, "b",
        CM(",\"uid\":\"1\",\"managedFields\":[{\"manager\":\"x\",\"operation\":\"Frob\"}]",
           "\"k\":\"1\",\"l\":\"2\""));
    assert_str(owners(&w), "x Apply 0 {\"f:data\":{\"f:k\":{}}}\n"
                           "b Update 2 {\"f:data\":{\"f:l\":{}}}");
    /* Managers of versions that are no more are forgotten. */
    put(&w, "b",
        CM(",\"uid\":\"1\",\"managedFields\":[{\"manager\":\"x\",\"operation\":\"Apply\","
           "\"apiVersion\":\"v0\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:data\":{\"f:l\":{}}"
           "}}]",
           "\"k\":\"1\",\"l\":\"3\""));
    assert_str(owners(&w), "b Update 4 {\"f:data\":{\"f:l\":{}}}");
    world_fini(&w);
}

static void many_updaters(void **state)
{
    struct world w;
    config_map(&w);
    put(&w, "m00", CM("", ""));
    stored(&w);
    struct str data = STR("");
    for (int i = 1; i <= 12; i++) {
        data = arena_fmt(&w.a, "%s%s\"k%02d\":\"1\"", data.p, i > 1 ? "," : "", i);
        put(&w, arena_fmt(&w.a, "m%02d", i).p,
            arena_fmt(&w.a, CM(",\"uid\":\"1\"", "%s"), data.p).p);
    }
    const struct json *list = json_path(w.object, "metadata", "managedFields", NULL);
    assert_int_equal(list->array.n, MANAGED_UPDATERS_MAX);
    assert_true(str_has_prefix(
        owners(&w), STR("ancient-changes Update 4 {\"f:data\":{\".\":{},\"f:k01\":{},\"f:k02\":{},"
                        "\"f:k03\":{}}}\nm04 Update 5 {\"f:data\":{\"f:k04\":{}}}\n")));
    world_fini(&w);
}

static void bad_configurations(void **state)
{
    static const struct {
        const char *config, *message;
    } rows[] = {
        {"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"p\"}}",
         "invalid object type: /v1, Kind=Secret"},
        {"{\"apiVersion\":\"apps/v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"}}",
         "invalid object type: apps/v1, Kind=Pod"},
        {"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"managedFields\":[]"
         "}"
         "}",
         "metadata.managedFields must be nil"},
        {POD("\"foo\":1"), "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.foo: "
                           "field not declared in schema"},
        {POD("\"hostname\":1"), "failed to create typed patch object (/p; /v1, Kind=Pod): "
                                ".spec.hostname: expected string, "
                                "got &value.valueUnstructured{Value:1}"},
        {POD("\"hostNetwork\":\"x\",\"priority\":\"y\""),
         "failed to create typed patch object (/p; /v1, Kind=Pod): errors:\n"
         "  .spec.hostNetwork: expected boolean, got &{x}\n"
         "  .spec.priority: expected numeric (int or float), got string"},
        {POD("\"containers\":[{\"image\":\"x\"}]"),
         "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.containers: element 0: "
         "associative list with keys has an element that omits all key fields [\"name\"] (and "
         "doesn't have default values for any key fields)"},
        {POD("\"containers\":{}"), "failed to create typed patch object (/p; /v1, Kind=Pod): "
                                   ".spec.containers: expected list, got &{map[]}"},
        {POD("\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"E\",\"value\":3}]}]"),
         "failed to create typed patch object (/p; /v1, Kind=Pod): "
         ".spec.containers[name=\"a\"].env[name=\"E\"].value: expected string, got "
         "&value.valueUnstructured{Value:3}"},
        {POD("\"containers\":[{\"name\":\"a\"},{\"name\":\"a\"}]"),
         "failed to create typed patch object (/p; /v1, Kind=Pod): .spec.containers: duplicate "
         "entries for key [name=\"a\"]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        world_init(&w, &corev1_pod_desc, "v1", "Pod");
        assert_int_equal(try_apply(&w, "m", rows[i].config, false), -ERR_BAD_REQUEST);
        assert_str(w.e.message, rows[i].message);
        world_fini(&w);
    }
}

/* kubectl apply, then kubectl apply --server-side */
static void from_client_side_apply(void **state)
{
    static const char note[] = "kubectl.kubernetes.io/last-applied-configuration";
    struct world w;
    config_map(&w);
    put(&w, "kubectl-client-side-apply",
        CM(",\"annotations\":{\"kubectl.kubernetes.io/last-applied-configuration\":"
           "\"{\\\"apiVersion\\\":\\\"v1\\\",\\\"kind\\\":\\\"ConfigMap\\\",\\\"metadata\\\":{"
           "\\\"name\\\":\\\"x\\\"},\\\"data\\\":{\\\"k\\\":\\\"1\\\",\\\"l\\\":\\\"1\\\"}}\"}",
           "\"k\":\"1\",\"l\":\"1\""));
    stored(&w);
    struct json *live = w.object;
    /* Other managers get no such help. */
    assert_int_equal(try_apply(&w, "other", CM("", "\"k\":\"2\""), false), -ERR_CONFLICT);
    apply(&w, "kubectl", CM("", "\"k\":\"2\",\"l\":\"1\""));
    assert_str(at(&w, "data", "k"), "\"2\"");
    assert_str(
        json_str(json_get(json_path(w.object, "metadata", "annotations", NULL), str_z(note))),
        "{\"apiVersion\":\"v1\",\"data\":{\"k\":\"2\",\"l\":\"1\"},\"kind\":\"ConfigMap\","
        "\"metadata\":{\"name\":\"x\"}}\n");
    /* What somebody changed since is a conflict. */
    w.object = live;
    put(&w, "else",
        CM(",\"uid\":\"1\",\"annotations\":{\"kubectl.kubernetes.io/last-applied-configuration\":"
           "\"{\\\"apiVersion\\\":\\\"v1\\\",\\\"kind\\\":\\\"ConfigMap\\\",\\\"metadata\\\":{"
           "\\\"name\\\":\\\"x\\\"},\\\"data\\\":{\\\"k\\\":\\\"1\\\",\\\"l\\\":\\\"1\\\"}}\"}",
           "\"k\":\"1\",\"l\":\"changed\""));
    assert_int_equal(try_apply(&w, "kubectl", CM("", "\"k\":\"2\",\"l\":\"2\""), false),
                     -ERR_CONFLICT);
    assert_str(w.e.message, "Apply failed with 1 conflict: conflict with \"else\" using v1: "
                            ".data.l");
    world_fini(&w);
}

static void no_effect(void **state)
{
    struct world w;
    config_map(&w);
    apply(&w, "one", CM("", "\"k\":\"1\""));
    stored(&w);
    struct json *live = w.object;
    apply(&w, "one", CM("", "\"k\":\"1\""));
    assert_true(json_eq(live, w.object));
    assert_str(owners(&w), "one Apply 1 {\"f:data\":{\"f:k\":{}}}");
    assert_ptr_equal(apply_settle(live, w.object), live);

    put(&w, "two", CM(",\"uid\":\"1\"", "\"k\":\"2\""));
    assert_ptr_not_equal(apply_settle(live, w.object), live);
    /* Only times differ. */
    live = w.object;
    struct json *later = json_copy(&w.a, live);
    struct json *entry = json_path(later, "metadata", "managedFields", NULL)->array.v[0];
    json_set(&w.a, entry, STR("time"), json_string(&w.a, STR("2030-01-01T00:00:00Z")));
    assert_ptr_equal(apply_settle(live, later), live);
    json_set(&w.a, entry, STR("manager"), json_string(&w.a, STR("x")));
    assert_ptr_equal(apply_settle(live, later), later);
    world_fini(&w);
}

/* ---- custom resources ---- */

static const char widget_schema[] =
    "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":{"
    "\"size\":{\"type\":\"integer\"},"
    "\"tags\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"set\",\"items\":{\"type\":"
    "\"string\"}},"
    "\"parts\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-"
    "keys\""
    ":[\"name\",\"side\"],\"items\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":"
    "\"string\"},\"side\":{\"type\":\"string\",\"default\":\"left\"},\"n\":{\"type\":\"integer\"}}}"
    "},"
    "\"plain\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
    "\"whole\":{\"type\":\"object\",\"x-kubernetes-map-type\":\"atomic\",\"additionalProperties\":{"
    "\"type\":\"string\"}},"
    "\"labels\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}},"
    "\"free\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true},"
    "\"port\":{\"x-kubernetes-int-or-string\":true},"
    "\"pod\":{\"type\":\"object\",\"x-kubernetes-embedded-resource\":true,"
    "\"x-kubernetes-preserve-unknown-fields\":true}"
    "}}}}";

#define WIDGET(spec)                                                                               \
    "{\"apiVersion\":\"ex.io/"                                                                     \
    "v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"w\"},\"spec\":{" spec "}}"

static void widget(struct world *w)
{
    world_init(w, &corev1_pod_desc, "ex.io/v1", "Widget");
    w->type = smd_schema(parse(&w->a, widget_schema));
}

static void custom_resource(void **state)
{
    struct world w;
    widget(&w);
    apply(
        &w, "one",
        WIDGET("\"size\":1,\"tags\":[\"a\"],\"parts\":[{\"name\":\"p\",\"n\":1}],\"plain\":[\"x\"],"
               "\"whole\":{\"k\":\"v\"},\"labels\":{\"l\":\"1\"},\"free\":{\"a\":{\"b\":[1]}},"
               "\"port\":\"http\",\"pod\":{\"kind\":\"Pod\",\"metadata\":{\"finalizers\":[\"f\"]},"
               "\"spec\":{\"x\":1}}"));
    stored(&w);
    assert_str(owners(&w),
               "one Apply 1 {\"f:spec\":{\"f:free\":{\"f:a\":{\".\":{},\"f:b\":{}}},\"f:labels\":{"
               "\"f:l\":{}},\"f:parts\":{\"k:{\\\"name\\\":\\\"p\\\",\\\"side\\\":\\\"left\\\"}\":"
               "{\".\":{},\"f:n\":{},\"f:name\":{}}},\"f:plain\":{},\"f:pod\":{\"f:kind\":{},"
               "\"f:metadata\":{\"f:finalizers\":{\"v:\\\"f\\\"\":{}}},\"f:spec\":{\".\":{},"
               "\"f:x\":{}}},\"f:port\":{},\"f:size\":{},\"f:tags\":{\"v:\\\"a\\\"\":{}},"
               "\"f:whole\":{}}}");
    assert_int_equal(try_apply(&w, "two", WIDGET("\"unknown\":1"), false), -ERR_BAD_REQUEST);
    assert_str(w.e.message, "failed to create typed patch object (/w; ex.io/v1, Kind=Widget): "
                            ".spec.unknown: field not declared in schema");
    assert_int_equal(try_apply(&w, "two",
                               WIDGET("\"whole\":{\"k\":\"u\"},\"parts\":[{\"name\":\"p\",\"side\":"
                                      "\"left\",\"n\":2},{\"name\":\"p\",\"side\":\"right\"}]"),
                               false),
                     -ERR_CONFLICT);
    assert_str(w.e.message, "Apply failed with 2 conflicts: conflicts with \"one\":\n"
                            "- .spec.whole\n- .spec.parts[name=\"p\",side=\"left\"].n");
    apply(&w, "two",
          WIDGET("\"tags\":[\"b\"],\"labels\":{\"m\":\"2\"},\"free\":{\"a\":{\"c\":1}}"));
    apply(&w, "one", WIDGET("\"size\":1"));
    assert_str(at(&w, "spec", NULL), "{\"size\":1,\"tags\":[\"b\"],\"labels\":{\"m\":\"2\"},"
                                     "\"free\":{\"a\":{\"c\":1}}}");
    world_fini(&w);
}

/* A list that was keyed becomes atomic: who owned elements owns the list. */
static void schema_change(void **state)
{
    struct world w;
    widget(&w);
    apply(&w, "one", WIDGET("\"parts\":[{\"name\":\"p\",\"n\":1}],\"labels\":{\"l\":\"1\"}"));
    stored(&w);
    CLEANUP(buf_fini) struct buf changed = BUF_INIT(KIB(8));
    struct str old = str_z(widget_schema);
    ptrdiff_t map = str_find(old, STR("\"map\""));
    buf_str(&changed, str_sub(old, 0, (size_t)map));
    buf_z(&changed, "\"atomic\"");
    buf_str(&changed, str_sub(old, (size_t)map + 5, old.n));
    w.type = smd_schema(parse(&w.a, changed.p));
    put(&w, "two",
        "{\"apiVersion\":\"ex.io/"
        "v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"w\",\"uid\":\"1\"}"
        ",\"spec\":{\"parts\":[{\"name\":\"p\",\"n\":1}],\"labels\":{\"l\":\"1\"},\"size\":1}}");
    assert_str(owners(&w), "one Apply 1 {\"f:spec\":{\"f:labels\":{\"f:l\":{}},\"f:parts\":{}}}\n"
                           "two Update 2 {\"f:spec\":{\"f:size\":{}}}");
    world_fini(&w);
}

/* v2 calls spec.size spec.length. */
static int to_other_version(void *arg, struct str version, const struct json *object,
                            struct json **ret, struct smd_type *ret_type, struct err *e)
{
    struct world *w = arg;
    if (str_eqz(version, "ex.io/v0"))
        return 1;
    struct json *v = json_copy(&w->a, object), *spec = json_getz(v, "spec");
    bool two = str_eqz(version, "ex.io/v2");
    struct json *size = json_getz(spec, two ? "size" : "length");
    if (size) {
        json_set(&w->a, spec, two ? STR("length") : STR("size"), size);
        json_del(spec, two ? STR("size") : STR("length"));
    }
    json_set(&w->a, v, STR("apiVersion"), json_string(&w->a, version));
    *ret = v;
    *ret_type = smd_deduced();
    return 0;
}

static void versions(void **state)
{
    struct world w;
    widget(&w);
    w.type = smd_deduced();
    const struct apply_versions versions = {to_other_version, &w};
    apply(&w, "one", WIDGET("\"size\":1,\"plain\":\"x\""));
    stored(&w);
    struct json *out, *two = parse(&w.a, "{\"apiVersion\":\"ex.io/v2\",\"kind\":\"Widget\","
                                         "\"metadata\":{\"name\":\"w\"},\"spec\":{\"length\":2}}");
    w.version = "ex.io/v2";
    struct json *live = w.object;
    struct smd_type ignored;
    assert_int_equal(to_other_version(&w, STR("ex.io/v2"), live, &w.object, &ignored, &w.e), 0);
    struct apply_in in = make_in(&w, "two", two);
    in.versions = &versions;
    assert_int_equal(apply_merge(&in, &out, &w.e), -ERR_CONFLICT);
    assert_str(w.e.message, "Apply failed with 1 conflict: conflict with \"one\": .spec.size");
    /* The manager itself may change versions: it stays one manager, and its fields move. */
    in.manager = STR("one");
    assert_int_equal(apply_merge(&in, &out, &w.e), 0);
    w.object = out;
    assert_str(at(&w, "spec", NULL), "{\"length\":2}");
    assert_str(owners(&w), "one Apply 2 {\"f:spec\":{\".\":{},\"f:length\":{}}}");
    world_fini(&w);
}

static void manager_names(void **state)
{
    static const struct {
        const char *manager, *agent, *want;
    } rows[] = {
        {"me", "kubectl/v1.30", "me"},
        {"", "kubectl/v1.30 (linux)", "kubectl"},
        {"", "curl", "curl"},
        {"", "", ""},
        {"", "a\tb\x01 c\x7f/x", "ab c"},
        {"", "caf\xc3\xa9\xc2\xa0\xff/1", "caf\xc3\xa9\xef\xbf\xbd"},
    };
    struct arena a = ARENA_INIT;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_str(managed_name(&a, str_z(rows[i].manager), str_z(rows[i].agent)), rows[i].want);
    char longest[200];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(managed_name(&a, STR(""), str_n(longest, sizeof longest)).n, MANAGED_NAME_MAX);
    arena_fini(&a);
}

/* An HPA scales what an applier had sized; later the applier's other fields are as they were. */
static void scale(void **state)
{
    struct arena a = ARENA_INIT;
    struct fields_pool pool = {&a, false};
    struct err e = ERR_INIT(&a);
    const struct fieldset path = fieldset_of(&pool, "{\"f:spec\":{\"f:replicas\":{}}}");
    const struct replicas_path paths[] = {{STR("apps/v1"), &path}};
    struct json *in_scale, *out,
        *entries = parse(
            &a, "[{\"manager\":\"gitops\",\"operation\":\"Apply\",\"apiVersion\":\"apps/v1\","
                "\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:spec\":{\"f:paused\":{},"
                "\"f:replicas\":{}}}},{\"manager\":\"old\",\"operation\":\"Update\",\"apiVersion\":"
                "\"apps/v1beta1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:spec\":{"
                "\"f:replicas\":{}}}}]");
    assert_int_equal(managed_to_scale(&pool, entries, paths, 1, &in_scale, &e), 0);
    assert_str(json_text(&a, in_scale),
               "[{\"manager\":\"gitops\",\"operation\":\"Apply\",\"apiVersion\":"
               "\"autoscaling/v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:spec\":{"
               "\"f:replicas\":{}}}}]");
    /* Nobody touched the number. */
    assert_int_equal(
        managed_from_scale(&pool, entries, in_scale, STR("apps/v1"), paths, 1, &out, &e), 0);
    assert_int_equal(out->array.n, 1);
    assert_true(json_eq(out->array.v[0], entries->array.v[0]));
    /* The HPA took it. */
    struct json *taken = parse(
        &a, "[{\"manager\":\"hpa\",\"operation\":\"Update\",\"apiVersion\":\"autoscaling/v1\","
            "\"time\":\"2026-01-01T00:00:00Z\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{"
            "\"f:spec\":{\"f:replicas\":{}}},\"subresource\":\"scale\"}]");
    assert_int_equal(managed_from_scale(&pool, entries, taken, STR("apps/v1"), paths, 1, &out, &e),
                     0);
    assert_str(json_text(&a, out),
               "[{\"manager\":\"gitops\",\"operation\":\"Apply\",\"apiVersion\":\"apps/v1\","
               "\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:spec\":{\"f:paused\":{}}}},"
               "{\"manager\":\"hpa\",\"operation\":\"Update\",\"apiVersion\":\"apps/v1\","
               "\"time\":\"2026-01-01T00:00:00Z\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{"
               "\"f:spec\":{\"f:replicas\":{}}},\"subresource\":\"scale\"}]");
    arena_fini(&a);
}

/* ---- properties ---- */

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static struct str random_data(struct world *w, uint64_t *seed, const char *meta)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4));
    buf_fmt(&b,
            "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"%s},"
            "\"data\":{",
            meta);
    bool first = true;
    for (int i = 0; i < 6; i++)
        if (next_random(seed) % 2) {
            buf_fmt(&b, "%s\"k%d\":\"%u\"", first ? "" : ",", i, next_random(seed) % 3);
            first = false;
        }
    buf_z(&b, "}}");
    return buf_to_arena(&b, &w->a);
}

static int check_owned(void *arg, struct str path)
{
    struct world *w = arg;
    if (str_skip(&path, STR(".data.")))
        assert_non_null(json_get(json_getz(w->object, "data"), path));
    return 0;
}

/* Every owned field is there; applied fields have the values of the last forced apply. */
static void random_managers(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    uint64_t seed = 17;
    for (int round = 0; round < 300; round++) {
        struct world w;
        config_map(&w);
        put(&w, "a", random_data(&w, &seed, "").p);
        stored(&w);
        for (int step = 0; step < 10; step++) {
            const char *name = names[next_random(&seed) % 3];
            bool is_apply = next_random(&seed) % 2;
            struct str text = random_data(&w, &seed, is_apply ? "" : ",\"uid\":\"1\"");
            if (is_apply) {
                assert_int_equal(try_apply(&w, name, text.p, true), 0);
                const struct json *config = json_getz(parse(&w.a, text.p), "data");
                for (size_t i = 0; i < config->object.n; i++)
                    assert_true(
                        json_eq(config->object.v[i].value,
                                json_get(json_getz(w.object, "data"), config->object.v[i].key)));
                struct json *before = w.object;
                assert_int_equal(try_apply(&w, name, text.p, false), 0);
                assert_true(json_eq(before, w.object));
            } else {
                put(&w, name, text.p);
                assert_true(
                    json_eq(json_getz(w.object, "data"), json_getz(parse(&w.a, text.p), "data")));
            }
            const struct json *list = json_path(w.object, "metadata", "managedFields", NULL);
            for (size_t i = 0; list && i < list->array.n; i++) {
                struct fields_pool pool = {&w.a, false};
                struct fieldset s;
                assert_int_equal(
                    fieldset_parse(&pool, json_getz(list->array.v[i], "fieldsV1"), &s, &w.e), 0);
                fieldset_each(&s, check_owned, &w);
            }
        }
        world_fini(&w);
    }
}

TESTS(cmocka_unit_test(create_and_update), cmocka_unit_test(conflict_and_force),
      cmocka_unit_test(removal), cmocka_unit_test(update_then_apply), cmocka_unit_test(keyed_lists),
      cmocka_unit_test(sets), cmocka_unit_test(atomic), cmocka_unit_test(subresource),
      cmocka_unit_test(forgetting), cmocka_unit_test(entries_of_the_request),
      cmocka_unit_test(many_updaters), cmocka_unit_test(bad_configurations),
      cmocka_unit_test(from_client_side_apply), cmocka_unit_test(no_effect),
      cmocka_unit_test(custom_resource), cmocka_unit_test(schema_change),
      cmocka_unit_test(versions), cmocka_unit_test(scale), cmocka_unit_test(manager_names),
      cmocka_unit_test(random_managers))
