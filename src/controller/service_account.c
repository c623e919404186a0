/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every active namespace has a ServiceAccount "default" (k8s.io/kubernetes/pkg/controller/
 * serviceaccount). Key: the namespace.
 */
#include "controller/controller.h"

struct state {
    struct cache *namespaces, *accounts;
};

static void map_account(struct controller *c, struct item *old, struct item *now)
{
    struct str ns, name;
    item_names(now ? now : old, &ns, &name);
    if (!now && str_eq(name, STR("default")))
        controller_enqueue(c, STR(""), ns);
}

static void start(struct controller *c)
{
    struct state *s = xcalloc(1, sizeof *s);
    c->state = s;
    s->namespaces = controller_watch(c, "v1/namespaces", map_self);
    s->accounts = controller_watch(c, "v1/serviceaccounts", map_account);
}

static void reconcile(struct reconcile *rc)
{
    struct state *s = rc->c->state;
    struct item *i = cache_get(s->namespaces, STR(""), rc->name);
    if (!i || cache_get(s->accounts, rc->name, STR("default")))
        return;
    const struct corev1_namespace *ns = item_typed(i, &corev1_namespace_desc);
    if (str_eq(ns->status.phase, STR("Terminating")))
        return;
    struct corev1_service_account a = {.kind = STR("ServiceAccount"), .api_version = STR("v1")};
    a.metadata.name = STR("default");
    a.metadata.namespace = rc->name;
    intend_create_if_absent(rc, cache_resource(s->accounts), rc->name, &a);
}

static void stop(struct controller *c)
{
    free(c->state);
}

const struct controller_def controller_service_account = {
    .name = "service-account", .start = start, .reconcile = reconcile, .stop = stop};
