/* SPDX-License-Identifier: Apache-2.0 */
/*
 * controller.h: the reconcile frame, and the controllers that run in it.
 *
 * A controller names the caches it reads, maps their events to keys (usually namespace/name of the
 * object it is about) and has one function: reconcile(key) looks at the caches and appends
 * intents. It never calls the API itself and never waits. The frame carries the intents out, stops
 * at the first that fails, and runs the key again after a growing delay (5 ms doubling to 1000 s,
 * as upstream's work queues). Until the caches have seen everything that the frame wrote for a
 * key, that key does not run again: a reconcile never sees the state before its own last write, so
 * no expectations have to be kept.
 *
 * Level-triggered: a key runs when something changed, and must bring about what the caches say,
 * whatever happened before. Equal keys waiting are one; an event ends the delay of a key that
 * failed. Runs on any loop, also the simulated one.
 */
#ifndef BARQUE_CONTROLLER_CONTROLLER_H
#define BARQUE_CONTROLLER_CONTROLLER_H

#include "api/corev1.h"
#include "client/client.h"

struct manager;
struct controller;
struct intent;

/* ---- what a reconcile gets and gives ---- */

struct reconcile {
    struct controller *c;
    struct manager *m;
    struct arena *arena; /* dies after the intents were carried out */
    struct str ns, name; /* the key */
    struct wall now;
    void *state; /* the reconcile's own, for intent_fns; on the arena */
    /* private */
    struct intent *next, **tail;
    uint32_t batch; /* of the next intent; 0: alone */
    uint32_t batches;
    int64_t requeue_ms; /* -1: not */
};

/* Intents are carried out in order, one at a time. They take what they need at once: objects given
 * to them may be views of caches, and shallow copies of such. */
struct intent *intend_create(struct reconcile *rc, const struct resource_def *res, struct str ns,
                             const void *obj);
/* The same from an object's text, made once for many: on rc->arena. */
struct str intent_text(struct reconcile *rc, const struct desc *d, const void *obj);
struct intent *intend_create_text(struct reconcile *rc, const struct resource_def *res,
                                  struct str ns, struct str text);
/* An AlreadyExists answer is a success. */
struct intent *intend_create_if_absent(struct reconcile *rc, const struct resource_def *res,
                                       struct str ns, const void *obj);
/* obj's resourceVersion is the condition; subresource NULL, "status", "finalize"... */
struct intent *intend_update(struct reconcile *rc, const struct resource_def *res, const void *obj,
                             const char *subresource);
struct intent *intend_patch(struct reconcile *rc, const struct resource_def *res, struct str ns,
                            struct str name, const char *subresource, enum client_patch type,
                            struct str body);
/* NotFound is a success. how may be NULL. */
struct intent *intend_delete(struct reconcile *rc, const struct resource_def *res, struct str ns,
                             struct str name, const struct client_delete *how);
/* Everything of a kind in a namespace. */
struct intent *intend_delete_all(struct reconcile *rc, const struct resource_def *res,
                                 struct str ns);
/* Asks the server itself, for decisions that must not rest on a cache. NotFound is no failure: the
 * intent_fn gets it as its code. */
struct intent *intend_get(struct reconcile *rc, const struct resource_def *res, struct str ns,
                          struct str name);
/* The same for a list of at most limit objects; the item's value is the list's text. */
struct intent *intend_list(struct reconcile *rc, const struct resource_def *res, struct str ns,
                           uint32_t limit);

/* The intents made between these two are carried out side by side; those behind wait for all. */
void intend_batch_begin(struct reconcile *rc);
void intend_batch_end(struct reconcile *rc);

/* Called when the answer has come: code 0 with the object's state (NULL: it is gone), or a negative
 * code with the error. After a failure the intents that had not been begun are dropped. fn may
 * look at caches anew (pointers from before are dead), post events and intend more; what it
 * intends is carried out also after a failure, which the key still ends with. */
typedef void intent_fn(struct reconcile *rc, void *arg, int code, struct item *item,
                       const struct err *e);
void intent_then(struct intent *i, intent_fn *fn, void *arg);

/* Run this key again after a while, without anything having changed. */
void intend_requeue(struct reconcile *rc, int64_t after_ms);
/* Keeps an item until the reconcile is over; returns it. */
struct item *reconcile_hold(struct reconcile *rc, struct item *i);
/* Posts an event about an object, from this controller. Best effort. */
void reconcile_event(struct reconcile *rc, const struct resource_def *res, struct item *obj,
                     const char *type, const char *reason, const char *fmt, ...) PRINTF(6, 7);

/* ---- what a controller is ---- */

/* Adds the keys that an event concerns. old or now may be NULL. */
typedef void map_fn(struct controller *c, struct item *old, struct item *now);

struct controller_def {
    const char *name;      /* "deployment" */
    const char *component; /* source of its events; NULL: "<name>-controller" */
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
 * may be NULL for caches that are only read. All caches of a controller are filled before its
 * first reconcile. */
struct cache *controller_watch(struct controller *c, const char *resource, map_fn *map);
struct cache *controller_watch_def(struct controller *c, const struct resource_def *res,
                                   map_fn *map);
/* A map_fn: the object itself. */
void map_self(struct controller *c, struct item *old, struct item *now);
void controller_enqueue(struct controller *c, struct str ns, struct str name);
void controller_enqueue_item(struct controller *c, struct item *i);
/* Enqueues the owner in the item's namespace when the controlling owner is of this kind. */
void enqueue_controller(struct controller *c, struct item *i, const char *kind);
/* Namespace and name of an item, from its key. */
void item_names(const struct item *i, struct str *ret_ns, struct str *ret_name);

/* "apps/v1/deployments" -> definition; must exist. */
const struct resource_def *resource_named(const char *resource);
/* The controlling owner reference, or NULL. */
const struct metav1_owner_reference *controller_of(const struct metav1_object_meta *m);

/* ---- the manager: runs a set of controllers ---- */

struct manager_config {
    struct client *client;
    struct str ca_pem;     /* for kube-root-ca.crt; empty: none is published */
    uint32_t parallel_max; /* keys of one controller being carried out at a time; default 8 */
};
struct manager *manager_new(const struct manager_config *c,
                            const struct controller_def *const *defs, size_t n);
/* Before the client goes. Calls under way are given up. */
void manager_free(struct manager *m);
struct client *manager_client(struct manager *m);
struct str manager_ca(struct manager *m);
/* No key waits, runs or backs off (requeues aside). For the simulator. */
bool manager_idle(const struct manager *m);

/* All built-in controllers. */
extern const struct controller_def *const controllers_all[];
extern const size_t controllers_all_count;

extern const struct controller_def controller_deployment, controller_replicaset, controller_garbage,
    controller_namespace, controller_service_account, controller_root_ca, controller_endpoint_slice,
    controller_endpoints, controller_node_lifecycle, controller_taint_eviction, controller_pod_gc;

#endif
