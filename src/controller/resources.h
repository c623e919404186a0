/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resources.h: all resources whose objects can be deleted, once each: what the garbage collector
 * and the namespace controller work on.
 */
#ifndef BARQUE_CONTROLLER_RESOURCES_H
#define BARQUE_CONTROLLER_RESOURCES_H

#include "controller/controller.h"

/* Served, listed, watched and deleted; in one version, when there are several. */
bool resource_collectable(const struct resource_def *d);
/* "deployments.apps", "pods.": as upstream's conditions name a resource. */
struct str resource_dotted(struct arena *a, const struct resource_def *d);

#endif
