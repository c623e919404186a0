/* SPDX-License-Identifier: Apache-2.0 */
/*
 * users.h: who a container's process is, from the pod's security context, the image's User and
 * the image's own /etc/passwd and /etc/group (hostile files: bounded, links stay in the image).
 *
 * Rules are those of containerd's CRI plugin: run_as_username or run_as_user go before the image's
 * User; a number that the image does not know is taken as it is, with group 0; a name must exist.
 */
#ifndef BARQUE_ENGINE_USERS_H
#define BARQUE_ENGINE_USERS_H

#include "api/criv1.h"
#include "base/err.h"

enum { USERS_FILE_MAX = 1 << 20, USER_GROUPS_MAX = 4096 };

struct process_user {
    uint32_t uid, gid;
    uint32_t *groups; /* supplementary, on the arena */
    size_t n_groups;
    struct str name; /* as /etc/passwd has it; empty when unknown */
    struct str home; /* likewise */
};

/* sc may be NULL. Errors: ERR_BAD_REQUEST. */
int user_resolve(struct arena *a, const char *rootfs, struct str image_user,
                 const struct criv1_linux_container_security_context *sc, struct process_user *ret,
                 struct err *e) MUST_USE;

#endif
