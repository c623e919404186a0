/* SPDX-License-Identifier: Apache-2.0 */
/* impl.h: the server's own state. Private to server/. */
#ifndef BARQUE_SERVER_IMPL_H
#define BARQUE_SERVER_IMPL_H

#include "base/map.h"
#include "server/request.h"

struct token_key; /* token.c */
struct alloc;     /* alloc.c */
struct openapi_cache;
struct authz;     /* authz.c */
struct expiry;    /* expire.c */
struct openapi_cache;

struct server {
    struct loop *loop;
    struct store *store;
    struct arena arena;          /* lives as long as the server */
    struct server_config config; /* strings on the arena */
    struct map resources;        /* "group/version/plural" -> struct resource */
    uint64_t generation;         /* of the table of resources */
    struct task trim;            /* drops cached views when a round ends */
    struct token_key *token_key;
    struct alloc *alloc;                /* cluster IPs and node ports */
    struct authz *authz;
    struct expiry *expiry;
    struct openapi_cache *openapi;
    uint64_t requests[REQ_CONNECT + 1]; /* by verb, for /metrics */
};

/* Makes the table of built-in resources. */
void resources_init(struct server *s);
void resources_fini(struct server *s);

int authz_new(struct server *s, struct authz **ret, struct err *e) MUST_USE;
void authz_free(struct authz *z);

#endif
