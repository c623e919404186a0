/* SPDX-License-Identifier: Apache-2.0 */
/* A pod's spec as a whole, its DNS, its pod-level resources, and pod templates. */
#include "api/pod.h"
#include "api/resources.h"

/* ---- DNS ---- */

enum { NAMESERVERS_MAX = 3, SEARCHES_MAX = 32, SEARCH_BYTES_MAX = 2048 };

static void check_searches(struct validation *v, const struct field_path *p,
                           const struct str_list *searches)
{
    size_t bytes = searches->n ? searches->n - 1 : 0; /* the blanks between */
    LIST_EACH (s, searches)
        bytes += s->n;
    if (searches->n > SEARCHES_MAX)
        fault_invalid(v, p, bad_list(searches), "must not have more than %d search paths",
                      SEARCHES_MAX);
    if (bytes > SEARCH_BYTES_MAX)
        fault_invalid(v, p, bad_list(searches),
                      "must not have more than %d characters (including spaces) in the search "
                      "list",
                      SEARCH_BYTES_MAX);
    for (size_t i = 0; i < searches->n; i++) {
        struct str s = searches->v[i];
        if (str_eq(s, STR(".")))
            continue;
        (void)str_chop(&s, STR("."));
        check_format(v, AT_INDEX(p, i), s, FORMAT_DNS_SUBDOMAIN_UNDERSCORE);
    }
}

static void check_dns_config(struct validation *v, const struct field_path *p,
                             const struct corev1_pod_spec *spec)
{
    const struct corev1_pod_dns_config *d = spec->dns_config;
    if (str_eq(spec->dns_policy, STR("None"))) {
        if (!d) {
            fault_required(v, p, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if (!d->nameservers.n) {
            fault_required(v, AT(p, "nameservers"),
                           "must provide at least one DNS nameserver when `dnsPolicy` is None");
            return;
        }
    }
    if (!d)
        return;
    if (d->nameservers.n > NAMESERVERS_MAX)
        fault_invalid(v, AT(p, "nameservers"), bad_list(&d->nameservers),
                      "must not have more than %d nameservers", NAMESERVERS_MAX);
    for (size_t i = 0; i < d->nameservers.n; i++)
        check_ip(v, AT_INDEX(AT(p, "nameservers"), i), d->nameservers.v[i]);
    check_searches(v, AT(p, "searches"), &d->searches);
    for (size_t i = 0; i < d->options.n; i++)
        if (!d->options.v[i].name.n)
            fault_required(v, AT_INDEX(AT(p, "options"), i), "must not be empty");
}

static void check_host_aliases(struct validation *v, const struct field_path *p,
                               const struct corev1_pod_spec *spec)
{
    for (size_t i = 0; i < spec->host_aliases.n; i++) {
        const struct corev1_host_alias *h = &spec->host_aliases.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        check_ip(v, AT(at, "ip"), h->ip);
        for (size_t j = 0; j < h->hostnames.n; j++)
            check_format(v, AT_INDEX(AT(at, "hostnames"), j), h->hostnames.v[j],
                         FORMAT_DNS_SUBDOMAIN);
    }
}

enum { HOSTNAME_OVERRIDE_MAX = 64 };

static void check_host_names(struct validation *v, const struct field_path *p,
                             const struct corev1_pod_spec *spec)
{
    if (spec->hostname.n)
        check_format(v, AT(p, "hostname"), spec->hostname, FORMAT_DNS_LABEL);
    if (spec->subdomain.n)
        check_format(v, AT(p, "subdomain"), spec->subdomain, FORMAT_DNS_LABEL);
    struct str name = spec->hostname_override;
    if (!name.p)
        return;
    check_format(v, AT(p, "hostnameOverride"), name, FORMAT_DNS_SUBDOMAIN);
    if (name.n > HOSTNAME_OVERRIDE_MAX)
        fault_too_long(v, AT(p, "hostnameOverride"), HOSTNAME_OVERRIDE_MAX);
    if (spec->host_network)
        fault_forbidden(v, AT(p, "hostnameOverride"),
                        "may not be specified when hostNetwork is true");
    if (spec->set_hostname_as_fqdn && *spec->set_hostname_as_fqdn)
        fault_forbidden(v, AT(p, "setHostnameAsFQDN"),
                        "may not be true when hostnameOverride is specified");
}

/* ---- gates and claims ---- */

static void check_gates(struct validation *v, const struct field_path *p,
                        const struct corev1_pod_spec *spec)
{
    CLEANUP(map_fini) struct map names = MAP_INIT_BORROWED;
    for (size_t i = 0; i < spec->readiness_gates.n; i++)
        check_format(v, AT(AT_INDEX(AT(p, "readinessGates"), i), "conditionType"),
                     spec->readiness_gates.v[i].condition_type, FORMAT_LABEL_KEY);
    for (size_t i = 0; i < spec->scheduling_gates.n; i++) {
        struct str name = spec->scheduling_gates.v[i].name;
        const struct field_path *at = AT_INDEX(AT(p, "schedulingGates"), i);
        check_format(v, at, name, FORMAT_LABEL_KEY);
        if (seen_before(&names, name))
            fault_duplicate(v, at, bad_str(name));
    }
}

static void check_resource_claims(struct validation *v, const struct field_path *p,
                                  const struct corev1_pod_spec *spec)
{
    CLEANUP(map_fini) struct map names = MAP_INIT_BORROWED;
    for (size_t i = 0; i < spec->resource_claims.n; i++) {
        const struct corev1_pod_resource_claim *c = &spec->resource_claims.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        struct bad_value bad = bad_obj(&corev1_pod_resource_claim_desc, c);
        if (c->name.n && seen_before(&names, c->name))
            fault_duplicate(v, AT(at, "name"), bad_str(c->name));
        else
            check_required_format(v, AT(at, "name"), c->name, FORMAT_DNS_LABEL);
        if (c->resource_claim_name.p && c->resource_claim_template_name.p)
            fault_invalid(v, at, bad,
                          "at most one of `resourceClaimName` or `resourceClaimTemplateName` may "
                          "be specified");
        if (!c->resource_claim_name.p && !c->resource_claim_template_name.p)
            fault_invalid(v, at, bad,
                          "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
        if (c->resource_claim_name.p)
            check_format(v, AT(at, "resourceClaimName"), c->resource_claim_name,
                         FORMAT_DNS_SUBDOMAIN);
        if (c->resource_claim_template_name.p)
            check_format(v, AT(at, "resourceClaimTemplateName"), c->resource_claim_template_name,
                         FORMAT_DNS_SUBDOMAIN);
    }
}

static void gather_claims(struct pod_check *c)
{
    LIST_EACH (claim, &c->spec->resource_claims)
        if (claim->name.n)
            str_list_push(c->v->arena, &c->claims, claim->name);
    if (c->claims.n)
        qsort(c->claims.v, c->claims.n, sizeof *c->claims.v, str_qsort);
}

/* ---- resources of the pod as a whole ---- */

static void check_container_limits(struct validation *v, const struct field_path *p,
                                   const struct corev1_pod_spec *spec)
{
    for (size_t i = 0; i < spec->containers.n; i++) {
        LIST_EACH (limit, &spec->containers.v[i].resources.limits) {
            const struct quantity *pod = quantity_map_get(&spec->resources->limits, limit->key);
            if (pod && quantity_cmp(&limit->value, pod) > 0)
                fault_invalid(v, AT(AT_KEY(AT_INDEX(AT(p, "containers"), i), limit->key), "limits"),
                              bad_quantity(&limit->value),
                              "must be less than or equal to pod limits of %.*s",
                              STR_ARG(pod->text));
        }
    }
}

static void check_pod_resources(struct pod_check *c, const struct field_path *p)
{
    const struct corev1_resource_requirements *r = c->spec->resources;
    struct quantity_map requests;
    if (!r)
        return;
    if (r->claims.v)
        fault_forbidden(c->v, AT(p, "claims"), "claims cannot be set for Resources at pod-level");
    check_resource_requirements(c->v, p, r, check_pod_resource_name, &c->claims);
    pod_container_requests(c->v->arena, c->spec, &requests);
    LIST_EACH (q, &requests) {
        const struct quantity *pod = quantity_map_get(&r->requests, q->key);
        struct quantity none = {STR("0")};
        if (quantity_cmp(&q->value, pod ? pod : &none) > 0)
            fault_invalid(c->v, AT_KEY(AT(p, "requests"), q->key), bad_quantity(pod ? pod : &none),
                          "must be greater than or equal to aggregate container requests of %.*s",
                          STR_ARG(q->value.text));
    }
    check_container_limits(c->v, p, c->spec);
}

static void check_overhead(struct validation *v, const struct field_path *p,
                           const struct corev1_pod_spec *spec)
{
    struct corev1_resource_requirements r = {.limits = spec->overhead};
    struct str_list none = {0};
    if (spec->overhead.n)
        check_resource_requirements(v, p, &r, check_container_resource_name, &none);
}

/* With the host's network a port of a container is a port of the host. */
static void check_host_ports(struct pod_check *c, const struct field_path *p)
{
    if (!c->spec->host_network)
        return;
    for (size_t i = 0; i < c->spec->containers.n; i++) {
        const struct corev1_container *container = &c->spec->containers.v[i];
        for (size_t j = 0; j < container->ports.n; j++) {
            const struct corev1_container_port *port = &container->ports.v[j];
            if ((c->meta || port->host_port) && port->host_port != port->container_port)
                fault_invalid(
                    c->v,
                    AT(AT_INDEX(AT(AT_INDEX(AT(p, "containers"), i), "ports"), j), "hostPort"),
                    bad_int(port->host_port),
                    "must match `containerPort` when `hostNetwork` is true");
        }
    }
}

/* ---- the spec ---- */

bool check_preemption_policy(struct validation *v, const struct field_path *p, struct str policy)
{
    static const char *const policies[] = {"PreemptLowerPriority", "Never", NULL};
    return check_enum(v, p, policy, policies);
}

static void check_names(struct validation *v, const struct field_path *p,
                        const struct corev1_pod_spec *spec)
{
    if (spec->service_account_name.n)
        check_format(v, AT(p, "serviceAccountName"), spec->service_account_name,
                     FORMAT_DNS_SUBDOMAIN);
    if (spec->node_name.n)
        check_format(v, AT(p, "nodeName"), spec->node_name, FORMAT_DNS_SUBDOMAIN);
    if (spec->active_deadline_seconds)
        check_range(v, AT(p, "activeDeadlineSeconds"), *spec->active_deadline_seconds, 1,
                    INT32_MAX);
    check_host_names(v, p, spec);
    check_tolerations(v, AT(p, "tolerations"), spec);
    check_host_aliases(v, AT(p, "hostAliases"), spec);
    if (spec->priority_class_name.n)
        check_format(v, AT(p, "priorityClassName"), spec->priority_class_name,
                     FORMAT_DNS_SUBDOMAIN);
    if (spec->runtime_class_name.p)
        check_format(v, AT(p, "runtimeClassName"), spec->runtime_class_name, FORMAT_DNS_SUBDOMAIN);
    if (spec->preemption_policy.p)
        check_preemption_policy(v, AT(p, "preemptionPolicy"), spec->preemption_policy);
    if (spec->scheduling_group && spec->scheduling_group->pod_group_name.p)
        check_format(v, AT(AT(p, "schedulingGroup"), "podGroupName"),
                     spec->scheduling_group->pod_group_name, FORMAT_DNS_SUBDOMAIN);
}

static void check_policies(struct validation *v, const struct field_path *p,
                           const struct corev1_pod_spec *spec)
{
    static const char *const restart[] = {"Always", "OnFailure", "Never", NULL};
    static const char *const dns[] = {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None",
                                      NULL};
    check_enum(v, AT(p, "restartPolicy"), spec->restart_policy, restart);
    check_enum(v, AT(p, "dnsPolicy"), spec->dns_policy, dns);
    check_labels(v, AT(p, "nodeSelector"), &spec->node_selector);
}

void check_pod_spec(struct validation *v, const struct field_path *p,
                    const struct corev1_pod_spec *spec, const struct metav1_object_meta *meta)
{
    struct pod_check c = {
        .v = v,
        .spec = spec,
        .meta = meta,
        .volumes = MAP_INIT_BORROWED,
        .host_users = !spec->host_users || *spec->host_users,
    };
    gather_claims(&c);
    if (!spec->termination_grace_period_seconds)
        fault_required(v, AT(p, "terminationGracePeriodSeconds"), "%s", "");
    check_volumes(&c, AT(p, "volumes"));
    check_resource_claims(v, AT(p, "resourceClaims"), spec);
    check_containers(&c, AT(p, "containers"));
    check_init_containers(&c, AT(p, "initContainers"));
    check_ephemeral_containers(&c, AT(p, "ephemeralContainers"));
    check_pod_resources(&c, AT(p, "resources"));
    check_host_ports(&c, p);
    check_policies(v, p, spec);
    check_pod_security(&c, p);
    check_affinity(v, AT(p, "affinity"), spec->affinity);
    check_dns_config(v, AT(p, "dnsConfig"), spec);
    check_gates(v, p, spec);
    check_spread_constraints(v, AT(p, "topologySpreadConstraints"), spec);
    check_windows_host_process(&c, p);
    check_names(v, p, spec);
    check_overhead(v, AT(p, "overhead"), spec);
    check_os_fields(&c, p);
    map_fini(&c.volumes);
}

void check_pod_template(struct validation *v, const struct field_path *p,
                        const struct corev1_pod_template_spec *t)
{
    check_labels(v, AT(p, "labels"), &t->metadata.labels);
    check_annotations(v, AT(p, "annotations"), &t->metadata.annotations);
    check_pod_annotations(v, AT(p, "annotations"), &t->metadata, &t->spec);
    check_pod_spec(v, AT(p, "spec"), &t->spec, NULL);
    check_profile_annotations(v, AT(p, "spec"), &t->metadata, &t->spec);
    if (t->spec.ephemeral_containers.n)
        fault_forbidden(v, AT(AT(p, "spec"), "ephemeralContainers"),
                        "ephemeral containers not allowed in pod template");
}
