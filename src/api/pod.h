/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod.h: what pods, pod templates and the kinds that hold them share: defaults and checks of a
 * pod's spec. The rules are those of Kubernetes' core/v1 (pkg/apis/core/validation).
 *
 * The relaxations that upstream keeps for objects stored by its older releases are not here: what
 * this server stored was checked by these rules.
 */
#ifndef BARQUE_API_POD_H
#define BARQUE_API_POD_H

#include "api/corev1.h"
#include "api/validate.h"

/* ---- for kinds with a pod template ---- */

void pod_spec_defaults(struct arena *a, struct corev1_pod_spec *spec);
/* Those of a pod itself, beyond those of its spec. */
void pod_defaults(struct arena *a, struct corev1_pod *pod);
static inline void pod_template_defaults(struct arena *a, struct corev1_pod_template_spec *t)
{
    pod_spec_defaults(a, &t->spec);
}
void check_pod_template(struct validation *v, const struct field_path *p,
                        const struct corev1_pod_template_spec *t);

/* Does the selector of a workload select what its template makes? p: of the template. */
void check_template_selected(struct validation *v, const struct field_path *p,
                             const struct metav1_label_selector *s,
                             const struct corev1_pod_template_spec *t);
/* Pods of this workload run for ever: restartPolicy Always, no deadline. */
void check_endless_template(struct validation *v, const struct field_path *p,
                            const struct corev1_pod_template_spec *t, const char *kind);
/* The template of something that keeps replicas. */
void check_replica_template(struct validation *v, const struct field_path *p,
                            const struct metav1_label_selector *s,
                            const struct corev1_pod_template_spec *t);
/* Required when absent, and not empty. */
void check_workload_selector(struct validation *v, const struct field_path *p,
                             const struct metav1_label_selector *s, const char *kind);
/* Counts of a status, each at most what `replicas` says. */
struct replica_count {
    const char *name;
    int32_t n;
    bool of_all; /* may not exceed the first count */
};
void check_replica_counts(struct validation *v, const struct field_path *p,
                          const struct replica_count *counts, size_t n);
void check_not_decremented(struct validation *v, const struct field_path *p, const int32_t *now,
                           const int32_t *old);

/* ---- parts that other kinds use too ---- */

void check_tolerations(struct validation *v, const struct field_path *p,
                       const struct corev1_pod_spec *holder);
void check_node_selector(struct validation *v, const struct field_path *p,
                         const struct corev1_node_selector *s);
void check_node_selector_term(struct validation *v, const struct field_path *p,
                              const struct corev1_node_selector_term *t, bool allow_bad_values);
void check_taint_effect(struct validation *v, const struct field_path *p, struct str effect);
/* "Invalid" with all faults of a label value on one line; path: of the field to blame. */
bool check_label_value_joined(struct validation *v, const struct field_path *p, struct str value);
bool check_preemption_policy(struct validation *v, const struct field_path *p, struct str policy);
/* A relative path without "..", or a path that may be absolute. */
bool check_relative_path(struct validation *v, const struct field_path *p, struct str path);
bool check_no_backsteps(struct validation *v, const struct field_path *p, struct str path);
/* A relative path that does not begin with ".." either: files that volumes write. */
bool check_file_path(struct validation *v, const struct field_path *p, struct str path);
/* The name of a CSI driver. */
bool check_csi_driver_name(struct validation *v, const struct field_path *p, struct str name);
/* "example.com/signer": a domain with at least two labels and a path. */
bool check_signer_name(struct validation *v, const struct field_path *p, struct str name);
void check_pvc_spec(struct validation *v, const struct field_path *p,
                    const struct corev1_persistent_volume_claim_spec *spec);
/* ReadWriteOnce, ...; at least one, and ReadWriteOncePod alone. */
void check_access_modes(struct validation *v, const struct field_path *p,
                        const struct str_list *modes, const char *when_empty);
/* "registry/name:tag": does the image have to be pulled always ("latest" or no tag)? */
bool image_is_latest(struct str image);

/* ---- volume sources that pods and persistent volumes share ---- */

void check_host_path(struct validation *v, const struct field_path *p, const void *source);
void check_partition_source(struct validation *v, const struct field_path *p, const struct desc *d,
                            const void *source, int32_t partition);
void check_gce_disk(struct validation *v, const struct field_path *p, const void *source);
void check_aws_disk(struct validation *v, const struct field_path *p, const void *source);
void check_nfs(struct validation *v, const struct field_path *p, const void *source);
void check_quobyte(struct validation *v, const struct field_path *p, const void *source);
void check_flocker(struct validation *v, const struct field_path *p, const void *source);
void check_fc(struct validation *v, const struct field_path *p, const void *source);
void check_azure_disk(struct validation *v, const struct field_path *p, const void *source);
void check_vsphere(struct validation *v, const struct field_path *p, const void *source);
void check_photon(struct validation *v, const struct field_path *p, const void *source);
void check_portworx(struct validation *v, const struct field_path *p, const void *source);
void check_flex_options(struct validation *v, const struct field_path *p,
                        const struct str_map *options);
void check_iscsi_target(struct validation *v, const struct field_path *p, struct str portal,
                        struct str iqn, struct str initiator, int32_t lun, bool needs_secret);

/* One kind of volume of a union: its JSON name, where its pointer is, how it is checked. */
struct volume_kind {
    const char *name, *path; /* path: the name in messages when it differs, or NULL */
    size_t offset;
    void (*check)(struct validation *v, const struct field_path *p, const void *source);
};
/* Checks the member of the union that is set; a fault when there are several or none. Returns the
 * number of members that are set. kinds ends with a row whose name is NULL. */
size_t check_volume_union(struct validation *v, const struct field_path *p,
                          const struct volume_kind *kinds, const void *source);

/* ---- private to pods ---- */

/* One check of one pod spec. */
struct pod_check {
    struct validation *v;
    const struct corev1_pod_spec *spec;
    const struct metav1_object_meta *meta; /* of the pod; NULL in a template */
    struct map volumes;                    /* name -> struct corev1_volume *, good ones only */
    struct str_list claims;                /* names of resource claims, sorted */
    bool host_users;
};

void check_volumes(struct pod_check *c, const struct field_path *p);
void check_containers(struct pod_check *c, const struct field_path *p);
void check_init_containers(struct pod_check *c, const struct field_path *p);
void check_ephemeral_containers(struct pod_check *c, const struct field_path *p);
void check_env(struct pod_check *c, const struct field_path *p,
               const struct corev1_container *container);
void check_env_from(struct validation *v, const struct field_path *p,
                    const struct corev1_container *container);
void check_volume_mounts(struct pod_check *c, const struct field_path *p,
                         const struct corev1_container *container);
void check_field_ref(struct validation *v, const struct field_path *p,
                     const struct corev1_object_field_selector *s, const char *const *fields);
void check_resource_field_ref(struct validation *v, const struct field_path *p,
                              const struct corev1_resource_field_selector *s, bool in_volume);
extern const char *const volume_field_refs[];
void check_affinity(struct validation *v, const struct field_path *p,
                    const struct corev1_affinity *a);
void check_spread_constraints(struct validation *v, const struct field_path *p,
                              const struct corev1_pod_spec *spec);
void check_container_security(struct pod_check *c, const struct field_path *p,
                              const struct corev1_security_context *s);
void check_pod_security(struct pod_check *c, const struct field_path *p);
void check_windows_host_process(struct pod_check *c, const struct field_path *p);
void check_os_fields(struct pod_check *c, const struct field_path *p);
/* Annotations that mean something for pods, and whether they agree with the fields. */
void check_pod_annotations(struct validation *v, const struct field_path *p,
                           const struct metav1_object_meta *meta,
                           const struct corev1_pod_spec *spec);
void check_profile_annotations(struct validation *v, const struct field_path *spec_path,
                               const struct metav1_object_meta *meta,
                               const struct corev1_pod_spec *spec);
/* meta NULL: a template's spec. */
void check_pod_spec(struct validation *v, const struct field_path *p,
                    const struct corev1_pod_spec *spec, const struct metav1_object_meta *meta);
void check_pod_update(struct validation *v, const struct corev1_pod *pod,
                      const struct corev1_pod *old);
void check_pod_ephemeral_update(struct validation *v, const struct corev1_pod *pod,
                                const struct corev1_pod *old);
void check_pod_resize(struct validation *v, const struct corev1_pod *pod,
                      const struct corev1_pod *old);
void check_pod_status(struct validation *v, const struct corev1_pod *pod,
                      const struct corev1_pod *old);

/* Calls visit for all containers of the pod: init, regular, ephemeral. The path is theirs. */
typedef void visit_container_fn(void *arg, const struct field_path *p,
                                const struct corev1_container *c);
void pod_visit_containers(const struct corev1_pod_spec *spec, const struct field_path *p,
                          visit_container_fn *visit, void *arg);

#endif
