/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cron.h"

#include "api/types.h"

struct bounds {
    unsigned min, max;
    const char *const *names; /* of min, min + 1, ...; NULL: none */
};

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELD_COUNT };
static const struct bounds fields[FIELD_COUNT] = {
    [MINUTE] = {0, 59, NULL},       [HOUR] = {0, 23, NULL},        [DAY] = {1, 31, NULL},
    [MONTH] = {1, 12, month_names}, [WEEKDAY] = {0, 6, day_names},
};

static int bad_number(struct str s, struct err *e)
{
    return err_set(e, ERR_INVALID,
                   "failed to parse int from %.*s: strconv.Atoi: parsing \"%.*s\": invalid syntax",
                   STR_ARG(s), STR_ARG(s));
}

static int parse_number(struct str s, const struct bounds *b, unsigned *ret, struct err *e)
{
    uint64_t n;
    for (unsigned i = 0; b && b->names && b->names[i]; i++) {
        if (!str_case_eq(s, str_z(b->names[i])))
            continue;
        *ret = b->min + i;
        return 0;
    }
    if (str_has_prefix(s, STR("-")))
        return err_set(e, ERR_INVALID, "negative number (%.*s) not allowed: %.*s", STR_ARG(s),
                       STR_ARG(s));
    if (!str_to_u64(s, &n) || n > INT32_MAX)
        return bad_number(s, e);
    *ret = (unsigned)n;
    return 0;
}

/* The part before the step: "*", "5", "1-7". ret_single: one number only. */
static int parse_span(struct str s, const struct bounds *b, unsigned *ret_low, unsigned *ret_high,
                      bool *ret_single, struct err *e)
{
    struct str low, high;
    *ret_single = false;
    if (str_eq(s, STR("*")) || str_eq(s, STR("?"))) {
        *ret_low = b->min;
        *ret_high = b->max;
        return 0;
    }
    bool range = str_cut(s, '-', &low, &high);
    if (range && str_index(high, '-') >= 0)
        return err_set(e, ERR_INVALID, "too many hyphens: %.*s", STR_ARG(s));
    int rc = parse_number(low, b, ret_low, e);
    if (rc < 0)
        return rc;
    *ret_high = *ret_low;
    *ret_single = !range;
    return range ? parse_number(high, b, ret_high, e) : 0;
}

static int parse_range(struct str s, const struct bounds *b, uint64_t *bits, bool *any,
                       struct err *e)
{
    struct str span, step_text;
    unsigned low, high, step = 1;
    bool single;
    bool stepped = str_cut(s, '/', &span, &step_text);
    if (stepped && str_index(step_text, '/') >= 0)
        return err_set(e, ERR_INVALID, "too many slashes: %.*s", STR_ARG(s));
    int rc = parse_span(span, b, &low, &high, &single, e);
    if (rc == 0 && stepped)
        rc = parse_number(step_text, NULL, &step, e);
    if (rc < 0)
        return rc;
    if (stepped && single)
        high = b->max; /* "5/15": from 5 on */
    if (low < b->min)
        return err_set(e, ERR_INVALID, "beginning of range (%u) below minimum (%u): %.*s", low,
                       b->min, STR_ARG(s));
    if (high > b->max)
        return err_set(e, ERR_INVALID, "end of range (%u) above maximum (%u): %.*s", high, b->max,
                       STR_ARG(s));
    if (low > high)
        return err_set(e, ERR_INVALID, "beginning of range (%u) beyond end of range (%u): %.*s",
                       low, high, STR_ARG(s));
    if (step == 0)
        return err_set(e, ERR_INVALID, "step of range should be a positive number: %.*s",
                       STR_ARG(s));
    for (unsigned i = low; i <= high; i += step)
        *bits |= (uint64_t)1 << i;
    *any |= (span.p[0] == '*' || span.p[0] == '?') && step == 1;
    return 0;
}

static int parse_field(struct str s, const struct bounds *b, uint64_t *bits, bool *any,
                       struct err *e)
{
    struct str part;
    int rc = 0;
    while (rc == 0 && str_next(&s, ',', &part))
        if (part.n)
            rc = parse_range(part, b, bits, any, e);
    return rc;
}

static const struct {
    const char *name, *fields;
} shorthands[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
};

static int parse_shorthand(struct str text, struct cron *ret, struct err *e)
{
    struct str rest = text;
    int64_t ns;
    for (size_t i = 0; i < ARRAY_LEN(shorthands); i++)
        if (str_eqz(text, shorthands[i].name))
            return cron_parse(str_z(shorthands[i].fields), ret, e);
    if (!str_skip(&rest, STR("@every ")))
        return err_set(e, ERR_INVALID, "unrecognized descriptor: %.*s", STR_ARG(text));
    if (!duration_parse(rest, &ns))
        return err_set(e, ERR_INVALID,
                       "failed to parse duration %.*s: time: invalid duration \"%.*s\"",
                       STR_ARG(text), STR_ARG(rest));
    *ret = (struct cron){.every_s = ns < 1000000000 ? 1 : ns / 1000000000};
    return 0;
}

int cron_parse(struct str text, struct cron *ret, struct err *e)
{
    struct str rest = str_trim(text), parts[FIELD_COUNT], part;
    bool any[FIELD_COUNT] = {0};
    uint64_t bits[FIELD_COUNT] = {0};
    size_t n = 0;
    if (!rest.n)
        return err_set(e, ERR_INVALID, "empty spec string");
    if (str_has_prefix(rest, STR("@")))
        return parse_shorthand(rest, ret, e);
    while (str_next(&rest, ' ', &part)) {
        part = str_trim(part);
        if (part.n && n++ < FIELD_COUNT)
            parts[n - 1] = part;
    }
    if (n != FIELD_COUNT)
        return err_set(e, ERR_INVALID, "expected exactly %d fields, found %zu: [%.*s]", FIELD_COUNT,
                       n, STR_ARG(text));
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        int rc = parse_field(parts[i], &fields[i], &bits[i], &any[i], e);
        if (rc < 0)
            return rc;
    }
    *ret = (struct cron){
        .minutes = bits[MINUTE],
        .hours = bits[HOUR],
        .days = bits[DAY],
        .months = bits[MONTH],
        .weekdays = bits[WEEKDAY],
        .any_day = any[DAY],
        .any_weekday = any[WEEKDAY],
    };
    return 0;
}

/* ---- the next time ---- */

static bool has(uint64_t bits, int n)
{
    return bits >> n & 1;
}

/* Days that match: when both fields are given, one of them is enough, as cron always did. */
static bool is_day(const struct cron *c, int64_t day)
{
    int year, month, of_month;
    civil_from_days(day, &year, &month, &of_month);
    int weekday = (int)(((day % 7) + 11) % 7); /* the epoch was a Thursday */
    bool by_month = has(c->days, of_month), by_week = has(c->weekdays, weekday);
    if (!has(c->months, month))
        return false;
    return c->any_day || c->any_weekday ? by_month && by_week : by_month || by_week;
}

enum { DAY_S = 86400, SEARCH_DAYS = 366 * 5 };

bool cron_next(const struct cron *c, struct wall t, int32_t utc_offset_s, struct wall *ret)
{
    if (c->every_s) {
        *ret = (struct wall){t.s + c->every_s, 0};
        return true;
    }
    int64_t local = t.s + utc_offset_s;
    int64_t day = local / DAY_S - (local % DAY_S < 0);
    int64_t from_minute = (local - day * DAY_S) / 60 + 1;
    for (int64_t last = day + SEARCH_DAYS; day <= last; day++, from_minute = 0) {
        if (!is_day(c, day))
            continue;
        for (int64_t m = from_minute; m < 24 * 60; m++)
            if (has(c->hours, (int)(m / 60)) && has(c->minutes, (int)(m % 60))) {
                *ret = (struct wall){day * DAY_S + m * 60 - utc_offset_s, 0};
                return true;
            }
    }
    return false;
}
