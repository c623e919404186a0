/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h: a container's root: layers below, a writable folder on top, by overlayfs.
 *
 * A snapshot is a folder that holds upper/ (what the container wrote) and work/ (overlayfs' own),
 * mounted somewhere else. The upper layer is `volatile`: nothing is flushed when it is
 * unmounted, and after a crash of the machine it is not to be trusted; a container does not
 * outlive that anyway. Blocking; needs root.
 */
#ifndef BARQUE_ENGINE_SNAPSHOT_H
#define BARQUE_ENGINE_SNAPSHOT_H

#include "base/err.h"
#include "base/str.h"

/* Lower folders in one overlay mount; images with more layers are stacked in two stages. (The
 * kernel's own limit is 500.) */
enum { SNAPSHOT_LOWERS_MAX = 400 };

/* Makes the folders and mounts the snapshot at target, which is made too. lowers: absolute paths,
 * the top layer first, at least one; they must not change while mounted. */
int snapshot_mount(const char *folder, const char *target, const struct str *lowers, size_t n,
                   struct err *e) MUST_USE;
/* The layers alone, read-only, at `target` (an existing folder). */
int snapshot_mount_readonly(const char *target, const struct str *lowers, size_t n,
                            struct err *e) MUST_USE;
/* Unmounts a snapshot or an image; fine when it is not mounted. */
int snapshot_unmount(const char *target, struct err *e) MUST_USE;

/* Unmounts all that is mounted at or below the absolute path, the newest first. Returns how many
 * there were, or a negative code. */
int mounts_undo(const char *path, struct err *e) MUST_USE;
/* tree_remove, for a folder that may have mounts in it. */
int mounted_tree_remove(const char *path, struct err *e) MUST_USE;
/* Is something mounted right at the path? */
bool is_mount_point(const char *path);

#endif
