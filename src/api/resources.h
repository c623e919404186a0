/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resources.h: names and quantities of compute resources in API objects ("cpu", "hugepages-2Mi",
 * "example.com/gpu", "requests.storage"), and what follows from them.
 */
#ifndef BARQUE_API_RESOURCES_H
#define BARQUE_API_RESOURCES_H

#include "api/corev1.h"
#include "api/validate.h"

/* Without a domain, or in kubernetes.io. */
bool resource_is_native(struct str name);
bool resource_is_hugepages(struct str name);
/* May requests and limits differ? Not for huge pages and for what is not native. */
bool resource_overcommits(struct str name);
/* Can a pod as a whole ask for it? */
bool resource_is_pod_level(struct str name);
/* "example.com/gpu": counted in whole units, defined by a device plugin. */
bool resource_is_extended(struct str name);
/* A name that quotas know by themselves: "pods", "requests.cpu", ... */
bool resource_is_standard_quota(struct str name);

bool check_resource_name(struct validation *v, const struct field_path *p, struct str name);
bool check_container_resource_name(struct validation *v, const struct field_path *p,
                                   struct str name);
bool check_pod_resource_name(struct validation *v, const struct field_path *p, struct str name);
bool check_quota_resource_name(struct validation *v, const struct field_path *p, struct str name);
/* Not negative, and whole where the resource is counted in units. */
bool check_resource_quantity(struct validation *v, const struct field_path *p, struct str name,
                             const struct quantity *q);
bool check_positive_quantity(struct validation *v, const struct field_path *p,
                             const struct quantity *q);
/* Not negative. */
bool check_basic_quantity(struct validation *v, const struct field_path *p,
                          const struct quantity *q);

typedef bool check_resource_name_fn(struct validation *v, const struct field_path *p,
                                    struct str name);
/* Limits and requests of a container (check_container_resource_name) or of a pod. claims: the
 * names of the pod's resource claims, sorted. */
void check_resource_requirements(struct validation *v, const struct field_path *p,
                                 const struct corev1_resource_requirements *r,
                                 check_resource_name_fn *check_name, const struct str_list *claims);

/* Quantities finer than a thousandth are rounded up to it, as the API always did. */
void resource_list_round(struct arena *a, struct quantity_map *m);
/* Adds the entries of `from` whose names `to` lacks. */
void resource_list_default(struct arena *a, struct quantity_map *to,
                           const struct quantity_map *from);
/* What the pod asks for in all: the sum over containers and sidecars, or the largest of the init
 * containers when that is more; cpu, memory and huge pages only. Overhead and pod-level requests
 * are not in it. */
void pod_container_requests(struct arena *a, const struct corev1_pod_spec *spec,
                            struct quantity_map *ret);
/* "Guaranteed", "Burstable" or "BestEffort". */
struct str pod_qos_class(struct arena *a, const struct corev1_pod_spec *spec);
/* Does this init container keep running (restartPolicy: Always)? */
static inline bool container_is_sidecar(const struct corev1_container *c)
{
    return str_eq(c->restart_policy, STR("Always"));
}

#endif
