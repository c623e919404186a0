/* SPDX-License-Identifier: Apache-2.0 */
#include "api/registry.h"

static const struct kind_def *find_kind(struct str group, struct str version, struct str kind)
{
    for (size_t i = 0; i < kind_def_count; i++) {
        const struct kind_def *k = &kind_defs[i];
        if (str_eqz(kind, k->kind) && str_eqz(version, k->version) && str_eqz(group, k->group))
            return k;
    }
    return NULL;
}

const struct kind_def *kind_find(struct str group, struct str version, struct str kind)
{
    const struct kind_def *k = find_kind(group, version, kind);
    return k ? k : find_kind(STR("meta.k8s.io"), STR("v1"), kind);
}

const struct resource_def *resource_find(struct str group, struct str version, struct str plural)
{
    for (size_t i = 0; i < resource_def_count; i++) {
        const struct resource_def *r = &resource_defs[i];
        if (str_eqz(plural, r->plural) && str_eqz(version, r->version) && str_eqz(group, r->group))
            return r;
    }
    return NULL;
}

const struct resource_def *resource_find_kind(struct str group, struct str version, struct str kind)
{
    for (size_t i = 0; i < resource_def_count; i++) {
        const struct resource_def *r = &resource_defs[i];
        if (str_eqz(kind, r->kind) && str_eqz(version, r->version) && str_eqz(group, r->group))
            return r;
    }
    return NULL;
}

bool api_version_split(struct str api_version, struct str *ret_group, struct str *ret_version)
{
    struct str group, version;
    if (!str_cut(api_version, '/', &group, &version)) {
        *ret_group = STR("");
        *ret_version = api_version;
        return api_version.n > 0;
    }
    if (!group.n || !version.n || str_index(version, '/') >= 0)
        return false;
    *ret_group = group;
    *ret_version = version;
    return true;
}

struct str api_version_join(struct arena *a, struct str group, struct str version)
{
    if (!group.n)
        return version;
    return arena_fmt(a, "%.*s/%.*s", STR_ARG(group), STR_ARG(version));
}
