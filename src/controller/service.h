/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h: what Services and pods have to do with each other; shared by the controllers that
 * write EndpointSlices and Endpoints.
 */
#ifndef BARQUE_CONTROLLER_SERVICE_H
#define BARQUE_CONTROLLER_SERVICE_H

#include "controller/owner.h"

/* Caches of services and pods; start asks for them, with the controller's key being the service. */
struct service_caches {
    struct cache *services, *pods;
    struct cache_index *services_by_pair; /* the first pair of the selector, as a label key */
    struct cache_index *pods_by_label;
};
void service_caches_start(struct controller *c, struct service_caches *s, map_fn *map_pod);
/* For map_pod: enqueues the services that a pod's event can matter to. */
void wake_services(struct controller *c, const struct service_caches *s, struct item *old,
                   struct item *now);

/* Does a controller write endpoints for it? Not without a selector, and not for ExternalName. */
bool service_selects(const struct corev1_service *svc);
bool service_headless(const struct corev1_service *svc);
/* Pods that the selector matches, in the order in which they came, on the arena. */
void service_pods(struct arena *a, const struct service_caches *s, const struct corev1_service *svc,
                  struct items *ret);

/* The pod's port that a service port leads to: the number, or what the name stands for in one of
 * the pod's containers. False: the pod has none of that name. */
bool service_port_number(const struct corev1_service_port *port, const struct corev1_pod *pod,
                         int32_t *ret);
/* The pod's address in the family ("IPv4", "IPv6"); empty when it has none (yet). */
struct str pod_address(const struct corev1_pod *pod, struct str family);
/* The host name under which a headless service knows the pod; empty: none. */
struct str pod_hostname(const struct corev1_pod *pod, const struct corev1_service *svc);
/* The label that tells headless services. */
#define HEADLESS_LABEL "service.kubernetes.io/headless"

#endif
