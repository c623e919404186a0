/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "api/cron.h"

static void next_times(void **state)
{
    static const struct {
        const char *schedule, *from, *next; /* next NULL: never */
        int32_t offset_s;
    } rows[] = {
        {"* * * * *", "2026-01-31T23:59:30Z", "2026-02-01T00:00:00Z", 0},
        {"*/15 * * * *", "2026-01-01T10:07:00Z", "2026-01-01T10:15:00Z", 0},
        {"*/15 * * * *", "2026-01-01T10:15:00Z", "2026-01-01T10:30:00Z", 0},
        {"5/20 3 * * ?", "2026-01-01T03:25:00Z", "2026-01-01T03:45:00Z", 0},
        {"0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z", 0},
        {"0 0 30 2 *", "2026-01-01T00:00:00Z", NULL, 0},
        {"0 12 * * mon-fri", "2026-11-20T12:00:00Z", "2026-11-23T12:00:00Z", 0},
        {"0 0 1 * 0", "2026-11-01T00:00:00Z", "2026-11-08T00:00:00Z", 0},
        {"0 0 * JAN,jul *", "2026-02-01T00:00:00Z", "2026-07-01T00:00:00Z", 0},
        {"@daily", "2026-02-01T10:00:00Z", "2026-02-02T00:00:00Z", 0},
        {"@daily", "2026-02-01T10:00:00Z", "2026-02-01T23:00:00Z", 3600},
        {"@every 90m", "2026-02-01T10:00:00Z", "2026-02-01T11:30:00Z", 0},
        {"0 0 1-7/2,20 * *", "2026-02-07T00:00:00Z", "2026-02-20T00:00:00Z", 0},
    };
    struct arena a = ARENA_INIT;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = ERR_INIT(&a);
        struct cron c;
        struct wall t, next;
        char text[WALL_TEXT_MAX];
        assert_true(wall_parse(str_z(rows[i].from), &t));
        if (cron_parse(str_z(rows[i].schedule), &c, &e) < 0)
            fail_msg("%s: %.*s", rows[i].schedule, STR_ARG(e.message));
        bool some = cron_next(&c, t, rows[i].offset_s, &next);
        if (some != (rows[i].next != NULL))
            fail_msg("%s: %s", rows[i].schedule, some ? "has a time" : "has no time");
        if (some)
            assert_str(str_n(text, wall_format(text, next)), rows[i].next);
    }
    arena_fini(&a);
}

static void faults(void **state)
{
    static const struct {
        const char *schedule, *fault;
    } rows[] = {
        {"", "empty spec string"},
        {"* * * *", "expected exactly 5 fields, found 4: [* * * *]"},
        {"* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"},
        {"60 * * * *", "end of range (60) above maximum (59): 60"},
        {"* * 0 * *", "beginning of range (0) below minimum (1): 0"},
        {"5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"},
        {"*/0 * * * *", "step of range should be a positive number: */0"},
        {"x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"},
        {"1-2-3 * * * *", "too many hyphens: 1-2-3"},
        {"1/2/3 * * * *", "too many slashes: 1/2/3"},
        {"@never", "unrecognized descriptor: @never"},
        {"@every x", "failed to parse duration @every x: time: invalid duration \"x\""},
    };
    struct arena a = ARENA_INIT;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = ERR_INIT(&a);
        struct cron c;
        assert_int_equal(cron_parse(str_z(rows[i].schedule), &c, &e), -ERR_INVALID);
        assert_str(e.message, rows[i].fault);
    }
    arena_fini(&a);
}

TESTS(cmocka_unit_test(next_times), cmocka_unit_test(faults))
