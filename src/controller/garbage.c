/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The garbage collector: objects whose owners have all gone are deleted; owners that wait for
 * their dependents, or want to leave them behind, are let go when that is done
 * (k8s.io/kubernetes/pkg/controller/garbagecollector). Key: a uid.
 *
 * The caches of all resources are the graph: by uid, and by the uids of owners. An owner that no
 * cache has is asked for at the server before it counts as absent, because its event may be late
 * or the reference wrong; what was found absent is remembered, since a uid never comes back.
 * Deletions carry uid and revision: a dependent that got another owner meanwhile is looked at anew.
 */
#include "base/map.h"
#include "base/vec.h"
#include "controller/resources.h"

enum { ABSENT_MAX = 4096 }; /* remembered */

#define FINALIZER_ORPHAN     "orphan"
#define FINALIZER_FOREGROUND "foregroundDeletion"

struct content {
    struct cache *cache;
    struct cache_index *by_owner; /* uids of all owners */
};

struct state {
    VEC(struct content) contents;
    struct map absent; /* reference as text -> state */
};

/* ---- the graph ---- */

static void index_owners(struct item *i, void (*add)(void *ctx, struct str key), void *ctx)
{
    struct arena scratch = ARENA_INIT;
    struct metav1_object_meta m;
    item_meta(&scratch, i, &m);
    LIST_EACH (o, &m.owner_references)
        add(ctx, o->uid);
    arena_fini(&scratch);
}

static struct item *find(struct state *s, struct str uid, const struct resource_def **ret_res)
{
    LIST_EACH (c, &s->contents) {
        struct item *i = cache_find_uid(c->cache, uid);
        if (i) {
            *ret_res = cache_resource(c->cache);
            return i;
        }
    }
    return NULL;
}

struct dependents {
    struct arena *arena;
    const struct resource_def *res;
    VEC(struct dependent {
        const struct resource_def *res;
        struct item *item;
    })
    v;
};

static bool add_dependent(void *arg, struct item *i)
{
    struct dependents *d = arg;
    struct dependent dep = {d->res, i};
    vec_push_arena(d->arena, &d->v, dep);
    return true;
}

static void find_dependents(struct state *s, struct str uid, struct dependents *ret)
{
    LIST_EACH (c, &s->contents) {
        ret->res = cache_resource(c->cache);
        cache_index_each(c->by_owner, uid, add_dependent, ret);
    }
}

static bool has_finalizer(const struct metav1_object_meta *m, const char *name)
{
    return str_list_has(&m->finalizers, str_z(name));
}

/* Being deleted, after its dependents. */
static bool is_waiting(const struct metav1_object_meta *m)
{
    return m->deletion_timestamp && has_finalizer(m, FINALIZER_FOREGROUND);
}

static const struct metav1_owner_reference *reference_to(const struct metav1_object_meta *m,
                                                         struct str uid)
{
    LIST_EACH (o, &m->owner_references)
        if (str_eq(o->uid, uid))
            return o;
    return NULL;
}

static bool blocks(const struct metav1_object_meta *m, struct str owner_uid)
{
    const struct metav1_owner_reference *o = reference_to(m, owner_uid);
    return o && o->block_owner_deletion && *o->block_owner_deletion;
}

/* ---- waking ---- */

static void enqueue_uid(struct controller *c, struct str uid)
{
    controller_enqueue(c, STR(""), uid);
}

static void enqueue_owners(struct controller *c, const struct metav1_object_meta *m)
{
    LIST_EACH (o, &m->owner_references)
        if (o->block_owner_deletion && *o->block_owner_deletion)
            enqueue_uid(c, o->uid);
}

static bool same_owners(const struct metav1_object_meta *a, const struct metav1_object_meta *b)
{
    if (a->owner_references.n != b->owner_references.n)
        return false;
    for (size_t i = 0; i < a->owner_references.n; i++)
        if (!desc_equal(&metav1_owner_reference_desc, &a->owner_references.v[i],
                        &b->owner_references.v[i]))
            return false;
    return true;
}

static struct str reference_text(struct arena *a, const struct metav1_owner_reference *o,
                                 struct str ns)
{
    return arena_fmt(a, "%.*s|%.*s|%.*s|%.*s|%.*s", STR_ARG(o->api_version), STR_ARG(o->kind),
                     STR_ARG(ns), STR_ARG(o->name), STR_ARG(o->uid));
}

static void remember_absent(struct state *s, struct str reference)
{
    if (s->absent.count >= ABSENT_MAX)
        map_clear(&s->absent);
    map_put(&s->absent, reference, s);
}

/* An object went: its dependents may have no owner any more, its owners wait for one less. */
static void gone(struct controller *c, const struct metav1_object_meta *m)
{
    struct arena scratch = ARENA_INIT;
    struct dependents deps = {.arena = &scratch};
    struct metav1_object_meta of;
    find_dependents(c->state, m->uid, &deps);
    LIST_EACH (d, &deps.v) {
        item_meta(&scratch, d->item, &of);
        enqueue_uid(c, of.uid);
    }
    enqueue_owners(c, m);
    arena_fini(&scratch);
}

static void map_object(struct controller *c, struct item *old, struct item *now)
{
    struct arena scratch = ARENA_INIT;
    struct metav1_object_meta was = {0}, m = {0};
    if (old)
        item_meta(&scratch, old, &was);
    if (now)
        item_meta(&scratch, now, &m);
    if (old && !str_eq(was.uid, m.uid)) /* deleted, or replaced while nobody looked */
        gone(c, &was);
    else if (old && !same_owners(&was, &m))
        enqueue_owners(c, &was);
    bool fresh = now && (!old || !str_eq(was.uid, m.uid) || !same_owners(&was, &m));
    if (fresh && m.owner_references.n)
        enqueue_uid(c, m.uid);
    if (now && m.deletion_timestamp &&
        (has_finalizer(&m, FINALIZER_ORPHAN) || has_finalizer(&m, FINALIZER_FOREGROUND))) {
        enqueue_uid(c, m.uid);
        enqueue_owners(c, &m);
    }
    arena_fini(&scratch);
}

static void start(struct controller *c)
{
    struct state *s = xcalloc(1, sizeof *s);
    c->state = s;
    for (size_t i = 0; i < resource_def_count; i++) {
        const struct resource_def *d = &resource_defs[i];
        if (!resource_collectable(d) || strcmp(d->plural, "events") == 0)
            continue;
        struct cache *k = controller_watch_def(c, d, map_object);
        vec_push(&s->contents, ((struct content){k, cache_add_index(k, "owners", index_owners)}));
    }
}

static void stop(struct controller *c)
{
    struct state *s = c->state;
    vec_free(&s->contents);
    map_fini(&s->absent);
    free(s);
}

/* ---- writing ---- */

struct object {
    const struct resource_def *res;
    struct item *item;
    struct metav1_object_meta meta;
};

/* Takes references to these owners away. */
static void drop_references(struct reconcile *rc, const struct resource_def *res,
                            const struct metav1_object_meta *m, const struct str *uids, size_t n)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    buf_z(&b, "{\"metadata\":{\"ownerReferences\":[");
    for (size_t i = 0; i < n; i++)
        buf_fmt(&b, "%s{\"$patch\":\"delete\",\"uid\":\"%.*s\"}", i ? "," : "", STR_ARG(uids[i]));
    buf_fmt(&b, "],\"uid\":\"%.*s\"}}", STR_ARG(m->uid));
    intend_patch(rc, res, m->namespace, m->name, NULL, CLIENT_PATCH_STRATEGIC, buf_view(&b));
}

static void drop_finalizer(struct reconcile *rc, const struct object *o, const char *name)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    bool first = true;
    buf_fmt(&b, "{\"metadata\":{\"resourceVersion\":\"%.*s\",\"uid\":\"%.*s\",\"finalizers\":[",
            STR_ARG(o->meta.resource_version), STR_ARG(o->meta.uid));
    LIST_EACH (f, &o->meta.finalizers) {
        if (str_eqz(*f, name))
            continue;
        buf_z(&b, first ? "" : ",");
        json_put_string(&b, *f);
        first = false;
    }
    buf_z(&b, "]}}");
    intend_patch(rc, o->res, o->meta.namespace, o->meta.name, NULL, CLIENT_PATCH_MERGE,
                 buf_view(&b));
}

static void delete_object(struct reconcile *rc, const struct object *o, const char *policy)
{
    struct client_delete how = {.uid = o->meta.uid,
                                .resource_version = o->meta.resource_version,
                                .grace_s = -1,
                                .propagation = str_z(policy)};
    intend_delete(rc, o->res, o->meta.namespace, o->meta.name, &how);
}

/* ---- owners that are being deleted ---- */

static void orphan_dependents(struct reconcile *rc, const struct object *o)
{
    struct dependents deps = {.arena = rc->arena};
    struct metav1_object_meta m;
    find_dependents(rc->c->state, o->meta.uid, &deps);
    intend_batch_begin(rc);
    LIST_EACH (d, &deps.v) {
        item_meta(rc->arena, d->item, &m);
        drop_references(rc, d->res, &m, &o->meta.uid, 1);
    }
    intend_batch_end(rc);
    drop_finalizer(rc, o, FINALIZER_ORPHAN);
}

static void wait_for_dependents(struct reconcile *rc, const struct object *o)
{
    struct dependents deps = {.arena = rc->arena};
    struct metav1_object_meta m;
    bool blocked = false;
    find_dependents(rc->c->state, o->meta.uid, &deps);
    LIST_EACH (d, &deps.v) {
        item_meta(rc->arena, d->item, &m);
        blocked |= blocks(&m, o->meta.uid);
        if (!is_waiting(&m))
            enqueue_uid(rc->c, m.uid);
    }
    if (!blocked)
        drop_finalizer(rc, o, FINALIZER_FOREGROUND);
}

/* ---- dependents ---- */

enum verdict { OWNER_ASKED, OWNER_SOLID, OWNER_ABSENT, OWNER_WAITING, OWNER_UNKNOWN };

struct reference {
    struct inquiry *of;
    struct str uid, text;
    enum verdict verdict;
};

/* The owners of one object, while some of them are asked for. */
struct inquiry {
    struct str uid;
    struct reference *refs;
    size_t n, asked;
};

/* The collected resource of a reference's group and kind, or NULL. */
static const struct resource_def *resource_of(struct state *s,
                                              const struct metav1_owner_reference *o)
{
    struct str group, version;
    if (!api_version_split(o->api_version, &group, &version))
        return NULL;
    LIST_EACH (c, &s->contents) {
        const struct resource_def *d = cache_resource(c->cache);
        if (str_eqz(group, d->group) && str_eqz(o->kind, d->kind))
            return d;
    }
    return NULL;
}

static enum verdict verdict_on(const struct metav1_object_meta *owner)
{
    return is_waiting(owner) ? OWNER_WAITING : OWNER_SOLID;
}

/* What the caches know about a reference; OWNER_ASKED: the server must be asked for res. */
static enum verdict look_up(struct state *s, struct reconcile *rc, const struct object *o,
                            const struct metav1_owner_reference *ref, struct str text,
                            const struct resource_def **ret_res)
{
    const struct resource_def *res = resource_of(s, ref), *found_res;
    struct metav1_object_meta m;
    *ret_res = res;
    if (!res || (res->namespaced && !o->res->namespaced))
        return OWNER_UNKNOWN; /* nothing that waiting or asking would tell */
    if (map_has(&s->absent, text))
        return OWNER_ABSENT;
    struct item *i = find(s, ref->uid, &found_res);
    if (!i)
        return OWNER_ASKED;
    item_meta(rc->arena, i, &m);
    bool here = !res->namespaced || str_eq(m.namespace, o->meta.namespace);
    if (found_res == res && str_eq(m.name, ref->name) && here)
        return verdict_on(&m);
    if (!here)
        reconcile_event(rc, o->res, o->item, "Warning", "OwnerRefInvalidNamespace",
                        "ownerRef [%.*s/%.*s, namespace: %.*s, name: %.*s, uid: %.*s] does not "
                        "exist in namespace \"%.*s\"",
                        STR_ARG(ref->api_version), STR_ARG(ref->kind), STR_ARG(o->meta.namespace),
                        STR_ARG(ref->name), STR_ARG(ref->uid), STR_ARG(o->meta.namespace));
    return OWNER_ASKED;
}

static size_t count_verdicts(const struct inquiry *q, enum verdict v)
{
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++)
        n += q->refs[i].verdict == v;
    return n;
}

/* Its references no longer hold their owners up. */
static void unblock_owners(struct reconcile *rc, const struct object *o)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(BUF_CAP_DEFAULT);
    buf_z(&b, "{\"metadata\":{\"ownerReferences\":[");
    LIST_EACH (r, &o->meta.owner_references)
        buf_fmt(&b, "%s{\"uid\":\"%.*s\",\"blockOwnerDeletion\":false}",
                r == o->meta.owner_references.v ? "" : ",", STR_ARG(r->uid));
    buf_fmt(&b, "],\"uid\":\"%.*s\"}}", STR_ARG(o->meta.uid));
    intend_patch(rc, o->res, o->meta.namespace, o->meta.name, NULL, CLIENT_PATCH_STRATEGIC,
                 buf_view(&b));
}

/* All owners wait or are gone, and there are dependents below: they go first, too. */
static void delete_in_foreground(struct reconcile *rc, const struct object *o,
                                 const struct dependents *deps)
{
    struct metav1_object_meta m;
    LIST_EACH (d, &deps->v) {
        item_meta(rc->arena, d->item, &m);
        if (is_waiting(&m)) {
            unblock_owners(rc, o); /* it may be a circle */
            break;
        }
    }
    struct client_delete how = {
        .uid = o->meta.uid, .grace_s = -1, .propagation = STR("Foreground")};
    intend_delete(rc, o->res, o->meta.namespace, o->meta.name, &how);
}

static void collect(struct reconcile *rc, const struct object *o, bool waiting)
{
    struct dependents deps = {.arena = rc->arena};
    find_dependents(rc->c->state, o->meta.uid, &deps);
    if (waiting && deps.v.n)
        delete_in_foreground(rc, o, &deps);
    else if (has_finalizer(&o->meta, FINALIZER_ORPHAN))
        delete_object(rc, o, "Orphan");
    else if (has_finalizer(&o->meta, FINALIZER_FOREGROUND))
        delete_object(rc, o, "Foreground");
    else
        delete_object(rc, o, "Background");
}

static void decide(struct reconcile *rc, const struct object *o, const struct inquiry *q)
{
    size_t absent = count_verdicts(q, OWNER_ABSENT), waiting = count_verdicts(q, OWNER_WAITING);
    if (absent + waiting == q->n) {
        collect(rc, o, waiting > 0);
        return;
    }
    if (count_verdicts(q, OWNER_UNKNOWN) || absent + waiting == 0)
        return;
    struct str *uids = arena_array(rc->arena, q->n, struct str);
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++)
        if (q->refs[i].verdict == OWNER_ABSENT || q->refs[i].verdict == OWNER_WAITING)
            uids[n++] = q->refs[i].uid;
    drop_references(rc, o->res, &o->meta, uids, n);
}

static bool load(struct reconcile *rc, struct object *ret)
{
    ret->item = find(rc->c->state, rc->name, &ret->res);
    if (ret->item)
        item_meta(rc->arena, ret->item, &ret->meta);
    return ret->item != NULL;
}

static void owner_answered(struct reconcile *rc, void *arg, int code, struct item *owner,
                           const struct err *e)
{
    struct reference *ref = arg;
    struct inquiry *q = ref->of;
    struct metav1_object_meta m = {0};
    struct object o;
    if (code < 0 && code != -ERR_NOT_FOUND)
        return; /* the key runs again */
    if (code == 0)
        item_meta(rc->arena, owner, &m);
    if (code == 0 && str_eq(m.uid, ref->uid)) {
        ref->verdict = verdict_on(&m);
    } else {
        ref->verdict = OWNER_ABSENT;
        remember_absent(rc->c->state, ref->text);
    }
    if (--q->asked == 0 && load(rc, &o) && !o.meta.deletion_timestamp)
        decide(rc, &o, q);
}

static void inquire(struct reconcile *rc, const struct object *o)
{
    struct state *s = rc->c->state;
    struct arena *a = rc->arena;
    struct inquiry *q = arena_new(a, struct inquiry);
    q->n = o->meta.owner_references.n;
    q->refs = arena_array(a, q->n, struct reference);
    intend_batch_begin(rc);
    for (size_t i = 0; i < q->n; i++) {
        const struct metav1_owner_reference *from = &o->meta.owner_references.v[i];
        struct reference *ref = &q->refs[i];
        const struct resource_def *res;
        ref->of = q;
        ref->uid = arena_str(a, from->uid);
        ref->text = reference_text(a, from, o->meta.namespace);
        ref->verdict = look_up(s, rc, o, from, ref->text, &res);
        if (ref->verdict != OWNER_ASKED)
            continue;
        q->asked++;
        intent_then(intend_get(rc, res, res->namespaced ? o->meta.namespace : STR(""), from->name),
                    owner_answered, ref);
    }
    intend_batch_end(rc);
    if (!q->asked)
        decide(rc, o, q);
}

static void reconcile(struct reconcile *rc)
{
    struct object o;
    if (!load(rc, &o))
        return;
    if (o.meta.deletion_timestamp) {
        if (has_finalizer(&o.meta, FINALIZER_ORPHAN))
            orphan_dependents(rc, &o);
        else if (has_finalizer(&o.meta, FINALIZER_FOREGROUND))
            wait_for_dependents(rc, &o);
        return;
    }
    if (o.meta.owner_references.n)
        inquire(rc, &o);
}

const struct controller_def controller_garbage = {.name = "garbage-collector",
                                                  .component = "garbage-collector-controller",
                                                  .start = start,
                                                  .reconcile = reconcile,
                                                  .stop = stop};
