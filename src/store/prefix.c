/* SPDX-License-Identifier: Apache-2.0 */
#include "store/prefix.h"

void prefix_set_fini(struct prefix_set *set)
{
    free(set->v);
    *set = (struct prefix_set){0};
}

/* Number of members that are not greater than text. */
static size_t count_up_to(const struct prefix_set *set, struct str text)
{
    size_t lo = 0, hi = set->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (str_cmp(set->v[mid]->text, text) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* If q is the longest member that the key starts with, all members between q and the key start
 * with q too; so q is the last member up to the key, or one of those around it. */
struct prefix *prefix_match(const struct prefix_set *set, struct str key)
{
    size_t n = count_up_to(set, key);
    struct prefix *p = n ? set->v[n - 1] : NULL;
    while (p && !str_has_prefix(key, p->text))
        p = p->outer;
    return p;
}

struct prefix *prefix_find(const struct prefix_set *set, struct str text)
{
    size_t n = count_up_to(set, text);
    return n && str_eq(set->v[n - 1]->text, text) ? set->v[n - 1] : NULL;
}

/* Members that start with p follow it directly. */
static bool inside(const struct prefix_set *set, size_t at, const struct prefix *p)
{
    return at < set->n && str_has_prefix(set->v[at]->text, p->text);
}

void prefix_add(struct prefix_set *set, struct prefix *p)
{
    p->outer = prefix_match(set, p->text);
    must(!p->outer || p->outer->text.n < p->text.n);
    size_t at = count_up_to(set, p->text);
    if (set->n == set->room) {
        set->room = set->room ? set->room * 2 : 8;
        set->v = xrealloc(set->v, set->room * sizeof(struct prefix *));
    }
    memmove(set->v + at + 1, set->v + at, (set->n - at) * sizeof(struct prefix *));
    set->v[at] = p;
    set->n++;
    for (size_t i = at + 1; inside(set, i, p); i++)
        if (set->v[i]->outer == p->outer)
            set->v[i]->outer = p;
}

void prefix_remove(struct prefix_set *set, struct prefix *p)
{
    size_t at = count_up_to(set, p->text) - 1;
    must(at < set->n && set->v[at] == p);
    for (size_t i = at + 1; inside(set, i, p); i++)
        if (set->v[i]->outer == p)
            set->v[i]->outer = p->outer;
    set->n--;
    memmove(set->v + at, set->v + at + 1, (set->n - at) * sizeof(struct prefix *));
}
