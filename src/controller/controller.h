/* SPDX-License-Identifier: Apache-2.0 */
/*
 * controller.h: the reconcile frame, and the controllers that run in it.
 *
 * A controller names the caches it reads, maps their events to keys (usually namespace/name of the
 * object it is about) and has one function: reconcile(key) looks at the caches and appends
 * intents. It never calls the API itself and never waits. The frame carries the intents out one by
 * one, stops at the first that fails, and runs the key again after a growing delay. Until the
 * caches have seen everything the frame wrote for a key, that key does not run again: a reconcile
 * never sees the state before its own last write, so no expectations have to be kept.
 *
 * Level-triggered: a key runs when something changed, and must bring about what the caches say,
 * whatever happened before. Equal keys waiting are one. Runs on any loop, also the simulated one.
 */
#ifndef BARQUE_CONTROLLER_CONTROLLER_H
#define BARQUE_CONTROLLER_CONTROLLER_H

#include "api/corev1.h"
#include "client/client.h"

struct manager;
struct controller;

/* ---- what a reconcile gets and gives ---- */

struct reconcile {
    struct controller *c;
    struct manager *m;
    struct arena *arena; /* dies after the intents were carried out */
    struct str ns, name; /* the key */
    struct wall now;
    /* private */
    struct intent *intents, **tail;
    int64_t requeue_ms; /* -1: not */
};

/* Objects given to intents live on rc->arena (desc_copy before changing one from a cache). */
void intend_create(struct reconcile *rc, const struct resource_def *res, struct str ns,
                   const void *obj);
/* An AlreadyExists answer is a success. */
void intend_create_if_absent(struct reconcile *rc, const struct resource_def *res, struct str ns,
                             const void *obj);
/* obj's resourceVersion is the condition; subresource NULL or "status". */
void intend_update(struct reconcile *rc, const struct resource_def *res, const void *obj,
                   const char *subresource);
void intend_patch(struct reconcile *rc, const struct resource_def *res, struct str ns,
                  struct str name, const char *subresource, enum client_patch type,
                  struct str body);
/* NotFound is a success. how may be NULL. */
void intend_delete(struct reconcile *rc, const struct resource_def *res, struct str ns,
                   struct str name, const struct client_delete *how);
/* Posted when the intents before it succeeded. obj is referenced. */
void intend_event(struct reconcile *rc, const struct resource_def *res, struct item *obj,
                  const char *type, const char *reason, const char *fmt, ...) PRINTF(6, 7);
/* Posted when the last intent before it failed, with the error's text appended. */
void intend_event_on_failure(struct reconcile *rc, const struct resource_def *res, struct item *obj,
                             const char *reason, const char *what);
/* Run this key again after a while, without anything having changed. */
void intend_requeue(struct reconcile *rc, int64_t after_ms);

/* ---- what a controller is ---- */

struct watch_map;
/* Adds the keys that an event concerns. old or now may be NULL. */
typedef void map_fn(struct controller *c, struct item *old, struct item *now);

struct controller_def {
    const char *name; /* "deployment"; events come from "<name>-controller" */
    /* Asks for caches and indexes, and says what wakes which keys. */
    void (*start)(struct controller *c);
    void (*reconcile)(struct reconcile *rc);
    void (*stop)(struct controller *c); /* frees c->state; may be NULL */
};

struct controller {
    const struct controller_def *def;
    struct manager *m;
    void *state; /* the controller's own */
};

/* In `start`: the cache of a resource ("apps/v1/deployments"), waking map(old, now) at events. map
 * may be NULL for caches that are only read. All caches are filled before the first reconcile. */
struct cache *controller_watch(struct controller *c, const char *resource, map_fn *map);
/* Maps: the object itself; its controlling owner if of that kind. */
void map_self(struct controller *c, struct item *old, struct item *now);
void controller_enqueue(struct controller *c, struct str ns, struct str name);
void controller_enqueue_item(struct controller *c, struct item *i);
/* "apps/v1/deployments" -> definition; must exist. */
const struct resource_def *resource_named(const char *resource);
/* The controlling owner reference, or NULL. */
const struct metav1_owner_reference *controller_of(const struct metav1_object_meta *m);
/* Enqueues the owner of the item's namespace when it is of this kind. */
void enqueue_controller(struct controller *c, struct item *i, const char *kind);

/* ---- the manager: runs a set of controllers ---- */

struct manager_config {
    struct client *client;
    struct str ca_pem;     /* for kube-root-ca.crt */
    uint32_t parallel_max; /* keys of one controller being carried out at a time; default 8 */
};
struct manager *manager_new(const struct manager_config *c,
                            const struct controller_def *const *defs, size_t n);
void manager_free(struct manager *m);
struct client *manager_client(struct manager *m);
struct str manager_ca(struct manager *m);
/* No key waits, runs or will run by itself (requeues aside). For the simulator. */
bool manager_idle(const struct manager *m);

/* All built-in controllers. */
extern const struct controller_def *const controllers_all[];
extern const size_t controllers_all_count;

extern const struct controller_def controller_deployment, controller_replicaset, controller_garbage,
    controller_namespace, controller_service_account, controller_root_ca, controller_endpoint_slice,
    controller_node_lifecycle;

#endif
