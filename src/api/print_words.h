/* SPDX-License-Identifier: Apache-2.0 */
/* print_words.h: what several printers say. Private to api/. */
#ifndef BARQUE_API_PRINT_WORDS_H
#define BARQUE_API_PRINT_WORDS_H

#include "api/metav1.h"
#include "api/print.h"

/* "<none>" for the empty string. */
void cell_or_none(struct print_row *row, struct str s);
/* "a=b,c=d", or "<none>". */
struct str words_labels(struct arena *a, const struct str_map *m);
/* The selector's string form; "<none>" when it selects everything or is absent. */
struct str words_selector(struct arena *a, const struct metav1_label_selector *s);
/* "a,b,c" */
struct str words_list(struct arena *a, const struct str_list *l);

#endif
