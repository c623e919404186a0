/* SPDX-License-Identifier: Apache-2.0 */
/* bootstrap.h: the objects that a new cluster starts with. */
#ifndef BARQUE_SERVER_BOOTSTRAP_H
#define BARQUE_SERVER_BOOTSTRAP_H

#include "server/write.h"

/* Queues the writes of what is missing. */
void bootstrap(struct server *s);

#endif
