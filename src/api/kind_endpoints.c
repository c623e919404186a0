/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints and endpoint slices: where the traffic of services goes. */
#include "api/corev1.h"
#include "api/discoveryv1.h"
#include "api/validate.h"

enum {
    SLICE_ENDPOINTS_MAX = 1000,
    SLICE_ADDRESSES_MAX = 100,
    SLICE_PORTS_MAX = 20000,
    SLICE_TOPOLOGY_MAX = 16,
    SLICE_HINTS_MAX = 8,
};

#define ZONE_LABEL STR("topology.kubernetes.io/zone")

/* ---- endpoints ---- */

static void check_address(struct validation *v, const struct field_path *p,
                          const struct corev1_endpoint_address *a)
{
    check_ordinary_ip(v, AT(p, "ip"), a->ip);
    if (a->hostname.n)
        check_format(v, AT(p, "hostname"), a->hostname, FORMAT_DNS_LABEL);
    if (a->node_name.p)
        check_format(v, AT(p, "nodeName"), a->node_name, FORMAT_DNS_SUBDOMAIN);
}

static void check_endpoint_port(struct validation *v, const struct field_path *p,
                                const struct corev1_endpoint_port *port, bool needs_name)
{
    if (port->name.n)
        check_format(v, AT(p, "name"), port->name, FORMAT_DNS_LABEL);
    else if (needs_name)
        fault_required(v, AT(p, "name"), "%s", "");
    check_port(v, AT(p, "port"), port->port);
    check_schema_enum_required(v, p, &corev1_endpoint_port_desc, "protocol", port->protocol);
    if (port->app_protocol.p)
        check_format(v, AT(p, "appProtocol"), port->app_protocol, FORMAT_LABEL_KEY);
}

static void check_subset(struct validation *v, const struct field_path *p,
                         const struct corev1_endpoint_subset *s)
{
    if (!s->addresses.n && !s->not_ready_addresses.n)
        fault_required(v, p, "must specify `addresses` or `notReadyAddresses`");
    for (size_t i = 0; i < s->addresses.n; i++)
        check_address(v, AT_INDEX(AT(p, "addresses"), i), &s->addresses.v[i]);
    for (size_t i = 0; i < s->not_ready_addresses.n; i++)
        check_address(v, AT_INDEX(AT(p, "notReadyAddresses"), i), &s->not_ready_addresses.v[i]);
    for (size_t i = 0; i < s->ports.n; i++)
        check_endpoint_port(v, AT_INDEX(AT(p, "ports"), i), &s->ports.v[i], s->ports.n > 1);
}

static void validate(struct validation *v, const void *obj, const void *old)
{
    const struct corev1_endpoints *e = obj;
    for (size_t i = 0; i < e->subsets.n; i++)
        check_subset(v, AT_INDEX(AT(NULL, "subsets"), i), &e->subsets.v[i]);
}

const struct kind_hooks corev1_endpoints_hooks = {
    .validate = validate,
    .generation_off = true,
};

/* ---- endpoint slices ---- */

static void slice_defaults(struct arena *a, void *obj)
{
    struct discoveryv1_endpoint_slice *s = obj;
    LIST_EACH (port, &s->ports)
        if (!port->name.p)
            port->name = STR("");
}

static void slice_prepare(struct arena *a, void *obj, const void *old)
{
    prepare_generation(&discoveryv1_endpoint_slice_desc, obj, old);
}

static void check_slice_address(struct validation *v, const struct field_path *p, struct str type,
                                struct str address)
{
    struct ip_addr ip;
    if (str_eq(type, STR("FQDN"))) {
        check_full_domain_name(v, p, address);
    } else if (str_eq(type, STR("IPv4")) || str_eq(type, STR("IPv6"))) {
        if (ip_parse(address, &ip) && ip.is_v6 != str_eq(type, STR("IPv6")))
            fault_invalid(v, p, bad_str(address), "must be an %.*s address", STR_ARG(type));
        check_ordinary_ip(v, p, address);
    }
}

static void check_zone_hints(struct validation *v, const struct field_path *p,
                             const struct discoveryv1_endpoint_hints *h)
{
    CLEANUP(map_fini) struct map zones = MAP_INIT_BORROWED;
    if (h->for_zones.n > SLICE_HINTS_MAX) {
        fault_too_many(v, p, (int64_t)h->for_zones.n, SLICE_HINTS_MAX);
        return;
    }
    for (size_t i = 0; i < h->for_zones.n; i++) {
        const struct field_path *at = AT(AT_INDEX(p, i), "name");
        struct str zone = h->for_zones.v[i].name;
        if (seen_before(&zones, zone))
            fault_duplicate(v, at, bad_str(zone));
        check_format(v, at, zone, FORMAT_LABEL_VALUE);
    }
}

static void check_node_hints(struct validation *v, const struct field_path *p,
                             const struct discoveryv1_endpoint_hints *h)
{
    CLEANUP(map_fini) struct map nodes = MAP_INIT_BORROWED;
    if (h->for_nodes.n > SLICE_HINTS_MAX) {
        fault_too_many(v, p, (int64_t)h->for_nodes.n, SLICE_HINTS_MAX);
        return;
    }
    for (size_t i = 0; i < h->for_nodes.n; i++) {
        const struct field_path *at = AT(AT_INDEX(p, i), "name");
        struct str node = h->for_nodes.v[i].name;
        if (seen_before(&nodes, node))
            fault_duplicate(v, at, bad_str(node));
        check_format(v, at, node, FORMAT_DNS_SUBDOMAIN);
    }
}

static void check_topology(struct validation *v, const struct field_path *p,
                           const struct str_map *topology)
{
    if (topology->n > SLICE_TOPOLOGY_MAX)
        fault_too_many(v, p, (int64_t)topology->n, SLICE_TOPOLOGY_MAX);
    check_labels(v, p, topology);
    if (str_map_has(topology, ZONE_LABEL))
        fault_internal(v, AT_KEY(p, ZONE_LABEL), "reserved key was not removed in conversion");
}

static void check_endpoint(struct validation *v, const struct field_path *p, struct str type,
                           const struct discoveryv1_endpoint *e)
{
    const struct field_path *addresses = AT(p, "addresses");
    if (!e->addresses.n)
        fault_required(v, addresses, "must contain at least 1 address");
    else if (e->addresses.n > SLICE_ADDRESSES_MAX)
        fault_too_many(v, addresses, (int64_t)e->addresses.n, SLICE_ADDRESSES_MAX);
    for (size_t i = 0; i < e->addresses.n; i++)
        check_slice_address(v, AT_INDEX(addresses, i), type, e->addresses.v[i]);
    if (e->node_name.p)
        check_format(v, AT(p, "nodeName"), e->node_name, FORMAT_DNS_SUBDOMAIN);
    check_topology(v, AT(p, "deprecatedTopology"), &e->deprecated_topology);
    if (e->hostname.p)
        check_format(v, AT(p, "hostname"), e->hostname, FORMAT_DNS_LABEL);
    if (e->hints) {
        check_zone_hints(v, AT(AT(p, "hints"), "forZones"), e->hints);
        check_node_hints(v, AT(AT(p, "hints"), "forNodes"), e->hints);
    }
}

static void check_slice_port(struct validation *v, const struct field_path *p,
                             const struct discoveryv1_endpoint_port *port, struct map *names)
{
    struct str name = port->name.p ? port->name : STR("");
    if (name.n)
        check_format(v, AT(p, "name"), name, FORMAT_DNS_LABEL);
    if (seen_before(names, name))
        fault_duplicate(v, AT(p, "name"), bad_str(name));
    if (!port->protocol.p)
        fault_required(v, AT(p, "protocol"), "%s", "");
    check_schema_enum(v, p, &discoveryv1_endpoint_port_desc, "protocol", port->protocol);
    if (port->app_protocol.p)
        check_format(v, AT(p, "appProtocol"), port->app_protocol, FORMAT_LABEL_KEY);
}

static void check_slice_ports(struct validation *v, const struct field_path *p,
                              const struct discoveryv1_endpoint_slice *s)
{
    CLEANUP(map_fini) struct map names = MAP_INIT_BORROWED;
    if (s->ports.n > SLICE_PORTS_MAX) {
        fault_too_many(v, p, (int64_t)s->ports.n, SLICE_PORTS_MAX);
        return;
    }
    for (size_t i = 0; i < s->ports.n; i++)
        check_slice_port(v, AT_INDEX(p, i), &s->ports.v[i], &names);
}

static void slice_validate(struct validation *v, const void *obj, const void *old)
{
    static const char *const types[] = {"FQDN", "IPv4", "IPv6", NULL};
    const struct discoveryv1_endpoint_slice *s = obj, *was = old;
    const struct field_path *endpoints = AT(NULL, "endpoints");
    check_enum(v, AT(NULL, "addressType"), s->address_type, types);
    if (s->endpoints.n > SLICE_ENDPOINTS_MAX)
        fault_too_many(v, endpoints, (int64_t)s->endpoints.n, SLICE_ENDPOINTS_MAX);
    else
        for (size_t i = 0; i < s->endpoints.n; i++)
            check_endpoint(v, AT_INDEX(endpoints, i), s->address_type, &s->endpoints.v[i]);
    check_slice_ports(v, AT(NULL, "ports"), s);
    if (was)
        check_immutable_str(v, AT(NULL, "addressType"), s->address_type, was->address_type);
}

const struct kind_hooks discoveryv1_endpoint_slice_hooks = {
    .defaults = slice_defaults,
    .prepare = slice_prepare,
    .validate = slice_validate,
};
