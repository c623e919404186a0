/* SPDX-License-Identifier: Apache-2.0 */
#include "server/alloc.h"

#include <arpa/inet.h>

#include "api/corev1.h"
#include "server/impl.h"

struct alloc {
    struct server *s;
    struct store_watch *watch;
    uint32_t net, size; /* service range: first address (host order), number of them */
    uint32_t port_low, port_high;
    struct map used; /* "10.96.0.1", "30000/TCP" -> uid of the Service (malloc'd) */
};

static struct str ip_text(struct arena *a, uint32_t ip)
{
    return arena_fmt(a, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

static struct str port_text(struct arena *a, int32_t port, struct str protocol)
{
    return arena_fmt(a, "%d/%.*s", port, STR_ARG(protocol.n ? protocol : STR("TCP")));
}

static void hold(struct alloc *al, struct str key, struct str uid)
{
    char *owner = xmalloc(uid.n + 1);
    if (uid.n)
        memcpy(owner, uid.p, uid.n);
    owner[uid.n] = 0;
    free(map_put(&al->used, key, owner));
}

static void release(struct alloc *al, struct str key, struct str uid)
{
    const char *owner = map_get(&al->used, key);
    if (owner && str_eqz(uid, owner))
        free(map_remove(&al->used, key));
}

static bool is_free(struct alloc *al, struct str key, struct str uid)
{
    const char *owner = map_get(&al->used, key);
    return !owner || str_eqz(uid, owner);
}

/* Calls fn for everything that the Service holds. */
static void each_held(struct alloc *al, const struct corev1_service *svc,
                      void (*fn)(struct alloc *al, struct str key, struct str uid))
{
    struct arena scratch = ARENA_INIT;
    struct str uid = svc->metadata.uid;
    if (svc->spec.cluster_ip.n && !str_eq(svc->spec.cluster_ip, STR("None")))
        fn(al, svc->spec.cluster_ip, uid);
    LIST_EACH (p, &svc->spec.ports)
        if (p->node_port)
            fn(al, port_text(&scratch, p->node_port, p->protocol), uid);
    if (svc->spec.health_check_node_port)
        fn(al, port_text(&scratch, svc->spec.health_check_node_port, STR("TCP")), uid);
    arena_fini(&scratch);
}

static bool follow(void *arg, const struct store_event *v, size_t n)
{
    struct alloc *al = arg;
    for (size_t i = 0; i < n; i++) {
        if (v[i].prev)
            each_held(al, item_typed(v[i].prev, &corev1_service_desc), release);
        if (!v[i].deleted)
            each_held(al, item_typed(v[i].item, &corev1_service_desc), hold);
    }
    return true;
}

static bool hold_item(void *arg, struct item *i)
{
    each_held(arg, item_typed(i, &corev1_service_desc), hold);
    return true;
}

static int start(struct alloc *al, struct err *e);

static void fell_behind(void *arg)
{
    struct alloc *al = arg;
    struct arena scratch = ARENA_INIT;
    struct err e = ERR_INIT(&scratch);
    store_watch_stop(al->watch);
    al->watch = NULL;
    must(start(al, &e) == 0);
    arena_fini(&scratch);
}

static const struct store_watch_ops follow_ops = {.events = follow, .expired = fell_behind};

static int start(struct alloc *al, struct err *e)
{
    struct store_range all = {.prefix = STR("core/services/")};
    must(store_each(al->s->store, &all, hold_item, al) == 0);
    return store_watch_start(al->s->store, all.prefix, store_revision(al->s->store), &follow_ops,
                             al, &al->watch, e);
}

static bool parse_cidr(struct str cidr, uint32_t *ret_net, uint32_t *ret_size)
{
    struct str ip, bits_text;
    uint64_t bits;
    char text[INET_ADDRSTRLEN];
    struct in_addr in;
    if (!str_cut(cidr, '/', &ip, &bits_text) || !str_to_u64(bits_text, &bits) || bits < 8 ||
        bits > 30 || ip.n >= sizeof text)
        return false;
    memcpy(text, ip.p, ip.n);
    text[ip.n] = 0;
    if (inet_pton(AF_INET, text, &in) != 1)
        return false;
    *ret_size = 1u << (32 - bits);
    *ret_net = ntohl(in.s_addr) & ~(*ret_size - 1);
    return true;
}

int alloc_new(struct server *s, struct alloc **ret, struct err *e)
{
    struct str low, high;
    uint64_t from, to;
    struct alloc *al = xcalloc(1, sizeof *al);
    al->s = s;
    if (!parse_cidr(s->config.service_cidr, &al->net, &al->size)) {
        free(al);
        return err_set(e, ERR_INVALID, "service CIDR \"%.*s\" is not an IPv4 range of /8 to /30",
                       STR_ARG(s->config.service_cidr));
    }
    if (!str_cut(s->config.node_ports, '-', &low, &high) || !str_to_u64(low, &from) ||
        !str_to_u64(high, &to) || from < 1 || to > 65535 || from > to) {
        free(al);
        return err_set(e, ERR_INVALID, "node port range \"%.*s\" is not \"low-high\"",
                       STR_ARG(s->config.node_ports));
    }
    al->port_low = (uint32_t)from;
    al->port_high = (uint32_t)to;
    int rc = start(al, e);
    if (rc < 0) {
        alloc_free(al);
        return rc;
    }
    *ret = al;
    return 0;
}

void alloc_free(struct alloc *al)
{
    uint32_t it = 0;
    if (!al)
        return;
    if (al->watch)
        store_watch_stop(al->watch);
    for (struct map_entry *m; (m = map_next(&al->used, &it));)
        free(m->value);
    map_fini(&al->used);
    free(al);
}

struct str alloc_first_ip(struct alloc *al, struct arena *a)
{
    return ip_text(a, al->net + 1);
}

/* ---- assigning ---- */

/* The lowest sixteenth of the range (16 to 256 addresses) is left to those who ask for a certain
 * address, as long as the rest lasts. */
static uint32_t static_block(const struct alloc *al)
{
    uint32_t block = al->size / 16;
    return MIN(MAX(block, 16u), MIN(256u, al->size / 2));
}

static bool pick_ip(struct alloc *al, struct arena *a, struct str uid, struct str *ret)
{
    uint32_t low = static_block(al), n = al->size - 1;
    uint32_t first = low + (uint32_t)(loop_random_u64(al->s->loop) % (n - low));
    for (uint32_t step = 0; step < n; step++) {
        uint32_t offset = first + step;
        if (offset >= n)
            offset = offset - n + 1; /* then the low block, from its start */
        struct str ip = ip_text(a, al->net + offset);
        if (is_free(al, ip, uid)) {
            *ret = ip;
            return true;
        }
    }
    return false;
}

static bool pick_port(struct alloc *al, struct arena *a, struct str uid, struct str protocol,
                      int32_t *ret)
{
    uint32_t n = al->port_high - al->port_low + 1;
    uint32_t first = (uint32_t)(loop_random_u64(al->s->loop) % n);
    for (uint32_t step = 0; step < n; step++) {
        int32_t port = (int32_t)(al->port_low + (first + step) % n);
        if (is_free(al, port_text(a, port, protocol), uid)) {
            *ret = port;
            return true;
        }
    }
    return false;
}

static int invalid(struct write *w, const char *field, const char *value, const char *why)
{
    struct err *e = &w->r->err;
    err_cause(e, str_z(field), "FieldValueInvalid", "Invalid value: %s: %s", value, why);
    e->detail_kind = STR("Service");
    e->detail_name = w->obj->meta->name;
    return err_set(e, ERR_INVALID, "Service \"%.*s\" is invalid: %s: Invalid value: %s: %s",
                   STR_ARG(w->obj->meta->name), field, value, why);
}

static int assign_ip(struct alloc *al, struct write *w, struct corev1_service *svc)
{
    struct arena *a = w->r->arena;
    struct str uid = svc->metadata.uid;
    if (!svc->spec.cluster_ip.n && svc->spec.cluster_ips.n)
        svc->spec.cluster_ip = svc->spec.cluster_ips.v[0];
    if (str_eq(svc->spec.cluster_ip, STR("None"))) {
        if (!svc->spec.cluster_ips.n)
            str_list_push(a, &svc->spec.cluster_ips, STR("None"));
        return 0;
    }
    if (!svc->spec.cluster_ip.n) {
        if (!pick_ip(al, a, uid, &svc->spec.cluster_ip))
            return err_set(&w->r->err, ERR_INTERNAL,
                           "failed to allocate a serviceIP: range is full");
    } else {
        const char *text = arena_z(a, svc->spec.cluster_ip);
        struct in_addr in;
        if (inet_pton(AF_INET, text, &in) != 1 || ntohl(in.s_addr) - al->net >= al->size)
            return invalid(w, "spec.clusterIPs", arena_fmt(a, "[\"%s\"]", text).p,
                           "failed to allocate IP: the provided IP is not in the valid range");
        if (!is_free(al, svc->spec.cluster_ip, uid))
            return invalid(w, "spec.clusterIPs", arena_fmt(a, "[\"%s\"]", text).p,
                           "failed to allocate IP: provided IP is already allocated");
    }
    if (!svc->spec.cluster_ips.n)
        str_list_push(a, &svc->spec.cluster_ips, svc->spec.cluster_ip);
    return 0;
}

static int assign_ports(struct alloc *al, struct write *w, struct corev1_service *svc)
{
    struct arena *a = w->r->arena;
    bool load_balancer = str_eq(svc->spec.type, STR("LoadBalancer"));
    if (!str_eq(svc->spec.type, STR("NodePort")) && !load_balancer) {
        LIST_EACH (p, &svc->spec.ports)
            p->node_port = 0;
        return 0;
    }
    if (load_balancer && svc->spec.allocate_load_balancer_node_ports &&
        !*svc->spec.allocate_load_balancer_node_ports)
        return 0;
    for (size_t i = 0; i < svc->spec.ports.n; i++) {
        struct corev1_service_port *p = &svc->spec.ports.v[i];
        if (!p->node_port && !pick_port(al, a, svc->metadata.uid, p->protocol, &p->node_port))
            return err_set(&w->r->err, ERR_INTERNAL,
                           "failed to allocate a nodePort: range is full");
        if (!is_free(al, port_text(a, p->node_port, p->protocol), svc->metadata.uid))
            return invalid(w, arena_fmt(a, "spec.ports[%zu].nodePort", i).p,
                           arena_fmt(a, "%d", p->node_port).p,
                           "provided port is already allocated");
        if ((uint32_t)p->node_port < al->port_low || (uint32_t)p->node_port > al->port_high)
            return invalid(w, arena_fmt(a, "spec.ports[%zu].nodePort", i).p,
                           arena_fmt(a, "%d", p->node_port).p,
                           arena_fmt(a,
                                     "provided port is not in the valid range. The range of "
                                     "valid ports is %u-%u",
                                     al->port_low, al->port_high)
                               .p);
        if (!w->r->opts.dry_run)
            hold(al, port_text(a, p->node_port, p->protocol), svc->metadata.uid);
    }
    return 0;
}

static void set_families(struct arena *a, struct corev1_service *svc)
{
    if (!svc->spec.ip_families.n)
        str_list_push(a, &svc->spec.ip_families, STR("IPv4"));
    if (!svc->spec.ip_family_policy.n)
        svc->spec.ip_family_policy = STR("SingleStack");
}

int alloc_assign(struct write *w)
{
    struct alloc *al = w->r->server->alloc;
    if (w->res->desc != &corev1_service_desc || w->status)
        return 0;
    struct corev1_service *svc = w->obj->typed;
    if (str_eq(svc->spec.type, STR("ExternalName"))) {
        svc->spec.cluster_ip = STR_NULL;
        svc->spec.cluster_ips = (struct str_list){0};
        return 0;
    }
    if (w->old) {
        /* A client that leaves the address out of an update keeps it. */
        const struct corev1_service *old = w->old->typed;
        if (!svc->spec.cluster_ip.n && !str_eq(old->spec.type, STR("ExternalName"))) {
            svc->spec.cluster_ip = old->spec.cluster_ip;
            svc->spec.cluster_ips = old->spec.cluster_ips;
        }
    }
    set_families(w->r->arena, svc);
    int rc = assign_ip(al, w, svc);
    if (rc == 0)
        rc = assign_ports(al, w, svc);
    if (rc == 0 && !w->r->opts.dry_run && !str_eq(svc->spec.cluster_ip, STR("None")))
        hold(al, svc->spec.cluster_ip, svc->metadata.uid);
    return rc;
}
