/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pods/proxy, services/proxy and nodes/proxy: HTTP through the API server. The name may carry a
 * scheme and a port: "https:web:8443", "web:http".
 */
#include "api/corev1.h"
#include "api/discoveryv1.h"
#include "server/impl.h"
#include "server/relay.h"
#include "server/subresource.h"

/* The parts of "[scheme:]name[:port]"; upstream: SplitSchemeNamePort. */
struct proxy_name {
    struct str scheme, name, port;
};

static bool split_name(struct str s, struct proxy_name *ret)
{
    struct str parts[3], part;
    size_t n = 0;
    *ret = (struct proxy_name){.scheme = STR("")};
    while (n < 3 && str_next(&s, ':', &part))
        parts[n++] = part;
    if (s.p)
        return false;
    if (n == 3) {
        *ret = (struct proxy_name){parts[0], parts[1], parts[2]};
        return str_eq(parts[0], STR("http")) || str_eq(parts[0], STR("https")) || !parts[0].n;
    }
    ret->name = parts[0];
    ret->port = n == 2 ? parts[1] : STR("");
    return true;
}

static struct item *find(struct request *r, struct str name)
{
    struct item *i = store_get(r->server->store, resource_key(r->arena, r->res, r->ns, name));
    if (!i)
        (void)err_not_found(&r->err, r->res, name);
    return i;
}

static int pod_address(struct request *r, const struct proxy_name *n, struct str *ret)
{
    struct item *i = find(r, n->name);
    if (!i)
        return -ERR_NOT_FOUND;
    const struct corev1_pod *pod = item_typed(i, &corev1_pod_desc);
    struct str port = n->port;
    LIST_EACH (c, &pod->spec.containers)
        LIST_EACH (p, &c->ports)
            if (!port.n || (n->port.n && str_eq(p->name, n->port)))
                port = arena_fmt(r->arena, "%d", p->container_port);
    if (!pod->status.pod_ip.n)
        return err_set(&r->err, ERR_UNAVAILABLE, "address not allowed: the pod has no address yet");
    *ret = arena_fmt(r->arena, "tcp:%.*s:%.*s", STR_ARG(pod->status.pod_ip),
                     STR_ARG(port.n ? port : STR("80")));
    return 0;
}

/* One ready endpoint of the Service, chosen at random. */
struct endpoint_search {
    struct request *r;
    struct str service, port_name;
    uint64_t seen;
    struct str address;
    int32_t port;
};

static void take_slice(struct endpoint_search *f, const struct discoveryv1_endpoint_slice *s)
{
    int32_t port = 0;
    LIST_EACH (p, &s->ports)
        if (p->port && (str_eq(p->name, f->port_name) || s->ports.n == 1))
            port = *p->port;
    LIST_EACH (e, &s->endpoints) {
        bool ready = !e->conditions.ready || *e->conditions.ready;
        if (!ready || !port || !e->addresses.n)
            continue;
        if (loop_random_u64(f->r->server->loop) % ++f->seen == 0) {
            f->address = e->addresses.v[0];
            f->port = port;
        }
    }
}

static bool each_slice(void *arg, struct item *i)
{
    struct endpoint_search *f = arg;
    const struct discoveryv1_endpoint_slice *s = item_typed(i, &discoveryv1_endpoint_slice_desc);
    if (str_eq(str_map_get(&s->metadata.labels, STR("kubernetes.io/service-name")), f->service))
        take_slice(f, s);
    return true;
}

static int service_address(struct request *r, const struct proxy_name *n, struct str *ret)
{
    struct item *i = find(r, n->name);
    if (!i)
        return -ERR_NOT_FOUND;
    const struct corev1_service *svc = item_typed(i, &corev1_service_desc);
    struct endpoint_search f = {.r = r, .service = n->name, .port_name = STR("")};
    bool known = !n->port.n && svc->spec.ports.n == 1;
    LIST_EACH (p, &svc->spec.ports) {
        if (str_eq(p->name, n->port) || str_eq(arena_fmt(r->arena, "%d", p->port), n->port)) {
            f.port_name = p->name;
            known = true;
        }
    }
    if (known && !n->port.n)
        f.port_name = svc->spec.ports.v[0].name;
    if (!known)
        return err_set(&r->err, ERR_UNAVAILABLE,
                       "no service port \"%.*s\" found for service "
                       "\"%.*s\"",
                       STR_ARG(n->port), STR_ARG(n->name));
    struct store_range slices = {
        .prefix = arena_fmt(r->arena, "discovery.k8s.io/endpointslices/%.*s/", STR_ARG(r->ns))};
    must(store_each(r->server->store, &slices, each_slice, &f) == 0);
    if (!f.address.n)
        return err_set(&r->err, ERR_UNAVAILABLE, "no endpoints available for service \"%.*s\"",
                       STR_ARG(n->name));
    *ret = arena_fmt(r->arena, "tcp:%.*s:%d", STR_ARG(f.address), f.port);
    return 0;
}

static int node_address(struct request *r, const struct proxy_name *n, struct str *ret)
{
    struct item *i = find(r, n->name);
    if (!i)
        return -ERR_NOT_FOUND;
    const struct corev1_node *node = item_typed(i, &corev1_node_desc);
    int32_t agent = node->status.daemon_endpoints.kubelet_endpoint.port;
    struct str port = n->port.n ? n->port : arena_fmt(r->arena, "%d", agent ? agent : 10250);
    LIST_EACH (a, &node->status.addresses)
        if (str_eq(a->type, STR("InternalIP"))) {
            *ret = arena_fmt(r->arena, "tcp:%.*s:%.*s", STR_ARG(a->address), STR_ARG(port));
            return 0;
        }
    return err_set(&r->err, ERR_UNAVAILABLE, "the node has no InternalIP");
}

static bool https(const struct request *r, const struct proxy_name *n)
{
    return str_eq(n->scheme, STR("https")) || str_eq(n->port, STR("https")) ||
           (r->res->desc == &corev1_node_desc && !n->port.n);
}

void sub_proxy(struct request *r)
{
    struct proxy_name n;
    struct relay_target t = {.host = STR("localhost"), .proxy = true};
    int rc;
    if (!split_name(r->name, &n)) {
        respond_errorf(r, ERR_BAD_REQUEST, "invalid %.*s request \"%.*s\"",
                       STR_ARG(r->res->singular), STR_ARG(r->name));
        return;
    }
    if (r->res->desc == &corev1_pod_desc)
        rc = pod_address(r, &n, &t.address);
    else if (r->res->desc == &corev1_service_desc)
        rc = service_address(r, &n, &t.address);
    else
        rc = node_address(r, &n, &t.address);
    if (rc < 0) {
        respond_error(r);
        return;
    }
    /* Only the agent's certificate is one we know; the rest of https is taken as it comes. */
    if (https(r, &n)) {
        bool agent = r->res->desc == &corev1_node_desc;
        t.tls = agent ? r->server->config.kubelet_tls : r->server->config.proxy_tls;
        t.host = agent ? STR("kubelet") : t.host;
    }
    t.path = arena_fmt(r->arena, "/%.*s%s%.*s", STR_ARG(r->rest), r->query.n ? "?" : "",
                       STR_ARG(r->query));
    relay_start(r, &t);
}
