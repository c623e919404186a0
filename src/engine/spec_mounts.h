/* SPDX-License-Identifier: Apache-2.0 */
/* spec_mounts.h: the mounts of a container's specification (a part of oci_spec.c). */
#ifndef BARQUE_ENGINE_SPEC_MOUNTS_H
#define BARQUE_ENGINE_SPEC_MOUNTS_H

#include "base/buf.h"
#include "engine/oci_spec.h"

/* Writes the member "mounts". */
int spec_put_mounts(struct buf *b, const struct spec_input *in, bool privileged, struct arena *a,
                    struct err *e) MUST_USE;
/* "rprivate", or what the widest mount asks for. */
const char *spec_root_propagation(const struct criv1_container_config *config);

#endif
