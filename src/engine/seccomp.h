/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.h: the RuntimeDefault filter: system calls that a container may use.
 *
 * The policy is the one that container engines share by default: everything that needs a
 * capability of its own, a new namespace, or that reaches the kernel's rarely used corners is
 * refused with EPERM, unless the container holds the capability that makes it legitimate.
 */
#ifndef BARQUE_ENGINE_SECCOMP_H
#define BARQUE_ENGINE_SECCOMP_H

#include "base/buf.h"

/* Writes the value of linux.seccomp of the OCI runtime specification. capabilities: bit n is
 * capability n of linux/capability.h, the container's bounding set. */
void seccomp_default(struct buf *b, uint64_t capabilities);

#endif
