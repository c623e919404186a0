/* SPDX-License-Identifier: Apache-2.0 */
/* ready.h: waiting for a cluster that was just started. */
#ifndef BARQUE_CMD_READY_H
#define BARQUE_CMD_READY_H

#include "cmd/cluster.h"

/* Returns 0 when the API answers and (with_node) the node is Ready; ERR_TIMEOUT else. */
int wait_ready(const struct cluster *c, bool with_node, int64_t timeout_ms, struct err *e) MUST_USE;

#endif
