/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.h: intrusive doubly linked list. The list owns nothing.
 *
 * A zeroed link is "in no list"; a head must be list_init'ed. Removing the current element is
 * allowed inside list_each_safe only.
 */
#ifndef BARQUE_BASE_LIST_H
#define BARQUE_BASE_LIST_H

#include "base/base.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *head)
{
    head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool list_linked(const struct list *link)
{
    return link->next != NULL;
}

/* Puts link before `at`; with the head as `at` this appends. */
static inline void list_insert_before(struct list *at, struct list *link)
{
    link->prev = at->prev;
    link->next = at;
    at->prev->next = link;
    at->prev = link;
}

static inline void list_push_back(struct list *head, struct list *link)
{
    list_insert_before(head, link);
}

static inline void list_push_front(struct list *head, struct list *link)
{
    list_insert_before(head->next, link);
}

/* No effect on a link that is in no list. */
static inline void list_remove(struct list *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

static inline struct list *list_first(const struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

static inline struct list *list_pop_front(struct list *head)
{
    struct list *first = list_first(head);
    if (first)
        list_remove(first);
    return first;
}

#define list_entry(link, type, member) CONTAINER_OF(link, type, member)
#define list_each(var, head, member)                                                              \
    for (var = list_entry((head)->next, __typeof__(*var), member); &var->member != (head);        \
         var = list_entry(var->member.next, __typeof__(*var), member))
#define list_each_safe(var, tmp, head, member)                                                    \
    for (var = list_entry((head)->next, __typeof__(*var), member),                                \
        tmp = list_entry(var->member.next, __typeof__(*var), member);                             \
         &var->member != (head);                                                                  \
         var = tmp, tmp = list_entry(tmp->member.next, __typeof__(*var), member))

#endif
