/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/oci_image.h"

#include <sys/utsname.h>

#include "codec/json.h"
#include "engine/layers.h"
#include "engine/reference.h"

static int malformed(const char *what, const char *why, struct err *e)
{
    return err_set(e, ERR_INVALID, "invalid image %s: %s", what, why);
}

static int parse(struct arena *a, struct str text, const char *what, struct json **ret,
                 struct err *e)
{
    if (json_parse(a, text, ret, e) < 0)
        return err_set(e, ERR_INVALID, "invalid image %s: %.*s", what, STR_ARG(e->message));
    if ((*ret)->type != JSON_OBJECT)
        return malformed(what, "not a JSON object", e);
    return 0;
}

static struct str text_at(const struct json *o, const char *key)
{
    return json_str(json_getz(o, key));
}

static bool parse_blob(const struct json *v, struct oci_blob *ret)
{
    ret->media_type = text_at(v, "mediaType");
    ret->digest = text_at(v, "digest");
    return digest_valid(ret->digest) && json_i64(json_getz(v, "size"), &ret->size) &&
           ret->size >= 0;
}

int oci_kind_of(struct arena *a, struct str text, enum oci_kind *ret, struct err *e)
{
    struct json *doc;
    int r = parse(a, text, "manifest", &doc, e);
    if (r < 0)
        return r;
    struct str type = text_at(doc, "mediaType");
    if (str_eqz(type, OCI_INDEX_TYPE) || str_eqz(type, DOCKER_INDEX_TYPE))
        *ret = OCI_IS_INDEX;
    else if (str_eqz(type, OCI_MANIFEST_TYPE) || str_eqz(type, DOCKER_MANIFEST_TYPE))
        *ret = OCI_IS_MANIFEST;
    else if (type.n)
        return err_set(e, ERR_INVALID, "unsupported manifest media type \"%.*s\"", STR_ARG(type));
    else if (json_getz(doc, "config") && json_getz(doc, "layers"))
        *ret = OCI_IS_MANIFEST;
    else if (json_getz(doc, "manifests"))
        *ret = OCI_IS_INDEX;
    else
        return malformed("manifest", "neither manifest nor index (schema 1 is not supported)", e);
    return 0;
}

int oci_manifest_parse(struct arena *a, struct str text, struct oci_manifest *ret, struct err *e)
{
    struct json *doc;
    int r = parse(a, text, "manifest", &doc, e);
    if (r < 0)
        return r;
    const struct json *layers = json_getz(doc, "layers");
    if (!parse_blob(json_getz(doc, "config"), &ret->config))
        return malformed("manifest", "bad config descriptor", e);
    if (!layers || layers->type != JSON_ARRAY || layers->array.n > LAYERS_MAX)
        return malformed("manifest", "no layers, or too many", e);
    ret->n_layers = layers->array.n;
    ret->layers = arena_array(a, ret->n_layers, struct oci_blob);
    for (size_t i = 0; i < ret->n_layers; i++)
        if (!parse_blob(layers->array.v[i], &ret->layers[i]))
            return malformed("manifest", "bad layer descriptor", e);
    return 0;
}

static bool parse_entry(const struct json *v, struct oci_index_entry *ret)
{
    const struct json *platform = json_getz(v, "platform");
    const struct json *notes = json_getz(v, "annotations");
    ret->platform = (struct oci_platform){
        text_at(platform, "os"), text_at(platform, "architecture"), text_at(platform, "variant")};
    ret->name = text_at(notes, "org.opencontainers.image.ref.name");
    ret->full_name = text_at(notes, "io.containerd.image.name");
    return parse_blob(v, &ret->blob);
}

int oci_index_parse(struct arena *a, struct str text, struct oci_index *ret, struct err *e)
{
    struct json *doc;
    int r = parse(a, text, "index", &doc, e);
    if (r < 0)
        return r;
    const struct json *list = json_getz(doc, "manifests");
    if (!list || list->type != JSON_ARRAY || list->array.n > OCI_INDEX_MAX)
        return malformed("index", "no manifests, or too many", e);
    ret->n = list->array.n;
    ret->v = arena_array(a, ret->n, struct oci_index_entry);
    for (size_t i = 0; i < ret->n; i++)
        if (!parse_entry(list->array.v[i], &ret->v[i]))
            return malformed("index", "bad descriptor", e);
    return 0;
}

/* null and absent are the empty list; anything but strings is refused. */
static bool parse_strings(struct arena *a, const struct json *v, struct str_list *ret)
{
    if (!v || v->type == JSON_NULL)
        return true;
    if (v->type != JSON_ARRAY)
        return false;
    for (size_t i = 0; i < v->array.n; i++) {
        if (v->array.v[i]->type != JSON_STRING)
            return false;
        str_list_push(a, ret, json_str(v->array.v[i]));
    }
    return true;
}

static void parse_labels(struct arena *a, const struct json *v, struct oci_config *ret)
{
    for (size_t i = 0; v && v->type == JSON_OBJECT && i < v->object.n; i++)
        str_map_set(a, &ret->labels, v->object.v[i].key, json_str(v->object.v[i].value));
}

static void parse_volumes(struct arena *a, const struct json *v, struct oci_config *ret)
{
    for (size_t i = 0; v && v->type == JSON_OBJECT && i < v->object.n; i++)
        str_list_push(a, &ret->volumes, v->object.v[i].key);
}

int oci_config_parse(struct arena *a, struct str text, struct oci_config *ret, struct err *e)
{
    struct json *doc;
    *ret = (struct oci_config){0};
    int r = parse(a, text, "configuration", &doc, e);
    if (r < 0)
        return r;
    const struct json *config = json_getz(doc, "config");
    ret->platform = (struct oci_platform){text_at(doc, "os"), text_at(doc, "architecture"),
                                          text_at(doc, "variant")};
    ret->user = text_at(config, "User");
    ret->working_dir = text_at(config, "WorkingDir");
    ret->stop_signal = text_at(config, "StopSignal");
    if (!parse_strings(a, json_getz(config, "Env"), &ret->env) ||
        !parse_strings(a, json_getz(config, "Entrypoint"), &ret->entrypoint) ||
        !parse_strings(a, json_getz(config, "Cmd"), &ret->cmd) ||
        !parse_strings(a, json_path(doc, "rootfs", "diff_ids", NULL), &ret->diff_ids))
        return malformed("configuration", "a list holds something else than strings", e);
    parse_labels(a, json_getz(config, "Labels"), ret);
    parse_volumes(a, json_getz(config, "Volumes"), ret);
    LIST_EACH (id, &ret->diff_ids)
        if (!digest_valid(*id))
            return malformed("configuration", "bad diff id", e);
    return 0;
}

/* ---- platforms ---- */

struct oci_platform oci_platform_host(void)
{
    static const struct {
        const char *machine, *architecture, *variant;
    } table[] = {
        {"x86_64", "amd64", ""},    {"aarch64", "arm64", "v8"}, {"armv7l", "arm", "v7"},
        {"armv6l", "arm", "v6"},    {"i686", "386", ""},        {"riscv64", "riscv64", ""},
        {"ppc64le", "ppc64le", ""}, {"s390x", "s390x", ""},     {"loongarch64", "loong64", ""},
        {"mips64", "mips64le", ""},
    };
    struct utsname u;
    must(uname(&u) == 0);
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (strcmp(table[i].machine, u.machine) == 0)
            return (struct oci_platform){STR("linux"), str_z(table[i].architecture),
                                         str_z(table[i].variant)};
    return (struct oci_platform){STR("linux"), STR("unknown"), STR_NULL};
}

/* 0: does not fit; more is better. */
static int fitness(const struct oci_platform *have, const struct oci_platform *want)
{
    if (!have->os.n && !have->architecture.n)
        return 1;
    if (!str_eq(have->os, want->os) || !str_eq(have->architecture, want->architecture))
        return 0;
    if (str_eq(have->variant, want->variant))
        return 4;
    return have->variant.n ? 2 : 3;
}

const struct oci_index_entry *oci_index_select(const struct oci_index *index,
                                               const struct oci_platform *want)
{
    const struct oci_index_entry *best = NULL;
    int best_fitness = 0;
    for (size_t i = 0; i < index->n; i++) {
        int f = fitness(&index->v[i].platform, want);
        if (f > best_fitness) {
            best = &index->v[i];
            best_fitness = f;
        }
    }
    return best;
}

/* ---- writing ---- */

static void put_member(struct buf *b, const char *name, struct str value)
{
    buf_fmt(b, "\"%s\":", name);
    json_put_string(b, value);
}

struct str oci_config_write(struct arena *a, const struct oci_platform *p, struct str diff_id,
                            const struct str_list *cmd)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(OCI_DOCUMENT_MAX);
    buf_c(&b, '{');
    put_member(&b, "architecture", p->architecture);
    buf_c(&b, ',');
    put_member(&b, "os", p->os);
    buf_z(&b, ",\"config\":{\"Env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
              "/sbin:/bin\"],\"Cmd\":[");
    for (size_t i = 0; i < cmd->n; i++) {
        buf_z(&b, i ? "," : "");
        json_put_string(&b, cmd->v[i]);
    }
    buf_z(&b, "]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
    json_put_string(&b, diff_id);
    buf_z(&b, "]}}");
    must(!b.failed);
    return buf_to_arena(&b, a);
}

static void put_blob(struct buf *b, const struct oci_blob *blob)
{
    buf_c(b, '{');
    put_member(b, "mediaType", blob->media_type);
    buf_c(b, ',');
    put_member(b, "digest", blob->digest);
    buf_fmt(b, ",\"size\":%lld}", (long long)blob->size);
}

struct str oci_manifest_write(struct arena *a, const struct oci_manifest *m)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(OCI_DOCUMENT_MAX);
    buf_z(&b, "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST_TYPE "\",\"config\":");
    put_blob(&b, &m->config);
    buf_z(&b, ",\"layers\":[");
    for (size_t i = 0; i < m->n_layers; i++) {
        buf_z(&b, i ? "," : "");
        put_blob(&b, &m->layers[i]);
    }
    buf_z(&b, "]}");
    must(!b.failed);
    return buf_to_arena(&b, a);
}
