/* SPDX-License-Identifier: Apache-2.0 */
/* apply.c: microseconds of patches and of tracking owners, on one pod of 2 KB whose managers are a
 * controller, the kubelet and an applier. Run: build/bench/bench-apply */
#include <time.h>

#include "api/apply.h"
#include "api/corev1.h"
#include "api/patch.h"

enum { RUN_MS = 300, BATCH = 200 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct input {
    struct arena arena; /* of the inputs */
    struct arena work;  /* of one run */
    struct json *live, *ready, *not_ready, *grown, *config, *other_config;
    struct json *strategic, *merge, *ops;
    struct fieldset status, rest;
};

static struct json *parse(struct arena *a, struct str text)
{
    struct err e = ERR_INIT(a);
    struct json *v;
    must(json_parse(a, text, &v, &e) == 0);
    return v;
}

static struct str read_file(struct arena *a, const char *path)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    FILE *f = fopen(path, "re");
    must(f != NULL);
    char *to = buf_reserve(&b, KIB(64));
    buf_advance(&b, fread(to, 1, KIB(64), f));
    fclose(f);
    return buf_to_arena(&b, a);
}

static struct apply_in make_in(struct arena *a, const struct json *live, const struct json *object,
                               const char *manager, const char *subresource)
{
    return (struct apply_in){
        .arena = a,
        .type = smd_desc(&corev1_pod_desc),
        .live = live,
        .object = object,
        .manager = str_z(manager),
        .api_version = STR("v1"),
        .kind = STR("Pod"),
        .subresource = str_z(subresource),
        .now = {1700000000, 0},
    };
}

static struct json *track(struct arena *a, const struct json *live, const struct json *object,
                          const char *manager, const char *subresource)
{
    struct err e = ERR_INIT(a);
    struct json *out;
    struct apply_in in = make_in(a, live, object, manager, subresource);
    must(apply_track_update(&in, &out, &e) == 0);
    return out;
}

static struct json *apply(struct arena *a, const struct json *live, const struct json *config)
{
    struct err e = ERR_INIT(a);
    struct json *out;
    struct apply_in in = make_in(a, live, config, "delivery", "");
    must(apply_merge(&in, &out, &e) == 0);
    return out;
}

static struct json *with_ready(struct arena *a, const struct json *pod, const char *status)
{
    struct json *v = json_copy(a, pod);
    json_set(a, json_path(v, "status", "conditions", NULL)->array.v[0], STR("status"),
             json_string(a, str_z(status)));
    return v;
}

#define CONFIG(label)                                                                              \
    STR("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":"                          \
        "\"storefront-7c9d8f6b54-x2k8q\",\"labels\":{\"tier\":\"" label                            \
        "\"}},\"spec\":{\"containers\":[{\"name\":\"web\",\"env\":[{\"name\":\"MODE\","            \
        "\"value\":\"blue\"}]}]}}")

static void prepare(struct input *in)
{
    struct arena *a = &in->arena;
    struct err e = ERR_INIT(a);
    struct json *pod = parse(a, read_file(a, BENCH_DATA "/pod.json"));
    struct json *bare = json_copy(a, pod);
    json_set(a, bare, STR("status"), json_object(a));
    in->live = track(a, NULL, bare, "kube-controller-manager", "");
    in->live = track(a, in->live, pod, "kubelet", "status");
    in->config = parse(a, CONFIG("front"));
    in->other_config = parse(a, CONFIG("back"));
    in->live = apply(a, in->live, in->config);
    /* Fresh text each: no two trees share anything, as in a request. */
    in->live = parse(a, json_text(a, in->live));
    in->ready = parse(a, json_text(a, in->live));
    in->not_ready = with_ready(a, in->live, "False");
    in->grown = json_copy(a, in->not_ready);
    json_set(a, json_getz(in->grown, "status"), STR("message"), json_string(a, STR("x")));
    must(patch_parse(PATCH_STRATEGIC,
                     STR("{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}],"
                         "\"$setElementOrder/conditions\":[{\"type\":\"Ready\"}]}}"),
                     a, &in->strategic, NULL, &e) == 0);
    must(patch_parse(PATCH_MERGE, STR("{\"metadata\":{\"labels\":{\"a\":\"b\"}}}"), a, &in->merge,
                     NULL, &e) == 0);
    must(patch_parse(PATCH_JSON,
                     STR("[{\"op\":\"add\",\"path\":\"/metadata/labels/a\",\"value\":\"b\"}]"), a,
                     &in->ops, NULL, &e) == 0);
}

/* ---- what is measured ---- */

static struct json *status_changes(struct input *in)
{
    return track(&in->work, in->live, in->not_ready, "kubelet", "status");
}

static struct json *status_same(struct input *in)
{
    return track(&in->work, in->live, in->ready, "kubelet", "status");
}

static struct json *status_grows(struct input *in)
{
    return track(&in->work, in->live, in->grown, "kubelet", "status");
}

static struct json *update_same(struct input *in)
{
    return track(&in->work, in->live, in->ready, "kubectl-edit", "");
}

static struct json *create(struct input *in)
{
    return track(&in->work, NULL, in->ready, "kubectl-create", "");
}

static struct json *apply_same(struct input *in)
{
    return apply(&in->work, in->live, in->config);
}

static struct json *apply_other(struct input *in)
{
    return apply(&in->work, in->live, in->other_config);
}

static struct json *strategic(struct input *in)
{
    struct err e = ERR_INIT(&in->work);
    struct json *out;
    must(patch_strategic(&in->work, &corev1_pod_desc, in->live, in->strategic, &out, &e) == 0);
    return out;
}

static struct json *merge(struct input *in)
{
    struct err e = ERR_INIT(&in->work);
    struct json *out;
    must(patch_merge(&in->work, in->live, in->merge, &out, &e) == 0);
    return out;
}

static struct json *json_ops(struct input *in)
{
    struct err e = ERR_INIT(&in->work);
    struct json *out;
    must(patch_json(&in->work, in->live, in->ops, &out, &e) == 0);
    return out;
}

static struct json *equality(struct input *in)
{
    must(!json_eq(in->live, in->not_ready));
    must(json_eq(in->live, in->ready));
    return in->live;
}

static void measure(const char *name, struct json *(*run)(struct input *in), struct input *in)
{
    double start = now_s(), spent;
    size_t n = 0;
    do {
        for (int i = 0; i < BATCH; i++) {
            must(run(in) != NULL);
            arena_reset(&in->work);
        }
        n += BATCH;
        spent = now_s() - start;
    } while (spent * 1000 < RUN_MS);
    printf("%-36s %8.2f us\n", name, spent / (double)n * 1e6);
}

int main(void)
{
    struct input in = {.arena = ARENA_INIT, .work = ARENA_INIT};
    prepare(&in);
    measure("json_eq, twice", equality, &in);
    measure("track: status changes", status_changes, &in);
    measure("track: status stays", status_same, &in);
    measure("track: status gets a field", status_grows, &in);
    measure("track: update without change", update_same, &in);
    measure("track: create", create, &in);
    measure("apply: nothing new", apply_same, &in);
    measure("apply: a label changes", apply_other, &in);
    measure("strategic merge patch", strategic, &in);
    measure("merge patch", merge, &in);
    measure("json patch", json_ops, &in);
    arena_fini(&in.work);
    arena_fini(&in.arena);
    return 0;
}
