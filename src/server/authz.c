/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Role-based access control over what is stored (rbac.authorization.k8s.io/v1). The group
 * system:masters may do everything.
 */
#include "api/rbacv1.h"
#include "server/impl.h"

const char *authz_verb(const struct request *r)
{
    if (r->verb != REQ_CONNECT)
        return request_verb_name(r->verb);
    if (str_eq(r->method, STR("GET")) || str_eq(r->method, STR("HEAD")))
        return "get";
    if (str_eq(r->method, STR("POST")))
        return "create";
    if (str_eq(r->method, STR("PUT")))
        return "update";
    if (str_eq(r->method, STR("PATCH")))
        return "patch";
    return "delete";
}

struct str lower_method(const struct request *r)
{
    char *p = arena_raw(r->arena, r->method.n + 1);
    for (size_t i = 0; i < r->method.n; i++)
        p[i] = (char)(r->method.p[i] | 0x20);
    p[r->method.n] = 0;
    return str_n(p, r->method.n);
}

/* ---- rules ---- */

static bool has(const struct str_list *l, struct str s)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i], s) || str_eq(l->v[i], STR("*")))
            return true;
    return false;
}

/* "pods", "pods/log", "*", and "*" + "/log" */
static bool resource_matches(const struct str_list *l, const struct authz_attributes *q)
{
    for (size_t i = 0; i < l->n; i++) {
        struct str rule = l->v[i], plural, sub;
        if (str_eq(rule, STR("*")))
            return true;
        bool with_sub = str_cut(rule, '/', &plural, &sub);
        if (!with_sub)
            sub = STR("");
        if (str_eq(sub, q->subresource) &&
            (str_eq(plural, q->resource) || (with_sub && str_eq(plural, STR("*")))))
            return true;
    }
    return false;
}

static bool path_matches(const struct str_list *l, struct str path)
{
    for (size_t i = 0; i < l->n; i++) {
        struct str rule = l->v[i];
        if (str_eq(rule, STR("*")) || str_eq(rule, path))
            return true;
        if (str_chop(&rule, STR("*")) && str_has_prefix(path, rule))
            return true;
    }
    return false;
}

static bool rule_allows(const struct rbacv1_policy_rule *rule, const struct authz_attributes *q)
{
    if (!has(&rule->verbs, str_z(q->verb)))
        return false;
    if (!q->is_resource)
        return path_matches(&rule->non_resource_urls, q->path);
    if (!has(&rule->api_groups, q->group) || !resource_matches(&rule->resources, q))
        return false;
    return rule->resource_names.n == 0 || str_list_has(&rule->resource_names, q->name);
}

/* ---- bindings ---- */

/* A walk over the rules that bindings give to a user. */
struct search {
    struct server *s;
    struct arena *a;
    const struct user *user;
    struct str ns; /* of the role bindings being looked at */
    const struct authz_attributes *q;
    bool allowed; /* ends the walk */
    struct str reason;
    void (*rule)(void *arg, const struct rbacv1_policy_rule *rule); /* instead of q */
    void *arg;
};

static bool subject_is(const struct rbacv1_subject *s, const struct search *f)
{
    const struct user *u = f->user;
    if (str_eq(s->kind, STR("User")))
        return str_eq(s->name, u->name);
    if (str_eq(s->kind, STR("Group")))
        return user_in_group(u, s->name);
    if (!str_eq(s->kind, STR("ServiceAccount")))
        return false;
    struct str account = u->name, ns, name;
    if (!str_skip(&account, STR("system:serviceaccount:")) || !str_cut(account, ':', &ns, &name))
        return false;
    return str_eq(name, s->name) && str_eq(ns, s->namespace.n ? s->namespace : f->ns);
}

/* LIST(struct rbacv1_policy_rule) of the role, or none. */
static size_t role_rules(struct search *f, const struct rbacv1_role_ref *ref,
                         const struct rbacv1_policy_rule **ret)
{
    bool cluster = str_eq(ref->kind, STR("ClusterRole"));
    struct resource *res = resources_find(f->s, STR("rbac.authorization.k8s.io"), STR("v1"),
                                          cluster ? STR("clusterroles") : STR("roles"));
    struct item *i =
        store_get(f->s->store, resource_key(f->a, res, cluster ? STR("") : f->ns, ref->name));
    if (!i)
        return 0;
    if (cluster) {
        const struct rbacv1_cluster_role *role = item_typed(i, res->desc);
        *ret = role->rules.v;
        return role->rules.n;
    }
    const struct rbacv1_role *role = item_typed(i, res->desc);
    *ret = role->rules.v;
    return role->rules.n;
}

static void try_binding(struct search *f, const struct rbacv1_subject *subjects, size_t n_subjects,
                        const struct rbacv1_role_ref *ref, const char *kind, struct str name)
{
    bool ours = false;
    for (size_t i = 0; i < n_subjects && !ours; i++)
        ours = subject_is(&subjects[i], f);
    if (!ours)
        return;
    const struct rbacv1_policy_rule *rules;
    size_t n = role_rules(f, ref, &rules);
    for (size_t i = 0; i < n; i++) {
        if (f->rule)
            f->rule(f->arg, &rules[i]);
        if (f->rule || !rule_allows(&rules[i], f->q))
            continue;
        f->allowed = true;
        f->reason = arena_fmt(f->a, "RBAC: allowed by %s \"%.*s\" of %.*s \"%.*s\"", kind,
                              STR_ARG(name), STR_ARG(ref->kind), STR_ARG(ref->name));
        return;
    }
}

static bool each_cluster_binding(void *arg, struct item *i)
{
    struct search *f = arg;
    const struct rbacv1_cluster_role_binding *b = item_typed(i, &rbacv1_cluster_role_binding_desc);
    try_binding(f, b->subjects.v, b->subjects.n, &b->role_ref, "ClusterRoleBinding",
                b->metadata.name);
    return !f->allowed;
}

static bool each_binding(void *arg, struct item *i)
{
    struct search *f = arg;
    const struct rbacv1_role_binding *b = item_typed(i, &rbacv1_role_binding_desc);
    try_binding(f, b->subjects.v, b->subjects.n, &b->role_ref, "RoleBinding", b->metadata.name);
    return !f->allowed;
}

static void search_bindings(struct search *f, struct str ns)
{
    struct store_range range = {.prefix = STR("rbac.authorization.k8s.io/clusterrolebindings/")};
    must(store_each(f->s->store, &range, each_cluster_binding, f) == 0);
    if (f->allowed || !ns.n)
        return;
    f->ns = ns;
    range.prefix = arena_fmt(f->a, "rbac.authorization.k8s.io/rolebindings/%.*s/", STR_ARG(ns));
    must(store_each(f->s->store, &range, each_binding, f) == 0);
}

bool authorize(struct server *s, struct arena *a, const struct authz_attributes *attr,
               struct str *ret_reason)
{
    struct search f = {.s = s, .a = a, .user = attr->user, .q = attr, .reason = STR("")};
    if (user_in_group(attr->user, STR("system:masters")))
        return true;
    search_bindings(&f, attr->ns);
    if (ret_reason)
        *ret_reason = f.reason;
    return f.allowed;
}

void each_rule(struct server *s, struct arena *a, const struct user *u, struct str ns,
               void (*fn)(void *arg, const struct rbacv1_policy_rule *rule), void *arg)
{
    struct search f = {.s = s, .a = a, .user = u, .rule = fn, .arg = arg};
    search_bindings(&f, ns);
}

void forbidden(struct request *r, const struct authz_attributes *q, struct str reason)
{
    struct str user = q->user->name;
    struct err *e = &r->err;
    if (!q->is_resource) {
        (void)err_set(e, ERR_FORBIDDEN, "forbidden: User \"%.*s\" cannot %s path \"%.*s\"",
                      STR_ARG(user), q->verb, STR_ARG(q->path));
        respond_error(r);
        return;
    }
    struct str res = q->subresource.n ? arena_fmt(r->arena, "%.*s/%.*s", STR_ARG(q->resource),
                                                  STR_ARG(q->subresource))
                                      : q->resource;
    struct str where = q->ns.n ? arena_fmt(r->arena, "in the namespace \"%.*s\"", STR_ARG(q->ns))
                               : STR("at the cluster scope");
    struct str qualified =
        q->group.n ? arena_fmt(r->arena, "%.*s.%.*s", STR_ARG(q->resource), STR_ARG(q->group))
                   : q->resource;
    struct str named = q->name.n ? arena_fmt(r->arena, " \"%.*s\"", STR_ARG(q->name)) : STR("");
    e->detail_group = q->group;
    e->detail_kind = q->resource;
    e->detail_name = q->name;
    (void)err_set(e, ERR_FORBIDDEN,
                  "%.*s%.*s is forbidden: User \"%.*s\" cannot %s resource \"%.*s\" in API group "
                  "\"%.*s\" %.*s%s%.*s",
                  STR_ARG(qualified), STR_ARG(named), STR_ARG(user), q->verb, STR_ARG(res),
                  STR_ARG(q->group), STR_ARG(where), reason.n ? ": " : "", STR_ARG(reason));
    respond_error(r);
}
