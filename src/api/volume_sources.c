/* SPDX-License-Identifier: Apache-2.0 */
/* Volume sources that pods and persistent volumes have in common. */
#include "api/pod.h"

void check_host_path(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_host_path_volume_source *s = source;
    if (!s->path.n) {
        fault_required(v, AT(p, "path"), "%s", "");
        return;
    }
    check_no_backsteps(v, AT(p, "path"), s->path);
    check_schema_enum(v, p, &corev1_host_path_volume_source_desc, "type", s->type);
}

void check_partition_source(struct validation *v, const struct field_path *p, const struct desc *d,
                            const void *source, int32_t partition)
{
    check_required_fields(v, p, d, source);
    /* The text is upstream's; zero is allowed. */
    if (partition < 0 || partition > 255)
        fault_invalid(v, AT(p, "partition"), bad_int(partition),
                      "must be between 1 and 255, inclusive");
}

void check_gce_disk(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_gce_persistent_disk_volume_source *s = source;
    check_partition_source(v, p, &corev1_gce_persistent_disk_volume_source_desc, s, s->partition);
}

void check_aws_disk(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_aws_elastic_block_store_volume_source *s = source;
    check_partition_source(v, p, &corev1_aws_elastic_block_store_volume_source_desc, s,
                           s->partition);
}

void check_nfs(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_nfs_volume_source *s = source;
    if (!s->server.n)
        fault_required(v, AT(p, "server"), "%s", "");
    if (!s->path.n)
        fault_required(v, AT(p, "path"), "%s", "");
    if (!str_has_prefix(s->path, STR("/")))
        fault_invalid(v, AT(p, "path"), bad_str(s->path), "must be an absolute path");
}

static bool is_host_port(struct str s)
{
    ptrdiff_t colon = str_rindex(s, ':');
    struct str host = str_sub(s, 0, colon < 0 ? 0 : (size_t)colon);
    if (str_has_prefix(host, STR("[")))
        return str_has_suffix(host, STR("]"));
    return colon >= 0 && str_index(host, ':') < 0;
}

void check_quobyte(struct validation *v, const struct field_path *p, const void *source)
{
    static const char pairs[] = "must be a host:port pair or multiple pairs separated by commas";
    const struct corev1_quobyte_volume_source *s = source;
    if (!s->registry.n) {
        fault_required(v, AT(p, "registry"), pairs);
    } else if (s->tenant.n >= 65) {
        fault_required(v, AT(p, "tenant"),
                       "must be a UUID and may not exceed a length of 64 characters");
    } else {
        struct str rest = s->registry, pair;
        while (str_next(&rest, ',', &pair))
            if (!is_host_port(pair))
                fault_invalid(v, AT(p, "registry"), bad_str(s->registry), pairs);
    }
    if (!s->volume.n)
        fault_required(v, AT(p, "volume"), "%s", "");
}

void check_flocker(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_flocker_volume_source *s = source;
    if (!s->dataset_name.n && !s->dataset_uuid.n)
        fault_required(v, p, "one of datasetName and datasetUUID is required");
    if (s->dataset_name.n && s->dataset_uuid.n)
        fault_invalid(v, p, bad_str(STR("resource")),
                      "datasetName and datasetUUID can not be specified simultaneously");
    if (str_index(s->dataset_name, '/') >= 0)
        fault_invalid(v, AT(p, "datasetName"), bad_str(s->dataset_name), "must not contain '/'");
}

void check_fc(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_fc_volume_source *s = source;
    if (!s->target_wwns.n && !s->wwids.n)
        fault_required(v, AT(p, "targetWWNs"),
                       "must specify either targetWWNs or wwids, but not both");
    if (s->target_wwns.n && s->wwids.n)
        fault_invalid(v, AT(p, "targetWWNs"), bad_list(&s->target_wwns),
                      "targetWWNs and wwids can not be specified simultaneously");
    if (!s->target_wwns.n)
        return;
    if (!s->lun)
        fault_required(v, AT(p, "lun"), "lun is required if targetWWNs is specified");
    else
        check_range(v, AT(p, "lun"), *s->lun, 0, 255);
}

void check_azure_disk(struct validation *v, const struct field_path *p, const void *source)
{
    static const char *const managed_uri[] = {
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/"
        "{disk-id}",
        NULL};
    static const char *const blob_uri[] = {
        "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd", NULL};
    const struct corev1_azure_disk_volume_source *s = source;
    const struct desc *d = &corev1_azure_disk_volume_source_desc;
    check_required_fields(v, p, d, s);
    check_schema_enum(v, p, d, "cachingMode", s->caching_mode);
    check_schema_enum(v, p, d, "kind", s->kind);
    bool managed = str_eq(s->kind, STR("Managed"));
    if (!s->kind.p)
        return;
    if (managed && !str_has_prefix(s->disk_uri, STR("/subscriptions/")))
        fault_not_supported(v, AT(p, "diskURI"), bad_str(s->disk_uri), managed_uri);
    if (!managed && !str_has_prefix(s->disk_uri, STR("https://")))
        fault_not_supported(v, AT(p, "diskURI"), bad_str(s->disk_uri), blob_uri);
}

void check_vsphere(struct validation *v, const struct field_path *p, const void *source)
{
    check_required_fields(v, p, &corev1_vsphere_virtual_disk_volume_source_desc, source);
}

void check_photon(struct validation *v, const struct field_path *p, const void *source)
{
    check_required_fields(v, p, &corev1_photon_persistent_disk_volume_source_desc, source);
}

void check_portworx(struct validation *v, const struct field_path *p, const void *source)
{
    check_required_fields(v, p, &corev1_portworx_volume_source_desc, source);
}

/* Options in our own namespaces are reserved. */
void check_flex_options(struct validation *v, const struct field_path *p,
                        const struct str_map *options)
{
    LIST_EACH (o, options) {
        struct str domain, rest;
        (void)str_cut(o->key, '/', &domain, &rest);
        char *lower = arena_raw(v->arena, domain.n + 1);
        lower[0] = '.';
        for (size_t i = 0; i < domain.n; i++)
            lower[i + 1] =
                (char)(domain.p[i] >= 'A' && domain.p[i] <= 'Z' ? domain.p[i] | 0x20 : domain.p[i]);
        struct str name = str_n(lower, domain.n + 1);
        if (str_has_suffix(name, STR(".kubernetes.io")) || str_has_suffix(name, STR(".k8s.io")))
            fault_invalid(v, AT_KEY(p, o->key), bad_str(o->key),
                          "kubernetes.io and k8s.io namespaces are reserved");
    }
}

static bool is_alnum_run(struct str s, size_t n)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') ||
              ((s.p[i] | 0x20) >= 'a' && (s.p[i] | 0x20) <= 'z')))
            return false;
    return s.n == n;
}

/* "iqn.2024-01.com.example:target" */
static bool is_iqn(struct str s)
{
    static const char shape[] = "iqn.dddd-dd.";
    struct str authority, target;
    if (s.n < sizeof shape)
        return false;
    for (size_t i = 0; i + 1 < sizeof shape; i++)
        if (shape[i] == 'd' ? s.p[i] < '0' || s.p[i] > '9' : s.p[i] != shape[i])
            return false;
    if (!str_cut(str_sub(s, sizeof shape - 1, s.n), ':', &authority, &target) || !authority.n ||
        !target.n)
        return false;
    for (size_t i = 0; i < target.n; i++)
        if (strchr(",;*&$| \t\r\n\f\v", target.p[i]))
            return false;
    for (size_t i = 0; i < authority.n; i++)
        if (authority.p[i] != '-' && authority.p[i] != '.' &&
            !is_alnum_run(str_sub(authority, i, i + 1), 1))
            return false;
    return true;
}

static void check_initiator(struct validation *v, const struct field_path *p, struct str name)
{
    struct str tail = str_sub(name, 4, name.n);
    if (str_has_prefix(name, STR("iqn")) ? is_iqn(name)
        : str_has_prefix(name, STR("eui"))
            ? is_alnum_run(tail, 16)
            : str_has_prefix(name, STR("naa")) && is_alnum_run(tail, 32))
        return;
    fault_invalid(v, p, bad_str(name), "must be valid format%s",
                  str_has_prefix(name, STR("iqn")) || str_has_prefix(name, STR("eui")) ||
                          str_has_prefix(name, STR("naa"))
                      ? ""
                      : " starting with iqn, eui, or naa");
}

void check_iscsi_target(struct validation *v, const struct field_path *p, struct str portal,
                        struct str iqn, struct str initiator, int32_t lun, bool needs_secret)
{
    if (!portal.n)
        fault_required(v, AT(p, "targetPortal"), "%s", "");
    if (!iqn.n)
        fault_required(v, AT(p, "iqn"), "%s", "");
    else
        check_initiator(v, AT(p, "iqn"), iqn);
    check_range(v, AT(p, "lun"), lun, 0, 255);
    if (needs_secret)
        fault_required(v, AT(p, "secretRef"), "%s", "");
    if (initiator.p)
        check_initiator(v, AT(p, "initiatorname"), initiator);
}

bool check_csi_driver_name(struct validation *v, const struct field_path *p, struct str name)
{
    uint32_t before = v->faults;
    if (!name.n)
        fault_required(v, p, "%s", "");
    if (name.n > 63)
        fault_too_long(v, p, 63);
    char *lower = arena_raw(v->arena, name.n);
    const char *faults[FORMAT_FAULTS_MAX];
    for (size_t i = 0; i < name.n; i++)
        lower[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i]);
    size_t n = format_faults(FORMAT_DNS_SUBDOMAIN, str_n(lower, name.n), faults);
    for (size_t i = 0; i < n; i++)
        fault_invalid(v, p, bad_str(name), "%s", faults[i]);
    return v->faults == before;
}
