/* SPDX-License-Identifier: Apache-2.0 */
#include "network/nft_table.h"

#include <linux/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

enum {
    PRIORITY_RAW = -300,
    PRIORITY_DNAT = -100,
    PRIORITY_FILTER = 0,
    PRIORITY_SNAT = 100,
    AFFINITY_CLIENTS_MAX = 1 << 18, /* above it new clients are spread without being remembered */
    DNS_PORT = 53,
    ICMP_REDIRECT_TYPE = 5,
    ICMP6_REDIRECT_TYPE = 137,
};

/* What differs between the families: header offsets, and the registers that follow from the
 * address length. A rule's registers: the client's address, the frontend key, then the index of
 * a backend, in whose place the backend's address and port are put. */
struct layout {
    int family;
    uint8_t nfproto, field;
    uint32_t source, destination, len; /* in the network header */
    uint32_t key_reg, protocol_reg, port_reg, data_reg, data_port_reg;
};

static const struct layout layouts[] = {
    {4, NFPROTO_IPV4, FIELD_IPV4, 12, 16, 4, R0 + 1, R0 + 2, R0 + 3, R0 + 4, R0 + 5},
    {6, NFPROTO_IPV6, FIELD_IPV6, 8, 24, 16, R0 + 4, R0 + 8, R0 + 9, R0 + 10, R0 + 14},
};

/* The names carry the family. */
struct scope {
    struct nft_asm *a;
    const struct nft_config *c;
    const struct layout *l;
    char sets[NFT_SET_COUNT][NFT_SET_NAME_MAX];
    char guard[16], services[16];
};

void nft_set_name(enum nft_set set, int family, char out[NFT_SET_NAME_MAX])
{
    static const char *const names[NFT_SET_COUNT] = {"frontends", "backends", "outer",  "guarded",
                                                     "allowed",   "hairpin",  "sticky", "affinity"};
    snprintf(out, NFT_SET_NAME_MAX, "%s%d", names[set], family);
}

static struct scope scope_of(struct nft_asm *a, const struct nft_config *c, int family)
{
    struct scope s = {.a = a, .c = c, .l = &layouts[family == 6]};
    for (size_t i = 0; i < NFT_SET_COUNT; i++)
        nft_set_name(i, family, s.sets[i]);
    snprintf(s.guard, sizeof s.guard, "guard%d", family);
    snprintf(s.services, sizeof s.services, "services%d", family);
    return s;
}

/* ---- sets ---- */

static void field(struct nft_fields *f, uint8_t type, uint8_t size)
{
    f->types[f->n] = type;
    f->sizes[f->n++] = size;
}

static struct nft_fields address_fields(const struct layout *l)
{
    struct nft_fields f = {0};
    field(&f, l->field, (uint8_t)l->len);
    return f;
}

static void add_key_fields(struct nft_fields *f, const struct layout *l)
{
    field(f, l->field, (uint8_t)l->len);
    field(f, FIELD_PROTO, 1);
    field(f, FIELD_PORT, 2);
}

static void define_set(const struct scope *s, enum nft_set set)
{
    const struct layout *l = s->l;
    struct nft_set_spec spec = {.name = s->sets[set]};
    struct nft_fields backend = address_fields(l);
    field(&backend, FIELD_PORT, 2);
    if (set == NFT_HAIRPIN || set == NFT_AFFINITY)
        spec.key = address_fields(l);
    if (set == NFT_HAIRPIN)
        field(&spec.key, l->field, (uint8_t)l->len);
    else
        add_key_fields(&spec.key, l);
    if (set == NFT_FRONTENDS || set == NFT_STICKY)
        spec.verdicts = true;
    if (set == NFT_BACKENDS)
        field(&spec.key, FIELD_MARK, 4);
    if (set == NFT_BACKENDS || set == NFT_AFFINITY)
        spec.data = backend;
    if (set == NFT_ALLOWED) {
        field(&spec.key, l->field, (uint8_t)l->len);
        spec.flags = NFT_SET_INTERVAL | NFT_SET_CONCAT;
    }
    if (set == NFT_AFFINITY) {
        spec.flags = NFT_SET_EVAL | NFT_SET_TIMEOUT;
        spec.size = AFFINITY_CLIENTS_MAX;
    }
    nft_set_add(s->a, &spec);
}

/* ---- pieces of rules ---- */

static void is_u8(struct nft_rule *r, uint32_t reg, uint8_t v)
{
    nft_cmp(r, NFT_CMP_EQ, reg, &v, 1);
}

static void is_family(struct nft_rule *r, const struct layout *l)
{
    nft_meta(r, NFT_META_NFPROTO, R0);
    is_u8(r, R0, l->nfproto);
}

static void link_is(struct nft_rule *r, uint32_t meta, uint32_t op, const char *link)
{
    char name[IFNAMSIZ] = {0};
    memcpy(name, link, strnlen(link, sizeof name - 1));
    nft_meta(r, meta, R0);
    nft_cmp(r, op, R0, name, sizeof name);
}

static struct ip prefix_mask(struct cidr c)
{
    struct ip mask = cidr_last((struct cidr){.ip = {.family = c.ip.family}, .bits = c.bits});
    for (size_t i = 0; i < ip_len(mask); i++)
        mask.bytes[i] = (uint8_t)~mask.bytes[i];
    return mask;
}

static void in_prefix(struct nft_rule *r, const struct layout *l, uint32_t offset, uint32_t op,
                      struct cidr c)
{
    struct ip mask = prefix_mask(c);
    nft_network_field(r, offset, l->len, R0);
    nft_mask(r, R0, mask.bytes, l->len);
    nft_cmp(r, op, R0, c.ip.bytes, l->len);
}

static const uint8_t zero_address[16];

/* The frontend key of a packet into its registers. */
static void load_key(struct nft_rule *r, const struct layout *l, bool any)
{
    nft_network_field(r, l->destination, l->len, l->key_reg);
    if (any)
        nft_mask(r, l->key_reg, zero_address, l->len);
    nft_meta(r, NFT_META_L4PROTO, l->protocol_reg);
    nft_transport_field(r, 2, 2, l->port_reg);
}

static uint32_t ct_destination(const struct layout *l)
{
    return l->family == 6 ? NFT_CT_DST_IP6 : NFT_CT_DST_IP;
}

/* The same of a connection whose destination has been translated. */
static void load_original_key(struct nft_rule *r, const struct layout *l, bool any)
{
    nft_ct_original(r, ct_destination(l), l->key_reg);
    if (any)
        nft_mask(r, l->key_reg, zero_address, l->len);
    nft_meta(r, NFT_META_L4PROTO, l->protocol_reg);
    nft_ct_original(r, NFT_CT_PROTO_DST, l->port_reg);
}

static void is_translated(struct nft_rule *r)
{
    const uint32_t dnat = IPS_DST_NAT;
    nft_ct(r, NFT_CT_STATUS, R0);
    nft_mask(r, R0, &dnat, sizeof dnat);
    nft_cmp(r, NFT_CMP_NEQ, R0, zero_address, sizeof dnat);
}

static void address_is_local(struct nft_rule *r, uint32_t what)
{
    const uint32_t local = RTN_LOCAL;
    nft_fib_type(r, what, R0);
    nft_cmp(r, NFT_CMP_EQ, R0, &local, sizeof local);
}

static struct nft_rule rule_begin(const struct scope *s, const char *chain)
{
    struct nft_rule r = nft_rule_begin(s->a, chain);
    is_family(&r, s->l);
    return r;
}

static void jump_rule(const struct scope *s, const char *from, const char *to)
{
    struct nft_rule r = rule_begin(s, from);
    nft_verdict(&r, NFT_JUMP, to);
    nft_rule_end(&r);
}

/* To the verdict of the frontend, if there is one. */
static void frontend_rule(const struct scope *s, bool any)
{
    struct nft_rule r = rule_begin(s, s->services);
    if (any)
        address_is_local(&r, NFTA_FIB_F_DADDR);
    load_key(&r, s->l, any);
    nft_map(&r, s->sets[NFT_FRONTENDS], s->l->key_reg, NFT_REG_VERDICT);
    nft_rule_end(&r);
}

/* ---- destination: which service is it? ---- */

static void guard_rules(const struct scope *s)
{
    const struct layout *l = s->l;
    struct nft_rule r = rule_begin(s, s->guard);
    load_key(&r, l, false);
    nft_lookup(&r, s->sets[NFT_GUARDED], l->key_reg, false);
    nft_network_field(&r, l->source, l->len, l->data_reg);
    nft_lookup(&r, s->sets[NFT_ALLOWED], l->key_reg, true);
    nft_verdict(&r, NF_DROP, NULL);
    nft_rule_end(&r);
}

/* Our DNS server listens on an address of the service CIDR. */
static void dns_rule(const struct scope *s, uint8_t protocol)
{
    struct ip dns = s->c->dns[s->l->family == 6];
    const uint8_t port[2] = {0, DNS_PORT};
    if (!dns.family)
        return;
    struct nft_rule r = rule_begin(s, s->services);
    nft_network_field(&r, s->l->destination, s->l->len, R0);
    nft_cmp(&r, NFT_CMP_EQ, R0, dns.bytes, s->l->len);
    nft_meta(&r, NFT_META_L4PROTO, R0);
    is_u8(&r, R0, protocol);
    nft_transport_field(&r, 2, 2, R0);
    nft_cmp(&r, NFT_CMP_EQ, R0, port, sizeof port);
    nft_verdict(&r, NFT_RETURN, NULL);
    nft_rule_end(&r);
}

static void unknown_service_rule(const struct scope *s)
{
    struct cidr services = s->c->services[s->l->family == 6];
    if (!services.ip.family)
        return;
    struct nft_rule r = rule_begin(s, s->services);
    in_prefix(&r, s->l, s->l->destination, NFT_CMP_EQ, services);
    nft_verdict(&r, NFT_GOTO, "reject");
    nft_rule_end(&r);
}

static void destination_rules(const struct scope *s)
{
    jump_rule(s, "prerouting", s->guard);
    jump_rule(s, "prerouting", s->services);
    jump_rule(s, "output", s->guard);
    jump_rule(s, "output", s->services);
    guard_rules(s);
    dns_rule(s, IPPROTO_UDP);
    dns_rule(s, IPPROTO_TCP);
    frontend_rule(s, false);
    frontend_rule(s, true);
    unknown_service_rule(s);
}

/* ---- source: which connections must come back through this node? ---- */

static void masquerade_end(struct nft_rule *r)
{
    nft_masquerade(r);
    nft_rule_end(r);
}

/* A pod that is its own backend would drop a packet from its own address. */
static void hairpin_rule(const struct scope *s)
{
    const struct layout *l = s->l;
    struct nft_rule r = rule_begin(s, "postrouting");
    nft_network_field(&r, l->source, l->len, R0);
    nft_network_field(&r, l->destination, l->len, R0 + l->len / 4);
    nft_lookup(&r, s->sets[NFT_HAIRPIN], R0, false);
    masquerade_end(&r);
}

/* NodePorts on 127.0.0.1: the pod could not answer that source. */
static void loopback_rule(const struct scope *s)
{
    static const struct cidr loopback = {{4, {127}}, 8};
    struct nft_rule r = rule_begin(s, "postrouting");
    in_prefix(&r, s->l, s->l->source, NFT_CMP_EQ, loopback);
    link_is(&r, NFT_META_OIFNAME, NFT_CMP_EQ, s->c->bridge);
    masquerade_end(&r);
}

static void outward_rule(const struct scope *s)
{
    struct cidr pods = s->c->pods[s->l->family == 6], cluster = s->c->cluster[s->l->family == 6];
    if (!pods.ip.family)
        return;
    struct nft_rule r = rule_begin(s, "postrouting");
    in_prefix(&r, s->l, s->l->source, NFT_CMP_EQ, pods);
    in_prefix(&r, s->l, s->l->destination, NFT_CMP_NEQ, cluster);
    link_is(&r, NFT_META_OIFNAME, NFT_CMP_NEQ, s->c->bridge);
    link_is(&r, NFT_META_OIFNAME, NFT_CMP_NEQ, "lo"); /* the gateway's address is the host's */
    masquerade_end(&r);
}

/* From outside through this node to a backend elsewhere. */
static struct nft_rule transit_begin(const struct scope *s)
{
    const struct layout *l = s->l;
    struct cidr cluster = s->c->cluster[l->family == 6];
    struct nft_rule r = rule_begin(s, "postrouting");
    is_translated(&r);
    link_is(&r, NFT_META_OIFNAME, NFT_CMP_NEQ, s->c->bridge);
    link_is(&r, NFT_META_OIFNAME, NFT_CMP_NEQ, "lo");
    if (cluster.ip.family)
        in_prefix(&r, l, l->source, NFT_CMP_NEQ, cluster);
    return r;
}

static void transit_cluster_ip_rule(const struct scope *s)
{
    const struct layout *l = s->l;
    struct cidr services = s->c->services[l->family == 6];
    if (!services.ip.family)
        return;
    struct ip mask = prefix_mask(services);
    struct nft_rule r = transit_begin(s);
    nft_ct_original(&r, ct_destination(l), R0);
    nft_mask(&r, R0, mask.bytes, l->len);
    nft_cmp(&r, NFT_CMP_EQ, R0, services.ip.bytes, l->len);
    masquerade_end(&r);
}

/* Other programs translate destinations too: only what was addressed to our frontends. */
static void transit_outer_rule(const struct scope *s, bool any)
{
    const struct layout *l = s->l;
    struct nft_rule r = transit_begin(s);
    load_original_key(&r, l, any);
    nft_lookup(&r, s->sets[NFT_OUTER], l->key_reg, false);
    masquerade_end(&r);
}

/* Backends elsewhere leave through postrouting, this node's own get it at input. */
static void sticky_rule(const struct scope *s, const char *chain, bool any)
{
    struct nft_rule r = rule_begin(s, chain);
    is_translated(&r);
    load_original_key(&r, s->l, any);
    nft_map(&r, s->sets[NFT_STICKY], s->l->key_reg, NFT_REG_VERDICT);
    nft_rule_end(&r);
}

static void source_rules(const struct scope *s)
{
    sticky_rule(s, "input", false);
    sticky_rule(s, "input", true);
    sticky_rule(s, "postrouting", false);
    sticky_rule(s, "postrouting", true);
    hairpin_rule(s);
    if (s->l->family == 4)
        loopback_rule(s);
    outward_rule(s);
    transit_cluster_ip_rule(s);
    transit_outer_rule(s, false);
    transit_outer_rule(s, true);
}

/* ---- protection ---- */

/* route_localnet on the bridge serves NodePorts on 127.0.0.1; a pod must not use it to reach what
 * listens there. */
static void no_loopback_from_pods(const struct scope *s)
{
    static const struct cidr loopback = {{4, {127}}, 8};
    struct nft_rule r = rule_begin(s, "raw");
    link_is(&r, NFT_META_IIFNAME, NFT_CMP_EQ, s->c->bridge);
    in_prefix(&r, s->l, s->l->destination, NFT_CMP_EQ, loopback);
    nft_verdict(&r, NF_DROP, NULL);
    nft_rule_end(&r);
}

/* Such a packet would leave without its translation, and the client would reset the connection. */
static void no_invalid_from_pods(const struct scope *s)
{
    static const uint32_t zero;
    const uint32_t invalid = 1; /* NF_CT_STATE_INVALID_BIT, not in the public headers */
    struct nft_rule r = rule_begin(s, "forward");
    link_is(&r, NFT_META_IIFNAME, NFT_CMP_EQ, s->c->bridge);
    nft_ct(&r, NFT_CT_STATE, R0);
    nft_mask(&r, R0, &invalid, sizeof invalid);
    nft_cmp(&r, NFT_CMP_NEQ, R0, &zero, sizeof zero);
    nft_verdict(&r, NF_DROP, NULL);
    nft_rule_end(&r);
}

/* Pods reach their neighbours through us on purpose. */
static void no_redirects_to_pods(const struct scope *s)
{
    bool six = s->l->family == 6;
    struct nft_rule r = rule_begin(s, "redirects");
    link_is(&r, NFT_META_OIFNAME, NFT_CMP_EQ, s->c->bridge);
    nft_meta(&r, NFT_META_L4PROTO, R0);
    is_u8(&r, R0, six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    nft_transport_field(&r, 0, 1, R0);
    is_u8(&r, R0, six ? ICMP6_REDIRECT_TYPE : ICMP_REDIRECT_TYPE);
    nft_verdict(&r, NF_DROP, NULL);
    nft_rule_end(&r);
}

/* ---- the whole ---- */

static const struct base_chain {
    const char *name, *type;
    uint32_t hook;
    int priority;
} base_chains[] = {
    {"prerouting", "nat", NF_INET_PRE_ROUTING, PRIORITY_DNAT},
    {"output", "nat", NF_INET_LOCAL_OUT, PRIORITY_DNAT},
    {"input", "nat", NF_INET_LOCAL_IN, PRIORITY_SNAT},
    {"postrouting", "nat", NF_INET_POST_ROUTING, PRIORITY_SNAT},
    {"raw", "filter", NF_INET_PRE_ROUTING, PRIORITY_RAW},
    {"forward", "filter", NF_INET_FORWARD, PRIORITY_FILTER},
    {"redirects", "filter", NF_INET_LOCAL_OUT, PRIORITY_FILTER},
};

/* The kernel sends a host few ICMP errors per second, and loses those that come while connect(2)
 * still holds the socket: TCP gets a reset instead. */
static void reject_rules(struct nft_asm *a)
{
    struct nft_rule r = nft_rule_begin(a, "reject");
    nft_meta(&r, NFT_META_L4PROTO, R0);
    is_u8(&r, R0, IPPROTO_TCP);
    nft_reject_tcp_reset(&r);
    nft_rule_end(&r);
    r = nft_rule_begin(a, "reject");
    nft_reject_port_unreachable(&r);
    nft_rule_end(&r);
}

static void define_base(struct nft_asm *a)
{
    for (size_t i = 0; i < ARRAY_LEN(base_chains); i++) {
        const struct base_chain *c = &base_chains[i];
        nft_base_chain_add(a, c->name, c->type, c->hook, c->priority);
        nft_chain_flush(a, c->name);
    }
    nft_chain_add(a, "reject");
    nft_chain_flush(a, "reject");
    reject_rules(a);
    nft_chain_add(a, "drop");
    nft_chain_flush(a, "drop");
    struct nft_rule r = nft_rule_begin(a, "drop");
    nft_verdict(&r, NF_DROP, NULL);
    nft_rule_end(&r);
}

static void define_family(const struct scope *s)
{
    const char *const chains[] = {s->guard, s->services};
    for (size_t i = 0; i < NFT_SET_COUNT; i++)
        define_set(s, i);
    nft_set_flush(s->a, s->sets[NFT_OUTER]);
    nft_set_flush(s->a, s->sets[NFT_GUARDED]);
    nft_set_flush(s->a, s->sets[NFT_ALLOWED]);
    nft_set_flush(s->a, s->sets[NFT_HAIRPIN]);
    for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
        nft_chain_add(s->a, chains[i]);
        nft_chain_flush(s->a, chains[i]);
    }
    destination_rules(s);
    source_rules(s);
    if (s->l->family == 4)
        no_loopback_from_pods(s);
    no_invalid_from_pods(s);
    no_redirects_to_pods(s);
}

void nft_table_define(struct nft_asm *a, const struct nft_config *c, bool fresh)
{
    if (fresh)
        nft_table_remove(a);
    nft_table_add(a, c->comment);
    define_base(a);
    for (int family = 4; family <= 6; family += 2) {
        if (!c->pods[family == 6].ip.family && !c->services[family == 6].ip.family)
            continue;
        struct scope s = scope_of(a, c, family);
        define_family(&s);
    }
}

/* ---- pick chains ---- */

/* For whom a rule of a pick chain is. */
enum origin { FROM_PODS, FROM_HOST, FROM_ANYWHERE };

static struct nft_rule pick_begin(const struct scope *s, const struct nft_pick *p,
                                  enum origin origin)
{
    struct nft_rule r = rule_begin(s, p->name);
    if (origin == FROM_PODS)
        link_is(&r, NFT_META_IIFNAME, NFT_CMP_EQ, s->c->bridge);
    if (origin == FROM_HOST)
        address_is_local(&r, NFTA_FIB_F_SADDR);
    return r;
}

static void load_client(struct nft_rule *r, const struct layout *l)
{
    nft_network_field(r, l->source, l->len, R0);
}

/* A client that was here before. */
static void return_rule(const struct scope *s, const struct nft_pick *p)
{
    const struct layout *l = s->l;
    struct nft_rule r = rule_begin(s, p->name);
    load_client(&r, l);
    load_key(&r, l, p->any);
    nft_map(&r, s->sets[NFT_AFFINITY], R0, l->data_reg);
    nft_dnat(&r, l->nfproto, l->data_reg, l->data_port_reg);
    nft_rule_end(&r);
}

/* One of the first n backends. */
static void pick_rule(const struct scope *s, const struct nft_pick *p, enum origin origin,
                      uint32_t n)
{
    const struct layout *l = s->l;
    struct nft_rule r = pick_begin(s, p, origin);
    load_key(&r, l, p->any);
    nft_random(&r, n, l->data_reg);
    nft_map(&r, s->sets[NFT_BACKENDS], l->key_reg, l->data_reg);
    nft_dnat(&r, l->nfproto, l->data_reg, l->data_port_reg);
    nft_rule_end(&r);
}

static void pick_rules(const struct scope *s, const struct nft_pick *p)
{
    const struct nft_target *to = &p->target;
    if (to->affinity_s)
        return_rule(s, p);
    if (to->outside < to->backends) {
        pick_rule(s, p, FROM_PODS, to->backends);
        pick_rule(s, p, FROM_HOST, to->backends);
    }
    if (to->outside) {
        pick_rule(s, p, FROM_ANYWHERE, to->outside);
        return;
    }
    struct nft_rule r = rule_begin(s, p->name);
    nft_verdict(&r, NF_DROP, NULL);
    nft_rule_end(&r);
}

/* The packet goes to its backend now. */
static void remember_rule(const struct scope *s, const struct nft_pick *p)
{
    const struct layout *l = s->l;
    struct nft_rule r = rule_begin(s, p->name);
    load_client(&r, l);
    load_original_key(&r, l, p->any);
    nft_network_field(&r, l->destination, l->len, l->data_reg);
    nft_transport_field(&r, 2, 2, l->data_port_reg);
    nft_update(&r, s->sets[NFT_AFFINITY], R0, l->data_reg, p->target.affinity_s);
    nft_rule_end(&r);
}

void nft_pick_define(struct nft_asm *a, const struct nft_config *c, const struct nft_pick *p)
{
    struct scope s = scope_of(a, c, p->family);
    nft_chain_add(a, p->name);
    nft_chain_flush(a, p->name);
    if (p->remember)
        remember_rule(&s, p);
    else
        pick_rules(&s, p);
}
