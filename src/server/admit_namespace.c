/* SPDX-License-Identifier: Apache-2.0 */
/* NamespaceLifecycle: nothing is made in a namespace that is not there or is going away. */
#include "api/corev1.h"
#include "server/admit.h"
#include "server/impl.h"

static bool is_namespace(const struct admission *a)
{
    return !a->res->group.n && str_eq(a->res->plural, STR("namespaces"));
}

static int delete_namespace(struct admission *a)
{
    static const char *const immortal[] = {"default", "kube-system", "kube-public"};
    for (size_t i = 0; i < ARRAY_LEN(immortal); i++)
        if (str_eqz(a->name, immortal[i]))
            return err_forbidden(&a->req->err, a->res, a->name,
                                 "this namespace may not be deleted");
    return 0;
}

static int terminating(struct admission *a)
{
    struct err *e = &a->req->err;
    struct arena *m = a->req->arena;
    err_cause(e, STR("metadata.namespace"), "NamespaceTerminating",
              "namespace %.*s is being terminated", STR_ARG(a->ns));
    return err_forbidden(e, a->res, a->name,
                         "unable to create new content in namespace %s because it is being "
                         "terminated",
                         arena_z(m, a->ns));
}

static int lifecycle(struct admission *a)
{
    struct server *s = a->req->server;
    if (is_namespace(a))
        return a->op == OP_DELETE ? delete_namespace(a) : 0;
    if (!a->ns.n || a->op != OP_CREATE)
        return 0;
    /* An access review may ask about a namespace that is not there. */
    if (str_eq(a->res->plural, STR("localsubjectaccessreviews")))
        return 0;
    struct resource *namespaces = resources_find(s, STR(""), STR("v1"), STR("namespaces"));
    struct item *i =
        store_get_pending(s->store, resource_key(a->req->arena, namespaces, STR(""), a->ns));
    if (!i)
        return err_not_found(&a->req->err, namespaces, a->ns);
    const struct corev1_namespace *ns = item_typed(i, &corev1_namespace_desc);
    bool going = ns->metadata.deletion_timestamp || str_eq(ns->status.phase, STR("Terminating"));
    return going ? terminating(a) : 0;
}

static int on_delete(struct admission *a)
{
    return a->op == OP_DELETE && is_namespace(a) ? delete_namespace(a) : 0;
}

const struct admission_plugin admit_namespace_lifecycle = {
    .name = "NamespaceLifecycle",
    .operations = 1u << OP_CREATE | 1u << OP_UPDATE | 1u << OP_DELETE,
    .mutate = lifecycle,
    .validate = on_delete,
};
