/* SPDX-License-Identifier: Apache-2.0 */
/* impl.h: what transports and caches share. Private to client/. */
#ifndef BARQUE_CLIENT_IMPL_H
#define BARQUE_CLIENT_IMPL_H

#include "base/map.h"
#include "client/client.h"

/* One request as a transport sees it; strings live until `send` returns. */
struct wire_request {
    const char *method;
    struct str path, content_type, body;
};

struct call {
    struct client *client;
    client_done *done;
    void *arg;
    struct list link; /* in client.calls */
    struct task finish;
    struct arena arena; /* for the error */
    struct err err;
    struct item *item; /* owned reference */
    int rc;
    void *transport; /* the transport's own */
};

/* A list followed by a watch, told as they come. Stopped by `unfollow`. */
struct follow_ops {
    /* A fresh list begins: forget nothing yet; items follow; `listed` ends it. */
    void (*list_begin)(void *arg);
    void (*list_item)(void *arg, struct item *i);
    void (*listed)(void *arg, rev_t rev);
    void (*event)(void *arg, struct item *i, bool deleted);
    void (*progress)(void *arg, rev_t rev);
};

struct client_ops {
    void (*send)(struct call *c, const struct wire_request *q);
    void (*cancel)(struct call *c);
    void *(*follow)(struct client *c, const struct resource_def *res, struct str ns,
                    struct str field_selector, const struct follow_ops *ops, void *arg);
    void (*unfollow)(void *follow);
    void (*free)(struct client *c);
};

struct client {
    const struct client_ops *ops;
    struct loop *loop;
    struct list calls; /* under way */
    struct map caches; /* "group/version/plural|ns|selector" -> struct cache */
    struct recorder *recorder;
    void *transport;
};

void client_init(struct client *c, const struct client_ops *ops, struct loop *l);
/* Ends a call: done is called from the loop. item is taken. */
void call_finish(struct call *c, int rc, struct item *item);

/* Ends a call that was answered with an error: body is a Status (or not). */
void call_fail(struct call *c, int http_status, struct str body);

void cache_free(struct cache *k);
void recorder_free(struct recorder *r);

#endif
