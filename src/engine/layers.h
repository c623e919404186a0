/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers.h: unpacked layers, one folder for each chain id: <store>/layers/<hex>/fs.
 *
 * A chain id names a layer together with all layers below it (OCI image-spec, config.md), so that
 * images with a common base share folders. A folder appears under its name only when it is whole,
 * verified against its diff id, and on disk. Blocking; needs root.
 */
#ifndef BARQUE_ENGINE_LAYERS_H
#define BARQUE_ENGINE_LAYERS_H

#include "base/arena.h"
#include "base/err.h"
#include "engine/content.h"

enum { LAYERS_MAX = 1024 }; /* in one image */

/* chain(0) = diff(0); chain(i) = sha256("chain(i-1) diff(i)"). Writes n digests. */
void layers_chain(struct arena *a, const struct str *diff_ids, size_t n, struct str *ret);

/* "<store>/layers/<hex>/fs" */
struct str layers_path(struct arena *a, const struct content *c, struct str chain_id);
bool layers_have(const struct content *c, struct str chain_id);

/* Unpacks the blob as the last of n layers; the ones below must be there. Nothing to do when it
 * is there already. ERR_INVALID: the blob is no good layer or does not have the diff id. */
int layers_unpack(const struct content *c, struct str blob_digest, struct str diff_id,
                  const struct str *chain_ids, size_t n, struct err *e) MUST_USE;

/* Bytes and inodes of one layer, as counted when it was unpacked. */
int layers_usage(const struct content *c, struct str chain_id, uint64_t *ret_bytes,
                 uint64_t *ret_inodes) MUST_USE;

/* Removes the layers for which keep() says false. */
int layers_sweep(const struct content *c, bool (*keep)(void *arg, struct str chain_id), void *arg,
                 struct err *e) MUST_USE;

#endif
