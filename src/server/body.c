/* SPDX-License-Identifier: Apache-2.0 */
/* Request bodies: JSON, YAML or protobuf to objects, with field validation and defaults. */
#include "api/convert.h"
#include "codec/yaml.h"
#include "server/impl.h"
#include "server/write.h"

/* The body as JSON text (YAML is rewritten). */
static int body_json(struct request *r, struct str *ret)
{
    if (r->in != FORMAT_YAML) {
        *ret = r->body;
        return 0;
    }
    struct json *tree;
    int rc = yaml_parse(r->arena, r->body, &tree, &r->err);
    if (rc < 0)
        return rc;
    *ret = json_text(r->arena, tree);
    return 0;
}

/* Opens "k8s\0" + Unknown. */
static int open_envelope(struct request *r, struct str *ret_raw, struct str *ret_version,
                         struct str *ret_kind)
{
    uint32_t number;
    enum pb_wire wire;
    *ret_raw = *ret_version = *ret_kind = STR("");
    if (!str_has_prefix(r->body, str_n("k8s\0", 4)))
        return err_set(&r->err, ERR_BAD_REQUEST,
                       "provided data does not appear to be a protobuf message, expected prefix "
                       "[107 56 115 0]");
    struct pb_in in = pb_in(str_sub(r->body, 4, r->body.n));
    while (pb_next(&in, &number, &wire)) {
        if (wire != PB_BYTES) {
            pb_skip(&in, wire);
            continue;
        }
        struct str bytes = pb_read_bytes(&in);
        if (number == 2)
            *ret_raw = bytes;
        if (number != 1)
            continue;
        struct pb_in type = pb_in(bytes);
        while (pb_next(&type, &number, &wire)) {
            if (wire != PB_BYTES) {
                pb_skip(&type, wire);
                continue;
            }
            struct str s = pb_read_bytes(&type);
            if (number == 1)
                *ret_version = s;
            if (number == 2)
                *ret_kind = s;
        }
        if (type.failed)
            in.failed = true;
    }
    if (in.failed)
        return err_set(&r->err, ERR_BAD_REQUEST, "proto: malformed Unknown");
    return 0;
}

static int check_kind(struct request *r, struct str api_version, struct str kind,
                      struct str want_version, struct str want_kind)
{
    if (!kind.n && !api_version.n)
        return 0; /* the path says what it is */
    if (!str_eq(kind, want_kind) && kind.n)
        return err_set(&r->err, ERR_BAD_REQUEST,
                       "%.*s in version \"%.*s\" cannot be handled as a %.*s: converting "
                       "(%.*s) to (%.*s): unknown conversion",
                       STR_ARG(kind), STR_ARG(api_version), STR_ARG(want_kind), STR_ARG(kind),
                       STR_ARG(want_kind));
    if (!str_eq(api_version, want_version) && api_version.n)
        return err_set(&r->err, ERR_BAD_REQUEST,
                       "the API version in the data (%.*s) does not match the expected API version "
                       "(%.*s)",
                       STR_ARG(api_version), STR_ARG(want_version));
    return 0;
}

static int undecodable(struct request *r, struct str kind, struct str version)
{
    return err_wrap(&r->err, "%.*s in version \"%.*s\" cannot be handled as a %.*s", STR_ARG(kind),
                    STR_ARG(version), STR_ARG(kind));
}

/* Unknown and repeated fields: refused, reported or ignored, as fieldValidation asks. */
static int apply_field_validation(struct request *r, const struct decode_notes *notes)
{
    size_t n = notes->unknown.n + notes->duplicate.n;
    if (!n || r->opts.field_validation == FIELD_IGNORE)
        return 0;
    CLEANUP(buf_fini) struct buf all = BUF_INIT(KIB(16));
    for (size_t i = 0; i < n; i++) {
        bool dup = i < notes->duplicate.n;
        struct str field = dup ? notes->duplicate.v[i] : notes->unknown.v[i - notes->duplicate.n];
        const char *word = dup ? "duplicate" : "unknown";
        if (r->opts.field_validation == FIELD_WARN)
            request_warn(r, "%s field \"%.*s\"", word, STR_ARG(field));
        else
            buf_fmt(&all, "%s%s field \"%.*s\"", all.n ? ", " : "", word, STR_ARG(field));
    }
    if (r->opts.field_validation == FIELD_WARN)
        return 0;
    return err_set(&r->err, ERR_BAD_REQUEST, "strict decoding error: %.*s",
                   STR_ARG(buf_view(&all)));
}

void object_defaults(struct arena *a, struct object *o)
{
    if (!o->typed)
        return;
    desc_default(o->res->desc, o->typed, a);
    if (o->res->hooks && o->res->hooks->defaults)
        o->res->hooks->defaults(a, o->typed);
}

/* kind and apiVersion may have been left out of the body. */
static void set_type(struct object *o)
{
    if (!o->typed)
        return;
    struct metav1_type_meta *type = o->typed;
    type->kind = o->res->kind;
    type->api_version = o->res->api_version;
}

static struct object *to_hub(struct request *r, struct object *o)
{
    set_type(o);
    if (r->res == r->res->hub)
        return o;
    struct object *hub = object_new(r->res->hub, r->arena);
    must(convert(r->arena, o->res->desc, o->typed, hub->res->desc, hub->typed));
    set_type(hub);
    return hub;
}

static int read_json(struct request *r, struct str text, struct object **ret)
{
    struct str version, kind;
    struct decode_notes notes = {.arena = r->arena};
    int rc = object_peek_kind(r->arena, text, &version, &kind, &r->err);
    if (rc < 0 || (rc = check_kind(r, version, kind, r->res->api_version, r->res->kind)) < 0)
        return rc;
    rc = object_decode(r->res, text, r->arena, ret, &notes, &r->err);
    if (rc < 0)
        return undecodable(r, r->res->kind, r->res->version);
    return apply_field_validation(r, &notes);
}

int write_read_json(struct write *w, struct str json, struct object **ret)
{
    int rc = read_json(w->r, json, ret);
    if (rc < 0)
        return rc;
    object_defaults(w->r->arena, *ret);
    *ret = to_hub(w->r, *ret);
    return 0;
}

static int read_pb(struct request *r, struct object **ret)
{
    struct str raw, version, kind;
    int rc = open_envelope(r, &raw, &version, &kind);
    if (rc < 0 || (rc = check_kind(r, version, kind, r->res->api_version, r->res->kind)) < 0)
        return rc;
    rc = object_decode_pb(r->res, raw, r->arena, ret, &r->err);
    return rc < 0 ? undecodable(r, r->res->kind, r->res->version) : 0;
}

int write_read_body(struct write *w, struct object **ret)
{
    struct request *r = w->r;
    struct str json;
    if (r->in == FORMAT_PB) {
        int rc = read_pb(r, ret);
        if (rc < 0)
            return rc;
        object_defaults(r->arena, *ret);
        *ret = to_hub(r, *ret);
        return 0;
    }
    int rc = body_json(r, &json);
    return rc < 0 ? rc : write_read_json(w, json, ret);
}

int read_typed_body(struct request *r, const struct desc *d, const char *kind, void *ret)
{
    struct str json, version, got;
    int rc;
    if (r->in == FORMAT_PB) {
        struct str raw;
        if ((rc = open_envelope(r, &raw, &version, &got)) < 0)
            return rc;
        if (got.n && !str_eqz(got, kind))
            return err_set(&r->err, ERR_BAD_REQUEST, "the body is a %.*s, expected %s",
                           STR_ARG(got), kind);
        return desc_decode_pb(d, raw, r->arena, ret, &r->err);
    }
    if ((rc = body_json(r, &json)) < 0 ||
        (rc = object_peek_kind(r->arena, json, &version, &got, &r->err)) < 0)
        return rc;
    if (got.n && !str_eqz(got, kind))
        return err_set(&r->err, ERR_BAD_REQUEST, "the body is a %.*s, expected %s", STR_ARG(got),
                       kind);
    struct decode_notes notes = {.arena = r->arena};
    if ((rc = desc_decode_json(d, json, r->arena, ret, &notes, &r->err)) < 0)
        return undecodable(r, str_z(kind), r->version);
    return apply_field_validation(r, &notes);
}
