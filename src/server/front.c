/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP exchanges to requests and back. */
#include "server/front.h"

#include "server/authn.h"
#include "server/impl.h"
#include "server/nonresource.h"

/* ---- answers ---- */

static struct http_headers whole_headers(struct request *r, struct str type,
                                         const struct http_headers *extra)
{
    struct http_headers h = {0};
    http_header_add(r->arena, &h, STR("content-type"), type);
    http_header_add(r->arena, &h, STR("cache-control"), STR("no-cache, private"));
    if (r->audit_id.n)
        http_header_add(r->arena, &h, STR("audit-id"), r->audit_id);
    for (size_t i = 0; extra && i < extra->n; i++)
        http_header_add(r->arena, &h, extra->v[i].name, extra->v[i].value);
    return h;
}

static void front_respond(struct request *r, int status, struct str type,
                          const struct http_headers *extra, struct str body)
{
    struct http_headers h = whole_headers(r, type, extra);
    struct http_exchange *x = r->responder_arg;
    http_respond(x, status, &h, body);
    request_free(r);
}

static void front_start(struct request *r, int status, struct str type,
                        const struct http_headers *extra)
{
    struct http_headers h = whole_headers(r, type, extra);
    http_respond_start(r->responder_arg, status, &h);
}

static size_t front_write(struct request *r, const struct str *parts, size_t n)
{
    return http_write(r->responder_arg, parts, n);
}

static void front_end(struct request *r)
{
    http_end(r->responder_arg);
    request_free(r);
}

static const struct responder front_responder = {
    .respond = front_respond,
    .start = front_start,
    .write = front_write,
    .end = front_end,
};

static void front_abort(void *arg, struct http_exchange *x)
{
    struct request *r = arg;
    r->aborted = true;
    r->responder_arg = NULL;
    if (r->on_abort)
        r->on_abort(r);
    /* Else the stage that is waiting frees the request when its callback comes. */
}

static void front_drained(void *arg, struct http_exchange *x)
{
    struct request *r = arg;
    if (r->on_drained)
        r->on_drained(r);
}

/* ---- content negotiation ---- */

static enum body_format format_of(struct str media)
{
    static const struct {
        const char *media;
        enum body_format format;
    } known[] = {
        {"application/json", FORMAT_JSON},
        {"*/*", FORMAT_JSON},
        {"application/*", FORMAT_JSON},
        {"application/yaml", FORMAT_YAML},
        {"application/vnd.kubernetes.protobuf", FORMAT_PB},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_case_eq(media, str_z(known[i].media)))
            return known[i].format;
    return FORMAT_OTHER;
}

/* "application/json;as=Table;v=v1;g=meta.k8s.io" */
static bool take_accept(struct request *r, struct str clause)
{
    struct str media, params, part, key, value, as = STR("");
    (void)str_cut(clause, ';', &media, &params);
    enum body_format f = format_of(str_trim(media));
    if (f == FORMAT_OTHER)
        return false;
    r->shape = SHAPE_OBJECT;
    r->table_version = STR("v1");
    while (str_next(&params, ';', &part)) {
        (void)str_cut(str_trim(part), '=', &key, &value);
        if (str_eq(key, STR("as")))
            as = value;
        if (str_eq(key, STR("v")))
            r->table_version = value;
        if (str_eq(key, STR("profile")))
            r->accept_profile = value;
    }
    if (str_eq(as, STR("Table")))
        r->shape = SHAPE_TABLE;
    else if (str_eq(as, STR("PartialObjectMetadata")) ||
             str_eq(as, STR("PartialObjectMetadataList")))
        r->shape = SHAPE_PARTIAL;
    else if (as.n)
        r->accept_as = as; /* APIGroupDiscoveryList */
    r->out = f;
    return true;
}

static bool negotiate(struct request *r, const struct http_request *h)
{
    struct str accept = http_header_get(&h->headers, "accept"), clause;
    r->accept = accept;
    r->out = FORMAT_JSON;
    r->gzip = http_header_has_token(&h->headers, "accept-encoding", "gzip");
    if (!str_trim(accept).n)
        return true;
    while (str_next(&accept, ',', &clause))
        if (take_accept(r, str_trim(clause)))
            return true;
    return false;
}

static void take_content_type(struct request *r, const struct http_request *h)
{
    struct str type = http_header_get(&h->headers, "content-type"), params;
    (void)str_cut(type, ';', &type, &params);
    r->content_type = str_trim(type);
    r->in = r->content_type.n ? format_of(r->content_type) : FORMAT_JSON;
}

/* ---- the stages before the verb ---- */

static bool authorized(struct request *r)
{
    struct str reason = STR("");
    struct authz_attributes attr = {
        .user = r->user,
        .verb = r->is_resource ? authz_verb(r) : arena_z(r->arena, lower_method(r)),
        .group = r->group,
        .version = r->version,
        .resource = r->plural,
        .subresource = r->subresource,
        .ns = r->ns,
        .name = r->name,
        .path = r->path,
        .is_resource = r->is_resource,
    };
    if (authorize(r->server, r->arena, &attr, &reason))
        return true;
    forbidden(r, &attr, reason);
    return false;
}

void request_start(struct request *r)
{
    if (request_route(r) < 0) {
        respond_error(r);
        return;
    }
    if (!authorized(r))
        return;
    if (!r->is_resource)
        nonresource_run(r);
    else
        request_run(r);
}

static void handle(void *arg, struct http_exchange *x)
{
    struct server *s = arg;
    const struct http_request *h = http_request(x);
    struct request *r = request_new(s, &front_responder, x);
    http_on_abort(x, front_abort, r);
    http_on_drained(x, front_drained, r);
    r->exchange = x;
    r->method = h->method;
    r->query = h->query;
    r->body = h->body;
    r->source_ip = h->peer;
    r->user_agent = http_header_get(&h->headers, "user-agent");
    r->headers = &h->headers;
    take_content_type(r, h);
    bool acceptable = negotiate(r, h);
    if (!http_url_decode(r->arena, h->path, false, &r->path)) {
        respond_errorf(r, ERR_BAD_REQUEST, "the path is not well-formed");
        return;
    }
    if (authenticate(r, h) < 0) {
        respond_error(r);
        return;
    }
    /* OpenAPI and metrics have media types of their own. */
    if (!acceptable && (str_has_prefix(r->path, STR("/api/")) ||
                        str_has_prefix(r->path, STR("/apis/")))) {
        respond_errorf(r, ERR_NOT_ACCEPTABLE,
                       "only the following media types are accepted: application/json, "
                       "application/yaml, application/vnd.kubernetes.protobuf");
        return;
    }
    request_start(r);
}

const struct http_handler front_handler = {.handle = handle};
