/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alloc.h: what the server gives to Services: cluster IPs and node ports.
 *
 * What is in use is read from the stored Services and kept by following them; an assignment is
 * held from the moment it is made, so that two writes on their way never get the same.
 */
#ifndef BARQUE_SERVER_ALLOC_H
#define BARQUE_SERVER_ALLOC_H

#include "server/write.h"

struct alloc;
/* service_cidr and node_ports come from the configuration. */
int alloc_new(struct server *s, struct alloc **ret, struct err *e) MUST_USE;
void alloc_free(struct alloc *al);
/* Completes w->obj if it is a Service: assigns what is missing, checks what is asked for. */
int alloc_assign(struct write *w) MUST_USE;
/* The first address of the range: the kubernetes Service. */
struct str alloc_first_ip(struct alloc *al, struct arena *a);

#endif
