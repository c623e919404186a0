/* SPDX-License-Identifier: Apache-2.0 */
/* supervise.h: the small process that keeps server and agent running. */
#ifndef BARQUE_CMD_SUPERVISE_H
#define BARQUE_CMD_SUPERVISE_H

#include "cmd/cluster.h"

/* Starts the cluster's processes and restarts them when they end. detach: returns when the API
 * answers and (with_agent) the node is Ready, the supervisor goes on in the background. Otherwise
 * returns when the cluster was ended by a signal. */
int supervise(const struct cluster *c, bool detach, bool with_agent, struct err *e) MUST_USE;

#endif
