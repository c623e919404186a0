/* SPDX-License-Identifier: Apache-2.0 */
/* Pods, and the template objects that hold nothing but a pod's template. */
#include "api/pod.h"
#include "api/resources.h"

static void defaults(struct arena *a, void *obj)
{
    pod_defaults(a, obj);
}

/* ---- what the server adds ---- */

/* Requires the label to have (or not to have) the pod's own value. */
static void add_label_keys(struct arena *a, struct metav1_label_selector *s,
                           const struct str_list *keys, const struct str_map *labels,
                           struct str operator_)
{
    LIST_EACH (key, keys) {
        struct str value = str_map_get(labels, *key);
        if (!value.p)
            continue;
        struct metav1_label_selector_requirement *r = list_add(a, &s->match_expressions);
        *r = (struct metav1_label_selector_requirement){.key = *key, .operator_ = operator_};
        str_list_push(a, &r->values, value);
    }
}

static void add_term_keys(struct arena *a, struct corev1_pod_affinity_term *t,
                          const struct str_map *labels)
{
    if (!t->label_selector)
        return;
    add_label_keys(a, t->label_selector, &t->match_label_keys, labels, STR("In"));
    add_label_keys(a, t->label_selector, &t->mismatch_label_keys, labels, STR("NotIn"));
}

static void add_affinity_keys(struct arena *a, struct corev1_pod_affinity *affinity,
                              const struct str_map *labels)
{
    if (!affinity)
        return;
    LIST_EACH (t, &affinity->required_during_scheduling_ignored_during_execution)
        add_term_keys(a, t, labels);
    LIST_EACH (t, &affinity->preferred_during_scheduling_ignored_during_execution)
        add_term_keys(a, &t->pod_affinity_term, labels);
}

static void add_pod_label_keys(struct arena *a, struct corev1_pod *pod)
{
    const struct str_map *labels = &pod->metadata.labels;
    if (pod->spec.affinity) {
        add_affinity_keys(a, pod->spec.affinity->pod_affinity, labels);
        add_affinity_keys(a, (void *)pod->spec.affinity->pod_anti_affinity, labels);
    }
    LIST_EACH (c, &pod->spec.topology_spread_constraints)
        if (c->label_selector)
            add_label_keys(a, c->label_selector, &c->match_label_keys, labels, STR("In"));
}

static void prepare(struct arena *a, void *obj, const void *old)
{
    struct corev1_pod *pod = obj;
    if (old)
        return;
    pod->status = (struct corev1_pod_status){
        .phase = STR("Pending"),
        .qos_class = pod_qos_class(a, &pod->spec),
    };
    add_pod_label_keys(a, pod);
    if (!pod->spec.scheduling_gates.n)
        return;
    *list_add(a, &pod->status.conditions) = (struct corev1_pod_condition){
        .type = STR("PodScheduled"),
        .status = STR("False"),
        .reason = STR("SchedulingGated"),
        .message = STR("Scheduling is blocked due to non-empty scheduling gates"),
    };
}

/* ---- checks ---- */

static void check_tokens(struct validation *v, const struct field_path *p,
                         const struct corev1_pod *pod)
{
    if (pod->spec.service_account_name.n)
        return;
    for (size_t i = 0; i < pod->spec.volumes.n; i++) {
        const struct corev1_projected_volume_source *s = pod->spec.volumes.v[i].projected;
        for (size_t j = 0; s && j < s->sources.n; j++)
            if (s->sources.v[j].service_account_token)
                fault_forbidden(
                    v,
                    AT(AT_INDEX(AT(AT(AT_INDEX(AT(p, "volumes"), i), "projected"), "sources"), j),
                       "serviceAccountToken"),
                    "must not be specified when serviceAccountName is not set");
    }
}

static void check_create(struct validation *v, const struct corev1_pod *pod)
{
    const struct field_path *p = AT(NULL, "spec");
    if (pod->spec.ephemeral_containers.n)
        fault_forbidden(v, AT(p, "ephemeralContainers"), "cannot be set on create");
    if (pod->spec.node_name.n && pod->spec.scheduling_gates.n)
        fault_forbidden(v, AT(p, "nodeName"),
                        "cannot be set until all schedulingGates have been cleared");
    check_profile_annotations(v, p, &pod->metadata, &pod->spec);
}

static void validate(struct validation *v, const void *obj, const void *old)
{
    const struct corev1_pod *pod = obj;
    check_pod_annotations(v, AT(AT(NULL, "metadata"), "annotations"), &pod->metadata, &pod->spec);
    check_pod_spec(v, AT(NULL, "spec"), &pod->spec, &pod->metadata);
    check_tokens(v, AT(NULL, "spec"), pod);
    if (!old)
        check_create(v, pod);
    else if (str_eq(v->subresource, STR("ephemeralcontainers")))
        check_pod_ephemeral_update(v, pod, old);
    else if (str_eq(v->subresource, STR("resize")))
        check_pod_resize(v, pod, old);
    else
        check_pod_update(v, pod, old);
}

static void validate_status(struct validation *v, const void *obj, const void *old)
{
    check_pod_status(v, obj, old);
}

const struct kind_hooks corev1_pod_hooks = {
    .defaults = defaults,
    .prepare = prepare,
    .validate = validate,
    .validate_status = validate_status,
};

/* ---- pod templates ---- */

static void template_defaults(struct arena *a, void *obj)
{
    struct corev1_pod_template *t = obj;
    pod_template_defaults(a, &t->template);
}

static void template_prepare(struct arena *a, void *obj, const void *old)
{
    prepare_generation(&corev1_pod_template_desc, obj, old);
}

static void template_validate(struct validation *v, const void *obj, const void *old)
{
    const struct corev1_pod_template *t = obj;
    check_pod_template(v, AT(NULL, "template"), &t->template);
}

const struct kind_hooks corev1_pod_template_hooks = {
    .defaults = template_defaults,
    .prepare = template_prepare,
    .validate = template_validate,
};
