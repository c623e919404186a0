/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_spec.h: from CRI's container configuration to the OCI runtime specification's config.json.
 *
 * Defaults are those of containerd's CRI plugin: what the configuration leaves out comes from the
 * image; standard mounts and devices are given unless a mount of the configuration takes their
 * place; the filter, masked and read-only paths are what the configuration says (an absent seccomp
 * profile is unconfined).
 *
 * What the host cannot give is reduced rather than refused: capabilities to those that this
 * process has, the OOM score to what may be set without CAP_SYS_RESOURCE.
 */
#ifndef BARQUE_ENGINE_OCI_SPEC_H
#define BARQUE_ENGINE_OCI_SPEC_H

#include "api/criv1.h"
#include "engine/cgroup.h"
#include "engine/oci_image.h"
#include "engine/users.h"

enum { SPEC_BYTES_MAX = 16 << 20, SPEC_PROFILE_MAX = 4 << 20 };

/* What this process may pass on. */
struct spec_host {
    const struct cgroups *cgroups;
    uint64_t capabilities; /* bit n: capability n is in our bounding set */
    int oom_score_adj_min;
    bool apparmor;
};
/* Reads /proc/self. cgroups is borrowed. */
void spec_host_init(struct spec_host *h, const struct cgroups *cgroups);

/* A mount that the engine has prepared itself; goes before those of the configuration. */
struct spec_bind {
    struct str source, destination;
    bool readonly;
};

struct spec_input {
    const struct spec_host *host;
    const struct criv1_container_config *config;
    const struct criv1_pod_sandbox_config *sandbox;
    const struct oci_config *image;
    const struct process_user *user;
    struct str hostname; /* for $HOSTNAME */
    const char *rootfs;  /* mounted */
    const char *cgroup;  /* "/barque/pod1/container1" */
    /* Paths of namespaces to join; NULL: the host's. pid: "" makes a new one. */
    const char *net_ns, *ipc_ns, *uts_ns, *pid_ns;
    const struct spec_bind *binds;
    size_t n_binds;
    const struct spec_bind *volumes; /* mounts of images, at the places of config->mounts */
    size_t n_volumes;
};

/* The whole config.json. Errors: ERR_BAD_REQUEST when the configuration asks for what cannot be
 * (no command, unknown capability, ...), ERR_NOT_FOUND for a profile or device that is missing.
 * Makes missing host folders of bind mounts, as containerd does. Blocking. */
int spec_write(struct arena *a, const struct spec_input *in, struct str *ret,
               struct err *e) MUST_USE;

/* The command line that the configuration and the image give together; empty when neither has
 * one. */
struct str_list spec_args(struct arena *a, const struct criv1_container_config *config,
                          const struct oci_config *image);
/* config.working_dir, the image's, or "/". */
struct str spec_working_dir(const struct criv1_container_config *config,
                            const struct oci_config *image);

/* 0..40 for "CAP_CHOWN" or "chown", -1 for an unknown name. */
int capability_parse(struct str name);

#endif
