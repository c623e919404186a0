/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack.h: a layer's tar archive becomes a folder that overlayfs can stack.
 *
 * Whiteouts of the OCI image format become overlayfs whiteouts (character device 0:0) and opaque
 * folders (xattr trusted.overlay.opaque). What a layer leaves unsaid is taken from the layers
 * below: a folder that has no entry of its own keeps the mode, owner and xattrs it has there, a
 * symbolic link on the way is followed, the target of a hard link is copied up.
 *
 * The archive is hostile: nothing outside the target folder is ever opened, whatever links, "..",
 * devices or hard links it holds; entries, path lengths and bytes are bounded. Blocking; needs
 * root (devices, owners, trusted xattrs).
 */
#ifndef BARQUE_ENGINE_UNPACK_H
#define BARQUE_ENGINE_UNPACK_H

#include "base/err.h"
#include "engine/inflate.h"

enum {
    UNPACK_ENTRIES_MAX = 4 << 20,
    UNPACK_PATH_MAX = 4096,
    UNPACK_LINKS_MAX = 40, /* symbolic links followed for one path */
};
#define UNPACK_BYTES_MAX ((uint64_t)1 << 38) /* 256 GiB of plain tar */

enum unpack_mode {
    UNPACK_LAYER, /* everything said above */
    UNPACK_FILES, /* an archive of archives: files, folders and links only; owners, modes, xattrs
                     and devices are ignored */
};

struct unpack {
    enum unpack_mode mode;
    int target;       /* the folder, open */
    const int *below; /* folders of the layers underneath, the nearest first */
    size_t n_below;
};

/* Reads a tar stream (plain, gzip, zstd) from blob_fd's position to its end. The digest of the
 * plain tar (the layer's diff id) goes to ret_diff_id. ERR_INVALID: not a tar, or unsafe; the
 * target is left half-made. */
int unpack_tar(const struct unpack *how, int blob_fd, char ret_diff_id[DIGEST_TEXT_LEN + 1],
               struct err *e) MUST_USE;

#endif
