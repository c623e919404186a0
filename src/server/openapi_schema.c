/* SPDX-License-Identifier: Apache-2.0 */
/* Schemas of API types, from their descriptors. */
#include "base/map.h"
#include "server/openapi.h"

/* "corev1" is in "io.k8s.api.core.v1"; a few packages live elsewhere. */
static const struct {
    const char *package, *path;
} homes[] = {
    {"metav1", "io.k8s.apimachinery.pkg.apis.meta.v1"},
    {"apiextensionsv1", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"},
    {"apiregistrationv1", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1"},
};

struct str openapi_name(struct arena *a, const struct desc *d)
{
    for (size_t i = 0; i < ARRAY_LEN(homes); i++)
        if (strcmp(d->package, homes[i].package) == 0)
            return arena_fmt(a, "%s.%s", homes[i].path, d->name);
    /* The version begins at the first 'v' that a digit follows: "storagemigrationv1beta1". */
    const char *version = d->package;
    while (version[0] != 'v' || version[1] < '0' || version[1] > '9')
        version++;
    return arena_fmt(a, "io.k8s.api.%.*s.%s.%s", (int)(version - d->package), d->package, version,
                     d->name);
}

#define META          "io.k8s.apimachinery.pkg.apis.meta.v1."
#define QUANTITY      "io.k8s.apimachinery.pkg.api.resource.Quantity"
#define INT_OR_STRING "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
#define RAW           "io.k8s.apimachinery.pkg.runtime.RawExtension"

static void put_scalar(struct buf *b, struct arena *a, const char *refs, const struct field *f)
{
    switch ((enum field_kind)f->kind) {
    case FK_STRING: buf_z(b, "\"type\":\"string\""); return;
    case FK_BOOL: buf_z(b, "\"type\":\"boolean\""); return;
    case FK_INT32:
    case FK_UINT32: buf_z(b, "\"type\":\"integer\",\"format\":\"int32\""); return;
    case FK_INT64:
    case FK_UINT64: buf_z(b, "\"type\":\"integer\",\"format\":\"int64\""); return;
    case FK_DOUBLE: buf_z(b, "\"type\":\"number\",\"format\":\"double\""); return;
    case FK_BYTES: buf_z(b, "\"type\":\"string\",\"format\":\"byte\""); return;
    case FK_TIME: buf_fmt(b, "\"$ref\":\"%s" META "Time\"", refs); return;
    case FK_MICROTIME: buf_fmt(b, "\"$ref\":\"%s" META "MicroTime\"", refs); return;
    case FK_DURATION: buf_fmt(b, "\"$ref\":\"%s" META "Duration\"", refs); return;
    case FK_QUANTITY: buf_fmt(b, "\"$ref\":\"%s" QUANTITY "\"", refs); return;
    case FK_INTSTR: buf_fmt(b, "\"$ref\":\"%s" INT_OR_STRING "\"", refs); return;
    case FK_RAW: buf_fmt(b, "\"$ref\":\"%s" RAW "\"", refs); return;
    case FK_STRINGS: buf_z(b, "\"type\":\"array\",\"items\":{\"type\":\"string\"}"); return;
    case FK_MESSAGE:
        buf_fmt(b, "\"$ref\":\"%s%.*s\"", refs, STR_ARG(openapi_name(a, f->message)));
        return;
    }
    never("field kind");
}

static void put_strings(struct buf *b, const char *name, const char *const *words)
{
    buf_fmt(b, ",\"%s\":[", name);
    for (size_t i = 0; words[i]; i++) {
        if (i)
            buf_c(b, ',');
        json_put_string(b, str_z(words[i]));
    }
    buf_c(b, ']');
}

static void put_ext(struct buf *b, const struct field *f)
{
    const struct field_ext *x = f->ext;
    static const char *const list_types[] = {"", "atomic", "set", "map"};
    if (!x)
        return;
    if (x->enum_values && x->enum_closed && f->shape != SHAPE_LIST && f->shape != SHAPE_MAP)
        put_strings(b, "enum", x->enum_values);
    if (x->default_text) {
        buf_z(b, ",\"default\":");
        if (f->kind == FK_STRING)
            json_put_string(b, str_z(x->default_text));
        else
            buf_z(b, x->default_text);
    }
    if (x->list_type)
        buf_fmt(b, ",\"x-kubernetes-list-type\":\"%s\"", list_types[x->list_type]);
    if (x->map_keys)
        put_strings(b, "x-kubernetes-list-map-keys", x->map_keys);
    if (x->map_atomic || x->struct_atomic)
        buf_z(b, ",\"x-kubernetes-map-type\":\"atomic\"");
    if (x->patch_merge_key)
        buf_fmt(b, ",\"x-kubernetes-patch-merge-key\":\"%s\"", x->patch_merge_key);
    if (x->patch_merge || x->patch_retain_keys)
        buf_fmt(b, ",\"x-kubernetes-patch-strategy\":\"%s%s%s\"", x->patch_merge ? "merge" : "",
                x->patch_merge && x->patch_retain_keys ? "," : "",
                x->patch_retain_keys ? "retainKeys" : "");
}

static void put_property(struct buf *b, struct arena *a, const char *refs, const struct field *f)
{
    json_put_string(b, str_z(f->name));
    buf_z(b, ":{");
    if (f->doc[0]) {
        buf_z(b, "\"description\":");
        json_put_string(b, str_z(f->doc));
        buf_c(b, ',');
    }
    if (f->shape == SHAPE_LIST || f->shape == SHAPE_MAP) {
        buf_z(b, f->shape == SHAPE_LIST ? "\"type\":\"array\",\"items\":{"
                                        : "\"type\":\"object\",\"additionalProperties\":{");
        put_scalar(b, a, refs, f);
        buf_c(b, '}');
    } else {
        put_scalar(b, a, refs, f);
    }
    put_ext(b, f);
    buf_c(b, '}');
}

static bool is_meta_kind(const struct desc *d)
{
    return d->n_json >= 2 && strcmp(d->fields[0].name, "kind") == 0 &&
           strcmp(d->fields[1].name, "apiVersion") == 0;
}

static void put_gvks(struct buf *b, const struct desc *d)
{
    bool first = true;
    if (!is_meta_kind(d))
        return;
    for (size_t i = 0; i < kind_def_count; i++) {
        const struct kind_def *k = &kind_defs[i];
        if (k->desc != d)
            continue;
        buf_fmt(b, "%s{\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}",
                first ? ",\"x-kubernetes-group-version-kind\":[" : ",", k->group, k->kind,
                k->version);
        first = false;
    }
    if (!first)
        buf_c(b, ']');
}

static void put_type(struct buf *b, struct arena *a, const char *refs, const struct desc *d)
{
    struct str name = openapi_name(a, d);
    bool first = true;
    json_put_string(b, name);
    buf_z(b, ":{\"description\":");
    json_put_string(b, str_z(d->doc));
    if (d->encoding != ENC_PLAIN) {
        /* A boolean, an object or an array: any JSON value. */
        buf_c(b, '}');
        return;
    }
    buf_z(b, ",\"type\":\"object\"");
    for (size_t i = 0; i < d->n_json; i++) {
        if (!(d->fields[i].flags & FIELD_REQUIRED))
            continue;
        buf_z(b, first ? ",\"required\":[" : ",");
        json_put_string(b, str_z(d->fields[i].name));
        first = false;
    }
    if (!first)
        buf_c(b, ']');
    if (d->n_json)
        buf_z(b, ",\"properties\":{");
    for (size_t i = 0; i < d->n_json; i++) {
        if (i)
            buf_c(b, ',');
        put_property(b, a, refs, &d->fields[i]);
    }
    if (d->n_json)
        buf_c(b, '}');
    if (d->atomic)
        buf_z(b, ",\"x-kubernetes-map-type\":\"atomic\"");
    put_gvks(b, d);
    buf_c(b, '}');
}

/* ---- which types ---- */

static void reach(struct map *seen, const struct desc *d)
{
    char key[20];
    snprintf(key, sizeof key, "%p", (const void *)d);
    if (map_put(seen, str_z(key), (void *)(uintptr_t)d))
        return;
    for (size_t i = 0; i < d->n_json; i++)
        if (d->fields[i].kind == FK_MESSAGE)
            reach(seen, d->fields[i].message);
}

static const struct {
    const char *name, *schema;
} scalars[] = {
    {META "Time", "{\"description\":\"A point in time, RFC 3339, whole seconds.\",\"type\":"
                  "\"string\",\"format\":\"date-time\"}"},
    {META "MicroTime", "{\"description\":\"A point in time with microseconds, RFC 3339.\","
                       "\"type\":\"string\",\"format\":\"date-time\"}"},
    {META "Patch", "{\"description\":\"A patch document; its form is that of the content type.\","
                   "\"type\":\"object\"}"},
    {META "Duration", "{\"description\":\"A span of time such as 1h2m3s.\",\"type\":\"string\"}"},
    {QUANTITY, "{\"description\":\"A number with an SI suffix (500m, 2k) or a binary one (1Gi)."
               "\",\"type\":\"string\"}"},
    {INT_OR_STRING, "{\"description\":\"A whole number, or a string such as 25% or a port's "
                    "name.\",\"type\":\"string\",\"format\":\"int-or-string\"}"},
    {RAW, "{\"description\":\"Any JSON value.\",\"type\":\"object\"}"},
};

static int by_name(const void *a, const void *b)
{
    const struct desc *x = *(const struct desc *const *)a, *y = *(const struct desc *const *)b;
    int c = strcmp(x->package, y->package);
    return c ? c : strcmp(x->name, y->name);
}

void openapi_definitions(struct buf *b, struct arena *a, const char *refs,
                         const struct resource_set *set)
{
    struct map seen = MAP_INIT;
    uint32_t it = 0;
    LIST(const struct desc *) types = {0};
    for (size_t i = 0; i < set->n; i++) {
        const struct resource *r = set->v[i];
        if (r->desc)
            reach(&seen, r->desc);
        if (r->def && r->def->list_desc)
            reach(&seen, r->def->list_desc);
        for (size_t k = 0; r->def && k < r->def->n_subs; k++)
            reach(&seen, r->def->subs[k].desc);
    }
    reach(&seen, &metav1_status_desc);
    reach(&seen, &metav1_delete_options_desc);
    reach(&seen, &metav1_watch_event_desc);
    for (struct map_entry *e; (e = map_next(&seen, &it));)
        *list_add(a, &types) = e->value;
    map_fini(&seen);
    qsort(types.v, types.n, sizeof(const struct desc *), by_name);
    for (size_t i = 0; i < ARRAY_LEN(scalars); i++) {
        if (i)
            buf_c(b, ',');
        json_put_string(b, str_z(scalars[i].name));
        buf_c(b, ':');
        buf_z(b, scalars[i].schema);
    }
    LIST_EACH (d, &types) {
        buf_c(b, ',');
        put_type(b, a, refs, *d);
    }
}
