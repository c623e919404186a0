/* SPDX-License-Identifier: Apache-2.0 */
/* pods/binding, pods/eviction, pods/ephemeralcontainers, pods/resize, serviceaccounts/token. */
#include "api/authenticationv1.h"
#include "api/corev1.h"
#include "api/policyv1.h"
#include "server/authn.h"
#include "server/impl.h"
#include "server/subresource.h"

/* ---- binding: the scheduler's word where a pod runs ---- */

static void binding_answer(struct write *w, struct item *i)
{
    struct metav1_status st = {.kind = STR("Status"), .api_version = STR("v1")};
    st.status = STR("Success");
    st.code = 201;
    respond_typed(w->r, 201, &metav1_status_desc, &st);
}

static void set_scheduled(struct request *r, struct corev1_pod *pod)
{
    struct corev1_pod_condition *c = NULL;
    LIST_EACH (k, &pod->status.conditions)
        if (str_eq(k->type, STR("PodScheduled")))
            c = k;
    if (!c)
        c = list_add(r->arena, &pod->status.conditions);
    *c = (struct corev1_pod_condition){.type = STR("PodScheduled"), .status = STR("True")};
    c->last_transition_time = loop_wall(r->server->loop);
    c->last_transition_time.ns = 0;
}

static int bind_pod(struct write *w, const struct corev1_binding *b)
{
    struct request *r = w->r;
    const struct corev1_pod *old = w->old->typed;
    if (b->metadata.uid.n && !str_eq(b->metadata.uid, old->metadata.uid))
        return err_conflict(&r->err, w->res, old->metadata.name,
                            "Precondition failed: UID in precondition: %.*s, UID in object meta: "
                            "%.*s",
                            STR_ARG(b->metadata.uid), STR_ARG(old->metadata.uid));
    if (old->metadata.deletion_timestamp)
        return err_conflict(&r->err, w->res, old->metadata.name,
                            "pod %.*s is being deleted, cannot be assigned to a host",
                            STR_ARG(old->metadata.name));
    if (old->spec.node_name.n)
        return err_conflict(&r->err, w->res, old->metadata.name,
                            "pod %.*s is already assigned to node \"%.*s\"",
                            STR_ARG(old->metadata.name), STR_ARG(old->spec.node_name));
    if (old->spec.scheduling_gates.n)
        return err_conflict(&r->err, w->res, old->metadata.name,
                            "pod %.*s has non-empty .spec.schedulingGates",
                            STR_ARG(old->metadata.name));
    w->obj = object_copy(r->arena, w->old);
    struct corev1_pod *pod = w->obj->typed;
    pod->spec.node_name = b->target.name;
    LIST_EACH (p, &b->metadata.annotations)
        str_map_set(r->arena, &pod->metadata.annotations, p->key, p->value);
    set_scheduled(r, pod);
    return 0;
}

static void binding_again(struct write *w)
{
    if (bind_pod(w, w->arg) < 0)
        respond_error(w->r);
    else
        write_store(w);
}

void sub_binding(struct request *r)
{
    struct corev1_binding *b = arena_new(r->arena, struct corev1_binding);
    struct write *w;
    if (read_typed_body(r, &corev1_binding_desc, "Binding", b) < 0) {
        respond_error(r);
        return;
    }
    r->res = resources_find(r->server, STR(""), STR("v1"), STR("pods"));
    w = write_new(r);
    if (!r->name.n)
        r->name = b->metadata.name;
    if (!b->target.name.n) {
        respond_errorf(r, ERR_INVALID, "Binding \"%.*s\" is invalid: target.name: Required value",
                       STR_ARG(r->name));
        return;
    }
    w->arg = b;
    w->answer = binding_answer;
    w->again = binding_again;
    if (write_load_base(w) < 0)
        respond_error(r);
    else
        binding_again(w);
}

/* ---- eviction: a delete that disruption budgets may refuse ---- */

void sub_eviction(struct request *r)
{
    struct policyv1_eviction e = {0};
    if (read_typed_body(r, &policyv1_eviction_desc, "Eviction", &e) < 0) {
        respond_error(r);
        return;
    }
    struct metav1_delete_options opts = {0};
    if (e.delete_options)
        opts = *e.delete_options;
    eviction_delete(r, &opts);
}

/* ---- ephemeral containers and resize: updates of one part of the spec ---- */

static void only_part(struct write *w)
{
    struct corev1_pod *now = w->obj->typed;
    const struct corev1_pod *old = w->old->typed;
    struct corev1_pod sent = *now;
    struct str rv = now->metadata.resource_version;
    now->spec = old->spec;
    now->metadata = old->metadata;
    now->metadata.resource_version = rv;
    if (str_eq(w->r->subresource, STR("ephemeralcontainers"))) {
        now->spec.ephemeral_containers = sent.spec.ephemeral_containers;
    } else {
        now->spec.containers = sent.spec.containers;
        now->spec.resources = sent.spec.resources;
    }
}

void sub_ephemeral(struct request *r)
{
    if (r->verb == REQ_GET)
        verb_get(r);
    else if (r->verb == REQ_PATCH)
        write_patch(r, only_part);
    else
        write_put(r, only_part);
}

/* ---- serviceaccounts/token ---- */

enum { TOKEN_SECONDS_MIN = 600, TOKEN_SECONDS_DEFAULT = 3600 };

/* The object a token is bound to must be there; ret_node: the pod's node. */
static int check_bound(struct request *r, const struct authenticationv1_bound_object_reference *ref,
                       struct token_spec *t)
{
    const char *plural = str_eq(ref->kind, STR("Pod"))      ? "pods"
                         : str_eq(ref->kind, STR("Secret")) ? "secrets"
                         : str_eq(ref->kind, STR("Node"))   ? "nodes"
                                                            : NULL;
    struct metav1_object_meta m;
    if (!plural)
        return err_set(&r->err, ERR_BAD_REQUEST, "cannot bind token to object of type %.*s",
                       STR_ARG(ref->kind));
    struct resource *res = resources_find(r->server, STR(""), STR("v1"), str_z(plural));
    struct item *i =
        store_get(r->server->store,
                  resource_key(r->arena, res, res->namespaced ? r->ns : STR(""), ref->name));
    if (!i)
        return err_not_found(&r->err, res, ref->name);
    item_meta(r->arena, i, &m);
    if (ref->uid.n && !str_eq(ref->uid, m.uid))
        return err_conflict(&r->err, res, ref->name,
                            "the UID in the bound object reference (%.*s) does not match the UID "
                            "in record. The object might have been deleted and then recreated",
                            STR_ARG(ref->uid));
    t->bound_kind = ref->kind;
    t->bound_name = m.name;
    t->bound_uid = m.uid;
    if (strcmp(plural, "pods") == 0)
        t->node_name = ((const struct corev1_pod *)item_typed(i, &corev1_pod_desc))->spec.node_name;
    if (t->node_name.n) {
        struct resource *nodes = resources_find(r->server, STR(""), STR("v1"), STR("nodes"));
        struct item *node =
            store_get(r->server->store, resource_key(r->arena, nodes, STR(""), t->node_name));
        if (node) {
            item_meta(r->arena, node, &m);
            t->node_uid = m.uid;
        }
    }
    return 0;
}

void sub_token(struct request *r)
{
    struct authenticationv1_token_request q = {0};
    struct token_spec t = {0};
    struct metav1_object_meta m;
    struct item *sa = store_get(r->server->store, resource_key(r->arena, r->res, r->ns, r->name));
    if (!sa) {
        (void)err_not_found(&r->err, r->res, r->name);
        respond_error(r);
        return;
    }
    item_meta(r->arena, sa, &m);
    if (read_typed_body(r, &authenticationv1_token_request_desc, "TokenRequest", &q) < 0 ||
        (q.spec.bound_object_ref && check_bound(r, q.spec.bound_object_ref, &t) < 0)) {
        respond_error(r);
        return;
    }
    int64_t seconds =
        q.spec.expiration_seconds ? *q.spec.expiration_seconds : TOKEN_SECONDS_DEFAULT;
    if (seconds < TOKEN_SECONDS_MIN) {
        respond_errorf(r, ERR_INVALID,
                       "TokenRequest.authentication.k8s.io \"\" is invalid: "
                       "spec.expirationSeconds: Invalid value: %lld: may not specify a duration "
                       "less than 10 minutes",
                       (long long)seconds);
        return;
    }
    if (!q.spec.audiences.n)
        str_list_push(r->arena, &q.spec.audiences, r->server->config.issuer);
    t.ns = r->ns;
    t.service_account = r->name;
    t.uid = m.uid;
    t.audiences = q.spec.audiences;
    t.issued_s = loop_wall(r->server->loop).s;
    t.expires_s = t.issued_s + seconds;
    q.kind = STR("TokenRequest");
    q.api_version = STR("authentication.k8s.io/v1");
    q.metadata.name = r->name;
    q.metadata.namespace = r->ns;
    q.metadata.creation_timestamp = (struct wall){t.issued_s, 0};
    q.spec.expiration_seconds = NEW_VALUE(r->arena, int64_t, seconds);
    q.status.token = token_sign(r->server, r->arena, &t);
    q.status.expiration_timestamp = (struct wall){t.expires_s, 0};
    respond_typed(r, 201, &authenticationv1_token_request_desc, &q);
}
