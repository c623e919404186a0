/* SPDX-License-Identifier: Apache-2.0 */
/* Ingresses and their classes. */
#include "api/networkingv1.h"
#include "api/service.h"

enum { CONTROLLER_BYTES_MAX = 250 };

#define CLASS_ANNOTATION STR("kubernetes.io/ingress.class")

/* ---- ingresses ---- */

static void check_reference(struct validation *v, const struct field_path *p, struct str group,
                            struct str kind, struct str name)
{
    if (group.p)
        check_format(v, AT(p, "apiGroup"), group, FORMAT_DNS_SUBDOMAIN);
    if (!kind.n)
        fault_required(v, AT(p, "kind"), "kind is required");
    else
        check_format(v, AT(p, "kind"), kind, FORMAT_PATH_SEGMENT);
    if (!name.n)
        fault_required(v, AT(p, "name"), "name is required");
    else
        check_format(v, AT(p, "name"), name, FORMAT_PATH_SEGMENT);
}

static void check_service_backend(struct validation *v, const struct field_path *p,
                                  const struct networkingv1_ingress_service_backend *s)
{
    const struct field_path *service = AT(p, "service"), *port = AT(service, "port");
    check_required_format(v, AT(service, "name"), s->name, FORMAT_DNS1035_LABEL);
    if (s->port.name.n && s->port.number)
        fault_invalid(v, p, bad_str(STR("")), "cannot set both port name & port number");
    else if (s->port.name.n)
        check_format(v, AT(port, "name"), s->port.name, FORMAT_PORT_NAME);
    else if (s->port.number)
        check_port(v, AT(port, "number"), s->port.number);
    else
        fault_required(v, p, "port name or number is required");
}

static void check_backend(struct validation *v, const struct field_path *p,
                          const struct networkingv1_ingress_backend *b)
{
    if (b->resource && b->service)
        fault_invalid(v, p, bad_str(STR("")), "cannot set both resource and service backends");
    else if (b->resource)
        check_reference(v, AT(p, "resource"), b->resource->api_group, b->resource->kind,
                        b->resource->name);
    else if (b->service)
        check_service_backend(v, p, b->service);
    else
        fault_invalid(v, p, bad_str(STR("")), "resource or service backend is required");
}

static void check_exact_path(struct validation *v, const struct field_path *p, struct str path)
{
    static const char *const parts[] = {"//", "/./", "/../", "%2f", "%2F"};
    static const char *const ends[] = {"/..", "/."};
    if (!str_has_prefix(path, STR("/")))
        fault_invalid(v, p, bad_str(path), "must be an absolute path");
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (str_find(path, str_z(parts[i])) >= 0)
            fault_invalid(v, p, bad_str(path), "must not contain '%s'", parts[i]);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (str_has_suffix(path, str_z(ends[i])))
            fault_invalid(v, p, bad_str(path), "cannot end with '%s'", ends[i]);
}

static void check_path(struct validation *v, const struct field_path *p,
                       const struct networkingv1_http_ingress_path *path)
{
    static const char *const types[] = {"Exact", "ImplementationSpecific", "Prefix", NULL};
    if (!path->path_type.p) {
        fault_required(v, AT(p, "pathType"), "pathType must be specified");
        return;
    }
    if (str_eq(path->path_type, STR("Exact")) || str_eq(path->path_type, STR("Prefix")))
        check_exact_path(v, AT(p, "path"), path->path);
    else if (check_one_of(v, AT(p, "pathType"), path->path_type, types) && path->path.n &&
             path->path.p[0] != '/')
        fault_invalid(v, AT(p, "path"), bad_str(path->path), "must be an absolute path");
    check_backend(v, AT(p, "backend"), &path->backend);
}

static void check_host(struct validation *v, const struct field_path *p, struct str host)
{
    bool wildcard = str_index(host, '*') >= 0;
    check_format(v, p, host, wildcard ? FORMAT_WILDCARD_SUBDOMAIN : FORMAT_DNS_SUBDOMAIN);
}

static void check_rule(struct validation *v, const struct field_path *p,
                       const struct networkingv1_ingress_rule *r)
{
    struct ip_addr ip;
    const struct field_path *paths = AT(AT(p, "http"), "paths");
    if (ip_parse(r->host, &ip))
        fault_invalid(v, AT(p, "host"), bad_str(r->host), "must be a DNS name, not an IP address");
    if (r->host.n)
        check_host(v, AT(p, "host"), r->host);
    if (!r->http)
        return;
    if (!r->http->paths.n)
        fault_required(v, paths, "%s", "");
    for (size_t i = 0; i < r->http->paths.n; i++)
        check_path(v, AT_INDEX(paths, i), &r->http->paths.v[i]);
}

static void check_tls(struct validation *v, const struct field_path *p,
                      const struct networkingv1_ingress_tls *t)
{
    for (size_t i = 0; i < t->hosts.n; i++)
        check_host(v, AT_INDEX(AT(p, "hosts"), i), t->hosts.v[i]);
    if (t->secret_name.n)
        check_format(v, AT(p, "secretName"), t->secret_name, FORMAT_DNS_SUBDOMAIN);
}

static void check_class_annotation(struct validation *v, const struct networkingv1_ingress *i)
{
    struct str name = str_map_get(&i->metadata.annotations, CLASS_ANNOTATION);
    if (name.p && i->spec.ingress_class_name.p && !str_eq(name, i->spec.ingress_class_name))
        fault_invalid(v, AT(AT(NULL, "annotations"), "kubernetes.io/ingress.class"), bad_str(name),
                      "must match `ingressClassName` when both are specified");
}

static void ingress_validate(struct validation *v, const void *obj, const void *old)
{
    const struct networkingv1_ingress *ingress = obj;
    const struct networkingv1_ingress_spec *s = &ingress->spec;
    const struct field_path *p = AT(NULL, "spec");
    if (!s->rules.n && !s->default_backend)
        fault_invalid(v, p, bad_null(), "either `defaultBackend` or `rules` must be specified");
    if (s->default_backend)
        check_backend(v, AT(p, "defaultBackend"), s->default_backend);
    for (size_t i = 0; i < s->rules.n; i++)
        check_rule(v, AT_INDEX(AT(p, "rules"), i), &s->rules.v[i]);
    for (size_t i = 0; i < s->tls.n; i++)
        check_tls(v, AT_INDEX(AT(p, "tls"), i), &s->tls.v[i]);
    if (s->ingress_class_name.p)
        check_format(v, AT(p, "ingressClassName"), s->ingress_class_name, FORMAT_DNS_SUBDOMAIN);
    if (!old)
        check_class_annotation(v, ingress);
}

static void ingress_validate_status(struct validation *v, const void *obj, const void *old)
{
    const struct networkingv1_ingress *ingress = obj;
    const struct networkingv1_ingress_load_balancer_status *s = &ingress->status.load_balancer;
    const struct field_path *p = AT(AT(AT(NULL, "status"), "loadBalancer"), "ingress");
    for (size_t i = 0; i < s->ingress.n; i++)
        check_balancer_address(v, AT_INDEX(p, i), s->ingress.v[i].ip, s->ingress.v[i].hostname);
}

const struct kind_hooks networkingv1_ingress_hooks = {
    .validate = ingress_validate,
    .validate_status = ingress_validate_status,
};

/* ---- classes ---- */

static void check_parameters(struct validation *v, const struct field_path *p,
                             const struct networkingv1_ingress_class_parameters_reference *r)
{
    static const char *const scopes[] = {"Cluster", "Namespace", NULL};
    check_reference(v, p, r->api_group, r->kind, r->name);
    if (!r->scope.p) {
        fault_required(v, AT(p, "scope"), "%s", "");
        return;
    }
    if (!check_one_of(v, AT(p, "scope"), r->scope, scopes))
        return;
    if (str_eq(r->scope, STR("Cluster"))) {
        if (r->namespace.p)
            fault_forbidden(v, AT(p, "namespace"), "`parameters.scope` is set to 'Cluster'");
    } else if (!r->namespace.p) {
        fault_required(v, AT(p, "namespace"), "`parameters.scope` is set to 'Namespace'");
    } else {
        check_format(v, AT(p, "namespace"), r->namespace, FORMAT_DNS_LABEL);
    }
}

static void class_validate(struct validation *v, const void *obj, const void *old)
{
    const struct networkingv1_ingress_class *c = obj, *was = old;
    const struct field_path *p = AT(NULL, "spec"), *controller = AT(p, "controller");
    if (was)
        check_immutable_str(v, controller, c->spec.controller, was->spec.controller);
    if (c->spec.controller.n > CONTROLLER_BYTES_MAX)
        fault_too_long(v, controller, CONTROLLER_BYTES_MAX);
    check_domain_prefixed_path(v, controller, c->spec.controller);
    if (c->spec.parameters)
        check_parameters(v, AT(p, "parameters"), c->spec.parameters);
}

const struct kind_hooks networkingv1_ingress_class_hooks = {
    .validate = class_validate,
};
