/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cron.h: schedules of CronJobs: the five fields of cron ("30 2 1-7 * mon"), "@daily" and its
 * like, "@every 1h30m" (robfig/cron, ParseStandard).
 */
#ifndef BARQUE_API_CRON_H
#define BARQUE_API_CRON_H

#include "base/clock.h"
#include "base/err.h"

struct cron {
    uint64_t minutes, hours, days, months, weekdays; /* a bit for each value; 0 is Sunday */
    bool any_day, any_weekday;                       /* the field began with "*" or "?" */
    int64_t every_s;                                 /* not 0: "@every", the rest is unused */
};

/* Errors: ERR_INVALID, in the words that upstream answers. A leading "TZ=..." is an error: the
 * time zone has a field of its own. */
int cron_parse(struct str text, struct cron *ret, struct err *e) MUST_USE;
/* The first time after t that the schedule names, in a zone that is utc_offset_s east of
 * Greenwich. False: it names none within five years ("0 0 30 2 *"). */
bool cron_next(const struct cron *c, struct wall t, int32_t utc_offset_s, struct wall *ret);

#endif
