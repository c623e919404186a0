/* SPDX-License-Identifier: Apache-2.0 */
/* Annotations of pods that the API checks: mirror pods, deletion cost, and the old way to ask for
 * seccomp and AppArmor profiles, which must agree with the fields. */
#include "api/pod.h"

#define SECCOMP_POD       STR("seccomp.security.alpha.kubernetes.io/pod")
#define SECCOMP_CONTAINER STR("container.seccomp.security.alpha.kubernetes.io/")
#define APPARMOR          STR("container.apparmor.security.beta.kubernetes.io/")

/* The value, with the part after "localhost/" when it is that. */
static bool is_localhost(struct str value, struct str *ret_name)
{
    *ret_name = value;
    return str_skip(ret_name, STR("localhost/"));
}

static void check_seccomp_text(struct validation *v, const struct field_path *p, struct str value)
{
    struct str name;
    if (str_eq(value, STR("runtime/default")) || str_eq(value, STR("docker/default")) ||
        str_eq(value, STR("unconfined")))
        return;
    if (is_localhost(value, &name))
        check_relative_path(v, p, name);
    else
        fault_invalid(v, p, bad_str(value), "must be a valid seccomp profile");
}

struct container_search {
    struct str name;
    bool found;
};

static void search_container(void *arg, const struct field_path *p,
                             const struct corev1_container *c)
{
    struct container_search *s = arg;
    s->found |= str_eq(c->name, s->name);
}

static void check_apparmor_text(struct validation *v, const struct field_path *p,
                                const struct str_pair *a, const struct corev1_pod_spec *spec)
{
    struct container_search s = {.name = str_sub(a->key, APPARMOR.n, a->key.n)};
    struct str name;
    pod_visit_containers(spec, NULL, search_container, &s);
    if (!s.found)
        fault_invalid(v, AT_KEY(p, a->key), bad_str(s.name), "container not found");
    if (a->value.n && !str_eq(a->value, STR("runtime/default")) &&
        !str_eq(a->value, STR("unconfined")) && !is_localhost(a->value, &name))
        fault_invalid(v, AT_KEY(p, a->key), bad_str(a->value),
                      "invalid AppArmor profile name: %.*s", STR_ARG(go_quote(v->arena, a->value)));
}

void check_pod_annotations(struct validation *v, const struct field_path *p,
                           const struct metav1_object_meta *meta,
                           const struct corev1_pod_spec *spec)
{
    struct str mirror = str_map_get(&meta->annotations, STR("kubernetes.io/config.mirror"));
    struct str cost_key = STR("controller.kubernetes.io/pod-deletion-cost");
    struct str cost = str_map_get(&meta->annotations, cost_key);
    int32_t number;
    if (mirror.p && !spec->node_name.n)
        fault_invalid(v, AT_KEY(p, STR("kubernetes.io/config.mirror")), bad_str(mirror),
                      "must set spec.nodeName if mirror pod annotation is set");
    /* A sign is fine, leading zeros are not. */
    if (cost.p && (!str_to_i32(cost, &number) || (cost.n > 1 && cost.p[0] == '0')))
        fault_invalid(v, AT_KEY(p, cost_key), bad_str(cost), "must be a 32bit integer");
    LIST_EACH (a, &meta->annotations) {
        if (str_eq(a->key, SECCOMP_POD) || str_has_prefix(a->key, SECCOMP_CONTAINER))
            check_seccomp_text(v, AT(p, arena_z(v->arena, a->key)), a->value);
        else if (str_has_prefix(a->key, APPARMOR))
            check_apparmor_text(v, p, a, spec);
    }
}

/* ---- do annotations and fields agree? ---- */

static void match_seccomp(struct validation *v, const struct field_path *p, struct str value,
                          const struct corev1_seccomp_profile *s)
{
    struct str name;
    bool local = is_localhost(value, &name);
    bool ok = str_eq(s->type, STR("Unconfined")) ? str_eq(value, STR("unconfined"))
              : str_eq(s->type, STR("RuntimeDefault"))
                  ? str_eq(value, STR("runtime/default")) || str_eq(value, STR("docker/default"))
              : str_eq(s->type, STR("Localhost")) ? local
                                                  : true;
    if (!ok)
        fault_forbidden(v, AT(p, "type"), "seccomp type in annotation and field must match");
    else if (str_eq(s->type, STR("Localhost")) &&
             (!s->localhost_profile.p || !str_eq(s->localhost_profile, name)))
        fault_forbidden(v, AT(p, "localhostProfile"),
                        "seccomp profile in annotation and field must match");
}

static void match_apparmor(struct validation *v, const struct field_path *p, struct str value,
                           const struct corev1_app_armor_profile *a)
{
    struct str name;
    bool local = is_localhost(value, &name);
    bool ok = str_eq(a->type, STR("Unconfined"))       ? str_eq(value, STR("unconfined"))
              : str_eq(a->type, STR("RuntimeDefault")) ? str_eq(value, STR("runtime/default"))
              : str_eq(a->type, STR("Localhost"))      ? local
                                                       : true;
    if (!ok)
        fault_forbidden(v, AT(p, "type"), "apparmor type in annotation and field must match");
    else if (str_eq(a->type, STR("Localhost")) &&
             (!a->localhost_profile.p || !str_eq(a->localhost_profile, name)))
        fault_forbidden(v, AT(p, "localhostProfile"),
                        "apparmor profile in annotation and field must match");
}

struct profile_check {
    struct validation *v;
    const struct metav1_object_meta *meta;
    const struct corev1_pod_spec *spec;
};

static struct str container_annotation(struct profile_check *c, struct str prefix, struct str name)
{
    return str_map_get(&c->meta->annotations, arena_cat(c->v->arena, prefix, name));
}

static void check_profiles(void *arg, const struct field_path *p, const struct corev1_container *c)
{
    struct profile_check *check = arg;
    const struct field_path *context = AT(p, "securityContext");
    const struct corev1_security_context *s = c->security_context;
    const struct corev1_pod_security_context *pod = check->spec->security_context;
    const struct corev1_app_armor_profile *apparmor = s ? s->app_armor_profile : NULL;
    if (s && s->seccomp_profile) {
        struct str value = container_annotation(check, SECCOMP_CONTAINER, c->name);
        if (value.p)
            match_seccomp(check->v, AT(context, "seccompProfile"), value, s->seccomp_profile);
    }
    if (!apparmor && pod)
        apparmor = pod->app_armor_profile;
    if (!apparmor || (check->spec->os && str_eq(check->spec->os->name, STR("windows"))))
        return;
    struct str value = container_annotation(check, APPARMOR, c->name);
    if (value.p)
        match_apparmor(check->v, AT(context, "appArmorProfile"), value, apparmor);
}

void check_profile_annotations(struct validation *v, const struct field_path *spec_path,
                               const struct metav1_object_meta *meta,
                               const struct corev1_pod_spec *spec)
{
    struct profile_check check = {v, meta, spec};
    struct str value = str_map_get(&meta->annotations, SECCOMP_POD);
    if (!meta->annotations.n)
        return;
    if (value.p && spec->security_context && spec->security_context->seccomp_profile)
        match_seccomp(v, AT(AT(spec_path, "securityContext"), "seccompProfile"), value,
                      spec->security_context->seccomp_profile);
    pod_visit_containers(spec, spec_path, check_profiles, &check);
}
