/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack.h: a root filesystem folder becomes a layer blob: tar (pax), zstd, sorted by name, so that
 * the same folder gives the same digest. Sockets are left out; other mounts are not entered.
 */
#ifndef BARQUE_ENGINE_PACK_H
#define BARQUE_ENGINE_PACK_H

#include "engine/content.h"

enum { PACK_DEPTH_MAX = 256 };

int pack_folder(const struct content *c, const char *path, char ret_diff_id[DIGEST_TEXT_LEN + 1],
                char ret_digest[DIGEST_TEXT_LEN + 1], uint64_t *ret_size, struct err *e) MUST_USE;

#endif
