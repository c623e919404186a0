/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h: control groups of version 1, of version 2, and of hosts that have both mounted
 * ("hybrid": the controllers are on version 1, version 2 has none or few).
 *
 * On hybrid hosts the few controllers that version 2 may have are left alone: OCI runtimes do not
 * know how to use both.
 *
 * A group is named by its path in every hierarchy, "/barque/pods/x". Limits go where their
 * controller lives. All calls are a few reads and writes in a kernel filesystem: they may run on
 * the loop or on a worker; none keeps state but struct cgroups, which is constant after detection.
 *
 * Behaviour: the kernel's admin-guide cgroup-v1/ and cgroup-v2; conversion of cpu shares to
 * weights as runc and crun do it.
 */
#ifndef BARQUE_ENGINE_CGROUP_H
#define BARQUE_ENGINE_CGROUP_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#define CGROUP_CONTROLLERS(X)                                                                      \
    X(CPU, "cpu")                                                                                  \
    X(CPUACCT, "cpuacct")                                                                          \
    X(CPUSET, "cpuset")                                                                            \
    X(MEMORY, "memory")                                                                            \
    X(PIDS, "pids")                                                                                \
    X(HUGETLB, "hugetlb")                                                                          \
    X(BLKIO, "blkio")     /* "io" in version 2 */                                                  \
    X(DEVICES, "devices") /* version 1 only, as the following */                                   \
    X(FREEZER, "freezer")                                                                          \
    X(SYSTEMD, "name=systemd")

enum cgroup_controller {
#define X(constant, name) CGROUP_##constant,
    CGROUP_CONTROLLERS(X)
#undef X
        CGROUP_CONTROLLER_COUNT
};

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

enum { CGROUP_MOUNT_MAX = 128, CGROUP_PATH_MAX = 1024 };

struct cgroups {
    enum cgroup_mode mode;
    char v2[CGROUP_MOUNT_MAX];                          /* mount point, or "" */
    char v1[CGROUP_CONTROLLER_COUNT][CGROUP_MOUNT_MAX]; /* likewise */
    bool on_v2[CGROUP_CONTROLLER_COUNT];                /* the controller is one of version 2's */
};

/* Reads /proc/self/mountinfo. ERR_UNAVAILABLE when no cgroup filesystem is mounted. */
int cgroup_detect(struct cgroups *cg, struct err *e) MUST_USE;
/* The same from the text of a mountinfo file. */
int cgroup_detect_from(struct cgroups *cg, struct str mountinfo, struct err *e) MUST_USE;
bool cgroup_has(const struct cgroups *cg, enum cgroup_controller c);
/* "v1", "hybrid", "v2" */
const char *cgroup_mode_name(enum cgroup_mode mode);

/* Makes the group and its parents in every hierarchy; in version 2 the controllers are handed
 * down. An existing group is fine. */
int cgroup_make(const struct cgroups *cg, const char *path, struct err *e) MUST_USE;
/* Removes the group and all groups in it from every hierarchy. What is not there is fine; a group
 * with processes gives ERR_CONFLICT. */
int cgroup_remove(const struct cgroups *cg, const char *path, struct err *e) MUST_USE;
bool cgroup_exists(const struct cgroups *cg, const char *path);
/* Moves the process into the group in every hierarchy. */
int cgroup_join(const struct cgroups *cg, const char *path, int pid, struct err *e) MUST_USE;

/* SIGKILL to every process in the group and the groups in it, frozen ones included. Processes
 * that fork meanwhile are caught by calling again until it returns 0 processes. Returns how many
 * were signalled. */
int cgroup_kill(const struct cgroups *cg, const char *path);

struct cgroup_limits {
    /* A zero leaves the present value. */
    uint64_t cpu_shares;  /* 2..262144, 1024 is one share */
    int64_t cpu_quota_us; /* per period; -1: none */
    uint64_t cpu_period_us;
    int64_t memory_bytes;      /* -1: none */
    int64_t memory_swap_bytes; /* memory and swap together; -1: none */
    int64_t pids;              /* -1: none */
    struct str cpuset_cpus, cpuset_mems;
};
/* Sets what the host has controllers for. */
int cgroup_set(const struct cgroups *cg, const char *path, const struct cgroup_limits *l,
               struct err *e) MUST_USE;
/* Sets one file of version 2, "memory.oom.group"; ERR_BAD_REQUEST for a name with a slash. */
int cgroup_set_unified(const struct cgroups *cg, const char *path, struct str file,
                       struct str value, struct err *e) MUST_USE;

struct cgroup_stat {
    bool found;                  /* the group is there */
    uint64_t cpu_ns;             /* used since its beginning */
    uint64_t memory_bytes;       /* charged, page cache included */
    uint64_t working_set_bytes;  /* without inactive file pages */
    uint64_t rss_bytes;          /* anonymous memory */
    uint64_t memory_limit_bytes; /* UINT64_MAX: none */
    uint64_t swap_bytes;
    uint64_t page_faults, major_page_faults;
    uint64_t processes;
    uint64_t oom_kills;
};
void cgroup_stat(const struct cgroups *cg, const char *path, struct cgroup_stat *ret);
/* Kills by the OOM killer in the group and below, ever. */
uint64_t cgroup_oom_kills(const struct cgroups *cg, const char *path);

/* The weight of version 2 (1..10000) for the shares of version 1 (2..262144). */
uint64_t cgroup_weight_of_shares(uint64_t shares);

#endif
