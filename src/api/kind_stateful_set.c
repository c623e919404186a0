/* SPDX-License-Identifier: Apache-2.0 */
/* Stateful sets, daemon sets and the revisions that both keep. */
#include "api/appsv1.h"
#include "api/pod.h"
#include "api/resources.h"

/* ---- stateful sets ---- */

static void rolling_defaults(struct arena *a, struct appsv1_stateful_set_update_strategy *s)
{
    if (!s->type.n) {
        s->type = STR("RollingUpdate");
        if (!s->rolling_update)
            s->rolling_update = arena_new(a, struct appsv1_rolling_update_stateful_set_strategy);
    }
    if (!str_eq(s->type, STR("RollingUpdate")) || !s->rolling_update)
        return;
    if (!s->rolling_update->partition)
        s->rolling_update->partition = NEW_VALUE(a, int32_t, 0);
    if (!s->rolling_update->max_unavailable)
        s->rolling_update->max_unavailable = NEW_VALUE(a, struct intstr, intstr_int(1));
}

static void retention_defaults(struct arena *a, struct appsv1_stateful_set_spec *s)
{
    if (!s->persistent_volume_claim_retention_policy)
        s->persistent_volume_claim_retention_policy =
            arena_new(a, struct appsv1_stateful_set_persistent_volume_claim_retention_policy);
    if (!s->persistent_volume_claim_retention_policy->when_deleted.n)
        s->persistent_volume_claim_retention_policy->when_deleted = STR("Retain");
    if (!s->persistent_volume_claim_retention_policy->when_scaled.n)
        s->persistent_volume_claim_retention_policy->when_scaled = STR("Retain");
}

static void stateful_set_defaults(struct arena *a, void *obj)
{
    struct appsv1_stateful_set_spec *s = &((struct appsv1_stateful_set *)obj)->spec;
    pod_template_defaults(a, &s->template);
    rolling_defaults(a, &s->update_strategy);
    retention_defaults(a, s);
    LIST_EACH (c, &s->volume_claim_templates) {
        c->kind = STR("PersistentVolumeClaim");
        c->api_version = STR("v1");
        resource_list_round(a, &c->spec.resources.requests);
    }
}

static void check_stateful_rolling(struct validation *v, const struct field_path *p,
                                   const struct appsv1_rolling_update_stateful_set_strategy *r)
{
    check_nonnegative_ptr32(v, AT(p, "partition"), r->partition);
    if (!r->max_unavailable)
        return;
    check_int_or_percent(v, AT(p, "maxUnavailable"), r->max_unavailable);
    if (intstr_int_or_percent(r->max_unavailable) == 0)
        fault_invalid(v, AT(p, "maxUnavailable"), bad_intstr(r->max_unavailable), "cannot be 0");
    check_at_most_100_percent(v, AT(p, "maxUnavailable"), r->max_unavailable);
}

static void check_stateful_strategy(struct validation *v, const struct field_path *p,
                                    const struct appsv1_stateful_set_update_strategy *s)
{
    if (str_eq(s->type, STR("OnDelete"))) {
        if (s->rolling_update)
            fault_invalid(
                v, AT(p, "rollingUpdate"),
                bad_obj(&appsv1_rolling_update_stateful_set_strategy_desc, s->rolling_update),
                "only allowed for updateStrategy 'RollingUpdate'");
    } else if (!str_eq(s->type, STR("RollingUpdate"))) {
        fault_invalid(v, p, bad_obj(&appsv1_stateful_set_update_strategy_desc, s),
                      "must be 'RollingUpdate' or 'OnDelete'");
    } else if (s->rolling_update) {
        check_stateful_rolling(v, AT(p, "rollingUpdate"), s->rolling_update);
    }
}

static void
check_retention(struct validation *v, const struct field_path *p,
                const struct appsv1_stateful_set_persistent_volume_claim_retention_policy *r)
{
    static const char *const policies[] = {"Retain", "Delete", NULL};
    if (!r)
        return;
    check_one_of(v, AT(p, "whenDeleted"), r->when_deleted, policies);
    check_one_of(v, AT(p, "whenScaled"), r->when_scaled, policies);
}

static void check_stateful_spec(struct validation *v, const struct field_path *p,
                                const struct appsv1_stateful_set_spec *s)
{
    const struct field_path *t = AT(p, "template");
    if (!s->pod_management_policy.n)
        fault_required(v, AT(p, "podManagementPolicy"), "%s", "");
    else if (!str_eq(s->pod_management_policy, STR("OrderedReady")) &&
             !str_eq(s->pod_management_policy, STR("Parallel")))
        fault_invalid(v, AT(p, "podManagementPolicy"), bad_str(s->pod_management_policy),
                      "must be 'OrderedReady' or 'Parallel'");
    check_stateful_strategy(v, AT(p, "updateStrategy"), &s->update_strategy);
    check_retention(v, AT(p, "persistentVolumeClaimRetentionPolicy"),
                    s->persistent_volume_claim_retention_policy);
    check_nonnegative_ptr32(v, AT(p, "replicas"), s->replicas);
    check_nonnegative(v, AT(p, "minReadySeconds"), s->min_ready_seconds);
    if (s->ordinals)
        check_nonnegative(v, AT(AT(p, "ordinals"), "start"), s->ordinals->start);
    if (s->service_name.n)
        check_format(v, AT(p, "serviceName"), s->service_name, FORMAT_DNS_LABEL);
    check_workload_selector(v, AT(p, "selector"), s->selector, "statefulset");
    if (s->selector && (s->selector->match_labels.n || s->selector->match_expressions.n))
        check_template_selected(v, t, s->selector, &s->template);
    /* Its volumes come from claims that are not there yet, so that its mounts cannot be checked;
     * upstream leaves the whole template to the pods. */
    check_labels(v, AT(t, "labels"), &s->template.metadata.labels);
    check_annotations(v, AT(t, "annotations"), &s->template.metadata.annotations);
    check_pod_annotations(v, AT(t, "annotations"), &s->template.metadata, &s->template.spec);
    check_endless_template(v, t, &s->template, "StatefulSet");
    check_nonnegative_ptr32(v, AT(p, "revisionHistoryLimit"), s->revision_history_limit);
}

static void check_stateful_update(struct validation *v, const struct appsv1_stateful_set_spec *now,
                                  const struct appsv1_stateful_set_spec *old)
{
    struct appsv1_stateful_set_spec munged = *now;
    munged.replicas = old->replicas;
    munged.ordinals = old->ordinals;
    munged.template = old->template;
    munged.update_strategy = old->update_strategy;
    munged.min_ready_seconds = old->min_ready_seconds;
    munged.revision_history_limit = old->revision_history_limit;
    munged.persistent_volume_claim_retention_policy = old->persistent_volume_claim_retention_policy;
    if (!desc_equal(&appsv1_stateful_set_spec_desc, &munged, old))
        fault_forbidden(v, AT(NULL, "spec"),
                        "updates to statefulset spec for fields other than 'replicas', "
                        "'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
                        "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
                        "forbidden");
}

static void stateful_set_validate(struct validation *v, const void *obj, const void *old)
{
    const struct appsv1_stateful_set *s = obj, *was = old;
    check_stateful_spec(v, AT(NULL, "spec"), &s->spec);
    if (was)
        check_stateful_update(v, &s->spec, &was->spec);
}

static void stateful_set_validate_status(struct validation *v, const void *obj, const void *old)
{
    const struct appsv1_stateful_set *set = obj, *was = old;
    const struct appsv1_stateful_set_status *s = &set->status;
    const struct field_path *p = AT(NULL, "status");
    const struct replica_count counts[] = {
        {"replicas", s->replicas, false},
        {"readyReplicas", s->ready_replicas, true},
        {"currentReplicas", s->current_replicas, true},
        {"updatedReplicas", s->updated_replicas, true},
        {"availableReplicas", s->available_replicas, true},
    };
    check_replica_counts(v, p, counts, ARRAY_LEN(counts));
    check_nonnegative(v, AT(p, "observedGeneration"), s->observed_generation);
    check_nonnegative_ptr32(v, AT(p, "collisionCount"), s->collision_count);
    if (s->available_replicas > s->ready_replicas)
        fault_invalid(v, AT(p, "availableReplicas"), bad_int(s->available_replicas),
                      "cannot be greater than status.readyReplicas");
    check_not_decremented(v, AT(p, "collisionCount"), s->collision_count,
                          was->status.collision_count);
}

static const char *label_name(struct str name, bool is_prefix)
{
    return format_name_fault(FORMAT_DNS_LABEL, name, is_prefix);
}

const struct kind_hooks appsv1_stateful_set_hooks = {
    .defaults = stateful_set_defaults,
    .validate = stateful_set_validate,
    .validate_status = stateful_set_validate_status,
    .valid_name = label_name,
};

/* ---- daemon sets ---- */

static void daemon_set_defaults(struct arena *a, void *obj)
{
    struct appsv1_daemon_set_spec *s = &((struct appsv1_daemon_set *)obj)->spec;
    struct appsv1_daemon_set_update_strategy *u = &s->update_strategy;
    pod_template_defaults(a, &s->template);
    if (!str_eq(u->type, STR("RollingUpdate")))
        return;
    if (!u->rolling_update)
        u->rolling_update = arena_new(a, struct appsv1_rolling_update_daemon_set);
    if (!u->rolling_update->max_unavailable)
        u->rolling_update->max_unavailable = NEW_VALUE(a, struct intstr, intstr_int(1));
    if (!u->rolling_update->max_surge)
        u->rolling_update->max_surge = NEW_VALUE(a, struct intstr, intstr_int(0));
}

static void check_daemon_rolling(struct validation *v, const struct field_path *p,
                                 const struct appsv1_rolling_update_daemon_set *r)
{
    const struct intstr zero = intstr_int(0);
    const struct intstr *unavailable = r->max_unavailable ? r->max_unavailable : &zero;
    const struct intstr *surge = r->max_surge ? r->max_surge : &zero;
    check_int_or_percent(v, AT(p, "maxUnavailable"), unavailable);
    check_int_or_percent(v, AT(p, "maxSurge"), surge);
    bool has_unavailable = intstr_int_or_percent(unavailable) != 0;
    bool has_surge = intstr_int_or_percent(surge) != 0;
    if (has_unavailable && has_surge)
        fault_invalid(v, AT(p, "maxSurge"), bad_intstr(surge),
                      "may not be set when maxUnavailable is non-zero");
    if (!has_unavailable && !has_surge)
        fault_required(v, AT(p, "maxUnavailable"), "cannot be 0 when maxSurge is 0");
    check_at_most_100_percent(v, AT(p, "maxUnavailable"), unavailable);
    check_at_most_100_percent(v, AT(p, "maxSurge"), surge);
}

static void check_daemon_strategy(struct validation *v, const struct field_path *p,
                                  const struct appsv1_daemon_set_update_strategy *s)
{
    static const char *const types[] = {"RollingUpdate", "OnDelete", NULL};
    if (str_eq(s->type, STR("OnDelete")))
        return;
    if (!str_eq(s->type, STR("RollingUpdate")))
        fault_not_supported(v, p, bad_obj(&appsv1_daemon_set_update_strategy_desc, s), types);
    else if (!s->rolling_update)
        fault_required(v, AT(p, "rollingUpdate"), "%s", "");
    else
        check_daemon_rolling(v, AT(p, "rollingUpdate"), s->rolling_update);
}

static void daemon_set_validate(struct validation *v, const void *obj, const void *old)
{
    const struct appsv1_daemon_set_spec *s = &((const struct appsv1_daemon_set *)obj)->spec;
    const struct appsv1_daemon_set *was = old;
    const struct field_path *p = AT(NULL, "spec"), *t = AT(p, "template");
    check_label_selector(v, AT(p, "selector"), s->selector, false);
    check_template_selected(v, t, s->selector, &s->template);
    if (s->selector && !s->selector->match_labels.n && !s->selector->match_expressions.n)
        fault_invalid(v, AT(p, "selector"), bad_obj(&metav1_label_selector_desc, s->selector),
                      "empty selector is invalid for daemonset");
    check_pod_template(v, t, &s->template);
    check_endless_template(v, t, &s->template, "DaemonSet");
    check_nonnegative(v, AT(p, "minReadySeconds"), s->min_ready_seconds);
    check_daemon_strategy(v, AT(p, "updateStrategy"), &s->update_strategy);
    check_nonnegative_ptr32(v, AT(p, "revisionHistoryLimit"), s->revision_history_limit);
    if (was)
        check_immutable(v, AT(p, "selector"), &metav1_label_selector_desc, s->selector,
                        was->spec.selector);
}

static void daemon_set_validate_status(struct validation *v, const void *obj, const void *old)
{
    const struct appsv1_daemon_set *set = obj, *was = old;
    const struct appsv1_daemon_set_status *s = &set->status;
    const struct field_path *p = AT(NULL, "status");
    const struct replica_count counts[] = {
        {"currentNumberScheduled", s->current_number_scheduled, false},
        {"numberMisscheduled", s->number_misscheduled, false},
        {"desiredNumberScheduled", s->desired_number_scheduled, false},
        {"numberReady", s->number_ready, false},
        {"updatedNumberScheduled", s->updated_number_scheduled, false},
        {"numberAvailable", s->number_available, false},
        {"numberUnavailable", s->number_unavailable, false},
    };
    check_replica_counts(v, p, counts, ARRAY_LEN(counts));
    check_nonnegative(v, AT(p, "observedGeneration"), s->observed_generation);
    check_nonnegative_ptr32(v, AT(p, "collisionCount"), s->collision_count);
    check_not_decremented(v, AT(p, "collisionCount"), s->collision_count,
                          was->status.collision_count);
}

const struct kind_hooks appsv1_daemon_set_hooks = {
    .defaults = daemon_set_defaults,
    .validate = daemon_set_validate,
    .validate_status = daemon_set_validate_status,
};

/* ---- revisions ---- */

/* The same JSON value, however it is written? */
static bool same_json(struct arena *a, struct str x, struct str y)
{
    struct err e = ERR_INIT(a);
    struct json *u, *w;
    if (str_eq(x, y) || !x.p || !y.p)
        return str_eq(x, y);
    return json_parse(a, x, &u, &e) == 0 && json_parse(a, y, &w, &e) == 0 && json_eq(u, w);
}

static void revision_validate(struct validation *v, const void *obj, const void *old)
{
    const struct appsv1_controller_revision *r = obj, *was = old;
    if (!r->data.p)
        fault_required(v, AT(NULL, "data"), "data is mandatory");
    check_nonnegative(v, AT(NULL, "revision"), r->revision);
    if (was && !same_json(v->arena, r->data, was->data))
        fault_invalid(v, AT(NULL, "data"), bad_text(r->data), "field is immutable");
}

const struct kind_hooks appsv1_controller_revision_hooks = {
    .validate = revision_validate,
    .generation_off = true,
};
