/* SPDX-License-Identifier: Apache-2.0 */
#include "server/server.h"

#include "server/alloc.h"
#include "server/authn.h"
#include "server/bootstrap.h"
#include "server/expire.h"
#include "server/impl.h"
#include "server/openapi.h"

static void copy_config(struct server *s, const struct server_config *c)
{
    struct arena *a = &s->arena;
    s->config = *c;
    s->config.cluster_domain = arena_str(a, c->cluster_domain);
    s->config.service_cidr = arena_str(a, c->service_cidr);
    s->config.pod_cidr = arena_str(a, c->pod_cidr);
    s->config.node_ports = arena_str(a, c->node_ports);
    s->config.advertise_address = arena_str(a, c->advertise_address);
    s->config.issuer = arena_str(a, c->issuer);
    s->config.sa_key_pem = arena_str(a, c->sa_key_pem);
    s->config.ca_pem = arena_str(a, c->ca_pem);
    s->config.token_file = arena_str(a, c->token_file);
}

int server_new(struct loop *l, const struct server_config *c, struct server **ret, struct err *e)
{
    struct server *s = xcalloc(1, sizeof *s);
    s->loop = l;
    s->store = c->store;
    s->arena = ARENA_INIT;
    copy_config(s, c);
    resources_init(s);
    int rc = token_init(s, e);
    if (rc == 0)
        rc = alloc_new(s, &s->alloc, e);
    if (rc == 0)
        rc = authz_new(s, &s->authz, e);
    if (rc == 0)
        rc = expiry_new(s, &s->expiry, e);
    if (rc < 0) {
        server_free(s);
        return rc;
    }
    bootstrap(s);
    *ret = s;
    return 0;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    alloc_free(s->alloc);
    authz_free(s->authz);
    expiry_free(s->expiry);
    openapi_free(s->openapi);
    token_fini(s);
    resources_fini(s);
    task_cancel(&s->trim);
    arena_fini(&s->arena);
    free(s);
}

struct store *server_store(struct server *s)
{
    return s->store;
}

struct loop *server_loop(struct server *s)
{
    return s->loop;
}
