/* SPDX-License-Identifier: Apache-2.0 */
/* select.h: which items a list, watch or deletecollection is about. */
#ifndef BARQUE_SERVER_SELECT_H
#define BARQUE_SERVER_SELECT_H

#include "server/request.h"

struct selection {
    struct label_selector labels;
    struct field_selector fields;
    struct str name; /* metadata.name=... (or a name in the path) narrows the range itself */
    bool by_labels, by_fields;
};

/* From the request's options. ERR_BAD_REQUEST on syntax errors and fields that cannot be selected
 * by. */
int selection_init(struct selection *s, struct request *r) MUST_USE;
/* The byte prefix of all keys that can match. */
struct str selection_prefix(const struct selection *s, struct request *r);
/* Must each item be looked at, so that the number of matches is not the number of keys? */
static inline bool selection_any(const struct selection *s)
{
    return s->by_labels || s->by_fields || s->name.n;
}
bool selection_matches(const struct selection *s, struct resource *res, struct item *i);

#endif
