/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_image.h: manifests, indexes and configurations of images, in the OCI format and in that of
 * Docker (schema 2), read and written. All input is hostile: text sizes are bounded by the
 * caller's read (OCI_DOCUMENT_MAX), counts here.
 */
#ifndef BARQUE_ENGINE_OCI_IMAGE_H
#define BARQUE_ENGINE_OCI_IMAGE_H

#include "api/types.h"
#include "base/err.h"

enum { OCI_DOCUMENT_MAX = 4 << 20, OCI_INDEX_MAX = 1000 };

#define OCI_MANIFEST_TYPE    "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX_TYPE       "application/vnd.oci.image.index.v1+json"
#define OCI_CONFIG_TYPE      "application/vnd.oci.image.config.v1+json"
#define OCI_LAYER_TYPE       "application/vnd.oci.image.layer.v1.tar"
#define DOCKER_MANIFEST_TYPE "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_INDEX_TYPE    "application/vnd.docker.distribution.manifest.list.v2+json"

struct oci_blob {
    struct str media_type;
    struct str digest; /* valid */
    int64_t size;      /* bytes, >= 0 */
};

struct oci_manifest {
    struct oci_blob config;
    struct oci_blob *layers; /* bottom first */
    size_t n_layers;
};

struct oci_platform {
    struct str os, architecture, variant;
};

struct oci_index_entry {
    struct oci_blob blob;
    struct oci_platform platform; /* empty strings: not said */
    struct str name;              /* annotation org.opencontainers.image.ref.name */
    struct str full_name;         /* annotation io.containerd.image.name */
};

struct oci_index {
    struct oci_index_entry *v;
    size_t n;
};

/* What a container inherits from its image. */
struct oci_config {
    struct oci_platform platform;
    struct str user;
    struct str_list env, entrypoint, cmd;
    struct str working_dir;
    struct str stop_signal;
    struct str_list volumes; /* paths */
    struct str_map labels;
    struct str_list diff_ids;
};

enum oci_kind { OCI_IS_MANIFEST, OCI_IS_INDEX };
/* By mediaType, or by shape where a document does not say. ERR_INVALID for anything else. */
int oci_kind_of(struct arena *a, struct str text, enum oci_kind *ret, struct err *e) MUST_USE;

/* Errors: ERR_INVALID. Results view the text or live on the arena. */
int oci_manifest_parse(struct arena *a, struct str text, struct oci_manifest *ret,
                       struct err *e) MUST_USE;
int oci_index_parse(struct arena *a, struct str text, struct oci_index *ret,
                    struct err *e) MUST_USE;
int oci_config_parse(struct arena *a, struct str text, struct oci_config *ret,
                     struct err *e) MUST_USE;

/* Of the machine that we run on: "linux", "amd64", "". */
struct oci_platform oci_platform_host(void);
/* The entry for the platform: exact variant first, then any variant; NULL when none fits. Entries
 * that do not say their platform fit last. */
const struct oci_index_entry *oci_index_select(const struct oci_index *index,
                                               const struct oci_platform *want);

/* A plain configuration for a root filesystem without any, and the manifest of an image. */
struct str oci_config_write(struct arena *a, const struct oci_platform *p, struct str diff_id,
                            const struct str_list *cmd);
struct str oci_manifest_write(struct arena *a, const struct oci_manifest *m);

#endif
