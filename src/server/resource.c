/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what is served, and the keys under which objects are stored. */
#include "server/impl.h"

static struct str table_key(struct arena *a, struct str group, struct str version,
                            struct str plural)
{
    return arena_join(a, (struct str[]){group, STR("/"), version, STR("/"), plural}, 5);
}

/* Kinds with several versions are stored as one of them, the hub. */
static const struct {
    const char *group, *version, *plural;
    const char *hub_group, *hub_version;
} shared[] = {
    {"events.k8s.io", "v1", "events", "", "v1"},
    {"autoscaling", "v1", "horizontalpodautoscalers", "autoscaling", "v2"},
};

static void find_hub(struct server *s, struct resource *r)
{
    r->hub = r;
    for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
        if (str_eqz(r->group, shared[i].group) && str_eqz(r->version, shared[i].version) &&
            str_eqz(r->plural, shared[i].plural)) {
            r->hub = resources_find(s, str_z(shared[i].hub_group), str_z(shared[i].hub_version),
                                    r->plural);
            must(r->hub != NULL);
            r->prefix = r->hub->prefix;
        }
    }
}

static void add_builtin(struct server *s, const struct resource_def *def)
{
    struct arena *a = &s->arena;
    struct resource *r = arena_new(a, struct resource);
    r->group = str_z(def->group);
    r->version = str_z(def->version);
    r->api_version = api_version_join(a, r->group, r->version);
    r->plural = str_z(def->plural);
    r->singular = str_z(def->singular);
    r->kind = str_z(def->kind);
    r->list_kind = arena_cat(a, r->kind, STR("List"));
    r->namespaced = def->namespaced;
    r->def = def;
    r->desc = def->desc;
    r->hooks = def->hooks;
    r->verbs = def->verbs;
    r->metadata = desc_field(def->desc, STR("metadata"));
    r->spec = desc_field(def->desc, STR("spec"));
    r->status = desc_field(def->desc, STR("status"));
    for (size_t i = 0; i < def->n_subs; i++)
        r->has_status |= strcmp(def->subs[i].name, "status") == 0;
    r->prefix = arena_fmt(a, "%s/%s/", def->group[0] ? def->group : "core", def->plural);
    map_put(&s->resources, table_key(a, r->group, r->version, r->plural), r);
}

void resources_init(struct server *s)
{
    for (size_t i = 0; i < resource_def_count; i++)
        add_builtin(s, &resource_defs[i]);
    uint32_t it = 0;
    for (struct map_entry *e; (e = map_next(&s->resources, &it));)
        find_hub(s, e->value);
    s->generation = 1;
}

void resources_fini(struct server *s)
{
    map_fini(&s->resources);
}

struct resource *resources_find(struct server *s, struct str group, struct str version,
                                struct str plural)
{
    struct arena scratch = ARENA_INIT;
    struct resource *r = map_get(&s->resources, table_key(&scratch, group, version, plural));
    arena_fini(&scratch);
    return r;
}

struct resource *resources_find_kind(struct server *s, struct str group, struct str version,
                                     struct str kind)
{
    uint32_t it = 0;
    for (struct resource *r; (r = resources_next(s, &it));)
        if (str_eq(r->kind, kind) && str_eq(r->version, version) && str_eq(r->group, group))
            return r;
    return NULL;
}

struct resource *resources_next(struct server *s, uint32_t *it)
{
    struct map_entry *e;
    while ((e = map_next(&s->resources, it))) {
        struct resource *r = e->value;
        if (!r->replaced)
            return r;
    }
    return NULL;
}

uint64_t resources_generation(const struct server *s)
{
    return s->generation;
}

struct str resource_key(struct arena *a, const struct resource *res, struct str ns, struct str name)
{
    struct str scope = res->namespaced ? ns : STR_NULL;
    return arena_join(a, (struct str[]){res->prefix, scope, STR("/"), name}, 4);
}

struct str resource_prefix(struct arena *a, const struct resource *res, struct str ns)
{
    if (!ns.n || !res->namespaced)
        return res->prefix;
    return arena_join(a, (struct str[]){res->prefix, ns, STR("/")}, 3);
}

void key_split(struct str key, struct str *ret_ns, struct str *ret_name)
{
    ptrdiff_t at = str_rindex(key, '/');
    must(at >= 0);
    *ret_name = str_sub(key, (size_t)at + 1, key.n);
    struct str head = str_sub(key, 0, (size_t)at);
    at = str_rindex(head, '/');
    must(at >= 0);
    *ret_ns = str_sub(head, (size_t)at + 1, head.n);
}

struct str resource_qualified(struct arena *a, const struct resource *res)
{
    if (!res->group.n)
        return res->plural;
    return arena_fmt(a, "%.*s.%.*s", STR_ARG(res->plural), STR_ARG(res->group));
}
