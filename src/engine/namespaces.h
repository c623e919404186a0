/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespaces.h: namespaces that live without a process: each is pinned by a bind mount of its
 * file in /proc. A pod's UTS and IPC namespaces need no process; a shared PID namespace needs its
 * init, which is the helper's `pause` (helper.h).
 *
 * Blocking calls for a worker thread: they enter the new namespace and come back. A thread that
 * cannot come back ends the process rather than run in the wrong namespace.
 */
#ifndef BARQUE_ENGINE_NAMESPACES_H
#define BARQUE_ENGINE_NAMESPACES_H

#include "api/types.h"
#include "base/err.h"

struct namespace_plan {
    const char *uts_pin; /* path of the file to pin at, made when missing; NULL: the host's */
    const char *ipc_pin; /* likewise */
    const char
        *net_pin;  /* with make_net a path to pin at, else an existing pin; NULL: the host's */
    bool make_net; /* a network namespace with nothing but loopback */
    struct str hostname;           /* for a new UTS namespace */
    const struct str_map *sysctls; /* names with dots or slashes: "net.ipv4.ip_forward" */
};

/* Makes the namespaces, sets the host name and the sysctls. Pins that are mounted already are
 * replaced. A sysctl must be of a namespace that the plan makes or (net) names: ERR_BAD_REQUEST
 * otherwise. */
int namespaces_make(const struct namespace_plan *plan, struct err *e) MUST_USE;
/* Unmounts and removes the pin; fine when it is not there. */
int namespace_unpin(const char *pin, struct err *e) MUST_USE;
/* Is a namespace pinned there? After a restart of the machine it is not. */
bool namespace_pinned(const char *pin);

/* The text of a small file in procfs, read from inside the network namespace. */
int namespace_read(const char *net_pin, const char *path, struct arena *a, struct str *ret,
                   struct err *e) MUST_USE;

/* A TCP socket made inside the network namespace (NULL: the host's), not yet connected,
 * non-blocking. Returns the descriptor or a negative code. family: AF_INET or AF_INET6. Quick
 * enough for the loop. */
int namespace_socket(const char *net_pin, int family, struct err *e) MUST_USE;

#endif
