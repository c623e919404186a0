/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/controller.h"

const struct controller_def *const controllers_all[] = {
    &controller_service_account,
    &controller_root_ca,
    &controller_replicaset,
    &controller_deployment,
};
const size_t controllers_all_count = ARRAY_LEN(controllers_all);
