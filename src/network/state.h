/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h: Services and EndpointSlices as a node knows them: the one table behind proxy and DNS.
 *
 * Addresses are parsed once, here. A service and the slices labelled with its name find each
 * other in either order of arrival; a service object exists as long as one of them does, or as
 * long as the proxy has not yet seen it go. Each change marks its service dirty; the proxy takes
 * the dirty ones once per round. All memory is the state's; specs and slices are replaced whole,
 * so pointers into them live until the next change of the same object.
 */
#ifndef BARQUE_NETWORK_STATE_H
#define BARQUE_NETWORK_STATE_H

#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "network/network.h"

struct state_port {
    struct str name;
    enum network_protocol protocol;
    uint16_t port;
    uint16_t node_port; /* of services */
};

struct state_endpoint {
    struct ip ip;
    struct str hostname; /* may be empty */
    bool ready, serving, terminating;
    bool local; /* on this node */
};

struct state_slice {
    struct str key;                /* "namespace/name" */
    struct state_service *service; /* NULL: labelled with none */
    struct list link;              /* in service->slices */
    struct state_port *ports;
    size_t port_count;
    struct state_endpoint *endpoints;
    size_t endpoint_count;
};

/* A Service that exists. */
struct state_spec {
    enum network_service_type type;
    LIST(struct ip) cluster_ips; /* none: headless or ExternalName */
    LIST(struct ip) external_ips;
    LIST(struct ip) ingress_ips; /* only of type LoadBalancer */
    LIST(struct cidr) source_ranges;
    bool source_limited; /* ranges were given, were they valid or not */
    LIST(struct state_port) ports;
    struct str external_name; /* lower case, without final dot */
    uint32_t affinity_timeout_s;
    bool external_local, internal_local, publish_not_ready;
};

struct proxy_service; /* what the proxy keeps per service */

struct state_service {
    struct str key, namespace_, name;
    struct state_spec *spec; /* NULL: slices only, or removed */
    struct list slices;
    struct list dirty;           /* in state->dirty when linked */
    struct proxy_service *proxy; /* the proxy's; NULL: nothing */
    struct map hosts;            /* endpoint name -> first struct state_host; built when asked */
    bool hosts_known;
};

/* One named endpoint of a service: "web-0" of StatefulSet pods, else its dashed address. */
struct state_host {
    struct state_host *next; /* same name */
    const struct state_endpoint *endpoint;
    const struct state_slice *slice;
};

/* An endpoint with a hostname, found by address. */
struct state_reverse {
    struct state_reverse *next; /* same address */
    struct state_service *service;
    const struct state_endpoint *endpoint;
};

struct network_state {
    char *node_name;
    struct map services;   /* key -> struct state_service */
    struct map slices;     /* key -> struct state_slice */
    struct map namespaces; /* name -> number of services, as a pointer */
    struct map by_ip;      /* cluster IP -> struct state_service */
    struct map reverses;   /* address -> first struct state_reverse */
    struct list dirty;
    bool synced;                         /* everything there is has been set once */
    uint32_t service_count, slice_count; /* those that exist */
    void (*changed)(void *arg);          /* something is dirty */
    void *changed_arg;
};

void state_init(struct network_state *st, struct str node_name);
void state_fini(struct network_state *st); /* service->proxy must be NULL everywhere */

/* As the functions of network.h. */
int state_service_set(struct network_state *st, const struct network_service *s,
                      struct err *e) MUST_USE;
void state_service_remove(struct network_state *st, struct str namespace_, struct str name);
int state_slice_set(struct network_state *st, const struct network_slice *s,
                    struct err *e) MUST_USE;
void state_slice_remove(struct network_state *st, struct str namespace_, struct str name);

/* The next dirty service, no longer dirty; NULL: none. After dealing with it (and clearing
 * s->proxy if the service has gone) call state_seen, which may free it. */
struct state_service *state_take_dirty(struct network_state *st);
void state_seen(struct network_state *st, struct state_service *s);
/* Makes a service dirty again. */
void state_mark(struct network_state *st, struct state_service *s);

/* NULL when there is no such service. */
struct state_service *state_find(const struct network_state *st, struct str namespace_,
                                 struct str name);
bool state_namespace_known(const struct network_state *st, struct str namespace_);
struct state_service *state_find_ip(const struct network_state *st, struct ip a);
/* Endpoints with a hostname at that address, or NULL. */
const struct state_reverse *state_find_reverse(const struct network_state *st, struct ip a);
/* Endpoints of s called label (lower case), ready or not; or NULL. */
const struct state_host *state_find_host(struct state_service *s, struct str label);
/* Every endpoint has a name: its hostname or "10-244-0-7". */
enum { STATE_LABEL_MAX = 64 };
struct str state_endpoint_label(const struct state_endpoint *ep, char out[STATE_LABEL_MAX]);

#endif
