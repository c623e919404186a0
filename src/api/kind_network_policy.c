/* SPDX-License-Identifier: Apache-2.0 */
/* Network policies, and the objects about ranges of service addresses. */
#include "api/networkingv1.h"
#include "api/validate.h"

/* ---- network policies ---- */

static void defaults(struct arena *a, void *obj)
{
    struct networkingv1_network_policy_spec *s = &((struct networkingv1_network_policy *)obj)->spec;
    if (s->policy_types.n)
        return;
    str_list_push(a, &s->policy_types, STR("Ingress"));
    if (s->egress.n)
        str_list_push(a, &s->policy_types, STR("Egress"));
}

static void check_policy_port(struct validation *v, const struct field_path *p,
                              const struct networkingv1_network_policy_port *port)
{
    static const char *const protocols[] = {"TCP", "UDP", "SCTP", NULL};
    const struct field_path *end = AT(p, "endPort");
    if (port->protocol.p)
        check_one_of(v, AT(p, "protocol"), port->protocol, protocols);
    if (port->port)
        check_port_or_name(v, AT(p, "port"), port->port);
    if (!port->end_port)
        return;
    if (!port->port) {
        fault_invalid(v, end, bad_int(*port->end_port),
                      "may not be specified when `port` is not specified");
    } else if (port->port->is_string) {
        fault_invalid(v, end, bad_int(*port->end_port),
                      "may not be specified when `port` is non-numeric");
    } else {
        if (*port->end_port < port->port->i)
            fault_invalid(v, end, bad_int(port->port->i),
                          "must be greater than or equal to `port`");
        check_port(v, end, *port->end_port);
    }
}

static void check_ip_block(struct validation *v, const struct field_path *p,
                           const struct networkingv1_ip_block *b)
{
    struct ip_prefix all, except;
    if (!b->cidr.n) {
        fault_required(v, AT(p, "cidr"), "%s", "");
        return;
    }
    if (!check_cidr(v, AT(p, "cidr"), b->cidr) || !ip_prefix_parse(b->cidr, &all))
        return;
    for (size_t i = 0; i < b->except.n; i++) {
        const struct field_path *at = AT_INDEX(AT(p, "except"), i);
        struct str s = b->except.v[i];
        if (!check_cidr(v, at, s) || !ip_prefix_parse(s, &except))
            continue;
        if (!ip_in_prefix(&except.addr, &all) || all.bits >= except.bits)
            fault_invalid(v, at, bad_str(s), "must be a strict subset of `cidr`");
    }
}

static void check_peer(struct validation *v, const struct field_path *p,
                       const struct networkingv1_network_policy_peer *peer)
{
    if (peer->pod_selector)
        check_label_selector(v, AT(p, "podSelector"), peer->pod_selector, false);
    if (peer->namespace_selector)
        check_label_selector(v, AT(p, "namespaceSelector"), peer->namespace_selector, false);
    if (peer->ip_block)
        check_ip_block(v, AT(p, "ipBlock"), peer->ip_block);
    if (!peer->pod_selector && !peer->namespace_selector && !peer->ip_block)
        fault_required(v, p, "must specify a peer");
    else if (peer->ip_block && (peer->pod_selector || peer->namespace_selector))
        fault_forbidden(v, p, "may not specify both ipBlock and another peer");
}

static void check_ingress(struct validation *v, const struct field_path *p,
                          const struct networkingv1_network_policy_ingress_rule *r)
{
    for (size_t i = 0; i < r->ports.n; i++)
        check_policy_port(v, AT_INDEX(AT(p, "ports"), i), &r->ports.v[i]);
    for (size_t i = 0; i < r->from.n; i++)
        check_peer(v, AT_INDEX(AT(p, "from"), i), &r->from.v[i]);
}

static void check_egress(struct validation *v, const struct field_path *p,
                         const struct networkingv1_network_policy_egress_rule *r)
{
    for (size_t i = 0; i < r->ports.n; i++)
        check_policy_port(v, AT_INDEX(AT(p, "ports"), i), &r->ports.v[i]);
    for (size_t i = 0; i < r->to.n; i++)
        check_peer(v, AT_INDEX(AT(p, "to"), i), &r->to.v[i]);
}

static void validate(struct validation *v, const void *obj, const void *old)
{
    static const char *const types[] = {"Ingress", "Egress", NULL};
    const struct networkingv1_network_policy_spec *s =
        &((const struct networkingv1_network_policy *)obj)->spec;
    const struct field_path *p = AT(NULL, "spec"), *policy_types = AT(p, "policyTypes");
    check_label_selector(v, AT(p, "podSelector"), &s->pod_selector, false);
    for (size_t i = 0; i < s->ingress.n; i++)
        check_ingress(v, AT_INDEX(AT(p, "ingress"), i), &s->ingress.v[i]);
    for (size_t i = 0; i < s->egress.n; i++)
        check_egress(v, AT_INDEX(AT(p, "egress"), i), &s->egress.v[i]);
    if (s->policy_types.n > 2)
        fault_invalid(v, policy_types, bad_list(&s->policy_types),
                      "may not specify more than two policyTypes");
    else
        for (size_t i = 0; i < s->policy_types.n; i++)
            check_one_of(v, AT_INDEX(policy_types, i), s->policy_types.v[i], types);
}

const struct kind_hooks networkingv1_network_policy_hooks = {
    .defaults = defaults,
    .validate = validate,
};

/* ---- one address in use ---- */

static const char *address_name(struct str name, bool is_prefix)
{
    struct ip_addr ip;
    struct arena scratch = ARENA_INIT;
    const char *fault = NULL;
    if (!ip_parse(name, &ip))
        fault = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    else if (!str_eq(ip_text(&scratch, &ip), name))
        fault = "must be a canonical format IP address";
    arena_fini(&scratch);
    return fault;
}

static void check_segment(struct validation *v, const struct field_path *p, struct str s)
{
    check_required_format(v, p, s, FORMAT_PATH_SEGMENT);
}

static void address_validate(struct validation *v, const void *obj, const void *old)
{
    const struct networkingv1_ip_address *a = obj, *was = old;
    const struct networkingv1_parent_reference *r = a->spec.parent_ref;
    const struct field_path *p = AT(AT(NULL, "spec"), "parentRef");
    if (!r) {
        fault_required(v, p, "%s", "");
    } else {
        if (r->group.n)
            check_format(v, AT(p, "group"), r->group, FORMAT_DNS_SUBDOMAIN);
        check_segment(v, AT(p, "resource"), r->resource);
        check_segment(v, AT(p, "name"), r->name);
        if (r->namespace.n)
            check_segment(v, AT(p, "namespace"), r->namespace);
    }
    if (was)
        check_immutable(v, p, &networkingv1_parent_reference_desc, r, was->spec.parent_ref);
}

const struct kind_hooks networkingv1_ip_address_hooks = {
    .validate = address_validate,
    .valid_name = address_name,
    .generation_off = true,
};

/* ---- ranges of addresses ---- */

static void check_ranges(struct validation *v, const struct field_path *p,
                         const struct networkingv1_service_cidr_spec *s)
{
    if (!s->cidrs.n) {
        fault_required(v, p, "at least one CIDR required");
        return;
    }
    if (s->cidrs.n > 2) {
        fault_invalid(v, p, bad_obj(&networkingv1_service_cidr_spec_desc, s),
                      "may only hold up to 2 values");
        return;
    }
    for (size_t i = 0; i < s->cidrs.n; i++)
        check_cidr_strict(v, AT_INDEX(p, i), s->cidrs.v[i]);
    if (s->cidrs.n == 2 && !is_dual_stack(&s->cidrs))
        fault_invalid(v, p, bad_obj(&networkingv1_service_cidr_spec_desc, s),
                      "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and "
                      "2001:db8::/96");
}

static void ranges_validate(struct validation *v, const void *obj, const void *old)
{
    const struct networkingv1_service_cidr *c = obj, *was = old;
    const struct field_path *p = AT(AT(NULL, "spec"), "cidrs");
    if (!was) {
        check_ranges(v, p, &c->spec);
        return;
    }
    const struct str_list *now = &c->spec.cidrs, *before = &was->spec.cidrs;
    if (now->n < before->n) {
        fault_invalid(v, p, bad_list(now), "field is immutable");
        return;
    }
    for (size_t i = 0; i < before->n; i++)
        check_immutable_str(v, AT_INDEX(p, i), now->v[i], before->v[i]);
    if (now->n > before->n)
        check_ranges(v, p, &c->spec);
}

const struct kind_hooks networkingv1_service_cidr_hooks = {
    .validate = ranges_validate,
    .generation_off = true,
};
