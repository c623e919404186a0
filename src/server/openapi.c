/* SPDX-License-Identifier: Apache-2.0 */
#include "server/openapi.h"

#include "server/impl.h"

void openapi_run(struct request *r, struct str *parts, size_t n)
{
    respond_text(r, 404, "text/plain; charset=utf-8", STR("404 page not found\n"));
}
