/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From method, path and query to what is asked. The rules are those of
 * k8s.io/apiserver/pkg/endpoints/request/requestinfo.go.
 */
#include "server/impl.h"

enum { PATH_PARTS_MAX = 32 };

const char *request_verb_name(enum request_verb v)
{
    static const char *const names[] = {
        [REQ_GET] = "get",         [REQ_LIST] = "list",
        [REQ_WATCH] = "watch",     [REQ_CREATE] = "create",
        [REQ_UPDATE] = "update",   [REQ_PATCH] = "patch",
        [REQ_DELETE] = "delete",   [REQ_DELETECOLLECTION] = "deletecollection",
        [REQ_CONNECT] = "connect",
    };
    return names[v];
}

/* ---- query parameters ---- */

static int bad_param(struct request *r, struct str key, struct str value, const char *why)
{
    return err_set(&r->err, ERR_BAD_REQUEST, "invalid query parameter %.*s=\"%.*s\": %s",
                   STR_ARG(key), STR_ARG(value), why);
}

static int param_bool(struct request *r, struct str key, struct str value, bool *ret)
{
    if (!value.n) {
        *ret = true; /* "?watch" */
        return 0;
    }
    if (str_to_bool(value, ret))
        return 0;
    return bad_param(r, key, value, "must be true or false");
}

static int param_i64(struct request *r, struct str key, struct str value, int64_t *ret)
{
    if (!value.n || str_to_i64(value, ret))
        return 0;
    return bad_param(r, key, value, "must be an integer");
}

static int param_dry_run(struct request *r, struct str value)
{
    if (!value.n)
        return 0;
    if (!str_eq(value, STR("All")))
        return err_set(&r->err, ERR_BAD_REQUEST,
                       "dryRun: Unsupported value: \"%.*s\": supported values: \"All\"",
                       STR_ARG(value));
    r->opts.dry_run = true;
    return 0;
}

static int param_field_validation(struct request *r, struct str value)
{
    static const char *const names[] = {"Warn", "Ignore", "Strict"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eqz(value, names[i])) {
            r->opts.field_validation = (enum field_validation)i;
            return 0;
        }
    }
    if (!value.n)
        return 0;
    return err_set(&r->err, ERR_INVALID,
                   "fieldValidation: Unsupported value: \"%.*s\": supported values: \"Ignore\", "
                   "\"Strict\", \"Warn\"",
                   STR_ARG(value));
}

static int take_param(struct request *r, struct str key, struct str value)
{
    struct options *o = &r->opts;
    const struct {
        const char *name;
        struct str *text;
        bool *flag;
        int64_t *number;
    } params[] = {
        {"resourceVersion", &o->resource_version, NULL, NULL},
        {"resourceVersionMatch", &o->resource_version_match, NULL, NULL},
        {"continue", &o->continue_token, NULL, NULL},
        {"fieldManager", &o->field_manager, NULL, NULL},
        {"labelSelector", &o->label_selector, NULL, NULL},
        {"fieldSelector", &o->field_selector, NULL, NULL},
        {"includeObject", &o->include_object, NULL, NULL},
        {"limit", NULL, NULL, &o->limit},
        {"timeoutSeconds", NULL, NULL, &o->timeout_s},
        {"watch", NULL, &o->watch, NULL},
        {"allowWatchBookmarks", NULL, &o->allow_bookmarks, NULL},
        {"sendInitialEvents", NULL, &o->send_initial_events, NULL},
        {"force", NULL, &o->force, NULL},
        {"pretty", NULL, &o->pretty, NULL},
    };
    if (str_eq(key, STR("dryRun")))
        return param_dry_run(r, value);
    if (str_eq(key, STR("fieldValidation")))
        return param_field_validation(r, value);
    for (size_t i = 0; i < ARRAY_LEN(params); i++) {
        if (!str_eqz(key, params[i].name))
            continue;
        if (params[i].text)
            *params[i].text = value;
        else if (params[i].number)
            return param_i64(r, key, value, params[i].number);
        else
            return param_bool(r, key, value, params[i].flag);
        if (params[i].flag == &o->send_initial_events)
            o->has_send_initial_events = true;
    }
    return 0;
}

bool request_param_next(struct request *r, struct str *rest, struct str *ret_key,
                        struct str *ret_value)
{
    struct str part, key, value;
    while (str_next(rest, '&', &part)) {
        if (!part.n)
            continue;
        (void)str_cut(part, '=', &key, &value);
        if (http_url_decode(r->arena, key, true, ret_key) &&
            http_url_decode(r->arena, value, true, ret_value))
            return true;
    }
    return false;
}

static int parse_options(struct request *r)
{
    struct str rest = r->query, key, value;
    while (request_param_next(r, &rest, &key, &value)) {
        int rc = take_param(r, key, value);
        if (rc < 0)
            return rc;
        if (str_eq(key, STR("sendInitialEvents")))
            r->opts.has_send_initial_events = true;
    }
    if (r->opts.limit < 0 || r->opts.timeout_s < 0)
        return err_set(&r->err, ERR_BAD_REQUEST, "limit and timeoutSeconds must not be negative");
    return 0;
}

/* ---- path ---- */

static size_t split_path(struct request *r, struct str parts[PATH_PARTS_MAX])
{
    struct str rest = r->path, part;
    size_t n = 0;
    (void)str_skip(&rest, STR("/"));
    while (n < PATH_PARTS_MAX && str_next(&rest, '/', &part)) {
        if (!part.n)
            continue;
        parts[n++] = part;
        if (n == PATH_PARTS_MAX - 1 && rest.n)
            parts[n++] = rest;
    }
    return n;
}

static enum request_verb verb_of(struct request *r, bool legacy_watch)
{
    if (str_eq(r->method, STR("POST")))
        return REQ_CREATE;
    if (str_eq(r->method, STR("PUT")))
        return REQ_UPDATE;
    if (str_eq(r->method, STR("PATCH")))
        return REQ_PATCH;
    if (str_eq(r->method, STR("DELETE")))
        return r->name.n ? REQ_DELETE : REQ_DELETECOLLECTION;
    if (legacy_watch)
        return REQ_WATCH;
    if (r->name.n)
        return r->opts.watch && !r->subresource.n ? REQ_WATCH : REQ_GET;
    return r->opts.watch ? REQ_WATCH : REQ_LIST;
}

/* Everything behind the third segment of a path: ".../proxy/a/b" keeps "a/b" as it was sent. */
static struct str tail_after(struct str path, size_t segments)
{
    struct str rest = path, part;
    (void)str_skip(&rest, STR("/"));
    while (segments-- && str_next(&rest, '/', &part))
        continue;
    return rest;
}

static bool connects(const struct request *r)
{
    static const char *const names[] = {"exec", "attach", "portforward", "proxy", "log"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eqz(r->subresource, names[i]))
            return true;
    return false;
}

static void find_sub(struct request *r)
{
    const struct resource_def *def = r->res->def;
    for (size_t i = 0; def && i < def->n_subs; i++)
        if (str_eqz(r->subresource, def->subs[i].name))
            r->sub = &def->subs[i];
}

static void route_resource(struct request *r, struct str *parts, size_t n, size_t used)
{
    bool legacy_watch = false;
    if (n && str_eq(parts[0], STR("watch")) && n > 1) {
        legacy_watch = true;
        parts++, n--, used++;
    }
    if (n && str_eq(parts[0], STR("namespaces")) && n > 1) {
        r->ns = parts[1];
        /* The namespace itself, or something in it? */
        if (n > 2 && !str_eq(parts[2], STR("status")) && !str_eq(parts[2], STR("finalize"))) {
            parts += 2, n -= 2, used += 2;
        }
    }
    r->plural = parts[0];
    if (n > 1)
        r->name = parts[1];
    if (n > 2)
        r->subresource = parts[2];
    if (n > 3)
        r->rest = tail_after(r->path, used + 3);
    if (str_eq(r->plural, STR("namespaces")))
        r->ns = r->name;
    r->res = resources_find(r->server, r->group, r->version, r->plural);
    r->is_resource = true;
    r->verb = verb_of(r, legacy_watch);
    if (!r->res)
        return;
    if (!r->res->namespaced && !str_eq(r->plural, STR("namespaces")))
        r->res = r->ns.n ? NULL : r->res;
    if (r->res && r->subresource.n) {
        find_sub(r);
        if (connects(r) && r->sub)
            r->verb = REQ_CONNECT;
    }
}

int request_route(struct request *r)
{
    struct str parts[PATH_PARTS_MAX];
    int rc = parse_options(r);
    if (rc < 0)
        return rc;
    size_t n = split_path(r, parts);
    if (n > 2 && str_eq(parts[0], STR("api"))) {
        r->group = STR("");
        r->version = parts[1];
        route_resource(r, parts + 2, n - 2, 2);
    } else if (n > 3 && str_eq(parts[0], STR("apis"))) {
        r->group = parts[1];
        r->version = parts[2];
        route_resource(r, parts + 3, n - 3, 3);
    } else {
        r->verb = verb_of(r, false);
    }
    return 0;
}
