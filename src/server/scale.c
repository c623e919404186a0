/* SPDX-License-Identifier: Apache-2.0 */
/* scale: replicas of any workload, in one shape (autoscaling/v1 Scale). */
#include "api/appsv1.h"
#include "api/autoscalingv1.h"
#include "api/corev1.h"
#include "api/patch.h"
#include "codec/yaml.h"
#include "server/impl.h"
#include "server/subresource.h"

/* Where a kind keeps its replicas. */
struct scale_view {
    int32_t **want;      /* spec.replicas */
    int32_t have;        /* status.replicas */
    struct str selector; /* text */
};

static struct str selector_text(struct arena *a, const struct metav1_label_selector *s)
{
    struct label_selector sel;
    struct err ignored = ERR_INIT(a);
    if (label_selector_from(a, s, &sel, &ignored) < 0)
        return STR("");
    return label_selector_format(a, &sel);
}

static struct scale_view view_of(struct arena *a, struct object *o)
{
    struct scale_view v = {0};
    if (o->res->desc == &appsv1_deployment_desc) {
        struct appsv1_deployment *d = o->typed;
        v = (struct scale_view){&d->spec.replicas, d->status.replicas,
                                selector_text(a, d->spec.selector)};
    } else if (o->res->desc == &appsv1_replica_set_desc) {
        struct appsv1_replica_set *d = o->typed;
        v = (struct scale_view){&d->spec.replicas, d->status.replicas,
                                selector_text(a, d->spec.selector)};
    } else if (o->res->desc == &appsv1_stateful_set_desc) {
        struct appsv1_stateful_set *d = o->typed;
        v = (struct scale_view){&d->spec.replicas, d->status.replicas,
                                selector_text(a, d->spec.selector)};
    } else {
        must(o->res->desc == &corev1_replication_controller_desc);
        struct corev1_replication_controller *d = o->typed;
        struct label_selector sel;
        label_selector_from_map(a, &d->spec.selector, &sel);
        v = (struct scale_view){&d->spec.replicas, d->status.replicas,
                                label_selector_format(a, &sel)};
    }
    return v;
}

static void make_scale(struct arena *a, const struct object *o, struct autoscalingv1_scale *s)
{
    struct object copy = *o;
    struct scale_view v = view_of(a, &copy);
    *s = (struct autoscalingv1_scale){.kind = STR("Scale"), .api_version = STR("autoscaling/v1")};
    s->metadata.name = o->meta->name;
    s->metadata.namespace = o->meta->namespace;
    s->metadata.uid = o->meta->uid;
    s->metadata.resource_version = o->meta->resource_version;
    s->metadata.creation_timestamp = o->meta->creation_timestamp;
    s->spec.replicas = *v.want ? **v.want : 0;
    s->status.replicas = v.have;
    s->status.selector = v.selector;
}

static void scale_answer(struct write *w, struct item *i)
{
    struct autoscalingv1_scale s;
    const struct object *o = i ? item_object(w->r->arena, w->res, i) : w->obj;
    make_scale(w->r->arena, o, &s);
    respond_typed(w->r, 200, &autoscalingv1_scale_desc, &s);
}

static void scale_to(struct write *w, const struct autoscalingv1_scale *want)
{
    struct request *r = w->r;
    if (want->spec.replicas < 0) {
        err_cause(&r->err, STR("spec.replicas"), "FieldValueInvalid",
                  "Invalid value: %d: must be greater than or equal to 0", want->spec.replicas);
        respond_errorf(r, ERR_INVALID,
                       "Scale.autoscaling \"%.*s\" is invalid: spec.replicas: Invalid value: %d: "
                       "must be greater than or equal to 0",
                       STR_ARG(r->name), want->spec.replicas);
        return;
    }
    w->obj = object_copy(r->arena, w->old);
    struct scale_view v = view_of(r->arena, w->obj);
    *v.want = NEW_VALUE(r->arena, int32_t, want->spec.replicas);
    w->obj->meta->resource_version = want->metadata.resource_version;
    w->answer = scale_answer;
    write_update(w);
}

static void put_scale(struct write *w)
{
    struct autoscalingv1_scale s = {0};
    if (read_typed_body(w->r, &autoscalingv1_scale_desc, "Scale", &s) < 0)
        respond_error(w->r);
    else
        scale_to(w, &s);
}

/* A patch of the Scale that the object has now. */
static void patch_scale(struct write *w)
{
    struct request *r = w->r;
    struct autoscalingv1_scale s;
    struct json *now, *patch, *patched;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    enum patch_type type =
        str_eq(r->content_type, STR("application/json-patch+json")) ? PATCH_JSON : PATCH_MERGE;
    make_scale(r->arena, w->old, &s);
    desc_encode_json(&autoscalingv1_scale_desc, &s, &b);
    must(json_parse(r->arena, buf_to_arena(&b, r->arena), &now, &r->err) == 0);
    int rc = patch_parse(type, r->body, r->arena, &patch, NULL, &r->err);
    if (rc == 0)
        rc = type == PATCH_JSON ? patch_json(r->arena, now, patch, &patched, &r->err)
                                : patch_merge(r->arena, now, patch, &patched, &r->err);
    s = (struct autoscalingv1_scale){0};
    if (rc == 0)
        rc = desc_decode_json(&autoscalingv1_scale_desc, json_text(r->arena, patched), r->arena, &s,
                              NULL, &r->err);
    if (rc < 0)
        respond_error(r);
    else
        scale_to(w, &s);
}

void sub_scale(struct request *r)
{
    struct write *w = write_new(r);
    if (write_load_base(w) < 0) {
        respond_error(r);
        return;
    }
    if (r->verb == REQ_UPDATE) {
        put_scale(w);
    } else if (r->verb == REQ_PATCH) {
        w->again = patch_scale;
        patch_scale(w);
    } else {
        struct autoscalingv1_scale s;
        make_scale(r->arena, w->old, &s);
        respond_typed(r, 200, &autoscalingv1_scale_desc, &s);
    }
}
