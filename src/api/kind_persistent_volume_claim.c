/* SPDX-License-Identifier: Apache-2.0 */
/* Claims of persistent volumes, alone and in templates. */
#include "api/pod.h"
#include "api/resources.h"

#define BETA_CLASS STR("volume.beta.kubernetes.io/storage-class")

/* ---- spec ---- */

static void check_source(struct validation *v, const struct field_path *p, struct str group,
                         struct str kind, struct str name)
{
    if (!name.n)
        fault_required(v, AT(p, "name"), "%s", "");
    if (!kind.n)
        fault_required(v, AT(p, "kind"), "%s", "");
    if (!group.n && !str_eq(kind, STR("PersistentVolumeClaim")))
        fault_invalid(v, p, bad_str(kind),
                      "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    if (group.n)
        check_format(v, AT(p, "apiGroup"), group, FORMAT_DNS_SUBDOMAIN);
}

static void check_sources(struct validation *v, const struct field_path *p,
                          const struct corev1_persistent_volume_claim_spec *s)
{
    const struct corev1_typed_local_object_reference *source = s->data_source;
    const struct corev1_typed_object_reference *ref = s->data_source_ref;
    if (source)
        check_source(v, AT(p, "dataSource"), source->api_group, source->kind, source->name);
    if (!ref)
        return;
    check_source(v, AT(p, "dataSourceRef"), ref->api_group, ref->kind, ref->name);
    if (ref->namespace.n)
        check_format(v, AT(AT(p, "dataSourceRef"), "namespace"), ref->namespace, FORMAT_DNS_LABEL);
    if (!source)
        return;
    if (ref->namespace.n)
        fault_invalid(v, p, bad_text(STR("{}")),
                      "may not be specified when dataSourceRef.namespace is specified");
    else if (!str_eq(source->api_group, ref->api_group) || !str_eq(source->kind, ref->kind) ||
             !str_eq(source->name, ref->name))
        fault_invalid(v, p, bad_text(STR("{}")), "must match dataSourceRef");
}

void check_pvc_spec(struct validation *v, const struct field_path *p,
                    const struct corev1_persistent_volume_claim_spec *s)
{
    const struct quantity *size = quantity_map_get(&s->resources.requests, STR("storage"));
    const struct field_path *at = AT_KEY(AT(p, "resources"), STR("storage"));
    check_label_selector(v, AT(p, "selector"), s->selector, false);
    check_access_modes(v, AT(p, "accessModes"), &s->access_modes,
                       "at least 1 access mode is required");
    if (!size)
        fault_required(v, at, "%s", "");
    else if (check_positive_quantity(v, at, size))
        check_resource_quantity(v, at, STR("storage"), size);
    if (s->storage_class_name.n)
        check_format(v, AT(p, "storageClassName"), s->storage_class_name, FORMAT_DNS_SUBDOMAIN);
    check_schema_enum(v, p, &corev1_persistent_volume_claim_spec_desc, "volumeMode",
                      s->volume_mode);
    check_sources(v, p, s);
    if (s->volume_attributes_class_name.n)
        check_format(v, AT(p, "volumeAttributesClassName"), s->volume_attributes_class_name,
                     FORMAT_DNS_SUBDOMAIN);
}

/* ---- updates ---- */

/* A class named by the old annotation moves into the field. */
static bool upgrades_from_annotation(const struct corev1_persistent_volume_claim *now,
                                     const struct corev1_persistent_volume_claim *old)
{
    struct str was = str_map_get(&old->metadata.annotations, BETA_CLASS);
    struct str is = str_map_get(&now->metadata.annotations, BETA_CLASS);
    return was.p && !old->spec.storage_class_name.p && now->spec.storage_class_name.p &&
           str_eq(now->spec.storage_class_name, was) && (!is.p || str_eq(is, was));
}

static bool upgrades_from_nil(const struct corev1_persistent_volume_claim *now,
                              const struct corev1_persistent_volume_claim *old)
{
    struct str was = str_map_get(&old->metadata.annotations, BETA_CLASS);
    return now->spec.storage_class_name.p && !old->spec.storage_class_name.p &&
           (!was.p || str_eq(now->spec.storage_class_name, was));
}

static void check_shrink(struct validation *v, const struct corev1_persistent_volume_claim *now,
                         const struct corev1_persistent_volume_claim *old)
{
    const struct quantity zero = {STR("0")};
    const struct quantity *size = quantity_map_get(&now->spec.resources.requests, STR("storage"));
    const struct quantity *was = quantity_map_get(&old->spec.resources.requests, STR("storage"));
    const struct quantity *is = quantity_map_get(&old->status.capacity, STR("storage"));
    size = size ? size : &zero;
    /* A failed expansion may be taken back, but the volume does not shrink. */
    if (was && quantity_cmp(size, was) < 0 && quantity_cmp(size, is ? is : &zero) <= 0)
        fault_forbidden(v, AT(AT(AT(AT(NULL, "spec"), "resources"), "requests"), "storage"),
                        "field can not be less than status.capacity");
}

static void check_attributes_class(struct validation *v, struct str now, struct str old)
{
    const struct field_path *p = AT(AT(NULL, "spec"), "volumeAttributesClassName");
    if (old.p && !now.p)
        fault_forbidden(v, p, "update from non-nil value to nil is forbidden");
    else if (old.n && !now.n)
        fault_forbidden(v, p, "update from non-nil value to an empty string is forbidden");
}

static void check_update(struct validation *v, const struct corev1_persistent_volume_claim *now,
                         const struct corev1_persistent_volume_claim *old)
{
    struct corev1_persistent_volume_claim_spec munged = now->spec, was = old->spec;
    const struct quantity *size = quantity_map_get(&was.resources.requests, STR("storage"));
    if (!was.volume_name.n)
        was.volume_name = munged.volume_name;
    if (upgrades_from_annotation(now, old)) {
        munged.storage_class_name = STR_NULL;
    } else {
        check_immutable_str(
            v,
            AT(AT(AT(NULL, "metadata"), "annotations"), "volume.beta.kubernetes.io/storage-class"),
            str_map_get(&now->metadata.annotations, BETA_CLASS),
            str_map_get(&old->metadata.annotations, BETA_CLASS));
        if (upgrades_from_nil(now, old))
            munged.storage_class_name = STR_NULL;
    }
    if (str_eq(now->status.phase, STR("Bound"))) {
        if (munged.resources.requests.n && size) {
            munged.resources.requests = (struct quantity_map){0};
            resource_list_default(v->arena, &munged.resources.requests,
                                  &now->spec.resources.requests);
            quantity_map_set(v->arena, &munged.resources.requests, STR("storage"), *size);
        }
        if (munged.volume_attributes_class_name.p)
            munged.volume_attributes_class_name = was.volume_attributes_class_name;
    }
    if (!desc_equal(&corev1_persistent_volume_claim_spec_desc, &munged, &was))
        fault_forbidden(v, AT(NULL, "spec"),
                        "spec is immutable after creation except resources.requests and "
                        "volumeAttributesClassName for bound claims");
    check_shrink(v, now, old);
    check_immutable_str(v, AT(NULL, "volumeMode"), now->spec.volume_mode, old->spec.volume_mode);
    check_attributes_class(v, now->spec.volume_attributes_class_name,
                           old->spec.volume_attributes_class_name);
}

/* ---- status ---- */

static bool check_resource_key(struct validation *v, const struct field_path *p, struct str key)
{
    static const char *const storage[] = {"storage", NULL};
    if (!check_format(v, p, key, FORMAT_LABEL_KEY))
        return false;
    return !resource_is_native(key) || check_one_of(v, p, key, storage);
}

static void validate_status(struct validation *v, const void *obj, const void *old)
{
    static const char *const states[] = {"ControllerResizeInProgress", "ControllerResizeInfeasible",
                                         "NodeResizePending",          "NodeResizeInProgress",
                                         "NodeResizeInfeasible",       NULL};
    const struct corev1_persistent_volume_claim *c = obj;
    const struct field_path *p = AT(NULL, "status");
    LIST_EACH (q, &c->status.capacity)
        check_basic_quantity(v, AT_KEY(AT(p, "capacity"), q->key), &q->value);
    LIST_EACH (pair, &c->status.allocated_resource_statuses) {
        check_resource_key(v, AT(p, "allocatedResourceStatus"), pair->key);
        check_one_of(v, AT(p, "allocatedResourceStatus"), pair->value, states);
    }
    LIST_EACH (q, &c->status.allocated_resources)
        if (check_resource_key(v, AT(p, "allocatedResources"), q->key) &&
            check_basic_quantity(v, AT_KEY(AT(p, "allocatedResources"), q->key), &q->value))
            check_resource_quantity(v, AT_KEY(AT(p, "allocatedResources"), q->key), STR("storage"),
                                    &q->value);
}

/* ---- what the server sets ---- */

static void defaults(struct arena *a, void *obj)
{
    struct corev1_persistent_volume_claim *c = obj;
    resource_list_round(a, &c->spec.resources.requests);
    resource_list_round(a, &c->spec.resources.limits);
}

static bool is_claim_or_snapshot(const struct corev1_typed_local_object_reference *s)
{
    if (str_eq(s->kind, STR("PersistentVolumeClaim")))
        return !s->api_group.n;
    return str_eq(s->kind, STR("VolumeSnapshot")) &&
           str_eq(s->api_group, STR("snapshot.storage.k8s.io"));
}

/* The two fields that say where the data comes from agree. */
static void normalize_sources(struct arena *a, struct corev1_persistent_volume_claim_spec *s)
{
    if (s->data_source && !s->data_source_ref) {
        s->data_source_ref = arena_new(a, struct corev1_typed_object_reference);
        s->data_source_ref->api_group = s->data_source->api_group;
        s->data_source_ref->kind = s->data_source->kind;
        s->data_source_ref->name = s->data_source->name;
    } else if (s->data_source_ref && !s->data_source && !s->data_source_ref->namespace.n) {
        s->data_source = arena_new(a, struct corev1_typed_local_object_reference);
        s->data_source->api_group = s->data_source_ref->api_group;
        s->data_source->kind = s->data_source_ref->kind;
        s->data_source->name = s->data_source_ref->name;
    }
}

static void prepare(struct arena *a, void *obj, const void *old)
{
    struct corev1_persistent_volume_claim *c = obj;
    const struct corev1_persistent_volume_claim *was = old;
    if (!old)
        c->status = (struct corev1_persistent_volume_claim_status){.phase = STR("Pending")};
    /* Clients of old releases may set a source that nothing supports: it is dropped. */
    bool in_use = was && (was->spec.data_source || was->spec.data_source_ref);
    if (!in_use && c->spec.data_source && !is_claim_or_snapshot(c->spec.data_source))
        c->spec.data_source = NULL;
    normalize_sources(a, &c->spec);
}

static void validate(struct validation *v, const void *obj, const void *old)
{
    const struct corev1_persistent_volume_claim *c = obj;
    check_pvc_spec(v, AT(NULL, "spec"), &c->spec);
    if (old)
        check_update(v, obj, old);
}

const struct kind_hooks corev1_persistent_volume_claim_hooks = {
    .defaults = defaults,
    .prepare = prepare,
    .validate = validate,
    .validate_status = validate_status,
    .generation_off = true,
};
