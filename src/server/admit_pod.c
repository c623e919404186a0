/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins that complete pods: Priority, DefaultTolerationSeconds; and nodes: TaintNodesByCondition.
 */
#include "api/corev1.h"
#include "api/schedulingv1.h"
#include "server/admit.h"
#include "server/impl.h"

enum { TOLERATION_SECONDS = 300 };

/* ---- TaintNodesByCondition: a node starts as not ready ---- */

static int taint_node(struct admission *a)
{
    struct corev1_node *node = a->obj->typed;
    LIST_EACH (t, &node->spec.taints)
        if (str_eq(t->key, STR("node.kubernetes.io/not-ready")) &&
            str_eq(t->effect, STR("NoSchedule")))
            return 0;
    struct corev1_taint *t = list_add(a->req->arena, &node->spec.taints);
    t->key = STR("node.kubernetes.io/not-ready");
    t->effect = STR("NoSchedule");
    return 0;
}

const struct admission_plugin admit_taint_nodes_by_condition = {
    .name = "TaintNodesByCondition",
    .operations = 1u << OP_CREATE,
    .group = "",
    .plural = "nodes",
    .mutate = taint_node,
};

/* ---- Priority ---- */

struct class_search {
    const struct schedulingv1_priority_class *best;
};

static bool find_default(void *arg, struct item *i)
{
    struct class_search *f = arg;
    const struct schedulingv1_priority_class *c = item_typed(i, &schedulingv1_priority_class_desc);
    if (c->global_default && (!f->best || c->value < f->best->value))
        f->best = c;
    return true;
}

static const struct schedulingv1_priority_class *class_of(struct admission *a, struct str name)
{
    struct server *s = a->req->server;
    struct resource *res =
        resources_find(s, STR("scheduling.k8s.io"), STR("v1"), STR("priorityclasses"));
    if (name.n) {
        struct item *i = store_get(s->store, resource_key(a->req->arena, res, STR(""), name));
        return i ? item_typed(i, &schedulingv1_priority_class_desc) : NULL;
    }
    struct class_search f = {0};
    struct store_range all = {.prefix = res->prefix};
    must(store_each(s->store, &all, find_default, &f) == 0);
    return f.best;
}

static int set_priority(struct admission *a)
{
    struct corev1_pod *pod = a->obj->typed;
    struct arena *m = a->req->arena;
    if (a->op == OP_UPDATE) {
        /* Clients that do not know the field leave it out: it stays. */
        const struct corev1_pod *old = a->old->typed;
        if (!pod->spec.priority)
            pod->spec.priority = old->spec.priority;
        if (!pod->spec.preemption_policy.n)
            pod->spec.preemption_policy = old->spec.preemption_policy;
        return 0;
    }
    const struct schedulingv1_priority_class *c = class_of(a, pod->spec.priority_class_name);
    if (!c && pod->spec.priority_class_name.n)
        return err_forbidden(&a->req->err, a->res, pod->metadata.name,
                             "no PriorityClass with name %s was found",
                             arena_z(m, pod->spec.priority_class_name));
    int32_t value = c ? c->value : 0;
    if (pod->spec.priority && *pod->spec.priority != value)
        return err_forbidden(&a->req->err, a->res, pod->metadata.name,
                             "the integer value of priority (%d) must not be provided in pod spec; "
                             "priority admission controller computed %d from the given "
                             "PriorityClass name",
                             *pod->spec.priority, value);
    if (c)
        pod->spec.priority_class_name = arena_str(m, c->metadata.name);
    pod->spec.priority = NEW_VALUE(m, int32_t, value);
    if (!pod->spec.preemption_policy.n)
        pod->spec.preemption_policy = c && c->preemption_policy.n
                                          ? arena_str(m, c->preemption_policy)
                                          : STR("PreemptLowerPriority");
    return 0;
}

const struct admission_plugin admit_priority = {
    .name = "Priority",
    .operations = 1u << OP_CREATE | 1u << OP_UPDATE,
    .group = "",
    .plural = "pods",
    .mutate = set_priority,
};

/* ---- DefaultTolerationSeconds ---- */

static bool tolerates(const struct corev1_pod *pod, struct str key)
{
    LIST_EACH (t, &pod->spec.tolerations)
        if ((str_eq(t->key, key) || !t->key.n) &&
            (str_eq(t->effect, STR("NoExecute")) || !t->effect.n))
            return true;
    return false;
}

static void tolerate(struct admission *a, struct corev1_pod *pod, struct str key)
{
    if (tolerates(pod, key))
        return;
    struct corev1_toleration *t = list_add(a->req->arena, &pod->spec.tolerations);
    t->key = key;
    t->operator_ = STR("Exists");
    t->effect = STR("NoExecute");
    t->toleration_seconds = NEW_VALUE(a->req->arena, int64_t, TOLERATION_SECONDS);
}

static int default_tolerations(struct admission *a)
{
    struct corev1_pod *pod = a->obj->typed;
    tolerate(a, pod, STR("node.kubernetes.io/not-ready"));
    tolerate(a, pod, STR("node.kubernetes.io/unreachable"));
    return 0;
}

const struct admission_plugin admit_default_toleration_seconds = {
    .name = "DefaultTolerationSeconds",
    .operations = 1u << OP_CREATE,
    .group = "",
    .plural = "pods",
    .mutate = default_tolerations,
};
