/* SPDX-License-Identifier: Apache-2.0 */
/*
 * treewalk.h: finding and making folders inside a layer that lies upon other layers, never
 * leaving it.
 *
 * Paths are clean (no leading slash, no "." or ".."). Every step is one component, opened without
 * following links; a symbolic link is read and its text walked from the layer's root or from the
 * folder it stands in, so that an absolute link stays inside. What the layer lacks is looked for
 * in the layers below as overlayfs would show it: the nearest wins, whiteouts and opaque folders
 * hide.
 */
#ifndef BARQUE_ENGINE_TREEWALK_H
#define BARQUE_ENGINE_TREEWALK_H

#include <sys/stat.h>

#include "base/base.h"

struct tree_walk {
    int root;         /* borrowed */
    const int *below; /* borrowed; nearest first */
    size_t n_below;
    char *cached;  /* the parent path walked last, and where it led. It cannot go stale: an */
    int cached_fd; /* entry changes only what is in its own parent */
};

void tree_walk_init(struct tree_walk *w, int root, const int *below, size_t n_below);
void tree_walk_fini(struct tree_walk *w);

/* The folder that holds the path's last component, made where missing. The descriptor (O_PATH)
 * stays the walk's and is good until the next call. -1 with errno. */
int tree_walk_parent(struct tree_walk *w, const char *path);
/* Copies the regular file at path from the layers below to parent, with its attributes. -1 with
 * errno; ENOENT when it is nowhere. */
int tree_walk_copy_up(struct tree_walk *w, int parent, const char *path);

/* A folder under root that is reached without any link, O_PATH; -1 with errno. */
int tree_open_plain(int root, const char *path);
int tree_mark_opaque(int dir, const char *name);
bool tree_is_whiteout(const struct stat *st);

#endif
