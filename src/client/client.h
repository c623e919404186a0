/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h: the API as controllers, the scheduler and the node agent use it: verbs, and caches that
 * follow the server by list and watch.
 *
 * Two transports behind one interface: in-process (client_in_process: no bytes are copied, items
 * are the store's own) and HTTP (client_http: TLS, client certificate or token). Code above cannot
 * tell which one it runs on, and must expect from both: 409 conflicts, 410 gaps, late and
 * coalesced events, refused and broken connections.
 *
 * Runs on one loop. Items that callbacks receive are borrowed; take item_ref to keep one.
 * Decode with item_typed(item, &corev1_pod_desc) (store/view.h).
 */
#ifndef BARQUE_CLIENT_CLIENT_H
#define BARQUE_CLIENT_CLIENT_H

#include "api/registry.h"
#include "api/selector.h"
#include "store/view.h"

struct client;
struct server;

struct client_user {
    struct str name; /* "system:kube-controller-manager" */
    struct str_list groups;
};
struct client *client_in_process(struct server *s, const struct client_user *user);

struct tls_context;
struct client_config {
    struct str address;      /* "tcp:127.0.0.1:6443" */
    struct str server_name;  /* for TLS */
    struct tls_context *tls; /* with CA and client certificate; borrowed */
    struct str token;        /* bearer; may be empty */
    struct str user_agent;
};
struct client *client_http(struct loop *l, const struct client_config *c);
/* Calls under way end without callbacks; caches go too. */
void client_free(struct client *c);
struct loop *client_loop(struct client *c);

/* ---- verbs ----
 * Resources are named by their definition (resource_find(...) for built-in ones; a custom
 * resource's definition is plain data that the caller fills: desc NULL). ns is empty for
 * cluster-scoped kinds.
 *
 * done comes exactly once, never before the verb returns. rc: 0, or -enum err_code with the
 * server's message in e (-ERR_UNAVAILABLE when no server could be reached: the state of a write is
 * then unknown). item: the object in the answer, NULL for a delete that is complete. */
typedef void client_done(void *arg, int rc, struct item *item, const struct err *e);

/* A call may be given up until its callback begins: none comes then. The write may still
 * happen. */
struct call;
void call_cancel(struct call *c);

struct call *client_get(struct client *c, const struct resource_def *res, struct str ns,
                        struct str name, client_done *done, void *arg);
/* At most limit objects (0: all) of the resource in ns (empty: everywhere). item's value is the
 * list's JSON text. */
struct call *client_list(struct client *c, const struct resource_def *res, struct str ns,
                         uint32_t limit, client_done *done, void *arg);
/* obj: a struct of res->desc (encoded before the call returns); the _json forms take its text. */
struct call *client_create(struct client *c, const struct resource_def *res, struct str ns,
                           const void *obj, client_done *done, void *arg);
struct call *client_create_json(struct client *c, const struct resource_def *res, struct str ns,
                                struct str text, client_done *done, void *arg);
/* subresource: NULL or "status", "scale", "binding" (create), "finalize", ... */
struct call *client_update(struct client *c, const struct resource_def *res, struct str ns,
                           struct str name, const char *subresource, const void *obj,
                           client_done *done, void *arg);
struct call *client_update_json(struct client *c, const struct resource_def *res, struct str ns,
                                struct str name, const char *subresource, struct str text,
                                client_done *done, void *arg);
enum client_patch {
    CLIENT_PATCH_JSON,
    CLIENT_PATCH_MERGE,
    CLIENT_PATCH_STRATEGIC,
    CLIENT_PATCH_APPLY
};
struct call *client_patch(struct client *c, const struct resource_def *res, struct str ns,
                          struct str name, const char *subresource, enum client_patch type,
                          struct str body, client_done *done, void *arg);
struct client_delete {
    struct str uid;              /* precondition; may be empty */
    struct str resource_version; /* precondition; may be empty */
    int64_t grace_s;             /* -1: the object's own */
    struct str propagation;      /* "", "Background", "Foreground", "Orphan" */
};
struct call *client_delete(struct client *c, const struct resource_def *res, struct str ns,
                           struct str name, const struct client_delete *how, client_done *done,
                           void *arg);
/* Everything of the resource in the namespace. */
struct call *client_delete_all(struct client *c, const struct resource_def *res, struct str ns,
                               client_done *done, void *arg);
/* Any request: path with query, JSON body or empty. item's value is the answer's text. */
struct call *client_raw(struct client *c, const char *method, struct str path,
                        struct str content_type, struct str body, client_done *done, void *arg);
/* POST of a typed subresource body: pods/binding, serviceaccounts/token, pods/eviction. */
struct call *client_post_sub(struct client *c, const struct resource_def *res, struct str ns,
                             struct str name, const char *subresource, const struct desc *desc,
                             const void *body, client_done *done, void *arg);

/* ---- caches ----
 * One cache per resource, namespace and field selector, shared by everybody who asks with the same
 * words, alive until client_free. It lists, watches, resumes at its revision after a break, and
 * relists after 410, then reporting what changed meanwhile as ordinary events. */

struct cache;
struct cache *client_cache(struct client *c, const struct resource_def *res, struct str ns,
                           struct str field_selector);
/* Has the first list arrived? */
bool cache_synced(const struct cache *k);
/* Newest revision that the cache has reached. */
rev_t cache_revision(const struct cache *k);
const struct resource_def *cache_resource(const struct cache *k);
size_t cache_count(const struct cache *k);
/* Borrowed until the next return to the loop; NULL when absent. */
struct item *cache_get(struct cache *k, struct str ns, struct str name);
struct item *cache_find_uid(struct cache *k, struct str uid);
/* In the order in which they came; ns empty: all. Stops when fn returns false. fn may not change
 * the cache (it cannot: changes come from the loop). */
void cache_each(struct cache *k, struct str ns, bool (*fn)(void *arg, struct item *i), void *arg);

/* An index: fn calls add(ctx, key) for each index key of the item ("spec.nodeName", owner uid...).
 * Made before the first event; one per name. */
typedef void cache_index_fn(struct item *i, void (*add)(void *ctx, struct str key), void *ctx);
struct cache_index;
struct cache_index *cache_add_index(struct cache *k, const char *name, cache_index_fn *fn);
void cache_index_each(struct cache_index *ix, struct str key, bool (*fn)(void *arg, struct item *i),
                      void *arg);
size_t cache_index_count(const struct cache_index *ix, struct str key);
/* Ready-made: by uid of the controlling owner reference; by namespace (costs no decoding); by each
 * label, with the key that cache_label_key makes. */
void cache_index_controller_uid(struct item *i, void (*add)(void *ctx, struct str key), void *ctx);
void cache_index_namespace(struct item *i, void (*add)(void *ctx, struct str key), void *ctx);
void cache_index_label(struct item *i, void (*add)(void *ctx, struct str key), void *ctx);
struct str cache_label_key(struct arena *a, struct str ns, struct str label, struct str value);

/* Called for each change after the cache has taken it in: old NULL: added; now NULL: deleted. A
 * handler that is added late is told of everything that is there already, from the loop. synced
 * (may be NULL) is called once when cache_synced becomes true; progress (may be NULL) whenever
 * cache_revision has risen, after the events. */
struct cache_handler {
    void (*event)(void *arg, struct item *old, struct item *now);
    void (*synced)(void *arg);
    void *arg;
    void (*progress)(void *arg);
    struct list link; /* private */
    bool fresh;       /* private */
};
void cache_handle(struct cache *k, struct cache_handler *h);
void cache_unhandle(struct cache_handler *h);

/* ---- events ---- */

/* Posts an Event about obj (kind and metadata are read from the item), aggregated and rate-limited
 * as client-go's recorder: equal ones within ten minutes count up. type: "Normal", "Warning". */
struct event_source {
    struct str component; /* "kubelet", "deployment-controller" */
    struct str host;
};
void client_event(struct client *c, const struct event_source *from, const struct resource_def *res,
                  struct item *obj, struct str field_path, const char *type, const char *reason,
                  const char *fmt, ...) PRINTF(8, 9);

#endif
