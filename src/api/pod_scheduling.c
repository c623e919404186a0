/* SPDX-License-Identifier: Apache-2.0 */
/* Where pods may run: affinity, tolerations, topology spread, selectors of nodes. */
#include "api/pod.h"

/* ---- node selectors ---- */

static bool is_op(struct str op, const char *a, const char *b)
{
    return str_eqz(op, a) || str_eqz(op, b);
}

static void check_node_requirement(struct validation *v, const struct field_path *p,
                                   const struct corev1_node_selector_requirement *r,
                                   bool allow_bad_values)
{
    if (is_op(r->operator_, "In", "NotIn")) {
        if (!r->values.n)
            fault_required(v, AT(p, "values"),
                           "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (is_op(r->operator_, "Exists", "DoesNotExist")) {
        if (r->values.n)
            fault_forbidden(v, AT(p, "values"),
                            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else if (is_op(r->operator_, "Gt", "Lt")) {
        if (r->values.n != 1)
            fault_required(v, AT(p, "values"),
                           "must be specified single value when `operator` is 'Lt' or 'Gt'");
    } else {
        fault_invalid(v, AT(p, "operator"), bad_str(r->operator_), "not a valid selector operator");
    }
    check_format(v, AT(p, "key"), r->key, FORMAT_LABEL_KEY);
    for (size_t i = 0; !allow_bad_values && i < r->values.n; i++)
        check_format(v, AT_INDEX(AT(p, "values"), i), r->values.v[i], FORMAT_LABEL_VALUE);
}

static void check_node_field(struct validation *v, const struct field_path *p,
                             const struct corev1_node_selector_requirement *r)
{
    if (!is_op(r->operator_, "In", "NotIn"))
        fault_invalid(v, AT(p, "operator"), bad_str(r->operator_), "not a valid selector operator");
    else if (r->values.n != 1)
        fault_required(v, AT(p, "values"),
                       "must be only one value when `operator` is 'In' or 'NotIn' for node field "
                       "selector");
    if (!str_eq(r->key, STR("metadata.name"))) {
        fault_invalid(v, AT(p, "key"), bad_str(r->key), "not a valid field selector key");
        return;
    }
    for (size_t i = 0; i < r->values.n; i++)
        check_format(v, AT_INDEX(AT(p, "values"), i), r->values.v[i], FORMAT_DNS_SUBDOMAIN);
}

void check_node_selector_term(struct validation *v, const struct field_path *p,
                              const struct corev1_node_selector_term *t, bool allow_bad_values)
{
    for (size_t i = 0; i < t->match_expressions.n; i++)
        check_node_requirement(v, AT_INDEX(AT(p, "matchExpressions"), i),
                               &t->match_expressions.v[i], allow_bad_values);
    for (size_t i = 0; i < t->match_fields.n; i++)
        check_node_field(v, AT_INDEX(AT(p, "matchFields"), i), &t->match_fields.v[i]);
}

void check_node_selector(struct validation *v, const struct field_path *p,
                         const struct corev1_node_selector *s)
{
    const struct field_path *terms = AT(p, "nodeSelectorTerms");
    if (!s->node_selector_terms.n)
        fault_required(v, terms, "must have at least one node selector term");
    for (size_t i = 0; i < s->node_selector_terms.n; i++)
        check_node_selector_term(v, AT_INDEX(terms, i), &s->node_selector_terms.v[i], false);
}

/* ---- affinity ---- */

#define REQUIRED  "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

static void check_weight(struct validation *v, const struct field_path *p, int32_t weight)
{
    if (weight < 1 || weight > 100)
        fault_invalid(v, AT(p, "weight"), bad_int(weight), "must be in the range 1-100");
}

static void check_node_affinity(struct validation *v, const struct field_path *p,
                                const struct corev1_node_affinity *a)
{
    if (a->required_during_scheduling_ignored_during_execution)
        check_node_selector(v, AT(p, REQUIRED),
                            a->required_during_scheduling_ignored_during_execution);
    for (size_t i = 0; i < a->preferred_during_scheduling_ignored_during_execution.n; i++) {
        const struct corev1_preferred_scheduling_term *t =
            &a->preferred_during_scheduling_ignored_during_execution.v[i];
        const struct field_path *at = AT_INDEX(AT(p, PREFERRED), i);
        check_weight(v, at, t->weight);
        check_node_selector_term(v, AT(at, "preference"), &t->preference, true);
    }
}

/* How often does the selector name the label? */
static size_t count_label(const struct metav1_label_selector *s, struct str key)
{
    size_t n = str_map_has(&s->match_labels, key);
    LIST_EACH (r, &s->match_expressions)
        n += str_eq(r->key, key);
    return n;
}

static void check_label_keys(struct validation *v, const struct field_path *p,
                             const struct str_list *keys, const struct metav1_label_selector *s)
{
    if (keys->n && !s) {
        fault_forbidden(v, p, "must not be specified when labelSelector is not set");
        return;
    }
    for (size_t i = 0; i < keys->n; i++)
        check_format(v, AT_INDEX(p, i), keys->v[i], FORMAT_LABEL_KEY);
}

enum { LABEL_KEYS_COMPARED_MAX = 1000 };

/* The server adds what matchLabelKeys stands for to the selector: a key that is there twice was
 * in the selector before. */
static void check_match_label_keys(struct validation *v, const struct field_path *p,
                                   const struct corev1_pod_affinity_term *t)
{
    check_label_keys(v, AT(p, "matchLabelKeys"), &t->match_label_keys, t->label_selector);
    check_label_keys(v, AT(p, "mismatchLabelKeys"), &t->mismatch_label_keys, t->label_selector);
    for (size_t i = 0; i < MIN(t->match_label_keys.n, (size_t)LABEL_KEYS_COMPARED_MAX); i++) {
        struct str key = t->match_label_keys.v[i];
        if (t->label_selector && count_label(t->label_selector, key) > 1)
            fault_invalid(v, AT_INDEX(p, i), bad_str(key),
                          "exists in both matchLabelKeys and labelSelector");
        if (str_list_has(&t->mismatch_label_keys, key))
            fault_invalid(v, AT_INDEX(AT(p, "matchLabelKeys"), i), bad_str(key),
                          "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

static void check_pod_affinity_term(struct validation *v, const struct field_path *p,
                                    const struct corev1_pod_affinity_term *t)
{
    check_label_selector(v, AT(p, "labelSelector"), t->label_selector, false);
    check_label_selector(v, AT(p, "namespaceSelector"), t->namespace_selector, false);
    LIST_EACH (ns, &t->namespaces)
        check_format(v, AT(p, "namespace"), *ns, FORMAT_DNS_LABEL);
    check_match_label_keys(v, p, t);
    if (!t->topology_key.n)
        fault_required(v, AT(p, "topologyKey"), "can not be empty");
    check_format(v, AT(p, "topologyKey"), t->topology_key, FORMAT_LABEL_KEY);
}

/* Affinity and anti-affinity have the same members. */
_Static_assert(sizeof(struct corev1_pod_affinity) == sizeof(struct corev1_pod_anti_affinity),
               "the same members");

static void check_pod_affinity(struct validation *v, const struct field_path *p,
                               const struct corev1_pod_affinity *a)
{
    for (size_t i = 0; i < a->required_during_scheduling_ignored_during_execution.n; i++)
        check_pod_affinity_term(v, AT_INDEX(AT(p, REQUIRED), i),
                                &a->required_during_scheduling_ignored_during_execution.v[i]);
    for (size_t i = 0; i < a->preferred_during_scheduling_ignored_during_execution.n; i++) {
        const struct corev1_weighted_pod_affinity_term *t =
            &a->preferred_during_scheduling_ignored_during_execution.v[i];
        const struct field_path *at = AT_INDEX(AT(p, PREFERRED), i);
        check_weight(v, at, t->weight);
        check_pod_affinity_term(v, AT(at, "podAffinityTerm"), &t->pod_affinity_term);
    }
}

void check_affinity(struct validation *v, const struct field_path *p,
                    const struct corev1_affinity *a)
{
    if (!a)
        return;
    if (a->node_affinity)
        check_node_affinity(v, AT(p, "nodeAffinity"), a->node_affinity);
    if (a->pod_affinity)
        check_pod_affinity(v, AT(p, "podAffinity"), a->pod_affinity);
    if (a->pod_anti_affinity)
        check_pod_affinity(v, AT(p, "podAntiAffinity"), (const void *)a->pod_anti_affinity);
}

/* ---- taints and tolerations ---- */

void check_taint_effect(struct validation *v, const struct field_path *p, struct str effect)
{
    static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};
    check_one_of(v, p, effect, effects);
}

bool check_label_value_joined(struct validation *v, const struct field_path *p, struct str value)
{
    return check_format_joined(v, p, value, FORMAT_LABEL_VALUE, ";");
}

static void check_toleration_value(struct validation *v, const struct field_path *p,
                                   const struct corev1_toleration *t)
{
    static const char *const operators[] = {"Equal", "Exists", NULL};
    if (str_eq(t->operator_, STR("Exists"))) {
        if (t->value.n)
            fault_invalid(v, p, bad_str(t->value),
                          "value must be empty when `operator` is "
                          "'Exists'");
    } else if (!t->operator_.n || str_eq(t->operator_, STR("Equal"))) {
        check_label_value_joined(v, p, t->value);
    } else {
        fault_not_supported(v, p, bad_str(t->operator_), operators);
    }
}

void check_tolerations(struct validation *v, const struct field_path *p,
                       const struct corev1_pod_spec *holder)
{
    for (size_t i = 0; i < holder->tolerations.n; i++) {
        const struct corev1_toleration *t = &holder->tolerations.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        if (t->key.n)
            check_format(v, AT(at, "key"), t->key, FORMAT_LABEL_KEY);
        else if (!str_eq(t->operator_, STR("Exists")))
            fault_invalid(v, AT(at, "operator"), bad_str(t->operator_),
                          "operator must be Exists when `key` is empty, which means \"match all "
                          "values and all keys\"");
        if (t->toleration_seconds && !str_eq(t->effect, STR("NoExecute")))
            fault_invalid(v, AT(at, "effect"), bad_str(t->effect),
                          "effect must be 'NoExecute' when `tolerationSeconds` is set");
        check_toleration_value(v, AT(at, "operator"), t);
        if (t->effect.n)
            check_taint_effect(v, AT(at, "effect"), t->effect);
    }
}

/* ---- topology spread ---- */

static void check_min_domains(struct validation *v, const struct field_path *p,
                              const struct corev1_topology_spread_constraint *c)
{
    if (!c->min_domains)
        return;
    check_positive(v, p, *c->min_domains);
    if (!str_eq(c->when_unsatisfiable, STR("DoNotSchedule")))
        fault_invalid(v, p, bad_int(*c->min_domains),
                      "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not %.*s",
                      STR_ARG(c->when_unsatisfiable));
}

static void check_spread_label_keys(struct validation *v, const struct field_path *p,
                                    const struct corev1_topology_spread_constraint *c)
{
    if (c->match_label_keys.n && !c->label_selector)
        fault_forbidden(v, p, "must not be specified when labelSelector is not set");
    for (size_t i = 0; i < c->match_label_keys.n; i++) {
        struct str key = c->match_label_keys.v[i];
        check_format(v, AT_INDEX(p, i), key, FORMAT_LABEL_KEY);
        if (i < LABEL_KEYS_COMPARED_MAX && c->label_selector &&
            count_label(c->label_selector, key) > 1)
            fault_invalid(v, AT_INDEX(p, i), bad_str(key),
                          "exists in both matchLabelKeys and labelSelector");
    }
}

static void check_spread_constraint(struct validation *v, const struct field_path *p,
                                    const struct corev1_topology_spread_constraint *c)
{
    const struct desc *d = &corev1_topology_spread_constraint_desc;
    check_positive(v, AT(p, "maxSkew"), c->max_skew);
    if (!c->topology_key.n)
        fault_required(v, AT(p, "topologyKey"), "can not be empty");
    check_schema_enum(v, p, d, "whenUnsatisfiable",
                      c->when_unsatisfiable.p ? c->when_unsatisfiable : STR(""));
    check_min_domains(v, AT(p, "minDomains"), c);
    check_schema_enum(v, p, d, "nodeAffinityPolicy", c->node_affinity_policy);
    check_schema_enum(v, p, d, "nodeTaintsPolicy", c->node_taints_policy);
    check_spread_label_keys(v, AT(p, "matchLabelKeys"), c);
    check_label_selector(v, AT(p, "labelSelector"), c->label_selector, false);
}

/* Constraints i and another one after it have the same key and action: fault at i. */
static bool *find_repeated(struct arena *a, const struct corev1_pod_spec *spec, struct str *pairs)
{
    CLEANUP(map_fini) struct map seen = MAP_INIT_BORROWED;
    bool *repeated = arena_array(a, spec->topology_spread_constraints.n, bool);
    for (size_t i = spec->topology_spread_constraints.n; i-- > 0;) {
        const struct corev1_topology_spread_constraint *c = &spec->topology_spread_constraints.v[i];
        pairs[i] =
            arena_fmt(a, "{%.*s, %.*s}", STR_ARG(c->topology_key), STR_ARG(c->when_unsatisfiable));
        repeated[i] = seen_before(&seen, pairs[i]);
    }
    return repeated;
}

void check_spread_constraints(struct validation *v, const struct field_path *p,
                              const struct corev1_pod_spec *spec)
{
    size_t n = spec->topology_spread_constraints.n;
    struct str *pairs = arena_array(v->arena, n, struct str);
    const bool *repeated = find_repeated(v->arena, spec, pairs);
    for (size_t i = 0; i < n; i++) {
        const struct field_path *at = AT_INDEX(p, i);
        check_spread_constraint(v, at, &spec->topology_spread_constraints.v[i]);
        if (repeated[i])
            fault_duplicate(v, AT(at, "{topologyKey, whenUnsatisfiable}"), bad_str(pairs[i]));
    }
}
