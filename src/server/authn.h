/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authn.h: who asks. Client certificates (CN is the user, O the groups), bearer tokens (static
 * file, service-account JWTs, bootstrap tokens), impersonation, anonymous.
 */
#ifndef BARQUE_SERVER_AUTHN_H
#define BARQUE_SERVER_AUTHN_H

#include "server/request.h"

/* Sets r->user (and r->impersonator). ERR_UNAUTHORIZED, or ERR_FORBIDDEN for an impersonation that
 * is not allowed. */
int authenticate(struct request *r, const struct http_request *h) MUST_USE;

/* The user of a bearer token, with groups and extras; also for TokenReview. ret_audiences: of the
 * token ("" entries mean any). ERR_UNAUTHORIZED. */
int token_user(struct server *s, struct arena *a, struct str token, struct user *ret,
               struct str_list *ret_audiences, struct err *e) MUST_USE;

/* A signed service-account token (RFC 7519, ES256). bound may be NULL.
 * expires_s: unix time. */
struct token_spec {
    struct str ns, service_account, uid;
    struct str_list audiences;
    struct str bound_kind, bound_name, bound_uid; /* Pod, Secret or Node; may be empty */
    struct str node_name, node_uid;               /* of a bound pod, when known */
    int64_t issued_s, expires_s;
};
struct str token_sign(struct server *s, struct arena *a, const struct token_spec *t);
/* RFC 7517 key set and the OpenID discovery document. */
struct str token_jwks(struct server *s, struct arena *a);
struct str token_discovery(struct server *s, struct arena *a);
/* Loads the signing key; at start. */
int token_init(struct server *s, struct err *e) MUST_USE;
void token_fini(struct server *s);

#endif
