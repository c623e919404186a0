/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs. */
#include "api/job.h"
#include "api/pod.h"
#include "api/selector.h"

#define UID_LABEL      STR("batch.kubernetes.io/controller-uid")
#define NAME_LABEL     STR("batch.kubernetes.io/job-name")
#define OLD_UID_LABEL  STR("controller-uid")
#define OLD_NAME_LABEL STR("job-name")

enum {
    PARALLELISM_MAX = 100000,        /* of indexed jobs */
    COMPLETIONS_FEW_MAX = 100000,    /* more of them restrict the other numbers */
    PARALLELISM_MANY_MAX = 10000,    /* with more completions than that */
    FAILED_INDEXES_MANY_MAX = 10000, /* likewise */
    RULES_MAX = 20,
    EXIT_CODES_MAX = 255,
    INDEXES_BYTES_MAX = 64 << 10,
    MANAGER_BYTES_MAX = 63,
};

/* ---- defaults and what the server adds ---- */

static bool is_indexed(const struct batchv1_job_spec *s)
{
    return str_eq(s->completion_mode, STR("Indexed"));
}

static void default_labels(struct arena *a, struct batchv1_job *job)
{
    if (!job->metadata.labels.n)
        LIST_EACH (pair, &job->spec.template.metadata.labels)
            str_map_set(a, &job->metadata.labels, pair->key, pair->value);
}

static void defaults(struct arena *a, void *obj)
{
    struct batchv1_job *job = obj;
    struct batchv1_job_spec *s = &job->spec;
    pod_template_defaults(a, &s->template);
    if (!s->completions && !s->parallelism)
        s->completions = NEW_VALUE(a, int32_t, 1);
    if (!s->parallelism)
        s->parallelism = NEW_VALUE(a, int32_t, 1);
    if (!s->backoff_limit)
        s->backoff_limit = NEW_VALUE(a, int32_t, s->backoff_limit_per_index ? INT32_MAX : 6);
    default_labels(a, job);
    if (!s->completion_mode.p)
        s->completion_mode = STR("NonIndexed");
    if (!s->suspend)
        s->suspend = NEW_VALUE(a, bool, false);
    if (!s->pod_replacement_policy.p)
        s->pod_replacement_policy =
            s->pod_failure_policy ? STR("Failed") : STR("TerminatingOrFailed");
}

static bool is_manual(const struct batchv1_job_spec *s)
{
    return s->manual_selector && *s->manual_selector;
}

static void set_if_absent(struct arena *a, struct str_map *m, struct str key, struct str value)
{
    if (!str_map_has(m, key))
        str_map_set(a, m, key, value);
}

/* Labels that only this job's pods have, and a selector for them. A wrong value that was there
 * before is found by the checks. */
static void generate_selector(struct arena *a, struct batchv1_job *job)
{
    struct str_map *labels = &job->spec.template.metadata.labels;
    struct str uid = job->metadata.uid.p ? job->metadata.uid : STR("");
    set_if_absent(a, labels, OLD_NAME_LABEL, job->metadata.name);
    set_if_absent(a, labels, NAME_LABEL, job->metadata.name);
    set_if_absent(a, labels, OLD_UID_LABEL, uid);
    set_if_absent(a, labels, UID_LABEL, uid);
    if (!job->spec.selector)
        job->spec.selector = arena_new(a, struct metav1_label_selector);
    set_if_absent(a, &job->spec.selector->match_labels, UID_LABEL, uid);
}

static void prepare(struct arena *a, void *obj, const void *old)
{
    struct batchv1_job *job = obj;
    if (!old && !is_manual(&job->spec))
        generate_selector(a, job);
    /* Defaults once more: the generated labels are there now. */
    default_labels(a, job);
}

/* ---- the generated selector ---- */

static void check_label(struct validation *v, const struct field_path *p,
                        const struct str_map *labels, struct str key, struct str want)
{
    struct str value = str_map_get(labels, key);
    if (!value.p)
        fault_required(v, AT_KEY(p, key), "must be '%.*s'", STR_ARG(want));
    else if (!str_eq(value, want))
        fault_invalid(v, AT_KEY(p, key), bad_map(v->arena, labels), "must be '%.*s'",
                      STR_ARG(want));
}

static void check_generated(struct validation *v, const struct batchv1_job *job)
{
    const struct field_path *spec = AT(NULL, "spec");
    const struct field_path *p = AT(AT(AT(spec, "template"), "metadata"), "labels");
    const struct str_map *labels = &job->spec.template.metadata.labels;
    struct str_map expected = {0};
    struct label_selector selector;
    struct err e = ERR_INIT(v->arena);
    struct str uid = job->metadata.uid, name = job->metadata.name;
    if (is_manual(&job->spec) || !job->spec.selector)
        return;
    if (!uid.n)
        fault_required(v, AT(AT(NULL, "metadata"), "uid"), "%s", "");
    check_label(v, p, labels, UID_LABEL, uid);
    check_label(v, p, labels, NAME_LABEL, name);
    check_label(v, p, labels, OLD_UID_LABEL, uid);
    check_label(v, p, labels, OLD_NAME_LABEL, name);
    str_map_set(v->arena, &expected, UID_LABEL, uid);
    str_map_set(v->arena, &expected, NAME_LABEL, name);
    str_map_set(v->arena, &expected, OLD_UID_LABEL, uid);
    str_map_set(v->arena, &expected, OLD_NAME_LABEL, name);
    if (label_selector_from(v->arena, job->spec.selector, &selector, &e) == 0 &&
        !label_selector_match(&selector, &expected))
        fault_invalid(v, AT(spec, "selector"),
                      bad_obj(&metav1_label_selector_desc, job->spec.selector),
                      "`selector` not auto-generated");
}

/* ---- failure policy ---- */

struct name_search {
    struct str name;
    bool found;
};

static void search_name(void *arg, const struct field_path *p, const struct corev1_container *c)
{
    struct name_search *s = arg;
    s->found |= str_eq(c->name, s->name);
}

static void check_exit_values(struct validation *v, const struct field_path *p, bool in,
                              const int32_t *values, size_t n)
{
    bool ordered = true;
    for (size_t i = 0; i < n; i++) {
        if (in && values[i] == 0)
            fault_invalid(v, AT_INDEX(p, i), bad_int(0), "must not be 0 for the In operator");
        for (size_t j = 0; j < i; j++)
            if (values[j] == values[i]) {
                fault_duplicate(v, AT_INDEX(p, i), bad_int(values[i]));
                break;
            }
        ordered &= i == 0 || values[i - 1] <= values[i];
    }
    if (!ordered)
        fault_invalid(v, p, bad_none(), "must be ordered");
}

static void check_exit_codes(struct validation *v, const struct field_path *p,
                             const struct batchv1_pod_failure_policy_on_exit_codes_requirement *r,
                             const struct batchv1_job_spec *spec)
{
    static const char *const operators[] = {"In", "NotIn", NULL};
    struct name_search s = {.name = r->container_name};
    if (!r->operator_.n)
        fault_required(v, AT(p, "operator"), "valid values: [\"In\" \"NotIn\"]");
    else
        check_one_of(v, AT(p, "operator"), r->operator_, operators);
    if (r->container_name.p) {
        pod_visit_containers(&spec->template.spec, NULL, search_name, &s);
        if (!s.found)
            fault_invalid(v, AT(p, "containerName"), bad_str(r->container_name),
                          "must be one of the container or initContainer names in the pod "
                          "template");
    }
    if (!r->values.n)
        fault_invalid(v, AT(p, "values"), bad_text(STR("[]")), "at least one value is required");
    else if (r->values.n > EXIT_CODES_MAX)
        fault_too_many(v, AT(p, "values"), (int64_t)r->values.n, EXIT_CODES_MAX);
    else
        check_exit_values(v, AT(p, "values"), str_eq(r->operator_, STR("In")), r->values.v,
                          r->values.n);
}

static void check_patterns(struct validation *v, const struct field_path *p,
                           const struct batchv1_pod_failure_policy_rule *r)
{
    static const char *const statuses[] = {"False", "True", "Unknown", NULL};
    if (r->on_pod_conditions.n > RULES_MAX)
        fault_too_many(v, p, (int64_t)r->on_pod_conditions.n, RULES_MAX);
    for (size_t i = 0; i < r->on_pod_conditions.n; i++) {
        const struct batchv1_pod_failure_policy_on_pod_conditions_pattern *c =
            &r->on_pod_conditions.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        check_format(v, AT(at, "type"), c->type, FORMAT_LABEL_KEY);
        if (!c->status.n)
            fault_required(v, AT(at, "status"), "valid values: [\"False\" \"True\" \"Unknown\"]");
        else
            check_one_of(v, AT(at, "status"), c->status, statuses);
    }
}

static void check_failure_rule(struct validation *v, const struct field_path *p,
                               const struct batchv1_pod_failure_policy_rule *r,
                               const struct batchv1_job_spec *spec)
{
    static const char *const actions[] = {"Count", "FailIndex", "FailJob", "Ignore", NULL};
    if (!r->action.n)
        fault_required(v, AT(p, "action"),
                       "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
    else if (str_eq(r->action, STR("FailIndex")) && !spec->backoff_limit_per_index)
        fault_invalid(v, AT(p, "action"), bad_str(r->action),
                      "requires the backoffLimitPerIndex to be set");
    else
        check_one_of(v, AT(p, "action"), r->action, actions);
    if (r->on_exit_codes)
        check_exit_codes(v, AT(p, "onExitCodes"), r->on_exit_codes, spec);
    check_patterns(v, AT(p, "onPodConditions"), r);
    if (r->on_exit_codes && r->on_pod_conditions.n)
        fault_invalid(v, p, bad_none(),
                      "specifying both OnExitCodes and OnPodConditions is not supported");
    if (!r->on_exit_codes && !r->on_pod_conditions.n)
        fault_invalid(v, p, bad_none(),
                      "specifying one of OnExitCodes and OnPodConditions is required");
}

/* ---- success policy ---- */

/* "1,3-5": how many indexes below completions, or -1 and what is wrong. */
static int64_t count_indexes(struct arena *a, struct str s, int32_t completions, struct str *fault)
{
    struct str part, low_text, high_text;
    int64_t total = 0, previous = -1;
    if (!s.n)
        return 0;
    while (str_next(&s, ',', &part)) {
        bool range = str_cut(part, '-', &low_text, &high_text);
        struct str ends[2] = {low_text, range ? high_text : low_text};
        int64_t index[2];
        for (size_t i = 0; i < 2; i++) {
            if (!str_to_i64(ends[i], &index[i]) || index[i] < 0) {
                *fault = arena_fmt(a, "cannot convert string to integer for index: %.*s",
                                   STR_ARG(go_quote(a, ends[i])));
                return -1;
            }
            if (index[i] >= completions) {
                *fault = arena_fmt(a, "too large index: %.*s", STR_ARG(go_quote(a, ends[i])));
                return -1;
            }
        }
        if (index[0] <= previous || index[1] < index[0]) {
            *fault = arena_fmt(a, "non-increasing order, previous: %lld, current: %lld",
                               (long long)(index[0] <= previous ? previous : index[0]),
                               (long long)(index[0] <= previous ? index[0] : index[1]));
            return -1;
        }
        total += index[1] - index[0] + 1;
        previous = index[1];
    }
    return total;
}

static void check_success_rule(struct validation *v, const struct field_path *p,
                               const struct batchv1_success_policy_rule *r, int32_t completions)
{
    struct str fault;
    int64_t total = -1;
    if (!r->succeeded_count && !r->succeeded_indexes.p)
        fault_required(v, p,
                       "at least one of succeededCount or succeededIndexes must be "
                       "specified");
    if (r->succeeded_indexes.p) {
        if (r->succeeded_indexes.n > INDEXES_BYTES_MAX)
            fault_too_long(v, AT(p, "succeededIndexes"), INDEXES_BYTES_MAX);
        total = count_indexes(v->arena, r->succeeded_indexes, completions, &fault);
        if (total < 0)
            fault_invalid(v, AT(p, "succeededIndexes"), bad_str(r->succeeded_indexes),
                          "error parsing succeededIndexes: %.*s", STR_ARG(fault));
    }
    if (!r->succeeded_count)
        return;
    check_nonnegative(v, AT(p, "succeededCount"), *r->succeeded_count);
    if (*r->succeeded_count > completions)
        fault_invalid(v, AT(p, "succeededCount"), bad_int(*r->succeeded_count),
                      "must be less than or equal to %d (the number of specified completions)",
                      completions);
    if (total >= 0 && *r->succeeded_count > total)
        fault_invalid(v, AT(p, "succeededCount"), bad_int(*r->succeeded_count),
                      "must be less than or equal to %lld (the number of indexes in the specified "
                      "succeededIndexes field)",
                      (long long)total);
}

static void check_success_policy(struct validation *v, const struct field_path *p,
                                 const struct batchv1_job_spec *s)
{
    const struct field_path *rules = AT(p, "rules");
    if (!is_indexed(s)) {
        fault_invalid(v, p, bad_obj(&batchv1_success_policy_desc, s->success_policy),
                      "requires indexed completion mode");
        return;
    }
    if (!s->success_policy->rules.n)
        fault_required(v, rules,
                       "at least one rules must be specified when the successPolicy is specified");
    if (s->success_policy->rules.n > RULES_MAX)
        fault_too_many(v, rules, (int64_t)s->success_policy->rules.n, RULES_MAX);
    for (size_t i = 0; i < s->success_policy->rules.n && s->completions; i++)
        check_success_rule(v, AT_INDEX(rules, i), &s->success_policy->rules.v[i], *s->completions);
}

/* ---- spec ---- */

static void check_at_most(struct validation *v, const struct field_path *p, const int32_t *n,
                          int32_t max, const char *when)
{
    if (n && *n > max)
        fault_invalid(v, p, bad_int(*n), "must be less than or equal to %d%s", max, when);
}

static void check_many_completions(struct validation *v, const struct field_path *p,
                                   const struct batchv1_job_spec *s)
{
    static const char when[] =
        " when completions are above 100000 and used with backoff limit per index";
    if (!s->max_failed_indexes)
        fault_required(v, AT(p, "maxFailedIndexes"),
                       "must be specified when completions is above %d", COMPLETIONS_FEW_MAX);
    check_at_most(v, AT(p, "parallelism"), s->parallelism, PARALLELISM_MANY_MAX, when);
    check_at_most(v, AT(p, "maxFailedIndexes"), s->max_failed_indexes, FAILED_INDEXES_MANY_MAX,
                  when);
}

static void check_indexed(struct validation *v, const struct field_path *p,
                          const struct batchv1_job_spec *s)
{
    if (!s->completions)
        fault_required(v, AT(p, "completions"), "when completion mode is Indexed");
    check_at_most(v, AT(p, "parallelism"), s->parallelism, PARALLELISM_MAX,
                  " when completion mode is Indexed");
    if (s->max_failed_indexes && s->completions && *s->max_failed_indexes > *s->completions)
        fault_invalid(v, AT(p, "maxFailedIndexes"), bad_int(*s->max_failed_indexes),
                      "must be less than or equal to completions");
    check_at_most(v, AT(p, "maxFailedIndexes"), s->max_failed_indexes, COMPLETIONS_FEW_MAX, "");
    if (s->completions && *s->completions > COMPLETIONS_FEW_MAX && s->backoff_limit_per_index)
        check_many_completions(v, p, s);
}

static void check_completion_mode(struct validation *v, const struct field_path *p,
                                  const struct batchv1_job_spec *s)
{
    static const char *const modes[] = {"NonIndexed", "Indexed", NULL};
    if (s->completion_mode.p)
        check_one_of(v, AT(p, "completionMode"), s->completion_mode, modes);
    if (is_indexed(s)) {
        check_indexed(v, p, s);
        return;
    }
    if (s->backoff_limit_per_index)
        fault_invalid(v, AT(p, "backoffLimitPerIndex"), bad_int(*s->backoff_limit_per_index),
                      "requires indexed completion mode");
    if (s->max_failed_indexes)
        fault_invalid(v, AT(p, "maxFailedIndexes"), bad_int(*s->max_failed_indexes),
                      "requires indexed completion mode");
}

/* "example.com/controller" */
static void check_manager(struct validation *v, const struct field_path *p, struct str name)
{
    check_domain_prefixed_path(v, p, name);
    if (name.n > MANAGER_BYTES_MAX)
        fault_too_long(v, p, MANAGER_BYTES_MAX);
}

static void check_restart_policy(struct validation *v, const struct field_path *p,
                                 const struct batchv1_job_spec *s)
{
    static const char *const policies[] = {"OnFailure", "Never", NULL};
    struct str policy = s->template.spec.restart_policy;
    /* "Always" is what the default made of an absent one. */
    if (!policy.n || str_eq(policy, STR("Always")))
        fault_required(v, p, "valid values: \"OnFailure\", \"Never\"");
    else if (check_one_of(v, p, policy, policies) && s->pod_failure_policy &&
             !str_eq(policy, STR("Never")))
        fault_invalid(v, p, bad_str(policy),
                      "only \"Never\" is supported when podFailurePolicy is specified");
}

static void check_replacement_policy(struct validation *v, const struct field_path *p,
                                     const struct batchv1_job_spec *s)
{
    static const char *const any[] = {"Failed", "TerminatingOrFailed", NULL};
    static const char *const failed[] = {"Failed", NULL};
    if (s->pod_replacement_policy.p)
        check_one_of(v, p, s->pod_replacement_policy, s->pod_failure_policy ? failed : any);
}

static void check_numbers(struct validation *v, const struct field_path *p,
                          const struct batchv1_job_spec *s)
{
    check_nonnegative_ptr32(v, AT(p, "parallelism"), s->parallelism);
    check_nonnegative_ptr32(v, AT(p, "completions"), s->completions);
    check_nonnegative_ptr64(v, AT(p, "activeDeadlineSeconds"), s->active_deadline_seconds);
    check_nonnegative_ptr32(v, AT(p, "backoffLimit"), s->backoff_limit);
    check_nonnegative_ptr32(v, AT(p, "ttlSecondsAfterFinished"), s->ttl_seconds_after_finished);
    check_nonnegative_ptr32(v, AT(p, "backoffLimitPerIndex"), s->backoff_limit_per_index);
    check_nonnegative_ptr32(v, AT(p, "maxFailedIndexes"), s->max_failed_indexes);
    if (s->max_failed_indexes && !s->backoff_limit_per_index)
        fault_required(v, AT(p, "backoffLimitPerIndex"), "when maxFailedIndexes is specified");
}

void check_job_spec(struct validation *v, const struct field_path *p,
                    const struct batchv1_job_spec *s)
{
    check_numbers(v, p, s);
    if (s->managed_by.p)
        check_manager(v, AT(p, "managedBy"), s->managed_by);
    check_completion_mode(v, p, s);
    if (s->pod_failure_policy) {
        const struct field_path *rules = AT(AT(p, "podFailurePolicy"), "rules");
        if (s->pod_failure_policy->rules.n > RULES_MAX)
            fault_too_many(v, rules, (int64_t)s->pod_failure_policy->rules.n, RULES_MAX);
        for (size_t i = 0; i < s->pod_failure_policy->rules.n; i++)
            check_failure_rule(v, AT_INDEX(rules, i), &s->pod_failure_policy->rules.v[i], s);
    }
    if (s->success_policy)
        check_success_policy(v, AT(p, "successPolicy"), s);
    check_replacement_policy(v, AT(p, "podReplacementPolicy"), s);
    check_pod_template(v, AT(p, "template"), &s->template);
    check_restart_policy(v, AT(AT(AT(p, "template"), "spec"), "restartPolicy"), s);
}

/* ---- updates ---- */

static void check_immutable_int(struct validation *v, const struct field_path *p,
                                const int32_t *now, const int32_t *old)
{
    if ((now && old && *now == *old) || (!now && !old))
        return;
    fault_invalid(v, p, now ? bad_int(*now) : bad_null(), "field is immutable");
}

/* An indexed job may be scaled: completions and parallelism together. */
static void check_completions(struct validation *v, const struct field_path *p,
                              const struct batchv1_job_spec *now,
                              const struct batchv1_job_spec *old)
{
    if (!is_indexed(now)) {
        check_immutable_int(v, AT(p, "completions"), now->completions, old->completions);
        return;
    }
    if (!now->completions || (old->completions && *now->completions == *old->completions))
        return;
    if (!now->parallelism || *now->completions != *now->parallelism)
        fault_invalid(v, AT(p, "completions"), bad_int(*now->completions),
                      "can only be modified in tandem with spec.parallelism");
}

/* Before a suspended job starts, it may be sent elsewhere. */
static struct corev1_pod_template_spec with_directives(struct arena *a,
                                                       const struct corev1_pod_template_spec *old,
                                                       const struct corev1_pod_template_spec *now)
{
    struct corev1_pod_template_spec ret = *old;
    struct corev1_affinity affinity = {0};
    if (old->spec.affinity)
        affinity = *old->spec.affinity;
    affinity.node_affinity = now->spec.affinity ? now->spec.affinity->node_affinity : NULL;
    ret.spec.affinity = affinity.node_affinity || affinity.pod_affinity ||
                                affinity.pod_anti_affinity || now->spec.affinity
                            ? NEW_VALUE(a, struct corev1_affinity, affinity)
                            : NULL;
    ret.spec.node_selector = now->spec.node_selector;
    ret.spec.tolerations = now->spec.tolerations;
    ret.spec.scheduling_gates = now->spec.scheduling_gates;
    ret.metadata.annotations = now->metadata.annotations;
    ret.metadata.labels = now->metadata.labels;
    return ret;
}

static void check_template(struct validation *v, const struct field_path *p,
                           const struct batchv1_job *now, const struct batchv1_job *old)
{
    struct corev1_pod_template_spec was = old->spec.template;
    bool waiting = old->spec.suspend && *old->spec.suspend && !old->status.start_time;
    if (waiting)
        was = with_directives(v->arena, &was, &now->spec.template);
    if (!desc_equal(&corev1_pod_template_spec_desc, &now->spec.template, &was))
        fault_invalid(v, p, bad_obj(&corev1_pod_template_spec_desc, &now->spec.template),
                      "field is immutable");
}

static void check_update(struct validation *v, const struct batchv1_job *now,
                         const struct batchv1_job *old)
{
    const struct field_path *p = AT(NULL, "spec");
    check_completions(v, p, &now->spec, &old->spec);
    check_immutable(v, AT(p, "selector"), &metav1_label_selector_desc, now->spec.selector,
                    old->spec.selector);
    check_template(v, AT(p, "template"), now, old);
    check_immutable_str(v, AT(p, "completionMode"), now->spec.completion_mode,
                        old->spec.completion_mode);
    check_immutable(v, AT(p, "podFailurePolicy"), &batchv1_pod_failure_policy_desc,
                    now->spec.pod_failure_policy, old->spec.pod_failure_policy);
    check_immutable_int(v, AT(p, "backoffLimitPerIndex"), now->spec.backoff_limit_per_index,
                        old->spec.backoff_limit_per_index);
    check_immutable_str(v, AT(p, "managedBy"), now->spec.managed_by, old->spec.managed_by);
    check_immutable(v, AT(p, "successPolicy"), &batchv1_success_policy_desc,
                    now->spec.success_policy, old->spec.success_policy);
}

/* The last of the pods' names must be a good one. */
static void check_pod_names(struct validation *v, const struct batchv1_job *job)
{
    if (!is_indexed(&job->spec) || !job->spec.completions || *job->spec.completions <= 0)
        return;
    struct str last =
        arena_fmt(v->arena, "%.*s-%d", STR_ARG(job->metadata.name), *job->spec.completions - 1);
    if (!format_ok(FORMAT_DNS_LABEL, last))
        fault_invalid(v, AT(AT(NULL, "metadata"), "name"), bad_str(job->metadata.name),
                      "will not able to create pod with invalid DNS label: %.*s", STR_ARG(last));
}

static void validate(struct validation *v, const void *obj, const void *old)
{
    const struct batchv1_job *job = obj;
    const struct field_path *p = AT(NULL, "spec");
    check_generated(v, job);
    check_job_spec(v, p, &job->spec);
    if (!job->spec.selector)
        fault_required(v, AT(p, "selector"), "%s", "");
    check_label_selector(v, AT(p, "selector"), job->spec.selector, false);
    check_template_selected(v, AT(p, "template"), job->spec.selector, &job->spec.template);
    if (old)
        check_update(v, job, old);
    else
        check_pod_names(v, job);
}

/* ---- status ---- */

static bool has_condition(const struct batchv1_job_status *s, const char *type)
{
    LIST_EACH (c, &s->conditions)
        if (str_eqz(c->type, type) && str_eq(c->status, STR("True")))
            return true;
    return false;
}

static void check_finished(struct validation *v, const struct field_path *p,
                           const struct batchv1_job_status *s, bool suspended)
{
    bool complete = has_condition(s, "Complete"), failed = has_condition(s, "Failed");
    if (complete && failed)
        fault_invalid(v, AT(p, "conditions"), bad_none(),
                      "cannot set Complete=True and Failed=true conditions");
    if (complete && has_condition(s, "FailureTarget"))
        fault_invalid(v, AT(p, "conditions"), bad_none(),
                      "cannot set Complete=True and FailureTarget=true conditions");
    if (complete && !s->completion_time)
        fault_required(v, AT(p, "completionTime"), "completionTime is required for Complete jobs");
    if (!complete && s->completion_time)
        fault_invalid(v, AT(p, "completionTime"), bad_time(v->arena, *s->completion_time),
                      "cannot set completionTime when there is no Complete=True condition");
    if ((complete || failed) && s->active > 0)
        fault_invalid(v, AT(p, "active"), bad_int(s->active),
                      "active>0 is invalid for finished job");
    if ((complete || failed) && !s->start_time && !suspended)
        fault_required(v, AT(p, "startTime"), "startTime is required for finished job");
    if (s->completion_time && s->start_time && wall_cmp(*s->completion_time, *s->start_time) < 0)
        fault_invalid(v, AT(p, "completionTime"), bad_time(v->arena, *s->completion_time),
                      "completionTime cannot be set before startTime");
}

static void check_kept(struct validation *v, const struct field_path *p,
                       const struct batchv1_job_status *now, const struct batchv1_job_status *old)
{
    static const char *const final[] = {"Complete", "Failed"};
    for (size_t i = 0; i < ARRAY_LEN(final); i++)
        if (has_condition(old, final[i]) && !has_condition(now, final[i]))
            fault_invalid(v, AT(p, "conditions"), bad_none(), "cannot disable %s=True condition",
                          final[i]);
    if (now->succeeded < old->succeeded)
        fault_invalid(v, AT(p, "succeeded"), bad_int(now->succeeded),
                      "cannot decrease the number of succeeded pods");
    if (now->failed < old->failed)
        fault_invalid(v, AT(p, "failed"), bad_int(now->failed),
                      "cannot decrease the failed counter");
}

static void validate_status(struct validation *v, const void *obj, const void *old)
{
    const struct batchv1_job *job = obj, *was = old;
    const struct batchv1_job_status *s = &job->status;
    const struct field_path *p = AT(NULL, "status");
    check_nonnegative(v, AT(p, "active"), s->active);
    check_nonnegative(v, AT(p, "succeeded"), s->succeeded);
    check_nonnegative(v, AT(p, "failed"), s->failed);
    check_nonnegative_ptr32(v, AT(p, "ready"), s->ready);
    check_nonnegative_ptr32(v, AT(p, "terminating"), s->terminating);
    if (s->ready && *s->ready > s->active)
        fault_invalid(v, AT(p, "ready"), bad_int(*s->ready),
                      "cannot set more ready pods than active");
    check_finished(v, p, s, job->spec.suspend && *job->spec.suspend);
    check_kept(v, p, s, &was->status);
}

const struct kind_hooks batchv1_job_hooks = {
    .defaults = defaults,
    .prepare = prepare,
    .validate = validate,
    .validate_status = validate_status,
};
