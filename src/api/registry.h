/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h: the built-in resources and kinds, compiled from schema/.
 */
#ifndef BARQUE_API_REGISTRY_H
#define BARQUE_API_REGISTRY_H

#include "api/desc.h"
#include "api/print.h"

enum verb {
    VERB_CREATE = 1 << 0,
    VERB_DELETE = 1 << 1,
    VERB_DELETECOLLECTION = 1 << 2,
    VERB_GET = 1 << 3,
    VERB_LIST = 1 << 4,
    VERB_PATCH = 1 << 5,
    VERB_UPDATE = 1 << 6,
    VERB_WATCH = 1 << 7,
};

struct subresource_def {
    const char *name;                   /* "status" */
    const char *group, *version, *kind; /* of the body: "autoscaling", "v1", "Scale" */
    const struct desc *desc;
    uint32_t verbs;
};

struct column_def {
    const char *name, *type, *format, *description;
    int32_t priority; /* 0: always shown, 1: with -o wide */
};

struct kind_hooks; /* api/hooks.h */

struct resource_def {
    const char *group, *version; /* "" is the core group */
    const char *plural, *singular, *kind;
    const char *const *short_names; /* these three: NULL or a vector ending with NULL */
    const char *const *categories;
    const char *const *select; /* field selectors besides metadata.name and .namespace */
    const struct desc *desc, *list_desc;
    const struct subresource_def *subs;
    size_t n_subs;
    const struct column_def *columns; /* NULL: Name and Age */
    size_t n_columns;
    print_fn *print;                  /* NULL when columns is */
    const struct kind_hooks *hooks; /* NULL: none */
    uint32_t verbs;
    bool namespaced;
    bool is_virtual;  /* answered by the server, never stored (reviews, bindings) */
    bool is_volatile; /* needs not survive a crash */
};

extern const struct resource_def resource_defs[];
extern const size_t resource_def_count;

/* Every type that has kind and apiVersion, lists and options included. */
struct kind_def {
    const char *group, *version, *kind;
    const struct desc *desc;
};
extern const struct kind_def kind_defs[];
extern const size_t kind_def_count;

/* NULL when there is none. The kinds of meta.k8s.io/v1 (options, Status) are in every group. */
const struct kind_def *kind_find(struct str group, struct str version, struct str kind);
const struct resource_def *resource_find(struct str group, struct str version, struct str plural);
const struct resource_def *resource_find_kind(struct str group, struct str version,
                                              struct str kind);
/* "apps/v1" to ("apps", "v1"), "v1" to ("", "v1"). False when malformed (two slashes, empty). */
bool api_version_split(struct str api_version, struct str *ret_group, struct str *ret_version);
/* The inverse. */
struct str api_version_join(struct arena *a, struct str group, struct str version);

#endif
