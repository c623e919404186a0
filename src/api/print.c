/* SPDX-License-Identifier: Apache-2.0 */
#include "api/print.h"

#include <stdarg.h>

#include "api/desc.h"

static void add(struct print_row *row, struct str json)
{
    *list_add(row->arena, &row->cells) = json;
}

void cell_str(struct print_row *row, struct str s)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    json_put_string(&b, s);
    add(row, buf_to_arena(&b, row->arena));
}

void cell_z(struct print_row *row, const char *s)
{
    cell_str(row, str_z(s));
}

void cell_fmt(struct print_row *row, const char *fmt, ...)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    va_list ap;
    va_start(ap, fmt);
    buf_vfmt(&b, fmt, ap);
    va_end(ap);
    cell_str(row, buf_view(&b));
}

void cell_int(struct print_row *row, int64_t v)
{
    add(row, arena_fmt(row->arena, "%lld", (long long)v));
}

void cell_bool(struct print_row *row, bool v)
{
    add(row, v ? STR("true") : STR("false"));
}

void cell_age(struct print_row *row, struct wall t)
{
    if (wall_is_zero(t))
        cell_z(row, "<unknown>");
    else
        cell_str(row, human_duration(row->arena, wall_ms(row->now) - wall_ms(t)));
}

/* "3d4h", or "3d" when the smaller part is zero. */
static struct str two_units(struct arena *a, int64_t big, const char *big_unit, int64_t small,
                            const char *small_unit)
{
    if (!small)
        return arena_fmt(a, "%lld%s", (long long)big, big_unit);
    return arena_fmt(a, "%lld%s%lld%s", (long long)big, big_unit, (long long)small, small_unit);
}

struct str human_duration(struct arena *a, int64_t ms)
{
    int64_t s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;
    if (s < -1)
        return STR("<invalid>");
    if (s < 0)
        return STR("0s");
    if (s < 60 * 2)
        return arena_fmt(a, "%llds", (long long)s);
    if (m < 10)
        return two_units(a, m, "m", s % 60, "s");
    if (m < 60 * 3)
        return arena_fmt(a, "%lldm", (long long)m);
    if (h < 8)
        return two_units(a, h, "h", m % 60, "m");
    if (h < 48)
        return arena_fmt(a, "%lldh", (long long)h);
    if (h < 24 * 8)
        return two_units(a, h / 24, "d", h % 24, "h");
    if (h < 24 * 365 * 2)
        return arena_fmt(a, "%lldd", (long long)d);
    if (h < 24 * 365 * 8)
        return two_units(a, h / 24 / 365, "y", h / 24 % 365, "d");
    return arena_fmt(a, "%lldy", (long long)(h / 24 / 365));
}
