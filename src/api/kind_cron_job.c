/* SPDX-License-Identifier: Apache-2.0 */
/* CronJobs. */
#include "api/cron.h"
#include "api/job.h"
#include "api/pod.h"

enum { NAME_MAX_BYTES = 52 }; /* a job's name adds a dash and ten digits */

static void defaults(struct arena *a, void *obj)
{
    struct batchv1_cron_job *c = obj;
    pod_template_defaults(a, &c->spec.job_template.spec.template);
    if (!c->spec.suspend)
        c->spec.suspend = NEW_VALUE(a, bool, false);
}

static void check_schedule(struct validation *v, const struct field_path *p,
                           const struct batchv1_cron_job_spec *s)
{
    struct err e = ERR_INIT(v->arena);
    struct cron c;
    if (!s->schedule.n)
        fault_required(v, p, "%s", "");
    else if (str_find(s->schedule, STR("TZ")) >= 0)
        fault_invalid(v, p, bad_str(s->schedule),
                      s->time_zone.p
                          ? "cannot use both timeZone field and TZ or CRON_TZ in schedule"
                          : "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    else if (cron_parse(s->schedule, &c, &e) < 0)
        fault_invalid(v, p, bad_str(s->schedule), "%.*s", STR_ARG(e.message));
}

/* A name of the time zone database: "Europe/Berlin", "UTC". Whether it is there is known where
 * the schedule is followed. */
static bool is_zone_name(struct str s)
{
    struct str rest = s, part;
    while (str_next(&rest, '/', &part)) {
        if (!part.n || part.p[0] == '.')
            return false;
        for (size_t i = 0; i < part.n; i++)
            if (!((part.p[i] | 0x20) >= 'a' && (part.p[i] | 0x20) <= 'z') &&
                !(part.p[i] >= '0' && part.p[i] <= '9') && !strchr("+-_.", part.p[i]))
                return false;
    }
    return true;
}

static void check_time_zone(struct validation *v, const struct field_path *p, struct str zone)
{
    if (!zone.p)
        return;
    if (!zone.n)
        fault_invalid(v, p, bad_str(zone), "timeZone must be nil or non-empty string");
    else if (str_case_eq(zone, STR("Local")))
        fault_invalid(v, p, bad_str(zone),
                      "timeZone must be an explicit time zone as defined in "
                      "https://www.iana.org/time-zones");
    else if (!is_zone_name(zone))
        fault_invalid(v, p, bad_str(zone), "unknown time zone %.*s", STR_ARG(zone));
}

static void check_job_template(struct validation *v, const struct field_path *p,
                               const struct batchv1_job_spec *s)
{
    static const char *const manual[] = {"nil", "false", NULL};
    check_job_spec(v, p, s);
    if (s->selector)
        fault_invalid(v, AT(p, "selector"), bad_obj(&metav1_label_selector_desc, s->selector),
                      "`selector` will be auto-generated");
    if (s->manual_selector && *s->manual_selector)
        fault_not_supported(v, AT(p, "manualSelector"), bad_bool(true), manual);
}

static void validate(struct validation *v, const void *obj, const void *old)
{
    static const char *const policies[] = {"Allow", "Forbid", "Replace", NULL};
    const struct batchv1_cron_job *c = obj;
    const struct batchv1_cron_job_spec *s = &c->spec;
    const struct field_path *p = AT(NULL, "spec");
    check_schedule(v, AT(p, "schedule"), s);
    check_nonnegative_ptr64(v, AT(p, "startingDeadlineSeconds"), s->starting_deadline_seconds);
    check_time_zone(v, AT(p, "timeZone"), s->time_zone);
    check_enum(v, AT(p, "concurrencyPolicy"), s->concurrency_policy, policies);
    check_job_template(v, AT(AT(p, "jobTemplate"), "spec"), &s->job_template.spec);
    check_nonnegative_ptr32(v, AT(p, "successfulJobsHistoryLimit"),
                            s->successful_jobs_history_limit);
    check_nonnegative_ptr32(v, AT(p, "failedJobsHistoryLimit"), s->failed_jobs_history_limit);
    if (!old && c->metadata.name.n > NAME_MAX_BYTES)
        fault_invalid(v, AT(AT(NULL, "metadata"), "name"), bad_str(c->metadata.name),
                      "must be no more than %d characters", NAME_MAX_BYTES);
}

const struct kind_hooks batchv1_cron_job_hooks = {
    .defaults = defaults,
    .validate = validate,
};
