/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netns.h: network namespaces pinned by a bind mount, as ip-netns(8) does it.
 *
 * A namespace belongs to the calling thread, so a worker may visit another one; it must be home
 * again before it does anything else (netns_leave sees to that, or ends the process).
 */
#ifndef BARQUE_NETWORK_NETNS_H
#define BARQUE_NETWORK_NETNS_H

#include "base/err.h"

/* Makes a namespace, pins it at path (a file that is created) and moves the thread into it.
 * Returns a descriptor of the namespace the thread came from, for netns_leave; or -code. */
int netns_create(const char *path, struct err *e) MUST_USE;
void netns_leave(int home_fd); /* closes it */

bool netns_pinned(const char *path);
/* Unmounts and removes the file, whatever is there of both. */
void netns_unpin(const char *path);

#endif
