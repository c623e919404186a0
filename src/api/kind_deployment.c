/* SPDX-License-Identifier: Apache-2.0 */
/* Deployments, replica sets and replication controllers, and what workloads have in common. */
#include "api/appsv1.h"
#include "api/pod.h"
#include "api/selector.h"

/* ---- common ---- */

void check_workload_selector(struct validation *v, const struct field_path *p,
                             const struct metav1_label_selector *s, const char *kind)
{
    if (!s) {
        fault_required(v, p, "%s", "");
        return;
    }
    check_label_selector(v, p, s, false);
    if (!s->match_labels.n && !s->match_expressions.n)
        fault_invalid(v, p, bad_obj(&metav1_label_selector_desc, s),
                      "empty selector is invalid for %s", kind);
}

void check_template_selected(struct validation *v, const struct field_path *p,
                             const struct metav1_label_selector *s,
                             const struct corev1_pod_template_spec *t)
{
    struct label_selector selector;
    struct err e = ERR_INIT(v->arena);
    if (label_selector_from(v->arena, s, &selector, &e) < 0 ||
        label_selector_match(&selector, &t->metadata.labels))
        return;
    fault_invalid(v, AT(AT(p, "metadata"), "labels"), bad_map(v->arena, &t->metadata.labels),
                  "`selector` does not match template `labels`");
}

void check_endless_template(struct validation *v, const struct field_path *p,
                            const struct corev1_pod_template_spec *t, const char *kind)
{
    static const char *const always[] = {"Always", NULL};
    check_one_of(v, AT(AT(p, "spec"), "restartPolicy"), t->spec.restart_policy, always);
    if (t->spec.active_deadline_seconds)
        fault_forbidden(v, AT(AT(p, "spec"), "activeDeadlineSeconds"),
                        "activeDeadlineSeconds in %s is not Supported", kind);
}

void check_replica_template(struct validation *v, const struct field_path *p,
                            const struct metav1_label_selector *s,
                            const struct corev1_pod_template_spec *t)
{
    if (s && (s->match_labels.n || s->match_expressions.n))
        check_template_selected(v, p, s, t);
    check_pod_template(v, p, t);
    check_endless_template(v, p, t, "ReplicaSet");
}

void check_replica_counts(struct validation *v, const struct field_path *p,
                          const struct replica_count *counts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_nonnegative(v, AT(p, counts[i].name), counts[i].n);
    for (size_t i = 0; i < n; i++)
        if (counts[i].of_all && counts[i].n > counts[0].n)
            fault_invalid(v, AT(p, counts[i].name), bad_int(counts[i].n),
                          "cannot be greater than status.replicas");
}

void check_not_decremented(struct validation *v, const struct field_path *p, const int32_t *now,
                           const int32_t *old)
{
    if (old && (!now || *now < *old))
        fault_invalid(v, p, bad_int(now ? *now : 0), "cannot be decremented");
}

static void check_available(struct validation *v, const struct field_path *p, int32_t available,
                            int32_t ready)
{
    if (available > ready)
        fault_invalid(v, AT(p, "availableReplicas"), bad_int(available),
                      "cannot be greater than readyReplicas");
}

/* ---- deployments ---- */

static void deployment_defaults(struct arena *a, void *obj)
{
    struct appsv1_deployment *d = obj;
    struct appsv1_deployment_strategy *s = &d->spec.strategy;
    pod_template_defaults(a, &d->spec.template);
    if (!str_eq(s->type, STR("RollingUpdate")))
        return;
    if (!s->rolling_update)
        s->rolling_update = arena_new(a, struct appsv1_rolling_update_deployment);
    if (!s->rolling_update->max_unavailable)
        s->rolling_update->max_unavailable = NEW_VALUE(a, struct intstr, intstr_str(STR("25%")));
    if (!s->rolling_update->max_surge)
        s->rolling_update->max_surge = NEW_VALUE(a, struct intstr, intstr_str(STR("25%")));
}

/* A change of annotations is a new generation too: the controller copies them to replica sets. */
static void deployment_prepare(struct arena *a, void *obj, const void *old)
{
    struct appsv1_deployment *d = obj;
    const struct appsv1_deployment *was = old;
    if (was && !str_map_equal(&d->metadata.annotations, &was->metadata.annotations))
        d->metadata.generation = was->metadata.generation + 1;
}

static void check_rolling_update(struct validation *v, const struct field_path *p,
                                 const struct appsv1_rolling_update_deployment *r)
{
    const struct intstr zero = intstr_int(0);
    const struct intstr *unavailable = r->max_unavailable ? r->max_unavailable : &zero;
    const struct intstr *surge = r->max_surge ? r->max_surge : &zero;
    check_int_or_percent(v, AT(p, "maxUnavailable"), unavailable);
    check_int_or_percent(v, AT(p, "maxSurge"), surge);
    if (intstr_int_or_percent(unavailable) == 0 && intstr_int_or_percent(surge) == 0)
        fault_invalid(v, AT(p, "maxUnavailable"), bad_intstr(unavailable),
                      "may not be 0 when `maxSurge` is 0");
    check_at_most_100_percent(v, AT(p, "maxUnavailable"), unavailable);
}

static void check_strategy(struct validation *v, const struct field_path *p,
                           const struct appsv1_deployment_strategy *s)
{
    static const char *const types[] = {"Recreate", "RollingUpdate", NULL};
    if (str_eq(s->type, STR("Recreate"))) {
        if (s->rolling_update)
            fault_forbidden(v, AT(p, "rollingUpdate"),
                            "may not be specified when strategy `type` is 'Recreate'");
    } else if (!str_eq(s->type, STR("RollingUpdate"))) {
        fault_not_supported(v, p, bad_obj(&appsv1_deployment_strategy_desc, s), types);
    } else if (!s->rolling_update) {
        fault_required(v, AT(p, "rollingUpdate"), "this should be defaulted and never be nil");
    } else {
        check_rolling_update(v, AT(p, "rollingUpdate"), s->rolling_update);
    }
}

static void deployment_validate(struct validation *v, const void *obj, const void *old)
{
    const struct appsv1_deployment_spec *s = &((const struct appsv1_deployment *)obj)->spec;
    const struct appsv1_deployment *was = old;
    const struct field_path *p = AT(NULL, "spec");
    check_nonnegative_ptr32(v, AT(p, "replicas"), s->replicas);
    check_workload_selector(v, AT(p, "selector"), s->selector, "deployment");
    check_replica_template(v, AT(p, "template"), s->selector, &s->template);
    check_strategy(v, AT(p, "strategy"), &s->strategy);
    check_nonnegative(v, AT(p, "minReadySeconds"), s->min_ready_seconds);
    check_nonnegative_ptr32(v, AT(p, "revisionHistoryLimit"), s->revision_history_limit);
    check_nonnegative_ptr32(v, AT(p, "progressDeadlineSeconds"), s->progress_deadline_seconds);
    if (s->progress_deadline_seconds && *s->progress_deadline_seconds <= s->min_ready_seconds)
        fault_invalid(v, AT(p, "progressDeadlineSeconds"), bad_int(*s->progress_deadline_seconds),
                      "must be greater than minReadySeconds");
    if (was)
        check_immutable(v, AT(p, "selector"), &metav1_label_selector_desc, s->selector,
                        was->spec.selector);
}

static void deployment_validate_status(struct validation *v, const void *obj, const void *old)
{
    const struct appsv1_deployment *d = obj, *was = old;
    const struct appsv1_deployment_status *s = &d->status;
    const struct field_path *p = AT(NULL, "status");
    const struct replica_count counts[] = {
        {"replicas", s->replicas, false},
        {"updatedReplicas", s->updated_replicas, true},
        {"readyReplicas", s->ready_replicas, true},
        {"availableReplicas", s->available_replicas, true},
        {"unavailableReplicas", s->unavailable_replicas, false},
    };
    check_nonnegative(v, AT(p, "observedGeneration"), s->observed_generation);
    check_replica_counts(v, p, counts, ARRAY_LEN(counts));
    check_nonnegative_ptr32(v, AT(p, "collisionCount"), s->collision_count);
    check_nonnegative_ptr32(v, AT(p, "terminatingReplicas"), s->terminating_replicas);
    check_available(v, p, s->available_replicas, s->ready_replicas);
    check_not_decremented(v, AT(p, "collisionCount"), s->collision_count,
                          was->status.collision_count);
}

const struct kind_hooks appsv1_deployment_hooks = {
    .defaults = deployment_defaults,
    .prepare = deployment_prepare,
    .validate = deployment_validate,
    .validate_status = deployment_validate_status,
};

/* ---- replica sets ---- */

static void replica_set_defaults(struct arena *a, void *obj)
{
    struct appsv1_replica_set *r = obj;
    pod_template_defaults(a, &r->spec.template);
}

static void replica_set_validate(struct validation *v, const void *obj, const void *old)
{
    const struct appsv1_replica_set_spec *s = &((const struct appsv1_replica_set *)obj)->spec;
    const struct appsv1_replica_set *was = old;
    const struct field_path *p = AT(NULL, "spec");
    check_nonnegative_ptr32(v, AT(p, "replicas"), s->replicas);
    check_nonnegative(v, AT(p, "minReadySeconds"), s->min_ready_seconds);
    check_workload_selector(v, AT(p, "selector"), s->selector, "deployment");
    check_replica_template(v, AT(p, "template"), s->selector, &s->template);
    if (was)
        check_immutable(v, AT(p, "selector"), &metav1_label_selector_desc, s->selector,
                        was->spec.selector);
}

static void replica_set_validate_status(struct validation *v, const void *obj, const void *old)
{
    const struct appsv1_replica_set_status *s = &((const struct appsv1_replica_set *)obj)->status;
    const struct field_path *p = AT(NULL, "status");
    const struct replica_count counts[] = {
        {"replicas", s->replicas, false},
        {"fullyLabeledReplicas", s->fully_labeled_replicas, true},
        {"readyReplicas", s->ready_replicas, true},
        {"availableReplicas", s->available_replicas, true},
    };
    check_replica_counts(v, p, counts, ARRAY_LEN(counts));
    check_nonnegative(v, AT(p, "observedGeneration"), s->observed_generation);
    check_nonnegative_ptr32(v, AT(p, "terminatingReplicas"), s->terminating_replicas);
    check_available(v, p, s->available_replicas, s->ready_replicas);
}

const struct kind_hooks appsv1_replica_set_hooks = {
    .defaults = replica_set_defaults,
    .validate = replica_set_validate,
    .validate_status = replica_set_validate_status,
};

/* ---- replication controllers ---- */

static void controller_defaults(struct arena *a, void *obj)
{
    struct corev1_replication_controller *r = obj;
    if (!r->spec.template)
        return;
    pod_template_defaults(a, r->spec.template);
    const struct str_map *labels = &r->spec.template->metadata.labels;
    if (!r->spec.selector.n)
        LIST_EACH (pair, labels)
            str_map_set(a, &r->spec.selector, pair->key, pair->value);
    if (!r->metadata.labels.n)
        LIST_EACH (pair, labels)
            str_map_set(a, &r->metadata.labels, pair->key, pair->value);
}

static void check_controller_template(struct validation *v, const struct field_path *p,
                                      const struct corev1_replication_controller_spec *s)
{
    struct label_selector selector;
    if (!s->template) {
        fault_required(v, p, "%s", "");
        return;
    }
    label_selector_from_map(v->arena, &s->selector, &selector);
    if (!label_selector_match(&selector, &s->template->metadata.labels))
        fault_invalid(v, AT(AT(p, "metadata"), "labels"),
                      bad_map(v->arena, &s->template->metadata.labels),
                      "`selector` does not match template `labels`");
    check_pod_template(v, p, s->template);
    check_endless_template(v, p, s->template, "ReplicationController");
}

static void controller_validate(struct validation *v, const void *obj, const void *old)
{
    const struct corev1_replication_controller_spec *s =
        &((const struct corev1_replication_controller *)obj)->spec;
    const struct field_path *p = AT(NULL, "spec");
    check_nonnegative(v, AT(p, "minReadySeconds"), s->min_ready_seconds);
    if (!s->selector.n)
        fault_required(v, AT(p, "selector"), "%s", "");
    check_nonnegative_ptr32(v, AT(p, "replicas"), s->replicas);
    check_controller_template(v, AT(p, "template"), s);
}

static void controller_validate_status(struct validation *v, const void *obj, const void *old)
{
    const struct corev1_replication_controller_status *s =
        &((const struct corev1_replication_controller *)obj)->status;
    const struct field_path *p = AT(NULL, "status");
    const struct replica_count counts[] = {
        {"replicas", s->replicas, false},
        {"fullyLabeledReplicas", s->fully_labeled_replicas, true},
        {"readyReplicas", s->ready_replicas, true},
        {"availableReplicas", s->available_replicas, true},
    };
    check_replica_counts(v, p, counts, ARRAY_LEN(counts));
    check_nonnegative(v, AT(p, "observedGeneration"), s->observed_generation);
    check_available(v, p, s->available_replicas, s->ready_replicas);
}

const struct kind_hooks corev1_replication_controller_hooks = {
    .defaults = controller_defaults,
    .validate = controller_validate,
    .validate_status = controller_validate_status,
};
