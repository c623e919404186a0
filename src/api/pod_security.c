/* SPDX-License-Identifier: Apache-2.0 */
/* Security contexts of pods and containers. */
#include "api/pod.h"

static void check_id(struct validation *v, const struct field_path *p, const int64_t *id)
{
    if (id)
        check_range(v, p, *id, 0, INT32_MAX);
}

/* ---- profiles ---- */

static void check_seccomp(struct validation *v, const struct field_path *p,
                          const struct corev1_seccomp_profile *s)
{
    static const char *const types[] = {"Localhost", "RuntimeDefault", "Unconfined", NULL};
    const struct field_path *profile = AT(p, "localhostProfile");
    if (!s)
        return;
    if (!s->type.n)
        fault_required(v, AT(p, "type"), "type is required when seccompProfile is set");
    else
        check_one_of(v, AT(p, "type"), s->type, types);
    if (!str_eq(s->type, STR("Localhost"))) {
        if (s->localhost_profile.p)
            fault_invalid(v, profile, bad_obj(&corev1_seccomp_profile_desc, s),
                          "can only be set when seccomp type is Localhost");
    } else if (!s->localhost_profile.p) {
        fault_required(v, profile, "must be set when seccomp type is Localhost");
    } else {
        check_relative_path(v, profile, s->localhost_profile);
    }
}

enum { PROFILE_BYTES_MAX = 4095 };

static void check_apparmor_name(struct validation *v, const struct field_path *p, struct str name)
{
    struct str trimmed = str_trim(name);
    if (trimmed.n != name.n)
        fault_invalid(v, p, bad_str(name), "must not be padded with whitespace");
    else if (!name.n)
        fault_required(v, p, "must be set when AppArmor type is Localhost");
    if (name.n > PROFILE_BYTES_MAX)
        fault_too_long(v, p, PROFILE_BYTES_MAX);
}

static void check_apparmor(struct validation *v, const struct field_path *p,
                           const struct corev1_app_armor_profile *a)
{
    static const char *const types[] = {"Localhost", "RuntimeDefault", "Unconfined", NULL};
    const struct field_path *profile = AT(p, "localhostProfile");
    if (!a)
        return;
    if (str_eq(a->type, STR("Localhost"))) {
        check_apparmor_name(v, profile, a->localhost_profile);
    } else if (!a->type.n) {
        fault_required(v, AT(p, "type"), "type is required when appArmorProfile is set");
    } else if (check_one_of(v, AT(p, "type"), a->type, types) && a->localhost_profile.p) {
        fault_invalid(v, profile, bad_str(a->localhost_profile),
                      "can only be set when AppArmor type is Localhost");
    }
}

/* ---- Windows ---- */

enum { GMSA_BYTES_MAX = 64 << 10, WINDOWS_DOMAIN_MAX = 256, WINDOWS_USER_MAX = 104 };

static bool has_any(struct str s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] && strchr(set, s.p[i]))
            return true;
    return false;
}

static bool has_only(struct str s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || !strchr(set, s.p[i]))
            return false;
    return s.n > 0;
}

static bool is_netbios_name(struct str s)
{
    return s.n >= 1 && s.n <= 15 && s.p[0] != '.' && !has_any(s, "\\/:*?\"<>|");
}

/* Labels of letters and digits of both cases, '-' inside. */
static bool is_windows_dns_name(struct str s)
{
    struct str label;
    while (str_next(&s, '.', &label)) {
        if (!label.n || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++)
            if (!((label.p[i] | 0x20) >= 'a' && (label.p[i] | 0x20) <= 'z') &&
                !(label.p[i] >= '0' && label.p[i] <= '9') && label.p[i] != '-')
                return false;
    }
    return true;
}

static const char *windows_user_fault(struct str user)
{
    if (!user.n)
        return "runAsUserName's User cannot be empty";
    if (user.n > WINDOWS_USER_MAX)
        return "runAsUserName's User length must not be longer than 104 characters";
    if (has_only(user, ". "))
        return "runAsUserName's User cannot contain only periods or spaces";
    if (has_any(user, "\"/\\:;|=,+*?<>@[]"))
        return "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]";
    return NULL;
}

static const char *windows_name_fault(struct str name)
{
    struct str domain, user;
    if (!name.n)
        return "runAsUserName cannot be an empty string";
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] < ' ' || name.p[i] == 0x7f)
            return "runAsUserName cannot contain control characters";
    if (!str_cut(name, '\\', &domain, &user))
        return windows_user_fault(name);
    if (str_index(user, '\\') >= 0)
        return "runAsUserName cannot contain more than one backslash";
    if (domain.n >= WINDOWS_DOMAIN_MAX)
        return "runAsUserName's Domain length must be under 256 characters";
    if (!is_netbios_name(domain) && !is_windows_dns_name(domain))
        return "runAsUserName's Domain doesn't match the NetBios nor the DNS format";
    return windows_user_fault(user);
}

static void check_windows_options(struct validation *v, const struct field_path *p,
                                  const struct corev1_windows_security_context_options *w)
{
    if (!w)
        return;
    if (w->gmsa_credential_spec_name.p)
        check_format(v, AT(p, "gmsaCredentialSpecName"), w->gmsa_credential_spec_name,
                     FORMAT_DNS_SUBDOMAIN);
    struct str spec = w->gmsa_credential_spec;
    if (spec.p && (!spec.n || spec.n > GMSA_BYTES_MAX))
        fault_invalid(v, AT(p, "gmsaCredentialSpec"), bad_str(spec), "%s",
                      spec.n ? "gmsaCredentialSpec size must be under 64 KiB"
                             : "gmsaCredentialSpec cannot be an empty string");
    const char *fault = w->run_as_user_name.p ? windows_name_fault(w->run_as_user_name) : NULL;
    if (fault)
        fault_invalid(v, AT(p, "runAsUserName"), bad_str(w->run_as_user_name), "%s", fault);
}

struct host_process {
    struct pod_check *check;
    const bool *of_pod;
    size_t containers, of_host;
};

static void count_host_process(void *arg, const struct field_path *p,
                               const struct corev1_container *c)
{
    struct host_process *h = arg;
    const bool *own = c->security_context && c->security_context->windows_options
                          ? c->security_context->windows_options->host_process
                          : NULL;
    h->containers++;
    if (h->of_pod && own && *h->of_pod != *own)
        fault_invalid(h->check->v,
                      AT(AT(AT(p, "securityContext"), "windowsOptions"), "hostProcess"),
                      bad_bool(*own),
                      "pod hostProcess value must be identical if both are "
                      "specified, was %s",
                      *h->of_pod ? "true" : "false");
    h->of_host += own ? *own : h->of_pod && *h->of_pod;
}

void check_windows_host_process(struct pod_check *c, const struct field_path *p)
{
    const struct corev1_pod_security_context *s = c->spec->security_context;
    struct host_process h = {.check = c};
    if (s && s->windows_options)
        h.of_pod = s->windows_options->host_process;
    pod_visit_containers(c->spec, p, count_host_process, &h);
    if (!h.of_host)
        return;
    if (h.of_host != h.containers)
        fault_invalid(c->v, p, bad_str(STR("")),
                      "If pod contains any hostProcess containers then all containers must be "
                      "HostProcess containers");
    if (!c->spec->host_network)
        fault_invalid(c->v, AT(p, "hostNetwork"), bad_bool(false),
                      "hostNetwork must be true if pod contains any hostProcess containers");
}

/* ---- containers ---- */

static void check_escalation(struct validation *v, const struct field_path *p,
                             const struct corev1_security_context *s)
{
    if (!s->allow_privilege_escalation || *s->allow_privilege_escalation)
        return;
    if (s->privileged && *s->privileged)
        fault_invalid(v, p, bad_obj(&corev1_security_context_desc, s),
                      "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    if (s->capabilities && str_list_has(&s->capabilities->add, STR("CAP_SYS_ADMIN")))
        fault_invalid(v, p, bad_obj(&corev1_security_context_desc, s),
                      "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                      "CAP_SYS_ADMIN");
}

void check_container_security(struct pod_check *c, const struct field_path *p,
                              const struct corev1_security_context *s)
{
    static const char *const proc_mounts[] = {"Default", "Unmasked", NULL};
    struct validation *v = c->v;
    check_id(v, AT(p, "runAsUser"), s->run_as_user);
    check_id(v, AT(p, "runAsGroup"), s->run_as_group);
    if (s->proc_mount.p) {
        check_one_of(v, AT(p, "procMount"), s->proc_mount, proc_mounts);
        if (c->host_users && str_eq(s->proc_mount, STR("Unmasked")))
            fault_invalid(v, AT(p, "procMount"), bad_str(s->proc_mount),
                          "`hostUsers` must be false to use `Unmasked`");
    }
    check_seccomp(v, AT(p, "seccompProfile"), s->seccomp_profile);
    check_escalation(v, p, s);
    check_windows_options(v, AT(p, "windowsOptions"), s->windows_options);
    check_apparmor(v, AT(p, "appArmorProfile"), s->app_armor_profile);
}

/* ---- pods ---- */

enum { SYSCTL_NAME_MAX = 253 };

/* Segments of [a-z0-9] with '-' and '_' inside, joined by '.' or '/'. */
static bool is_sysctl_name(struct str s)
{
    bool inside = false; /* the last character may end a segment */
    if (s.n > SYSCTL_NAME_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool start = i == 0 || s.p[i - 1] == '.' || s.p[i - 1] == '/';
        if (!alnum && (start || !(c == '-' || c == '_' || ((c == '.' || c == '/') && inside))))
            return false;
        inside = alnum;
    }
    return inside;
}

/* Kernel parameters that belong to a network or an IPC namespace. */
static bool is_net_sysctl(struct str s)
{
    return str_has_prefix(s, STR("net.")) || str_has_prefix(s, STR("net/"));
}

static bool is_ipc_sysctl(struct str s)
{
    static const char *const prefixes[] = {"kernel.shm", "kernel.msg", "fs.mqueue.",
                                           "kernel/shm", "kernel/msg", "fs/mqueue/"};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (str_has_prefix(s, str_z(prefixes[i])))
            return true;
    return str_eq(s, STR("kernel.sem")) || str_eq(s, STR("kernel/sem"));
}

static void check_sysctls(struct pod_check *c, const struct field_path *p)
{
    CLEANUP(map_fini) struct map names = MAP_INIT_BORROWED;
    const struct corev1_pod_security_context *s = c->spec->security_context;
    for (size_t i = 0; i < s->sysctls.n; i++) {
        struct str name = s->sysctls.v[i].name;
        const struct field_path *at = AT(AT_INDEX(p, i), "name");
        if (!name.n)
            fault_required(c->v, at, "%s", "");
        else if (!is_sysctl_name(name))
            fault_invalid(c->v, at, bad_str(name),
                          "must have at most 253 characters and match regex "
                          "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
                          "$");
        else if (seen_before(&names, name))
            fault_duplicate(c->v, at, bad_str(name));
        if (c->spec->host_network && is_net_sysctl(name))
            fault_invalid(c->v, at, bad_str(name),
                          "may not be specified when 'hostNetwork' is true");
        if (c->spec->host_ipc && is_ipc_sysctl(name))
            fault_invalid(c->v, at, bad_str(name), "may not be specified when 'hostIPC' is true");
    }
}

static void check_host_users(struct pod_check *c, const struct field_path *p)
{
    static const char text[] = "when `pod.Spec.HostUsers` is false";
    if (c->host_users)
        return;
    if (c->spec->host_network)
        fault_forbidden(c->v, AT(p, "hostNetwork"), text);
    if (c->spec->host_pid)
        fault_forbidden(c->v, AT(p, "HostPID"), text);
    if (c->spec->host_ipc)
        fault_forbidden(c->v, AT(p, "HostIPC"), text);
}

void check_pod_security(struct pod_check *c, const struct field_path *spec_path)
{
    static const char *const change_policies[] = {"MountOption", "Recursive", NULL};
    const struct corev1_pod_security_context *s = c->spec->security_context;
    const struct desc *d = &corev1_pod_security_context_desc;
    const struct field_path *p = AT(spec_path, "securityContext");
    struct validation *v = c->v;
    check_host_users(c, spec_path);
    /* Upstream's internal type has this field in the security context, and says so. */
    if (c->spec->share_process_namespace && *c->spec->share_process_namespace && c->spec->host_pid)
        fault_invalid(v, AT(p, "shareProcessNamespace"), bad_bool(true),
                      "ShareProcessNamespace and HostPID cannot both be enabled");
    if (!s)
        return;
    check_id(v, AT(p, "fsGroup"), s->fs_group);
    check_id(v, AT(p, "runAsUser"), s->run_as_user);
    check_id(v, AT(p, "runAsGroup"), s->run_as_group);
    for (size_t i = 0; i < s->supplemental_groups.n; i++)
        check_id(v, AT_INDEX(AT(p, "supplementalGroups"), i), &s->supplemental_groups.v[i]);
    check_sysctls(c, AT(p, "sysctls"));
    check_schema_enum(v, p, d, "fsGroupChangePolicy", s->fs_group_change_policy);
    check_seccomp(v, AT(p, "seccompProfile"), s->seccomp_profile);
    check_windows_options(v, AT(p, "windowsOptions"), s->windows_options);
    check_apparmor(v, AT(p, "appArmorProfile"), s->app_armor_profile);
    check_schema_enum(v, p, d, "supplementalGroupsPolicy", s->supplemental_groups_policy);
    if (s->se_linux_change_policy.p)
        check_one_of(v, AT(p, "seLinuxChangePolicy"), s->se_linux_change_policy, change_policies);
}

/* ---- operating systems ---- */

static void forbid(struct validation *v, const struct field_path *p, bool is_set, const char *text)
{
    if (is_set)
        fault_forbidden(v, p, "%s", text);
}

static void check_linux_container(void *arg, const struct field_path *p,
                                  const struct corev1_container *c)
{
    struct validation *v = arg;
    forbid(v, AT(AT(p, "securityContext"), "windowsOptions"),
           c->security_context && c->security_context->windows_options,
           "windows options cannot be set for a linux pod");
}

static const char not_windows[] = "cannot be set for a windows pod";

static void check_windows_container(void *arg, const struct field_path *path,
                                    const struct corev1_container *c)
{
    struct validation *v = arg;
    const struct corev1_security_context *s = c->security_context;
    const struct field_path *p = AT(path, "securityContext");
    if (!s)
        return;
    forbid(v, AT(p, "appArmorProfile"), s->app_armor_profile, not_windows);
    forbid(v, AT(p, "seLinuxOptions"), s->se_linux_options, not_windows);
    forbid(v, AT(p, "seccompProfile"), s->seccomp_profile, not_windows);
    forbid(v, AT(p, "capabilities"), s->capabilities, not_windows);
    forbid(v, AT(p, "readOnlyRootFilesystem"), s->read_only_root_filesystem, not_windows);
    forbid(v, AT(p, "privileged"), s->privileged, not_windows);
    forbid(v, AT(p, "allowPrivilegeEscalation"), s->allow_privilege_escalation, not_windows);
    forbid(v, AT(p, "procMount"), s->proc_mount.p, not_windows);
    forbid(v, AT(p, "runAsUser"), s->run_as_user, not_windows);
    forbid(v, AT(p, "runAsGroup"), s->run_as_group, not_windows);
}

static void check_windows_pod(struct validation *v, const struct field_path *path,
                              const struct corev1_pod_spec *spec)
{
    const struct corev1_pod_security_context *s = spec->security_context;
    const struct field_path *p = AT(path, "securityContext");
    forbid(v, AT(path, "hostUsers"), spec->host_users, not_windows);
    forbid(v, AT(path, "hostPID"), spec->host_pid, not_windows);
    forbid(v, AT(path, "hostIPC"), spec->host_ipc, not_windows);
    forbid(v, AT(path, "shareProcessNamespace"), spec->share_process_namespace, not_windows);
    if (!s)
        return;
    forbid(v, AT(p, "appArmorProfile"), s->app_armor_profile, not_windows);
    forbid(v, AT(p, "seLinuxOptions"), s->se_linux_options, not_windows);
    forbid(v, AT(p, "seccompProfile"), s->seccomp_profile, not_windows);
    forbid(v, AT(p, "fsGroup"), s->fs_group, not_windows);
    forbid(v, AT(p, "fsGroupChangePolicy"), s->fs_group_change_policy.p, not_windows);
    forbid(v, AT(p, "sysctls"), s->sysctls.n, not_windows);
    forbid(v, AT(p, "runAsUser"), s->run_as_user, not_windows);
    forbid(v, AT(p, "runAsGroup"), s->run_as_group, not_windows);
    forbid(v, AT(p, "supplementalGroups"), s->supplemental_groups.v, not_windows);
    forbid(v, AT(p, "supplementalGroupsPolicy"), s->supplemental_groups_policy.p, not_windows);
    forbid(v, AT(p, "seLinuxChangePolicy"), s->se_linux_change_policy.p, not_windows);
}

void check_os_fields(struct pod_check *c, const struct field_path *p)
{
    static const char *const names[] = {"linux", "windows", NULL};
    const struct corev1_pod_spec *spec = c->spec;
    if (!spec->os)
        return;
    if (!spec->os->name.n) {
        fault_required(c->v, AT(AT(p, "os"), "name"), "cannot be empty");
    } else if (!check_one_of(c->v, AT(p, "os"), spec->os->name, names)) {
        return;
    } else if (str_eq(spec->os->name, STR("linux"))) {
        forbid(c->v, AT(AT(p, "securityContext"), "windowsOptions"),
               spec->security_context && spec->security_context->windows_options,
               "windows options cannot be set for a linux pod");
        pod_visit_containers(spec, p, check_linux_container, c->v);
    } else {
        check_windows_pod(c->v, p, spec);
        pod_visit_containers(spec, p, check_windows_container, c->v);
    }
}
