/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h: hands a request through to another HTTP server and the answer back, with back-pressure
 * both ways. A request with `Connection: Upgrade` that is answered by 101 becomes a pair of byte
 * streams that pass untouched, so that every protocol the two ends agree on works.
 */
#ifndef BARQUE_SERVER_RELAY_H
#define BARQUE_SERVER_RELAY_H

#include "server/request.h"

struct relay_target {
    struct str address;      /* "tcp:10.244.0.7:8080" */
    struct str host;         /* Host header, TLS server name */
    struct tls_context *tls; /* NULL: plain; borrowed for as long as the relay lives */
    struct str path;         /* with query */
    bool proxy;              /* headers pass too, both ways; else only the body does */
};

/* Answers r by what the target answers. */
void relay_start(struct request *r, const struct relay_target *t);

#endif
