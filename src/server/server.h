/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h: the Kubernetes API server: requests in, objects in the store, watches out.
 *
 * The server is a library on one loop. It is reached in two ways that share everything behind
 * request.h: HTTP (front.c) and the in-process transport that controllers use (client/). It does
 * no I/O but through store/, http/ and loop/, so it runs unchanged in the simulator.
 */
#ifndef BARQUE_SERVER_SERVER_H
#define BARQUE_SERVER_SERVER_H

#include "base/err.h"
#include "loop/loop.h"
#include "store/store.h"

struct server;
struct tls_context;

struct server_config {
    struct store *store;          /* borrowed; opened by the caller */
    struct str cluster_domain;    /* "cluster.local" */
    struct str service_cidr;      /* "10.96.0.0/16" */
    struct str pod_cidr;          /* "10.244.0.0/16" */
    struct str node_ports;        /* "30000-32767" */
    struct str advertise_address; /* "10.0.0.5": what pods and the kubernetes Service use */
    uint16_t advertise_port;
    struct str issuer;               /* of service-account tokens */
    struct str sa_key_pem;           /* private key that signs them (P-256) */
    struct str ca_pem;               /* published as kube-root-ca.crt */
    struct str token_file;           /* static tokens: token,user,uid,"group,group"; may be empty */
    struct tls_context *kubelet_tls; /* client side, for the agents' API; borrowed */
    struct tls_context *proxy_tls;   /* client side, for https of pods and services; borrowed */
    bool anonymous;                  /* let requests without credentials be system:anonymous */
};

/* Strings are copied. Writes what every cluster has (namespaces, RBAC, priority classes, the
 * kubernetes Service) when the store lacks it. */
int server_new(struct loop *l, const struct server_config *c, struct server **ret,
               struct err *e) MUST_USE;
/* All requests must have ended (close the HTTP front first). */
void server_free(struct server *s);
struct store *server_store(struct server *s);
struct loop *server_loop(struct server *s);

#endif
