/* SPDX-License-Identifier: Apache-2.0 */
/* Owners of the number of replicas, between an object and its Scale. */
#include "api/managed.h"

static const struct field_node replicas = {
    {STEP_FIELD, .name = {"replicas", sizeof "replicas" - 1}}, true, NULL};
static const struct fieldset below_spec = {&replicas, 1};
static const struct field_node spec = {
    {STEP_FIELD, .name = {"spec", sizeof "spec" - 1}}, false, &below_spec};
static const struct fieldset scale_replicas = {&spec, 1};

static const struct replicas_path *find_path(const struct replicas_path *paths, size_t n,
                                             struct str api_version)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(paths[i].api_version, api_version))
            return &paths[i];
    return NULL;
}

static bool owns_replicas(struct manager *m, const struct replicas_path *path)
{
    return path && path->path && managed_has_all(m, path->path);
}

int managed_to_scale(struct fields_pool *pool, const struct json *entries,
                     const struct replicas_path *paths, size_t n, struct json **ret, struct err *e)
{
    struct managed m;
    int rc = managed_decode(pool, entries, false, &m, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < m.n; i++) {
        bool owns = owns_replicas(&m.v[i], find_path(paths, n, m.v[i].api_version));
        managed_put(&m.v[i], owns ? scale_replicas : (struct fieldset){NULL, 0});
        m.v[i].api_version = STR("autoscaling/v1");
    }
    *ret = managed_encode(pool, &m);
    return pool->full ? err_set(e, ERR_LIMIT, "managed fields are too large") : 0;
}

/* In the Scale an updater's entry has the Scale's version: the version does not tell managers
 * apart here. */
static struct manager *same_but_version(struct managed *m, const struct manager *like)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->v[i].applied == like->applied && str_eq(m->v[i].name, like->name) &&
            str_eq(m->v[i].subresource, like->subresource))
            return &m->v[i];
    return NULL;
}

/* What the Scale's writer did to the object's manager. */
static void take_or_leave(struct fields_pool *pool, struct manager *m, struct managed *scale,
                          const struct replicas_path *path)
{
    if (!path) {
        managed_put(m, (struct fieldset){NULL, 0});
        return;
    }
    if (!owns_replicas(m, path))
        return;
    struct manager *still = same_but_version(scale, m);
    if (still) {
        managed_put(still, (struct fieldset){NULL, 0}); /* nothing new */
        return;
    }
    struct fieldset set = managed_set(pool, m);
    managed_put(m, fieldset_minus(pool, &set, path->path));
}

int managed_from_scale(struct fields_pool *pool, const struct json *entries,
                       const struct json *scale_entries, struct str api_version,
                       const struct replicas_path *paths, size_t n, struct json **ret,
                       struct err *e)
{
    struct managed m, scale;
    const struct replicas_path *here = find_path(paths, n, api_version);
    int rc = managed_decode(pool, entries, false, &m, e);
    if (rc == 0)
        rc = managed_decode(pool, scale_entries, false, &scale, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < m.n; i++)
        take_or_leave(pool, &m.v[i], &scale, find_path(paths, n, m.v[i].api_version));
    for (size_t i = 0; i < scale.n && here && here->path; i++) {
        struct manager more = scale.v[i];
        if (!managed_has_all(&scale.v[i], &scale_replicas))
            continue;
        more.api_version = api_version;
        struct manager *own = managed_find(&m, &more);
        struct fieldset old = {NULL, 0};
        if (own)
            old = managed_set(pool, own);
        else
            own = managed_add(pool, &m, &more);
        if (own)
            managed_put(own, fieldset_union(pool, &old, here->path));
    }
    *ret = managed_encode(pool, &m);
    return pool->full ? err_set(e, ERR_LIMIT, "managed fields are too large") : 0;
}
