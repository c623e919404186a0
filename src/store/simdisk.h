/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simdisk.h: a disk for the simulator, and for tests of the store: it outlives the store that uses
 * it, can be slow, can fail, can lie about having synced, and decides after a crash what is left.
 * All of it is driven by the loop and by the scenario, so that a seed repeats it.
 *
 * A role runs on it by store_config.backend = sim_disk_open(loop, disk). A crash of the role is
 * store_abandon (backend.h: the process is gone), then sim_disk_crash (what the disk kept); then a
 * new store may be opened on the disk.
 */
#ifndef BARQUE_STORE_SIMDISK_H
#define BARQUE_STORE_SIMDISK_H

#include "base/list.h"
#include "base/vec.h"
#include "store/backend.h"

struct sim_row; /* private */

struct sim_disk {
    /* The scenario may change these at any time. */
    int64_t commit_ms;     /* how long a commit takes; 0: until the next round of the loop */
    uint32_t fail_next;    /* so many of the next commits fail and leave nothing */
    uint32_t unsynced_max; /* so many commits may be reported as durable before they are */
    uint64_t commits;      /* counts those that succeeded */
    /* private */
    VEC(struct sim_row *) rows; /* durable, by id */
    rev_t reserved;
    struct list unsynced; /* commits in order, the one under way last */
    size_t n_unsynced;
};

void sim_disk_init(struct sim_disk *d);
void sim_disk_fini(struct sim_disk *d);
/* Commits that a crash may lose now, the one under way included. */
size_t sim_disk_unsynced(const struct sim_disk *d);
/* The oldest `keep` of these survive, the rest is lost. */
void sim_disk_crash(struct sim_disk *d, size_t keep);
size_t sim_disk_rows(const struct sim_disk *d);

/* One store at a time. */
struct backend *sim_disk_open(struct loop *l, struct sim_disk *d);

#endif
