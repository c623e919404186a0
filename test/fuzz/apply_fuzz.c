/* SPDX-License-Identifier: Apache-2.0 */
/* apply_fuzz.c: "a" (apply) or "u" (update), a line with the live object, a line with the
 * configuration or the new object, and, for a custom resource, its schema. Inputs stay as they
 * were, managedFields come out canonical, and applying again changes nothing. */
#include "api/apply.h"
#include "api/corev1.h"

#include "fuzz.h"

static const struct json *entries_of(const struct json *object)
{
    return json_path(object, "metadata", "managedFields", NULL);
}

/* When the request brought none of its own. */
static void check_entries(struct arena *a, const struct json *object)
{
    struct fields_pool pool = {a, false};
    struct err e = ERR_INIT(a);
    struct managed m;
    const struct json *entries = entries_of(object);
    must(managed_decode(&pool, entries, true, &m, &e) == 0);
    for (size_t i = 0; i < m.n; i++) {
        struct json *fields = json_getz(entries->array.v[i], "fieldsV1");
        must(str_eq(json_text(a, fields), json_text(a, fieldset_json(&pool, &m.v[i].set))));
    }
}

static void check_apply(struct apply_in *in)
{
    struct err e = ERR_INIT(in->arena);
    struct json *out, *again;
    int rc = apply_merge(in, &out, &e);
    if (rc == -ERR_CONFLICT) {
        must(e.causes != NULL);
        in->force = true;
        err_clear(&e);
        rc = apply_merge(in, &out, &e);
        must(rc != -ERR_CONFLICT);
    }
    if (rc)
        return;
    check_entries(in->arena, out);
    in->live = out;
    in->force = false;
    must(apply_merge(in, &again, &e) == 0);
    check_entries(in->arena, again);
}

static void check_update(struct apply_in *in)
{
    struct err e = ERR_INIT(in->arena);
    struct json *out, *again;
    must(apply_track_update(in, &out, &e) == 0);
    struct json *live_entries =
        in->live ? json_path(in->live, "metadata", "managedFields", NULL) : NULL;
    /* Entries of the live object are taken as canonical: ours are. */
    if (!live_entries && entries_of(out) && entries_of(out)->type == JSON_ARRAY)
        check_entries(in->arena, out);
    in->live = out;
    must(apply_track_update(in, &again, &e) == 0);
}

static struct json *read_line(struct arena *a, struct str *rest)
{
    struct err e = ERR_INIT(a);
    struct str line;
    struct json *v;
    if (!str_next(rest, '\n', &line) || json_parse(a, line, &v, &e) != 0)
        return NULL;
    return v;
}

static void run(struct arena *a, bool is_apply, struct json *live, struct json *object,
                struct json *schema)
{
    struct str live_text = json_text(a, live), object_text = json_text(a, object);
    struct apply_in in = {
        .arena = a,
        .type = schema ? smd_schema(schema) : smd_desc(&corev1_pod_desc),
        .live = live->type == JSON_OBJECT ? live : NULL,
        .object = object,
        .manager = STR("fuzz"),
        .api_version = STR("v1"),
        .kind = STR("Pod"),
        .now = {1700000000, 0},
    };
    if (is_apply)
        check_apply(&in);
    else
        check_update(&in);
    must(str_eq(live_text, json_text(a, live)) && str_eq(object_text, json_text(a, object)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str kind, rest = str_n((const char *)data, size);
    struct arena a = ARENA_INIT;
    if (!str_next(&rest, '\n', &kind))
        return 0;
    struct json *live = read_line(&a, &rest), *object = read_line(&a, &rest);
    struct json *schema = rest.p ? read_line(&a, &rest) : NULL;
    if (live && object && object->type == JSON_OBJECT)
        run(&a, str_eqz(kind, "a"), live, object, schema);
    arena_fini(&a);
    return 0;
}
