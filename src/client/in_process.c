/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-process transport: requests go straight to the server's stages, lists and watches straight
 * to its store. Items are the store's own.
 */
#include "client/impl.h"
#include "http/http.h"
#include "server/request.h"

struct local {
    struct server *server;
    struct user user;
    struct arena arena;
};

/* ---- requests ---- */

/* A request's other end, on its arena. */
struct local_request {
    struct call *call; /* NULL: nobody waits any more */
    int status;
    struct buf text; /* of an answer that comes in parts */
};

static void drop_text(void *arg)
{
    struct local_request *lr = arg;
    buf_fini(&lr->text);
}

/* The call that waits for the answer, which ends with this. */
static struct call *local_take(struct request *r)
{
    struct local_request *lr = r->responder_arg;
    struct call *c = lr->call;
    lr->call = NULL;
    if (c)
        c->transport = NULL;
    return c;
}

static void local_respond(struct request *r, int status, struct str type,
                          const struct http_headers *extra, struct str body)
{
    struct call *c = local_take(r);
    if (c && status >= 400)
        call_fail(c, status, body);
    else if (c && str_eq(r->method, STR("DELETE")))
        call_finish(c, 0, NULL); /* a Status: nothing is left */
    else if (c)
        call_finish(c, 0, item_from_bytes(STR(""), body, 0, 0));
    request_free(r);
}

static void local_respond_item(struct request *r, int status, struct resource *res, struct item *i)
{
    struct call *c = local_take(r);
    if (c)
        call_finish(c, 0, item_ref(i));
    request_free(r);
}

static void local_start(struct request *r, int status, struct str type,
                        const struct http_headers *extra)
{
    struct local_request *lr = r->responder_arg;
    lr->status = status;
}

static size_t local_write(struct request *r, const struct str *parts, size_t n)
{
    struct local_request *lr = r->responder_arg;
    for (size_t i = 0; i < n; i++)
        buf_str(&lr->text, parts[i]);
    return 0;
}

static void local_end(struct request *r)
{
    struct local_request *lr = r->responder_arg;
    local_respond(r, lr->status, STR("application/json"), NULL, buf_view(&lr->text));
}

static const struct responder local_responder = {
    .respond = local_respond,
    .start = local_start,
    .write = local_write,
    .end = local_end,
    .respond_item = local_respond_item,
};

static void local_send(struct call *c, const struct wire_request *q)
{
    struct local *l = c->client->transport;
    struct request *r = request_new(l->server, &local_responder, NULL);
    struct local_request *lr = arena_new(r->arena, struct local_request);
    struct str path, query;
    static const struct http_headers none;
    lr->call = c;
    lr->text = BUF_INIT(SIZE_MAX / 4);
    arena_on_free(r->arena, drop_text, lr);
    (void)str_cut(q->path, '?', &path, &query);
    c->transport = r;
    r->responder_arg = lr;
    r->method = str_z(q->method);
    r->path = arena_str(r->arena, path);
    r->query = arena_str(r->arena, query);
    r->content_type = arena_str(r->arena, q->content_type);
    r->body = arena_str(r->arena, q->body);
    r->user = &l->user;
    r->user_agent = l->user.name;
    r->headers = &none;
    r->opts.field_validation = FIELD_IGNORE;
    request_start(r);
}

/* The request runs to its end; nobody hears of it. */
static void local_cancel(struct call *c)
{
    if (c->transport)
        (void)local_take(c->transport);
}

/* ---- list and watch ---- */

struct local_follow {
    struct local *l;
    struct resource *res;
    struct str prefix;
    struct field_selector fields;
    const struct follow_ops *ops;
    void *arg;
    struct store_watch *watch;
    struct task start;
    struct arena arena;
};

static bool matches(struct local_follow *f, struct item *i)
{
    return f->fields.n == 0 || field_selector_match(&f->fields, item_typed(i, f->res->hub->desc));
}

static bool follow_item(void *arg, struct item *i)
{
    struct local_follow *f = arg;
    if (matches(f, i))
        f->ops->list_item(f->arg, i);
    return true;
}

static bool follow_events(void *arg, const struct store_event *v, size_t n)
{
    struct local_follow *f = arg;
    for (size_t i = 0; i < n; i++) {
        bool now = !v[i].deleted && matches(f, v[i].item);
        bool before = v[i].prev && matches(f, v[i].prev);
        if (now || before)
            f->ops->event(f->arg, v[i].item, !now);
    }
    return true;
}

static void follow_progress(void *arg, rev_t rev)
{
    struct local_follow *f = arg;
    f->ops->progress(f->arg, rev);
}

static void follow_start(struct task *t);

static void follow_expired(void *arg)
{
    struct local_follow *f = arg;
    loop_defer(server_loop(f->l->server), &f->start, follow_start);
}

static const struct store_watch_ops follow_watch_ops = {follow_events, follow_progress,
                                                        follow_expired};

static void follow_start(struct task *t)
{
    struct local_follow *f = CONTAINER_OF(t, struct local_follow, start);
    struct store *s = server_store(f->l->server);
    struct store_range all = {.prefix = f->prefix};
    struct err e = ERR_INIT(&f->arena);
    if (f->watch)
        store_watch_stop(f->watch);
    f->watch = NULL;
    rev_t rev = store_revision(s);
    f->ops->list_begin(f->arg);
    must(store_each(s, &all, follow_item, f) == 0);
    f->ops->listed(f->arg, rev);
    must(store_watch_start(s, f->prefix, rev, &follow_watch_ops, f, &f->watch, &e) == 0);
}

static void *local_follow(struct client *c, const struct resource_def *res, struct str ns,
                          struct str field_selector, const struct follow_ops *ops, void *arg)
{
    struct local *l = c->transport;
    struct local_follow *f = xcalloc(1, sizeof *f);
    f->l = l;
    f->ops = ops;
    f->arg = arg;
    f->arena = ARENA_INIT;
    f->res = resources_find(l->server, str_z(res->group), str_z(res->version), str_z(res->plural));
    must(f->res != NULL);
    f->prefix = arena_str(&f->arena, resource_prefix(&f->arena, f->res->hub, ns));
    if (field_selector.n) {
        struct err e = ERR_INIT(&f->arena);
        must(field_selector_parse(&f->arena, arena_str(&f->arena, field_selector), &f->fields,
                                  &e) == 0);
        must(field_selector_bind(&f->fields, f->res->hub->def, &e) == 0);
    }
    loop_defer(c->loop, &f->start, follow_start);
    return f;
}

static void local_unfollow(void *follow)
{
    struct local_follow *f = follow;
    task_cancel(&f->start);
    if (f->watch)
        store_watch_stop(f->watch);
    arena_fini(&f->arena);
    free(f);
}

static void local_free(struct client *c)
{
    struct local *l = c->transport;
    arena_fini(&l->arena);
    free(l);
    free(c);
}

static const struct client_ops local_ops = {local_send, local_cancel, local_follow, local_unfollow,
                                            local_free};

struct client *client_in_process(struct server *s, const struct client_user *user)
{
    struct client *c = xcalloc(1, sizeof *c);
    struct local *l = xcalloc(1, sizeof *l);
    l->server = s;
    l->arena = ARENA_INIT;
    l->user.name = arena_str(&l->arena, user->name);
    for (size_t i = 0; i < user->groups.n; i++)
        str_list_push(&l->arena, &l->user.groups, arena_str(&l->arena, user->groups.v[i]));
    c->transport = l;
    client_init(c, &local_ops, server_loop(s));
    return c;
}
