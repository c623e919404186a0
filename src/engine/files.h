/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.h: whole files and folder trees, blocking. For worker threads, start-up and tools.
 *
 * `dir` is a folder's descriptor or AT_FDCWD. None of these follows a symbolic link in the last
 * component of the path it changes.
 */
#ifndef BARQUE_ENGINE_FILES_H
#define BARQUE_ENGINE_FILES_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* The whole file, NUL-terminated on the arena. ERR_NOT_FOUND when it is not there, ERR_LIMIT when
 * it has more than max_bytes. */
int file_read(struct arena *a, int dir, const char *path, size_t max_bytes, struct str *ret,
              struct err *e) MUST_USE;
/* A file in procfs, sysfs or cgroupfs, whose size is not known before: the first max_bytes. Not
 * there or not readable: false. */
bool file_read_small(int dir, const char *path, char *out, size_t max_bytes, size_t *ret_n);
/* The first number in such a file. */
bool file_read_u64(int dir, const char *path, uint64_t *ret);

enum file_durability { FILE_FAST, FILE_DURABLE };
/* Replaces the file in one step: readers see the old or the new content. FILE_DURABLE: on disk,
 * name included, when it returns. */
int file_write(int dir, const char *path, struct str content, mode_t mode, enum file_durability how,
               struct err *e) MUST_USE;
/* One write(2) to an existing file (procfs, cgroupfs). Returns 0 or the negative errno. */
int file_poke(int dir, const char *path, struct str content) MUST_USE;

/* mkdir -p. An existing folder is fine and keeps its mode. */
int dir_make(const char *path, mode_t mode, struct err *e) MUST_USE;
/* A descriptor for reading the folder, or -1 with errno. */
int dir_open(int dir, const char *path);
/* A file for reading that a hostile tree names: links are followed, but as if `dir` were the root.
 * -1 with errno. */
int open_in_root(int dir, const char *path);
/* fsync of the folder itself, so that names made in it survive. */
int dir_sync(int dir, struct err *e) MUST_USE;

/* rm -rf, however deep the tree is, without following links or entering other mounts. What is
 * not there is fine. */
int tree_remove(int dir, const char *path, struct err *e) MUST_USE;

/* Bytes and inodes in use under path (du -sx); hard links are counted once per name. */
struct tree_usage {
    uint64_t bytes; /* of disk blocks */
    uint64_t inodes;
};
int tree_measure(int dir, const char *path, struct tree_usage *ret, struct err *e) MUST_USE;

/* Calls fn for each name but "." and ".."; stops early when fn returns non-zero, and returns
 * that. A missing folder has no names. */
int dir_each(int dir, const char *path, int (*fn)(void *arg, int dir, const char *name), void *arg,
             struct err *e) MUST_USE;

#endif
