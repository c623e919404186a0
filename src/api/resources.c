/* SPDX-License-Identifier: Apache-2.0 */
#include "api/resources.h"

#define REQUESTS  STR("requests.")
#define HUGEPAGES STR("hugepages-")

static bool is_in(struct str name, const char *const *list)
{
    for (; *list; list++)
        if (str_eqz(name, *list))
            return true;
    return false;
}

bool resource_is_native(struct str name)
{
    return str_index(name, '/') < 0 || str_find(name, STR("kubernetes.io/")) >= 0;
}

bool resource_is_hugepages(struct str name)
{
    return str_has_prefix(name, HUGEPAGES);
}

bool resource_overcommits(struct str name)
{
    return resource_is_native(name) && !resource_is_hugepages(name);
}

enum { RESOURCE_NAME_MAX = 512 };

bool resource_is_extended(struct str name)
{
    char text[RESOURCE_NAME_MAX];
    if (resource_is_native(name) || str_has_prefix(name, REQUESTS) || name.n > sizeof text - 16)
        return false;
    /* It must be a good name in a quota too. */
    int n = snprintf(text, sizeof text, "requests.%.*s", STR_ARG(name));
    return format_ok(FORMAT_LABEL_KEY, str_n(text, (size_t)n));
}

bool resource_is_pod_level(struct str name)
{
    return str_eq(name, STR("cpu")) || str_eq(name, STR("memory")) || resource_is_hugepages(name);
}

static bool is_quota_hugepages(struct str name)
{
    return resource_is_hugepages(name) ||
           (str_skip(&name, REQUESTS) && resource_is_hugepages(name));
}

bool resource_is_standard_quota(struct str name)
{
    static const char *const names[] = {
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
        NULL,
    };
    return is_in(name, names) || is_quota_hugepages(name);
}

static bool is_counted(struct str name)
{
    static const char *const names[] = {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "services.nodeports",
        "services.loadbalancers",
        "persistentvolumeclaims",
        NULL,
    };
    return is_in(name, names) || resource_is_extended(name);
}

static bool is_standard_container(struct str name)
{
    static const char *const names[] = {"cpu", "memory", "ephemeral-storage", NULL};
    return is_in(name, names) || resource_is_hugepages(name);
}

/* ---- checks ---- */

bool check_resource_name(struct validation *v, const struct field_path *p, struct str name)
{
    if (!check_format(v, p, name, FORMAT_LABEL_KEY))
        return false;
    if (str_index(name, '/') >= 0 || resource_is_standard_quota(name) ||
        str_eq(name, STR("storage")))
        return true;
    fault_invalid(v, p, bad_str(name), "must be a standard resource type or fully qualified");
    return false;
}

bool check_container_resource_name(struct validation *v, const struct field_path *p,
                                   struct str name)
{
    bool ok = check_resource_name(v, p, name);
    const char *fault = NULL;
    if (str_index(name, '/') < 0) {
        if (!is_standard_container(name))
            fault = "must be a standard resource for containers";
    } else if (!resource_is_native(name) && !resource_is_extended(name)) {
        fault = "doesn't follow extended resource name standard";
    }
    if (fault)
        fault_invalid(v, p, bad_str(name), "%s", fault);
    return ok && !fault;
}

bool check_pod_resource_name(struct validation *v, const struct field_path *p, struct str name)
{
    static const char *const supported[] = {"cpu", "hugepages-", "memory", NULL};
    if (!check_resource_name(v, p, name))
        return false;
    if (resource_is_pod_level(name))
        return true;
    fault_not_supported(v, p, bad_str(name), supported);
    return false;
}

bool check_quota_resource_name(struct validation *v, const struct field_path *p, struct str name)
{
    bool ok = check_resource_name(v, p, name);
    if (str_index(name, '/') >= 0 || resource_is_standard_quota(name))
        return ok;
    fault_invalid(v, p, bad_str(name), "must be a standard resource for quota");
    return false;
}

bool check_resource_quantity(struct validation *v, const struct field_path *p, struct str name,
                             const struct quantity *q)
{
    bool ok = check_nonnegative_quantity(v, p, q);
    if (!is_counted(name) || quantity_milli(q) % 1000 == 0)
        return ok;
    fault_invalid(v, p, bad_quantity(q), "must be an integer");
    return false;
}

bool check_positive_quantity(struct validation *v, const struct field_path *p,
                             const struct quantity *q)
{
    struct quantity zero = {STR("0")};
    if (quantity_cmp(q, &zero) > 0)
        return true;
    fault_invalid(v, p, bad_quantity(q), "must be greater than zero");
    return false;
}

bool check_basic_quantity(struct validation *v, const struct field_path *p,
                          const struct quantity *q)
{
    if (quantity_value(q) >= 0)
        return true;
    fault_invalid(v, p, bad_int(quantity_value(q)), "must be a valid resource quantity");
    return false;
}

/* A multiple of the page size in the name? */
static void check_hugepages(struct validation *v, const struct field_path *p, struct str name,
                            const struct quantity *q)
{
    struct quantity page;
    struct str size = str_sub(name, HUGEPAGES.n, name.n);
    bool ok = quantity_parse(v->arena, size, &page) && quantity_milli(&page) > 0 &&
              quantity_milli(&page) % 1000 == 0 && quantity_value(q) % quantity_value(&page) == 0;
    if (!ok)
        fault_invalid(v, p, bad_quantity(q), "%.*s is not positive integer multiple of %.*s",
                      STR_ARG(q->text), STR_ARG(name));
}

struct found {
    bool compute, hugepages;
};

static void check_amount(struct validation *v, const struct field_path *p,
                         const struct quantity_pair *r, check_resource_name_fn *check_name,
                         struct found *found)
{
    check_name(v, p, r->key);
    check_resource_quantity(v, p, r->key, &r->value);
    found->compute |= str_eq(r->key, STR("cpu")) || str_eq(r->key, STR("memory"));
}

static void check_request_limit(struct validation *v, const struct field_path *p,
                                const struct quantity_pair *r, const struct quantity *limit)
{
    bool overcommits = resource_overcommits(r->key);
    int c = limit ? quantity_cmp(&r->value, limit) : 0;
    if (!limit && !overcommits)
        fault_required(v, AT(p, "limits"), "Limit must be set for non overcommitable resources");
    else if (c && !overcommits)
        fault_invalid(v, AT(p, "requests"), bad_quantity(&r->value),
                      "must be equal to %.*s limit of %.*s", STR_ARG(r->key), STR_ARG(limit->text));
    else if (c > 0)
        fault_invalid(v, AT(p, "requests"), bad_quantity(&r->value),
                      "must be less than or equal to %.*s limit of %.*s", STR_ARG(r->key),
                      STR_ARG(limit->text));
}

/* The request of a claim was referenced, alone or as a whole claim? */
static bool claim_overlaps(const struct corev1_resource_requirements *r, size_t at)
{
    const struct corev1_resource_claim *c = &r->claims.v[at];
    for (size_t i = 0; i < at; i++) {
        const struct corev1_resource_claim *d = &r->claims.v[i];
        if (str_eq(c->name, d->name) &&
            (!c->request.n || !d->request.n || str_eq(c->request, d->request)))
            return true;
    }
    return false;
}

static void check_claim_names(struct validation *v, const struct field_path *p,
                              const struct corev1_resource_requirements *r,
                              const struct str_list *claims)
{
    enum { CLAIMS_COMPARED_MAX = 1000 }; /* pairwise: further ones are not compared */
    for (size_t i = 0; i < r->claims.n; i++) {
        const struct corev1_resource_claim *c = &r->claims.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        if (!c->name.n) {
            fault_required(v, at, "%s", "");
            continue;
        }
        if (c->request.n)
            check_format(v, AT(at, "request"), c->request, FORMAT_DNS_LABEL);
        if (i < CLAIMS_COMPARED_MAX && claim_overlaps(r, i))
            fault_duplicate(v, at, bad_str(c->name));
        if (claims->n && bsearch(&c->name, claims->v, claims->n, sizeof *claims->v, str_qsort))
            continue;
        CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4));
        buf_z(&b, "must be one of the names in pod.spec.resourceClaims");
        buf_z(&b, claims->n ? "" : " which is empty");
        for (size_t j = 0; j < claims->n && !b.failed; j++) {
            buf_z(&b, j ? ", " : ": ");
            buf_str(&b, claims->v[j]);
        }
        fault_not_found_because(v, at, bad_str(c->name), "%.*s", STR_ARG(buf_view(&b)));
    }
}

void check_resource_requirements(struct validation *v, const struct field_path *p,
                                 const struct corev1_resource_requirements *r,
                                 check_resource_name_fn *check_name, const struct str_list *claims)
{
    struct found found = {0};
    LIST_EACH (l, &r->limits) {
        const struct field_path *at = AT_KEY(AT(p, "limits"), l->key);
        check_amount(v, at, l, check_name, &found);
        if (resource_is_hugepages(l->key)) {
            found.hugepages = true;
            check_hugepages(v, at, l->key, &l->value);
        }
    }
    LIST_EACH (q, &r->requests) {
        const struct field_path *at = AT_KEY(AT(p, "requests"), q->key);
        check_amount(v, at, q, check_name, &found);
        check_request_limit(v, p, q, quantity_map_get(&r->limits, q->key));
        if (resource_is_hugepages(q->key)) {
            found.hugepages = true;
            check_hugepages(v, at, q->key, &q->value);
        }
    }
    if (found.hugepages && !found.compute)
        fault_forbidden(v, p, "HugePages require cpu or memory");
    check_claim_names(v, AT(p, "claims"), r, claims);
}

/* ---- sums ---- */

void resource_list_round(struct arena *a, struct quantity_map *m)
{
    LIST_EACH (q, m)
        if (str_has_suffix(q->value.text, STR("n")) || str_has_suffix(q->value.text, STR("u")))
            q->value = quantity_from_milli(a, quantity_milli(&q->value));
}

enum combine { KEEP, ADD, MAX_OF };

static struct quantity combined(struct arena *a, const struct quantity *x, const struct quantity *y,
                                enum combine how)
{
    if (how == ADD)
        return quantity_add(a, x, y);
    return how == MAX_OF && quantity_cmp(x, y) < 0 ? *y : *x;
}

/* Merges two sorted maps into a new one; how: what becomes of names that both have. */
static void merge(struct arena *a, struct quantity_map *to, const struct quantity_map *from,
                  enum combine how)
{
    struct quantity_map sum = {0};
    size_t i = 0, j = 0;
    if (!from->n)
        return;
    sum.v = arena_array(a, list_room(to->n + from->n), struct quantity_pair);
    while (i < to->n || j < from->n) {
        int c = i == to->n ? 1 : j == from->n ? -1 : str_cmp(to->v[i].key, from->v[j].key);
        struct quantity_pair *next = &sum.v[sum.n++];
        *next = c <= 0 ? to->v[i] : from->v[j];
        if (c == 0)
            next->value = combined(a, &to->v[i].value, &from->v[j].value, how);
        i += c <= 0;
        j += c >= 0;
    }
    *to = sum;
}

void resource_list_default(struct arena *a, struct quantity_map *to,
                           const struct quantity_map *from)
{
    merge(a, to, from, KEEP);
}

/* The resources that a pod as a whole can ask for; few, whatever the object says. */
static struct quantity_map pod_level(struct arena *a, const struct quantity_map *m)
{
    enum { POD_RESOURCES_MAX = 32 };
    struct quantity_map ret = {0};
    for (size_t i = 0; i < m->n && ret.n < POD_RESOURCES_MAX; i++)
        if (resource_is_pod_level(m->v[i].key))
            *list_add(a, &ret) = m->v[i];
    return ret;
}

void pod_container_requests(struct arena *a, const struct corev1_pod_spec *spec,
                            struct quantity_map *ret)
{
    struct quantity_map sidecars = {0}, init = {0};
    *ret = (struct quantity_map){0};
    LIST_EACH (c, &spec->containers) {
        struct quantity_map own = pod_level(a, &c->resources.requests);
        merge(a, ret, &own, ADD);
    }
    LIST_EACH (c, &spec->init_containers) {
        struct quantity_map own = pod_level(a, &c->resources.requests), now = {0};
        /* While this one starts, the sidecars before it run. */
        merge(a, &now, &sidecars, ADD);
        merge(a, &now, &own, ADD);
        merge(a, &init, &now, MAX_OF);
        if (container_is_sidecar(c)) {
            merge(a, ret, &own, ADD);
            merge(a, &sidecars, &own, ADD);
        }
    }
    merge(a, ret, &init, MAX_OF);
}

/* ---- quality of service ---- */

struct qos {
    struct quantity_map requests, limits; /* cpu and memory above zero */
    bool guaranteed;
};

static void take_compute(struct arena *a, struct quantity_map *to, const struct quantity_map *from)
{
    static const char *const names[] = {"cpu", "memory"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct quantity zero = {STR("0")};
        const struct quantity *q = quantity_map_get(from, str_z(names[i]));
        const struct quantity *old = quantity_map_get(to, str_z(names[i]));
        if (q && quantity_cmp(q, &zero) > 0)
            quantity_map_set(a, to, str_z(names[i]), old ? quantity_add(a, old, q) : *q);
    }
}

static void take_qos(struct arena *a, struct qos *qos, const struct corev1_resource_requirements *r)
{
    struct quantity_map limits = {0};
    take_compute(a, &qos->requests, &r->requests);
    take_compute(a, &qos->limits, &r->limits);
    take_compute(a, &limits, &r->limits);
    qos->guaranteed &= limits.n == 2;
}

struct str pod_qos_class(struct arena *a, const struct corev1_pod_spec *spec)
{
    struct qos qos = {.guaranteed = true};
    if (spec->resources) {
        take_qos(a, &qos, spec->resources);
    } else {
        LIST_EACH (c, &spec->containers)
            take_qos(a, &qos, &c->resources);
        LIST_EACH (c, &spec->init_containers)
            take_qos(a, &qos, &c->resources);
    }
    if (!qos.requests.n && !qos.limits.n)
        return STR("BestEffort");
    bool equal = qos.requests.n == qos.limits.n;
    for (size_t i = 0; equal && i < qos.requests.n; i++)
        equal = str_eq(qos.requests.v[i].key, qos.limits.v[i].key) &&
                quantity_cmp(&qos.requests.v[i].value, &qos.limits.v[i].value) == 0;
    return qos.guaranteed && equal ? STR("Guaranteed") : STR("Burstable");
}
