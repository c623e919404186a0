/* SPDX-License-Identifier: Apache-2.0 */
/* What may change in a pod, by itself and through its subresources. */
#include "api/pod.h"
#include "api/resources.h"

#define MIRROR STR("kubernetes.io/config.mirror")

/* "a, b": the JSON names of the members that differ. */
static struct str changed_fields(struct arena *a, const struct desc *d, const void *now,
                                 const void *old)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(8));
    for (size_t i = 0; i < d->n_json; i++) {
        struct desc one = *d;
        one.fields = &d->fields[i];
        one.n_json = 1;
        if (!desc_equal(&one, now, old))
            buf_fmt(&b, "%s%s", b.n ? ", " : "", d->fields[i].name);
    }
    return buf_to_arena(&b, a);
}

/* ---- the pod itself ---- */

static bool same_length(struct validation *v, const struct field_path *p, size_t now, size_t old)
{
    if (now == old)
        return true;
    fault_forbidden(v, p, "pod updates may not add or remove containers");
    return false;
}

/* From nothing to a number, or to a smaller one. Returns whether to go on. */
static bool check_deadline(struct validation *v, const struct field_path *p, const int64_t *now,
                           const int64_t *old)
{
    if (!now) {
        if (old)
            fault_invalid(v, p, bad_null(), "must not update from a positive integer to nil value");
        return true;
    }
    if (!check_range(v, p, *now, 0, INT32_MAX))
        return false;
    if (!old || *old >= *now)
        return true;
    fault_invalid(v, p, bad_int(*now), "must be less than or equal to previous value");
    return false;
}

static bool same_toleration(const struct corev1_toleration *a, const struct corev1_toleration *b)
{
    return str_eq(a->key, b->key) && str_eq(a->operator_, b->operator_) &&
           str_eq(a->value, b->value) && str_eq(a->effect, b->effect);
}

static void check_added_tolerations(struct validation *v, const struct field_path *p,
                                    const struct corev1_pod_spec *now,
                                    const struct corev1_pod_spec *old)
{
    for (size_t i = 0; i < old->tolerations.n; i++) {
        bool found = false;
        for (size_t j = 0; j < now->tolerations.n && !found; j++)
            found = same_toleration(&old->tolerations.v[i], &now->tolerations.v[j]);
        if (found)
            continue;
        fault_forbidden(v, p,
                        "existing toleration can not be modified except its tolerationSeconds");
        return;
    }
}

static void check_removed_gates(struct validation *v, const struct field_path *p,
                                const struct corev1_pod_spec *now,
                                const struct corev1_pod_spec *old)
{
    for (size_t i = 0; i < now->scheduling_gates.n; i++) {
        bool known = false;
        for (size_t j = 0; j < old->scheduling_gates.n && !known; j++)
            known = str_eq(now->scheduling_gates.v[i].name, old->scheduling_gates.v[j].name);
        if (!known)
            fault_forbidden(v, AT(AT_INDEX(p, i), "name"),
                            "only deletion is allowed, but found new scheduling gate '%.*s'",
                            STR_ARG(now->scheduling_gates.v[i].name));
    }
}

/* Only requirements at the end are new. */
static bool term_only_grew(const struct corev1_node_selector_term *now,
                           const struct corev1_node_selector_term *old)
{
    struct corev1_node_selector_term head = *now;
    if (!old->match_expressions.n && !old->match_fields.n)
        return !now->match_expressions.n && !now->match_fields.n;
    if (now->match_expressions.n < old->match_expressions.n ||
        now->match_fields.n < old->match_fields.n)
        return false;
    head.match_expressions.n = old->match_expressions.n;
    head.match_fields.n = old->match_fields.n;
    return desc_equal(&corev1_node_selector_term_desc, &head, old);
}

static void check_gated_affinity(struct validation *v, const struct field_path *p,
                                 const struct corev1_node_affinity *now,
                                 const struct corev1_node_affinity *old)
{
    static const struct corev1_node_selector none;
    const struct corev1_node_selector *before =
        old ? old->required_during_scheduling_ignored_during_execution : NULL;
    const struct corev1_node_selector *after =
        now ? now->required_during_scheduling_ignored_during_execution : NULL;
    const struct field_path *terms =
        AT(AT(p, "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms");
    after = after ? after : &none;
    if (!before || !before->node_selector_terms.n)
        return;
    if (before->node_selector_terms.n != after->node_selector_terms.n) {
        fault_invalid(v, terms, bad_obj(&corev1_node_selector_desc, after),
                      "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
        return;
    }
    for (size_t i = 0; i < before->node_selector_terms.n; i++)
        if (!term_only_grew(&after->node_selector_terms.v[i], &before->node_selector_terms.v[i]))
            fault_invalid(
                v, AT_INDEX(terms, i),
                bad_obj(&corev1_node_selector_term_desc, &after->node_selector_terms.v[i]),
                "only additions are allowed (no mutations or deletions)");
}

/* A pod that waits at a gate may be bound to fewer nodes. */
static void check_gated(struct validation *v, const struct field_path *p,
                        struct corev1_pod_spec *munged, const struct corev1_pod_spec *old)
{
    static const struct corev1_affinity none;
    LIST_EACH (pair, &old->node_selector) {
        struct str value = str_map_get(&munged->node_selector, pair->key);
        if (value.p && str_eq(value, pair->value))
            continue;
        fault_invalid(v, AT(p, "nodeSelector"), bad_map(v->arena, &munged->node_selector),
                      "only additions to spec.nodeSelector are allowed (no mutations or "
                      "deletions)");
        break;
    }
    munged->node_selector = old->node_selector;
    struct corev1_affinity now = munged->affinity ? *munged->affinity : none;
    struct corev1_affinity was = old->affinity ? *old->affinity : none;
    check_gated_affinity(v, AT(AT(p, "affinity"), "nodeAffinity"), now.node_affinity,
                         was.node_affinity);
    now.node_affinity = was.node_affinity;
    munged->affinity = old->affinity;
    if (!desc_equal(&corev1_affinity_desc, &now, &was))
        munged->affinity = NEW_VALUE(v->arena, struct corev1_affinity, now);
}

/* The list with the images of the old one. */
static struct corev1_container *with_images(struct arena *a, const struct corev1_container *now,
                                            const struct corev1_container *old, size_t n)
{
    struct corev1_container *ret = arena_array(a, n, struct corev1_container);
    for (size_t i = 0; i < n; i++) {
        ret[i] = now[i];
        ret[i].image = old[i].image;
    }
    return ret;
}

static void check_immutable_rest(struct validation *v, const struct field_path *p,
                                 const struct corev1_pod_spec *now,
                                 const struct corev1_pod_spec *old)
{
    struct corev1_pod_spec munged = *now;
    const int64_t *grace = now->termination_grace_period_seconds;
    const int64_t *was = old->termination_grace_period_seconds;
    munged.containers.v =
        with_images(v->arena, now->containers.v, old->containers.v, now->containers.n);
    munged.init_containers.v = with_images(v->arena, now->init_containers.v, old->init_containers.v,
                                           now->init_containers.n);
    munged.active_deadline_seconds = old->active_deadline_seconds;
    munged.scheduling_gates = old->scheduling_gates;
    munged.tolerations = old->tolerations;
    if (grace && was && *was < 0 && *grace == 1)
        munged.termination_grace_period_seconds = old->termination_grace_period_seconds;
    if (old->scheduling_gates.n)
        check_gated(v, p, &munged, old);
    if (desc_equal(&corev1_pod_spec_desc, &munged, old))
        return;
    fault_forbidden(
        v, p,
        "pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
        "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be "
        "set to 1 if it was previously negative)\nchanged: %.*s",
        STR_ARG(changed_fields(v->arena, &corev1_pod_spec_desc, &munged, old)));
}

static bool is_fixed_annotation(struct str key)
{
    return str_eq(key, MIRROR) ||
           str_has_prefix(key, STR("container.apparmor.security.beta.kubernetes.io/"));
}

static void check_annotation_changes(struct validation *v, const struct field_path *p,
                                     const struct str_map *now, const struct str_map *old)
{
    LIST_EACH (pair, old) {
        struct str value = str_map_get(now, pair->key);
        if (is_fixed_annotation(pair->key) && !(value.p && str_eq(value, pair->value)))
            fault_forbidden(v, AT_KEY(p, pair->key), "may not remove or update %s",
                            str_eq(pair->key, MIRROR) ? "mirror pod annotation"
                                                      : "AppArmor annotations");
    }
    LIST_EACH (pair, now)
        if (is_fixed_annotation(pair->key) && !str_map_has(old, pair->key))
            fault_forbidden(v, AT_KEY(p, pair->key), "may not add %s",
                            str_eq(pair->key, MIRROR) ? "mirror pod annotation"
                                                      : "AppArmor annotations");
}

void check_pod_update(struct validation *v, const struct corev1_pod *pod,
                      const struct corev1_pod *old)
{
    const struct corev1_pod_spec *now = &pod->spec, *was = &old->spec;
    const struct field_path *p = AT(NULL, "spec");
    check_annotation_changes(v, AT(AT(NULL, "metadata"), "annotations"), &pod->metadata.annotations,
                             &old->metadata.annotations);
    if (!same_length(v, AT(p, "containers"), now->containers.n, was->containers.n) ||
        !same_length(v, AT(p, "initContainers"), now->init_containers.n, was->init_containers.n) ||
        !check_deadline(v, AT(p, "activeDeadlineSeconds"), now->active_deadline_seconds,
                        was->active_deadline_seconds))
        return;
    check_added_tolerations(v, AT(p, "tolerations"), now, was);
    check_removed_gates(v, AT(p, "schedulingGates"), now, was);
    if (!desc_equal(&corev1_pod_spec_desc, now, was))
        check_immutable_rest(v, p, now, was);
}

/* ---- ephemeral containers ---- */

static const struct corev1_ephemeral_container *find_ephemeral(const struct corev1_pod_spec *spec,
                                                               struct str name)
{
    LIST_EACH (e, &spec->ephemeral_containers)
        if (str_eq(e->name, name))
            return e;
    return NULL;
}

void check_pod_ephemeral_update(struct validation *v, const struct corev1_pod *pod,
                                const struct corev1_pod *old)
{
    const struct desc *d = &corev1_ephemeral_container_desc;
    const struct field_path *p = AT(AT(NULL, "spec"), "ephemeralContainers");
    if (str_map_has(&old->metadata.annotations, MIRROR)) {
        fault_forbidden(v, AT(NULL, ""), "static pods do not support ephemeral containers");
        return;
    }
    LIST_EACH (was, &old->spec.ephemeral_containers) {
        const struct corev1_ephemeral_container *now = find_ephemeral(&pod->spec, was->name);
        if (!now)
            fault_forbidden(v, p, "existing ephemeral containers \"%.*s\" may not be removed\n",
                            STR_ARG(was->name));
        else if (!desc_equal(d, now, was))
            fault_forbidden(v, p,
                            "existing ephemeral containers \"%.*s\" may not be changed\nchanged: "
                            "%.*s",
                            STR_ARG(was->name), STR_ARG(changed_fields(v->arena, d, now, was)));
    }
}

/* ---- resize ---- */

static bool lacks_some(const struct quantity_map *now, const struct quantity_map *old)
{
    LIST_EACH (q, old)
        if (!quantity_map_get(now, q->key))
            return true;
    return false;
}

static void check_memory_limit(struct validation *v, const struct field_path *p,
                               const struct corev1_container *now,
                               const struct corev1_container *old)
{
    const struct quantity *limit = quantity_map_get(&now->resources.limits, STR("memory"));
    const struct quantity *was = quantity_map_get(&old->resources.limits, STR("memory"));
    LIST_EACH (r, &now->resize_policy)
        if (str_eq(r->resource_name, STR("memory")) &&
            str_eq(r->restart_policy, STR("RestartContainer")))
            return;
    if (limit && !was)
        fault_forbidden(v, AT_KEY(AT(p, "limits"), STR("memory")),
                        "memory limits cannot be added unless resizePolicy is RestartContainer");
}

static void check_container_resize(struct validation *v, const struct field_path *p,
                                   const struct corev1_container *now,
                                   const struct corev1_container *old)
{
    if (lacks_some(&now->resources.requests, &old->resources.requests))
        fault_forbidden(v, AT(p, "requests"), "resource requests cannot be removed");
    if (lacks_some(&now->resources.limits, &old->resources.limits))
        fault_forbidden(v, AT(p, "limits"), "resource limits cannot be removed");
    check_memory_limit(v, p, now, old);
}

/* cpu and memory as they were, the others as they are. */
static void restore_compute(struct arena *a, struct quantity_map *m, const struct quantity_map *old)
{
    static const char *const names[] = {"cpu", "memory"};
    struct quantity_map ret = {0};
    LIST_EACH (q, m)
        if (!str_eq(q->key, STR("cpu")) && !str_eq(q->key, STR("memory")))
            *list_add(a, &ret) = *q;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct quantity *q = quantity_map_get(old, str_z(names[i]));
        if (q)
            quantity_map_set(a, &ret, str_z(names[i]), *q);
    }
    *m = ret;
}

/* Checks the resizes of one list and returns it as it would be without them. */
static struct corev1_container *without_resize(struct validation *v, const struct field_path *p,
                                               const struct corev1_container *now,
                                               const struct corev1_container *old, size_t n,
                                               bool init)
{
    struct corev1_container *ret = arena_array(v->arena, n, struct corev1_container);
    const struct field_path *spec = AT(NULL, "spec");
    for (size_t i = 0; i < n; i++) {
        bool resizable = !init || container_is_sidecar(&old[i]);
        ret[i] = now[i];
        if (resizable) {
            check_container_resize(v, AT(AT_INDEX(p, i), "resources"), &now[i], &old[i]);
            restore_compute(v->arena, &ret[i].resources.limits, &old[i].resources.limits);
            restore_compute(v->arena, &ret[i].resources.requests, &old[i].resources.requests);
        }
        if (desc_equal(&corev1_container_desc, &ret[i], &old[i]))
            continue;
        fault_forbidden(v, spec,
                        !init       ? "only cpu and memory resources are mutable"
                        : resizable ? "only cpu and memory resources for sidecar containers are "
                                      "mutable"
                                    : "resources for non-sidecar init containers are immutable");
    }
    return ret;
}

static bool has_pod_level_resources(const struct corev1_pod *pod)
{
    const struct corev1_resource_requirements *r = pod->spec.resources;
    return r && r->requests.n + r->limits.n > 0;
}

/* Does its node tell of resizes? A running container's status then has resources. */
static bool node_can_resize(const struct corev1_pod *pod)
{
    LIST_EACH (s, &pod->status.container_statuses)
        if (s->state.running)
            return s->resources != NULL;
    return true;
}

static const char *never_resized(const struct corev1_pod *pod, const struct corev1_pod *old)
{
    if (has_pod_level_resources(pod) || has_pod_level_resources(old))
        return "pods with pod-level resources cannot be resized";
    if (str_map_has(&old->metadata.annotations, MIRROR))
        return "static pods cannot be resized";
    if (old->spec.os && str_eq(old->spec.os->name, STR("windows")))
        return "windows pods cannot be resized";
    return NULL;
}

void check_pod_resize(struct validation *v, const struct corev1_pod *pod,
                      const struct corev1_pod *old)
{
    const struct field_path *p = AT(NULL, "spec");
    const char *fault = never_resized(pod, old);
    if (fault) {
        fault_forbidden(v, AT(NULL, ""), "%s", fault);
        return;
    }
    if (!str_eq(pod_qos_class(v->arena, &pod->spec), pod_qos_class(v->arena, &old->spec)))
        fault_invalid(v, p, bad_str(pod->status.qos_class),
                      "Pod QOS Class may not change as a result of resizing");
    if (!node_can_resize(old))
        fault_forbidden(v, p, "Pod running on node without support for resize");
    if (!same_length(v, AT(p, "containers"), pod->spec.containers.n, old->spec.containers.n) ||
        !same_length(v, AT(p, "initContainers"), pod->spec.init_containers.n,
                     old->spec.init_containers.n))
        return;
    struct corev1_pod_spec munged = pod->spec;
    munged.containers.v = without_resize(v, AT(p, "containers"), pod->spec.containers.v,
                                         old->spec.containers.v, pod->spec.containers.n, false);
    munged.init_containers.v =
        without_resize(v, AT(p, "initContainers"), pod->spec.init_containers.v,
                       old->spec.init_containers.v, pod->spec.init_containers.n, true);
    if (!v->faults && !desc_equal(&corev1_pod_spec_desc, &munged, &old->spec))
        fault_forbidden(v, p, "only cpu and memory resources are mutable");
}

/* ---- status ---- */

static void check_states(struct validation *v, const struct field_path *p,
                         const struct corev1_container_status *now, size_t n,
                         const struct corev1_container_status *old)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(now[i].name, old->name) && !now[i].state.terminated)
            fault_forbidden(v, AT(p, "state"), "may not be transitioned to non-terminated state");
}

static bool is_sidecar_name(const struct corev1_pod_spec *spec, struct str name)
{
    LIST_EACH (c, &spec->init_containers)
        if (str_eq(c->name, name))
            return container_is_sidecar(c);
    return false;
}

/* With a container's own restart rules its state is the kubelet's to know. */
static bool has_restart_rules(const struct corev1_pod_spec *spec, struct str name)
{
    LIST_EACH (c, &spec->containers)
        if (str_eq(c->name, name))
            return c->restart_policy.p || c->restart_policy_rules.n;
    LIST_EACH (c, &spec->init_containers)
        if (str_eq(c->name, name))
            return c->restart_policy.p || c->restart_policy_rules.n;
    return false;
}

enum { STATUSES_COMPARED_MAX = 2000 };

/* A container that is not restarted does not leave its end. */
static void check_transitions(struct validation *v, const struct field_path *p,
                              const struct corev1_container_status *now, size_t n,
                              const struct corev1_container_status *old, size_t n_old,
                              const struct corev1_pod_spec *spec, struct str restart_policy)
{
    if (str_eq(restart_policy, STR("Always")))
        return;
    for (size_t i = 0; i < MIN(n_old, (size_t)STATUSES_COMPARED_MAX); i++) {
        const struct corev1_container_state_terminated *end = old[i].state.terminated;
        if (!end || (end->exit_code && str_eq(restart_policy, STR("OnFailure"))) ||
            is_sidecar_name(spec, old[i].name) || has_restart_rules(spec, old[i].name))
            continue;
        check_states(v, AT_INDEX(p, i), now, MIN(n, (size_t)STATUSES_COMPARED_MAX), &old[i]);
    }
}

static void check_conditions_of_pod(struct validation *v, const struct field_path *p,
                                    const struct corev1_pod *pod)
{
    for (size_t i = 0; i < pod->status.conditions.n; i++)
        check_format(v, AT(AT_INDEX(p, i), "Type"), pod->status.conditions.v[i].type,
                     FORMAT_LABEL_KEY);
}

/* At most one address of each family; the texts are at `stride` bytes from each other. */
static void check_ips(struct validation *v, const struct field_path *p, const void *list, size_t n,
                      struct bad_value all)
{
    const struct str *ips = list; /* PodIP and HostIP are a struct of one string */
    struct ip_addr a, b;
    for (size_t i = 0; i < n; i++)
        check_ip(v, AT_INDEX(p, i), ips[i]);
    if (n < 2)
        return;
    bool dual = n == 2 && ip_parse(ips[0], &a) && ip_parse(ips[1], &b) && a.is_v6 != b.is_v6;
    if (!dual)
        fault_invalid(v, p, all, "may specify no more than one IP for each IP family");
    for (size_t i = 1; i < MIN(n, (size_t)STATUSES_COMPARED_MAX); i++)
        for (size_t j = 0; j < i; j++)
            if (str_eq(ips[i], ips[j])) {
                fault_duplicate(v, AT_INDEX(p, i), bad_str(ips[i]));
                break;
            }
}

_Static_assert(sizeof(struct corev1_pod_ip) == sizeof(struct str) &&
                   sizeof(struct corev1_host_ip) == sizeof(struct str),
               "one string each");

static void check_status_ips(struct validation *v, const struct field_path *p,
                             const struct corev1_pod_status *s)
{
    struct bad_value bad = bad_obj(&corev1_pod_status_desc, s);
    check_ips(v, AT(p, "podIPs"), s->pod_ips.v, s->pod_ips.n, bad);
    if (!s->host_ips.n)
        return;
    if (!str_eq(s->host_ip, s->host_ips.v[0].ip))
        fault_invalid(v, AT(AT_INDEX(AT(p, "hostIPs"), 0), "ip"), bad_str(s->host_ips.v[0].ip),
                      "must be equal to `hostIP`");
    check_ips(v, AT(p, "hostIPs"), s->host_ips.v, s->host_ips.n, bad);
}

void check_pod_status(struct validation *v, const struct corev1_pod *pod,
                      const struct corev1_pod *old)
{
    const struct corev1_pod_status *now = &pod->status, *was = &old->status;
    const struct field_path *meta = AT(NULL, "metadata"), *p = AT(NULL, "status");
    struct str policy = old->spec.restart_policy;
    check_annotation_changes(v, AT(meta, "annotations"), &pod->metadata.annotations,
                             &old->metadata.annotations);
    check_conditions_of_pod(v, AT(meta, "conditions"), pod);
    if (!str_eq(pod->spec.node_name, old->spec.node_name))
        fault_forbidden(v, AT(p, "nodeName"), "may not be changed directly");
    if (now->nominated_node_name.n && !str_eq(now->nominated_node_name, was->nominated_node_name))
        check_format(v, AT(p, "nominatedNodeName"), now->nominated_node_name, FORMAT_DNS_SUBDOMAIN);
    check_immutable_str(v, AT(p, "qosClass"), now->qos_class, was->qos_class);
    check_transitions(v, AT(p, "containerStatuses"), now->container_statuses.v,
                      now->container_statuses.n, was->container_statuses.v,
                      was->container_statuses.n, &old->spec, policy);
    check_transitions(v, AT(p, "initContainerStatuses"), now->init_container_statuses.v,
                      now->init_container_statuses.n, was->init_container_statuses.v,
                      was->init_container_statuses.n, &old->spec, policy);
    check_transitions(v, AT(p, "ephemeralContainerStatuses"), now->ephemeral_container_statuses.v,
                      now->ephemeral_container_statuses.n, was->ephemeral_container_statuses.v,
                      was->ephemeral_container_statuses.n, &old->spec, STR("Never"));
    check_status_ips(v, p, now);
}
