/* SPDX-License-Identifier: Apache-2.0 */
/* Reviews: questions about tokens, users and permissions, answered at once and never stored. */
#include "api/authenticationv1.h"
#include "api/authorizationv1.h"
#include "api/rbacv1.h"
#include "server/authn.h"
#include "server/impl.h"
#include "server/subresource.h"

static void fill_user(struct arena *a, const struct user *u, struct authenticationv1_user_info *out)
{
    out->username = u->name;
    out->uid = u->uid;
    out->groups = u->groups;
    for (size_t i = 0; i < u->extra.n; i++)
        *list_add(a, &out->extra) = u->extra.v[i];
}

void review_token(struct request *r)
{
    struct authenticationv1_token_review t = {0};
    struct user u;
    struct str_list audiences = {0};
    struct err why = ERR_INIT(r->arena);
    if (read_typed_body(r, r->res->desc, "TokenReview", &t) < 0) {
        respond_error(r);
        return;
    }
    t.kind = r->res->kind;
    t.api_version = r->res->api_version;
    t.status = (struct authenticationv1_token_review_status){0};
    if (token_user(r->server, r->arena, t.spec.token, &u, &audiences, &why) < 0) {
        t.status.error = why.message;
    } else {
        struct str_list asked = t.spec.audiences;
        if (!asked.n)
            str_list_push(r->arena, &asked, r->server->config.issuer);
        for (size_t i = 0; i < asked.n; i++)
            if (str_list_has(&audiences, asked.v[i]))
                str_list_push(r->arena, &t.status.audiences, asked.v[i]);
        t.status.authenticated = t.status.audiences.n > 0;
        if (t.status.authenticated)
            fill_user(r->arena, &u, &t.status.user);
        else
            t.status.error = STR("token audiences do not match");
    }
    respond_typed(r, 201, r->res->desc, &t);
}

void review_self_subject(struct request *r)
{
    struct authenticationv1_self_subject_review v = {0};
    if (read_typed_body(r, r->res->desc, "SelfSubjectReview", &v) < 0) {
        respond_error(r);
        return;
    }
    v.kind = r->res->kind;
    v.api_version = r->res->api_version;
    v.metadata.creation_timestamp = loop_wall(r->server->loop);
    v.metadata.creation_timestamp.ns = 0;
    fill_user(r->arena, r->user, &v.status.user_info);
    respond_typed(r, 201, r->res->desc, &v);
}

/* ---- access reviews ---- */

static void ask(struct request *r, const struct user *u,
                const struct authorizationv1_resource_attributes *res,
                const struct authorizationv1_non_resource_attributes *path,
                struct authorizationv1_subject_access_review_status *out)
{
    struct authz_attributes q = {.user = u};
    if (res) {
        q.is_resource = true;
        q.verb = arena_z(r->arena, res->verb);
        q.group = res->group;
        q.version = res->version;
        q.resource = res->resource;
        q.subresource = res->subresource;
        q.ns = res->namespace;
        q.name = res->name;
    } else if (path) {
        q.verb = arena_z(r->arena, path->verb);
        q.path = path->path;
    }
    *out = (struct authorizationv1_subject_access_review_status){0};
    out->allowed = authorize(r->server, r->arena, &q, &out->reason);
}

static int needs_one(struct request *r, bool res, bool path)
{
    if (res != path)
        return 0;
    return err_set(&r->err, ERR_INVALID,
                   "%.*s.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid "
                   "value: exactly one of nonResourceAttributes or resourceAttributes must be "
                   "specified",
                   STR_ARG(r->res->kind));
}

static void review_self(struct request *r)
{
    struct authorizationv1_self_subject_access_review v = {0};
    if (read_typed_body(r, r->res->desc, "SelfSubjectAccessReview", &v) < 0 ||
        needs_one(r, v.spec.resource_attributes, v.spec.non_resource_attributes) < 0) {
        respond_error(r);
        return;
    }
    v.kind = r->res->kind;
    v.api_version = r->res->api_version;
    ask(r, r->user, v.spec.resource_attributes, v.spec.non_resource_attributes, &v.status);
    respond_typed(r, 201, r->res->desc, &v);
}

void review_access(struct request *r)
{
    if (str_eq(r->res->kind, STR("SelfSubjectAccessReview"))) {
        review_self(r);
        return;
    }
    /* SubjectAccessReview and LocalSubjectAccessReview have the same layout. */
    struct authorizationv1_subject_access_review v = {0};
    _Static_assert(sizeof v == sizeof(struct authorizationv1_local_subject_access_review),
                   "one struct serves both");
    if (read_typed_body(r, r->res->desc, arena_z(r->arena, r->res->kind), &v) < 0 ||
        needs_one(r, v.spec.resource_attributes, v.spec.non_resource_attributes) < 0) {
        respond_error(r);
        return;
    }
    struct user u = {.name = v.spec.user, .uid = v.spec.uid, .groups = v.spec.groups};
    v.kind = r->res->kind;
    v.api_version = r->res->api_version;
    ask(r, &u, v.spec.resource_attributes, v.spec.non_resource_attributes, &v.status);
    respond_typed(r, 201, r->res->desc, &v);
}

static void add_rule(void *arg, const struct rbacv1_policy_rule *rule)
{
    struct request *r = arg;
    struct authorizationv1_self_subject_rules_review *v = r->stage;
    if (rule->non_resource_urls.n) {
        struct authorizationv1_non_resource_rule *n =
            list_add(r->arena, &v->status.non_resource_rules);
        n->verbs = rule->verbs;
        n->non_resource_urls = rule->non_resource_urls;
        return;
    }
    struct authorizationv1_resource_rule *n = list_add(r->arena, &v->status.resource_rules);
    n->verbs = rule->verbs;
    n->api_groups = rule->api_groups;
    n->resources = rule->resources;
    n->resource_names = rule->resource_names;
}

void review_rules(struct request *r)
{
    struct authorizationv1_self_subject_rules_review v = {0};
    if (read_typed_body(r, r->res->desc, "SelfSubjectRulesReview", &v) < 0) {
        respond_error(r);
        return;
    }
    v.kind = r->res->kind;
    v.api_version = r->res->api_version;
    v.status = (struct authorizationv1_subject_rules_review_status){0};
    r->stage = &v;
    each_rule(r->server, r->arena, r->user, v.spec.namespace, add_rule, r);
    r->stage = NULL;
    respond_typed(r, 201, r->res->desc, &v);
}

void component_statuses(struct request *r)
{
    static const char *const names[] = {"controller-manager", "etcd-0", "scheduler"};
    struct corev1_component_status_list l = {.kind = STR("ComponentStatusList"),
                                             .api_version = STR("v1")};
    request_warn(r, "v1 ComponentStatus is deprecated in v1.19+");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (r->name.n && !str_eqz(r->name, names[i]))
            continue;
        struct corev1_component_status *c = list_add(r->arena, &l.items);
        c->metadata.name = str_z(names[i]);
        struct corev1_component_condition *k = list_add(r->arena, &c->conditions);
        k->type = STR("Healthy");
        k->status = STR("True");
        k->message = STR("ok");
    }
    if (!r->name.n) {
        respond_typed(r, 200, &corev1_component_status_list_desc, &l);
        return;
    }
    if (!l.items.n) {
        (void)err_not_found(&r->err, r->res, r->name);
        respond_error(r);
        return;
    }
    l.items.v[0].kind = STR("ComponentStatus");
    l.items.v[0].api_version = STR("v1");
    respond_typed(r, 200, &corev1_component_status_desc, &l.items.v[0]);
}
