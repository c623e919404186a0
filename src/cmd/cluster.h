/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster.h: one cluster on this machine: its data folder and the settings kept in it.
 *
 *   DIR/cluster.json       settings, written by `up`, read by every other verb
 *   DIR/admin.kubeconfig   for kubectl; mode 0600
 *   DIR/pki/               authority, certificates and keys
 *   DIR/server/            the database; belongs to the unprivileged user of the server
 *   DIR/node/              images, containers, volumes of the agent
 *   DIR/run/NAME.pid       process ids; DIR/log/NAME.log what they say
 */
#ifndef BARQUE_CMD_CLUSTER_H
#define BARQUE_CMD_CLUSTER_H

#include "base/err.h"

#define CLUSTER_DIR_DEFAULT "/var/lib/barque"

struct cluster {
    const char *dir;  /* absolute */
    const char *name; /* prefix of bridge, nft table, cgroup; the node's name */
    const char *pod_cidr, *service_cidr, *node_ports, *dns_ip, *domain;
    const char *bind_address; /* where the API listens */
    const char *node_ip;      /* of this machine, as other nodes see it */
    int64_t port, agent_port;
    int64_t uid, gid; /* of the server process */
};

/* Settings of a new cluster: defaults, node IP found out. Strings on the arena. */
void cluster_defaults(struct arena *a, const char *dir, struct cluster *ret);
/* Derives what follows from other settings (dns_ip) and checks all. ERR_INVALID. */
int cluster_check(struct arena *a, struct cluster *c, struct err *e) MUST_USE;
/* ERR_NOT_FOUND when there is no cluster in dir. */
int cluster_load(struct arena *a, const char *dir, struct cluster *ret, struct err *e) MUST_USE;
int cluster_save(const struct cluster *c, struct err *e) MUST_USE;

/* DIR/<relative path> on the arena. */
const char *cluster_path(struct arena *a, const struct cluster *c, const char *relative);

/* Makes authority, certificates, keys and the admin kubeconfig where they are missing or about to
 * end; gives the server's own files to its user. */
int cluster_credentials(const struct cluster *c, struct err *e) MUST_USE;

/* ---- small file helpers of this folder ---- */
int file_read(struct arena *a, const char *path, struct str *ret, struct err *e) MUST_USE;
/* Writes to a temporary file beside it, syncs, renames. */
int file_write(const char *path, struct str text, uint32_t mode, struct err *e) MUST_USE;

/* ---- process ids ---- */
/* The live process that DIR/run/<name>.pid names and that is ours (its command line is checked), or
 * 0. */
int pid_read(const struct cluster *c, const char *name);
int pid_write(const struct cluster *c, const char *name, int pid, struct err *e) MUST_USE;
void pid_remove(const struct cluster *c, const char *name);

#endif
