/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openapi.h: /openapi/v2 (JSON and gnostic's protobuf form) and /openapi/v3 (an index, and one
 * document per group-version), made from the descriptors when first asked for, kept compressed,
 * with ETags, and made anew after what is served has changed.
 *
 * Names of definitions, extensions (x-kubernetes-group-version-kind, -action, list types, patch
 * strategies) and parameters are those that kubectl, client libraries and code generators read.
 */
#ifndef BARQUE_SERVER_OPENAPI_H
#define BARQUE_SERVER_OPENAPI_H

#include "server/request.h"

void openapi_run(struct request *r, struct str *parts, size_t n);

struct openapi_cache;
void openapi_free(struct openapi_cache *c);

/* ---- openapi_schema.c: types ---- */

/* Writes "name": {schema} members for the types reachable from what is served, comma-separated.
 * refs: "#/definitions/" or "#/components/schemas/". filter: only the types that these resources
 * need (NULL: all). */
struct resource_set {
    struct resource **v;
    size_t n;
};
void openapi_definitions(struct buf *b, struct arena *a, const char *refs,
                         const struct resource_set *set);
/* "io.k8s.api.core.v1.Pod" */
struct str openapi_name(struct arena *a, const struct desc *d);

/* ---- openapi_paths.c ---- */

/* Writes "path": {operations} members for the resources. v3: request bodies and parameters in the
 * form of OpenAPI 3. */
void openapi_paths(struct buf *b, struct arena *a, const struct resource_set *set, bool v3);

/* ---- openapi_pb.c ---- */

/* The v2 document as gnostic's openapi.v2.Document. */
void openapi_pb(struct pb_out *o, const struct json *doc);

#endif
