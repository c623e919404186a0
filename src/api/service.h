/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h: what services and ingresses share.
 */
#ifndef BARQUE_API_SERVICE_H
#define BARQUE_API_SERVICE_H

#include "api/validate.h"

/* The rule for names of services: RFC 1035 labels. */
const char *service_name_fault(struct str name, bool is_prefix);
/* One address in the status of a load balancer: an IP, a name. */
void check_balancer_address(struct validation *v, const struct field_path *p, struct str ip,
                            struct str hostname);

#endif
