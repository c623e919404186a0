/* SPDX-License-Identifier: Apache-2.0 */
/* sort.h: putting a loaded table's items in key order, for index_build. */
#ifndef BARQUE_STORE_SORT_H
#define BARQUE_STORE_SORT_H

#include "store/item.h"

/* By key; items of one key by their id. */
void items_sort(struct item **v, size_t n);

#endif
