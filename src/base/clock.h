/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h: wall-clock values and their text. It reads no clock: loop/loop.h does that.
 */
#ifndef BARQUE_BASE_CLOCK_H
#define BARQUE_BASE_CLOCK_H

#include "base/buf.h"
#include "base/str.h"

/* A point in time, UTC. {0, 0} is also "not set", as the zero Time of the Kubernetes API. */
struct wall {
    int64_t s;   /* seconds since 1970-01-01T00:00:00Z */
    int32_t ns;  /* 0..999999999 */
};

static inline bool wall_is_zero(struct wall t)
{
    return t.s == 0 && t.ns == 0;
}

static inline int wall_cmp(struct wall a, struct wall b)
{
    if (a.s != b.s)
        return a.s < b.s ? -1 : 1;
    return a.ns < b.ns ? -1 : a.ns > b.ns;
}

/* Milliseconds since the epoch, rounded down. */
static inline int64_t wall_ms(struct wall t)
{
    return t.s * 1000 + t.ns / 1000000;
}

static inline struct wall wall_from_ms(int64_t ms)
{
    int64_t s = ms / 1000 - (ms % 1000 < 0);
    return (struct wall){s, (int32_t)(ms - s * 1000) * 1000000};
}

/* t + ms */
static inline struct wall wall_add_ms(struct wall t, int64_t ms)
{
    struct wall sum = wall_from_ms(wall_ms(t) + ms);
    sum.ns += t.ns % 1000000;
    return sum;
}

/* RFC 3339 as the Kubernetes API writes it: "2026-01-02T03:04:05Z" (Time), with six digits
 * "2026-01-02T03:04:05.000000Z" (MicroTime), with nine and no trailing zeros (logs). */
enum { WALL_TEXT_MAX = 40 };
size_t wall_format(char out[WALL_TEXT_MAX], struct wall t);
size_t wall_format_micro(char out[WALL_TEXT_MAX], struct wall t);
size_t wall_format_nano(char out[WALL_TEXT_MAX], struct wall t);
/* Any RFC 3339 time with zone offset, years 0000 to 9999. False when malformed. */
bool wall_parse(struct str s, struct wall *ret);

/* Civil date from days since the epoch and back (proleptic Gregorian). */
void civil_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day);
int64_t days_from_civil(int year, int month, int day);

#endif
