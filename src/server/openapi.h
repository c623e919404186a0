/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openapi.h: /openapi/v2 (JSON and gnostic protobuf) and /openapi/v3 (index and one document per
 * group-version), made from the descriptors when first asked for, kept compressed, with ETags.
 */
#ifndef BARQUE_SERVER_OPENAPI_H
#define BARQUE_SERVER_OPENAPI_H

#include "server/request.h"

void openapi_run(struct request *r, struct str *parts, size_t n);

#endif
