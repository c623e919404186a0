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

static void try_role(struct search *f, const struct rbacv1_role_ref *ref, const char *kind,
                     struct str name)
{
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

/* ---- which cluster role bindings name a user ----
 * There are dozens of them and they seldom change, so the answer is kept for each user until
 * something of RBAC changes. */

enum { GRANTS_MAX = 1024 }; /* users remembered */

struct grant {
    struct str binding;
    struct rbacv1_role_ref role;
};

struct grants {
    struct arena arena;
    LIST(struct grant) v;
};

struct authz {
    struct server *s;
    struct store_watch *watch;
    struct map users; /* name and groups -> struct grants */
};

static void grants_drop(struct authz *z)
{
    uint32_t it = 0;
    for (struct map_entry *e; (e = map_next(&z->users, &it));) {
        struct grants *g = e->value;
        arena_fini(&g->arena);
        free(g);
    }
    map_clear(&z->users);
}

static bool rbac_changed(void *arg, const struct store_event *v, size_t n)
{
    grants_drop(arg);
    return true;
}

static int follow_rbac(struct authz *z, struct err *e);

static void rbac_expired(void *arg)
{
    struct authz *z = arg;
    struct arena scratch = ARENA_INIT;
    struct err e = ERR_INIT(&scratch);
    store_watch_stop(z->watch);
    z->watch = NULL;
    grants_drop(z);
    must(follow_rbac(z, &e) == 0);
    arena_fini(&scratch);
}

static int follow_rbac(struct authz *z, struct err *e)
{
    static const struct store_watch_ops ops = {.events = rbac_changed, .expired = rbac_expired};
    return store_watch_start(z->s->store, STR("rbac.authorization.k8s.io/"),
                             store_revision(z->s->store), &ops, z, &z->watch, e);
}

int authz_new(struct server *s, struct authz **ret, struct err *e)
{
    struct authz *z = xcalloc(1, sizeof *z);
    z->s = s;
    int rc = follow_rbac(z, e);
    if (rc < 0)
        free(z);
    else
        *ret = z;
    return rc;
}

void authz_free(struct authz *z)
{
    if (!z)
        return;
    store_watch_stop(z->watch);
    grants_drop(z);
    map_fini(&z->users);
    free(z);
}

struct grant_search {
    struct search *f;
    struct grants *g;
};

static bool subjects_name(const struct rbacv1_subject *v, size_t n, const struct search *f)
{
    for (size_t i = 0; i < n; i++)
        if (subject_is(&v[i], f))
            return true;
    return false;
}

static bool collect_grant(void *arg, struct item *i)
{
    struct grant_search *q = arg;
    const struct rbacv1_cluster_role_binding *b = item_typed(i, &rbacv1_cluster_role_binding_desc);
    if (!subjects_name(b->subjects.v, b->subjects.n, q->f))
        return true;
    struct grant *g = list_add(&q->g->arena, &q->g->v);
    g->binding = arena_str(&q->g->arena, b->metadata.name);
    desc_copy_into(&rbacv1_role_ref_desc, &q->g->arena, &g->role, &b->role_ref);
    return true;
}

static struct str user_key(struct arena *a, const struct user *u)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    buf_str(&b, u->name);
    for (size_t i = 0; i < u->groups.n; i++) {
        buf_c(&b, 0);
        buf_str(&b, u->groups.v[i]);
    }
    return buf_to_arena(&b, a);
}

static const struct grants *grants_of(struct search *f)
{
    struct authz *z = f->s->authz;
    struct str key = user_key(f->a, f->user);
    struct grants *g = map_get(&z->users, key);
    if (g)
        return g;
    if (z->users.count >= GRANTS_MAX)
        grants_drop(z);
    g = xcalloc(1, sizeof *g);
    g->arena = ARENA_INIT;
    struct grant_search q = {f, g};
    struct store_range all = {.prefix = STR("rbac.authorization.k8s.io/clusterrolebindings/")};
    must(store_each(f->s->store, &all, collect_grant, &q) == 0);
    map_put(&z->users, key, g);
    return g;
}

static bool each_binding(void *arg, struct item *i)
{
    struct search *f = arg;
    const struct rbacv1_role_binding *b = item_typed(i, &rbacv1_role_binding_desc);
    if (subjects_name(b->subjects.v, b->subjects.n, f))
        try_role(f, &b->role_ref, "RoleBinding", b->metadata.name);
    return !f->allowed;
}

static void search_bindings(struct search *f, struct str ns)
{
    const struct grants *g = grants_of(f);
    for (size_t i = 0; i < g->v.n && !f->allowed; i++)
        try_role(f, &g->v.v[i].role, "ClusterRoleBinding", g->v.v[i].binding);
    if (f->allowed || !ns.n)
        return;
    f->ns = ns;
    struct store_range range = {
        .prefix = arena_fmt(f->a, "rbac.authorization.k8s.io/rolebindings/%.*s/", STR_ARG(ns))};
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
