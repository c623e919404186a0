/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/service.h"

#include "controller/pods.h"

/* ---- caches ---- */

static void index_first_pair(struct item *i, void (*add)(void *ctx, struct str key), void *ctx)
{
    const struct corev1_service *svc = item_typed(i, &corev1_service_desc);
    struct arena scratch = ARENA_INIT;
    if (svc->spec.selector.n) {
        const struct str_pair *p = &svc->spec.selector.v[0];
        add(ctx, cache_label_key(&scratch, svc->metadata.namespace, p->key, p->value));
    }
    arena_fini(&scratch);
}

void service_caches_start(struct controller *c, struct service_caches *s, map_fn *map_pod)
{
    s->services = controller_watch(c, "v1/services", map_self);
    s->pods = controller_watch(c, "v1/pods", map_pod);
    s->services_by_pair = cache_add_index(s->services, "first pair", index_first_pair);
    s->pods_by_label = cache_add_index(s->pods, "label", cache_index_label);
}

/* ---- waking ---- */

struct waking {
    struct controller *c;
    const struct str_map *labels;
};

static bool selector_matches(const struct str_map *selector, const struct str_map *labels)
{
    LIST_EACH (p, selector)
        if (!str_map_has(labels, p->key) || !str_eq(str_map_get(labels, p->key), p->value))
            return false;
    return true;
}

static bool wake_matching(void *arg, struct item *service)
{
    struct waking *w = arg;
    const struct corev1_service *svc = item_typed(service, &corev1_service_desc);
    if (selector_matches(&svc->spec.selector, w->labels))
        controller_enqueue_item(w->c, service);
    return true;
}

static void wake_for(struct controller *c, const struct service_caches *s,
                     const struct corev1_pod *pod)
{
    struct arena scratch = ARENA_INIT;
    struct waking w = {c, &pod->metadata.labels};
    LIST_EACH (l, &pod->metadata.labels)
        cache_index_each(s->services_by_pair,
                         cache_label_key(&scratch, pod->metadata.namespace, l->key, l->value),
                         wake_matching, &w);
    arena_fini(&scratch);
}

static bool same_addresses(const struct corev1_pod *a, const struct corev1_pod *b)
{
    if (!str_eq(a->status.pod_ip, b->status.pod_ip) || a->status.pod_ips.n != b->status.pod_ips.n)
        return false;
    for (size_t i = 0; i < a->status.pod_ips.n; i++)
        if (!str_eq(a->status.pod_ips.v[i].ip, b->status.pod_ips.v[i].ip))
            return false;
    return true;
}

/* Would the pod's endpoint be the same? Ports of a pod do not change. */
static bool same_endpoint(const struct corev1_pod *a, const struct corev1_pod *b)
{
    return same_addresses(a, b) && pod_ready(a) == pod_ready(b) &&
           pod_terminal(a) == pod_terminal(b) &&
           !a->metadata.deletion_timestamp == !b->metadata.deletion_timestamp &&
           str_eq(a->metadata.uid, b->metadata.uid) &&
           str_eq(a->spec.node_name, b->spec.node_name) &&
           str_map_equal(&a->metadata.labels, &b->metadata.labels);
}

void wake_services(struct controller *c, const struct service_caches *s, struct item *old,
                   struct item *now)
{
    const struct corev1_pod *was = old ? item_typed(old, &corev1_pod_desc) : NULL;
    const struct corev1_pod *pod = now ? item_typed(now, &corev1_pod_desc) : NULL;
    if (was && pod && same_endpoint(was, pod))
        return;
    if (pod)
        wake_for(c, s, pod);
    if (was && (!pod || !str_map_equal(&was->metadata.labels, &pod->metadata.labels)))
        wake_for(c, s, was);
}

/* ---- selecting ---- */

bool service_selects(const struct corev1_service *svc)
{
    return svc->spec.selector.n && !str_eq(svc->spec.type, STR("ExternalName"));
}

bool service_headless(const struct corev1_service *svc)
{
    return !svc->spec.cluster_ip.n || str_eq(svc->spec.cluster_ip, STR("None"));
}

struct selecting {
    struct arena *arena;
    const struct corev1_service *svc;
    struct items *ret;
};

static bool select_pod(void *arg, struct item *i)
{
    struct selecting *s = arg;
    const struct corev1_pod *pod = item_typed(i, &corev1_pod_desc);
    if (selector_matches(&s->svc->spec.selector, &pod->metadata.labels))
        vec_push_arena(s->arena, s->ret, i);
    return true;
}

void service_pods(struct arena *a, const struct service_caches *s, const struct corev1_service *svc,
                  struct items *ret)
{
    struct selecting sel = {a, svc, ret};
    struct str best = STR_NULL;
    size_t least = SIZE_MAX;
    LIST_EACH (p, &svc->spec.selector) {
        struct str key = cache_label_key(a, svc->metadata.namespace, p->key, p->value);
        size_t n = cache_index_count(s->pods_by_label, key);
        if (n < least) {
            least = n;
            best = key;
        }
    }
    if (best.n)
        cache_index_each(s->pods_by_label, best, select_pod, &sel);
}

/* ---- endpoints ---- */

static bool named_port(const struct corev1_container *c, const struct corev1_service_port *port,
                       int32_t *ret)
{
    LIST_EACH (p, &c->ports) {
        if (str_eq(p->name, port->target_port.s) && str_eq(p->protocol, port->protocol)) {
            *ret = p->container_port;
            return true;
        }
    }
    return false;
}

bool service_port_number(const struct corev1_service_port *port, const struct corev1_pod *pod,
                         int32_t *ret)
{
    *ret = port->target_port.i;
    if (!port->target_port.is_string)
        return true;
    LIST_EACH (c, &pod->spec.containers)
        if (named_port(c, port, ret))
            return true;
    LIST_EACH (c, &pod->spec.init_containers) /* sidecars */
        if (str_eq(c->restart_policy, STR("Always")) && named_port(c, port, ret))
            return true;
    return false;
}

struct str pod_address(const struct corev1_pod *pod, struct str family)
{
    bool v6 = str_eq(family, STR("IPv6"));
    LIST_EACH (ip, &pod->status.pod_ips)
        if ((str_index(ip->ip, ':') >= 0) == v6)
            return ip->ip;
    struct str ip = pod->status.pod_ip;
    return !pod->status.pod_ips.n && (str_index(ip, ':') >= 0) == v6 ? ip : STR_NULL;
}

struct str pod_hostname(const struct corev1_pod *pod, const struct corev1_service *svc)
{
    bool named = pod->spec.hostname.n && str_eq(pod->spec.subdomain, svc->metadata.name);
    return named ? pod->spec.hostname : STR_NULL;
}
