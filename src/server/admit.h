/* SPDX-License-Identifier: Apache-2.0 */
/* admit.h: the built-in admission plugins. */
#ifndef BARQUE_SERVER_ADMIT_H
#define BARQUE_SERVER_ADMIT_H

#include "server/request.h"

struct admission_plugin {
    const char *name;           /* upstream's */
    uint32_t operations;        /* bits 1 << enum operation */
    const char *group, *plural; /* plural NULL: every resource */
    bool subresources;          /* asks for the subresources of plural instead of itself */
    /* 0, or negative with a->req->err set. NULL: nothing at this stage. */
    int (*mutate)(struct admission *a);
    int (*validate)(struct admission *a);
};

extern const struct admission_plugin admit_namespace_lifecycle;
extern const struct admission_plugin admit_taint_nodes_by_condition;
extern const struct admission_plugin admit_priority;
extern const struct admission_plugin admit_default_toleration_seconds;
extern const struct admission_plugin admit_service_account;

#endif
