/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery: /api, /apis, /apis/<group>, /api/v1, /apis/<group>/<version>, and the aggregated form
 * (apidiscovery.k8s.io v2 and v2beta1).
 */
#include "server/discovery.h"

#include "api/apidiscoveryv2.h"
#include "codec/base64.h"
#include "server/impl.h"

/* Order of groups and of versions in them, as kube-apiserver's APIService priorities give it. */
static const struct {
    const char *group;
    int priority;
} priorities[] = {
    {"", 18000},
    {"apiregistration.k8s.io", 17950},
    {"apps", 17800},
    {"events.k8s.io", 17750},
    {"authentication.k8s.io", 17700},
    {"authorization.k8s.io", 17600},
    {"autoscaling", 17500},
    {"batch", 17400},
    {"certificates.k8s.io", 17300},
    {"networking.k8s.io", 17200},
    {"policy", 17100},
    {"rbac.authorization.k8s.io", 17000},
    {"storage.k8s.io", 16800},
    {"admissionregistration.k8s.io", 16700},
    {"apiextensions.k8s.io", 16700},
    {"scheduling.k8s.io", 16600},
    {"coordination.k8s.io", 16500},
    {"node.k8s.io", 16300},
    {"discovery.k8s.io", 16200},
    {"flowcontrol.apiserver.k8s.io", 16100},
    {"resource.k8s.io", 15900},
};

static int priority_of(struct str group)
{
    for (size_t i = 0; i < ARRAY_LEN(priorities); i++)
        if (str_eqz(group, priorities[i].group))
            return priorities[i].priority;
    return 1000; /* custom resources */
}

struct group_entry {
    struct str name;
    struct str_list versions; /* best first */
};

struct group_list {
    struct group_entry *v;
    size_t n;
};

/* "v2" before "v1" before "v2beta1" before "v1beta2" before "v1alpha1" before anything else. */
int version_compare(struct str a, struct str b)
{
    struct version {
        int class; /* 3 GA, 2 beta, 1 alpha, 0 other */
        int64_t major, minor;
    } v[2];
    for (int i = 0; i < 2; i++) {
        struct str s = i ? b : a, digits;
        v[i] = (struct version){0};
        if (!str_skip(&s, STR("v")))
            continue;
        ptrdiff_t beta = str_find(s, STR("beta")), alpha = str_find(s, STR("alpha"));
        size_t cut = beta > 0 ? (size_t)beta : alpha > 0 ? (size_t)alpha : s.n;
        digits = str_sub(s, cut + (beta > 0 ? 4 : alpha > 0 ? 5 : 0), s.n);
        if (!str_to_i64(str_sub(s, 0, cut), &v[i].major))
            continue;
        if (cut < s.n && digits.n && !str_to_i64(digits, &v[i].minor))
            continue;
        v[i].class = beta > 0 ? 2 : alpha > 0 ? 1 : 3;
    }
    if (v[0].class != v[1].class)
        return v[0].class > v[1].class ? -1 : 1;
    if (v[0].class == 0)
        return str_cmp(a, b);
    if (v[0].major != v[1].major)
        return v[0].major > v[1].major ? -1 : 1;
    return v[0].minor > v[1].minor ? -1 : v[0].minor < v[1].minor;
}

static int by_version(const void *a, const void *b)
{
    return version_compare(*(const struct str *)a, *(const struct str *)b);
}

static int by_priority(const void *a, const void *b)
{
    const struct group_entry *x = a, *y = b;
    int px = priority_of(x->name), py = priority_of(y->name);
    return px != py ? (px > py ? -1 : 1) : str_cmp(x->name, y->name);
}

static struct group_list collect_groups(struct server *s, struct arena *a)
{
    struct group_list l = {0};
    uint32_t it = 0;
    for (struct resource *r; (r = resources_next(s, &it));) {
        struct group_entry *g = NULL;
        LIST_EACH (e, &l)
            if (str_eq(e->name, r->group))
                g = e;
        if (!g) {
            g = list_add(a, &l);
            g->name = r->group;
        }
        if (!str_list_has(&g->versions, r->version))
            str_list_push(a, &g->versions, r->version);
    }
    LIST_EACH (e, &l)
        qsort(e->versions.v, e->versions.n, sizeof(struct str), by_version);
    qsort(l.v, l.n, sizeof *l.v, by_priority);
    return l;
}

/* ---- the documents of old ---- */

static void fill_group(struct arena *a, const struct group_entry *g, struct metav1_api_group *out)
{
    out->name = g->name;
    for (size_t i = 0; i < g->versions.n; i++) {
        struct metav1_group_version_for_discovery *v = list_add(a, &out->versions);
        v->version = g->versions.v[i];
        v->group_version = api_version_join(a, g->name, v->version);
    }
    out->preferred_version = out->versions.v[0];
}

static void respond_groups(struct request *r)
{
    struct group_list l = collect_groups(r->server, r->arena);
    struct metav1_api_group_list out = {.kind = STR("APIGroupList"), .api_version = STR("v1")};
    LIST_EACH (g, &l)
        if (g->name.n)
            fill_group(r->arena, g, list_add(r->arena, &out.groups));
    respond_typed(r, 200, &metav1_api_group_list_desc, &out);
}

static void respond_group(struct request *r, struct str name)
{
    struct group_list l = collect_groups(r->server, r->arena);
    LIST_EACH (g, &l) {
        if (!str_eq(g->name, name) || !name.n)
            continue;
        struct metav1_api_group out = {.kind = STR("APIGroup"), .api_version = STR("v1")};
        fill_group(r->arena, g, &out);
        respond_typed(r, 200, &metav1_api_group_desc, &out);
        return;
    }
    respond_text(r, 404, "text/plain; charset=utf-8", STR("404 page not found\n"));
}

static void respond_core_versions(struct request *r)
{
    struct metav1_api_versions out = {.kind = STR("APIVersions")};
    str_list_push(r->arena, &out.versions, STR("v1"));
    struct metav1_server_address_by_client_cidr *c =
        list_add(r->arena, &out.server_address_by_client_cidrs);
    c->client_cidr = STR("0.0.0.0/0");
    c->server_address = arena_fmt(r->arena, "%.*s:%u", STR_ARG(r->server->config.advertise_address),
                                  r->server->config.advertise_port);
    respond_typed(r, 200, &metav1_api_versions_desc, &out);
}

static void add_verbs(struct arena *a, uint32_t verbs, struct str_list *out)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {
        {VERB_CREATE, "create"},
        {VERB_DELETE, "delete"},
        {VERB_DELETECOLLECTION, "deletecollection"},
        {VERB_GET, "get"},
        {VERB_LIST, "list"},
        {VERB_PATCH, "patch"},
        {VERB_UPDATE, "update"},
        {VERB_WATCH, "watch"},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (verbs & names[i].bit)
            str_list_push(a, out, str_z(names[i].name));
}

static void add_words(struct arena *a, const char *const *words, struct str_list *out)
{
    for (; words && *words; words++)
        str_list_push(a, out, str_z(*words));
}

/* A number that clients compare to tell whether the stored form changed: of group and kind. */
static struct str storage_hash(struct arena *a, const struct resource *res)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(64);
    uint64_t h = str_hash(
        arena_fmt(a, "%.*s/%.*s", STR_ARG(res->hub->api_version), STR_ARG(res->hub->kind)));
    base64_encode(&b, str_n((const char *)&h, sizeof h));
    return buf_to_arena(&b, a);
}

static void fill_resource(struct arena *a, const struct resource *res,
                          struct metav1_api_resource *o)
{
    o->name = res->plural;
    o->singular_name = res->singular;
    o->namespaced = res->namespaced;
    o->kind = res->kind;
    add_verbs(a, res->verbs, &o->verbs);
    if (res->def) {
        add_words(a, res->def->short_names, &o->short_names);
        add_words(a, res->def->categories, &o->categories);
    }
    if (!res->def || !res->def->is_virtual)
        o->storage_version_hash = storage_hash(a, res);
}

static void fill_sub(struct arena *a, const struct resource *res, const struct subresource_def *sub,
                     struct metav1_api_resource *o)
{
    o->name = arena_fmt(a, "%.*s/%s", STR_ARG(res->plural), sub->name);
    o->singular_name = STR("");
    o->namespaced = res->namespaced;
    o->kind = str_z(sub->kind);
    if (!str_eqz(res->group, sub->group) || !str_eqz(res->version, sub->version)) {
        o->group = str_z(sub->group);
        o->version = str_z(sub->version);
    }
    add_verbs(a, sub->verbs, &o->verbs);
}

static int by_plural(const void *a, const void *b)
{
    return str_cmp((*(struct resource *const *)a)->plural, (*(struct resource *const *)b)->plural);
}

struct resource_list {
    struct resource **v;
    size_t n;
};

static struct resource_list resources_of(struct server *s, struct arena *a, struct str group,
                                         struct str version)
{
    struct resource_list l = {0};
    uint32_t it = 0;
    for (struct resource *r; (r = resources_next(s, &it));)
        if (str_eq(r->group, group) && str_eq(r->version, version))
            *list_add(a, &l) = r;
    if (l.n)
        qsort(l.v, l.n, sizeof *l.v, by_plural);
    return l;
}

static void respond_resources(struct request *r, struct str group, struct str version)
{
    struct metav1_api_resource_list out = {.kind = STR("APIResourceList"),
                                           .api_version = STR("v1")};
    struct resource_list l = resources_of(r->server, r->arena, group, version);
    if (!l.n) {
        respond_text(r, 404, "text/plain; charset=utf-8", STR("404 page not found\n"));
        return;
    }
    out.group_version = api_version_join(r->arena, group, version);
    for (size_t i = 0; i < l.n; i++) {
        fill_resource(r->arena, l.v[i], list_add(r->arena, &out.resources));
        const struct resource_def *def = l.v[i]->def;
        for (size_t k = 0; def && k < def->n_subs; k++)
            fill_sub(r->arena, l.v[i], &def->subs[k], list_add(r->arena, &out.resources));
    }
    respond_typed(r, 200, &metav1_api_resource_list_desc, &out);
}

/* ---- aggregated discovery ---- */

static struct metav1_group_version_kind *gvk(struct arena *a, struct str group, struct str version,
                                             struct str kind)
{
    struct metav1_group_version_kind *k = arena_new(a, struct metav1_group_version_kind);
    k->group = group;
    k->version = version;
    k->kind = kind;
    return k;
}

static void fill_aggregated(struct arena *a, const struct resource *res,
                            struct apidiscoveryv2_api_resource_discovery *o)
{
    o->resource = res->plural;
    o->singular_resource = res->singular;
    o->scope = res->namespaced ? STR("Namespaced") : STR("Cluster");
    o->response_kind = gvk(a, res->group, res->version, res->kind);
    add_verbs(a, res->verbs, &o->verbs);
    if (!res->def)
        return;
    add_words(a, res->def->short_names, &o->short_names);
    add_words(a, res->def->categories, &o->categories);
    for (size_t i = 0; i < res->def->n_subs; i++) {
        const struct subresource_def *sub = &res->def->subs[i];
        struct apidiscoveryv2_api_subresource_discovery *s = list_add(a, &o->subresources);
        s->subresource = str_z(sub->name);
        s->response_kind = gvk(a, str_z(sub->group), str_z(sub->version), str_z(sub->kind));
        add_verbs(a, sub->verbs, &s->verbs);
    }
}

static void fill_version(struct server *s, struct arena *a, struct str group, struct str version,
                         struct apidiscoveryv2_api_version_discovery *out)
{
    struct resource_list l = resources_of(s, a, group, version);
    out->version = version;
    out->freshness = STR("Current");
    for (size_t i = 0; i < l.n; i++)
        fill_aggregated(a, l.v[i], list_add(a, &out->resources));
}

static void respond_aggregated(struct request *r, bool core)
{
    struct arena *a = r->arena;
    struct group_list l = collect_groups(r->server, a);
    struct apidiscoveryv2_api_group_discovery_list out = {.kind = STR("APIGroupDiscoveryList")};
    out.api_version = arena_fmt(a, "apidiscovery.k8s.io/%.*s", STR_ARG(r->table_version));
    LIST_EACH (g, &l) {
        if ((g->name.n == 0) != core)
            continue;
        struct apidiscoveryv2_api_group_discovery *d = list_add(a, &out.items);
        d->metadata.name = g->name;
        for (size_t i = 0; i < g->versions.n; i++)
            fill_version(r->server, a, g->name, g->versions.v[i], list_add(a, &d->versions));
    }
    struct str body = encode_typed(r, &apidiscoveryv2_api_group_discovery_list_desc, &out);
    struct str base = request_content_type(r);
    struct str type = arena_fmt(a, "%.*s;g=apidiscovery.k8s.io;v=%.*s;as=APIGroupDiscoveryList",
                                STR_ARG(base), STR_ARG(r->table_version));
    respond_text(r, 200, type.p, body);
}

bool discovery_run(struct request *r, struct str *parts, size_t n)
{
    bool aggregated = str_eq(r->accept_as, STR("APIGroupDiscoveryList"));
    bool core = n && str_eq(parts[0], STR("api"));
    if (!n || (!core && !str_eq(parts[0], STR("apis"))))
        return false;
    if (n == 1 && aggregated)
        respond_aggregated(r, core);
    else if (n == 1 && core)
        respond_core_versions(r);
    else if (n == 1)
        respond_groups(r);
    else if (n == 2 && core)
        respond_resources(r, STR(""), parts[1]);
    else if (n == 2)
        respond_group(r, parts[1]);
    else if (n == 3 && !core)
        respond_resources(r, parts[1], parts[2]);
    else
        return false;
    return true;
}
