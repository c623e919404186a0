/* SPDX-License-Identifier: Apache-2.0 */
#include "server/write.h"

#include "api/validate.h"
#include "server/alloc.h"
#include "server/impl.h"
#include "server/owners.h"

enum { WRITE_ATTEMPTS_MAX = 5, NAME_ATTEMPTS_MAX = 8 };

struct write *write_new(struct request *r)
{
    struct write *w = arena_new(r->arena, struct write);
    w->r = r;
    w->res = r->res->hub;
    w->http_status = 200;
    return w;
}

static void drop_base(void *arg)
{
    struct write *w = arg;
    item_unref(w->base);
    w->base = NULL;
}

static void set_base(struct write *w, struct item *i)
{
    if (!w->base)
        arena_on_free(w->r->arena, drop_base, w);
    item_unref(w->base);
    w->base = item_ref(i);
    w->old = object_copy(w->r->arena, item_object(w->r->arena, w->res, i));
}

int write_load_base(struct write *w)
{
    struct request *r = w->r;
    struct item *i =
        store_get_pending(r->server->store, resource_key(r->arena, w->res, r->ns, r->name));
    if (!i)
        return err_not_found(&r->err, r->res, r->name);
    set_base(w, i);
    return 0;
}

struct str make_uid(struct server *s, struct arena *a)
{
    uint8_t b[16];
    loop_random(s->loop, b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    return arena_fmt(a, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                     b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
                     b[12], b[13], b[14], b[15]);
}

/* ---- storing ---- */

static void finish_error(struct write *w)
{
    respond_error(w->r);
}

/* A dry run ends here: the answer is what would have been stored. */
static void answer_dry(struct write *w)
{
    if (w->answer) {
        w->answer(w, NULL);
        return;
    }
    const struct object *o = w->obj;
    if (w->r->res != w->res)
        o = object_convert(w->r->arena, o, w->r->res);
    respond_object(w->r, w->http_status, o);
}

static void answer(struct write *w, struct item *i)
{
    if (w->answer)
        w->answer(w, i);
    else if (i)
        respond_item(w->r, w->http_status, i);
    else
        answer_dry(w); /* a delete: the last state of what is no more */
}

static void stored(void *arg, int outcome, struct item *i, rev_t rev)
{
    struct write *w = arg;
    struct request *r = w->r;
    if (r->aborted) {
        request_free(r);
        return;
    }
    if (outcome < 0) {
        (void)err_set(&r->err, (enum err_code) - outcome, "the change could not be stored");
        finish_error(w);
        return;
    }
    answer(w, i);
}

static void lost_race(struct write *w, struct item *now)
{
    struct request *r = w->r;
    if (!w->base) {
        (void)err_already_exists(&r->err, r->res, w->obj->meta->name);
        finish_error(w);
        return;
    }
    if (w->again && now && ++w->attempts < WRITE_ATTEMPTS_MAX) {
        set_base(w, now);
        w->again(w);
        return;
    }
    (void)err_conflict(&r->err, r->res, r->name,
                       "the object has been modified; please apply your changes to the latest "
                       "version and try again");
    finish_error(w);
}

static void commit(struct write *w)
{
    struct request *r = w->r;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(STORE_VALUE_MAX);
    size_t splice_at;
    if (r->opts.dry_run) {
        answer_dry(w);
        return;
    }
    object_encode(w->obj, &b, &splice_at);
    if (b.failed) {
        (void)err_set(&r->err, ERR_TOO_LARGE, "the object is too large: limit is %d bytes",
                      STORE_VALUE_MAX);
        finish_error(w);
        return;
    }
    struct put put = {
        .key = resource_key(r->arena, w->res, w->obj->meta->namespace, w->obj->meta->name),
        .value = buf_view(&b),
        .expect_mod_rev = w->base ? w->base->mod_rev : 0,
        .splice_at = splice_at,
    };
    if (w->res->def && w->res->def->is_volatile)
        put.flags |= STORE_VOLATILE;
    if (w->delete_when_done)
        put.flags = STORE_DELETE;
    struct item *now = NULL;
    int rc = store_write(r->server->store, &put, 1, &now, stored, w);
    if (rc == STORE_CONFLICT) {
        lost_race(w, now);
    } else if (rc < 0) {
        (void)err_set(&r->err, (enum err_code) - rc, "the change could not be stored");
        finish_error(w);
    }
}

/* ---- checking ---- */

static int validate(struct write *w)
{
    struct request *r = w->r;
    struct validation v = {.arena = r->arena,
                           .err = &r->err,
                           .is_update = w->old != NULL,
                           .subresource = r->subresource};
    const struct kind_hooks *h = w->res->hooks;
    const struct field_path *meta = AT(NULL, "metadata");
    check_object_meta(&v, meta, w->obj->meta, w->res->namespaced, h ? h->valid_name : NULL);
    if (w->old)
        check_object_meta_update(&v, meta, w->obj->meta, w->old->meta);
    if (h && w->obj->typed) {
        const void *old = w->old ? w->old->typed : NULL;
        if (w->status) {
            if (h->validate_status)
                h->validate_status(&v, w->obj->typed, old);
        } else if (h->validate) {
            h->validate(&v, w->obj->typed, old);
        }
    }
    return validation_finish(&v, w->res->group, w->res->kind, w->obj->meta->name);
}

/* ---- create ---- */

static void make_name(struct write *w)
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    struct metav1_object_meta *m = w->obj->meta;
    char tail[5];
    if (m->name.n || !m->generate_name.n)
        return;
    for (size_t i = 0; i < sizeof tail; i++)
        tail[i] = letters[loop_random_u64(w->r->server->loop) % (sizeof letters - 1)];
    struct str base = str_sub(m->generate_name, 0, 63 - sizeof tail);
    m->name = arena_cat(w->r->arena, base, str_n(tail, sizeof tail));
}

static void clear_status(struct object *o)
{
    if (o->res->has_status && o->typed && o->res->status)
        memset((char *)o->typed + o->res->status->offset, 0, field_elem_size(o->res->status));
    else if (o->res->has_status && o->tree)
        (void)json_del(o->tree, STR("status"));
}

static bool keeps_generation(const struct resource *res)
{
    return (res->spec || res->crd) && !(res->hooks && res->hooks->generation_off);
}

static void prepare_create(struct write *w)
{
    struct server *s = w->r->server;
    struct metav1_object_meta *m = w->obj->meta;
    m->uid = make_uid(s, w->r->arena);
    m->creation_timestamp = loop_wall(s->loop);
    m->creation_timestamp.ns = 0;
    m->deletion_timestamp = NULL;
    m->deletion_grace_period_seconds = NULL;
    m->resource_version = STR_NULL;
    m->self_link = STR_NULL;
    m->generation = keeps_generation(w->res) ? 1 : 0;
    clear_status(w->obj);
    if (w->res->hooks && w->res->hooks->prepare && w->obj->typed)
        w->res->hooks->prepare(w->r->arena, w->obj->typed, NULL);
}

static void create_admitted(struct admission *adm, int rc)
{
    struct write *w = adm->arg;
    if (w->r->aborted)
        request_free(w->r);
    else if (rc < 0 || alloc_assign(w) < 0)
        finish_error(w);
    else
        commit(w);
}

static void create_mutated(struct admission *adm, int rc)
{
    struct write *w = adm->arg;
    if (w->r->aborted) {
        request_free(w->r);
        return;
    }
    if (rc < 0) {
        finish_error(w);
        return;
    }
    w->obj = adm->obj;
    prepare_create(w);
    if (validate(w) < 0) {
        finish_error(w);
        return;
    }
    w->adm.next = create_admitted;
    admission_validate(&w->adm);
}

static int check_namespace(struct write *w)
{
    struct request *r = w->r;
    struct metav1_object_meta *m = w->obj->meta;
    if (!w->res->namespaced) {
        if (m->namespace.n)
            return err_set(&r->err, ERR_BAD_REQUEST,
                           "namespace is not allowed on this type: the object's kind is "
                           "cluster-scoped");
        return 0;
    }
    if (m->namespace.n && !str_eq(m->namespace, r->ns))
        return err_set(&r->err, ERR_BAD_REQUEST,
                       "the namespace of the provided object does not match the namespace sent on "
                       "the request");
    m->namespace = r->ns;
    return 0;
}

static void start_admission(struct write *w, enum operation op,
                            void (*next)(struct admission *, int))
{
    struct request *r = w->r;
    w->adm = (struct admission){
        .req = r,
        .op = op,
        .res = w->res,
        .ns = w->obj->meta->namespace,
        .name = w->obj->meta->name,
        .subresource = r->subresource,
        .obj = w->obj,
        .old = w->old,
        .dry_run = r->opts.dry_run,
        .next = next,
        .arg = w,
    };
    admission_mutate(&w->adm);
}

void write_create(struct write *w)
{
    struct request *r = w->r;
    struct metav1_object_meta *m = w->obj->meta;
    w->http_status = 201;
    if (m->resource_version.n && !str_eq(m->resource_version, STR("0"))) {
        respond_errorf(r, ERR_BAD_REQUEST,
                       "resourceVersion should not be set on objects to be created");
        return;
    }
    if (check_namespace(w) < 0) {
        finish_error(w);
        return;
    }
    make_name(w);
    if (owners_track(w) < 0) {
        finish_error(w);
        return;
    }
    start_admission(w, OP_CREATE, create_mutated);
}

void verb_create(struct request *r)
{
    struct write *w = write_new(r);
    if (write_read_body(w, &w->obj) < 0) {
        finish_error(w);
        return;
    }
    write_create(w);
}

/* ---- update ---- */

/* Copies one whole field from the old object into the new one. */
static void keep_field(struct write *w, const struct field *f, const char *tree_name)
{
    if (w->obj->typed && f) {
        memcpy((char *)w->obj->typed + f->offset, (const char *)w->old->typed + f->offset,
               field_elem_size(f));
    } else if (w->obj->tree) {
        struct json *v = json_getz(w->old->tree, tree_name);
        if (v)
            json_set(w->r->arena, w->obj->tree, str_z(tree_name), v);
        else
            (void)json_del(w->obj->tree, str_z(tree_name));
    }
}

/* A status write changes status and nothing else of the object but metadata. */
static void only_status(struct write *w)
{
    if (w->obj->typed) {
        for (size_t i = 0; i < w->res->desc->n_json; i++) {
            const struct field *f = &w->res->desc->fields[i];
            if (f != w->res->status && f != w->res->metadata)
                memcpy((char *)w->obj->typed + f->offset, (const char *)w->old->typed + f->offset,
                       f->shape == SHAPE_ONE   ? field_elem_size(f)
                       : f->shape == SHAPE_PTR ? sizeof(void *)
                                               : sizeof(struct str_list));
        }
        return;
    }
    struct json *status = json_getz(w->obj->tree, "status");
    w->obj->tree = json_copy(w->r->arena, w->old->tree);
    if (status)
        json_set(w->r->arena, w->obj->tree, STR("status"), status);
    else
        (void)json_del(w->obj->tree, STR("status"));
}

/* Has anything but metadata and status changed? */
static bool body_changed(struct write *w)
{
    if (w->obj->typed) {
        for (size_t i = 0; i < w->res->desc->n_json; i++) {
            const struct field *f = &w->res->desc->fields[i];
            if (f != w->res->metadata && f != w->res->status &&
                !field_equal(f, w->obj->typed, w->old->typed))
                return true;
        }
        return false;
    }
    struct json *a = w->obj->tree, *b = w->old->tree;
    for (size_t i = 0; i < a->object.n + b->object.n; i++) {
        struct str key = i < a->object.n ? a->object.v[i].key : b->object.v[i - a->object.n].key;
        if (str_eq(key, STR("metadata")) || (w->res->has_status && str_eq(key, STR("status"))))
            continue;
        if (!json_eq(json_get(a, key), json_get(b, key)))
            return true;
    }
    return false;
}

static void prepare_update(struct write *w)
{
    struct metav1_object_meta *m = w->obj->meta;
    const struct metav1_object_meta *old = w->old->meta;
    m->uid = old->uid;
    m->resource_version = old->resource_version; /* compared already */
    m->name = old->name;
    m->namespace = old->namespace;
    m->generate_name = m->generate_name.n ? m->generate_name : old->generate_name;
    m->creation_timestamp = old->creation_timestamp;
    m->deletion_timestamp = old->deletion_timestamp;
    m->deletion_grace_period_seconds = old->deletion_grace_period_seconds;
    m->self_link = STR_NULL;
    m->generation = old->generation;
    if (w->status)
        only_status(w);
    else if (w->res->has_status)
        keep_field(w, w->res->status, "status");
    if (!w->status && w->res->hooks && w->res->hooks->prepare && w->obj->typed)
        w->res->hooks->prepare(w->r->arena, w->obj->typed, w->old->typed);
    if (keeps_generation(w->res) && !w->status && body_changed(w))
        m->generation = old->generation + 1;
}

/* Would storing change nothing? Then the revision stays, as upstream has it. */
static bool is_no_op(struct write *w)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(STORE_VALUE_MAX);
    w->obj->meta->resource_version = w->old->meta->resource_version;
    object_encode(w->obj, &b, NULL);
    return !b.failed && str_eq(buf_view(&b), item_value(w->base));
}

static bool last_finalizer_gone(const struct write *w)
{
    const struct metav1_object_meta *m = w->obj->meta;
    return m->deletion_timestamp && !m->finalizers.n && w->old->meta->finalizers.n &&
           (!m->deletion_grace_period_seconds || *m->deletion_grace_period_seconds == 0);
}

static void update_admitted(struct admission *adm, int rc)
{
    struct write *w = adm->arg;
    if (w->r->aborted) {
        request_free(w->r);
        return;
    }
    if (rc < 0) {
        finish_error(w);
        return;
    }
    if (!w->delete_when_done && is_no_op(w)) {
        answer(w, w->base);
        return;
    }
    w->delete_when_done |= last_finalizer_gone(w);
    if (alloc_assign(w) < 0)
        finish_error(w);
    else
        commit(w);
}

static void update_mutated(struct admission *adm, int rc)
{
    struct write *w = adm->arg;
    if (w->r->aborted) {
        request_free(w->r);
        return;
    }
    if (rc < 0) {
        finish_error(w);
        return;
    }
    w->obj = adm->obj;
    prepare_update(w);
    if (validate(w) < 0) {
        finish_error(w);
        return;
    }
    w->adm.next = update_admitted;
    admission_validate(&w->adm);
}

static int check_update(struct write *w)
{
    struct request *r = w->r;
    struct metav1_object_meta *m = w->obj->meta;
    int rc = check_namespace(w);
    if (rc < 0)
        return rc;
    if (m->name.n && !str_eq(m->name, r->name))
        return err_set(&r->err, ERR_BAD_REQUEST,
                       "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                       STR_ARG(m->name), STR_ARG(r->name));
    if (m->uid.n && !str_eq(m->uid, w->old->meta->uid))
        return err_conflict(&r->err, r->res, r->name,
                            "Precondition failed: UID in precondition: %.*s, UID in object meta: "
                            "%.*s",
                            STR_ARG(m->uid), STR_ARG(w->old->meta->uid));
    if (m->resource_version.n && !str_eq(m->resource_version, STR("0")) &&
        !str_eq(m->resource_version, w->old->meta->resource_version))
        return err_conflict(&r->err, r->res, r->name,
                            "the object has been modified; please apply your changes to the latest "
                            "version and try again");
    return 0;
}

void write_store(struct write *w)
{
    prepare_update(w);
    commit(w);
}

void write_update(struct write *w)
{
    if (check_update(w) < 0) {
        finish_error(w);
        return;
    }
    if (w->fixup)
        w->fixup(w);
    if (owners_track(w) < 0) {
        finish_error(w);
        return;
    }
    start_admission(w, OP_UPDATE, update_mutated);
}

/* Kinds that a PUT to an unused name creates (their strategies' AllowCreateOnUpdate). */
static bool creates_on_update(const struct resource *res)
{
    static const char *const names[] = {
        "endpoints",      "leases",       "limitranges",         "podtemplates", "events",
        "runtimeclasses", "clusterroles", "clusterrolebindings", "roles",        "rolebindings",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eqz(res->plural, names[i]))
            return true;
    return false;
}

/* A PUT without resourceVersion overwrites whatever is there: try again on a lost race. */
static void put_again(struct write *w)
{
    write_update(w);
}

void write_put(struct request *r, void (*fixup)(struct write *w))
{
    struct write *w = write_new(r);
    w->fixup = fixup;
    w->status = str_eq(r->subresource, STR("status"));
    if (write_read_body(w, &w->obj) < 0) {
        finish_error(w);
        return;
    }
    if (write_load_base(w) < 0) {
        if (!r->subresource.n && creates_on_update(w->res) && str_eq(w->obj->meta->name, r->name)) {
            err_clear(&r->err);
            write_create(w);
            return;
        }
        finish_error(w);
        return;
    }
    if (!w->obj->meta->resource_version.n) {
        if (w->res->crd) {
            respond_errorf(
                r, ERR_INVALID,
                "%.*s \"%.*s\" is invalid: metadata.resourceVersion: Invalid value: 0x0: "
                "must be specified for an update",
                STR_ARG(resource_qualified(r->arena, w->res)), STR_ARG(r->name));
            return;
        }
        w->again = put_again;
    }
    write_update(w);
}

void verb_update(struct request *r)
{
    write_put(r, NULL);
}
