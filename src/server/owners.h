/* SPDX-License-Identifier: Apache-2.0 */
/* owners.h: metadata.managedFields of writes, and server-side apply. */
#ifndef BARQUE_SERVER_OWNERS_H
#define BARQUE_SERVER_OWNERS_H

#include "server/write.h"

/* Says in w->obj's managedFields what this write changes against w->old. */
int owners_track(struct write *w) MUST_USE;
/* Merges an applied configuration into w->old (NULL: into nothing): *ret is the new object's tree,
 * managedFields included, in the request's version. */
int owners_apply(struct write *w, const struct json *config, struct json **ret) MUST_USE;

#endif
