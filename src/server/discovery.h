/* SPDX-License-Identifier: Apache-2.0 */
/* discovery.h: what is served, told to clients. */
#ifndef BARQUE_SERVER_DISCOVERY_H
#define BARQUE_SERVER_DISCOVERY_H

#include "server/request.h"

/* Answers a path below /api or /apis; false: it is none of discovery's. */
bool discovery_run(struct request *r, struct str *parts, size_t n);
/* Version priority: negative when a comes first ("v1" before "v1beta1"). */
int version_compare(struct str a, struct str b);

#endif
