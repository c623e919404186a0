/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include "client/impl.h"
#include "codec/json.h"

void client_init(struct client *c, const struct client_ops *ops, struct loop *l)
{
    c->ops = ops;
    c->loop = l;
    list_init(&c->calls);
}

struct loop *client_loop(struct client *c)
{
    return c->loop;
}

static void call_free(struct call *c)
{
    list_remove(&c->link);
    task_cancel(&c->finish);
    item_unref(c->item);
    arena_fini(&c->arena);
    free(c);
}

void client_free(struct client *c)
{
    uint32_t it = 0;
    for (struct map_entry *e; (e = map_next(&c->caches, &it));)
        cache_free(e->value);
    map_fini(&c->caches);
    recorder_free(c->recorder);
    while (!list_empty(&c->calls)) {
        struct call *call = list_entry(list_first(&c->calls), struct call, link);
        c->ops->cancel(call);
        call_free(call);
    }
    c->ops->free(c);
}

static void call_done(struct task *t)
{
    struct call *c = CONTAINER_OF(t, struct call, finish);
    c->done(c->arg, c->rc, c->item, &c->err);
    call_free(c);
}

void call_finish(struct call *c, int rc, struct item *item)
{
    c->rc = rc;
    c->item = item;
    if (rc < 0 && c->err.code == ERR_NONE)
        (void)err_set(&c->err, (enum err_code) - rc, "the request failed");
    loop_defer(c->client->loop, &c->finish, call_done);
}

/* One HTTP status stands for several reasons. */
static enum err_code code_of(int http_status, struct str reason)
{
    static const enum err_code codes[] = {ERR_ALREADY_EXISTS, ERR_CONFLICT, ERR_EXPIRED, ERR_GONE};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (err_http(codes[i]) == http_status && str_eqz(reason, err_reason(codes[i])))
            return codes[i];
    return err_from_http(http_status);
}

void call_fail(struct call *c, int http_status, struct str body)
{
    struct metav1_status st = {0};
    struct err ignored = ERR_INIT(&c->arena);
    bool told = desc_decode_json(&metav1_status_desc, arena_str(&c->arena, body), &c->arena, &st,
                                 NULL, &ignored) == 0 &&
                st.message.n;
    int rc = err_set(&c->err, code_of(http_status, st.reason), "%.*s",
                     STR_ARG(told ? st.message : STR("the request failed")));
    if (st.details) {
        c->err.retry_after_s = (uint32_t)MAX(st.details->retry_after_seconds, 0);
        LIST_EACH (cause, &st.details->causes)
            err_cause(&c->err, cause->field, arena_z(&c->arena, cause->reason), "%.*s",
                      STR_ARG(cause->message));
    }
    call_finish(c, rc, NULL);
}

void call_cancel(struct call *c)
{
    c->client->ops->cancel(c);
    call_free(c);
}

static struct call *send(struct client *c, const struct wire_request *q, client_done *done,
                         void *arg)
{
    struct call *call = xcalloc(1, sizeof *call);
    call->client = c;
    call->done = done;
    call->arg = arg;
    call->arena = ARENA_INIT;
    call->err = ERR_INIT(&call->arena);
    list_push_back(&c->calls, &call->link);
    c->ops->send(call, q);
    return call;
}

/* "/apis/apps/v1/namespaces/ns/deployments/name/status" */
static void put_path(struct buf *b, const struct resource_def *res, struct str ns, struct str name,
                     const char *sub)
{
    if (res->group[0])
        buf_fmt(b, "/apis/%s/%s", res->group, res->version);
    else
        buf_fmt(b, "/api/%s", res->version);
    if (res->namespaced && ns.n)
        buf_fmt(b, "/namespaces/%.*s", STR_ARG(ns));
    buf_fmt(b, "/%s", res->plural);
    if (name.n)
        buf_fmt(b, "/%.*s", STR_ARG(name));
    if (sub)
        buf_fmt(b, "/%s", sub);
}

struct call *client_get(struct client *c, const struct resource_def *res, struct str ns,
                        struct str name, client_done *done, void *arg)
{
    CLEANUP(buf_fini) struct buf path = BUF_INIT(KIB(4));
    put_path(&path, res, ns, name, NULL);
    struct wire_request q = {.method = "GET", .path = buf_view(&path)};
    return send(c, &q, done, arg);
}

struct call *client_list(struct client *c, const struct resource_def *res, struct str ns,
                         uint32_t limit, client_done *done, void *arg)
{
    CLEANUP(buf_fini) struct buf path = BUF_INIT(KIB(4));
    put_path(&path, res, ns, STR(""), NULL);
    if (limit)
        buf_fmt(&path, "?limit=%u", limit);
    struct wire_request q = {.method = "GET", .path = buf_view(&path)};
    return send(c, &q, done, arg);
}

static struct call *send_json(struct client *c, const char *method, struct str path,
                              struct str text, client_done *done, void *arg)
{
    struct wire_request q = {
        .method = method, .path = path, .content_type = STR("application/json"), .body = text};
    return send(c, &q, done, arg);
}

static struct call *send_object(struct client *c, const char *method, struct str path,
                                const struct desc *desc, const void *obj, client_done *done,
                                void *arg)
{
    CLEANUP(buf_fini) struct buf body = BUF_INIT(BUF_CAP_DEFAULT);
    desc_encode_json(desc, obj, &body);
    return send_json(c, method, path, buf_view(&body), done, arg);
}

struct call *client_create(struct client *c, const struct resource_def *res, struct str ns,
                           const void *obj, client_done *done, void *arg)
{
    CLEANUP(buf_fini) struct buf path = BUF_INIT(KIB(4));
    put_path(&path, res, ns, STR(""), NULL);
    return send_object(c, "POST", buf_view(&path), res->desc, obj, done, arg);
}

struct call *client_create_json(struct client *c, const struct resource_def *res, struct str ns,
                                struct str text, client_done *done, void *arg)
{
    CLEANUP(buf_fini) struct buf path = BUF_INIT(KIB(4));
    put_path(&path, res, ns, STR(""), NULL);
    return send_json(c, "POST", buf_view(&path), text, done, arg);
}

struct call *client_update(struct client *c, const struct resource_def *res, struct str ns,
                           struct str name, const char *subresource, const void *obj,
                           client_done *done, void *arg)
{
    CLEANUP(buf_fini) struct buf path = BUF_INIT(KIB(4));
    put_path(&path, res, ns, name, subresource);
    return send_object(c, "PUT", buf_view(&path), res->desc, obj, done, arg);
}

struct call *client_update_json(struct client *c, const struct resource_def *res, struct str ns,
                                struct str name, const char *subresource, struct str text,
                                client_done *done, void *arg)
{
    CLEANUP(buf_fini) struct buf path = BUF_INIT(KIB(4));
    put_path(&path, res, ns, name, subresource);
    return send_json(c, "PUT", buf_view(&path), text, done, arg);
}

struct call *client_patch(struct client *c, const struct resource_def *res, struct str ns,
                          struct str name, const char *subresource, enum client_patch type,
                          struct str body, client_done *done, void *arg)
{
    static const char *const types[] = {
        "application/json-patch+json", "application/merge-patch+json",
        "application/strategic-merge-patch+json", "application/apply-patch+yaml"};
    CLEANUP(buf_fini) struct buf path = BUF_INIT(KIB(4));
    put_path(&path, res, ns, name, subresource);
    struct wire_request q = {.method = "PATCH",
                             .path = buf_view(&path),
                             .content_type = str_z(types[type]),
                             .body = body};
    return send(c, &q, done, arg);
}

struct call *client_delete(struct client *c, const struct resource_def *res, struct str ns,
                           struct str name, const struct client_delete *how, client_done *done,
                           void *arg)
{
    CLEANUP(buf_fini) struct buf path = BUF_INIT(KIB(4)), body = BUF_INIT(KIB(4));
    struct metav1_preconditions pre = {0};
    struct metav1_delete_options o = {.kind = STR("DeleteOptions"), .api_version = STR("v1")};
    int64_t grace = how ? how->grace_s : -1;
    if (grace >= 0)
        o.grace_period_seconds = &grace;
    if (how && how->uid.n)
        pre.uid = how->uid;
    if (how && how->resource_version.n)
        pre.resource_version = how->resource_version;
    if (pre.uid.n || pre.resource_version.n)
        o.preconditions = &pre;
    if (how && how->propagation.n)
        o.propagation_policy = how->propagation;
    put_path(&path, res, ns, name, NULL);
    desc_encode_json(&metav1_delete_options_desc, &o, &body);
    struct wire_request q = {.method = "DELETE",
                             .path = buf_view(&path),
                             .content_type = STR("application/json"),
                             .body = buf_view(&body)};
    return send(c, &q, done, arg);
}

struct call *client_delete_all(struct client *c, const struct resource_def *res, struct str ns,
                               client_done *done, void *arg)
{
    CLEANUP(buf_fini) struct buf path = BUF_INIT(KIB(4));
    put_path(&path, res, ns, STR(""), NULL);
    struct wire_request q = {.method = "DELETE", .path = buf_view(&path)};
    return send(c, &q, done, arg);
}

struct call *client_raw(struct client *c, const char *method, struct str path,
                        struct str content_type, struct str body, client_done *done, void *arg)
{
    struct wire_request q = {
        .method = method, .path = path, .content_type = content_type, .body = body};
    return send(c, &q, done, arg);
}

struct call *client_post_sub(struct client *c, const struct resource_def *res, struct str ns,
                             struct str name, const char *subresource, const struct desc *desc,
                             const void *body, client_done *done, void *arg)
{
    CLEANUP(buf_fini) struct buf path = BUF_INIT(KIB(4));
    put_path(&path, res, ns, name, subresource);
    return send_object(c, "POST", buf_view(&path), desc, body, done, arg);
}
