/* SPDX-License-Identifier: Apache-2.0 */
/* What all writes have in common: versions, fields that nobody owns, taking fields from others. */
#include "api/apply_job.h"

#include "api/tree.h"

void apply_job_init(struct apply_job *j, const struct apply_in *in, struct err *e)
{
    *j = (struct apply_job){.in = in, .pool = {in->arena, false}, .e = e};
    smd_walk_init(&j->walk, &j->pool);
}

void apply_job_fini(struct apply_job *j)
{
    smd_walk_fini(&j->walk);
}

int apply_job_check(struct apply_job *j, const char *what)
{
    if (j->pool.full)
        return err_set(j->e, ERR_LIMIT, "the object is too large");
    if (j->walk.n_problems == 0)
        return 0;
    return err_set(j->e, ERR_BAD_REQUEST, "%s: %.*s", what,
                   STR_ARG(smd_problems(&j->walk, j->in->arena)));
}

/* ---- versions ---- */

struct versioned apply_versioned(const struct apply_job *j, struct json *tree)
{
    return (struct versioned){tree, j->in->api_version, j->in->type};
}

int apply_convert(struct apply_job *j, const struct versioned *v, struct str version,
                  struct versioned *ret)
{
    *ret = *v;
    if (str_eq(v->version, version) || !v->tree)
        return 0;
    if (!j->in->versions)
        return 1;
    ret->version = version;
    return j->in->versions->convert(j->in->versions->arg, version, v->tree, &ret->tree, &ret->type,
                                    j->e);
}

/* ---- managedFields in the object ---- */

static struct json *edit_metadata(struct apply_job *j, const struct json *object,
                                  struct json *entries)
{
    struct tree_edit root, meta;
    const struct json *old = json_getz(object, "metadata");
    if (object->type != JSON_OBJECT || (old && old->type != JSON_OBJECT) || (!old && !entries))
        return (struct json *)(uintptr_t)object;
    if (!entries && !json_getz(old, "managedFields"))
        return (struct json *)(uintptr_t)object;
    if (!tree_edit_init(&meta, j->in->arena, old, 1) ||
        !tree_edit_init(&root, j->in->arena, object, 1)) {
        j->pool.full = true;
        return NULL;
    }
    if (entries)
        tree_edit_set(&meta, STR("managedFields"), entries);
    else
        tree_edit_del(&meta, STR("managedFields"));
    tree_edit_set(&root, STR("metadata"), tree_edit_done(&meta));
    return tree_edit_done(&root);
}

struct json *apply_without_managed(struct apply_job *j, const struct json *object)
{
    return edit_metadata(j, object, NULL);
}

struct json *apply_with_managed(struct apply_job *j, const struct json *object,
                                struct json *entries)
{
    return edit_metadata(j, object, entries);
}

struct json *apply_empty(struct apply_job *j)
{
    struct json *v = j->in->type.ops->empty(j->in->type, j->in->arena);
    j->pool.full |= !v;
    return v;
}

/* ---- fields ---- */

struct fieldset apply_visible(struct apply_job *j, const struct fieldset *s)
{
    struct fieldset left = *s;
    if (j->in->reset)
        left = fieldset_minus_below(&j->pool, &left, j->in->reset);
    if (j->in->only)
        left = fieldset_filter(&j->pool, &left, j->in->only);
    return left;
}

#define NAME(literal)                                                                              \
    {                                                                                              \
        .kind = STEP_FIELD, .name = { "" literal, sizeof(literal) - 1 }                            \
    }

struct fieldset apply_strip(struct apply_job *j, const struct fieldset *s)
{
    static const struct field_node metadata[] = {
        {NAME("clusterName"), true, NULL},
        {NAME("creationTimestamp"), true, NULL},
        {NAME("generation"), true, NULL},
        {NAME("managedFields"), true, NULL},
        {NAME("name"), true, NULL},
        {NAME("namespace"), true, NULL},
        {NAME("resourceVersion"), true, NULL},
        {NAME("selfLink"), true, NULL},
        {NAME("uid"), true, NULL},
    };
    static const struct fieldset below_metadata = {metadata, ARRAY_LEN(metadata)};
    static const struct field_node root[] = {
        {NAME("apiVersion"), true, NULL},
        {NAME("kind"), true, NULL},
        {NAME("metadata"), true, &below_metadata},
    };
    static const struct fieldset nobodys = {root, ARRAY_LEN(root)};
    return fieldset_minus(&j->pool, s, &nobodys);
}

struct manager apply_manager(const struct apply_in *in, struct str name, bool applied)
{
    return (struct manager){
        .name = str_empty(name) ? STR("unknown") : name,
        .api_version = in->api_version,
        .subresource = in->subresource,
        .applied = applied,
    };
}

/* ---- taking fields from managers ---- */

static struct smd_diff visible_diff(struct apply_job *j, const struct versioned *before,
                                    const struct versioned *after)
{
    struct smd_diff d = smd_compare(&j->walk, after->type, before->tree, after->tree);
    d.removed = apply_visible(j, &d.removed);
    d.modified = apply_visible(j, &d.modified);
    d.added = apply_visible(j, &d.added);
    return d;
}

/* What changed, in one version. */
struct version_diff {
    struct str version;
    bool missing;
    struct fieldset changed, removed;
};

static int diff_in(struct apply_job *j, const struct versioned *before,
                   const struct versioned *after, struct str version, struct version_diff *ret)
{
    struct versioned b, a;
    int rc = apply_convert(j, before, version, &b);
    if (rc == 0)
        rc = apply_convert(j, after, version, &a);
    *ret = (struct version_diff){.version = version, .missing = rc > 0};
    if (rc != 0)
        return rc < 0 ? rc : 0;
    struct smd_diff d = visible_diff(j, &b, &a);
    ret->changed = fieldset_union(&j->pool, &d.modified, &d.added);
    ret->removed = d.removed;
    return apply_job_check(j, "failed to compare objects");
}

static void take_from(struct apply_job *j, struct manager *m, const struct version_diff *d,
                      bool force, struct fieldset *ret_conflict)
{
    bool hit = managed_has_any(m, &d->changed);
    if (hit && !force) {
        struct fieldset theirs = managed_set(&j->pool, m);
        *ret_conflict = fieldset_intersect(&j->pool, &theirs, &d->changed);
    }
    if (!hit && !managed_has_any(m, &d->removed))
        return;
    struct fieldset left = managed_set(&j->pool, m);
    left = fieldset_minus(&j->pool, &left, &d->changed);
    managed_put(m, fieldset_minus(&j->pool, &left, &d->removed));
}

int apply_take(struct apply_job *j, const struct versioned *before, const struct versioned *after,
               struct managed *m, const struct manager *except, bool force,
               struct fieldset *ret_conflicts, struct smd_diff *ret_diff)
{
    *ret_diff = visible_diff(j, before, after);
    int rc = apply_job_check(j, "failed to compare objects");
    struct version_diff here = {.version = after->version, .removed = ret_diff->removed};
    here.changed = fieldset_union(&j->pool, &ret_diff->modified, &ret_diff->added);
    struct version_diff other = {.version = here.version};
    for (size_t i = 0; rc == 0 && i < m->n; i++) {
        struct manager *their = &m->v[i];
        bool is_here = str_eq(their->api_version, here.version);
        if (their == except)
            continue;
        if (!is_here && !str_eq(other.version, their->api_version))
            rc = diff_in(j, before, after, their->api_version, &other);
        if (rc == 0 && !is_here && other.missing)
            managed_put(their, (struct fieldset){NULL, 0});
        else if (rc == 0)
            take_from(j, their, is_here ? &here : &other, force,
                      ret_conflicts ? &ret_conflicts[i] : NULL);
    }
    return rc;
}

/* Gives the fields that an update set to its manager. own: its entry, or NULL. */
static void give(struct apply_job *j, struct managed *m, struct manager *own,
                 const struct manager *self, const struct fieldset *mine)
{
    if (!own)
        own = managed_add(&j->pool, m, self);
    if (!own)
        return;
    if (!managed_has_all(own, mine)) {
        struct fieldset old = managed_set(&j->pool, own);
        managed_put(own, fieldset_union(&j->pool, &old, mine));
    }
    managed_set_time(own, j->in->now);
}

int apply_record_update(struct apply_job *j, struct json *before, struct json *after,
                        struct str name, struct managed *m)
{
    struct versioned b = apply_versioned(j, before), a = apply_versioned(j, after);
    struct manager self = apply_manager(j->in, name, false), *own = managed_find(m, &self);
    struct smd_diff d;
    self.parsed = true;
    if (j->pool.full)
        return apply_job_check(j, "");
    int rc = apply_take(j, &b, &a, m, own, true, NULL, &d);
    if (rc)
        return rc;
    struct fieldset changed = fieldset_union(&j->pool, &d.modified, &d.added);
    struct fieldset mine = apply_strip(j, &changed);
    struct version_diff here = {.changed = changed, .removed = d.removed};
    /* The manager's entry loses what changed as all others do, and gets it back: when it had it
     * all nothing needs to move, which is the rule for whoever writes a status again and again. */
    if (own && fieldset_eq(&mine, &changed) && managed_has_all(own, &mine))
        here.changed = (struct fieldset){NULL, 0};
    if (own)
        take_from(j, own, &here, true, NULL);
    if (!fieldset_empty(&mine))
        give(j, m, own, &self, &mine);
    return apply_job_check(j, "");
}

int apply_reconcile(struct apply_job *j, struct json *live, struct managed *m)
{
    struct versioned v = apply_versioned(j, live), there;
    for (size_t i = 0; i < m->n; i++) {
        int rc = apply_convert(j, &v, m->v[i].api_version, &there);
        if (rc < 0)
            return rc;
        struct fieldset set = {NULL, 0};
        if (rc == 0) {
            set = managed_set(&j->pool, &m->v[i]);
            set = smd_reconcile(&j->pool, there.type, &set);
        }
        managed_put(&m->v[i], set);
    }
    return 0;
}
