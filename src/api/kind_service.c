/* SPDX-License-Identifier: Apache-2.0 */
/* Services. Addresses and ports are assigned by the server, after the checks here. */
#include "api/corev1.h"
#include "api/service.h"

enum { CLIENT_IP_SECONDS = 10800, CLIENT_IP_SECONDS_MAX = 86400 };

#define HINTS_ANNOTATION  STR("service.kubernetes.io/topology-aware-hints")
#define MODE_ANNOTATION   STR("service.kubernetes.io/topology-mode")
#define RANGES_ANNOTATION STR("service.beta.kubernetes.io/load-balancer-source-ranges")

static bool has_type(const struct corev1_service *s, const char *type)
{
    return str_eqz(s->spec.type, type);
}

static bool is_headless(const struct corev1_service *s)
{
    return s->spec.cluster_ips.n == 1 && str_eq(s->spec.cluster_ips.v[0], STR("None"));
}

static bool needs_node_ports(const struct corev1_service *s)
{
    return has_type(s, "NodePort") || has_type(s, "LoadBalancer");
}

static bool needs_health_check(const struct corev1_service *s)
{
    return has_type(s, "LoadBalancer") && str_eq(s->spec.external_traffic_policy, STR("Local"));
}

static bool is_external(const struct corev1_service *s)
{
    return needs_node_ports(s) || (has_type(s, "ClusterIP") && s->spec.external_ips.n);
}

/* ---- defaults ---- */

static void default_affinity(struct arena *a, struct corev1_service_spec *s)
{
    if (str_eq(s->session_affinity, STR("None")))
        s->session_affinity_config = NULL;
    if (!str_eq(s->session_affinity, STR("ClientIP")))
        return;
    if (!s->session_affinity_config)
        s->session_affinity_config = arena_new(a, struct corev1_session_affinity_config);
    if (!s->session_affinity_config->client_ip)
        s->session_affinity_config->client_ip = arena_new(a, struct corev1_client_ip_config);
    if (!s->session_affinity_config->client_ip->timeout_seconds)
        s->session_affinity_config->client_ip->timeout_seconds =
            NEW_VALUE(a, int32_t, CLIENT_IP_SECONDS);
}

static void defaults(struct arena *a, void *obj)
{
    struct corev1_service *s = obj;
    default_affinity(a, &s->spec);
    LIST_EACH (port, &s->spec.ports)
        if (intstr_zero(&port->target_port) ||
            (port->target_port.is_string && !port->target_port.s.n))
            port->target_port = intstr_int(port->port);
    if (is_external(s) && !s->spec.external_traffic_policy.n)
        s->spec.external_traffic_policy = STR("Cluster");
    if (!s->spec.internal_traffic_policy.p && (needs_node_ports(s) || has_type(s, "ClusterIP")))
        s->spec.internal_traffic_policy = STR("Cluster");
    if (has_type(s, "LoadBalancer")) {
        if (!s->spec.allocate_load_balancer_node_ports)
            s->spec.allocate_load_balancer_node_ports = NEW_VALUE(a, bool, true);
        LIST_EACH (i, &s->status.load_balancer.ingress)
            if (i->ip.n && !i->ip_mode.p)
                i->ip_mode = STR("VIP");
    }
}

/* ---- what the server adds and removes ---- */

static bool same_list(const struct str_list *a, const struct str_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!str_eq(a->v[i], b->v[i]))
            return false;
    return true;
}

static bool has_node_port(const struct corev1_service *s, int32_t port)
{
    LIST_EACH (p, &s->spec.ports)
        if (p->node_port == port)
            return true;
    return false;
}

static int32_t node_port_named(const struct corev1_service *s, struct str name)
{
    LIST_EACH (p, &s->spec.ports)
        if (str_eq(p->name, name))
            return p->node_port;
    return 0;
}

/* A client that leaves out what the server assigned wants to keep it. */
static void keep_node_ports(struct corev1_service *s, const struct corev1_service *old)
{
    if (!needs_node_ports(s) || !needs_node_ports(old))
        return;
    LIST_EACH (p, &s->spec.ports) {
        int32_t was = p->node_port ? 0 : node_port_named(old, p->name);
        if (was && !has_node_port(s, was))
            p->node_port = was;
    }
}

static void keep_assigned(struct corev1_service *s, const struct corev1_service *old)
{
    if (!has_type(s, "ExternalName") && !has_type(old, "ExternalName")) {
        if (!s->spec.cluster_ip.n)
            s->spec.cluster_ip = old->spec.cluster_ip;
        if (!s->spec.cluster_ips.n && str_eq(s->spec.cluster_ip, old->spec.cluster_ip))
            s->spec.cluster_ips = old->spec.cluster_ips;
    }
    keep_node_ports(s, old);
    if (needs_health_check(s) && needs_health_check(old) && !s->spec.health_check_node_port)
        s->spec.health_check_node_port = old->spec.health_check_node_port;
}

static void set_only(struct arena *a, struct str_list *l, struct str s)
{
    *l = (struct str_list){0};
    str_list_push(a, l, s);
}

/* clusterIP and clusterIPs[0] are one thing; a client may know only the former. */
static void join_cluster_ips(struct arena *a, struct corev1_service *s,
                             const struct corev1_service *old)
{
    struct corev1_service_spec *now = &s->spec;
    if (!old) {
        if (now->cluster_ip.n && !now->cluster_ips.n)
            set_only(a, &now->cluster_ips, now->cluster_ip);
        return;
    }
    bool same_ips = same_list(&now->cluster_ips, &old->spec.cluster_ips);
    if (str_eq(now->cluster_ip, old->spec.cluster_ip) || !same_ips)
        return;
    if (now->cluster_ip.n)
        set_only(a, &now->cluster_ips, now->cluster_ip);
    else
        now->cluster_ips = (struct str_list){0};
}

/* The type says which fields make sense. Those that the client left as they were go with it. */
static void drop_address(struct corev1_service *s, const struct corev1_service *old)
{
    if (has_type(old, "ExternalName") || !has_type(s, "ExternalName"))
        return;
    if (str_eq(s->spec.cluster_ip, old->spec.cluster_ip) &&
        same_list(&s->spec.cluster_ips, &old->spec.cluster_ips)) {
        s->spec.cluster_ip = STR_NULL;
        s->spec.cluster_ips = (struct str_list){0};
    }
    if (same_list(&s->spec.ip_families, &old->spec.ip_families))
        s->spec.ip_families = (struct str_list){0};
    if (str_eq(s->spec.ip_family_policy, old->spec.ip_family_policy))
        s->spec.ip_family_policy = STR_NULL;
}

static void drop_node_ports(struct corev1_service *s, const struct corev1_service *old)
{
    if (!needs_node_ports(old) || needs_node_ports(s))
        return;
    LIST_EACH (p, &s->spec.ports)
        if (p->node_port && !has_node_port(old, p->node_port))
            return;
    LIST_EACH (p, &s->spec.ports)
        p->node_port = 0;
}

static void drop_load_balancer(struct corev1_service *s, const struct corev1_service *old)
{
    struct corev1_service_spec *now = &s->spec;
    const struct corev1_service_spec *was = &old->spec;
    if (needs_health_check(old) && !needs_health_check(s) &&
        now->health_check_node_port == was->health_check_node_port)
        now->health_check_node_port = 0;
    if (has_type(old, "LoadBalancer") && !has_type(s, "LoadBalancer")) {
        if (now->allocate_load_balancer_node_ports && was->allocate_load_balancer_node_ports &&
            *now->allocate_load_balancer_node_ports == *was->allocate_load_balancer_node_ports)
            now->allocate_load_balancer_node_ports = NULL;
        if (str_eq(now->load_balancer_class, was->load_balancer_class))
            now->load_balancer_class = STR_NULL;
    }
    if (is_external(old) && !is_external(s) &&
        str_eq(now->external_traffic_policy, was->external_traffic_policy))
        now->external_traffic_policy = STR_NULL;
}

static void drop_second_family(struct corev1_service *s, const struct corev1_service *old)
{
    struct str was = old->spec.ip_family_policy;
    if (!str_eq(was, STR("PreferDualStack")) && !str_eq(was, STR("RequireDualStack")))
        return;
    if (!str_eq(s->spec.ip_family_policy, STR("SingleStack")))
        return;
    s->spec.cluster_ips.n = MIN(s->spec.cluster_ips.n, (size_t)1);
    s->spec.ip_families.n = MIN(s->spec.ip_families.n, (size_t)1);
}

static void prepare(struct arena *a, void *obj, const void *old)
{
    struct corev1_service *s = obj;
    if (old)
        keep_assigned(s, old);
    join_cluster_ips(a, s, old);
    if (old) {
        drop_address(s, old);
        drop_node_ports(s, old);
        drop_load_balancer(s, old);
        drop_second_family(s, old);
    }
}

/* ---- checks: type and ports ---- */

static void check_type(struct validation *v, const struct field_path *p,
                       const struct corev1_service *s)
{
    if (!s->spec.ports.n && !is_headless(s) && !has_type(s, "ExternalName"))
        fault_required(v, AT(p, "ports"), "%s", "");
    if (needs_node_ports(s) && is_headless(s))
        fault_invalid(v, AT_INDEX(AT(p, "clusterIPs"), 0), bad_str(STR("None")),
                      "may not be set to 'None' for %.*s services", STR_ARG(s->spec.type));
    if (!has_type(s, "ExternalName"))
        return;
    if (s->spec.cluster_ips.n)
        fault_forbidden(v, AT(p, "clusterIPs"), "may not be set for ExternalName services");
    if (s->spec.ip_families.n)
        fault_forbidden(v, AT(p, "ipFamilies"), "may not be set for ExternalName services");
    if (s->spec.ip_family_policy.p)
        fault_forbidden(v, AT(p, "ipFamilyPolicy"), "may not be set for ExternalName services");
    struct str name = s->spec.external_name;
    str_chop(&name, STR("."));
    check_required_format(v, AT(p, "externalName"), name, FORMAT_DNS_SUBDOMAIN);
}

static void check_service_port(struct validation *v, const struct field_path *p,
                               const struct corev1_service_port *port, bool needs_name,
                               struct map *names)
{
    if (port->name.n) {
        check_format(v, AT(p, "name"), port->name, FORMAT_DNS_LABEL);
        if (seen_before(names, port->name))
            fault_duplicate(v, AT(p, "name"), bad_str(port->name));
    } else if (needs_name) {
        fault_required(v, AT(p, "name"), "%s", "");
    }
    check_port(v, AT(p, "port"), port->port);
    check_schema_enum_required(v, p, &corev1_service_port_desc, "protocol", port->protocol);
    check_port_or_name(v, AT(p, "targetPort"), &port->target_port);
    if (port->app_protocol.p)
        check_format(v, AT(p, "appProtocol"), port->app_protocol, FORMAT_LABEL_KEY);
}

static bool is_repeated(struct arena *a, struct map *set, struct str protocol, int32_t port)
{
    return seen_before(set, arena_fmt(a, "%d/%.*s", port, STR_ARG(protocol)));
}

static void check_repeated_ports(struct validation *v, const struct field_path *p,
                                 const struct corev1_service *s)
{
    CLEANUP(map_fini) struct map ports = MAP_INIT_BORROWED;
    CLEANUP(map_fini) struct map node_ports = MAP_INIT_BORROWED;
    for (size_t i = 0; i < s->spec.ports.n; i++) {
        const struct corev1_service_port *port = &s->spec.ports.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        if (port->node_port && has_type(s, "ClusterIP"))
            fault_forbidden(v, AT(at, "nodePort"), "may not be used when `type` is 'ClusterIP'");
        if (port->node_port && is_repeated(v->arena, &node_ports, port->protocol, port->node_port))
            fault_duplicate(v, AT(at, "nodePort"), bad_int(port->node_port));
        if (is_repeated(v->arena, &ports, port->protocol, port->port)) {
            struct corev1_service_port key = {.port = port->port, .protocol = port->protocol};
            fault_duplicate(v, at, bad_obj(&corev1_service_port_desc, &key));
        }
    }
}

static void check_ports(struct validation *v, const struct field_path *p,
                        const struct corev1_service *s)
{
    CLEANUP(map_fini) struct map names = MAP_INIT_BORROWED;
    for (size_t i = 0; i < s->spec.ports.n; i++)
        check_service_port(v, AT_INDEX(p, i), &s->spec.ports.v[i], s->spec.ports.n > 1, &names);
    check_repeated_ports(v, p, s);
}

static void check_affinity(struct validation *v, const struct field_path *p,
                           const struct corev1_service_spec *s)
{
    const struct corev1_session_affinity_config *c = s->session_affinity_config;
    const struct field_path *at = AT(p, "sessionAffinityConfig");
    check_schema_enum_required(v, p, &corev1_service_spec_desc, "sessionAffinity",
                               s->session_affinity);
    if (str_eq(s->session_affinity, STR("None")) && c)
        fault_forbidden(v, at, "must not be set when session affinity is None");
    if (!str_eq(s->session_affinity, STR("ClientIP")))
        return;
    const struct field_path *client = AT(at, "clientIP"), *timeout = AT(client, "timeoutSeconds");
    if (!c || !c->client_ip || !c->client_ip->timeout_seconds)
        fault_required(v,
                       !c              ? at
                       : !c->client_ip ? client
                                       : timeout,
                       "when session affinity type is ClientIP");
    else if (*c->client_ip->timeout_seconds <= 0 ||
             *c->client_ip->timeout_seconds > CLIENT_IP_SECONDS_MAX)
        fault_invalid(v, timeout, bad_int(*c->client_ip->timeout_seconds),
                      "must be greater than 0 and less than %d", CLIENT_IP_SECONDS_MAX);
}

/* ---- checks: addresses ---- */

static void check_families(struct validation *v, const struct field_path *p,
                           const struct corev1_service_spec *s)
{
    static const char *const families[] = {"IPv4", "IPv6", NULL};
    for (size_t i = 0; i < s->ip_families.n; i++) {
        const struct field_path *at = AT_INDEX(AT(p, "ipFamilies"), i);
        check_one_of(v, at, s->ip_families.v[i], families);
        for (size_t j = 0; j < MIN(i, ARRAY_LEN(families)); j++)
            if (str_eq(s->ip_families.v[j], s->ip_families.v[i])) {
                fault_duplicate(v, at, bad_str(s->ip_families.v[i]));
                break;
            }
    }
    check_schema_enum(v, p, &corev1_service_spec_desc, "ipFamilyPolicy", s->ip_family_policy);
}

static bool is_v6(struct str s)
{
    struct ip_addr ip;
    return ip_parse(s, &ip) && ip.is_v6;
}

static void check_address_families(struct validation *v, const struct field_path *p,
                                   const struct corev1_service_spec *s)
{
    if (s->cluster_ips.n > 1 &&
        (s->cluster_ips.n > 2 || is_v6(s->cluster_ips.v[0]) == is_v6(s->cluster_ips.v[1])))
        fault_invalid(v, p, bad_list(&s->cluster_ips),
                      "may specify no more than one IP for each IP family");
    for (size_t i = 0; i < MIN(s->cluster_ips.n, s->ip_families.n); i++) {
        struct str family = s->ip_families.v[i], ip = s->cluster_ips.v[i];
        if (str_eq(family, is_v6(ip) ? STR("IPv4") : STR("IPv6")))
            fault_invalid(v, AT_INDEX(p, i), bad_str(ip),
                          "expected an %.*s value as indicated by `ipFamilies[%zu]`",
                          STR_ARG(family), i);
    }
}

static void check_cluster_ips(struct validation *v, const struct field_path *p,
                              const struct corev1_service *s)
{
    const struct str_list *ips = &s->spec.cluster_ips;
    const struct field_path *at = AT(p, "clusterIPs");
    bool good = true;
    if (!s->spec.cluster_ip.n && ips->n)
        fault_invalid(v, at, bad_list(ips), "must be empty when clusterIP is empty");
    else if (s->spec.cluster_ip.n && !ips->n)
        fault_required(v, at, "%s", "");
    else if (ips->n && !str_eq(ips->v[0], s->spec.cluster_ip))
        fault_invalid(v, at, bad_list(ips), "element [0] must match clusterIP");
    check_families(v, p, &s->spec);
    for (size_t i = 0; i < ips->n; i++) {
        if (i || !str_eq(ips->v[0], STR("None"))) {
            good &= check_ip(v, AT_INDEX(at, i), ips->v[i]);
        } else if (ips->n > 1) {
            good = false;
            fault_invalid(v, at, bad_list(ips), "'None' must be the first and only value");
        }
    }
    if (ips->n > 2)
        fault_invalid(v, at, bad_list(ips), "may only hold up to 2 values");
    if (good && !is_headless(s))
        check_address_families(v, at, &s->spec);
}

/* ---- checks: traffic ---- */

static void check_source_ranges(struct validation *v, const struct field_path *p,
                                const struct corev1_service *s)
{
    const struct str_list *ranges = &s->spec.load_balancer_source_ranges;
    const struct field_path *in_spec = AT(p, "LoadBalancerSourceRanges");
    const struct field_path *noted =
        AT_KEY(AT(AT(NULL, "metadata"), "annotations"), RANGES_ANNOTATION);
    const struct field_path *at = ranges->n ? in_spec : noted;
    struct str text = str_map_get(&s->metadata.annotations, RANGES_ANNOTATION), part;
    if (!ranges->n && !text.p)
        return;
    if (!has_type(s, "LoadBalancer"))
        fault_forbidden(v, at, "may only be used when `type` is 'LoadBalancer'");
    for (size_t i = 0; i < ranges->n; i++)
        check_cidr(v, AT_INDEX(at, i), str_trim(ranges->v[i]));
    text = str_trim(text);
    if (!ranges->n && text.n)
        while (str_next(&text, ',', &part))
            check_cidr(v, at, str_trim(part));
}

static void check_load_balancer(struct validation *v, const struct field_path *p,
                                const struct corev1_service *s)
{
    bool is_balancer = has_type(s, "LoadBalancer");
    check_source_ranges(v, p, s);
    if (s->spec.allocate_load_balancer_node_ports && !is_balancer)
        fault_forbidden(v, AT(p, "allocateLoadBalancerNodePorts"),
                        "may only be used when `type` is 'LoadBalancer'");
    if (!s->spec.allocate_load_balancer_node_ports && is_balancer)
        fault_required(v, AT(NULL, "allocateLoadBalancerNodePorts"), "%s", "");
    if (s->spec.load_balancer_class.p && is_balancer)
        check_format(v, AT(p, "loadBalancerClass"), s->spec.load_balancer_class, FORMAT_LABEL_KEY);
    else if (s->spec.load_balancer_class.p)
        fault_forbidden(v, AT(p, "loadBalancerClass"),
                        "may only be used when `type` is 'LoadBalancer'");
}

/* A health check port of 0 is one that the server will assign. */
static void check_external_traffic(struct validation *v, const struct field_path *p,
                                   const struct corev1_service *s)
{
    struct str policy = s->spec.external_traffic_policy;
    if (is_external(s))
        check_schema_enum_required(v, p, &corev1_service_spec_desc, "externalTrafficPolicy",
                                   policy);
    else if (policy.n)
        fault_invalid(v, AT(p, "externalTrafficPolicy"), bad_str(policy),
                      "may only be set for externally-accessible services");
    if (!s->spec.health_check_node_port)
        return;
    if (needs_health_check(s))
        check_port(v, AT(p, "healthCheckNodePort"), s->spec.health_check_node_port);
    else
        fault_invalid(v, AT(p, "healthCheckNodePort"), bad_int(s->spec.health_check_node_port),
                      "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` "
                      "is 'Local'");
}

static void check_traffic(struct validation *v, const struct field_path *p,
                          const struct corev1_service *s)
{
    static const char *const spreads[] = {"PreferClose", "PreferSameNode", "PreferSameZone", NULL};
    check_external_traffic(v, p, s);
    if (!s->spec.internal_traffic_policy.p && (needs_node_ports(s) || has_type(s, "ClusterIP")))
        fault_required(v, AT(p, "internalTrafficPolicy"), "%s", "");
    check_schema_enum(v, p, &corev1_service_spec_desc, "internalTrafficPolicy",
                      s->spec.internal_traffic_policy);
    if (s->spec.traffic_distribution.p)
        check_one_of(v, AT(p, "trafficDistribution"), s->spec.traffic_distribution, spreads);
}

/* ---- checks: changes ---- */

static void check_ips_change(struct validation *v, const struct field_path *p,
                             const struct corev1_service_spec *s,
                             const struct corev1_service_spec *old)
{
    const struct field_path *ips = AT(p, "clusterIPs");
    size_t n = s->cluster_ips.n, was = old->cluster_ips.n;
    if (n < was && !n)
        fault_invalid(v, AT_INDEX(ips, 0), bad_list(&s->cluster_ips),
                      "primary clusterIP can not be unset");
    for (size_t i = 0; i < (n == was ? n : MIN(MIN(n, was), (size_t)1)); i++)
        if (!str_eq(s->cluster_ips.v[i], old->cluster_ips.v[i]))
            fault_invalid(v, AT_INDEX(ips, i), bad_list(&s->cluster_ips),
                          "may not change once set");
    if (n < was && n == 1 && !str_eq(s->ip_family_policy, STR("SingleStack")))
        fault_invalid(v, AT(p, "ipFamilyPolicy"), bad_str(s->ip_family_policy),
                      "must be set to 'SingleStack' when releasing the secondary clusterIP");
}

static void check_families_change(struct validation *v, const struct field_path *p,
                                  const struct corev1_service_spec *s,
                                  const struct corev1_service_spec *old)
{
    const struct field_path *first = AT_INDEX(AT(p, "ipFamilies"), 0);
    size_t n = s->ip_families.n, was = old->ip_families.n;
    if (n < was && !s->cluster_ips.n)
        fault_invalid(v, first, bad_list(&s->ip_families), "primary ipFamily can not be unset");
    for (size_t i = 0; i < (n == was ? n : MIN(MIN(n, was), (size_t)1)); i++)
        if (!str_eq(s->ip_families.v[i], old->ip_families.v[i]))
            fault_invalid(v, first, bad_list(&s->ip_families), "may not change once set");
    if (n < was && n == 1 && !str_eq(s->ip_family_policy, STR("SingleStack")))
        fault_invalid(v, AT(p, "ipFamilyPolicy"), bad_str(s->ip_family_policy),
                      "must be set to 'SingleStack' when releasing the secondary ipFamily");
}

static void check_change(struct validation *v, const struct field_path *p,
                         const struct corev1_service *s, const struct corev1_service *old)
{
    bool external_name = has_type(s, "ExternalName") || has_type(old, "ExternalName");
    if (!external_name && !(is_headless(s) && is_headless(old)))
        check_ips_change(v, p, &s->spec, &old->spec);
    if (!external_name && !is_headless(s) && !is_headless(old))
        check_families_change(v, p, &s->spec, &old->spec);
    if (has_type(s, "LoadBalancer") && has_type(old, "LoadBalancer") &&
        !str_eq(s->spec.load_balancer_class, old->spec.load_balancer_class))
        fault_invalid(v, AT(p, "loadBalancerClass"), bad_str(s->spec.load_balancer_class),
                      "may not change once set");
    if (needs_health_check(s) && needs_health_check(old) &&
        s->spec.health_check_node_port != old->spec.health_check_node_port)
        fault_forbidden(v, AT(p, "healthCheckNodePort"), "field is immutable");
}

static void check_annotations_agree(struct validation *v, const struct str_map *annotations)
{
    struct str hints = str_map_get(annotations, HINTS_ANNOTATION);
    struct str mode = str_map_get(annotations, MODE_ANNOTATION);
    if (hints.p && mode.p && !str_eq(hints, mode))
        fault_invalid(v, AT_KEY(AT(AT(NULL, "metadata"), "annotations"), MODE_ANNOTATION),
                      bad_str(mode), "must match annotations[%.*s] when both are specified",
                      STR_ARG(HINTS_ANNOTATION));
}

static void validate(struct validation *v, const void *obj, const void *old)
{
    const struct corev1_service *s = obj;
    const struct field_path *p = AT(NULL, "spec");
    if (old)
        check_change(v, p, s, old);
    check_annotations_agree(v, &s->metadata.annotations);
    check_type(v, p, s);
    check_ports(v, AT(p, "ports"), s);
    check_labels(v, AT(p, "selector"), &s->spec.selector);
    check_affinity(v, p, &s->spec);
    if (!has_type(s, "ExternalName"))
        check_cluster_ips(v, p, s);
    for (size_t i = 0; i < s->spec.external_ips.n; i++)
        check_ordinary_ip(v, AT_INDEX(AT(p, "externalIPs"), i), s->spec.external_ips.v[i]);
    check_schema_enum_required(v, p, &corev1_service_spec_desc, "type", s->spec.type);
    check_load_balancer(v, p, s);
    check_traffic(v, p, s);
}

/* ---- status ---- */

void check_balancer_address(struct validation *v, const struct field_path *p, struct str ip,
                            struct str hostname)
{
    struct ip_addr addr;
    if (ip.n)
        check_ip(v, AT(p, "ip"), ip);
    if (!hostname.n)
        return;
    check_format(v, AT(p, "hostname"), hostname, FORMAT_DNS_SUBDOMAIN);
    if (ip_parse(hostname, &addr))
        fault_invalid(v, AT(p, "hostname"), bad_str(hostname),
                      "must be a DNS name, not an IP address");
}

static void check_ingress(struct validation *v, const struct field_path *p,
                          const struct corev1_load_balancer_ingress *i)
{
    check_balancer_address(v, p, i->ip, i->hostname);
    if (i->ip.n && !i->ip_mode.p)
        fault_required(v, AT(p, "ipMode"), "must be specified when `ip` is set");
    else if (i->ip_mode.p && !i->ip.n)
        fault_forbidden(v, AT(p, "ipMode"), "may not be specified when `ip` is not set");
    else
        check_schema_enum(v, p, &corev1_load_balancer_ingress_desc, "ipMode", i->ip_mode);
}

static void validate_status(struct validation *v, const void *obj, const void *old)
{
    const struct corev1_service *s = obj;
    const struct field_path *p = AT(AT(AT(NULL, "status"), "loadBalancer"), "ingress");
    const struct corev1_load_balancer_status *balancer = &s->status.load_balancer;
    if (balancer->ingress.n && !has_type(s, "LoadBalancer")) {
        fault_forbidden(v, p, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    for (size_t i = 0; i < balancer->ingress.n; i++)
        check_ingress(v, AT_INDEX(p, i), &balancer->ingress.v[i]);
}

const char *service_name_fault(struct str name, bool is_prefix)
{
    return format_name_fault(FORMAT_DNS1035_LABEL, name, is_prefix);
}

const struct kind_hooks corev1_service_hooks = {
    .defaults = defaults,
    .prepare = prepare,
    .validate = validate,
    .validate_status = validate_status,
    .valid_name = service_name_fault,
    .generation_off = true,
};
