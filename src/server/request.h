/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h: one API request, from whichever transport, and the stages it passes.
 *
 *   route -> authenticate -> authorize -> decode -> mutate -> default -> admit -> validate
 *         -> admit -> store -> respond
 *
 * A request owns an arena; everything made for it lives there. Stages that may wait (webhooks,
 * the store) continue in callbacks. After `aborted` is set (the client went away) a callback does
 * nothing but request_free.
 */
#ifndef BARQUE_SERVER_REQUEST_H
#define BARQUE_SERVER_REQUEST_H

#include "api/corev1.h"
#include "api/selector.h"
#include "http/http.h"
#include "server/resource.h"
#include "server/server.h"

enum request_verb {
    REQ_GET,
    REQ_LIST,
    REQ_WATCH,
    REQ_CREATE,
    REQ_UPDATE,
    REQ_PATCH,
    REQ_DELETE,
    REQ_DELETECOLLECTION,
    REQ_CONNECT,
};
const char *request_verb_name(enum request_verb v); /* "get", as RBAC and audit say it */

struct user {
    struct str name, uid;
    struct str_list groups;
    struct strings_map extra;
};

enum body_format { FORMAT_JSON, FORMAT_YAML, FORMAT_PB, FORMAT_OTHER };
enum response_shape { SHAPE_OBJECT, SHAPE_TABLE, SHAPE_PARTIAL };
enum field_validation { FIELD_WARN, FIELD_IGNORE, FIELD_STRICT };

/* Query parameters of ListOptions, GetOptions, CreateOptions, ... one struct for all. */
struct options {
    struct str resource_version, resource_version_match, continue_token;
    struct str field_manager;
    struct str label_selector, field_selector; /* text */
    int64_t limit, timeout_s;                  /* 0: none */
    enum field_validation field_validation;
    bool watch, allow_bookmarks, dry_run, force, pretty;
    bool has_send_initial_events, send_initial_events;
    struct str include_object; /* of Table: None, Metadata, Object */
};

struct request;

/* How answers leave: HTTP or in-process. Exactly one of respond, or start..end. */
struct responder {
    void (*respond)(struct request *r, int status, struct str content_type,
                    const struct http_headers *extra, struct str body);
    void (*start)(struct request *r, int status, struct str content_type,
                  const struct http_headers *extra);
    size_t (*write)(struct request *r, const struct str *parts, size_t n);
    void (*end)(struct request *r);
    /* In-process only: the item itself instead of its text; NULL for HTTP. */
    void (*respond_item)(struct request *r, int status, struct resource *res, struct item *i);
};

struct request {
    struct server *server;
    struct arena *arena;
    const struct responder *responder;
    void *responder_arg; /* http_exchange, or the in-process call */
    bool aborted, responded;
    void (*on_abort)(struct request *r); /* set by streaming verbs and by waiting stages */
    void (*on_drained)(struct request *r);
    void *stage; /* of whoever set on_abort */

    struct str method, path; /* "POST", decoded path */
    enum request_verb verb;
    bool is_resource; /* else a path such as /version */
    struct str group, version, plural, subresource, ns, name;
    struct str rest; /* behind .../proxy/ */
    struct resource *res;
    const struct subresource_def *sub; /* built-in subresource, or NULL */
    struct str query;                  /* raw */
    struct options opts;
    struct user *user;
    struct http_exchange *exchange;     /* NULL in-process; for upgrades (exec, port-forward) */
    const struct http_headers *headers; /* NULL in-process */
    struct str audit_id;
    struct str accept, accept_as, accept_profile;
    struct user *impersonator; /* who really asked, when impersonating */
    struct str user_agent, source_ip;
    struct str content_type; /* of the body, without parameters */
    enum body_format in, out;
    enum response_shape shape;
    struct str table_version; /* "v1" or "v1beta1" */
    bool gzip;                /* the client takes gzip */
    struct str body;
    VEC(struct str) warnings; /* `Warning: 299 - "..."` headers */
    int64_t started_ns;
    struct err err;
};

/* Fresh, with its own arena. */
struct request *request_new(struct server *s, const struct responder *responder, void *arg);
void request_free(struct request *r);
/* Fills the routing fields from method, path and query (route.c): unknown resources are found out
 * here (404 with the generic page, as upstream). Options are parsed and checked. */
int request_route(struct request *r) MUST_USE;
/* Routes, authorizes and runs an authenticated request to its end. */
void request_start(struct request *r);
/* The same without authorization, routed already: dispatch by verb and subresource. */
void request_run(struct request *r);

/* ---- answering (respond.c) ---- */

/* Status from r->err. */
void respond_error(struct request *r);
void respond_errorf(struct request *r, enum err_code code, const char *fmt, ...) PRINTF(3, 4);
/* An object in the asked shape and format. */
void respond_item(struct request *r, int status, struct item *i);
void respond_object(struct request *r, int status, const struct object *o);
/* A typed struct that is no stored object (reviews, Scale, Status). */
void respond_typed(struct request *r, int status, const struct desc *d, const void *obj);
void respond_text(struct request *r, int status, const char *content_type, struct str body);
/* {"kind":"Status","status":"Success", details...} */
void respond_success(struct request *r, const struct resource *res, struct str name,
                     struct str uid);
void request_warn(struct request *r, const char *fmt, ...) PRINTF(2, 3);
/* Next query parameter, decoded; malformed ones are left out. *rest starts as r->query. */
bool request_param_next(struct request *r, struct str *rest, struct str *ret_key,
                        struct str *ret_value);

/* Bodies, for lists and watches that frame them. */
struct str item_body(struct request *r, struct item *i);
struct str object_body(struct request *r, const struct object *o);
struct str partial_body(struct request *r, const struct object *o);
struct str encode_typed(struct request *r, const struct desc *d, const void *obj);
/* A whole JSON text, dressed as the client asked (YAML, pretty, gzip). */
void respond_json_text(struct request *r, int status, struct str json);
/* opts.resource_version as a number; 0 when empty. */
int request_revision(struct request *r, rev_t *ret) MUST_USE;
const struct object *item_in_version(struct request *r, struct item *i);
void status_from_err(struct request *r, struct metav1_status *st);
/* Kubernetes' protobuf envelope around a message: tail, (mark = pb_out_len), message, head. */
void pb_envelope_tail(struct pb_out *o);
void pb_envelope_head(struct pb_out *o, size_t mark, struct str api_version, struct str kind);
/* Content type of r->out for whole answers: "application/json". */
struct str request_content_type(const struct request *r);

/* The usual errors, in upstream's words. Return the negative code. */
int err_not_found(struct err *e, const struct resource *res, struct str name);
int err_already_exists(struct err *e, const struct resource *res, struct str name);
int err_conflict(struct err *e, const struct resource *res, struct str name, const char *fmt, ...)
    PRINTF(4, 5);
int err_forbidden(struct err *e, const struct resource *res, struct str name, const char *fmt, ...)
    PRINTF(4, 5);
/* "apps.deployments" style qualified name: "deployments.apps", "pods". */
struct str resource_qualified(struct arena *a, const struct resource *res);

/* ---- verbs (verb_*.c) ---- */
void verb_get(struct request *r);
void verb_list(struct request *r);
void verb_watch(struct request *r);
void verb_create(struct request *r);
void verb_update(struct request *r);
void verb_patch(struct request *r);
void verb_delete(struct request *r);
void verb_delete_collection(struct request *r);

/* ---- admission (admission.c) ---- */

enum operation { OP_CREATE, OP_UPDATE, OP_DELETE, OP_CONNECT };

struct admission {
    struct request *req;
    enum operation op;
    struct resource *res;
    struct str ns, name, subresource;
    struct object *obj;       /* may be changed by mutating admission; NULL for delete */
    const struct object *old; /* NULL for create */
    bool dry_run;
    /* Called when all have agreed (0) or one has refused (negative, req->err is set). */
    void (*next)(struct admission *a, int rc);
    void *arg;
};
/* Mutating, then (after the caller's validation) validating. Call next exactly once, maybe before
 * they return. */
void admission_mutate(struct admission *a);
void admission_validate(struct admission *a);

/* ---- authorization (authz.c) ---- */

struct authz_attributes {
    const struct user *user;
    const char *verb;
    struct str group, version, resource, subresource, ns, name;
    struct str path; /* non-resource requests */
    bool is_resource;
};
/* Allowed? reason (may be NULL) is on the arena. */
bool authorize(struct server *s, struct arena *a, const struct authz_attributes *attr,
               struct str *ret_reason);
/* Every rule that bindings give to the user, cluster-wide and in ns (may be empty). */
struct rbacv1_policy_rule;
void each_rule(struct server *s, struct arena *a, const struct user *u, struct str ns,
               void (*fn)(void *arg, const struct rbacv1_policy_rule *rule), void *arg);
/* The verb RBAC knows: connect requests are create or get, deletecollection is one word. */
const char *authz_verb(const struct request *r);
struct str lower_method(const struct request *r);
/* Answers 403 in upstream's words. */
void forbidden(struct request *r, const struct authz_attributes *attr, struct str reason);
bool user_in_group(const struct user *u, struct str group);

#endif
