/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owner.h: controllers and the objects they own: references, adoption, release, waking.
 *
 * A child belongs to the owner that its controlling owner reference names by uid. A child without
 * one that an owner's selector matches is adopted; a child that the selector no longer matches is
 * released (k8s.io/kubernetes/pkg/controller, controller_ref_manager).
 */
#ifndef BARQUE_CONTROLLER_OWNER_H
#define BARQUE_CONTROLLER_OWNER_H

#include "base/vec.h"
#include "controller/controller.h"

/* Adds the controlling reference (blockOwnerDeletion too). */
void owner_add(struct arena *a, struct metav1_object_meta *child,
               const struct resource_def *owner_res, const struct metav1_object_meta *owner);

/* The index that claim and wake_owner need on the children's cache. */
struct cache_index *owner_index(struct cache *children);

struct items {
    struct item **v;
    size_t n, room;
};

struct claim {
    struct reconcile *rc;
    const struct resource_def *owner_res, *child_res;
    const struct metav1_object_meta *owner;
    struct cache_index *children; /* owner_index */
    struct label_selector selector;
};
/* Children that stay the owner's, in the order in which the cache got them, on rc->arena. Returns
 * true when some must be adopted or released first: the intents for that are made, and the events
 * of these children wake the owner again. */
bool claim_children(const struct claim *c, struct items *ret);

/* Enqueues the owners of this kind that a child's event concerns: the one of before, the one of
 * now, and for an orphan that changed all whose selector (of spec.selector) matches. owners is
 * the cache of the kind, with the index of cache_index_namespace. */
struct owners {
    struct cache *cache;
    struct cache_index *by_namespace;
    const char *kind;
    const struct metav1_label_selector *(*selector)(const void *owner);
};
void wake_owner(struct controller *c, const struct owners *o, struct item *old, struct item *now);

#endif
