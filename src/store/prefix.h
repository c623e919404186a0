/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefix.h: a set of byte prefixes that finds all members that a key starts with.
 *
 * Members are kept sorted, and each knows the longest other member that it starts with. The
 * members that match a key are then found by one binary search and a walk up these links: cost
 * depends on the matches, not on the number of members.
 */
#ifndef BARQUE_STORE_PREFIX_H
#define BARQUE_STORE_PREFIX_H

#include "base/base.h"
#include "base/str.h"

/* Embedded in the user's struct; the text must stay valid while it is in the set. */
struct prefix {
    struct str text;
    struct prefix *outer; /* private: the longest other member that text starts with */
};

struct prefix_set {
    struct prefix **v; /* sorted by text */
    size_t n, room;
};

void prefix_set_fini(struct prefix_set *set);
/* The member with exactly this text, or NULL. */
struct prefix *prefix_find(const struct prefix_set *set, struct str text);
/* p->text must not be in the set yet. */
void prefix_add(struct prefix_set *set, struct prefix *p);
void prefix_remove(struct prefix_set *set, struct prefix *p);
/* The longest member that the key starts with, or NULL; the shorter ones follow by ->outer. */
struct prefix *prefix_match(const struct prefix_set *set, struct str key);

#endif
