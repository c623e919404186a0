/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what all kinds share: metadata, label selectors, conditions
 * (k8s.io/apimachinery pkg/api/validation and pkg/apis/meta/v1/validation). */
#include "api/registry.h"
#include "api/validate.h"

enum {
    ANNOTATIONS_BYTES_MAX = 256 << 10,
    FIELD_MANAGER_BYTES_MAX = 128,
    SUBRESOURCE_BYTES_MAX = 256,
    CONDITION_REASON_BYTES_MAX = 1 << 10,
    CONDITION_MESSAGE_BYTES_MAX = 32 << 10,
};

/* ---- labels and annotations ---- */

void check_labels(struct validation *v, const struct field_path *p, const struct str_map *m)
{
    LIST_EACH (pair, m) {
        check_format(v, p, pair->key, FORMAT_LABEL_KEY);
        check_format(v, p, pair->value, FORMAT_LABEL_VALUE);
    }
}

/* Annotation keys are label keys in any case. */
static void check_annotation_key(struct validation *v, const struct field_path *p, struct str key)
{
    const char *faults[FORMAT_FAULTS_MAX];
    char *lower = arena_raw(v->arena, key.n);
    for (size_t i = 0; i < key.n; i++)
        lower[i] = (char)(key.p[i] >= 'A' && key.p[i] <= 'Z' ? key.p[i] | 0x20 : key.p[i]);
    size_t n = format_faults(FORMAT_LABEL_KEY, str_n(lower, key.n), faults);
    for (size_t i = 0; i < n; i++)
        fault_invalid(v, p, bad_str(key), "%s", faults[i]);
}

void check_annotations(struct validation *v, const struct field_path *p, const struct str_map *m)
{
    size_t bytes = 0;
    LIST_EACH (pair, m) {
        check_annotation_key(v, p, pair->key);
        bytes += pair->key.n + pair->value.n;
    }
    if (bytes > ANNOTATIONS_BYTES_MAX)
        fault_too_long(v, p, ANNOTATIONS_BYTES_MAX);
}

/* ---- owners, finalizers, managers ---- */

static void check_owner(struct validation *v, const struct field_path *p,
                        const struct metav1_owner_reference *o)
{
    struct str group = STR(""), version = STR("");
    bool well_formed = api_version_split(o->api_version, &group, &version);
    if (!o->api_version.n)
        fault_required(v, AT(p, "apiVersion"), "must not be empty");
    else if (!well_formed)
        fault_invalid(v, AT(p, "apiVersion"), bad_str(o->api_version),
                      "must be <group>/<version> or <version>");
    if (!o->kind.n)
        fault_required(v, AT(p, "kind"), "must not be empty");
    if (!o->name.n)
        fault_required(v, AT(p, "name"), "must not be empty");
    if (!o->uid.n)
        fault_required(v, AT(p, "uid"), "must not be empty");
    if (str_eq(o->api_version, STR("v1")) && str_eq(o->kind, STR("Event")))
        fault_invalid(v, p, bad_obj(&metav1_owner_reference_desc, o),
                      "/v1, Kind=Event is disallowed from being an owner");
}

static void check_owners(struct validation *v, const struct field_path *p,
                         const struct metav1_object_meta *m)
{
    const struct metav1_owner_reference *first = NULL;
    for (size_t i = 0; i < m->owner_references.n; i++) {
        const struct metav1_owner_reference *o = &m->owner_references.v[i];
        check_owner(v, AT_INDEX(p, i), o);
        if (!o->controller || !*o->controller)
            continue;
        if (first)
            fault_invalid(v, p, bad_obj(&metav1_owner_reference_desc, o),
                          "Only one reference can have Controller set to true. Found \"true\" in "
                          "references for %.*s/%.*s and %.*s/%.*s",
                          STR_ARG(first->kind), STR_ARG(first->name), STR_ARG(o->kind),
                          STR_ARG(o->name));
        else
            first = o;
    }
}

static void check_finalizers(struct validation *v, const struct field_path *p,
                             const struct str_list *l)
{
    LIST_EACH (name, l)
        check_format(v, p, *name, FORMAT_LABEL_KEY);
    if (str_list_has(l, STR("orphan")) && str_list_has(l, STR("foregroundDeletion")))
        fault_invalid(v, p, bad_list(l),
                      "finalizer orphan and foregroundDeletion cannot be both set");
}

/* Finalizers of built-in kinds carry a domain, but for those that are part of the API. */
static void check_finalizer_domains(struct validation *v, const struct field_path *p,
                                    const struct str_list *l)
{
    for (size_t i = 0; !v->is_custom && i < l->n; i++)
        if (str_index(l->v[i], '/') < 0 && !str_eq(l->v[i], STR("kubernetes")) &&
            !str_eq(l->v[i], STR("orphan")) && !str_eq(l->v[i], STR("foregroundDeletion")))
            fault_invalid(v, AT_INDEX(p, i), bad_str(l->v[i]),
                          "name is neither a standard finalizer name nor is it fully qualified");
}

static void check_no_new_finalizers(struct validation *v, const struct field_path *p,
                                    const struct str_list *now, const struct str_list *old)
{
    struct str_list extra = {0};
    LIST_EACH (name, now)
        if (!str_list_has(old, *name) && !str_list_has(&extra, *name))
            str_list_push(v->arena, &extra, *name);
    if (!extra.n)
        return;
    qsort(extra.v, extra.n, sizeof *extra.v, str_qsort);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(FAULT_TEXT_MAX / 2);
    LIST_EACH (name, &extra) {
        buf_z(&b, name == extra.v ? "" : ", ");
        buf_str(&b, go_quote(v->arena, *name));
    }
    fault_forbidden(v, p,
                    "no new finalizers can be added if the object is being deleted, found new "
                    "finalizers []string{%.*s}",
                    STR_ARG(buf_view(&b)));
}

void check_field_manager(struct validation *v, const struct field_path *p, struct str manager)
{
    if (manager.n > FIELD_MANAGER_BYTES_MAX)
        fault_too_long(v, p, FIELD_MANAGER_BYTES_MAX);
    for (size_t i = 0; i < MIN(manager.n, (size_t)FIELD_MANAGER_BYTES_MAX); i++) {
        unsigned char c = (unsigned char)manager.p[i];
        if (c < ' ' || c == 0x7f)
            fault_invalid(v, p, bad_str(manager), "invalid character U+%04X (at position %zu)", c,
                          i);
    }
}

static void check_managed_fields(struct validation *v, const struct field_path *p,
                                 const struct metav1_object_meta *m)
{
    static const char *const operations[] = {"Apply", "Update", NULL};
    for (size_t i = 0; i < m->managed_fields.n; i++) {
        const struct metav1_managed_fields_entry *f = &m->managed_fields.v[i];
        const struct field_path *at = AT_INDEX(p, i);
        if (!f->operation.n)
            fault_required(v, AT(at, "operation"), "must not be empty");
        else
            check_one_of(v, AT(at, "operation"), f->operation, operations);
        if (f->fields_type.n && !str_eq(f->fields_type, STR("FieldsV1")))
            fault_invalid(v, AT(at, "fieldsType"), bad_str(f->fields_type), "must be `FieldsV1`");
        check_field_manager(v, AT(at, "manager"), f->manager);
        if (f->subresource.n > SUBRESOURCE_BYTES_MAX)
            fault_too_long(v, AT(at, "subresource"), SUBRESOURCE_BYTES_MAX);
    }
}

/* ---- metadata ---- */

static void check_name(struct validation *v, const struct field_path *p, struct str name,
                       bool is_prefix, valid_name_fn *valid_name)
{
    const char *fault = valid_name ? valid_name(name, is_prefix)
                                   : format_name_fault(FORMAT_DNS_SUBDOMAIN, name, is_prefix);
    if (fault)
        fault_invalid(v, p, bad_str(name), "%s", fault);
}

static void check_namespace(struct validation *v, const struct field_path *p, struct str ns,
                            bool namespaced)
{
    if (!namespaced) {
        if (ns.n)
            fault_forbidden(v, p, "not allowed on this type");
    } else if (!ns.n) {
        fault_required(v, p, "%s", "");
    } else {
        check_format(v, p, ns, FORMAT_DNS_LABEL);
    }
}

void check_object_meta(struct validation *v, const struct field_path *p,
                       const struct metav1_object_meta *m, bool namespaced,
                       valid_name_fn *valid_name)
{
    if (m->generate_name.n)
        check_name(v, AT(p, "generateName"), m->generate_name, true, valid_name);
    if (m->name.n)
        check_name(v, AT(p, "name"), m->name, false, valid_name);
    else
        fault_required(v, AT(p, "name"), "name or generateName is required");
    check_namespace(v, AT(p, "namespace"), m->namespace, namespaced);
    check_nonnegative(v, AT(p, "generation"), m->generation);
    check_labels(v, AT(p, "labels"), &m->labels);
    check_annotations(v, AT(p, "annotations"), &m->annotations);
    check_owners(v, AT(p, "ownerReferences"), m);
    check_finalizers(v, AT(p, "finalizers"), &m->finalizers);
    check_managed_fields(v, AT(p, "managedFields"), m);
    check_finalizer_domains(v, AT(p, "finalizers"), &m->finalizers);
}

static void check_immutable_time(struct validation *v, const struct field_path *p, struct wall now,
                                 struct wall old)
{
    if (wall_cmp(now, old) != 0)
        fault_invalid(v, p, bad_time(v->arena, now), "field is immutable");
}

static void check_meta_immutable(struct validation *v, const struct field_path *p,
                                 const struct metav1_object_meta *m,
                                 const struct metav1_object_meta *old)
{
    static const struct wall never_set;
    check_immutable_str(v, AT(p, "name"), m->name, old->name);
    check_immutable_str(v, AT(p, "namespace"), m->namespace, old->namespace);
    check_immutable_str(v, AT(p, "uid"), m->uid, old->uid);
    check_immutable_time(v, AT(p, "creationTimestamp"), m->creation_timestamp,
                         old->creation_timestamp);
    check_immutable_time(v, AT(p, "deletionTimestamp"),
                         m->deletion_timestamp ? *m->deletion_timestamp : never_set,
                         old->deletion_timestamp ? *old->deletion_timestamp : never_set);
    const int64_t *now_s = m->deletion_grace_period_seconds,
                  *old_s = old->deletion_grace_period_seconds;
    if ((now_s == NULL) != (old_s == NULL) || (now_s && *now_s != *old_s))
        fault_invalid(v, AT(p, "deletionGracePeriodSeconds"), now_s ? bad_int(*now_s) : bad_null(),
                      "field is immutable");
}

void check_object_meta_update(struct validation *v, const struct field_path *p,
                              const struct metav1_object_meta *m,
                              const struct metav1_object_meta *old)
{
    if (old->deletion_timestamp)
        check_no_new_finalizers(v, AT(p, "finalizers"), &m->finalizers, &old->finalizers);
    if (!m->resource_version.n)
        fault_invalid(v, AT(p, "resourceVersion"), bad_str(STR("")),
                      "must be specified for an update");
    check_nonnegative(v, AT(p, "generation"), m->generation);
    if (m->generation < old->generation)
        fault_invalid(v, AT(p, "generation"), bad_int(m->generation), "must not be decremented");
    check_meta_immutable(v, p, m, old);
    check_labels(v, AT(p, "labels"), &m->labels);
    check_annotations(v, AT(p, "annotations"), &m->annotations);
    check_owners(v, AT(p, "ownerReferences"), m);
    check_managed_fields(v, AT(p, "managedFields"), m);
    check_finalizer_domains(v, AT(p, "finalizers"), &m->finalizers);
}

/* ---- label selectors ---- */

bool label_selector_has_bad_value(const struct metav1_label_selector *s)
{
    if (!s)
        return false;
    LIST_EACH (r, &s->match_expressions)
        LIST_EACH (value, &r->values)
            if (!format_ok(FORMAT_LABEL_VALUE, *value))
                return true;
    return false;
}

static void check_requirement(struct validation *v, const struct field_path *p,
                              const struct metav1_label_selector_requirement *r,
                              bool allow_bad_values)
{
    if (str_eq(r->operator_, STR("In")) || str_eq(r->operator_, STR("NotIn"))) {
        if (!r->values.n)
            fault_required(v, AT(p, "values"),
                           "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (str_eq(r->operator_, STR("Exists")) || str_eq(r->operator_, STR("DoesNotExist"))) {
        if (r->values.n)
            fault_forbidden(v, AT(p, "values"),
                            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else {
        fault_invalid(v, AT(p, "operator"), bad_str(r->operator_), "not a valid selector operator");
    }
    check_format(v, AT(p, "key"), r->key, FORMAT_LABEL_KEY);
    if (allow_bad_values)
        return;
    for (size_t i = 0; i < r->values.n; i++)
        check_format(v, AT_INDEX(AT(p, "values"), i), r->values.v[i], FORMAT_LABEL_VALUE);
}

void check_label_selector(struct validation *v, const struct field_path *p,
                          const struct metav1_label_selector *s, bool allow_bad_values)
{
    if (!s)
        return;
    check_labels(v, AT(p, "matchLabels"), &s->match_labels);
    for (size_t i = 0; i < s->match_expressions.n; i++)
        check_requirement(v, AT_INDEX(AT(p, "matchExpressions"), i), &s->match_expressions.v[i],
                          allow_bad_values);
}

/* ---- conditions ---- */

static void check_condition(struct validation *v, const struct field_path *p,
                            const struct metav1_condition *c)
{
    static const char *const statuses[] = {"False", "True", "Unknown", NULL};
    if (!c->type.n)
        fault_required(v, AT(p, "type"), "is required");
    else
        check_format(v, AT(p, "type"), c->type, FORMAT_LABEL_KEY);
    check_enum(v, AT(p, "status"), c->status, statuses);
    if (c->observed_generation < 0)
        fault_invalid(v, AT(p, "observedGeneration"), bad_int(c->observed_generation),
                      "must be greater than or equal to zero");
    if (wall_is_zero(c->last_transition_time))
        fault_required(v, AT(p, "lastTransitionTime"), "%s", "");
    if (!c->reason.n)
        fault_required(v, AT(p, "reason"), "%s", "");
    else
        check_format(v, AT(p, "reason"), c->reason, FORMAT_CONDITION_REASON);
    if (c->reason.n > CONDITION_REASON_BYTES_MAX)
        fault_too_long(v, AT(p, "reason"), CONDITION_REASON_BYTES_MAX);
    if (c->message.n > CONDITION_MESSAGE_BYTES_MAX)
        fault_too_long(v, AT(p, "message"), CONDITION_MESSAGE_BYTES_MAX);
}

void check_conditions(struct validation *v, const struct field_path *p,
                      const struct metav1_condition *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++)
            if (str_eq(c[j].type, c[i].type)) {
                fault_duplicate(v, AT_INDEX(p, i), bad_str(c[i].type));
                break;
            }
        check_condition(v, AT_INDEX(p, i), &c[i]);
    }
}

/* ---- generation ---- */

void prepare_generation(const struct desc *d, void *obj, const void *old)
{
    const struct field *meta = desc_field(d, STR("metadata"));
    must(meta && meta->message == &metav1_object_meta_desc);
    struct metav1_object_meta *now = (void *)((char *)obj + meta->offset);
    now->generation = 1;
    if (!old)
        return;
    const struct metav1_object_meta *was = (const void *)((const char *)old + meta->offset);
    now->generation = was->generation;
    for (size_t i = 0; i < d->n_json; i++)
        if (&d->fields[i] != meta && !field_equal(&d->fields[i], obj, old)) {
            now->generation++;
            break;
        }
}
