/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h: a container's root: layers below, a writable folder on top, by overlayfs.
 *
 * A snapshot is a folder that holds upper/ (what the container wrote), work/ (overlayfs' own) and
 * rootfs/ (the mount point). The upper layer is `volatile`: nothing is flushed when it is
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

/* Makes the folders and mounts the snapshot; a mount that is there already is fine, so that a step
 * cut short by a crash can be repeated. lowers: absolute paths, the top layer first, at least
 * one; they must not change while mounted. */
int snapshot_mount(const char *folder, const struct str *lowers, size_t n, struct err *e) MUST_USE;
/* The layers alone, read-only, at `target` (an existing folder). */
int snapshot_mount_readonly(const char *target, const struct str *lowers, size_t n,
                            struct err *e) MUST_USE;
/* Unmounts; upper/ stays. Fine when it is not mounted. */
int snapshot_unmount(const char *folder, struct err *e) MUST_USE;
/* Unmounts and removes the whole folder, with anything else that is mounted in it. */
int snapshot_remove(const char *folder, struct err *e) MUST_USE;

/* Unmounts all that is mounted at or below the absolute path, the newest first. Returns how many
 * there were, or a negative code. */
int mounts_undo(const char *path, struct err *e) MUST_USE;

#endif
