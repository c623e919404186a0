/* SPDX-License-Identifier: Apache-2.0 */
#include "network/state.h"

#include <ctype.h>

enum { LABEL_MAX = 63, NAME_MAX_ = 253 };

bool network_protocol_parse(struct str s, enum network_protocol *ret)
{
    if (str_eqz(s, "TCP") || str_empty(s))
        *ret = NETWORK_TCP;
    else if (str_eqz(s, "UDP"))
        *ret = NETWORK_UDP;
    else if (str_eqz(s, "SCTP"))
        *ret = NETWORK_SCTP;
    else
        return false;
    return true;
}

/* ---- one allocation per object ---- */

/* Carves arrays and strings out of one block whose size was summed up before. */
struct carve {
    char *at, *end;
};

static size_t rounded(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static void *carve(struct carve *c, size_t n)
{
    void *p = c->at;
    c->at += rounded(n);
    must(c->at <= c->end);
    return p;
}

static struct str carve_str(struct carve *c, struct str s)
{
    if (s.n == 0)
        return STR_NULL;
    return str_n(memcpy(carve(c, s.n), s.p, s.n), s.n);
}

static void *carve_begin(struct carve *c, size_t size)
{
    c->at = xcalloc(1, size);
    c->end = c->at + size;
    return c->at;
}

static struct ip *carve_ips(struct carve *c, const struct str *texts, size_t n, size_t *ret_n)
{
    struct ip *v = carve(c, n * sizeof *v);
    *ret_n = 0;
    for (size_t i = 0; i < n; i++)
        *ret_n += ip_parse(texts[i], &v[*ret_n]);
    return v;
}

/* ---- keys ---- */

enum { KEY_ROOM = LABEL_MAX + 1 + NAME_MAX_ + 1 };

static struct str key_of(char out[KEY_ROOM], struct str namespace_, struct str name)
{
    if (namespace_.n > LABEL_MAX || name.n > NAME_MAX_)
        return STR_NULL;
    if (namespace_.n)
        memcpy(out, namespace_.p, namespace_.n);
    out[namespace_.n] = '/';
    if (name.n)
        memcpy(out + namespace_.n + 1, name.p, name.n);
    return str_n(out, namespace_.n + 1 + name.n);
}

static struct str ip_key(const struct ip *a)
{
    return str_n((const char *)a, sizeof *a);
}

static int check_names(struct str namespace_, struct str name, size_t name_max, struct err *e)
{
    bool good = namespace_.n && namespace_.n <= LABEL_MAX && name.n && name.n <= name_max &&
                str_index(namespace_, '/') < 0 && str_index(name, '/') < 0;
    if (good)
        return 0;
    return err_set(e, ERR_INVALID, "\"%.*s/%.*s\" is no valid name", STR_ARG(namespace_),
                   STR_ARG(name));
}

/* ---- life ---- */

void state_init(struct network_state *st, struct str node_name)
{
    *st = (struct network_state){.services = MAP_INIT_BORROWED, .slices = MAP_INIT_BORROWED};
    st->node_name = xmalloc(node_name.n + 1);
    memcpy(st->node_name, node_name.n ? node_name.p : "", node_name.n);
    st->node_name[node_name.n] = 0;
    list_init(&st->dirty);
}

static void forget_hosts(struct state_service *s)
{
    uint32_t it = 0;
    for (struct map_entry *entry; (entry = map_next(&s->hosts, &it));)
        for (struct state_host *h = entry->value, *next; h; h = next) {
            next = h->next;
            free(h);
        }
    map_fini(&s->hosts);
    s->hosts = MAP_INIT;
    s->hosts_known = false;
}

static void free_service(struct state_service *s)
{
    must(s->proxy == NULL);
    forget_hosts(s);
    list_remove(&s->dirty);
    free(s->spec);
    free(s);
}

void state_fini(struct network_state *st)
{
    struct map_entry *entry;
    for (uint32_t it = 0; (entry = map_next(&st->reverses, &it));)
        for (struct state_reverse *r = entry->value, *next; r; r = next) {
            next = r->next;
            free(r);
        }
    for (uint32_t it = 0; (entry = map_next(&st->slices, &it));)
        free(entry->value);
    for (uint32_t it = 0; (entry = map_next(&st->services, &it));)
        free_service(entry->value);
    map_fini(&st->services);
    map_fini(&st->slices);
    map_fini(&st->namespaces);
    map_fini(&st->by_ip);
    map_fini(&st->reverses);
    free(st->node_name);
}

void state_mark(struct network_state *st, struct state_service *s)
{
    if (list_linked(&s->dirty))
        return;
    list_push_back(&st->dirty, &s->dirty);
    if (st->changed)
        st->changed(st->changed_arg);
}

/* The service or its slices changed. */
static void mark(struct network_state *st, struct state_service *s)
{
    forget_hosts(s);
    state_mark(st, s);
}

struct state_service *state_take_dirty(struct network_state *st)
{
    struct list *first = list_pop_front(&st->dirty);
    return first ? list_entry(first, struct state_service, dirty) : NULL;
}

void state_seen(struct network_state *st, struct state_service *s)
{
    if (s->spec || !list_empty(&s->slices) || list_linked(&s->dirty))
        return;
    map_remove(&st->services, s->key);
    free_service(s);
}

/* The object for that name, made when it is not there. */
static struct state_service *service_get(struct network_state *st, struct str namespace_,
                                         struct str name)
{
    char room[KEY_ROOM];
    struct str key = key_of(room, namespace_, name);
    struct state_service *s = map_get(&st->services, key);
    if (s)
        return s;
    s = xcalloc(1, sizeof *s + key.n);
    char *text = (char *)(s + 1);
    memcpy(text, key.p, key.n);
    s->key = str_n(text, key.n);
    s->namespace_ = str_n(text, namespace_.n);
    s->name = str_n(text + namespace_.n + 1, name.n);
    list_init(&s->slices);
    map_put(&st->services, s->key, s);
    return s;
}

/* ---- services ---- */

static void count_namespace(struct network_state *st, struct str namespace_, int change)
{
    intptr_t n = (intptr_t)map_get(&st->namespaces, namespace_) + change;
    if (n)
        map_put(&st->namespaces, namespace_, (void *)n);
    else
        map_remove(&st->namespaces, namespace_);
}

static void index_ips(struct network_state *st, struct state_service *s)
{
    LIST_EACH (a, &s->spec->cluster_ips)
        map_put(&st->by_ip, ip_key(a), s);
}

static void unindex_ips(struct network_state *st, struct state_service *s)
{
    LIST_EACH (a, &s->spec->cluster_ips)
        if (map_get(&st->by_ip, ip_key(a)) == s)
            map_remove(&st->by_ip, ip_key(a));
}

static size_t spec_size(const struct network_service *s)
{
    size_t ips = s->cluster_ip_count + s->external_ip_count + s->ingress_ip_count;
    size_t n = rounded(sizeof(struct state_spec)) + ips * sizeof(struct ip) + 3 * 8 +
               rounded(s->source_range_count * sizeof(struct cidr)) +
               rounded(s->port_count * sizeof(struct state_port)) + rounded(s->external_name.n);
    for (size_t i = 0; i < s->port_count; i++)
        n += rounded(s->ports[i].name.n);
    return n;
}

static void carve_external_name(struct carve *c, struct state_spec *spec, struct str name)
{
    if (str_has_suffix(name, STR(".")))
        name.n--;
    char *copy = carve(c, name.n);
    for (size_t i = 0; i < name.n; i++)
        copy[i] = (char)tolower((unsigned char)name.p[i]);
    spec->external_name = str_n(copy, name.n);
}

static struct state_spec *spec_new(const struct network_service *s)
{
    struct carve c;
    struct state_spec *spec = carve_begin(&c, spec_size(s));
    carve(&c, sizeof *spec);
    spec->type = s->type;
    bool named = s->type == NETWORK_EXTERNAL_NAME;
    bool balanced = s->type == NETWORK_LOAD_BALANCER;
    spec->cluster_ips.v =
        carve_ips(&c, s->cluster_ips, named ? 0 : s->cluster_ip_count, &spec->cluster_ips.n);
    spec->external_ips.v =
        carve_ips(&c, s->external_ips, named ? 0 : s->external_ip_count, &spec->external_ips.n);
    spec->ingress_ips.v =
        carve_ips(&c, s->ingress_ips, balanced ? s->ingress_ip_count : 0, &spec->ingress_ips.n);
    spec->source_ranges.v = carve(&c, s->source_range_count * sizeof(struct cidr));
    for (size_t i = 0; i < s->source_range_count; i++)
        spec->source_ranges.n += cidr_parse(str_trim(s->source_ranges[i]),
                                            &spec->source_ranges.v[spec->source_ranges.n]);
    spec->source_limited = balanced && s->source_range_count > 0;
    spec->ports.v = carve(&c, s->port_count * sizeof(struct state_port));
    spec->ports.n = s->port_count;
    for (size_t i = 0; i < s->port_count; i++)
        spec->ports.v[i] =
            (struct state_port){carve_str(&c, s->ports[i].name), s->ports[i].protocol,
                                s->ports[i].port, s->ports[i].node_port};
    if (named)
        carve_external_name(&c, spec, s->external_name);
    spec->affinity_timeout_s = s->affinity_timeout_s;
    spec->external_local = s->external_local;
    spec->internal_local = s->internal_local;
    spec->publish_not_ready = s->publish_not_ready;
    return spec;
}

int state_service_set(struct network_state *st, const struct network_service *s, struct err *e)
{
    int error = check_names(s->namespace_, s->name, LABEL_MAX, e);
    if (error)
        return error;
    if (s->port_count > NETWORK_SERVICE_PORTS_MAX || s->cluster_ip_count > 2 ||
        s->external_ip_count > NETWORK_ADDRESSES_MAX ||
        s->ingress_ip_count > NETWORK_ADDRESSES_MAX ||
        s->source_range_count > NETWORK_ADDRESSES_MAX || s->external_name.n > NAME_MAX_ + 1)
        return err_set(e, ERR_LIMIT, "services \"%.*s/%.*s\" has too many ports or addresses",
                       STR_ARG(s->namespace_), STR_ARG(s->name));
    struct state_service *known = service_get(st, s->namespace_, s->name);
    if (known->spec) {
        unindex_ips(st, known);
        free(known->spec);
    } else {
        count_namespace(st, known->namespace_, 1);
        st->service_count++;
    }
    known->spec = spec_new(s);
    index_ips(st, known);
    mark(st, known);
    return 0;
}

void state_service_remove(struct network_state *st, struct str namespace_, struct str name)
{
    struct state_service *s = state_find(st, namespace_, name);
    if (!s)
        return;
    unindex_ips(st, s);
    count_namespace(st, s->namespace_, -1);
    st->service_count--;
    free(s->spec);
    s->spec = NULL;
    mark(st, s);
}

/* ---- slices ---- */

static void index_reverses(struct network_state *st, struct state_slice *sl)
{
    for (size_t i = 0; i < sl->endpoint_count; i++) {
        struct state_endpoint *ep = &sl->endpoints[i];
        if (str_empty(ep->hostname))
            continue;
        struct state_reverse *r = xmalloc(sizeof *r);
        struct state_reverse *first = map_get(&st->reverses, ip_key(&ep->ip));
        *r = (struct state_reverse){first, sl->service, ep};
        map_put(&st->reverses, ip_key(&ep->ip), r);
    }
}

static void unindex_reverse(struct network_state *st, const struct state_endpoint *ep)
{
    struct state_reverse *first = map_get(&st->reverses, ip_key(&ep->ip)), *head = first;
    for (struct state_reverse **at = &head; *at; at = &(*at)->next) {
        if ((*at)->endpoint != ep)
            continue;
        struct state_reverse *gone = *at;
        *at = gone->next;
        free(gone);
        break;
    }
    if (head == first)
        return;
    if (head)
        map_put(&st->reverses, ip_key(&ep->ip), head);
    else
        map_remove(&st->reverses, ip_key(&ep->ip));
}

static void detach(struct network_state *st, struct state_slice *sl)
{
    struct state_service *s = sl->service;
    if (!s)
        return;
    for (size_t i = 0; i < sl->endpoint_count; i++)
        if (!str_empty(sl->endpoints[i].hostname))
            unindex_reverse(st, &sl->endpoints[i]);
    list_remove(&sl->link);
    sl->service = NULL;
    mark(st, s);
}

static size_t slice_size(const struct network_slice *s, struct str key)
{
    size_t n = rounded(sizeof(struct state_slice)) + rounded(key.n) +
               rounded(s->port_count * sizeof(struct state_port)) +
               rounded(s->endpoint_count * sizeof(struct state_endpoint));
    for (size_t i = 0; i < s->port_count; i++)
        n += rounded(s->ports[i].name.n);
    for (size_t i = 0; i < s->endpoint_count; i++)
        n += rounded(s->endpoints[i].hostname.n);
    return n;
}

static void carve_endpoint(struct carve *c, struct state_slice *sl,
                           const struct network_endpoint *from, const char *node_name)
{
    struct state_endpoint *ep = &sl->endpoints[sl->endpoint_count];
    if (!ip_parse(from->address, &ep->ip))
        return;
    ep->hostname = from->hostname.n <= LABEL_MAX ? carve_str(c, from->hostname) : STR_NULL;
    ep->ready = from->ready;
    ep->serving = from->serving;
    ep->terminating = from->terminating;
    ep->local = !str_empty(from->node_name) && str_eqz(from->node_name, node_name);
    sl->endpoint_count++;
}

static struct state_slice *slice_new(const struct network_slice *s, struct str key,
                                     const char *node_name)
{
    struct carve c;
    struct state_slice *sl = carve_begin(&c, slice_size(s, key));
    carve(&c, sizeof *sl);
    sl->key = carve_str(&c, key);
    sl->ports = carve(&c, s->port_count * sizeof *sl->ports);
    sl->port_count = s->port_count;
    for (size_t i = 0; i < s->port_count; i++)
        sl->ports[i] = (struct state_port){carve_str(&c, s->ports[i].name), s->ports[i].protocol,
                                           s->ports[i].port, 0};
    sl->endpoints = carve(&c, s->endpoint_count * sizeof *sl->endpoints);
    for (size_t i = 0; i < s->endpoint_count; i++)
        carve_endpoint(&c, sl, &s->endpoints[i], node_name);
    return sl;
}

int state_slice_set(struct network_state *st, const struct network_slice *s, struct err *e)
{
    int error = check_names(s->namespace_, s->name, NAME_MAX_, e);
    if (error || (s->service.n && (error = check_names(s->namespace_, s->service, LABEL_MAX, e))))
        return error;
    if (s->port_count > NETWORK_SERVICE_PORTS_MAX || s->endpoint_count > NETWORK_ENDPOINTS_MAX)
        return err_set(e, ERR_LIMIT, "endpointslices \"%.*s/%.*s\" has too many ports or endpoints",
                       STR_ARG(s->namespace_), STR_ARG(s->name));
    char room[KEY_ROOM];
    struct str key = key_of(room, s->namespace_, s->name);
    struct state_slice *old = map_get(&st->slices, key);
    struct state_slice *fresh = slice_new(s, key, st->node_name);
    map_put(&st->slices, fresh->key, fresh);
    st->slice_count += old == NULL;
    if (old)
        detach(st, old);
    free(old);
    if (str_empty(s->service))
        return 0;
    fresh->service = service_get(st, s->namespace_, s->service);
    list_push_back(&fresh->service->slices, &fresh->link);
    index_reverses(st, fresh);
    mark(st, fresh->service);
    return 0;
}

void state_slice_remove(struct network_state *st, struct str namespace_, struct str name)
{
    char room[KEY_ROOM];
    struct state_slice *sl = map_remove(&st->slices, key_of(room, namespace_, name));
    if (!sl)
        return;
    st->slice_count--;
    detach(st, sl);
    free(sl);
}

/* ---- look-ups ---- */

struct state_service *state_find(const struct network_state *st, struct str namespace_,
                                 struct str name)
{
    char room[KEY_ROOM];
    struct state_service *s = map_get(&st->services, key_of(room, namespace_, name));
    return s && s->spec ? s : NULL;
}

bool state_namespace_known(const struct network_state *st, struct str namespace_)
{
    return map_has(&st->namespaces, namespace_);
}

struct state_service *state_find_ip(const struct network_state *st, struct ip a)
{
    return map_get(&st->by_ip, ip_key(&a));
}

const struct state_reverse *state_find_reverse(const struct network_state *st, struct ip a)
{
    return map_get(&st->reverses, ip_key(&a));
}

struct str state_endpoint_label(const struct state_endpoint *ep, char out[STATE_LABEL_MAX])
{
    if (!str_empty(ep->hostname))
        return ep->hostname;
    ip_text(ep->ip, out);
    for (char *p = out; *p; p++)
        if (*p == '.' || *p == ':')
            *p = '-';
    return str_z(out);
}

static void name_hosts(struct state_service *s)
{
    struct state_slice *sl;
    list_each (sl, &s->slices, link) {
        for (size_t i = 0; i < sl->endpoint_count; i++) {
            char room[STATE_LABEL_MAX];
            struct str label = state_endpoint_label(&sl->endpoints[i], room);
            struct state_host *h = xmalloc(sizeof *h);
            *h = (struct state_host){map_get(&s->hosts, label), &sl->endpoints[i], sl};
            map_put(&s->hosts, label, h);
        }
    }
    s->hosts_known = true;
}

const struct state_host *state_find_host(struct state_service *s, struct str label)
{
    if (!s->hosts_known)
        name_hosts(s);
    return map_get(&s->hosts, label);
}
