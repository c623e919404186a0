/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults of pods that depend on other fields; the others are in schema/core_v1.api. */
#include "api/field.h"
#include "api/pod.h"
#include "api/resources.h"

static bool is_repository(struct str path)
{
    for (size_t i = 0; i < path.n; i++)
        if (!(path.p[i] >= 'a' && path.p[i] <= 'z') && !(path.p[i] >= '0' && path.p[i] <= '9') &&
            !strchr("._-/", path.p[i]))
            return false;
    return path.n > 0;
}

/* Is the part before the first slash a host, and not the start of the repository? */
static bool is_host(struct str s)
{
    if (str_index(s, '.') >= 0 || str_index(s, ':') >= 0 || str_eq(s, STR("localhost")))
        return true;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] >= 'A' && s.p[i] <= 'Z')
            return true;
    return false;
}

bool image_is_latest(struct str image)
{
    struct str name, digest, host, path, tag = STR("");
    bool by_digest = str_cut(image, '@', &name, &digest);
    ptrdiff_t colon = str_rindex(name, ':');
    if (colon >= 0 && str_rindex(name, '/') < colon) {
        tag = str_sub(name, (size_t)colon + 1, name.n);
        name = str_sub(name, 0, (size_t)colon);
        if (!tag.n)
            return false; /* malformed: nothing is known of its tag */
    }
    if (!str_cut(name, '/', &host, &path) || !is_host(host))
        path = name;
    if (!is_repository(path))
        return false;
    return tag.n ? str_eq(tag, STR("latest")) : !by_digest;
}

static struct str pull_policy(struct str image)
{
    return image_is_latest(image) ? STR("Always") : STR("IfNotPresent");
}

static void volume_defaults(struct arena *a, struct corev1_volume *v)
{
    if (desc_is_zero(&corev1_volume_source_desc, &v->volume_source))
        v->empty_dir = arena_new(a, struct corev1_empty_dir_volume_source);
    if (v->image && !v->image->pull_policy.n)
        v->image->pull_policy = pull_policy(v->image->reference);
}

void pod_spec_defaults(struct arena *a, struct corev1_pod_spec *spec)
{
    LIST_EACH (v, &spec->volumes)
        volume_defaults(a, v);
    LIST_EACH (c, &spec->containers) {
        if (!c->image_pull_policy.n)
            c->image_pull_policy = pull_policy(c->image);
        resource_list_round(a, &c->resources.limits);
        resource_list_round(a, &c->resources.requests);
    }
    LIST_EACH (c, &spec->init_containers) {
        if (!c->image_pull_policy.n)
            c->image_pull_policy = pull_policy(c->image);
        resource_list_round(a, &c->resources.limits);
        resource_list_round(a, &c->resources.requests);
    }
    LIST_EACH (c, &spec->ephemeral_containers)
        if (!c->image_pull_policy.n)
            c->image_pull_policy = pull_policy(c->image);
    if (!spec->security_context)
        spec->security_context = arena_new(a, struct corev1_pod_security_context);
    /* The old name of the field and the new one say the same. */
    if (!spec->service_account_name.n)
        spec->service_account_name = spec->service_account;
    spec->service_account = spec->service_account_name;
    resource_list_round(a, &spec->overhead);
}

static void default_requests(struct arena *a, struct corev1_container *c)
{
    resource_list_default(a, &c->resources.requests, &c->resources.limits);
}

static void default_host_ports(struct corev1_container *c)
{
    LIST_EACH (p, &c->ports)
        if (!p->host_port)
            p->host_port = p->container_port;
}

/* A limit of the pod is also its request, but for what its containers ask for themselves. */
static void default_pod_resources(struct arena *a, struct corev1_pod_spec *spec)
{
    struct corev1_resource_requirements *r = spec->resources;
    struct quantity_map of_containers, overcommitted = {0}, limits = {0};
    if (!r || !r->limits.n)
        return;
    pod_container_requests(a, spec, &of_containers);
    LIST_EACH (q, &of_containers)
        if (resource_overcommits(q->key))
            *list_add(a, &overcommitted) = *q;
    LIST_EACH (q, &r->limits)
        if (resource_is_pod_level(q->key))
            *list_add(a, &limits) = *q;
    resource_list_default(a, &r->requests, &overcommitted);
    resource_list_default(a, &r->requests, &limits);
}

void pod_defaults(struct arena *a, struct corev1_pod *pod)
{
    struct corev1_pod_spec *spec = &pod->spec;
    pod_spec_defaults(a, spec);
    LIST_EACH (c, &spec->containers)
        default_requests(a, c);
    LIST_EACH (c, &spec->init_containers)
        default_requests(a, c);
    default_pod_resources(a, spec);
    if (!spec->enable_service_links)
        spec->enable_service_links = NEW_VALUE(a, bool, true);
    if (!spec->host_network)
        return;
    LIST_EACH (c, &spec->containers)
        default_host_ports(c);
    LIST_EACH (c, &spec->init_containers)
        default_host_ports(c);
}
