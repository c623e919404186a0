/* SPDX-License-Identifier: Apache-2.0 */
/* Environment variables of containers, and references to fields and resources of the pod. */
#include "api/pod.h"

const char *const volume_field_refs[] = {"metadata.annotations", "metadata.labels", "metadata.name",
                                         "metadata.namespace",   "metadata.uid",    NULL};

static const char *const env_field_refs[] = {"metadata.name",
                                             "metadata.namespace",
                                             "metadata.uid",
                                             "spec.nodeName",
                                             "spec.serviceAccountName",
                                             "status.hostIP",
                                             "status.hostIPs",
                                             "status.podIP",
                                             "status.podIPs",
                                             NULL};

/* Names that some use of a field reference allows. */
static bool is_field_label(struct str s)
{
    static const char *const others[] = {"spec.host", "spec.restartPolicy", "spec.schedulerName",
                                         "status.phase"};
    for (size_t i = 0; env_field_refs[i]; i++)
        if (str_eqz(s, env_field_refs[i]))
            return true;
    for (size_t i = 0; volume_field_refs[i]; i++)
        if (str_eqz(s, volume_field_refs[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (str_eqz(s, others[i]))
            return true;
    return false;
}

/* "metadata.labels['key']": true, with path and key. */
static bool split_subscript(struct str s, struct str *ret_path, struct str *ret_key)
{
    ptrdiff_t open = str_find(s, STR("['"));
    if (open <= 0 || !str_chop(&s, STR("']")) || s.n < (size_t)open + 2)
        return false;
    *ret_path = str_sub(s, 0, (size_t)open);
    *ret_key = str_sub(s, (size_t)open + 2, s.n);
    return true;
}

static void check_subscript(struct validation *v, const struct field_path *p, struct str field,
                            struct str path, struct str key)
{
    bool annotation = str_eq(path, STR("metadata.annotations"));
    if (!annotation && !str_eq(path, STR("metadata.labels"))) {
        fault_invalid(v, AT(p, "fieldPath"), bad_str(field),
                      "error converting fieldPath: field label does not support subscript: %.*s",
                      STR_ARG(field));
        return;
    }
    char *lower = arena_raw(v->arena, key.n);
    for (size_t i = 0; i < key.n; i++)
        lower[i] =
            (char)(annotation && key.p[i] >= 'A' && key.p[i] <= 'Z' ? key.p[i] | 0x20 : key.p[i]);
    check_format(v, p, str_n(lower, key.n), FORMAT_LABEL_KEY);
}

void check_field_ref(struct validation *v, const struct field_path *p,
                     const struct corev1_object_field_selector *s, const char *const *fields)
{
    struct str path, key;
    if (!s->api_version.n) {
        fault_required(v, AT(p, "apiVersion"), "%s", "");
    } else if (!s->field_path.n) {
        fault_required(v, AT(p, "fieldPath"), "%s", "");
    } else if (!str_eq(s->api_version, STR("v1"))) {
        fault_invalid(v, AT(p, "fieldPath"), bad_str(s->field_path),
                      "error converting fieldPath: unsupported pod version: %.*s",
                      STR_ARG(s->api_version));
    } else if (split_subscript(s->field_path, &path, &key)) {
        check_subscript(v, p, s->field_path, path, key);
    } else if (!is_field_label(s->field_path)) {
        fault_invalid(v, AT(p, "fieldPath"), bad_str(s->field_path),
                      "error converting fieldPath: field label not supported: %.*s",
                      STR_ARG(s->field_path));
    } else {
        bool host = str_eq(s->field_path, STR("spec.host"));
        check_one_of(v, AT(p, "fieldPath"), host ? STR("spec.nodeName") : s->field_path, fields);
    }
}

/* ---- resources ---- */

static const char *const resource_refs[] = {"limits.cpu",
                                            "limits.ephemeral-storage",
                                            "limits.memory",
                                            "requests.cpu",
                                            "requests.ephemeral-storage",
                                            "requests.memory",
                                            NULL};

static bool is_hugepages_ref(struct str s)
{
    return str_has_prefix(s, STR("requests.hugepages-")) ||
           str_has_prefix(s, STR("limits.hugepages-"));
}

/* Units that a value may be divided by, and how messages call the resource. */
static void check_divisor(struct validation *v, const struct field_path *p, struct str resource,
                          const struct quantity *divisor)
{
    static const char *const units[] = {"1",   "1k",  "1M",  "1G",  "1T",  "1P", "1E",
                                        "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"};
    struct quantity zero = {STR("0")};
    if (quantity_cmp(divisor, &zero) == 0)
        return;
    if (str_has_suffix(resource, STR("s.cpu"))) {
        if (!str_eqz(divisor->text, "1m") && !str_eqz(divisor->text, "1"))
            fault_invalid(v, AT(p, "divisor"), bad_str(resource),
                          "only divisor's values 1m and 1 are supported with the cpu resource");
        return;
    }
    const char *name = str_has_suffix(resource, STR("s.memory")) ? "memory"
                       : str_has_suffix(resource, STR("s.ephemeral-storage"))
                           ? "local ephemeral storage"
                       : is_hugepages_ref(resource) ? "hugepages"
                                                    : NULL;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (!name || str_eqz(divisor->text, units[i]))
            return;
    fault_invalid(v, AT(p, "divisor"), bad_str(resource),
                  "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei "
                  "are supported with the %s resource",
                  name);
}

void check_resource_field_ref(struct validation *v, const struct field_path *p,
                              const struct corev1_resource_field_selector *s, bool in_volume)
{
    if (in_volume && !s->container_name.n)
        fault_required(v, AT(p, "containerName"), "%s", "");
    else if (!s->resource.n)
        fault_required(v, AT(p, "resource"), "%s", "");
    else if (!is_hugepages_ref(s->resource))
        check_one_of(v, AT(p, "resource"), s->resource, resource_refs);
    check_divisor(v, p, s->resource, &s->divisor);
}

/* ---- variables ---- */

static void check_key_ref(struct validation *v, const struct field_path *p, struct str name,
                          struct str key)
{
    check_format(v, AT(p, "name"), name, FORMAT_DNS_SUBDOMAIN);
    check_required_format(v, AT(p, "key"), key, FORMAT_CONFIG_KEY);
}

enum { FILE_KEY_BYTES_MAX = 128 };

static void check_file_ref(struct pod_check *c, const struct field_path *p,
                           const struct corev1_file_key_selector *s)
{
    const struct corev1_volume *volume =
        s->volume_name.n ? map_get(&c->volumes, s->volume_name) : NULL;
    if (!s->volume_name.n)
        fault_required(c->v, AT(p, "volumeName"), "%s", "");
    else if (!volume)
        fault_not_found(c->v, AT(p, "volumeName"), bad_str(s->volume_name));
    else if (!volume->empty_dir)
        fault_invalid(c->v, AT(p, "volumeName"), bad_str(s->volume_name),
                      "referenced volume must be of type emptyDir");
    if (!s->path.n)
        fault_required(c->v, AT(p, "path"), "%s", "");
    else
        check_file_path(c->v, AT(p, "path"), s->path);
    check_required_format(c->v, AT(p, "key"), s->key, FORMAT_ENV_NAME);
    if (s->key.n > FILE_KEY_BYTES_MAX)
        fault_too_long(c->v, AT(p, "key"), FILE_KEY_BYTES_MAX);
}

static void check_value_from(struct pod_check *c, const struct field_path *p,
                             const struct corev1_env_var *e)
{
    const struct corev1_env_var_source *s = e->value_from;
    int n = 0;
    if (s->field_ref && ++n)
        check_field_ref(c->v, AT(p, "fieldRef"), s->field_ref, env_field_refs);
    if (s->resource_field_ref && ++n)
        check_resource_field_ref(c->v, AT(p, "resourceFieldRef"), s->resource_field_ref, false);
    if (s->config_map_key_ref && ++n)
        check_key_ref(c->v, AT(p, "configMapKeyRef"), s->config_map_key_ref->name,
                      s->config_map_key_ref->key);
    if (s->secret_key_ref && ++n)
        check_key_ref(c->v, AT(p, "secretKeyRef"), s->secret_key_ref->name, s->secret_key_ref->key);
    if (s->file_key_ref && ++n)
        check_file_ref(c, AT(p, "fileKeyRef"), s->file_key_ref);
    if (!n)
        fault_invalid(c->v, p, bad_str(STR("")),
                      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
                      "`secretKeyRef` or `fileKeyRef`");
    else if (e->value.n)
        fault_invalid(c->v, p, bad_str(STR("")), "may not be specified when `value` is not empty");
    else if (n > 1)
        fault_invalid(c->v, p, bad_str(STR("")),
                      "may not have more than one field specified at a time");
}

void check_env(struct pod_check *c, const struct field_path *p,
               const struct corev1_container *container)
{
    for (size_t i = 0; i < container->env.n; i++) {
        const struct corev1_env_var *e = &container->env.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        check_required_format(c->v, AT(at, "name"), e->name, FORMAT_ENV_NAME);
        if (e->value_from)
            check_value_from(c, AT(at, "valueFrom"), e);
    }
}

static void check_source_name(struct validation *v, const struct field_path *p, struct str name)
{
    const char *fault = format_name_fault(FORMAT_DNS_SUBDOMAIN, name, true);
    if (!name.n)
        fault_required(v, AT(p, "name"), "%s", "");
    else if (fault)
        fault_invalid(v, AT(p, "name"), bad_str(name), "%s", fault);
}

void check_env_from(struct validation *v, const struct field_path *p,
                    const struct corev1_container *container)
{
    for (size_t i = 0; i < container->env_from.n; i++) {
        const struct corev1_env_from_source *s = &container->env_from.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        if (s->prefix.n)
            check_format(v, AT(at, "prefix"), s->prefix, FORMAT_ENV_NAME);
        if (s->config_map_ref)
            check_source_name(v, AT(at, "configMapRef"), s->config_map_ref->name);
        if (s->secret_ref)
            check_source_name(v, AT(at, "secretRef"), s->secret_ref->name);
        if (!s->config_map_ref && !s->secret_ref)
            fault_invalid(v, p, bad_str(STR("")),
                          "must specify one of: `configMapRef` or `secretRef`");
        if (s->config_map_ref && s->secret_ref)
            fault_invalid(v, p, bad_str(STR("")),
                          "may not have more than one field specified at a time");
    }
}
