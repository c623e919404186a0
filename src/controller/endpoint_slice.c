/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EndpointSlices: where the pods of each service are (k8s.io/endpointslice). Key: the service.
 *
 * Endpoints with equal ports share slices of up to ENDPOINTS_MAX. An endpoint stays in the slice in
 * which it is, a changed slice takes new ones first, and a slice that would go is used again for
 * one that would come: as few slices as possible are written.
 */
#include "api/discoveryv1.h"
#include "base/map.h"
#include "controller/pods.h"
#include "controller/service.h"

enum { ENDPOINTS_MAX = 100 };

#define NAME_LABEL       "kubernetes.io/service-name"
#define MANAGED_BY_LABEL "endpointslice.kubernetes.io/managed-by"
#define MANAGER          "endpointslice-controller.k8s.io"

struct state {
    struct service_caches of;
    struct cache *slices, *nodes;
    struct cache_index *slices_by_label;
};

/* An existing slice, or one to be made (name empty). */
struct slice {
    struct discoveryv1_endpoint_slice obj;
    bool changed, gone;
};

struct slices {
    struct slice **v;
    size_t n, room;
};

/* Endpoints with equal ports. */
struct group {
    struct str key; /* family and ports as text */
    struct str family;
    struct discoveryv1_endpoint_slice ports; /* only the ports are used */
    struct map wanted;                       /* pod's uid -> struct discoveryv1_endpoint */
    struct slices slices;
};

struct run {
    struct reconcile *rc;
    struct state *s;
    const struct corev1_service *svc;
    struct str_map labels; /* of all slices */
    VEC(struct group *) groups;
    struct slices made, dropped;
};

/* ---- waking ---- */

static void map_pod(struct controller *c, struct item *old, struct item *now)
{
    struct state *s = c->state;
    wake_services(c, &s->of, old, now);
}

static void wake_named(struct controller *c, struct item *slice)
{
    struct arena scratch = ARENA_INIT;
    struct metav1_object_meta m;
    item_meta(&scratch, slice, &m);
    struct str name = str_map_get(&m.labels, STR(NAME_LABEL));
    if (name.n && str_eq(str_map_get(&m.labels, STR(MANAGED_BY_LABEL)), STR(MANAGER)))
        controller_enqueue(c, m.namespace, name);
    arena_fini(&scratch);
}

static void map_slice(struct controller *c, struct item *old, struct item *now)
{
    if (old)
        wake_named(c, old);
    if (now)
        wake_named(c, now);
}

static void start(struct controller *c)
{
    struct state *s = xcalloc(1, sizeof *s);
    c->state = s;
    service_caches_start(c, &s->of, map_pod);
    s->slices = controller_watch(c, "discovery.k8s.io/v1/endpointslices", map_slice);
    s->nodes = controller_watch(c, "v1/nodes", NULL);
    s->slices_by_label = cache_add_index(s->slices, "label", cache_index_label);
}

static void stop(struct controller *c)
{
    free(c->state);
}

/* ---- what should be ---- */

static struct str group_key(struct arena *a, struct str family,
                            const struct discoveryv1_endpoint_slice *s)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    buf_str(&b, family);
    LIST_EACH (p, &s->ports)
        buf_fmt(&b, ";%.*s,%.*s,%d,%.*s", STR_ARG(p->name), STR_ARG(p->protocol),
                p->port ? *p->port : 0, STR_ARG(p->app_protocol));
    return buf_to_arena(&b, a);
}

static struct group *group_of(struct run *r, struct str family,
                              const struct discoveryv1_endpoint_slice *ports)
{
    struct arena *a = r->rc->arena;
    struct str key = group_key(a, family, ports);
    LIST_EACH (g, &r->groups)
        if (str_eq((*g)->key, key))
            return *g;
    struct group *g = arena_new(a, struct group);
    g->key = key;
    g->family = family;
    g->ports.ports = ports->ports;
    vec_push_arena(a, &r->groups, g);
    return g;
}

static void ports_of(struct run *r, const struct corev1_pod *pod,
                     struct discoveryv1_endpoint_slice *ret)
{
    struct arena *a = r->rc->arena;
    LIST_EACH (sp, &r->svc->spec.ports) {
        int32_t number;
        if (!service_port_number(sp, pod, &number))
            continue;
        struct discoveryv1_endpoint_port *p = list_add(a, &ret->ports);
        p->name = sp->name.p ? sp->name : STR("");
        p->protocol = sp->protocol;
        p->port = NEW_VALUE(a, int32_t, number);
        p->app_protocol = sp->app_protocol;
    }
}

static void add_hints(struct run *r, struct discoveryv1_endpoint *ep)
{
    struct arena *a = r->rc->arena;
    struct str how = r->svc->spec.traffic_distribution;
    bool same_node = str_eq(how, STR("PreferSameNode"));
    bool same_zone = str_eq(how, STR("PreferClose")) || str_eq(how, STR("PreferSameZone"));
    if (!*ep->conditions.ready || (!same_node && !same_zone) || (!ep->zone.n && !same_node))
        return;
    ep->hints = arena_new(a, struct discoveryv1_endpoint_hints);
    if (ep->zone.n)
        (list_add(a, &ep->hints->for_zones))->name = ep->zone;
    if (same_node && ep->node_name.n)
        (list_add(a, &ep->hints->for_nodes))->name = ep->node_name;
}

static struct discoveryv1_endpoint *endpoint_of(struct run *r, const struct corev1_pod *pod,
                                                struct str address)
{
    struct arena *a = r->rc->arena;
    struct discoveryv1_endpoint *ep = arena_new(a, struct discoveryv1_endpoint);
    bool serving = pod_ready(pod), terminating = pod->metadata.deletion_timestamp != NULL;
    bool ready = r->svc->spec.publish_not_ready_addresses || (serving && !terminating);
    str_list_push(a, &ep->addresses, address);
    ep->conditions.ready = NEW_VALUE(a, bool, ready);
    ep->conditions.serving = NEW_VALUE(a, bool, serving);
    ep->conditions.terminating = NEW_VALUE(a, bool, terminating);
    ep->target_ref = arena_new(a, struct corev1_object_reference);
    ep->target_ref->kind = STR("Pod");
    ep->target_ref->namespace = pod->metadata.namespace;
    ep->target_ref->name = pod->metadata.name;
    ep->target_ref->uid = pod->metadata.uid;
    if (pod->spec.node_name.n)
        ep->node_name = pod->spec.node_name;
    ep->hostname = pod_hostname(pod, r->svc);
    struct item *node = cache_get(r->s->nodes, STR(""), pod->spec.node_name);
    if (node) {
        const struct corev1_node *n = item_typed(node, &corev1_node_desc);
        ep->zone = str_map_get(&n->metadata.labels, STR("topology.kubernetes.io/zone"));
    }
    add_hints(r, ep);
    return ep;
}

static void want_pods(struct run *r, struct str family, const struct items *pods)
{
    LIST_EACH (i, pods) {
        const struct corev1_pod *pod = item_typed(*i, &corev1_pod_desc);
        struct str address = pod_address(pod, family);
        struct discoveryv1_endpoint_slice ports = {0};
        if (!address.n || pod_terminal(pod))
            continue;
        ports_of(r, pod, &ports);
        map_put(&group_of(r, family, &ports)->wanted, pod->metadata.uid,
                endpoint_of(r, pod, address));
    }
}

static void make_labels(struct run *r)
{
    struct arena *a = r->rc->arena;
    LIST_EACH (l, &r->svc->metadata.labels)
        if (!str_eqz(l->key, NAME_LABEL) && !str_eqz(l->key, MANAGED_BY_LABEL) &&
            !str_eqz(l->key, HEADLESS_LABEL))
            str_map_set(a, &r->labels, l->key, l->value);
    if (service_headless(r->svc))
        str_map_set(a, &r->labels, STR(HEADLESS_LABEL), STR(""));
    str_map_set(a, &r->labels, STR(NAME_LABEL), r->svc->metadata.name);
    str_map_set(a, &r->labels, STR(MANAGED_BY_LABEL), STR(MANAGER));
}

/* ---- what is ---- */

static bool has_family(const struct corev1_service *svc, struct str family)
{
    if (!svc->spec.ip_families.n)
        return str_eq(family, STR("IPv4"));
    return str_list_has(&svc->spec.ip_families, family);
}

static bool take_slice(void *arg, struct item *i)
{
    struct run *r = arg;
    struct arena *a = r->rc->arena;
    const struct discoveryv1_endpoint_slice *es = item_typed(i, &discoveryv1_endpoint_slice_desc);
    const struct metav1_owner_reference *o = controller_of(&es->metadata);
    if (!str_eq(str_map_get(&es->metadata.labels, STR(MANAGED_BY_LABEL)), STR(MANAGER)) ||
        es->metadata.deletion_timestamp)
        return true;
    struct slice *s = arena_new(a, struct slice);
    s->obj = *es;
    if (!o || !str_eq(o->uid, r->svc->metadata.uid) || !has_family(r->svc, es->address_type)) {
        s->gone = true;
        vec_push_arena(a, &r->dropped, s);
        return true;
    }
    struct group *g = group_of(r, es->address_type, es);
    vec_push_arena(a, &g->slices, s);
    return true;
}

/* ---- from one to the other ---- */

static struct str endpoint_uid(const struct discoveryv1_endpoint *ep)
{
    return ep->target_ref ? ep->target_ref->uid : STR_NULL;
}

/* Endpoints that stay, as they should be now; the others go. What is placed is wanted no more. */
static void keep_endpoints(struct run *r, struct group *g, struct slice *s)
{
    struct arena *a = r->rc->arena;
    struct discoveryv1_endpoint_slice *to = &s->obj;
    const struct discoveryv1_endpoint_slice was = s->obj;
    to->endpoints.v = NULL;
    to->endpoints.n = 0;
    LIST_EACH (ep, &was.endpoints) {
        struct discoveryv1_endpoint *want = map_remove(&g->wanted, endpoint_uid(ep));
        s->changed |= !want || !desc_equal(&discoveryv1_endpoint_desc, want, ep);
        if (want)
            *(list_add(a, &to->endpoints)) = *want;
    }
    if (!str_map_equal(&was.metadata.labels, &r->labels)) {
        to->metadata.labels = r->labels;
        s->changed = true;
    }
    s->gone = to->endpoints.n == 0; /* unless it is filled */
}

static void fill(struct run *r, struct group *g, struct slice *s)
{
    uint32_t it = 0;
    for (struct map_entry *e;
         s->obj.endpoints.n < ENDPOINTS_MAX && (e = map_next(&g->wanted, &it));) {
        *(list_add(r->rc->arena, &s->obj.endpoints)) = *(struct discoveryv1_endpoint *)e->value;
        map_remove(&g->wanted, e->key);
        s->changed = true;
        s->gone = false;
    }
}

static int fuller_first(const void *va, const void *vb)
{
    const struct slice *a = *(struct slice *const *)va, *b = *(struct slice *const *)vb;
    if (a->obj.endpoints.n != b->obj.endpoints.n)
        return a->obj.endpoints.n > b->obj.endpoints.n ? -1 : 1;
    return str_cmp(a->obj.metadata.name, b->obj.metadata.name);
}

/* The unchanged slice that all of the rest fit into with the least room left. */
static struct slice *roomy_slice(const struct group *g)
{
    struct slice *best = NULL;
    LIST_EACH (p, &g->slices) {
        struct slice *s = *p;
        if (!s->changed && s->obj.endpoints.n + g->wanted.count <= ENDPOINTS_MAX &&
            (!best || s->obj.endpoints.n > best->obj.endpoints.n))
            best = s;
    }
    return best;
}

static struct slice *new_slice(struct run *r, struct str family,
                               const struct discoveryv1_endpoint_slice *ports)
{
    struct arena *a = r->rc->arena;
    struct slice *s = arena_new(a, struct slice);
    s->obj.kind = STR("EndpointSlice");
    s->obj.api_version = STR("discovery.k8s.io/v1");
    s->obj.metadata.generate_name = arena_fmt(a, "%.*s-", STR_ARG(r->svc->metadata.name));
    s->obj.metadata.namespace = r->svc->metadata.namespace;
    s->obj.metadata.labels = r->labels;
    owner_add(a, &s->obj.metadata, cache_resource(r->s->of.services), &r->svc->metadata);
    s->obj.address_type = family;
    if (ports)
        s->obj.ports = ports->ports;
    vec_push_arena(a, &r->made, s);
    return s;
}

static void place(struct run *r, struct group *g)
{
    struct slice *s;
    LIST_EACH (p, &g->slices)
        keep_endpoints(r, g, *p);
    if (g->slices.n)
        qsort(g->slices.v, g->slices.n, sizeof *g->slices.v, fuller_first);
    LIST_EACH (p, &g->slices)
        if ((*p)->changed && !(*p)->gone)
            fill(r, g, *p);
    if (g->wanted.count && (s = roomy_slice(g)))
        fill(r, g, s);
    while (g->wanted.count)
        fill(r, g, new_slice(r, g->family, &g->ports));
    LIST_EACH (p, &g->slices)
        if ((*p)->gone)
            vec_push_arena(r->rc->arena, &r->dropped, *p);
}

/* A service without endpoints has one slice that says so. */
static void keep_placeholder(struct run *r, struct str family)
{
    struct slice *empty = NULL;
    LIST_EACH (s, &r->made)
        if (str_eq((*s)->obj.address_type, family))
            return;
    LIST_EACH (g, &r->groups) {
        LIST_EACH (s, &(*g)->slices) {
            if (!str_eq((*g)->family, family))
                continue;
            if (!(*s)->gone)
                return;
            if (!(*s)->obj.ports.n)
                empty = *s;
        }
    }
    if (empty)
        empty->gone = false;
    else
        (void)new_slice(r, family, NULL);
}

/* Slices to be made take the places of slices that would go: an update instead of two writes. */
static void reuse_dropped(struct run *r)
{
    size_t kept = 0;
    LIST_EACH (p, &r->made) {
        struct slice *s = *p, *old = NULL;
        LIST_EACH (d, &r->dropped) {
            const struct metav1_owner_reference *o = controller_of(&(*d)->obj.metadata);
            if ((*d)->gone && str_eq((*d)->obj.address_type, s->obj.address_type) && o &&
                str_eq(o->uid, r->svc->metadata.uid)) {
                old = *d;
                break;
            }
        }
        if (!old) {
            r->made.v[kept++] = s;
            continue;
        }
        old->obj.endpoints = s->obj.endpoints;
        old->obj.ports = s->obj.ports;
        old->obj.metadata.labels = r->labels;
        old->gone = false;
        old->changed = true;
    }
    r->made.n = kept;
}

static void failed(struct reconcile *rc, void *arg, int code, struct item *item,
                   const struct err *e)
{
    struct state *s = rc->c->state;
    struct item *svc = cache_get(s->of.services, rc->ns, rc->name);
    if (code < 0 && code != -ERR_NOT_FOUND && code != -ERR_CONFLICT && svc &&
        !err_has_cause(e, "NamespaceTerminating"))
        reconcile_event(rc, cache_resource(s->of.services), svc, "Warning",
                        "FailedToUpdateEndpointSlices",
                        "Error updating Endpoint Slices for Service %.*s/%.*s: %.*s",
                        STR_ARG(rc->ns), STR_ARG(rc->name), STR_ARG(e->message));
}

static void write_slices(struct run *r)
{
    struct reconcile *rc = r->rc;
    const struct resource_def *res = cache_resource(r->s->slices);
    intend_batch_begin(rc);
    LIST_EACH (s, &r->made)
        if (!r->svc->metadata.deletion_timestamp)
            intent_then(intend_create(rc, res, rc->ns, &(*s)->obj), failed, NULL);
    LIST_EACH (g, &r->groups)
        LIST_EACH (s, &(*g)->slices)
            if ((*s)->changed && !(*s)->gone)
                intent_then(intend_update(rc, res, &(*s)->obj, NULL), failed, NULL);
    LIST_EACH (s, &r->dropped) {
        const struct metav1_object_meta *m = &(*s)->obj.metadata;
        struct client_delete how = {.uid = m->uid, .grace_s = -1};
        if ((*s)->gone)
            intent_then(intend_delete(rc, res, rc->ns, m->name, &how), failed, NULL);
    }
    intend_batch_end(rc);
}

static void reconcile(struct reconcile *rc)
{
    struct state *s = rc->c->state;
    struct item *i = cache_get(s->of.services, rc->ns, rc->name);
    static const struct str families[] = {{"IPv4", 4}, {"IPv6", 4}};
    struct items pods = {0};
    if (!i)
        return; /* its slices go with their owner */
    struct run r = {.rc = rc, .s = s, .svc = item_typed(i, &corev1_service_desc)};
    if (!service_selects(r.svc))
        return;
    make_labels(&r);
    service_pods(rc->arena, &s->of, r.svc, &pods);
    for (size_t f = 0; f < ARRAY_LEN(families); f++)
        if (has_family(r.svc, families[f]))
            want_pods(&r, families[f], &pods);
    cache_index_each(s->slices_by_label,
                     cache_label_key(rc->arena, rc->ns, STR(NAME_LABEL), rc->name), take_slice, &r);
    LIST_EACH (g, &r.groups)
        place(&r, *g);
    for (size_t f = 0; f < ARRAY_LEN(families); f++)
        if (has_family(r.svc, families[f]))
            keep_placeholder(&r, families[f]);
    reuse_dropped(&r);
    write_slices(&r);
    LIST_EACH (g, &r.groups)
        map_fini(&(*g)->wanted);
}

const struct controller_def controller_endpoint_slice = {.name = "endpoint-slice",
                                                         .component = "endpoint-slice-controller",
                                                         .start = start,
                                                         .reconcile = reconcile,
                                                         .stop = stop};
