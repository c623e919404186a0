/* SPDX-License-Identifier: Apache-2.0 */
/* managed.h: metadata.managedFields: who set what. */
#ifndef BARQUE_SERVER_MANAGED_H
#define BARQUE_SERVER_MANAGED_H

#include "server/write.h"

/* Updates w->obj's managedFields for what this write changes against w->old. */
int managed_track(struct write *w) MUST_USE;
/* The manager's name: fieldManager, or the user agent's first part. */
struct str managed_name(const struct request *r);

#endif
