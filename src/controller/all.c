/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/controller.h"

const struct controller_def *const controllers_all[] = {
    &controller_namespace,      &controller_garbage,    &controller_service_account,
    &controller_root_ca,        &controller_replicaset, &controller_deployment,
    &controller_endpoint_slice, &controller_endpoints,  &controller_node_lifecycle,
    &controller_taint_eviction, &controller_pod_gc,
};
const size_t controllers_all_count = ARRAY_LEN(controllers_all);
