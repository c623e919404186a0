/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch of subresources and virtual resources; the small ones are here. */
#include "server/subresource.h"

#include "api/corev1.h"
#include "server/impl.h"

static void not_allowed(struct request *r)
{
    respond_errorf(r, ERR_METHOD_NOT_ALLOWED,
                   "the server does not allow this method on the requested resource");
}

/* status of any kind: a write that changes nothing else. */
static void sub_status(struct request *r)
{
    if (r->verb == REQ_GET)
        verb_get(r);
    else if (r->verb == REQ_UPDATE)
        verb_update(r);
    else if (r->verb == REQ_PATCH)
        verb_patch(r);
    else
        not_allowed(r);
}

/* namespaces/finalize: the namespace controller takes its finalizer away; then the object goes. */
static void finalize_answer(struct write *w, struct item *i)
{
    if (i)
        respond_item(w->r, 200, i);
    else
        respond_object(w->r, 200, w->obj);
}

void sub_finalize(struct request *r)
{
    struct write *w = write_new(r);
    struct object *sent;
    if (write_read_body(w, &sent) < 0 || write_load_base(w) < 0) {
        respond_error(r);
        return;
    }
    const struct corev1_namespace *want = sent->typed;
    w->obj = object_copy(r->arena, w->old);
    struct corev1_namespace *ns = w->obj->typed;
    ns->spec.finalizers = want->spec.finalizers;
    w->obj->meta->resource_version = sent->meta->resource_version;
    w->delete_when_done =
        ns->metadata.deletion_timestamp && !ns->spec.finalizers.n && !ns->metadata.finalizers.n;
    w->answer = finalize_answer;
    write_update(w);
}

/* certificatesigningrequests/approval: the conditions, and nothing else. */
static void sub_approval(struct request *r)
{
    r->subresource = STR("status");
    sub_status(r);
}

static const struct {
    const char *name;
    void (*run)(struct request *r);
} table[] = {
    {"status", sub_status},
    {"scale", sub_scale},
    {"binding", sub_binding},
    {"eviction", sub_eviction},
    {"token", sub_token},
    {"finalize", sub_finalize},
    {"approval", sub_approval},
    {"exec", sub_connect},
    {"attach", sub_connect},
    {"portforward", sub_connect},
    {"log", sub_connect},
    {"proxy", sub_proxy},
    {"ephemeralcontainers", sub_ephemeral},
    {"resize", sub_ephemeral},
};

void subresource_run(struct request *r)
{
    for (size_t i = 0; r->sub && i < ARRAY_LEN(table); i++) {
        if (str_eqz(r->subresource, table[i].name)) {
            table[i].run(r);
            return;
        }
    }
    respond_text(r, 404, "text/plain; charset=utf-8", STR("404 page not found\n"));
}

static const struct {
    const char *plural;
    void (*run)(struct request *r);
} virtuals[] = {
    {"bindings", sub_binding},
    {"tokenreviews", review_token},
    {"selfsubjectreviews", review_self_subject},
    {"subjectaccessreviews", review_access},
    {"localsubjectaccessreviews", review_access},
    {"selfsubjectaccessreviews", review_access},
    {"selfsubjectrulesreviews", review_rules},
    {"componentstatuses", component_statuses},
};

void virtual_run(struct request *r)
{
    bool reads = r->verb == REQ_GET || r->verb == REQ_LIST;
    bool component = str_eq(r->plural, STR("componentstatuses"));
    if (component ? !reads : r->verb != REQ_CREATE) {
        not_allowed(r);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(virtuals); i++) {
        if (str_eqz(r->plural, virtuals[i].plural)) {
            virtuals[i].run(r);
            return;
        }
    }
    never("a virtual resource without an answer");
}
