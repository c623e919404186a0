/* SPDX-License-Identifier: Apache-2.0 */
#include "server/authn.h"

#include "server/impl.h"
#include "server/write.h"

bool user_in_group(const struct user *u, struct str group)
{
    return str_list_has(&u->groups, group);
}

static void take_certificate(struct request *r, const struct tls_peer *peer)
{
    r->user->name = arena_str(r->arena, peer->common_name);
    for (size_t i = 0; i < peer->organizations.n; i++)
        str_list_push(r->arena, &r->user->groups, arena_str(r->arena, peer->organizations.v[i]));
    str_list_push(r->arena, &r->user->groups, STR("system:authenticated"));
}

/* A line of the token file: token,user,uid,"group1,group2". */
static bool take_static_token(struct request *r, struct str token)
{
    struct str rest = r->server->config.token_file, line;
    while (str_next(&rest, '\n', &line)) {
        struct str cells[4] = {STR(""), STR(""), STR(""), STR("")}, cell;
        for (size_t i = 0; i < 3 && str_next(&line, ',', &cell); i++)
            cells[i] = str_trim(cell);
        cells[3] = str_trim(line);
        if (!cells[0].n || cells[0].n != token.n || !str_eq(cells[0], token))
            continue;
        r->user->name = cells[1];
        r->user->uid = cells[2];
        (void)str_skip(&cells[3], STR("\""));
        (void)str_chop(&cells[3], STR("\""));
        while (cells[3].n && str_next(&cells[3], ',', &cell))
            str_list_push(r->arena, &r->user->groups, str_trim(cell));
        str_list_push(r->arena, &r->user->groups, STR("system:authenticated"));
        return true;
    }
    return false;
}

/* Tokens for the API itself carry its audience, which is the issuer. */
static bool for_us(const struct request *r, const struct str_list *audiences)
{
    return str_list_has(audiences, r->server->config.issuer);
}

static int take_token(struct request *r, struct str token)
{
    struct str_list audiences = {0};
    if (take_static_token(r, token))
        return 0;
    int rc = token_user(r->server, r->arena, token, r->user, &audiences, &r->err);
    if (rc == 0 && for_us(r, &audiences))
        return 0;
    return err_set(&r->err, ERR_UNAUTHORIZED, "Unauthorized");
}

/* ---- impersonation ---- */

static int may_impersonate(struct request *r, const char *kind, struct str name,
                           struct str subresource)
{
    struct str group = str_eqz(str_z(kind), "userextras") ? STR("authentication.k8s.io") : STR("");
    struct str ns = STR("");
    struct str account = name;
    if (strcmp(kind, "users") == 0 && str_skip(&account, STR("system:serviceaccount:"))) {
        kind = "serviceaccounts";
        (void)str_cut(account, ':', &ns, &name);
    }
    struct authz_attributes attr = {.user = r->impersonator,
                                    .verb = "impersonate",
                                    .group = group,
                                    .version = STR("v1"),
                                    .resource = str_z(kind),
                                    .subresource = subresource,
                                    .ns = ns,
                                    .name = name,
                                    .is_resource = true};
    struct str reason = STR("");
    if (authorize(r->server, r->arena, &attr, &reason))
        return 0;
    return err_set(&r->err, ERR_FORBIDDEN,
                   "%s \"%.*s\" is forbidden: User \"%.*s\" cannot impersonate resource \"%s\" in "
                   "API group \"%.*s\" at the cluster scope",
                   kind, STR_ARG(name), STR_ARG(r->impersonator->name), kind, STR_ARG(group));
}

static int impersonate_groups(struct request *r, const struct http_headers *h, struct user *u)
{
    for (size_t i = 0; i < h->n; i++) {
        if (!str_eq(h->v[i].name, STR("impersonate-group")))
            continue;
        int rc = may_impersonate(r, "groups", h->v[i].value, STR(""));
        if (rc < 0)
            return rc;
        str_list_push(r->arena, &u->groups, h->v[i].value);
    }
    return 0;
}

static int impersonate_extra(struct request *r, const struct http_headers *h, struct user *u)
{
    for (size_t i = 0; i < h->n; i++) {
        struct str key = h->v[i].name, value;
        if (!str_skip(&key, STR("impersonate-extra-")) ||
            !http_url_decode(r->arena, key, false, &key) ||
            !http_url_decode(r->arena, h->v[i].value, false, &value))
            continue;
        int rc = may_impersonate(r, "userextras", value, key);
        if (rc < 0)
            return rc;
        struct strings_pair *p = NULL;
        LIST_EACH (e, &u->extra)
            if (str_eq(e->key, key))
                p = e;
        if (!p) {
            p = list_add(r->arena, &u->extra);
            p->key = key;
        }
        str_list_push(r->arena, &p->value, value);
    }
    return 0;
}

static void add_account_groups(struct request *r, struct user *u)
{
    struct str account = u->name, ns, name;
    if (str_skip(&account, STR("system:serviceaccount:")) && !u->groups.n) {
        (void)str_cut(account, ':', &ns, &name);
        str_list_push(r->arena, &u->groups, STR("system:serviceaccounts"));
        str_list_push(r->arena, &u->groups,
                      arena_fmt(r->arena, "system:serviceaccounts:%.*s", STR_ARG(ns)));
    }
    const struct str all = str_eq(u->name, STR("system:anonymous")) ? STR("system:unauthenticated")
                                                                    : STR("system:authenticated");
    if (!str_list_has(&u->groups, all))
        str_list_push(r->arena, &u->groups, all);
}

static int impersonate(struct request *r, const struct http_headers *h)
{
    struct str name = http_header_get(h, "impersonate-user");
    struct str uid = http_header_get(h, "impersonate-uid");
    struct user *u = arena_new(r->arena, struct user);
    int rc;
    if (!name.n) {
        if (http_header_get(h, "impersonate-group").p || uid.n)
            return err_set(&r->err, ERR_INTERNAL,
                           "requested impersonation without impersonating a user");
        return 0;
    }
    r->impersonator = r->user;
    u->name = name;
    u->uid = uid;
    if ((rc = may_impersonate(r, "users", name, STR(""))) < 0 ||
        (rc = impersonate_groups(r, h, u)) < 0 || (rc = impersonate_extra(r, h, u)) < 0)
        return rc;
    add_account_groups(r, u);
    r->user = u;
    return 0;
}

int authenticate(struct request *r, const struct http_request *h)
{
    struct str auth = http_header_get(&h->headers, "authorization"), scheme, token;
    r->user = arena_new(r->arena, struct user);
    if (h->tls_peer && h->tls_peer->common_name.n) {
        take_certificate(r, h->tls_peer);
    } else if (str_cut(auth, ' ', &scheme, &token) && str_case_eq(scheme, STR("bearer"))) {
        int rc = take_token(r, str_trim(token));
        if (rc < 0)
            return rc;
    } else if (auth.n || !r->server->config.anonymous) {
        return err_set(&r->err, ERR_UNAUTHORIZED, "Unauthorized");
    } else {
        r->user->name = STR("system:anonymous");
        str_list_push(r->arena, &r->user->groups, STR("system:unauthenticated"));
    }
    return impersonate(r, &h->headers);
}
