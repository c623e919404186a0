/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selector.h: label selectors ("a=b,c in (x,y),!d") and field selectors
 * ("metadata.name=x,spec.nodeName!=y").
 *
 * A selector is made once, on an arena, and then matched against many objects; its strings are
 * views of what it was made from. Parse errors are ERR_BAD_REQUEST in the words of
 * k8s.io/apimachinery/pkg/labels and pkg/fields. A zeroed selector selects everything.
 */
#ifndef BARQUE_API_SELECTOR_H
#define BARQUE_API_SELECTOR_H

#include "api/metav1.h"
#include "api/registry.h"

/* ---- labels ---- */

enum label_op {
    LABEL_IN, /* "=" and "==" too, with one value */
    LABEL_NOT_IN,
    LABEL_EXISTS,
    LABEL_NOT_EXISTS,
    LABEL_GREATER, /* both sides whole numbers; only in the string form */
    LABEL_LESS,
};

struct label_requirement {
    struct str key;
    enum label_op op;
    bool exact;             /* written as "=" (or "!="), for printing */
    struct str_list values; /* sorted */
    int64_t number;         /* LABEL_GREATER, LABEL_LESS */
};

struct label_selector {
    struct label_requirement *v; /* sorted by key; all must hold */
    size_t n;
    bool nothing; /* selects no object at all */
};

int label_selector_parse(struct arena *a, struct str text, struct label_selector *ret,
                         struct err *e) MUST_USE;
/* From an object; s == NULL selects nothing, an empty one everything. The selector was validated,
 * so that only an unknown operator is an error. */
int label_selector_from(struct arena *a, const struct metav1_label_selector *s,
                        struct label_selector *ret, struct err *e) MUST_USE;
/* All pairs must be there (services, replication controllers); an empty map selects everything. */
void label_selector_from_map(struct arena *a, const struct str_map *m, struct label_selector *ret);
bool label_selector_match(const struct label_selector *s, const struct str_map *labels);
static inline bool label_selector_is_empty(const struct label_selector *s)
{
    return s->n == 0 && !s->nothing;
}
/* "a=b,c in (x,y)": what label_selector_parse reads back. */
struct str label_selector_format(struct arena *a, const struct label_selector *s);
/* Must the label have one certain value? */
bool label_selector_exact(const struct label_selector *s, struct str key, struct str *ret_value);

/* ---- fields ---- */

enum { FIELD_SELECTOR_DEPTH_MAX = 4 };

struct field_requirement {
    struct str field;
    struct str value;
    bool not_equal;
    const struct field *path[FIELD_SELECTOR_DEPTH_MAX]; /* set by field_selector_bind */
    uint8_t depth;
};

struct field_selector {
    struct field_requirement *v;
    size_t n;
};

int field_selector_parse(struct arena *a, struct str text, struct field_selector *ret,
                         struct err *e) MUST_USE;
/* Resolves the field names; an error when one cannot be selected by for this resource. */
int field_selector_bind(struct field_selector *s, const struct resource_def *r,
                        struct err *e) MUST_USE;
/* obj: a struct of the resource that the selector was bound to. */
bool field_selector_match(const struct field_selector *s, const void *obj);
/* Must the field have one certain value? ("metadata.name" makes a list or watch a point read.) */
bool field_selector_exact(const struct field_selector *s, struct str field, struct str *ret_value);

#endif
