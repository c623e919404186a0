/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h: what was made on the host, written down before it is made.
 *
 *   <data_dir>/network/host          the cluster's name, its ranges, and sysctls as they were
 *   <data_dir>/network/adding/<id>   a pod whose network is being made
 *   <data_dir>/network/pods/<id>     one that has it
 *   <data_dir>/network/removing/<id> one whose network is being taken away
 *   <data_dir>/network/netns/<id>    its network namespace: a bind mount
 *
 * A record moves between the folders by rename, so whatever a dying agent leaves says what is to
 * be finished or undone. Files are replaced whole, never synced: they matter only as long as the
 * kernel that has the links runs. So <data_dir>/network is a tmpfs of its own, which is gone after
 * a boot together with everything it tells of (and makes files in microseconds).
 *
 * All calls block on the file system.
 */
#ifndef BARQUE_NETWORK_RECORD_H
#define BARQUE_NETWORK_RECORD_H

#include "base/vec.h"
#include "network/network.h"

enum { RECORD_MAX = 1 << 16 /* bytes of a file */, SYSCTL_PATH_MAX = 96, SYSCTL_VALUE_MAX = 16 };

/* A path below /proc/sys and the value it had. */
struct record_sysctl {
    char path[SYSCTL_PATH_MAX];
    char value[SYSCTL_VALUE_MAX];
};

struct record_host {
    char name[NETWORK_NAME_MAX + 1];
    char ranges[256];
    VEC(struct record_sysctl) sysctls; /* in the order in which they are to be restored */
};

/* 1: there is none. ERR_STORE_CORRUPT: not readable as such. */
int record_host_load(const char *dir, struct record_host *ret, struct err *e) MUST_USE;
/* Makes the folders too, and mounts the first. */
int record_host_save(const char *dir, const struct record_host *h, struct err *e) MUST_USE;
void record_host_fini(struct record_host *h);

struct record_port {
    struct ip host_ip; /* zero bytes: any */
    enum network_protocol protocol;
    uint16_t host_port, container_port;
};

struct record_pod {
    char id[NETWORK_ID_MAX + 1];
    uint32_t offset; /* of its addresses in the pod CIDRs */
    struct record_port *ports;
    size_t port_count;
};

bool record_id_valid(struct str id);

enum record_stage { RECORD_ADDING, RECORD_PODS, RECORD_REMOVING, RECORD_STAGES };

int record_pod_save(const char *dir, const struct record_pod *p, struct err *e) MUST_USE;
int record_pod_move(const char *dir, const char *id, enum record_stage from, enum record_stage to,
                    struct err *e) MUST_USE;
void record_pod_forget(const char *dir, const char *id, enum record_stage stage);

/* The pods of a stage; a record that cannot be read has offset 0. */
struct record_pods {
    VEC(struct record_pod) v;
};
int record_pods_load(const char *dir, enum record_stage stage, struct record_pods *ret,
                     struct err *e) MUST_USE;
void record_pods_free(struct record_pods *v);

/* Freed by the caller. */
char *record_pin_path(const char *dir, const char *id);

/* Removes all that is left of dir, the mount included. */
int record_remove_all(const char *dir, struct err *e) MUST_USE;

/* A small file as text, NUL-terminated, at most room - 1 bytes; a negative errno. */
ssize_t file_read(const char *path, char *out, size_t room);
int file_write(const char *path, struct str text); /* existing file; 0 or a negative errno */

#endif
