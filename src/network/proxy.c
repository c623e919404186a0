/* SPDX-License-Identifier: Apache-2.0 */
/* Frontends: what services and pods want, and the difference to what the kernel has. Sending is
 * in proxy_commit.c. */
#include "network/proxy.h"

#include "network/proxy_impl.h"

/* ---- frontends and claims ---- */

static struct str key_str(const struct nft_key *k)
{
    return str_n((const char *)k, sizeof *k);
}

static void frontend_mark(struct proxy *p, struct proxy_frontend *f)
{
    if (!list_linked(&f->dirty))
        list_push_back(&p->dirty, &f->dirty);
    proxy_flush_soon(p);
}

static struct proxy_frontend *frontend_get(struct proxy *p, const struct nft_key *k)
{
    struct proxy_frontend *f = map_get(&p->frontends, key_str(k));
    if (f)
        return f;
    f = xcalloc(1, sizeof *f);
    f->key = *k;
    list_init(&f->claims);
    map_put(&p->frontends, key_str(&f->key), f);
    return f;
}

static void content_free(struct proxy_content *c)
{
    free(c->backends);
    free(c->outside);
    free(c->sources);
    *c = (struct proxy_content){0};
}

static void frontend_free(struct proxy *p, struct proxy_frontend *f)
{
    map_remove(&p->frontends, key_str(&f->key));
    list_remove(&f->dirty);
    p->backend_count -= f->have.n;
    content_free(&f->have);
    content_free(&f->want);
    free(f);
}

static bool holds(const struct proxy_claim *c)
{
    return list_first(&c->frontend->claims) == &c->link;
}

static void want(struct proxy *p, struct proxy_frontend *f, struct proxy_content content)
{
    content_free(&f->want);
    f->want = content;
    f->want_known = true;
    frontend_mark(p, f);
}

static void want_host_port(struct proxy *p, struct proxy_frontend *f,
                           const struct nft_backend *backend)
{
    struct proxy_content content = {
        .there = true, .n = 1, .target = {NFT_PICK, .backends = 1, .outside = 1}};
    content.backends = xmalloc(sizeof *backend);
    *content.backends = *backend;
    content.outside = xmalloc(sizeof *content.outside);
    *content.outside = true;
    want(p, f, content);
}

/* Another claim, or none, holds the frontend now. */
static void holder_changed(struct proxy *p, struct proxy_frontend *f)
{
    struct list *first = list_first(&f->claims);
    if (!first) {
        want(p, f, (struct proxy_content){0});
        return;
    }
    struct proxy_claim *c = list_entry(first, struct proxy_claim, link);
    if (c->service)
        state_mark(p->state, c->service);
    else
        want_host_port(p, f, &c->backend);
}

/* Host ports come before services: the scheduler gave the port to the pod. */
static void claim(struct proxy *p, struct proxy_claim *c, const struct nft_key *k)
{
    c->frontend = frontend_get(p, k);
    if (c->service)
        list_push_back(&c->frontend->claims, &c->link);
    else
        list_push_front(&c->frontend->claims, &c->link);
}

static void unclaim(struct proxy *p, struct proxy_claim *c)
{
    bool held = holds(c);
    list_remove(&c->link);
    if (held)
        holder_changed(p, c->frontend);
}

/* ---- backends of a service port ---- */

struct candidate {
    struct nft_backend b;
    bool local, ready, leaving; /* leaving: terminating, but still serving */
};

struct candidates {
    struct candidate *v;
    size_t n, room;
    bool ready, local_ready; /* there is such a one */
    bool local_leaving;
};

static void add_candidates(struct candidates *cs, const struct state_slice *sl, uint16_t port,
                           int family)
{
    for (size_t i = 0; i < sl->endpoint_count; i++) {
        const struct state_endpoint *ep = &sl->endpoints[i];
        struct candidate c = {.b = {.ip = ep->ip, .port = port},
                              .local = ep->local,
                              .ready = ep->ready,
                              .leaving = !ep->ready && ep->serving && ep->terminating};
        if (ep->ip.family == family && (c.ready || c.leaving))
            vec_push(cs, c);
    }
}

static int candidate_cmp(const void *a, const void *b)
{
    return nft_backend_cmp(&((const struct candidate *)a)->b, &((const struct candidate *)b)->b);
}

/* Sorted, each once, bounded. */
static void tidy(struct candidates *cs)
{
    size_t kept = 0;
    if (cs->n)
        qsort(cs->v, cs->n, sizeof *cs->v, candidate_cmp);
    for (size_t i = 0; i < cs->n; i++) {
        struct candidate *c = &cs->v[i];
        cs->ready |= c->ready;
        cs->local_ready |= c->ready && c->local;
        cs->local_leaving |= c->leaving && c->local;
        if (kept && candidate_cmp(&cs->v[kept - 1], c) == 0)
            cs->v[kept - 1].ready |= c->ready;
        else if (kept < NETWORK_BACKENDS_MAX)
            cs->v[kept++] = *c;
    }
    cs->n = kept;
}

static void collect(struct candidates *cs, const struct state_service *s,
                    const struct state_port *port, int family)
{
    *cs = (struct candidates){0};
    const struct state_slice *sl;
    list_each (sl, &s->slices, link) {
        for (size_t i = 0; i < sl->port_count; i++) {
            const struct state_port *sp = &sl->ports[i];
            if (sp->port && sp->protocol == port->protocol && str_eq(sp->name, port->name))
                add_candidates(cs, sl, sp->port, family);
        }
    }
    tidy(cs);
}

/* Who may be picked: everyone; those of this node; or everyone, but from outside only those of
 * this node. */
enum policy { POLICY_CLUSTER, POLICY_LOCAL, POLICY_LOCAL_OUTSIDE };

/* The ready ones; when there is none, those that still serve. */
static bool usable(const struct candidates *cs, const struct candidate *c)
{
    return c->ready || !cs->ready;
}

static bool usable_locally(const struct candidates *cs, const struct candidate *c)
{
    return c->local && (c->ready || !cs->local_ready);
}

static struct proxy_content content_of(const struct candidates *cs, enum policy policy,
                                       uint32_t affinity_s)
{
    struct proxy_content to = {.there = true};
    to.backends = xcalloc(cs->n + 1, sizeof *to.backends);
    to.outside = xcalloc(cs->n + 1, sizeof *to.outside);
    for (size_t i = 0; i < cs->n; i++) {
        const struct candidate *c = &cs->v[i];
        bool local = usable_locally(cs, c);
        if (!local && (policy == POLICY_LOCAL || !usable(cs, c)))
            continue;
        if (policy == POLICY_CLUSTER && !usable(cs, c))
            continue;
        to.backends[to.n] = c->b;
        to.outside[to.n] = local || policy == POLICY_CLUSTER;
        to.target.outside += to.outside[to.n++];
    }
    to.target.action = to.n ? NFT_PICK : cs->n ? NFT_DROP : NFT_REJECT;
    to.target.backends = to.n;
    to.target.affinity_s = to.n ? affinity_s : 0;
    return to;
}

/* ---- a service's frontends ---- */

struct update {
    struct proxy *p;
    struct state_service *s;
    struct proxy_service *ps;
    const struct state_port *port;
    struct candidates candidates;
    int family;
};

/* The service's claim of that frontend, made when there is none; seen in this update. */
static struct proxy_claim *claim_get(struct update *u, const struct nft_key *k)
{
    struct proxy_claim *c;
    const struct proxy_frontend *f = map_get(&u->p->frontends, key_str(k));
    if (f) {
        list_each (c, &f->claims, link) {
            if (c->service != u->s)
                continue;
            c->seen = true;
            return c;
        }
    }
    c = xcalloc(1, sizeof *c);
    c->service = u->s;
    c->seen = true;
    claim(u->p, c, k);
    vec_push(&u->ps->claims, c);
    return c;
}

static struct proxy_content content_for(const struct update *u, enum policy policy, bool outer,
                                        bool limited)
{
    const struct state_spec *spec = u->s->spec;
    struct proxy_content to = content_of(&u->candidates, policy, spec->affinity_timeout_s);
    to.outer = outer;
    to.limited = limited;
    if (!limited)
        return to;
    to.sources = xcalloc(spec->source_ranges.n + 1, sizeof *to.sources);
    LIST_EACH (range, &spec->source_ranges)
        if (range->ip.family == u->family)
            to.sources[to.source_count++] = *range;
    return to;
}

/* A ClusterIP. */
static void inner_frontend(struct update *u, struct ip ip)
{
    struct nft_key k = {.ip = ip, .protocol = (uint8_t)u->port->protocol, .port = u->port->port};
    struct proxy_claim *c = claim_get(u, &k);
    if (holds(c))
        want(u->p, c->frontend,
             content_for(u, u->s->spec->internal_local ? POLICY_LOCAL : POLICY_CLUSTER, false,
                         false));
}

/* An address or node port for those outside. */
static void outer_frontend(struct update *u, struct ip ip, uint16_t port, bool limited)
{
    struct nft_key k = {.ip = ip, .protocol = (uint8_t)u->port->protocol, .port = port};
    struct proxy_claim *c = claim_get(u, &k);
    if (holds(c))
        want(u->p, c->frontend,
             content_for(u, u->s->spec->external_local ? POLICY_LOCAL_OUTSIDE : POLICY_CLUSTER,
                         true, limited));
}

static void update_port(struct update *u)
{
    const struct state_spec *spec = u->s->spec;
    bool family_served = false;
    LIST_EACH (ip, &spec->cluster_ips) {
        if (ip->family != u->family)
            continue;
        inner_frontend(u, *ip);
        family_served = true;
    }
    LIST_EACH (ip, &spec->external_ips)
        if (ip->family == u->family)
            outer_frontend(u, *ip, u->port->port, false);
    LIST_EACH (ip, &spec->ingress_ips)
        if (ip->family == u->family)
            outer_frontend(u, *ip, u->port->port, spec->source_limited);
    if (family_served && u->port->node_port)
        outer_frontend(u, (struct ip){.family = (uint8_t)u->family}, u->port->node_port, false);
}

static void drop_unseen(struct proxy *p, struct proxy_service *ps)
{
    size_t kept = 0;
    for (size_t i = 0; i < ps->claims.n; i++) {
        struct proxy_claim *c = ps->claims.v[i];
        if (c->seen) {
            c->seen = false;
            ps->claims.v[kept++] = c;
            continue;
        }
        unclaim(p, c);
        free(c);
    }
    ps->claims.n = kept;
}

/* A headless service is for DNS alone, whatever else it has. */
static bool has_frontends(const struct state_service *s)
{
    return s->spec && s->spec->cluster_ips.n;
}

void proxy_update_service(struct proxy *p, struct state_service *s)
{
    if (!s->proxy && has_frontends(s))
        s->proxy = xcalloc(1, sizeof *s->proxy);
    if (!s->proxy)
        return;
    struct update u = {.p = p, .s = s, .ps = s->proxy};
    for (int family = 4; family <= 6 && has_frontends(s); family += 2) {
        if (!nft_family_used(&p->nft, family))
            continue;
        u.family = family;
        LIST_EACH (port, &s->spec->ports) {
            u.port = port;
            collect(&u.candidates, s, port, family);
            update_port(&u);
            free(u.candidates.v);
        }
    }
    drop_unseen(p, s->proxy);
    if (s->proxy->claims.n)
        return;
    vec_free(&s->proxy->claims);
    free(s->proxy);
    s->proxy = NULL;
}

/* ---- pods ---- */

static const struct proxy_claim *pod_claim(const struct proxy *p, const struct nft_key *k)
{
    const struct proxy_frontend *f = map_get(&p->frontends, key_str(k));
    const struct proxy_claim *c;
    if (!f)
        return NULL;
    list_each (c, &f->claims, link)
        if (!c->service)
            return c;
    return NULL;
}

static int check_host_ports(const struct proxy *p, const struct proxy_host_port *ports, size_t n,
                            struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        bool twice = false;
        for (size_t j = 0; j < i; j++)
            twice |= memcmp(&ports[j].key, &ports[i].key, sizeof ports[i].key) == 0;
        if (twice || pod_claim(p, &ports[i].key))
            return err_set(e, ERR_CONFLICT, "host port %u is in use by another pod",
                           ports[i].key.port);
    }
    return 0;
}

static void pod_mark(struct proxy *p, struct proxy_pod *pod)
{
    if (!list_linked(&pod->dirty))
        list_push_back(&p->dirty_pods, &pod->dirty);
    proxy_flush_soon(p);
}

int proxy_pod_add(struct proxy *p, const struct ip ips[2], const struct proxy_host_port *ports,
                  size_t n, struct proxy_pod **ret, struct err *e)
{
    int error = check_host_ports(p, ports, n, e);
    if (error)
        return error;
    struct proxy_pod *pod = xcalloc(1, sizeof *pod);
    pod->ips[0] = ips[0];
    pod->ips[1] = ips[1];
    pod->wanted = true;
    pod->claims = xcalloc(n ? n : 1, sizeof *pod->claims);
    pod->claim_count = n;
    for (size_t i = 0; i < n; i++) {
        struct proxy_claim *c = &pod->claims[i];
        c->backend = ports[i].backend;
        claim(p, c, &ports[i].key);
        if (holds(c))
            want_host_port(p, c->frontend, &c->backend);
    }
    list_push_back(&p->pods, &pod->link);
    pod_mark(p, pod);
    *ret = pod;
    return 0;
}

void proxy_pod_remove(struct proxy *p, struct proxy_pod *pod)
{
    for (size_t i = 0; i < pod->claim_count; i++)
        unclaim(p, &pod->claims[i]);
    pod->claim_count = 0;
    pod->wanted = false;
    pod_mark(p, pod);
}

static void pod_free(struct proxy_pod *pod)
{
    list_remove(&pod->link);
    list_remove(&pod->dirty);
    free(pod->claims);
    free(pod);
}

static void write_pod(struct proxy *p, struct proxy_pod *pod)
{
    for (size_t i = 0; i < ARRAY_LEN(pod->ips); i++) {
        if (!pod->ips[i].family || pod->wanted == pod->installed)
            continue;
        if (pod->wanted)
            nft_hairpin_add(&p->nft, pod->ips[i]);
        else
            nft_hairpin_remove(&p->nft, pod->ips[i]);
    }
    pod->installed = pod->wanted;
    if (!pod->wanted)
        pod_free(pod);
}

/* ---- the difference of one frontend ---- */

struct indexed {
    struct nft_backend b;
    uint32_t at;
};

static int indexed_cmp(const void *x, const void *y)
{
    return nft_backend_cmp(&((const struct indexed *)x)->b, &((const struct indexed *)y)->b);
}

static struct indexed *sorted_have(const struct proxy_content *have)
{
    struct indexed *v = xmalloc((have->n + 1) * sizeof *v);
    for (uint32_t i = 0; i < have->n; i++)
        v[i] = (struct indexed){have->backends[i], i};
    qsort(v, have->n, sizeof *v, indexed_cmp);
    return v;
}

struct placement {
    struct nft_backend *backends; /* by index */
    bool left;                    /* some backend went */
};

struct homeless {
    VEC(struct nft_backend) v[2]; /* by outside */
};

static void settle(struct placement *to, struct homeless *h, const struct proxy_content *wanted)
{
    for (uint32_t at = 0; at < wanted->n; at++) {
        bool outside = at < wanted->target.outside;
        if (!to->backends[at].ip.family)
            to->backends[at] = h->v[outside].v[--h->v[outside].n];
    }
    must(h->v[0].n == 0 && h->v[1].n == 0);
    vec_free(&h->v[0]);
    vec_free(&h->v[1]);
}

/* Orders what is wanted so that those for outside come first, and as many as possible keep their
 * index. */
static struct placement place(const struct proxy_content *have, const struct proxy_content *wanted)
{
    CLEANUP(free_ptr) struct indexed *old = sorted_have(have);
    struct placement to = {.backends = xcalloc(wanted->n + 1, sizeof *to.backends)};
    struct homeless homeless = {0};
    uint32_t i = 0, j = 0;
    while (i < have->n || j < wanted->n) {
        int c = i == have->n     ? 1
                : j == wanted->n ? -1
                                 : nft_backend_cmp(&old[i].b, &wanted->backends[j]);
        if (c < 0) {
            to.left = true;
            i++;
            continue;
        }
        bool outside = wanted->outside[j], stays = c == 0 && old[i].at < wanted->n &&
                                                   (old[i].at < wanted->target.outside) == outside;
        if (stays)
            to.backends[old[i].at] = wanted->backends[j];
        else
            vec_push(&homeless.v[outside], wanted->backends[j]);
        i += c == 0;
        j++;
    }
    settle(&to, &homeless, wanted);
    return to;
}

static void write_backends(struct proxy *p, struct proxy_frontend *f,
                           const struct proxy_content *wanted)
{
    const struct proxy_content *have = &f->have;
    for (uint32_t i = 0; i < MAX(have->n, wanted->n); i++) {
        const struct nft_backend *old = i < have->n ? &have->backends[i] : NULL;
        const struct nft_backend *new = i < wanted->n ? &wanted->backends[i] : NULL;
        if (old && new &&nft_backend_cmp(old, new) == 0)
            continue;
        if (old)
            nft_backend_remove(&p->nft, &f->key, i);
        if (new)
            nft_backend_add(&p->nft, &f->key, i, new);
    }
}

static bool target_eq(const struct proxy_content *a, const struct proxy_content *b)
{
    return a->there == b->there && a->target.action == b->target.action &&
           a->target.backends == b->target.backends && a->target.outside == b->target.outside &&
           a->target.affinity_s == b->target.affinity_s;
}

static void write_target(struct proxy *p, struct proxy_frontend *f,
                         const struct proxy_content *wanted)
{
    if (target_eq(&f->have, wanted))
        return;
    if (f->have.there)
        nft_frontend_remove(&p->nft, &f->key, f->have.target);
    if (wanted->there)
        nft_frontend_add(&p->nft, &f->key, wanted->target);
}

static void write_outer(struct proxy *p, struct proxy_frontend *f,
                        const struct proxy_content *wanted)
{
    if (f->have.outer && !wanted->outer)
        nft_outer_remove(&p->nft, &f->key);
    if (wanted->outer && !f->have.outer)
        nft_outer_add(&p->nft, &f->key);
}

static bool sources_eq(const struct proxy_content *a, const struct proxy_content *b)
{
    return a->limited == b->limited && a->source_count == b->source_count &&
           (a->source_count == 0 ||
            memcmp(a->sources, b->sources, a->source_count * sizeof *a->sources) == 0);
}

static void write_sources(struct proxy *p, struct proxy_frontend *f,
                          const struct proxy_content *wanted)
{
    if (sources_eq(&f->have, wanted))
        return;
    if (f->have.limited)
        nft_guard_remove(&p->nft, &f->key);
    for (size_t i = 0; i < f->have.source_count; i++)
        nft_allowed_remove(&p->nft, &f->key, f->have.sources[i]);
    if (wanted->limited)
        nft_guard_add(&p->nft, &f->key);
    for (size_t i = 0; i < wanted->source_count; i++)
        nft_allowed_add(&p->nft, &f->key, wanted->sources[i]);
}

static struct nft_backend *copy_backends(const struct nft_backend *v, uint32_t n)
{
    struct nft_backend *copy = xmalloc((n + 1) * sizeof *copy);
    memcpy(copy, v, n * sizeof *copy);
    return copy;
}

/* UDP flows that would stay where they were. */
static void note_flows(struct proxy_leftovers *left, const struct proxy_frontend *f,
                       const struct proxy_content *wanted, bool some_left)
{
    bool began = wanted->n && f->have.n == 0;
    if (f->key.protocol != NETWORK_UDP || (!some_left && !began))
        return;
    struct conntrack_frontend fe = {.key = f->key, .n = wanted->n};
    fe.backends = copy_backends(wanted->backends, wanted->n);
    vec_push(&left->flows.frontends, fe);
}

/* Clients that would come back to a backend that has gone, or may no longer be theirs. */
static void note_clients(struct proxy_leftovers *left, const struct proxy_frontend *f,
                         const struct proxy_content *wanted, bool some_left)
{
    const struct nft_target *was = &f->have.target, *is = &wanted->target;
    bool split = is->outside < is->backends, was_split = was->outside < was->backends;
    if (!is->affinity_s || (was->affinity_s && !some_left && (!split || was_split)))
        return;
    struct nft_sticky st = {.key = f->key};
    st.backends = copy_backends(wanted->backends, wanted->n);
    for (uint32_t i = 0; i < wanted->n; i++)
        if (!split || was_split || wanted->outside[i])
            st.backends[st.n++] = wanted->backends[i];
    vec_push(&left->clients, st);
}

static void write_frontend(struct proxy *p, struct proxy_frontend *f, struct proxy_leftovers *left)
{
    struct proxy_content wanted = f->want;
    f->want = (struct proxy_content){0};
    f->want_known = false;
    struct placement placed = place(&f->have, &wanted);
    note_flows(left, f, &wanted, placed.left);
    note_clients(left, f, &wanted, placed.left);
    free(wanted.backends);
    wanted.backends = placed.backends;
    write_backends(p, f, &wanted);
    write_target(p, f, &wanted);
    write_outer(p, f, &wanted);
    write_sources(p, f, &wanted);
    p->backend_count += wanted.n - f->have.n;
    content_free(&f->have);
    f->have = wanted;
    if (!f->have.there && list_empty(&f->claims))
        frontend_free(p, f);
}

/* ---- all differences ---- */

void proxy_write_changes(struct proxy *p, struct proxy_leftovers *left)
{
    for (struct state_service *s; p->synced && (s = state_take_dirty(p->state));) {
        proxy_update_service(p, s);
        state_seen(p->state, s);
    }
    struct list waiting;
    list_init(&waiting);
    for (struct list *at; (at = list_pop_front(&p->dirty));) {
        struct proxy_frontend *f = list_entry(at, struct proxy_frontend, dirty);
        if (!p->synced && !f->want_known)
            list_push_back(&waiting, at); /* adopted: a service may yet claim it */
        else if (f->want_known || list_empty(&f->claims))
            write_frontend(p, f, left);
    }
    for (struct list *at; (at = list_pop_front(&waiting));)
        list_push_back(&p->dirty, at);
    for (struct list *at; (at = list_pop_front(&p->dirty_pods));)
        write_pod(p, list_entry(at, struct proxy_pod, dirty));
}

/* Into an emptied table: everything we think it has. */
void proxy_write_everything(struct proxy *p)
{
    uint32_t it = 0;
    for (struct map_entry *entry; (entry = map_next(&p->frontends, &it));) {
        struct proxy_frontend *f = entry->value;
        struct proxy_content have = f->have;
        f->have = (struct proxy_content){0};
        write_backends(p, f, &have);
        write_target(p, f, &have);
        write_sources(p, f, &have);
        write_outer(p, f, &have);
        f->have = have;
    }
    struct proxy_pod *pod;
    list_each (pod, &p->pods, link)
        for (size_t i = 0; i < ARRAY_LEN(pod->ips); i++)
            if (pod->ips[i].family && pod->installed)
                nft_hairpin_add(&p->nft, pod->ips[i]);
}

/* ---- adoption ---- */

static int found_backend_cmp(const void *a, const void *b)
{
    const struct nft_found_backend *x = a, *y = b;
    int c = memcmp(&x->key, &y->key, sizeof x->key);
    return c ? c : (x->index > y->index) - (x->index < y->index);
}

/* The run of sorted backends that belong to the frontend; false when they are not 0 .. n-1. */
static bool take_run(struct proxy_frontend *f, const struct nft_found_backend **at,
                     const struct nft_found_backend *end)
{
    uint32_t n = f->have.target.action == NFT_PICK ? f->have.target.backends : 0;
    if ((size_t)(end - *at) < n)
        return false;
    f->have.backends = xmalloc((n + 1) * sizeof *f->have.backends);
    for (uint32_t i = 0; i < n; i++, (*at)++) {
        if (memcmp(&(*at)->key, &f->key, sizeof f->key) != 0 || (*at)->index != i)
            return false;
        f->have.backends[i] = (*at)->backend;
        f->have.n++;
    }
    return true;
}

static int found_frontend_cmp(const void *a, const void *b)
{
    return memcmp(&((const struct nft_found_frontend *)a)->key,
                  &((const struct nft_found_frontend *)b)->key, sizeof(struct nft_key));
}

static void forget_frontends(struct proxy *p)
{
    uint32_t it = 0;
    for (struct map_entry *entry; (entry = map_next(&p->frontends, &it));)
        frontend_free(p, entry->value);
}

bool proxy_adopt(struct proxy *p, const struct nft_found *found)
{
    must(p->frontends.count == 0);
    if (found->backends.n)
        qsort(found->backends.v, found->backends.n, sizeof *found->backends.v, found_backend_cmp);
    if (found->frontends.n)
        qsort(found->frontends.v, found->frontends.n, sizeof *found->frontends.v,
              found_frontend_cmp);
    const struct nft_found_backend *at = found->backends.v, *end = at + found->backends.n;
    bool whole = true;
    for (size_t i = 0; i < found->frontends.n && whole; i++) {
        struct proxy_frontend *f = frontend_get(p, &found->frontends.v[i].key);
        f->have.there = true;
        f->have.target = found->frontends.v[i].target;
        whole = take_run(f, &at, end);
        p->backend_count += f->have.n;
        frontend_mark(p, f);
    }
    if (!whole || at != end) {
        forget_frontends(p);
        return false;
    }
    LIST_EACH (ff, &found->frontends)
        nft_adopt_frontend(&p->nft, &ff->key, ff->target);
    nft_adopt_chains(&p->nft, found);
    return true;
}

/* ---- end ---- */

void proxy_forget(struct proxy *p)
{
    struct map_entry *entry;
    for (uint32_t it = 0; (entry = map_next(&p->state->services, &it));) {
        struct state_service *s = entry->value;
        if (!s->proxy)
            continue;
        LIST_EACH (c, &s->proxy->claims)
            free(*c);
        vec_free(&s->proxy->claims);
        free(s->proxy);
        s->proxy = NULL;
    }
    struct proxy_pod *pod, *next;
    list_each_safe (pod, next, &p->pods, link)
        pod_free(pod);
    forget_frontends(p);
    map_fini(&p->frontends);
}
