/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints: the older form of EndpointSlices, one object of the service's name, which upstream
 * still keeps (k8s.io/kubernetes/pkg/controller/endpoint). Key: the service.
 *
 * Addresses with equal ports form a subset; each list is sorted, so that equal states have equal
 * objects.
 */
#include "base/map.h"
#include "controller/pods.h"
#include "controller/service.h"

enum { ADDRESSES_MAX = 1000 }; /* more are cut off, which an annotation tells */

#define OVER_CAPACITY "endpoints.kubernetes.io/over-capacity"
#define MANAGED_BY    "endpoints.kubernetes.io/managed-by"
#define MANAGER       "endpoint-controller"

struct state {
    struct service_caches of;
    struct cache *endpoints;
};

/* One address on one port, ready or not. */
struct pair {
    struct corev1_endpoint_address address;
    struct corev1_endpoint_port port;
    bool has_port, ready;
};

struct run {
    struct reconcile *rc;
    struct state *s;
    const struct corev1_service *svc;
    struct corev1_endpoints want;
    bool cut;
};

static void map_pod(struct controller *c, struct item *old, struct item *now)
{
    struct state *s = c->state;
    wake_services(c, &s->of, old, now);
}

static void start(struct controller *c)
{
    struct state *s = xcalloc(1, sizeof *s);
    c->state = s;
    service_caches_start(c, &s->of, map_pod);
    s->endpoints = controller_watch(c, "v1/endpoints", map_self);
}

static void stop(struct controller *c)
{
    free(c->state);
}

/* ---- subsets ---- */

static int port_cmp(const void *va, const void *vb)
{
    const struct corev1_endpoint_port *a = va, *b = vb;
    int diff = str_cmp(a->name, b->name);
    if (!diff)
        diff = (a->port > b->port) - (a->port < b->port);
    return diff ? diff : str_cmp(a->protocol, b->protocol);
}

static int address_cmp(const void *va, const void *vb)
{
    const struct corev1_endpoint_address *a = va, *b = vb;
    int diff = str_cmp(a->ip, b->ip);
    return diff ? diff : str_cmp(a->target_ref->uid, b->target_ref->uid);
}

static int subset_cmp(const void *va, const void *vb)
{
    const struct corev1_endpoint_subset *a = va, *b = vb;
    for (size_t i = 0; i < a->ports.n && i < b->ports.n; i++) {
        int diff = port_cmp(&a->ports.v[i], &b->ports.v[i]);
        if (diff)
            return diff;
    }
    return (a->ports.n > b->ports.n) - (a->ports.n < b->ports.n);
}

static bool same_ports(const struct corev1_endpoint_subset *a,
                       const struct corev1_endpoint_subset *b)
{
    return a->ports.n == b->ports.n && subset_cmp(a, b) == 0;
}

/* A pod's ports for this service, sorted; false: none of them, though the service has some. */
static bool ports_of(struct run *r, const struct corev1_pod *pod,
                     struct corev1_endpoint_subset *ret)
{
    LIST_EACH (sp, &r->svc->spec.ports) {
        int32_t number;
        if (!service_port_number(sp, pod, &number))
            continue;
        struct corev1_endpoint_port *p = list_add(r->rc->arena, &ret->ports);
        *p = (struct corev1_endpoint_port){sp->name, number, sp->protocol, sp->app_protocol};
    }
    if (ret->ports.n)
        qsort(ret->ports.v, ret->ports.n, sizeof *ret->ports.v, port_cmp);
    return ret->ports.n || (!r->svc->spec.ports.n && service_headless(r->svc));
}

static struct corev1_endpoint_subset *subset_of(struct run *r,
                                                const struct corev1_endpoint_subset *ports)
{
    LIST_EACH (s, &r->want.subsets)
        if (same_ports(s, ports))
            return s;
    struct corev1_endpoint_subset *s = list_add(r->rc->arena, &r->want.subsets);
    s->ports = ports->ports;
    return s;
}

static void add_pod(struct run *r, const struct corev1_pod *pod, struct str family)
{
    struct arena *a = r->rc->arena;
    struct corev1_endpoint_subset ports = {0};
    struct str ip = pod_address(pod, family);
    bool all = r->svc->spec.publish_not_ready_addresses;
    if (!ip.n || pod_terminal(pod) || (pod->metadata.deletion_timestamp && !all) ||
        !ports_of(r, pod, &ports))
        return;
    struct corev1_endpoint_subset *s = subset_of(r, &ports);
    struct corev1_endpoint_address *to =
        all || pod_ready(pod) ? list_add(a, &s->addresses) : list_add(a, &s->not_ready_addresses);
    to->ip = ip;
    to->hostname = pod_hostname(pod, r->svc);
    if (pod->spec.node_name.n)
        to->node_name = pod->spec.node_name;
    to->target_ref = arena_new(a, struct corev1_object_reference);
    to->target_ref->kind = STR("Pod");
    to->target_ref->namespace = pod->metadata.namespace;
    to->target_ref->name = pod->metadata.name;
    to->target_ref->uid = pod->metadata.uid;
}

/* Ready addresses keep their places before others when there are too many. */
static void truncate_and_sort(struct run *r)
{
    size_t left = ADDRESSES_MAX;
    LIST_EACH (s, &r->want.subsets) {
        r->cut |= s->addresses.n > left;
        s->addresses.n = MIN(s->addresses.n, left);
        left -= s->addresses.n;
    }
    LIST_EACH (s, &r->want.subsets) {
        r->cut |= s->not_ready_addresses.n > left;
        s->not_ready_addresses.n = MIN(s->not_ready_addresses.n, left);
        left -= s->not_ready_addresses.n;
        if (s->addresses.n)
            qsort(s->addresses.v, s->addresses.n, sizeof *s->addresses.v, address_cmp);
        if (s->not_ready_addresses.n)
            qsort(s->not_ready_addresses.v, s->not_ready_addresses.n,
                  sizeof *s->not_ready_addresses.v, address_cmp);
    }
    if (r->want.subsets.n)
        qsort(r->want.subsets.v, r->want.subsets.n, sizeof *r->want.subsets.v, subset_cmp);
}

/* ---- the object ---- */

static void failed(struct reconcile *rc, void *arg, int code, struct item *item,
                   const struct err *e)
{
    struct state *s = rc->c->state;
    bool creating = arg != NULL;
    struct item *svc = cache_get(s->of.services, rc->ns, rc->name);
    if (code >= 0 || code == -ERR_CONFLICT || !svc || err_has_cause(e, "NamespaceTerminating"))
        return;
    reconcile_event(rc, cache_resource(s->of.services), svc, "Warning",
                    creating ? "FailedToCreateEndpoint" : "FailedToUpdateEndpoint",
                    "Failed to %s endpoint %s%.*s/%.*s: %.*s", creating ? "create" : "update",
                    creating ? "for service " : "", STR_ARG(rc->ns), STR_ARG(rc->name),
                    STR_ARG(e->message));
}

static void set_labels(struct run *r)
{
    struct arena *a = r->rc->arena;
    struct str_map *l = &r->want.metadata.labels;
    *l = (struct str_map){0};
    LIST_EACH (p, &r->svc->metadata.labels)
        str_map_set(a, l, p->key, p->value);
    (void)str_map_del(l, STR(HEADLESS_LABEL));
    if (service_headless(r->svc))
        str_map_set(a, l, STR(HEADLESS_LABEL), STR(""));
    str_map_set(a, l, STR(MANAGED_BY), STR(MANAGER));
}

static void write_endpoints(struct run *r, struct item *there)
{
    const struct resource_def *res = cache_resource(r->s->endpoints);
    struct arena *a = r->rc->arena;
    const struct corev1_endpoints *have = there ? item_typed(there, &corev1_endpoints_desc) : NULL;
    if (have)
        desc_copy_into(&metav1_object_meta_desc, a, &r->want.metadata, &have->metadata);
    set_labels(r);
    struct str_map *notes = &r->want.metadata.annotations;
    if (r->cut)
        str_map_set(a, notes, STR(OVER_CAPACITY), STR("truncated"));
    else
        (void)str_map_del(notes, STR(OVER_CAPACITY));
    r->want.kind = STR("Endpoints");
    r->want.api_version = STR("v1");
    if (have && desc_equal(&corev1_endpoints_desc, have, &r->want))
        return;
    if (have) {
        intent_then(intend_update(r->rc, res, &r->want, NULL), failed, NULL);
        return;
    }
    r->want.metadata.name = r->rc->name;
    r->want.metadata.namespace = r->rc->ns;
    intent_then(intend_create(r->rc, res, r->rc->ns, &r->want), failed, r->s);
}

/* Endpoints that this controller made go with the service; others are somebody else's. */
static void drop_orphan(struct reconcile *rc, struct state *s, struct item *there)
{
    const struct corev1_endpoints *e = item_typed(there, &corev1_endpoints_desc);
    struct client_delete how = {.uid = e->metadata.uid, .grace_s = -1};
    if (str_eq(str_map_get(&e->metadata.labels, STR(MANAGED_BY)), STR(MANAGER)))
        intend_delete(rc, cache_resource(s->endpoints), rc->ns, rc->name, &how);
}

static void reconcile(struct reconcile *rc)
{
    struct state *s = rc->c->state;
    struct item *i = cache_get(s->of.services, rc->ns, rc->name);
    struct item *there = cache_get(s->endpoints, rc->ns, rc->name);
    struct items pods = {0};
    if (!i) {
        if (there)
            drop_orphan(rc, s, there);
        return;
    }
    struct run r = {.rc = rc, .s = s, .svc = item_typed(i, &corev1_service_desc)};
    if (!service_selects(r.svc) || r.svc->metadata.deletion_timestamp)
        return;
    struct str family = r.svc->spec.ip_families.n ? r.svc->spec.ip_families.v[0] : STR("IPv4");
    service_pods(rc->arena, &s->of, r.svc, &pods);
    LIST_EACH (p, &pods)
        add_pod(&r, item_typed(*p, &corev1_pod_desc), family);
    truncate_and_sort(&r);
    write_endpoints(&r, there);
}

const struct controller_def controller_endpoints = {
    .name = "endpoint", .start = start, .reconcile = reconcile, .stop = stop};
