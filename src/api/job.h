/* SPDX-License-Identifier: Apache-2.0 */
/* job.h: what jobs and the templates of CronJobs share. Private to api/. */
#ifndef BARQUE_API_JOB_H
#define BARQUE_API_JOB_H

#include "api/batchv1.h"
#include "api/validate.h"

/* All of the spec but its selector. */
void check_job_spec(struct validation *v, const struct field_path *p,
                    const struct batchv1_job_spec *s);

#endif
