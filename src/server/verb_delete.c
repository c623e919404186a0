/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delete and deletecollection. What a delete means for an object is decided in one place
 * (deletion_plan): gone at once, or marked and left to finalizers, the node or the namespace
 * controller. The rules are those of k8s.io/apiserver/pkg/registry: rest.BeforeDelete and the
 * generic store's deletion with finalizers.
 */
#include "api/corev1.h"
#include "server/impl.h"
#include "server/select.h"
#include "server/write.h"

enum { DELETE_COLLECTION_PARALLEL_MAX = 64 };

struct delete_op {
    struct request *r;
    struct resource *res;
    struct metav1_delete_options opts;
    struct str ns, name;
    struct item *base; /* owned reference */
    const struct object *old;
    struct object *obj; /* the marked object */
    struct admission adm;
    int attempts;
    /* Called once: rc 0, or negative with the request's error set. item: the marked object that is
     * still there, NULL when it is gone. */
    void (*done)(struct delete_op *op, int rc, struct item *item);
};

/* ---- options ---- */

static int parse_delete_options(struct request *r, struct metav1_delete_options *o)
{
    struct str rest = r->query, key, value;
    if (r->body.n) {
        int rc = read_typed_body(r, &metav1_delete_options_desc, "DeleteOptions", o);
        if (rc < 0)
            return rc;
    }
    while (request_param_next(r, &rest, &key, &value)) {
        int64_t seconds;
        bool orphan;
        if (str_eq(key, STR("gracePeriodSeconds")) && str_to_i64(value, &seconds))
            o->grace_period_seconds = NEW_VALUE(r->arena, int64_t, seconds);
        else if (str_eq(key, STR("propagationPolicy")))
            o->propagation_policy = value;
        else if (str_eq(key, STR("orphanDependents")) && str_to_bool(value, &orphan))
            o->orphan_dependents = NEW_VALUE(r->arena, bool, orphan);
    }
    for (size_t i = 0; i < o->dry_run.n; i++)
        r->opts.dry_run |= str_eq(o->dry_run.v[i], STR("All"));
    struct str p = o->propagation_policy;
    if (p.p && o->orphan_dependents)
        return err_set(&r->err, ERR_INVALID,
                       "propagationPolicy: Invalid value: \"%.*s\": orphanDependents and "
                       "deletionPropagation cannot be both set",
                       STR_ARG(p));
    if (p.p && !str_eq(p, STR("Foreground")) && !str_eq(p, STR("Background")) &&
        !str_eq(p, STR("Orphan")))
        return err_set(&r->err, ERR_INVALID,
                       "propagationPolicy: Unsupported value: \"%.*s\": supported values: "
                       "\"Background\", \"Foreground\", \"Orphan\"",
                       STR_ARG(p));
    return 0;
}

static int check_preconditions(struct delete_op *op)
{
    const struct metav1_preconditions *p = op->opts.preconditions;
    const struct metav1_object_meta *m = op->old->meta;
    struct err *e = &op->r->err;
    if (p && p->uid.p && !str_eq(p->uid, m->uid))
        return err_conflict(e, op->r->res, op->name,
                            "Precondition failed: UID in precondition: %.*s, UID in object meta: "
                            "%.*s",
                            STR_ARG(p->uid), STR_ARG(m->uid));
    if (p && p->resource_version.p && !str_eq(p->resource_version, m->resource_version))
        return err_conflict(e, op->r->res, op->name,
                            "Precondition failed: ResourceVersion in precondition: %.*s, "
                            "ResourceVersion in object meta: %.*s",
                            STR_ARG(p->resource_version), STR_ARG(m->resource_version));
    return 0;
}

/* ---- the plan ---- */

static void drop_finalizer(struct str_list *l, struct str name)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++)
        if (!str_eq(l->v[i], name))
            l->v[kept++] = l->v[i];
    l->n = kept;
}

/* The garbage collector's finalizers follow the propagation policy. */
static void set_gc_finalizers(struct delete_op *op)
{
    struct arena *a = op->r->arena;
    struct str_list *l = &op->obj->meta->finalizers;
    struct str policy = op->opts.propagation_policy;
    const struct str orphan = STR("orphan"), foreground = STR("foregroundDeletion");
    if (op->opts.orphan_dependents)
        policy = *op->opts.orphan_dependents ? STR("Orphan") : STR("Background");
    if (!policy.n)
        return; /* finalizers that are there stay */
    drop_finalizer(l, orphan);
    drop_finalizer(l, foreground);
    if (str_eq(policy, STR("Orphan")))
        str_list_push(a, l, orphan);
    if (str_eq(policy, STR("Foreground")))
        str_list_push(a, l, foreground);
}

static bool is_core(const struct resource *res, const char *plural)
{
    return !res->group.n && str_eqz(res->plural, plural);
}

/* Seconds the object may take to end; only pods take time. */
static int64_t grace_seconds(struct delete_op *op)
{
    if (!is_core(op->res, "pods"))
        return 0;
    const struct corev1_pod *pod = op->old->typed;
    int64_t s = 30;
    if (op->opts.grace_period_seconds)
        s = *op->opts.grace_period_seconds;
    else if (pod->spec.termination_grace_period_seconds)
        s = *pod->spec.termination_grace_period_seconds;
    if (s < 0)
        s = 1;
    bool over =
        str_eq(pod->status.phase, STR("Succeeded")) || str_eq(pod->status.phase, STR("Failed"));
    return pod->spec.node_name.n && !over ? s : 0;
}

/* Sets deletionTimestamp and grace. False: the object was already being deleted at least so
 * soon. */
static bool mark(struct delete_op *op, int64_t grace)
{
    struct arena *a = op->r->arena;
    struct metav1_object_meta *m = op->obj->meta;
    struct wall now = loop_wall(op->r->server->loop);
    now.ns = 0;
    if (m->deletion_timestamp) {
        int64_t before = m->deletion_grace_period_seconds ? *m->deletion_grace_period_seconds : 0;
        if (grace >= before || !op->opts.grace_period_seconds)
            return false;
        now.s = MIN(now.s + grace, m->deletion_timestamp->s - before + grace);
    } else {
        now.s += grace;
        if (m->generation)
            m->generation++;
    }
    m->deletion_timestamp = NEW_VALUE(a, struct wall, now);
    m->deletion_grace_period_seconds = NEW_VALUE(a, int64_t, grace);
    return true;
}

static bool holds_namespace(struct delete_op *op)
{
    if (!is_core(op->res, "namespaces"))
        return false;
    struct corev1_namespace *ns = op->obj->typed;
    ns->status.phase = STR("Terminating");
    return ns->spec.finalizers.n > 0;
}

enum deletion { DELETION_NOW, DELETION_MARK, DELETION_NOTHING };

static enum deletion deletion_plan(struct delete_op *op)
{
    op->obj = object_copy(op->r->arena, op->old);
    set_gc_finalizers(op);
    int64_t grace = grace_seconds(op);
    bool held = holds_namespace(op);
    bool stays = held || op->obj->meta->finalizers.n > 0;
    if (!stays && grace == 0)
        return DELETION_NOW;
    bool marked = mark(op, grace);
    if (marked)
        return DELETION_MARK;
    bool finalizers_changed = op->obj->meta->finalizers.n != op->old->meta->finalizers.n;
    return finalizers_changed ? DELETION_MARK : DELETION_NOTHING;
}

/* ---- carrying it out ---- */

static void delete_attempt(struct delete_op *op);

static void op_end(struct delete_op *op, int rc, struct item *item)
{
    item_ref(item ? item : op->base);
    struct item *held = item ? item : op->base;
    item_unref(op->base);
    op->base = NULL;
    op->done(op, rc, item);
    item_unref(held);
}

static void delete_stored(void *arg, int outcome, struct item *item, rev_t rev)
{
    struct delete_op *op = arg;
    if (outcome < 0)
        (void)err_set(&op->r->err, (enum err_code) - outcome, "the change could not be stored");
    op_end(op, outcome < 0 ? outcome : 0, item);
}

static void delete_admitted(struct admission *adm, int rc)
{
    struct delete_op *op = adm->arg;
    if (rc < 0 || op->r->aborted) {
        op_end(op, rc < 0 ? rc : -ERR_CANCELED, NULL);
        return;
    }
    enum deletion plan = deletion_plan(op);
    if (plan == DELETION_NOTHING || op->r->opts.dry_run) {
        op_end(op, 0, plan == DELETION_NOW ? NULL : op->base);
        return;
    }
    CLEANUP(buf_fini) struct buf b = BUF_INIT(STORE_VALUE_MAX);
    struct put put = {.key = item_key(op->base),
                      .expect_mod_rev = op->base->mod_rev,
                      .flags = plan == DELETION_NOW ? STORE_DELETE : 0};
    if (plan == DELETION_MARK) {
        object_encode(op->obj, &b, &put.splice_at);
        put.value = buf_view(&b);
    }
    struct item *now = NULL;
    rc = store_write(op->r->server->store, &put, 1, &now, delete_stored, op);
    if (rc == STORE_CONFLICT && ++op->attempts < 5) {
        item_unref(op->base);
        op->base = NULL;
        delete_attempt(op);
    } else if (rc != 0) {
        rc = rc == STORE_CONFLICT ? -ERR_CONFLICT : rc;
        (void)err_set(&op->r->err, (enum err_code) - rc, "the change could not be stored");
        op_end(op, rc, NULL);
    }
}

static void delete_attempt(struct delete_op *op)
{
    struct request *r = op->r;
    struct item *i =
        store_get_pending(r->server->store, resource_key(r->arena, op->res, op->ns, op->name));
    if (!i) {
        int rc = err_not_found(&r->err, r->res, op->name);
        op->done(op, rc, NULL);
        return;
    }
    op->base = item_ref(i);
    op->old = object_copy(r->arena, item_object(r->arena, op->res, i));
    int rc = check_preconditions(op);
    if (rc < 0) {
        op_end(op, rc, NULL);
        return;
    }
    op->adm = (struct admission){.req = r,
                                 .op = OP_DELETE,
                                 .res = op->res,
                                 .ns = op->ns,
                                 .name = op->name,
                                 .old = op->old,
                                 .dry_run = r->opts.dry_run,
                                 .next = delete_admitted,
                                 .arg = op};
    admission_validate(&op->adm);
}

/* ---- delete ---- */

static void delete_answer(struct delete_op *op, int rc, struct item *item)
{
    struct request *r = op->r;
    if (r->aborted)
        request_free(r);
    else if (rc < 0)
        respond_error(r);
    else if (item)
        respond_item(r, 200, item);
    else
        respond_success(r, r->res, op->name, op->old->meta->uid);
}

void verb_delete(struct request *r)
{
    struct delete_op *op = arena_new(r->arena, struct delete_op);
    op->r = r;
    op->res = r->res->hub;
    op->ns = op->res->namespaced ? r->ns : STR("");
    op->name = r->name;
    op->done = delete_answer;
    if (parse_delete_options(r, &op->opts) < 0) {
        respond_error(r);
        return;
    }
    delete_attempt(op);
}

/* ---- eviction ---- */

static void eviction_answer(struct delete_op *op, int rc, struct item *item)
{
    struct request *r = op->r;
    struct metav1_status st = {.kind = STR("Status"), .api_version = STR("v1")};
    st.status = STR("Success");
    st.code = 201;
    if (r->aborted)
        request_free(r);
    else if (rc < 0)
        respond_error(r);
    else
        respond_typed(r, 201, &metav1_status_desc, &st);
}

void eviction_delete(struct request *r, const struct metav1_delete_options *opts)
{
    struct delete_op *op = arena_new(r->arena, struct delete_op);
    op->r = r;
    op->res = r->res->hub;
    op->ns = r->ns;
    op->name = r->name;
    op->opts = *opts;
    op->done = eviction_answer;
    delete_attempt(op);
}

/* ---- deletecollection ---- */

struct collection {
    struct request *r;
    struct selection sel;
    struct metav1_delete_options opts;
    VEC(struct item *) items;
    size_t next, running;
    bool starting;
    int rc;
};

static void collection_more(struct collection *c);

static bool collection_collect(void *arg, struct item *i)
{
    struct collection *c = arg;
    if (selection_matches(&c->sel, c->r->res, i))
        vec_push_arena(c->r->arena, &c->items, item_ref(i));
    return true;
}

static void collection_drop(struct collection *c)
{
    for (size_t i = 0; i < c->items.n; i++)
        item_unref(c->items.v[i]);
}

static void collection_end(struct collection *c)
{
    struct request *r = c->r;
    if (r->aborted || c->rc < 0) {
        collection_drop(c);
        if (r->aborted)
            request_free(r);
        else
            respond_error(r);
        return;
    }
    /* Upstream answers with the list of what was deleted. */
    CLEANUP(buf_fini) struct buf b = BUF_INIT(SIZE_MAX / 4);
    buf_fmt(&b,
            "{\"kind\":\"%.*s\",\"apiVersion\":\"%.*s\",\"metadata\":{\"resourceVersion\":"
            "\"%lld\"},\"items\":[",
            STR_ARG(r->res->list_kind), STR_ARG(r->res->api_version),
            (long long)store_revision(r->server->store));
    for (size_t i = 0; i < c->items.n; i++) {
        if (i)
            buf_c(&b, ',');
        buf_str(&b, item_value(c->items.v[i]));
    }
    buf_z(&b, "]}\n");
    collection_drop(c);
    if (r->out == FORMAT_PB)
        r->out = FORMAT_JSON;
    respond_json_text(r, 200, buf_view(&b));
}

static void collection_deleted(struct delete_op *op, int rc, struct item *item)
{
    struct collection *c = op->r->stage;
    c->running--;
    if (rc < 0 && rc != -ERR_NOT_FOUND)
        c->rc = rc;
    else
        err_clear(&op->r->err);
    if (!c->starting)
        collection_more(c);
}

/* Keeps up to DELETE_COLLECTION_PARALLEL_MAX deletes under way. */
static void collection_more(struct collection *c)
{
    struct request *r = c->r;
    c->starting = true; /* deletes may end before delete_attempt returns */
    while (c->rc >= 0 && !r->aborted && c->next < c->items.n &&
           c->running < DELETE_COLLECTION_PARALLEL_MAX) {
        struct delete_op *op = arena_new(r->arena, struct delete_op);
        op->r = r;
        op->res = r->res->hub;
        key_split(item_key(c->items.v[c->next++]), &op->ns, &op->name);
        op->opts = c->opts;
        op->done = collection_deleted;
        c->running++;
        delete_attempt(op);
    }
    c->starting = false;
    if (!c->running)
        collection_end(c);
}

void verb_delete_collection(struct request *r)
{
    struct collection *c = arena_new(r->arena, struct collection);
    struct store_range range = {0};
    c->r = r;
    r->stage = c;
    if (selection_init(&c->sel, r) < 0 || parse_delete_options(r, &c->opts) < 0) {
        respond_error(r);
        return;
    }
    range.prefix = selection_prefix(&c->sel, r);
    must(store_each(r->server->store, &range, collection_collect, c) == 0);
    collection_more(c);
}
