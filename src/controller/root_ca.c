/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every active namespace has a ConfigMap "kube-root-ca.crt" with the authority that signs the API
 * server's certificate; pods get it mounted beside their token (k8s.io/kubernetes/pkg/controller/
 * certificates/rootcacertpublisher). Key: the namespace.
 */
#include "controller/controller.h"

static const struct str map_name = {"kube-root-ca.crt", 16};

struct state {
    struct cache *namespaces, *maps;
};

static void map_config(struct controller *c, struct item *old, struct item *now)
{
    struct str ns, name;
    item_names(now ? now : old, &ns, &name);
    if (str_eq(name, map_name))
        controller_enqueue(c, STR(""), ns);
}

static void start(struct controller *c)
{
    struct state *s = xcalloc(1, sizeof *s);
    c->state = s;
    s->namespaces = controller_watch(c, "v1/namespaces", map_self);
    s->maps = controller_watch(c, "v1/configmaps", map_config);
}

static void reconcile(struct reconcile *rc)
{
    struct state *s = rc->c->state;
    struct item *i = cache_get(s->namespaces, STR(""), rc->name);
    struct str ca = manager_ca(rc->m);
    if (!i || !ca.n)
        return;
    const struct corev1_namespace *ns = item_typed(i, &corev1_namespace_desc);
    if (str_eq(ns->status.phase, STR("Terminating")))
        return;
    struct corev1_config_map map = {.kind = STR("ConfigMap"), .api_version = STR("v1")};
    struct item *there = cache_get(s->maps, rc->name, map_name);
    if (there) {
        const struct corev1_config_map *m = item_typed(there, &corev1_config_map_desc);
        if (m->data.n == 1 && str_eq(str_map_get(&m->data, STR("ca.crt")), ca))
            return;
        map = *m;
        map.data = (struct str_map){0};
    }
    str_map_set(rc->arena, &map.data, STR("ca.crt"), ca);
    if (there) {
        intend_update(rc, cache_resource(s->maps), &map, NULL);
        return;
    }
    map.metadata.name = map_name;
    map.metadata.namespace = rc->name;
    str_map_set(rc->arena, &map.metadata.annotations, STR("kubernetes.io/description"),
                STR("Contains a CA bundle that can be used to verify the kube-apiserver when using "
                    "internal endpoints such as the internal service IP or kubernetes.default.svc. "
                    "No other usage is guaranteed across distributions of Kubernetes clusters."));
    intend_create_if_absent(rc, cache_resource(s->maps), rc->name, &map);
}

static void stop(struct controller *c)
{
    free(c->state);
}

const struct controller_def controller_root_ca = {
    .name = "root-ca-certificate-publisher", .start = start, .reconcile = reconcile, .stop = stop};
