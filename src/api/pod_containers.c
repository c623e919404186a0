/* SPDX-License-Identifier: Apache-2.0 */
/* Containers of pods: regular, init (sidecars among them) and ephemeral. */
#include "api/field.h"
#include "api/pod.h"
#include "api/resources.h"

/* An ephemeral container's common part is a container. */
_Static_assert(sizeof(struct corev1_container) == sizeof(struct corev1_ephemeral_container_common),
               "the same members");

static const struct corev1_container *as_container(const struct corev1_ephemeral_container *e)
{
    return (const void *)&e->ephemeral_container_common;
}

void pod_visit_containers(const struct corev1_pod_spec *spec, const struct field_path *p,
                          visit_container_fn *visit, void *arg)
{
    for (size_t i = 0; i < spec->init_containers.n; i++)
        visit(arg, AT_INDEX(AT(p, "initContainers"), i), &spec->init_containers.v[i]);
    for (size_t i = 0; i < spec->containers.n; i++)
        visit(arg, AT_INDEX(AT(p, "containers"), i), &spec->containers.v[i]);
    for (size_t i = 0; i < spec->ephemeral_containers.n; i++)
        visit(arg, AT_INDEX(AT(p, "ephemeralContainers"), i),
              as_container(&spec->ephemeral_containers.v[i]));
}

/* ---- ports ---- */

static void check_ports(struct validation *v, const struct field_path *p,
                        const struct corev1_container *c)
{
    CLEANUP(map_fini) struct map names = MAP_INIT_BORROWED;
    for (size_t i = 0; i < c->ports.n; i++) {
        const struct corev1_container_port *port = &c->ports.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        if (port->name.n && check_format(v, AT(at, "name"), port->name, FORMAT_PORT_NAME) &&
            seen_before(&names, port->name))
            fault_duplicate(v, AT(at, "name"), bad_str(port->name));
        if (!port->container_port)
            fault_required(v, AT(at, "containerPort"), "%s", "");
        else
            check_port(v, AT(at, "containerPort"), port->container_port);
        if (port->host_port)
            check_port(v, AT(at, "hostPort"), port->host_port);
        check_schema_enum_required(v, at, &corev1_container_port_desc, "protocol", port->protocol);
    }
}

/* Two containers cannot both have a port of the host. */
static void take_host_ports(struct validation *v, const struct field_path *p,
                            const struct corev1_container *c, struct map *taken)
{
    for (size_t i = 0; i < c->ports.n; i++) {
        const struct corev1_container_port *port = &c->ports.v[i];
        if (!port->host_port)
            continue;
        struct str key = arena_fmt(v->arena, "%.*s/%.*s/%d", STR_ARG(port->protocol),
                                   STR_ARG(port->host_ip), port->host_port);
        if (seen_before(taken, key))
            fault_duplicate(v, AT(AT_INDEX(AT(p, "ports"), i), "hostPort"), bad_str(key));
    }
}

/* ---- probes and hooks ---- */

static void check_exec(struct validation *v, const struct field_path *p,
                       const struct corev1_exec_action *e)
{
    if (!e->command.n)
        fault_required(v, AT(p, "command"), "%s", "");
}

static void check_http_get(struct validation *v, const struct field_path *p,
                           const struct corev1_http_get_action *h)
{
    if (!h->path.n)
        fault_required(v, AT(p, "path"), "%s", "");
    check_port_or_name(v, AT(p, "port"), &h->port);
    check_schema_enum(v, p, &corev1_http_get_action_desc, "scheme",
                      h->scheme.p ? h->scheme : STR(""));
    LIST_EACH (header, &h->http_headers)
        check_format(v, AT(p, "httpHeaders"), header->name, FORMAT_HTTP_HEADER);
}

/* What a probe or a lifecycle hook does; members that one of them lacks are NULL. */
struct handler {
    const struct corev1_exec_action *exec;
    const struct corev1_http_get_action *http_get;
    const struct corev1_tcp_socket_action *tcp_socket;
    const struct corev1_grpc_action *grpc;
    const struct corev1_sleep_action *sleep;
};

static void check_sleep(struct validation *v, const struct field_path *p,
                        const struct corev1_sleep_action *s, const int64_t *grace)
{
    if (grace && (s->seconds < 0 || s->seconds > *grace))
        fault_invalid(v, p, bad_int(s->seconds),
                      "must be non-negative and less than terminationGracePeriodSeconds (%lld)",
                      (long long)*grace);
}

/* Is this the first action of the handler? A further one is a fault. */
static bool is_first(struct validation *v, const struct field_path *p, const void *action, int *n)
{
    if (!action)
        return false;
    if (++*n == 1)
        return true;
    fault_forbidden(v, p, "may not specify more than 1 handler type");
    return false;
}

static void check_handler(struct validation *v, const struct field_path *p, const struct handler *h,
                          const int64_t *grace)
{
    int n = 0;
    if (is_first(v, AT(p, "exec"), h->exec, &n))
        check_exec(v, AT(p, "exec"), h->exec);
    if (is_first(v, AT(p, "httpGet"), h->http_get, &n))
        check_http_get(v, AT(p, "httpGet"), h->http_get);
    if (is_first(v, AT(p, "tcpSocket"), h->tcp_socket, &n))
        check_port_or_name(v, AT(AT(p, "tcpSocket"), "port"), &h->tcp_socket->port);
    if (is_first(v, AT(p, "grpc"), h->grpc, &n))
        check_port(v, AT(AT(p, "grpc"), "port"), h->grpc->port);
    if (is_first(v, AT(p, "sleep"), h->sleep, &n))
        check_sleep(v, AT(p, "sleep"), h->sleep, grace);
    if (!n)
        fault_required(v, p, "must specify a handler type");
}

enum probe_kind { LIVENESS, READINESS, STARTUP };

static void check_probe(struct pod_check *c, const struct field_path *p,
                        const struct corev1_probe *probe, enum probe_kind kind)
{
    struct validation *v = c->v;
    if (!probe)
        return;
    struct handler h = {probe->exec, probe->http_get, probe->tcp_socket, probe->grpc, NULL};
    check_handler(v, p, &h, c->spec->termination_grace_period_seconds);
    check_nonnegative(v, AT(p, "initialDelaySeconds"), probe->initial_delay_seconds);
    check_nonnegative(v, AT(p, "timeoutSeconds"), probe->timeout_seconds);
    check_nonnegative(v, AT(p, "periodSeconds"), probe->period_seconds);
    check_nonnegative(v, AT(p, "successThreshold"), probe->success_threshold);
    check_nonnegative(v, AT(p, "failureThreshold"), probe->failure_threshold);
    const int64_t *grace = probe->termination_grace_period_seconds;
    if (grace && *grace <= 0)
        fault_invalid(v, AT(p, "terminationGracePeriodSeconds"), bad_int(*grace),
                      "must be greater than 0");
    if (kind != READINESS && probe->success_threshold != 1)
        fault_invalid(v, AT(p, "successThreshold"), bad_int(probe->success_threshold), "must be 1");
    if (kind == READINESS && grace)
        fault_invalid(v, AT(p, "terminationGracePeriodSeconds"), bad_int(*grace),
                      "must not be set for readinessProbes");
}

static void check_lifecycle_handler(struct pod_check *c, const struct field_path *p,
                                    const struct corev1_lifecycle_handler *l)
{
    if (!l)
        return;
    struct handler h = {l->exec, l->http_get, l->tcp_socket, NULL, l->sleep};
    check_handler(c->v, p, &h, c->spec->termination_grace_period_seconds);
}

static void check_stop_signal(struct pod_check *c, const struct field_path *p, struct str signal)
{
    static const char *const windows[] = {"SIGKILL", "SIGTERM", NULL};
    if (!signal.p)
        return;
    if (!c->spec->os)
        fault_forbidden(c->v, AT(p, "stopSignal"),
                        "may not be set for containers with empty "
                        "`spec.os.name`");
    else if (str_eq(c->spec->os->name, STR("windows")))
        check_one_of(c->v, AT(p, "stopSignal"), signal, windows);
    else
        check_schema_enum(c->v, p, &corev1_lifecycle_desc, "stopSignal", signal);
}

static void check_lifecycle(struct pod_check *c, const struct field_path *p,
                            const struct corev1_container *container)
{
    const struct corev1_lifecycle *l = container->lifecycle;
    if (l) {
        check_lifecycle_handler(c, AT(AT(p, "lifecycle"), "postStart"), l->post_start);
        check_lifecycle_handler(c, AT(AT(p, "lifecycle"), "preStop"), l->pre_stop);
        check_stop_signal(c, AT(p, "lifecycle"), l->stop_signal);
    }
    check_probe(c, AT(p, "livenessProbe"), container->liveness_probe, LIVENESS);
    check_probe(c, AT(p, "readinessProbe"), container->readiness_probe, READINESS);
    check_probe(c, AT(p, "startupProbe"), container->startup_probe, STARTUP);
}

/* ---- restart and resize policies ---- */

static void check_resize_policy(struct pod_check *c, const struct field_path *p,
                                const struct corev1_container *container)
{
    static const char *const resources[] = {"cpu", "memory", NULL};
    static const char *const policies[] = {"NotRequired", "RestartContainer", NULL};
    CLEANUP(map_fini) struct map names = MAP_INIT_BORROWED;
    for (size_t i = 0; i < container->resize_policy.n; i++) {
        const struct corev1_container_resize_policy *r = &container->resize_policy.v[i];
        if (seen_before(&names, r->resource_name))
            fault_duplicate(c->v, AT_INDEX(p, i), bad_str(r->resource_name));
        check_enum(c->v, p, r->resource_name, resources);
        check_enum(c->v, p, r->restart_policy, policies);
        if (str_eq(c->spec->restart_policy, STR("Never")) &&
            !str_eq(r->restart_policy, STR("NotRequired")))
            fault_invalid(c->v, p, bad_str(r->restart_policy),
                          "must be 'NotRequired' when `restartPolicy` is 'Never'");
    }
}

enum { RESTART_RULES_MAX = 20, RESTART_RULE_VALUES_MAX = 255 };

static void check_exit_codes(struct validation *v, const struct field_path *p,
                             const struct corev1_container_restart_rule_on_exit_codes *e)
{
    static const char *const operators[] = {"In", "NotIn", NULL};
    check_enum(v, AT(p, "operator"), e->operator_, operators);
    if (!e->values.n)
        fault_invalid(v, AT(p, "values"), bad_text(STR("[]")), "at least one value is required");
    if (e->values.n > RESTART_RULE_VALUES_MAX)
        fault_too_many(v, AT(p, "values"), (int64_t)e->values.n, RESTART_RULE_VALUES_MAX);
    for (size_t i = 0; i < MIN(e->values.n, (size_t)RESTART_RULE_VALUES_MAX); i++)
        for (size_t j = 0; j < i; j++)
            if (e->values.v[i] == e->values.v[j]) {
                fault_duplicate(v, AT_INDEX(AT(p, "values"), i), bad_int(e->values.v[i]));
                break;
            }
}

static void check_restart_rules(struct validation *v, const struct field_path *p,
                                const struct corev1_container *c)
{
    static const char *const actions[] = {"Restart", "RestartAllContainers", NULL};
    const struct field_path *rules = AT(p, "restartPolicyRules");
    if (c->restart_policy_rules.n && !c->restart_policy.p)
        fault_required(v, AT(p, "restartPolicy"),
                       "must specify restartPolicy when "
                       "restart rules are used");
    if (c->restart_policy_rules.n > RESTART_RULES_MAX)
        fault_too_long(v, rules, RESTART_RULES_MAX);
    for (size_t i = 0; i < c->restart_policy_rules.n; i++) {
        const struct corev1_container_restart_rule *r = &c->restart_policy_rules.v[i];
        const struct field_path *at = AT_INDEX(rules, i);
        check_enum(v, AT(at, "action"), r->action, actions);
        if (!r->exit_codes)
            fault_required(v, AT(at, "exitCodes"), "must be specified");
        else
            check_exit_codes(v, AT(at, "exitCodes"), r->exit_codes);
    }
}

static void check_restart_policy(struct validation *v, const struct field_path *p,
                                 const struct corev1_container *c)
{
    static const char *const policies[] = {"Always", "Never", "OnFailure", NULL};
    if (c->restart_policy.p)
        check_one_of(v, AT(p, "restartPolicy"), c->restart_policy, policies);
    check_restart_rules(v, p, c);
}

/* ---- what all containers have ---- */

static void check_common(struct pod_check *c, const struct field_path *p,
                         const struct corev1_container *container)
{
    static const char *const message_policies[] = {"File", "FallbackToLogsOnError", NULL};
    struct validation *v = c->v;
    check_required_format(v, AT(p, "name"), container->name, FORMAT_DNS_LABEL);
    if (!container->image.n)
        fault_required(v, AT(p, "image"), "%s", "");
    check_enum(v, AT(p, "terminationMessagePolicy"), container->termination_message_policy,
               message_policies);
    check_ports(v, AT(p, "ports"), container);
    check_env(c, AT(p, "env"), container);
    check_env_from(v, AT(p, "envFrom"), container);
    check_volume_mounts(c, p, container);
    check_schema_enum_required(v, p, &corev1_container_desc, "imagePullPolicy",
                               container->image_pull_policy);
    check_resource_requirements(v, AT(p, "resources"), &container->resources,
                                check_container_resource_name, &c->claims);
    check_resize_policy(c, AT(p, "resizePolicy"), container);
    if (container->security_context)
        check_container_security(c, AT(p, "securityContext"), container->security_context);
}

/* Checks that templates are spared, as they always were. */
static void check_image_blanks(struct pod_check *c, const struct field_path *p,
                               const struct corev1_container *container)
{
    if (c->meta && str_trim(container->image).n != container->image.n)
        fault_invalid(c->v, AT(p, "image"), bad_str(container->image),
                      "must not have leading or trailing whitespace");
}

void check_containers(struct pod_check *c, const struct field_path *p)
{
    CLEANUP(map_fini) struct map names = MAP_INIT_BORROWED;
    CLEANUP(map_fini) struct map ports = MAP_INIT_BORROWED;
    if (!c->spec->containers.n)
        fault_required(c->v, p, "%s", "");
    for (size_t i = 0; i < c->spec->containers.n; i++) {
        const struct corev1_container *container = &c->spec->containers.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        check_common(c, at, container);
        if (seen_before(&names, container->name))
            fault_duplicate(c->v, AT(at, "name"), bad_str(container->name));
        check_lifecycle(c, at, container);
        check_restart_policy(c->v, at, container);
        check_image_blanks(c, at, container);
    }
    for (size_t i = 0; i < c->spec->containers.n; i++)
        take_host_ports(c->v, AT_INDEX(p, i), &c->spec->containers.v[i], &ports);
}

static void check_plain_init(struct validation *v, const struct field_path *p,
                             const struct corev1_container *c)
{
    const struct {
        const char *name;
        const void *value;
    } fields[] = {
        {"lifecycle", c->lifecycle},
        {"livenessProbe", c->liveness_probe},
        {"readinessProbe", c->readiness_probe},
        {"startupProbe", c->startup_probe},
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (fields[i].value)
            fault_forbidden(v, AT(p, fields[i].name),
                            "may not be set for init containers without restartPolicy=Always");
}

void check_init_containers(struct pod_check *c, const struct field_path *p)
{
    CLEANUP(map_fini) struct map names = MAP_INIT_BORROWED;
    LIST_EACH (regular, &c->spec->containers)
        (void)seen_before(&names, regular->name);
    for (size_t i = 0; i < c->spec->init_containers.n; i++) {
        CLEANUP(map_fini) struct map ports = MAP_INIT_BORROWED;
        const struct corev1_container *container = &c->spec->init_containers.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        check_common(c, at, container);
        check_restart_policy(c->v, at, container);
        if (container->name.n && seen_before(&names, container->name))
            fault_duplicate(c->v, AT(at, "name"), bad_str(container->name));
        /* They run one by one: their ports do not meet. */
        take_host_ports(c->v, AT_INDEX(p, 0), container, &ports);
        if (container_is_sidecar(container))
            check_lifecycle(c, at, container);
        else
            check_plain_init(c->v, at, container);
        check_image_blanks(c, at, container);
    }
}

/* ---- ephemeral containers ---- */

static void check_ephemeral_fields(struct validation *v, const struct field_path *p,
                                   const struct corev1_container *c)
{
    static const char text[] = "cannot be set for an Ephemeral Container";
    const struct {
        const char *name;
        bool set;
    } fields[] = {
        {"ports", c->ports.n},
        {"resources", !desc_is_zero(&corev1_resource_requirements_desc, &c->resources)},
        {"resizePolicy", c->resize_policy.n},
        {"restartPolicy", c->restart_policy.p},
        {"restartPolicyRules", c->restart_policy_rules.n},
        {"livenessProbe", c->liveness_probe},
        {"readinessProbe", c->readiness_probe},
        {"startupProbe", c->startup_probe},
        {"lifecycle", c->lifecycle},
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (fields[i].set)
            fault_forbidden(v, AT(p, fields[i].name), text);
    for (size_t i = 0; i < c->volume_mounts.n; i++) {
        const struct field_path *at = AT_INDEX(AT(p, "volumeMounts"), i);
        if (c->volume_mounts.v[i].sub_path.n)
            fault_forbidden(v, AT(at, "subPath"), text);
        if (c->volume_mounts.v[i].sub_path_expr.n)
            fault_forbidden(v, AT(at, "subPathExpr"), text);
    }
}

void check_ephemeral_containers(struct pod_check *c, const struct field_path *p)
{
    CLEANUP(map_fini) struct map others = MAP_INIT_BORROWED;
    CLEANUP(map_fini) struct map names = MAP_INIT_BORROWED;
    if (!c->spec->ephemeral_containers.n)
        return;
    LIST_EACH (regular, &c->spec->containers)
        (void)seen_before(&others, regular->name);
    LIST_EACH (init, &c->spec->init_containers)
        (void)seen_before(&others, init->name);
    for (size_t i = 0; i < c->spec->ephemeral_containers.n; i++) {
        const struct corev1_ephemeral_container *e = &c->spec->ephemeral_containers.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        check_common(c, at, as_container(e));
        if (str_trim(e->image).n != e->image.n)
            fault_invalid(c->v, AT(at, "image"), bad_str(e->image),
                          "must not have leading or trailing whitespace");
        if ((e->name.n && map_has(&others, e->name)) || seen_before(&names, e->name))
            fault_duplicate(c->v, AT(at, "name"), bad_str(e->name));
        if (e->target_container_name.n && !map_has(&others, e->target_container_name))
            fault_not_found(c->v, AT(at, "targetContainerName"), bad_str(e->target_container_name));
        check_ephemeral_fields(c->v, at, as_container(e));
    }
}
