/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

void civil_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
    /* Years start in March, so that the leap day is the last of a 400-year era's year. */
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *ret_day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *ret_month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *ret_year = (int)(yoe + era * 400 + (*ret_month <= 2));
}

int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static size_t format(char out[WALL_TEXT_MAX], struct wall t, int digits, bool trim)
{
    int64_t days = t.s / 86400 - (t.s % 86400 < 0);
    int rest = (int)(t.s - days * 86400);
    int year, month, day;
    civil_from_days(days, &year, &month, &day);
    int n = snprintf(out, WALL_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", year, month, day,
                     rest / 3600, rest / 60 % 60, rest % 60);
    if (digits) {
        int divisor = digits == 6 ? 1000 : 1;
        n += snprintf(out + n, WALL_TEXT_MAX - (size_t)n, ".%0*d", digits, t.ns / divisor);
        while (trim && out[n - 1] == '0')
            n--;
        if (out[n - 1] == '.')
            n--;
    }
    out[n++] = 'Z';
    out[n] = 0;
    return (size_t)n;
}

size_t wall_format(char out[WALL_TEXT_MAX], struct wall t)
{
    return format(out, t, 0, false);
}

size_t wall_format_micro(char out[WALL_TEXT_MAX], struct wall t)
{
    return format(out, t, 6, false);
}

size_t wall_format_nano(char out[WALL_TEXT_MAX], struct wall t)
{
    return format(out, t, 9, true);
}

/* Exactly n digits at *s, consumed. */
static bool digits(struct str *s, size_t n, int *ret)
{
    uint64_t v;
    if (s->n < n || !str_to_u64(str_n(s->p, n), &v))
        return false;
    *s = str_n(s->p + n, s->n - n);
    *ret = (int)v;
    return true;
}

static bool fraction(struct str *s, int32_t *ret_ns)
{
    int32_t ns = 0, unit = 100000000;
    size_t n = 0;
    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9') {
        ns += (s->p[n] - '0') * unit;
        unit /= 10;
        n++;
    }
    *s = str_n(s->p + n, s->n - n);
    *ret_ns = ns;
    return n > 0;
}

static bool zone(struct str *s, int *ret_offset_s)
{
    *ret_offset_s = 0;
    if (str_skip(s, STR("Z")) || str_skip(s, STR("z")))
        return true;
    int sign = str_skip(s, STR("+")) ? 1 : str_skip(s, STR("-")) ? -1 : 0;
    int h, m;
    if (!sign || !digits(s, 2, &h) || !str_skip(s, STR(":")) || !digits(s, 2, &m) || h > 23 ||
        m > 59)
        return false;
    *ret_offset_s = sign * (h * 3600 + m * 60);
    return true;
}

static int month_days(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

bool wall_parse(struct str s, struct wall *ret)
{
    int year, month, day, h, m, sec, offset;
    int32_t ns = 0;
    if (!digits(&s, 4, &year) || !str_skip(&s, STR("-")) || !digits(&s, 2, &month) ||
        !str_skip(&s, STR("-")) || !digits(&s, 2, &day))
        return false;
    if (!str_skip(&s, STR("T")) && !str_skip(&s, STR("t")))
        return false;
    if (!digits(&s, 2, &h) || !str_skip(&s, STR(":")) || !digits(&s, 2, &m) ||
        !str_skip(&s, STR(":")) || !digits(&s, 2, &sec))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > month_days(year, month) || h > 23 || m > 59 ||
        sec > 59)
        return false;
    if (str_skip(&s, STR(".")) && !fraction(&s, &ns))
        return false;
    if (!zone(&s, &offset) || s.n)
        return false;
    *ret = (struct wall){days_from_civil(year, month, day) * 86400 + h * 3600 + m * 60 + sec -
                             offset,
                         ns};
    return true;
}
