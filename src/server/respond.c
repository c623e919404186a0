/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: errors as Status, objects in the shape and format that the client asked for. */
#include <stdarg.h>

#include "api/convert.h"
#include "codec/gzip.h"
#include "codec/yaml.h"
#include "server/impl.h"
#include "server/table.h"

enum { GZIP_BYTES_MIN = 128 * 1024, GZIP_LEVEL = 1 }; /* as kube-apiserver */

struct request *request_new(struct server *s, const struct responder *responder, void *arg)
{
    struct arena *a = xmalloc(sizeof *a);
    arena_init(a, ARENA_CAP_DEFAULT);
    struct request *r = arena_new(a, struct request);
    r->server = s;
    r->arena = a;
    r->responder = responder;
    r->responder_arg = arg;
    r->err = ERR_INIT(a);
    r->started_ns = loop_now_ns(s->loop);
    return r;
}

void request_free(struct request *r)
{
    struct arena *a = r->arena;
    arena_fini(a);
    free(a);
}

void request_warn(struct request *r, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    vec_push_arena(r->arena, &r->warnings, arena_cstr(r->arena, text));
}

struct str request_content_type(const struct request *r)
{
    switch (r->out) {
    case FORMAT_YAML: return STR("application/yaml");
    case FORMAT_PB: return STR("application/vnd.kubernetes.protobuf");
    case FORMAT_JSON:
    case FORMAT_OTHER: return STR("application/json");
    }
    never("format");
}

/* Warning: 299 - "text" (RFC 9111 5.5 as Kubernetes uses it), each text once. */
static void add_warnings(struct request *r, struct http_headers *h)
{
    for (size_t i = 0; i < r->warnings.n; i++) {
        bool again = false;
        for (size_t j = 0; j < i; j++)
            again |= str_eq(r->warnings.v[i], r->warnings.v[j]);
        if (again)
            continue;
        CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4));
        buf_z(&b, "299 - ");
        json_put_string(&b, r->warnings.v[i]);
        http_header_add(r->arena, h, STR("warning"), buf_to_arena(&b, r->arena));
    }
}

static void finish(struct request *r, int status, struct str type, struct http_headers *h,
                   struct str body)
{
    add_warnings(r, h);
    r->responded = true;
    r->responder->respond(r, status, type, h, body);
}

void respond_text(struct request *r, int status, const char *content_type, struct str body)
{
    struct http_headers h = {0};
    finish(r, status, str_z(content_type), &h, body);
}

/* ---- bodies ---- */

/* The message in o becomes "k8s\0" + Unknown {1 typeMeta {1 apiVersion, 2 kind}, 2 raw,
 * 3 contentEncoding, 4 contentType}. pb_envelope_tail comes before the message is put. */
void pb_envelope_tail(struct pb_out *o)
{
    pb_put_bytes_field(o, 4, STR(""));
    pb_put_bytes_field(o, 3, STR(""));
}

void pb_envelope_head(struct pb_out *o, size_t mark, struct str api_version, struct str kind)
{
    pb_put_message_header(o, 2, mark);
    mark = pb_out_len(o);
    pb_put_bytes_field(o, 2, kind);
    pb_put_bytes_field(o, 1, api_version);
    pb_put_message_header(o, 1, mark);
    pb_put_raw(o, "k8s", 4);
}

/* JSON text to what the client wants to read: as it is, or as YAML. */
static struct str dress_json(struct request *r, struct str json)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    struct json *tree;
    if (r->out != FORMAT_YAML && !r->opts.pretty)
        return json;
    if (json_parse(r->arena, json, &tree, &r->err) < 0)
        return json;
    if (r->out == FORMAT_YAML)
        yaml_write(&b, tree);
    else
        json_write_pretty(&b, tree, 2);
    return buf_to_arena(&b, r->arena);
}

static void send_body(struct request *r, int status, struct str body)
{
    struct http_headers h = {0};
    if (r->gzip && body.n >= GZIP_BYTES_MIN) {
        CLEANUP(buf_fini) struct buf b = BUF_INIT(body.n);
        gzip_compress(&b, body, GZIP_LEVEL);
        if (!b.failed) {
            http_header_add(r->arena, &h, STR("content-encoding"), STR("gzip"));
            http_header_add(r->arena, &h, STR("vary"), STR("Accept-Encoding"));
            finish(r, status, request_content_type(r), &h, buf_view(&b));
            return;
        }
    }
    finish(r, status, request_content_type(r), &h, body);
}

void respond_json_text(struct request *r, int status, struct str json)
{
    send_body(r, status, dress_json(r, json));
}

struct str encode_typed(struct request *r, const struct desc *d, const void *obj)
{
    if (r->out == FORMAT_PB) {
        const struct metav1_type_meta *type = obj;
        CLEANUP(pb_out_fini) struct pb_out o;
        pb_out_init(&o, BUF_CAP_DEFAULT);
        pb_envelope_tail(&o);
        size_t mark = pb_out_len(&o);
        desc_encode_pb(d, obj, &o);
        pb_envelope_head(&o, mark, type->api_version, type->kind);
        return arena_str(r->arena, pb_out_view(&o));
    }
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    desc_encode_json(d, obj, &b);
    return dress_json(r, buf_to_arena(&b, r->arena));
}

void respond_typed(struct request *r, int status, const struct desc *d, const void *obj)
{
    if (r->out == FORMAT_PB && d->n_number == 0) /* Table and the like have no protobuf form */
        r->out = FORMAT_JSON;
    send_body(r, status, encode_typed(r, d, obj));
}

/* ---- errors ---- */

static void fill_details(struct request *r, struct metav1_status_details *d)
{
    const struct err *e = &r->err;
    d->name = e->detail_name;
    d->group = e->detail_group;
    d->kind = e->detail_kind;
    d->uid = e->detail_uid;
    d->retry_after_seconds = (int32_t)e->retry_after_s;
    for (struct err_cause *c = e->causes; c; c = c->next) {
        struct metav1_status_cause *to = list_add(r->arena, &d->causes);
        to->field = c->field;
        to->reason = c->reason;
        to->message = c->message;
    }
}

void status_from_err(struct request *r, struct metav1_status *st)
{
    const struct err *e = &r->err;
    *st = (struct metav1_status){.kind = STR("Status"), .api_version = STR("v1")};
    st->status = STR("Failure");
    st->message = e->message;
    st->reason = str_z(err_reason(e->code));
    st->code = err_http(e->code);
    if (e->detail_name.n || e->detail_kind.n || e->causes || e->retry_after_s) {
        st->details = arena_new(r->arena, struct metav1_status_details);
        fill_details(r, st->details);
    }
}

void respond_error(struct request *r)
{
    struct metav1_status st;
    struct http_headers h = {0};
    must(r->err.code != ERR_NONE);
    status_from_err(r, &st);
    if (r->err.retry_after_s)
        http_header_add(r->arena, &h, STR("retry-after"),
                        arena_fmt(r->arena, "%u", r->err.retry_after_s));
    struct str body = encode_typed(r, &metav1_status_desc, &st);
    finish(r, st.code, request_content_type(r), &h, body);
}

void respond_errorf(struct request *r, enum err_code code, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)err_set(&r->err, code, "%s", text);
    respond_error(r);
}

void respond_success(struct request *r, const struct resource *res, struct str name, struct str uid)
{
    struct metav1_status st = {.kind = STR("Status"), .api_version = STR("v1")};
    struct metav1_status_details details = {.name = name, .uid = uid};
    details.group = res->group;
    details.kind = res->plural;
    st.status = STR("Success");
    st.details = &details;
    respond_typed(r, 200, &metav1_status_desc, &st);
}

/* ---- objects ---- */

/* The item's object in the version of the request. */
const struct object *item_in_version(struct request *r, struct item *i)
{
    const struct object *o = item_object(r->arena, r->res, i);
    return r->res == r->res->hub ? o : object_convert(r->arena, o, r->res);
}

struct str object_body(struct request *r, const struct object *o)
{
    if (r->shape == SHAPE_PARTIAL)
        return partial_body(r, o);
    if (r->out == FORMAT_PB && o->typed)
        return encode_typed(r, o->res->desc, o->typed);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    object_encode(o, &b, NULL);
    return dress_json(r, buf_to_arena(&b, r->arena));
}

struct str partial_body(struct request *r, const struct object *o)
{
    struct metav1_partial_object_metadata p = {.kind = STR("PartialObjectMetadata"),
                                               .api_version = STR("meta.k8s.io/v1")};
    p.metadata = *o->meta;
    return encode_typed(r, &metav1_partial_object_metadata_desc, &p);
}

void respond_object(struct request *r, int status, const struct object *o)
{
    if (r->shape == SHAPE_TABLE) {
        table_respond(r, status, &o, 1, NULL);
        return;
    }
    if (!o->typed && r->out == FORMAT_PB)
        r->out = FORMAT_JSON;
    send_body(r, status, object_body(r, o));
}

struct str item_body(struct request *r, struct item *i)
{
    bool native = r->res == r->res->hub && r->shape == SHAPE_OBJECT;
    if (native && r->out == FORMAT_JSON)
        return item_value(i);
    if (native && r->out == FORMAT_PB && r->res->desc) {
        CLEANUP(pb_out_fini) struct pb_out o;
        pb_out_init(&o, BUF_CAP_DEFAULT);
        struct str raw = item_pb(i, r->res->desc);
        pb_envelope_tail(&o);
        size_t mark = pb_out_len(&o);
        pb_put_raw(&o, raw.p, raw.n);
        pb_envelope_head(&o, mark, r->res->api_version, r->res->kind);
        return arena_str(r->arena, pb_out_view(&o));
    }
    return object_body(r, item_in_version(r, i));
}

void respond_item(struct request *r, int status, struct item *i)
{
    if (r->responder->respond_item) {
        r->responded = true;
        r->responder->respond_item(r, status, r->res, i);
        return;
    }
    if (r->shape == SHAPE_TABLE) {
        respond_object(r, status, item_in_version(r, i));
        return;
    }
    if (!r->res->desc && r->out == FORMAT_PB)
        r->out = FORMAT_JSON;
    struct str body = item_body(r, i);
    if (r->opts.pretty && r->out == FORMAT_JSON)
        body = dress_json(r, body);
    send_body(r, status, body);
}

/* ---- the usual errors ---- */

static void about(struct err *e, const struct resource *res, struct str name)
{
    e->detail_name = name;
    e->detail_group = res->group;
    e->detail_kind = res->plural;
}

int err_not_found(struct err *e, const struct resource *res, struct str name)
{
    about(e, res, name);
    return err_set(e, ERR_NOT_FOUND, "%.*s \"%.*s\" not found",
                   STR_ARG(resource_qualified(e->arena, res)), STR_ARG(name));
}

int err_already_exists(struct err *e, const struct resource *res, struct str name)
{
    about(e, res, name);
    return err_set(e, ERR_ALREADY_EXISTS, "%.*s \"%.*s\" already exists",
                   STR_ARG(resource_qualified(e->arena, res)), STR_ARG(name));
}

int err_conflict(struct err *e, const struct resource *res, struct str name, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    about(e, res, name);
    return err_set(e, ERR_CONFLICT, "Operation cannot be fulfilled on %.*s \"%.*s\": %s",
                   STR_ARG(resource_qualified(e->arena, res)), STR_ARG(name), text);
}

int err_forbidden(struct err *e, const struct resource *res, struct str name, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    about(e, res, name);
    struct str qualified = resource_qualified(e->arena, res);
    if (!name.n)
        return err_set(e, ERR_FORBIDDEN, "%.*s is forbidden: %s", STR_ARG(qualified), text);
    return err_set(e, ERR_FORBIDDEN, "%.*s \"%.*s\" is forbidden: %s", STR_ARG(qualified),
                   STR_ARG(name), text);
}
