/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h: metav1.Table answers: what kubectl prints.
 *
 * A resource whose schema block has `column` lines names a printer `<package>_<kind>_print`
 * (api/print_*.c), which writes one cell for each column. Without columns: Name and Age. Custom
 * resources have additionalPrinterColumns.
 */
#ifndef BARQUE_SERVER_TABLE_H
#define BARQUE_SERVER_TABLE_H

#include "server/request.h"

/* The Table of n objects (one for GET). list_meta: NULL for a single object. */
void table_respond(struct request *r, int status, const struct object *const *objs, size_t n,
                   const struct metav1_list_meta *list_meta);
/* The JSON text of a Table with one row, for watch events; columns only where with_columns (the
 * first event of a watch has them). */
struct str table_event(struct request *r, const struct object *o, bool with_columns);
/* Bookmarks carry an empty Table with list metadata. */
struct str table_bookmark(struct request *r, struct str resource_version);

#endif
