/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent volumes. */
#include "api/pod.h"
#include "api/resources.h"

/* ---- sources that only persistent volumes have ---- */

static void check_name_and_namespace(struct validation *v, const struct field_path *p,
                                     struct str name, struct str namespace)
{
    if (!name.n)
        fault_required(v, AT(p, "name"), "%s", "");
    if (!namespace.n)
        fault_required(v, AT(p, "namespace"), "%s", "");
}

static void check_secret_reference(struct validation *v, const struct field_path *p,
                                   const struct corev1_secret_reference *r)
{
    if (!r)
        return;
    check_required_format(v, AT(p, "name"), r->name, FORMAT_DNS_SUBDOMAIN);
    check_required_format(v, AT(p, "namespace"), r->namespace, FORMAT_DNS_LABEL);
}

static void check_glusterfs(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_glusterfs_persistent_volume_source *s = source;
    check_required_fields(v, p, &corev1_glusterfs_persistent_volume_source_desc, s);
    if (!s->endpoints_namespace.p)
        return;
    if (!s->endpoints_namespace.n)
        fault_invalid(v, AT(p, "endpointsNamespace"), bad_str(STR("")),
                      "if the endpointnamespace is set, it must be a valid namespace name");
    else
        check_format(v, AT(p, "endpointsNamespace"), s->endpoints_namespace, FORMAT_DNS_LABEL);
}

static void check_rbd(struct validation *v, const struct field_path *p, const void *source)
{
    check_required_fields(v, p, &corev1_rbd_persistent_volume_source_desc, source);
}

static void check_cephfs(struct validation *v, const struct field_path *p, const void *source)
{
    check_required_fields(v, p, &corev1_ceph_fs_persistent_volume_source_desc, source);
}

static void check_iscsi(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_iscsi_persistent_volume_source *s = source;
    bool chap = s->chap_auth_discovery || s->chap_auth_session;
    check_iscsi_target(v, p, s->target_portal, s->iqn, s->initiator_name, s->lun,
                       chap && !s->secret_ref);
    if (s->secret_ref && !s->secret_ref->name.n)
        fault_required(v, AT(AT(p, "secretRef"), "name"), "%s", "");
}

static void check_cinder(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_cinder_persistent_volume_source *s = source;
    if (!s->volume_id.n)
        fault_required(v, AT(p, "volumeID"), "%s", "");
    if (s->secret_ref)
        check_name_and_namespace(v, AT(p, "secretRef"), s->secret_ref->name,
                                 s->secret_ref->namespace);
}

static void check_flex(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_flex_persistent_volume_source *s = source;
    if (!s->driver.n)
        fault_required(v, AT(p, "driver"), "%s", "");
    check_flex_options(v, AT(p, "options"), &s->options);
}

static void check_azure_file(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_azure_file_persistent_volume_source *s = source;
    check_required_fields(v, p, &corev1_azure_file_persistent_volume_source_desc, s);
    if (s->secret_namespace.p && !s->secret_namespace.n)
        fault_required(v, AT(p, "secretNamespace"), "%s", "");
}

static void check_scale_io(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_scale_io_persistent_volume_source *s = source;
    if (!s->gateway.n)
        fault_required(v, AT(p, "gateway"), "%s", "");
    if (!s->system.n)
        fault_required(v, AT(p, "system"), "%s", "");
    if (!s->volume_name.n)
        fault_required(v, AT(p, "volumeName"), "%s", "");
}

static void check_local(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_local_volume_source *s = source;
    if (!s->path.n)
        fault_required(v, AT(p, "path"), "%s", "");
    else
        check_no_backsteps(v, AT(p, "path"), s->path);
}

static void check_storage_os(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_storage_os_persistent_volume_source *s = source;
    check_required_format(v, AT(p, "volumeName"), s->volume_name, FORMAT_DNS_LABEL);
    if (s->volume_namespace.n)
        check_format(v, AT(p, "volumeNamespace"), s->volume_namespace, FORMAT_DNS_LABEL);
    if (s->secret_ref)
        check_name_and_namespace(v, AT(p, "secretRef"), s->secret_ref->name,
                                 s->secret_ref->namespace);
}

static void check_csi(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_csi_persistent_volume_source *s = source;
    check_csi_driver_name(v, AT(p, "driver"), s->driver);
    if (!s->volume_handle.n)
        fault_required(v, AT(p, "volumeHandle"), "%s", "");
    check_secret_reference(v, AT(p, "controllerPublishSecretRef"),
                           s->controller_publish_secret_ref);
    check_secret_reference(v, AT(p, "controllerExpandSecretRef"), s->controller_expand_secret_ref);
    check_secret_reference(v, AT(p, "nodePublishSecretRef"), s->node_publish_secret_ref);
    check_secret_reference(v, AT(p, "nodeExpandSecretRef"), s->node_expand_secret_ref);
}

static const struct volume_kind kinds[] = {
#define KIND(name, member, check)                                                                  \
    {                                                                                              \
        name, NULL, offsetof(struct corev1_persistent_volume_source, member), check                \
    }
    KIND("hostPath", host_path, check_host_path),
    {"gcePersistentDisk", "persistentDisk",
     offsetof(struct corev1_persistent_volume_source, gce_persistent_disk), check_gce_disk},
    KIND("awsElasticBlockStore", aws_elastic_block_store, check_aws_disk),
    KIND("glusterfs", glusterfs, check_glusterfs),
    KIND("flocker", flocker, check_flocker),
    KIND("nfs", nfs, check_nfs),
    KIND("rbd", rbd, check_rbd),
    KIND("quobyte", quobyte, check_quobyte),
    {"cephFS", "cephfs", offsetof(struct corev1_persistent_volume_source, cephfs), check_cephfs},
    KIND("iscsi", iscsi, check_iscsi),
    KIND("cinder", cinder, check_cinder),
    KIND("fc", fc, check_fc),
    KIND("flexVolume", flex_volume, check_flex),
    KIND("azureFile", azure_file, check_azure_file),
    KIND("vsphereVolume", vsphere_volume, check_vsphere),
    KIND("photonPersistentDisk", photon_persistent_disk, check_photon),
    KIND("portworxVolume", portworx_volume, check_portworx),
    KIND("azureDisk", azure_disk, check_azure_disk),
    KIND("scaleIO", scale_io, check_scale_io),
    KIND("local", local, check_local),
    KIND("storageos", storageos, check_storage_os),
    KIND("csi", csi, check_csi),
    {0},
#undef KIND
};

/* ---- spec ---- */

void check_access_modes(struct validation *v, const struct field_path *p,
                        const struct str_list *modes, const char *when_empty)
{
    static const char *const names[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                        "ReadWriteOncePod", NULL};
    bool once_pod = false, other = false;
    if (!modes->n)
        fault_required(v, p, "%s", when_empty);
    LIST_EACH (mode, modes) {
        bool known = check_one_of(v, p, *mode, names);
        bool is_once_pod = str_eq(*mode, STR("ReadWriteOncePod"));
        once_pod |= is_once_pod;
        other |= known && !is_once_pod;
    }
    if (once_pod && other)
        fault_forbidden(v, p, "may not use ReadWriteOncePod with other access modes");
}

static void check_capacity(struct validation *v, const struct field_path *p,
                           const struct quantity_map *capacity)
{
    static const char *const storage[] = {"storage", NULL};
    if (!capacity->n)
        fault_required(v, p, "%s", "");
    if (capacity->n != 1 || !str_eq(capacity->v[0].key, STR("storage"))) {
        CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4));
        LIST_EACH (q, capacity)
            buf_fmt(&b, "%s\"%.*s\":\"%.*s\"", b.n ? "," : "{", STR_ARG(q->key),
                    STR_ARG(q->value.text));
        buf_z(&b, b.n ? "}" : "null");
        fault_not_supported(v, p, bad_text(buf_to_arena(&b, v->arena)), storage);
    }
    LIST_EACH (q, capacity) {
        check_basic_quantity(v, AT_KEY(p, q->key), &q->value);
        check_positive_quantity(v, AT_KEY(p, q->key), &q->value);
    }
}

/* "/", "//", "/./a/.." are the root. */
static bool is_root(struct str path)
{
    struct str part;
    size_t depth = 0;
    if (!str_has_prefix(path, STR("/")))
        return false;
    while (str_next(&path, '/', &part)) {
        if (!part.n || str_eq(part, STR(".")))
            continue;
        if (!str_eq(part, STR("..")))
            depth++;
        else if (depth)
            depth--;
    }
    return depth == 0;
}

static void check_class_names(struct validation *v, const struct field_path *p,
                              const struct corev1_persistent_volume_spec *s)
{
    struct str class = s->volume_attributes_class_name;
    if (s->storage_class_name.n)
        check_format(v, AT(p, "storageClassName"), s->storage_class_name, FORMAT_DNS_SUBDOMAIN);
    check_schema_enum(v, p, &corev1_persistent_volume_spec_desc, "volumeMode", s->volume_mode);
    if (!class.p)
        return;
    if (!class.n)
        fault_required(v, AT(p, "volumeAttributesClassName"), "an empty string is disallowed");
    else
        check_format(v, AT(p, "volumeAttributesClassName"), class, FORMAT_DNS_SUBDOMAIN);
    if (!s->csi)
        fault_required(v, AT(p, "csi"), "has to be specified when using volumeAttributesClassName");
}

enum { ISCSI_NAME_MAX = 64 };

static void check_spec(struct validation *v, const struct field_path *p,
                       const struct corev1_persistent_volume_spec *s, struct str name)
{
    const struct desc *d = &corev1_persistent_volume_spec_desc;
    struct str policy = s->persistent_volume_reclaim_policy;
    check_access_modes(v, AT(p, "accessModes"), &s->access_modes, "");
    check_capacity(v, AT(p, "capacity"), &s->capacity);
    if (policy.n)
        check_schema_enum(v, p, d, "persistentVolumeReclaimPolicy", policy);
    if (s->node_affinity && s->node_affinity->required)
        check_node_selector(v, AT(AT(p, "nodeAffinity"), "required"), s->node_affinity->required);
    else if (s->node_affinity)
        fault_required(v, AT(AT(p, "nodeAffinity"), "required"),
                       "must specify required node constraints");
    check_volume_union(v, p, kinds, &s->persistent_volume_source);
    if (s->local && !s->node_affinity)
        fault_required(v, AT(p, "nodeAffinity"), "Local volume requires node affinity");
    if (s->iscsi && s->iscsi->initiator_name.p &&
        name.n + 1 + s->iscsi->target_portal.n > ISCSI_NAME_MAX)
        fault_invalid(v, AT(AT(p, "iscsi"), "targetportal"), bad_str(s->iscsi->target_portal),
                      "Total length of <volume name>:<iscsi.targetPortal> must be under 64 "
                      "characters if iscsi.initiatorName is specified.");
    if (s->host_path && is_root(s->host_path->path) && str_eq(policy, STR("Recycle")))
        fault_forbidden(v, AT(p, "persistentVolumeReclaimPolicy"),
                        "may not be 'recycle' for a hostPath mount of '/'");
    check_class_names(v, p, s);
}

/* ---- updates ---- */

/* The name of a label that replaced a beta one, or STR_NULL. */
static struct str stable_label(struct str key)
{
    static const struct {
        const char *beta, *stable;
    } labels[] = {
        {"failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"},
        {"failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"},
        {"beta.kubernetes.io/os", "kubernetes.io/os"},
        {"beta.kubernetes.io/arch", "kubernetes.io/arch"},
        {"beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"},
    };
    for (size_t i = 0; i < ARRAY_LEN(labels); i++)
        if (str_eqz(key, labels[i].beta))
            return str_z(labels[i].stable);
    return STR_NULL;
}

/* The same, but for beta labels that became stable ones? */
static bool same_affinity(struct arena *a, const struct corev1_volume_node_affinity *now,
                          const struct corev1_volume_node_affinity *old)
{
    const struct desc *d = &corev1_volume_node_affinity_desc;
    if (!now || !now->required || !old->required)
        return now && desc_equal(d, now, old);
    struct corev1_volume_node_affinity *as = desc_copy(d, a, old);
    size_t n = MIN(as->required->node_selector_terms.n, now->required->node_selector_terms.n);
    for (size_t i = 0; i < n; i++) {
        struct corev1_node_selector_term *was = &as->required->node_selector_terms.v[i];
        const struct corev1_node_selector_term *is = &now->required->node_selector_terms.v[i];
        for (size_t j = 0; j < MIN(was->match_expressions.n, is->match_expressions.n); j++) {
            struct str stable = stable_label(was->match_expressions.v[j].key);
            if (stable.p && str_eq(stable, is->match_expressions.v[j].key))
                was->match_expressions.v[j].key = stable;
        }
    }
    return desc_equal(d, now, as);
}

static void check_update(struct validation *v, const struct corev1_persistent_volume_spec *now,
                         const struct corev1_persistent_volume_spec *old)
{
    const struct desc *d = &corev1_persistent_volume_source_desc;
    const struct field_path *p = AT(NULL, "spec");
    struct corev1_persistent_volume_source source = now->persistent_volume_source;
    struct corev1_csi_persistent_volume_source csi;
    /* A secret for expansion may come later. */
    if (source.csi && old->csi && !old->csi->controller_expand_secret_ref) {
        csi = *source.csi;
        csi.controller_expand_secret_ref = NULL;
        source.csi = &csi;
    }
    if (!desc_equal(d, &source, &old->persistent_volume_source))
        fault_forbidden(v, AT(p, "persistentvolumesource"),
                        "spec.persistentvolumesource is immutable after creation");
    check_immutable_str(v, AT(NULL, "volumeMode"), now->volume_mode, old->volume_mode);
    if (old->node_affinity && !same_affinity(v->arena, now->node_affinity, old->node_affinity))
        fault_invalid(v, AT(NULL, "nodeAffinity"),
                      bad_obj(&corev1_volume_node_affinity_desc, now->node_affinity),
                      "field is immutable, except for updating from beta label to GA");
    if (old->volume_attributes_class_name.p && !now->volume_attributes_class_name.p)
        fault_forbidden(v, AT(p, "volumeAttributesClassName"),
                        "update from non-nil value to nil is forbidden");
}

static void defaults(struct arena *a, void *obj)
{
    struct corev1_persistent_volume *pv = obj;
    resource_list_round(a, &pv->spec.capacity);
}

static void prepare(struct arena *a, void *obj, const void *old)
{
    struct corev1_persistent_volume *pv = obj;
    if (!old)
        pv->status = (struct corev1_persistent_volume_status){.phase = STR("Pending")};
}

static void validate(struct validation *v, const void *obj, const void *old)
{
    const struct corev1_persistent_volume *pv = obj, *was = old;
    check_spec(v, AT(NULL, "spec"), &pv->spec, pv->metadata.name);
    if (was)
        check_update(v, &pv->spec, &was->spec);
}

const struct kind_hooks corev1_persistent_volume_hooks = {
    .defaults = defaults,
    .prepare = prepare,
    .validate = validate,
    .generation_off = true,
};
