/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.h: what one node gives its pods: an interface with an address, services, and names.
 *
 * The node agent owns one struct network per cluster. It feeds it with Services and
 * EndpointSlices as plain structs, asks it to attach and detach pod sandboxes, and closes it when
 * the agent ends. Closing takes nothing away: pods, services and the kernel's tables go on, and
 * the next agent adopts them. Only network_purge undoes the network.
 *
 * What is made on the host, and nothing else is touched:
 *   - one bridge "<name>0" with the first address of the node's pod CIDR (the pods' gateway), the
 *     route of the service CIDR to it, and the DNS address as a /32 on it;
 *   - per pod one veth whose host end is a port of that bridge, and one network namespace pinned
 *     by a bind mount at <data_dir>/network/netns/<id>;
 *   - one nftables table "inet <name>";
 *   - the sysctls net.ipv4.ip_forward and, with an IPv6 pod CIDR, net.ipv6.conf.all.forwarding.
 * Each is written down under <data_dir>/network before it is made.
 *
 * Requirements: root; the agent stays in the host's mount namespace (pins made in a private one
 * would die with it); bridge, veth, nf_tables with NAT, conntrack. br_netfilter is neither needed
 * nor harmful: a pod has a /32 address and reaches everything, its neighbours too, through the
 * gateway, so that each packet of a service connection passes the host's conntrack.
 *
 * Threads: everything here is called on, and calls back on, the loop's thread. Talk with the
 * kernel happens on the loop's workers; changes made in one round of the loop, and those made
 * while the workers are busy, leave together as one batch.
 *
 * Memory: all strings given are copied before the call returns, except in the operations (struct
 * network_pod_add and the like), whose memory must stay valid until done is called.
 *
 * Behaviour comes from: Kubernetes service proxy semantics (v1 Service and discovery/v1
 * EndpointSlice API documentation), Kubernetes DNS-Based Service Discovery 1.1.0, RFC 1034, 1035,
 * 2181, 2308, 2782, 6891, 7766.
 */
#ifndef BARQUE_NETWORK_NETWORK_H
#define BARQUE_NETWORK_NETWORK_H

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"
#include "network/ip.h"

struct network;

enum {
    NETWORK_NAME_MAX = 11,           /* of the cluster's name: "<name>.<number>" is a link */
    NETWORK_ID_MAX = 128,            /* of a sandbox id */
    NETWORK_HOST_PORTS_MAX = 256,    /* per pod */
    NETWORK_SERVICE_PORTS_MAX = 256, /* per Service or EndpointSlice */
    NETWORK_ADDRESSES_MAX = 64,      /* external, ingress addresses or source ranges per Service */
    NETWORK_ENDPOINTS_MAX = 1000,    /* per EndpointSlice: the API's own limit */
    NETWORK_BACKENDS_MAX = 10000,    /* used per service port; what is over gets no traffic */
};

/* ---- life ---- */

struct network_config {
    struct str name;      /* [a-z][a-z0-9-]*, NETWORK_NAME_MAX at most; 9 with a pod CIDR of /16 */
    struct str data_dir;  /* absolute */
    struct str node_name; /* endpoints with this node name are local */
    struct str pod_cidr[2];     /* this node's pods, "10.244.0.0/24"; the second: other family or
                                   empty. IPv4 /8../29, IPv6 /48../120 */
    struct str cluster_cidr[2]; /* all nodes' pods: reached without masquerade. Empty: pod_cidr */
    struct str service_cidr[2]; /* "10.96.0.0/16" */
    struct str dns_address[2];  /* "10.96.0.10"; empty: no DNS server */
    struct str dns_domain;      /* "cluster.local"; empty: that */
    struct str resolv_conf;     /* of the upstream resolvers; empty: "/etc/resolv.conf" */
    uint32_t mtu;               /* of pods; 0: that of the default route's link, else 1500 */
    /* Failures of work that nobody waits for and that is tried again; NULL: nobody hears of them.
     * e is valid during the call. */
    void (*trouble)(void *arg, const struct err *e);
    void *trouble_arg;
};

/* Checks the configuration and reads the records; touches nothing. NULL with *e set when the
 * configuration is wrong (ERR_INVALID) or the records belong to another one (ERR_CONFLICT: purge
 * first). *c is copied. */
struct network *network_new(struct loop *l, const struct network_config *c, struct err *e);

/* Makes or adopts bridge, routes, sysctls and table, and begins to answer DNS. Calls
 * started(arg, NULL), or with the error (valid during the call): ERR_FORBIDDEN not root,
 * ERR_CONFLICT a link, table, route or address of that name or range is there and is not ours,
 * ERR_IO the kernel refused. After an error network_start may be called again. */
void network_start(struct network *n, void (*started)(void *arg, const struct err *e), void *arg);

/* Waits for the work under way (its done callbacks come), closes sockets, frees n and then calls
 * closed (which may be NULL). Operations not yet begun end with ERR_CANCELED. */
void network_close(struct network *n, void (*closed)(void *arg), void *arg);

/* The pods' gateway and the node's own address towards them; valid after network_new. family: 4
 * or 6; family 0 in the answer when the node has no CIDR of that family. */
struct ip network_gateway(const struct network *n, int family);

/* Undoes everything that was ever made with these records, by whichever agent and however it
 * died: table, bridge with its ports, pins, addresses, routes, sysctls, and at last the records
 * <data_dir>/network. Blocking, needs no loop; no agent may run. Goes on after a failure and
 * reports the first one. 0 also when there is nothing to undo. Callable again. */
int network_purge(struct str data_dir, struct err *e) MUST_USE;

/* ---- pods ----
 * When there is nothing to do, done is called before the call returns. */

enum network_protocol { NETWORK_TCP = 6, NETWORK_UDP = 17, NETWORK_SCTP = 132 };
/* "TCP", "UDP", "SCTP", and "" for TCP. */
bool network_protocol_parse(struct str s, enum network_protocol *ret);

struct network_host_port {
    struct str host_ip; /* empty, "0.0.0.0", "::": any local address */
    uint16_t host_port;
    uint16_t container_port;
    enum network_protocol protocol;
};

/* What a pod got. */
struct network_pod {
    struct ip ips[2];  /* [0] primary; family 0: none */
    const char *netns; /* path for the OCI spec's network namespace; lives as the pod */
    const char *link;  /* host end, for statistics: /sys/class/net/<link>/statistics */
};

struct network_pod_add {
    struct str id; /* of the sandbox: [A-Za-z0-9._-]+, not ".", ".." or "x.new" */
    const struct network_host_port *host_ports;
    size_t host_port_count;
    /* error: 0 or -enum err_code, with the text in e (valid during the call; NULL on success). On
     * success pod is set. ERR_LIMIT: no free address. ERR_CONFLICT: a host port is another pod's.
     * ERR_CANCELED: closed meanwhile; the next agent may find the pod or not. */
    void (*done)(struct network_pod_add *op, int error, const struct err *e);
    struct network_pod pod;
    struct list link; /* private */
};

/* Gives the sandbox a new network namespace with lo and eth0, and its host ports. Of an id that
 * has one already it answers what it has, whatever the host ports. When done is called without
 * error, traffic can flow. On error nothing is left behind. */
void network_pod_add(struct network *n, struct network_pod_add *op);

struct network_pod_remove {
    struct str id;
    void (*done)(struct network_pod_remove *op, int error, const struct err *e);
    struct list link; /* private */
};

/* Takes the network away: host ports and service address first, then the pin; the kernel tears
 * down the namespace by itself once the last process in it is gone. Succeeds for an unknown id.
 * The address is given out again only after the others. */
void network_pod_remove(struct network *n, struct network_pod_remove *op);

/* False when the id has no network. What it points to lives until the pod is removed. */
bool network_pod_find(const struct network *n, struct str id, struct network_pod *ret);

/* Removes every pod whose id is not among these: once, after a start, when the agent knows which
 * sandboxes live. */
void network_pod_keep_only(struct network *n, const struct str *ids, size_t count);

/* ---- services ---- */

enum network_service_type {
    NETWORK_CLUSTER_IP,
    NETWORK_NODE_PORT,
    NETWORK_LOAD_BALANCER,
    NETWORK_EXTERNAL_NAME,
};

struct network_service_port {
    struct str name; /* empty with a single port */
    enum network_protocol protocol;
    uint16_t port;
    uint16_t node_port; /* 0: none */
};

/* Of v1 Service, what a node needs. Malformed addresses are skipped. */
struct network_service {
    struct str namespace_, name;
    enum network_service_type type;
    const struct str *cluster_ips; /* spec.clusterIPs; "None" or none: headless */
    size_t cluster_ip_count;
    const struct str *external_ips; /* spec.externalIPs */
    size_t external_ip_count;
    const struct str *ingress_ips; /* status.loadBalancer.ingress[].ip with ipMode VIP */
    size_t ingress_ip_count;
    const struct str *source_ranges; /* spec.loadBalancerSourceRanges; none: everyone */
    size_t source_range_count;
    const struct network_service_port *ports;
    size_t port_count;
    struct str external_name;
    uint32_t affinity_timeout_s; /* sessionAffinity ClientIP; 0: no affinity */
    bool external_local;         /* externalTrafficPolicy: Local */
    bool internal_local;         /* internalTrafficPolicy: Local */
    bool publish_not_ready;      /* publishNotReadyAddresses */
};

struct network_endpoint {
    struct str address;               /* the first of the endpoint's addresses */
    struct str hostname;              /* may be empty */
    struct str node_name;             /* may be empty */
    bool ready, serving, terminating; /* conditions, absent ones resolved: ready absent is true,
                                         serving absent is ready, terminating absent is false */
};

struct network_slice_port {
    struct str name;
    enum network_protocol protocol;
    uint16_t port; /* 0 ("all ports"): ignored */
};

/* Of discovery/v1 EndpointSlice. */
struct network_slice {
    struct str namespace_, name;
    struct str service; /* label kubernetes.io/service-name; empty: belongs to none */
    const struct network_slice_port *ports;
    size_t port_count;
    const struct network_endpoint *endpoints;
    size_t endpoint_count;
};

/* Set replaces what was known under that name; cost follows the difference. Fails with ERR_LIMIT
 * or ERR_INVALID (names), changing nothing. Removing the unknown has no effect. Slices may come
 * before their service. */
int network_service_set(struct network *n, const struct network_service *s, struct err *e) MUST_USE;
void network_service_remove(struct network *n, struct str namespace_, struct str name);
int network_slice_set(struct network *n, const struct network_slice *s, struct err *e) MUST_USE;
void network_slice_remove(struct network *n, struct str namespace_, struct str name);

/* "All services and slices there are have been set": call it once, after the first lists. Until
 * then the kernel keeps what a former agent left; at that point only the difference is written,
 * and every later change in the round of the loop that makes it. DNS answers SERVFAIL until then
 * for names of the cluster's domain, so that nobody caches a wrong "no such name". */
void network_synced(struct network *n);

/* Calls fn once all service changes made before are in force in the kernel (and network_synced has
 * been called); never, when the network is closed before. */
void network_settle(struct network *n, void (*fn)(void *arg), void *arg);

struct network_stats {
    uint32_t pods, pods_max; /* attached; addresses there are */
    uint32_t services, slices;
    uint32_t frontends, backends;      /* in the kernel's maps */
    uint64_t commits, commit_failures; /* nftables transactions */
    uint64_t rebuilds;                 /* of the whole table, after a failure or foreign removal */
    int64_t last_commit_ns;            /* duration */
    uint64_t dns_queries, dns_forwarded, dns_dropped, dns_upstream_failures;
};
void network_stats(const struct network *n, struct network_stats *ret);

/*
 * How services behave
 *
 * Backends are the ready endpoints; when there is none, the serving ones that are terminating. A
 * service port without any backend answers ICMP port unreachable; with a Local policy and
 * backends elsewhere only, packets are dropped, as upstream does. Each new connection picks one
 * backend at random; connections made before a change keep theirs, except UDP flows to a backend
 * that has gone, whose conntrack entries are deleted. An address of the service CIDR that is no
 * service answers port unreachable too.
 *
 * Reachable from pods, from the host (NodePorts on 127.0.0.1 as well, to pods of this node) and
 * from outside. The client's address is kept unless the backend is on another node or the client
 * is its own backend. From pods and the host, externalTrafficPolicy Local does not apply.
 */

#endif
