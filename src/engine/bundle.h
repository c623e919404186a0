/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.h: the blocking half of making a container: its folder, its mounted root and its OCI
 * specification. Runs on a worker, with everything it needs given.
 */
#ifndef BARQUE_ENGINE_BUNDLE_H
#define BARQUE_ENGINE_BUNDLE_H

#include "engine/local.h"

struct bundle {
    const struct local *g; /* its constant part */
    struct arena *a;
    struct err *e;
    const struct criv1_container_config *config;
    const struct criv1_pod_sandbox_config *sandbox;
    struct str id, sandbox_id, cgroup;
    const char *net_ns, *ipc_ns, *uts_ns, *pid_ns; /* as in struct spec_input */
    bool host_ipc;
    bool readonly_rootfs;

    /* results, on the arena */
    struct str image_ref, image_id;
    struct process_user user;
    int stop_signal; /* of the image; 0: it names none */
};

/* On failure everything is undone. */
int bundle_make(struct bundle *b) MUST_USE;
/* Unmounts the root; the written layer stays. */
int bundle_unmount(const struct local *g, struct str id, struct err *e) MUST_USE;
int bundle_remove(const struct local *g, struct str id, struct err *e) MUST_USE;

#endif
