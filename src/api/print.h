/* SPDX-License-Identifier: Apache-2.0 */
/*
 * print.h: the rows that kubectl shows.
 *
 * A resource whose schema block has `column` lines names a printer `<package>_<kind>_print`,
 * defined in api/print_*.c: it adds one cell for each column, in order. Texts, rounding and the
 * words for what is absent ("<none>", "<unknown>") are upstream's (pkg/printers/internalversion).
 */
#ifndef BARQUE_API_PRINT_H
#define BARQUE_API_PRINT_H

#include "api/types.h"

struct print_row {
    struct arena *arena;
    struct wall now;        /* for ages */
    LIST(struct str) cells; /* JSON texts */
    /* A pod that is over is marked so: TableRowCondition Completed=True with this reason. */
    struct str completed_reason, completed_message;
};

typedef void print_fn(struct print_row *row, const void *obj);

void cell_str(struct print_row *row, struct str s);
void cell_z(struct print_row *row, const char *s);
void cell_fmt(struct print_row *row, const char *fmt, ...) PRINTF(2, 3);
void cell_int(struct print_row *row, int64_t v);
void cell_bool(struct print_row *row, bool v);
/* "5m", "3d4h": time since t in words; "<unknown>" when t is zero. */
void cell_age(struct print_row *row, struct wall t);
/* Go's duration.HumanDuration of milliseconds. */
struct str human_duration(struct arena *a, int64_t ms);

#endif
