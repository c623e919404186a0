/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes of pods: one source each, and what projected volumes put where. */
#include "api/field.h"
#include "api/pod.h"

/* ---- paths ---- */

bool check_no_backsteps(struct validation *v, const struct field_path *p, struct str path)
{
    struct str rest = path, part;
    while (str_next(&rest, '/', &part)) {
        if (!str_eq(part, STR("..")))
            continue;
        fault_invalid(v, p, bad_str(path), "must not contain '..'");
        return false;
    }
    return true;
}

bool check_relative_path(struct validation *v, const struct field_path *p, struct str path)
{
    bool relative = !str_has_prefix(path, STR("/"));
    if (!relative)
        fault_invalid(v, p, bad_str(path), "must be a relative path");
    return check_no_backsteps(v, p, path) && relative;
}

bool check_file_path(struct validation *v, const struct field_path *p, struct str path)
{
    bool ok = check_relative_path(v, p, path);
    if (!str_has_prefix(path, STR("..")) || str_has_prefix(path, STR("../")))
        return ok;
    fault_invalid(v, p, bad_str(path), "must not start with '..'");
    return false;
}

static void check_mode(struct validation *v, const struct field_path *p, const int32_t *mode)
{
    if (mode && (*mode < 0 || *mode > 0777))
        fault_invalid(v, p, bad_int(*mode),
                      "must be a number between 0 and 0777 (octal), both inclusive");
}

/* ---- config maps, secrets, downward API ---- */

static void check_key_to_path(struct validation *v, const struct field_path *p,
                              const struct corev1_key_to_path *k)
{
    if (!k->key.n)
        fault_required(v, AT(p, "key"), "%s", "");
    if (!k->path.n)
        fault_required(v, AT(p, "path"), "%s", "");
    check_file_path(v, AT(p, "path"), k->path);
    check_mode(v, AT(p, "mode"), k->mode);
}

static void check_secret(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_secret_volume_source *s = source;
    if (!s->secret_name.n)
        fault_required(v, AT(p, "secretName"), "%s", "");
    check_mode(v, AT(p, "defaultMode"), s->default_mode);
    for (size_t i = 0; i < s->items.n; i++)
        check_key_to_path(v, AT_INDEX(AT(p, "items"), i), &s->items.v[i]);
}

static void check_config_map(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_config_map_volume_source *s = source;
    if (!s->name.n)
        fault_required(v, AT(p, "name"), "%s", "");
    check_mode(v, AT(p, "defaultMode"), s->default_mode);
    for (size_t i = 0; i < s->items.n; i++)
        check_key_to_path(v, AT_INDEX(AT(p, "items"), i), &s->items.v[i]);
}

static void check_downward_file(struct validation *v, const struct field_path *p,
                                const struct corev1_downward_api_volume_file *f)
{
    if (!f->path.n)
        fault_required(v, AT(p, "path"), "%s", "");
    check_file_path(v, AT(p, "path"), f->path);
    if (f->field_ref) {
        check_field_ref(v, AT(p, "fieldRef"), f->field_ref, volume_field_refs);
        if (f->resource_field_ref)
            fault_invalid(v, p, bad_str(STR("resource")),
                          "fieldRef and resourceFieldRef can not be specified simultaneously");
    } else if (f->resource_field_ref) {
        check_resource_field_ref(v, AT(p, "resourceFieldRef"), f->resource_field_ref, true);
    } else {
        fault_required(v, p, "one of fieldRef and resourceFieldRef is required");
    }
    check_mode(v, AT(p, "mode"), f->mode);
}

static void check_downward_api(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_downward_api_volume_source *s = source;
    check_mode(v, AT(p, "defaultMode"), s->default_mode);
    LIST_EACH (f, &s->items)
        check_downward_file(v, p, f);
}

/* ---- projected ---- */

/* A file that two sources would write. */
static void take_path(struct validation *v, const struct field_path *p, struct map *paths,
                      struct str path, struct str blame)
{
    if (path.n && seen_before(paths, path))
        fault_invalid(v, p, bad_str(blame), "conflicting duplicate paths");
}

static void check_token(struct validation *v, const struct field_path *p,
                        const struct field_path *volume,
                        const struct corev1_service_account_token_projection *t)
{
    int64_t s = t->expiration_seconds ? *t->expiration_seconds : 0;
    if (s < 600)
        fault_invalid(v, AT(p, "expirationSeconds"), bad_int(s),
                      "may not specify a duration less than 10 minutes");
    if (s > (int64_t)1 << 32)
        fault_invalid(v, AT(p, "expirationSeconds"), bad_int(s),
                      "may not specify a duration larger than 2^32 seconds");
    if (!t->path.n)
        fault_required(v, AT(volume, "path"), "%s", "");
    else
        check_file_path(v, AT(volume, "path"), t->path);
}

/* "<signer name with : for />:<name>", or a name without a colon. */
static void check_bundle_name(struct validation *v, const struct field_path *p, struct str name)
{
    const char *faults[FORMAT_FAULTS_MAX];
    ptrdiff_t colon = str_rindex(name, ':');
    struct str own = str_sub(name, colon < 0 ? 0 : (size_t)colon + 1, name.n);
    size_t n = format_faults(FORMAT_DNS_SUBDOMAIN, own, faults);
    if (!name.n)
        fault_required(v, p, "must be a valid object name");
    for (size_t i = 0; i < n; i++)
        fault_invalid(v, p, bad_str(name), "not a valid clustertrustbundlename: %s", faults[i]);
}

static void check_trust_bundle(struct validation *v, const struct field_path *p,
                               const struct corev1_cluster_trust_bundle_projection *b)
{
    if (b->name.p && b->signer_name.p) {
        fault_invalid(v, p, bad_obj(&corev1_cluster_trust_bundle_projection_desc, b),
                      "only one of name and signerName may be used");
    } else if (b->name.p) {
        check_bundle_name(v, AT(p, "name"), b->name);
        if (b->label_selector)
            fault_invalid(v, AT(p, "labelSelector"),
                          bad_obj(&metav1_label_selector_desc, b->label_selector),
                          "labelSelector must be unset if name is specified");
    } else if (b->signer_name.p) {
        if (!b->signer_name.n)
            fault_required(v, AT(p, "signerName"), "must be a valid signer name");
        check_signer_name(v, AT(p, "signerName"), b->signer_name);
        check_label_selector(v, AT(p, "labelSelector"), b->label_selector, false);
    } else {
        fault_required(v, p, "either name or signerName must be specified");
    }
    if (!b->path.n)
        fault_required(v, AT(p, "path"), "%s", "");
    check_file_path(v, AT(p, "path"), b->path);
}

static void check_certificate_path(struct validation *v, const struct field_path *p,
                                   struct map *paths, struct str path)
{
    if (!path.n)
        return;
    check_file_path(v, p, path);
    take_path(v, p, paths, path, path);
}

static void check_pod_certificate(struct validation *v, const struct field_path *p,
                                  struct map *paths,
                                  const struct corev1_pod_certificate_projection *c)
{
    static const char *const keys[] = {"ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519",
                                       "RSA3072",   "RSA4096",   NULL};
    check_signer_name(v, AT(p, "signerName"), c->signer_name);
    if (str_eq(c->signer_name, STR("kubernetes.io/kube-apiserver-client-kubelet")))
        fault_invalid(v, AT(p, "signerName"), bad_str(c->signer_name),
                      "may not be used for pod certificates");
    check_one_of(v, AT(p, "keyType"), c->key_type, keys);
    int32_t s = c->max_expiration_seconds ? *c->max_expiration_seconds : 0;
    if (!c->max_expiration_seconds)
        fault_required(v, AT(p, "maxExpirationSeconds"), "%s", "");
    else if (s < 3600)
        fault_invalid(v, AT(p, "maxExpirationSeconds"), bad_int(s),
                      "if provided, maxExpirationSeconds must be >= 3600");
    else if (s > 7862400)
        fault_invalid(v, AT(p, "maxExpirationSeconds"), bad_int(s),
                      "if provided, maxExpirationSeconds must be <= 7862400");
    if (!c->credential_bundle_path.n && !c->key_path.n && !c->certificate_chain_path.n)
        fault_required(v, p,
                       "specify at least one of credentialBundlePath, keyPath, and "
                       "certificateChainPath");
    check_certificate_path(v, AT(p, "credentialBundlePath"), paths, c->credential_bundle_path);
    check_certificate_path(v, AT(p, "keyPath"), paths, c->key_path);
    check_certificate_path(v, AT(p, "certificateChainPath"), paths, c->certificate_chain_path);
    check_annotations(v, AT(p, "userAnnotations"), &c->user_annotations);
    LIST_EACH (pair, &c->user_annotations)
        if (str_index(pair->key, '/') < 0)
            fault_invalid(v, AT(p, "userAnnotations"), bad_str(pair->key),
                          "must be a domain-prefixed key (such as \"acme.io/foo\")");
}

/* Items of a secret or a config map, which have the same form. */
static void check_items(struct validation *v, const struct field_path *p,
                        const struct field_path *volume, struct map *paths,
                        const struct corev1_key_to_path *items, size_t n, struct str name)
{
    if (!name.n)
        fault_required(v, AT(p, "name"), "%s", "");
    for (size_t i = 0; i < n; i++) {
        check_key_to_path(v, AT_INDEX(AT(p, "items"), i), &items[i]);
        take_path(v, volume, paths, items[i].path, name);
    }
}

static void check_projection(struct validation *v, const struct field_path *p,
                             const struct field_path *volume, struct map *paths,
                             const struct corev1_volume_projection *s)
{
    int n = 0;
    if (s->secret && ++n)
        check_items(v, AT(p, "secret"), volume, paths, s->secret->items.v, s->secret->items.n,
                    s->secret->name);
    if (s->config_map && ++n)
        check_items(v, AT(p, "configMap"), volume, paths, s->config_map->items.v,
                    s->config_map->items.n, s->config_map->name);
    if (s->downward_api && ++n) {
        LIST_EACH (f, &s->downward_api->items) {
            check_downward_file(v, AT(p, "downwardAPI"), f);
            take_path(v, volume, paths, f->path, f->path);
        }
    }
    if (s->service_account_token && ++n)
        check_token(v, AT(p, "serviceAccountToken"), volume, s->service_account_token);
    if (s->cluster_trust_bundle && ++n) {
        check_trust_bundle(v, AT(p, "clusterTrustBundle"), s->cluster_trust_bundle);
        take_path(v, volume, paths, s->cluster_trust_bundle->path, s->cluster_trust_bundle->path);
    }
    if (s->pod_certificate && ++n)
        check_pod_certificate(v, AT(p, "podCertificate"), paths, s->pod_certificate);
    if (n > 1)
        fault_forbidden(v, p, "may not specify more than 1 volume type per source");
}

static void check_projected(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_projected_volume_source *s = source;
    CLEANUP(map_fini) struct map paths = MAP_INIT_BORROWED;
    check_mode(v, AT(p, "defaultMode"), s->default_mode);
    for (size_t i = 0; i < s->sources.n; i++)
        check_projection(v, AT_INDEX(AT(p, "sources"), i), p, &paths, &s->sources.v[i]);
}

/* ---- the other sources of pods ---- */

static void check_empty_dir(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_empty_dir_volume_source *s = source;
    if (s->size_limit.text.n && s->size_limit.text.p[0] == '-')
        fault_forbidden(v, AT(p, "sizeLimit"), "SizeLimit field must be a valid resource quantity");
}

static void check_git_repo(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_git_repo_volume_source *s = source;
    if (!s->repository.n)
        fault_required(v, AT(p, "repository"), "%s", "");
    check_relative_path(v, AT(p, "directory"), s->directory);
}

static void check_claim(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_persistent_volume_claim_volume_source *s = source;
    if (!s->claim_name.n)
        fault_required(v, AT(p, "claimName"), "%s", "");
}

static void check_iscsi(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_iscsi_volume_source *s = source;
    bool chap = s->chap_auth_discovery || s->chap_auth_session;
    check_iscsi_target(v, p, s->target_portal, s->iqn, s->initiator_name, s->lun,
                       chap && !s->secret_ref);
}

static void check_glusterfs(struct validation *v, const struct field_path *p, const void *source)
{
    check_required_fields(v, p, &corev1_glusterfs_volume_source_desc, source);
}

static void check_rbd(struct validation *v, const struct field_path *p, const void *source)
{
    check_required_fields(v, p, &corev1_rbd_volume_source_desc, source);
}

static void check_cephfs(struct validation *v, const struct field_path *p, const void *source)
{
    check_required_fields(v, p, &corev1_ceph_fs_volume_source_desc, source);
}

static void check_azure_file(struct validation *v, const struct field_path *p, const void *source)
{
    check_required_fields(v, p, &corev1_azure_file_volume_source_desc, source);
}

static void check_cinder(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_cinder_volume_source *s = source;
    if (!s->volume_id.n)
        fault_required(v, AT(p, "volumeID"), "%s", "");
    if (s->secret_ref && !s->secret_ref->name.n)
        fault_required(v, AT(AT(p, "secretRef"), "name"), "%s", "");
}

static void check_flex(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_flex_volume_source *s = source;
    if (!s->driver.n)
        fault_required(v, AT(p, "driver"), "%s", "");
    check_flex_options(v, AT(p, "options"), &s->options);
}

static void check_scale_io(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_scale_io_volume_source *s = source;
    if (!s->gateway.n)
        fault_required(v, AT(p, "gateway"), "%s", "");
    if (!s->system.n)
        fault_required(v, AT(p, "system"), "%s", "");
    if (!s->volume_name.n)
        fault_required(v, AT(p, "volumeName"), "%s", "");
}

static void check_storage_os(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_storage_os_volume_source *s = source;
    check_required_format(v, AT(p, "volumeName"), s->volume_name, FORMAT_DNS_LABEL);
    if (s->volume_namespace.n)
        check_format(v, AT(p, "volumeNamespace"), s->volume_namespace, FORMAT_DNS_LABEL);
    if (s->secret_ref && !s->secret_ref->name.n)
        fault_required(v, AT(AT(p, "secretRef"), "name"), "%s", "");
}

static void check_csi(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_csi_volume_source *s = source;
    check_csi_driver_name(v, AT(p, "driver"), s->driver);
    if (!s->node_publish_secret_ref)
        return;
    if (!s->node_publish_secret_ref->name.n)
        fault_required(v, AT(AT(p, "nodePublishSecretRef"), "name"), "%s", "");
    else
        check_format(v, AT(p, "name"), s->node_publish_secret_ref->name, FORMAT_DNS_SUBDOMAIN);
}

/* Metadata of a template of another object: labels and annotations only. */
static void check_template_meta(struct validation *v, const struct field_path *p,
                                const struct metav1_object_meta *m)
{
    check_annotations(v, AT(p, "annotations"), &m->annotations);
    check_labels(v, AT(p, "labels"), &m->labels);
    const struct desc *d = &metav1_object_meta_desc;
    for (size_t i = 0; i < d->n_json; i++) {
        const struct field *f = &d->fields[i];
        if (strcmp(f->name, "labels") != 0 && strcmp(f->name, "annotations") != 0 &&
            !field_is_absent(f, (const char *)m + f->offset))
            fault_forbidden(v, AT(p, f->name), "cannot be set");
    }
}

static void check_ephemeral(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_ephemeral_volume_source *s = source;
    const struct field_path *at = AT(p, "volumeClaimTemplate");
    if (!s->volume_claim_template) {
        fault_required(v, at, "%s", "");
        return;
    }
    check_template_meta(v, AT(at, "metadata"), &s->volume_claim_template->metadata);
    check_pvc_spec(v, AT(at, "spec"), &s->volume_claim_template->spec);
}

static void check_image(struct validation *v, const struct field_path *p, const void *source)
{
    const struct corev1_image_volume_source *s = source;
    if (!s->reference.n)
        fault_required(v, AT(p, "reference"), "%s", "");
    check_schema_enum_required(v, p, &corev1_image_volume_source_desc, "pullPolicy",
                               s->pull_policy);
}

/* In the order in which upstream looks at them: the first one set is checked. */
static const struct volume_kind kinds[] = {
#define KIND(name, member, check)                                                                  \
    {                                                                                              \
        name, NULL, offsetof(struct corev1_volume_source, member), check                           \
    }
    KIND("emptyDir", empty_dir, check_empty_dir),
    KIND("hostPath", host_path, check_host_path),
    KIND("gitRepo", git_repo, check_git_repo),
    {"gcePersistentDisk", "persistentDisk",
     offsetof(struct corev1_volume_source, gce_persistent_disk), check_gce_disk},
    KIND("awsElasticBlockStore", aws_elastic_block_store, check_aws_disk),
    KIND("secret", secret, check_secret),
    KIND("nfs", nfs, check_nfs),
    KIND("iscsi", iscsi, check_iscsi),
    KIND("glusterfs", glusterfs, check_glusterfs),
    KIND("flocker", flocker, check_flocker),
    KIND("persistentVolumeClaim", persistent_volume_claim, check_claim),
    KIND("rbd", rbd, check_rbd),
    KIND("cinder", cinder, check_cinder),
    {"cephFS", "cephfs", offsetof(struct corev1_volume_source, cephfs), check_cephfs},
    KIND("quobyte", quobyte, check_quobyte),
    {"downwarAPI", "downwardAPI", offsetof(struct corev1_volume_source, downward_api),
     check_downward_api},
    KIND("fc", fc, check_fc),
    KIND("flexVolume", flex_volume, check_flex),
    KIND("configMap", config_map, check_config_map),
    KIND("azureFile", azure_file, check_azure_file),
    KIND("vsphereVolume", vsphere_volume, check_vsphere),
    KIND("photonPersistentDisk", photon_persistent_disk, check_photon),
    KIND("portworxVolume", portworx_volume, check_portworx),
    KIND("azureDisk", azure_disk, check_azure_disk),
    KIND("storageos", storageos, check_storage_os),
    KIND("projected", projected, check_projected),
    KIND("scaleIO", scale_io, check_scale_io),
    KIND("csi", csi, check_csi),
    KIND("ephemeral", ephemeral, check_ephemeral),
    KIND("image", image, check_image),
    {0},
#undef KIND
};

size_t check_volume_union(struct validation *v, const struct field_path *p,
                          const struct volume_kind *k, const void *source)
{
    size_t n = 0;
    for (; k->name; k++) {
        const void *member = *(const void *const *)(const void *)((const char *)source + k->offset);
        if (!member)
            continue;
        if (n++)
            fault_forbidden(v, AT(p, k->name), "may not specify more than 1 volume type");
        else
            k->check(v, AT(p, k->path ? k->path : k->name), member);
    }
    if (!n)
        fault_required(v, p, "must specify a volume type");
    return n;
}

/* ---- the list ---- */

enum { ISCSI_NAME_MAX = 64 };

/* Checks that need the volume's name. */
static void check_named_source(struct pod_check *c, const struct field_path *p,
                               const struct corev1_volume *vol)
{
    const char *faults[FORMAT_FAULTS_MAX];
    if (vol->iscsi && vol->iscsi->initiator_name.p &&
        vol->name.n + 1 + vol->iscsi->target_portal.n > ISCSI_NAME_MAX)
        fault_invalid(c->v, AT(p, "name"), bad_str(vol->name),
                      "Total length of <volume name>:<iscsi.targetPortal> must be under 64 "
                      "characters if iscsi.initiatorName is specified.");
    if (!vol->ephemeral || !c->meta || !c->meta->name.n || !vol->name.n)
        return;
    struct str claim =
        arena_fmt(c->v->arena, "%.*s-%.*s", STR_ARG(c->meta->name), STR_ARG(vol->name));
    size_t n = format_faults(FORMAT_DNS_SUBDOMAIN, claim, faults);
    for (size_t i = 0; i < n; i++)
        fault_invalid(c->v, AT(p, "name"), bad_str(vol->name), "PVC name \"%.*s\": %s",
                      STR_ARG(claim), faults[i]);
}

/* The claims that ephemeral volumes of this pod will be. */
static void name_created_claims(struct pod_check *c, struct map *created)
{
    if (!c->meta || !c->meta->name.n)
        return;
    LIST_EACH (vol, &c->spec->volumes)
        if (vol->ephemeral)
            (void)seen_before(created, arena_fmt(c->v->arena, "%.*s-%.*s", STR_ARG(c->meta->name),
                                                 STR_ARG(vol->name)));
}

static void check_volume(struct pod_check *c, const struct field_path *p,
                         const struct corev1_volume *vol)
{
    uint32_t before = c->v->faults;
    check_volume_union(c->v, p, kinds, &vol->volume_source);
    check_named_source(c, p, vol);
    if (check_required_format(c->v, AT(p, "name"), vol->name, FORMAT_DNS_LABEL) &&
        map_has(&c->volumes, vol->name))
        fault_duplicate(c->v, AT(p, "name"), bad_str(vol->name));
    if (c->v->faults == before)
        map_put(&c->volumes, vol->name, (void *)(uintptr_t)vol);
}

void check_volumes(struct pod_check *c, const struct field_path *p)
{
    CLEANUP(map_fini) struct map created = MAP_INIT_BORROWED;
    name_created_claims(c, &created);
    for (size_t i = 0; i < c->spec->volumes.n; i++) {
        const struct corev1_volume *vol = &c->spec->volumes.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        check_volume(c, at, vol);
        if (vol->persistent_volume_claim && vol->persistent_volume_claim->claim_name.n &&
            map_has(&created, vol->persistent_volume_claim->claim_name))
            fault_invalid(c->v, AT(AT(at, "persistentVolumeClaim"), "claimName"),
                          bad_str(vol->persistent_volume_claim->claim_name),
                          "must not reference a PVC that gets created for an ephemeral volume");
    }
}
