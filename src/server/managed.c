/* SPDX-License-Identifier: Apache-2.0 */
#include "server/managed.h"

#include "server/impl.h"

struct str managed_name(const struct request *r)
{
    struct str name, rest;
    if (r->opts.field_manager.n)
        return r->opts.field_manager;
    /* "kubectl/v1.20.2 (linux/amd64)" is known as "kubectl". */
    (void)str_cut(r->user_agent, '/', &name, &rest);
    return name.n ? str_sub(name, 0, 128) : STR("unknown");
}

int managed_track(struct write *w)
{
    /* What the client sends is kept; tracking by field comes with server-side apply. */
    return 0;
}
