/* SPDX-License-Identifier: Apache-2.0 */
/* nonresource.h: paths that are no resources: version, health, metrics, discovery, OpenAPI. */
#ifndef BARQUE_SERVER_NONRESOURCE_H
#define BARQUE_SERVER_NONRESOURCE_H

#include "server/request.h"

/* Answers r by its path, 404 when there is nothing. */
void nonresource_run(struct request *r);

#endif
