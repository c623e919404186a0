/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expire.h: Events live for an hour after their last change (kube-apiserver's --event-ttl). Since
 * all have the same time to live they end in the order in which they were written: one queue, and
 * one timer for its head.
 */
#ifndef BARQUE_SERVER_EXPIRE_H
#define BARQUE_SERVER_EXPIRE_H

#include "server/server.h"

struct expiry;
int expiry_new(struct server *s, struct expiry **ret, struct err *e) MUST_USE;
void expiry_free(struct expiry *x);

#endif
