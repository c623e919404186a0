/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subresource.h: status, scale, binding, eviction, token, finalize, approval, exec and friends; and
 * the resources that are answered without being stored (reviews).
 */
#ifndef BARQUE_SERVER_SUBRESOURCE_H
#define BARQUE_SERVER_SUBRESOURCE_H

#include "server/write.h"

void subresource_run(struct request *r);
void virtual_run(struct request *r);

/* One file each. */
void sub_scale(struct request *r);
void sub_binding(struct request *r); /* pods/binding and bindings */
void sub_eviction(struct request *r);
void sub_token(struct request *r);     /* serviceaccounts/token */
void sub_finalize(struct request *r);  /* namespaces/finalize */
void sub_ephemeral(struct request *r); /* pods/ephemeralcontainers, pods/resize */
void sub_proxy(struct request *r);
void sub_connect(struct request *r); /* exec, attach, portforward, log, proxy */
void review_token(struct request *r);
void review_self_subject(struct request *r);
void review_access(struct request *r); /* SubjectAccessReview, Local..., Self... */
void review_rules(struct request *r);
void component_statuses(struct request *r);

#endif
