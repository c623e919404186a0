/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces that are being deleted: first their pods, then everything else, then the namespace
 * itself (k8s.io/kubernetes/pkg/controller/namespace). Key: the namespace.
 *
 * Counting by the caches tells when to look; that nothing is left is believed only from lists by
 * the server itself, because an object may have been made just before the namespace was deleted.
 * What waits for finalizers or nodes shows in the namespace's conditions.
 */
#include "api/metav1.h"
#include "base/map.h"
#include "base/vec.h"
#include "controller/resources.h"

struct content {
    struct cache *cache;
    struct cache_index *by_namespace;
};

struct state {
    struct cache *namespaces;
    VEC(struct content) contents; /* pods first */
    struct map terminating;       /* namespace -> state */
};

/* What is left of one resource, or of one finalizer. */
struct remaining {
    struct str what;
    size_t n;
};

struct count {
    struct arena *arena;
    size_t n, not_deleted; /* objects of one resource; those that no delete has reached */
    VEC(struct remaining) finalizers;
};

struct run {
    struct reconcile *rc;
    struct state *s;
    const struct corev1_namespace *ns;
    VEC(struct remaining) resources;
    struct count all;
};

/* ---- waking ---- */

static void map_namespace(struct controller *c, struct item *old, struct item *now)
{
    struct state *s = c->state;
    struct str ns, name;
    item_names(now ? now : old, &ns, &name);
    const struct corev1_namespace *n = now ? item_typed(now, &corev1_namespace_desc) : NULL;
    if (!n || !n->metadata.deletion_timestamp) {
        map_remove(&s->terminating, name);
        return;
    }
    map_put(&s->terminating, name, s);
    controller_enqueue(c, STR(""), name);
}

static void map_content(struct controller *c, struct item *old, struct item *now)
{
    struct state *s = c->state;
    struct str ns, name;
    if (!s->terminating.count)
        return;
    item_names(now ? now : old, &ns, &name);
    if (map_has(&s->terminating, ns))
        controller_enqueue(c, STR(""), ns);
}

static void add_content(struct controller *c, const struct resource_def *d)
{
    struct state *s = c->state;
    struct cache *k = controller_watch_def(c, d, map_content);
    vec_push(&s->contents,
             ((struct content){k, cache_add_index(k, "namespace", cache_index_namespace)}));
}

static void start(struct controller *c)
{
    struct state *s = xcalloc(1, sizeof *s);
    const struct resource_def *pods = resource_named("v1/pods");
    c->state = s;
    s->namespaces = controller_watch(c, "v1/namespaces", map_namespace);
    add_content(c, pods);
    for (size_t i = 0; i < resource_def_count; i++)
        if (resource_defs[i].namespaced && &resource_defs[i] != pods &&
            resource_collectable(&resource_defs[i]))
            add_content(c, &resource_defs[i]);
}

static void stop(struct controller *c)
{
    struct state *s = c->state;
    vec_free(&s->contents);
    map_fini(&s->terminating);
    free(s);
}

/* ---- counting ---- */

static void count_finalizer(struct count *n, struct str name)
{
    LIST_EACH (r, &n->finalizers) {
        if (str_eq(r->what, name)) {
            r->n++;
            return;
        }
    }
    struct remaining r = {arena_str(n->arena, name), 1};
    vec_push_arena(n->arena, &n->finalizers, r);
}

static bool count_item(void *arg, struct item *i)
{
    struct count *n = arg;
    struct arena scratch = ARENA_INIT;
    struct metav1_object_meta m;
    item_meta(&scratch, i, &m);
    n->n++;
    n->not_deleted += !m.deletion_timestamp;
    LIST_EACH (f, &m.finalizers)
        count_finalizer(n, *f);
    arena_fini(&scratch);
    return true;
}

/* Counts one resource; true when a delete must go out for it. */
static bool count_content(struct run *r, const struct content *c)
{
    struct arena *a = r->rc->arena;
    struct count n = {.arena = a, .finalizers = r->all.finalizers};
    cache_index_each(c->by_namespace, r->rc->name, count_item, &n);
    r->all.finalizers = n.finalizers;
    r->all.n += n.n;
    if (n.n) {
        struct remaining left = {resource_dotted(a, cache_resource(c->cache)), n.n};
        vec_push_arena(a, &r->resources, left);
    }
    return n.not_deleted > 0;
}

/* ---- conditions ---- */

static int remaining_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct remaining *)a)->what, ((const struct remaining *)b)->what);
}

/* "pods. has 3 resource instances, secrets. has 1 resource instances", sorted. */
static struct str remaining_text(struct arena *a, const char *head, struct remaining *v, size_t n,
                                 const char *joint)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(32));
    qsort(v, n, sizeof *v, remaining_cmp);
    buf_z(&b, head);
    for (size_t i = 0; i < n; i++)
        buf_fmt(&b, "%s%.*s %s %zu resource instances", i ? ", " : "", STR_ARG(v[i].what), joint,
                v[i].n);
    return buf_to_arena(&b, a);
}

static bool set_condition(struct reconcile *rc, struct corev1_namespace_status *st,
                          const char *type, bool status, const char *reason, struct str message)
{
    struct corev1_namespace_condition want = {.type = str_z(type),
                                              .status = status ? STR("True") : STR("False"),
                                              .last_transition_time = {.s = rc->now.s},
                                              .reason = str_z(reason),
                                              .message = message};
    LIST_EACH (c, &st->conditions) {
        if (!str_eqz(c->type, type))
            continue;
        if (str_eq(c->status, want.status))
            want.last_transition_time = c->last_transition_time;
        bool same = str_eq(c->status, want.status) && str_eq(c->reason, want.reason) &&
                    str_eq(c->message, want.message);
        *c = want;
        return !same;
    }
    *(list_add(rc->arena, &st->conditions)) = want;
    return true;
}

/* failure: why a delete went wrong, or empty. */
static void write_conditions(struct run *r, struct str failure)
{
    struct reconcile *rc = r->rc;
    struct arena *a = rc->arena;
    struct corev1_namespace ns = *r->ns;
    desc_copy_into(&corev1_namespace_status_desc, a, &ns.status, &r->ns->status);
    struct corev1_namespace_status *st = &ns.status;
    bool failed = failure.n > 0, left = r->resources.n > 0, held = r->all.finalizers.n > 0;
    bool changed = false;
    changed |= set_condition(rc, st, "NamespaceDeletionDiscoveryFailure", false,
                             "ResourcesDiscovered", STR("All resources successfully discovered"));
    changed |=
        set_condition(rc, st, "NamespaceDeletionGroupVersionParsingFailure", false,
                      "ParsedGroupVersions", STR("All legacy kube types successfully parsed"));
    changed |= set_condition(
        rc, st, "NamespaceDeletionContentFailure", failed,
        failed ? "ContentDeletionFailed" : "ContentDeleted",
        failed ? arena_fmt(a, "Failed to delete all resource types, 1 remaining: %.*s",
                           STR_ARG(failure))
               : STR("All content successfully deleted, may be waiting on finalization"));
    changed |= set_condition(
        rc, st, "NamespaceContentRemaining", left, left ? "SomeResourcesRemain" : "ContentRemoved",
        left ? remaining_text(a, "Some resources are remaining: ", r->resources.v, r->resources.n,
                              "has")
             : STR("All content successfully removed"));
    changed |= set_condition(
        rc, st, "NamespaceFinalizersRemaining", held,
        held ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
        held ? remaining_text(a, "Some content in the namespace has finalizers remaining: ",
                              r->all.finalizers.v, r->all.finalizers.n, "in")
             : STR("All content-preserving finalizers finished"));
    if (changed)
        intend_update(rc, cache_resource(r->s->namespaces), &ns, "status");
}

/* ---- deleting ---- */

static bool load(struct run *r, struct reconcile *rc)
{
    struct state *s = rc->c->state;
    *r = (struct run){.rc = rc, .s = s, .all = {.arena = rc->arena}};
    struct item *i = cache_get(s->namespaces, STR(""), rc->name);
    if (!i)
        return false;
    r->ns = item_typed(i, &corev1_namespace_desc);
    return r->ns->metadata.deletion_timestamp &&
           str_list_has(&r->ns->spec.finalizers, STR("kubernetes"));
}

static void count_all(struct run *r)
{
    for (size_t i = 0; i < r->s->contents.n; i++)
        (void)count_content(r, &r->s->contents.v[i]);
}

static void deleted(struct reconcile *rc, void *arg, int code, struct item *item,
                    const struct err *e)
{
    struct run r;
    if (code == 0 || rc->state || !load(&r, rc))
        return;
    rc->state = rc; /* once is enough */
    count_all(&r);
    write_conditions(&r, e->message);
}

static void delete_content(struct reconcile *rc, const struct content *c)
{
    intent_then(intend_delete_all(rc, cache_resource(c->cache), rc->name), deleted, NULL);
}

/* ---- the end ---- */

struct finale {
    size_t asked, left;
};

static void finalize(struct reconcile *rc)
{
    struct run r;
    if (!load(&r, rc))
        return;
    struct corev1_namespace ns = *r.ns;
    ns.spec.finalizers = (struct str_list){0};
    LIST_EACH (f, &r.ns->spec.finalizers)
        if (!str_eq(*f, STR("kubernetes")))
            str_list_push(rc->arena, &ns.spec.finalizers, *f);
    intend_update(rc, cache_resource(r.s->namespaces), &ns, "finalize");
}

static void listed(struct reconcile *rc, void *arg, int code, struct item *list,
                   const struct err *e)
{
    struct finale *f = rc->state;
    const struct content *c = arg;
    struct json *doc = code == 0 ? (struct json *)(uintptr_t)item_tree(list) : NULL;
    const struct json *items = json_getz(doc, "items");
    f->asked--;
    if (code < 0)
        return; /* the key runs again */
    if (items && items->type == JSON_ARRAY && items->array.n) {
        f->left++;
        delete_content(rc, c); /* its events wake the key */
    }
    if (!f->asked && !f->left)
        finalize(rc);
}

static void check_empty(struct run *r)
{
    struct reconcile *rc = r->rc;
    struct finale *f = arena_new(rc->arena, struct finale);
    rc->state = f;
    f->asked = r->s->contents.n;
    intend_batch_begin(rc);
    LIST_EACH (c, &r->s->contents)
        intent_then(intend_list(rc, cache_resource(c->cache), rc->name, 1), listed, c);
    intend_batch_end(rc);
}

static void reconcile(struct reconcile *rc)
{
    struct run r;
    bool deleting = false;
    if (!load(&r, rc))
        return;
    LIST_EACH (c, &r.s->contents) {
        if (count_content(&r, c)) {
            delete_content(rc, c);
            deleting = true;
        }
        if (c == r.s->contents.v && r.all.n)
            break; /* pods first */
    }
    if (deleting)
        return;
    if (r.all.n)
        write_conditions(&r, STR_NULL);
    else
        check_empty(&r);
}

const struct controller_def controller_namespace = {
    .name = "namespace", .start = start, .reconcile = reconcile, .stop = stop};
