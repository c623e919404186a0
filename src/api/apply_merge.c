/* SPDX-License-Identifier: Apache-2.0 */
/* Server-side apply. */
#include "api/apply_job.h"
#include "api/tree.h"

/* Of kubectl's client-side apply; the name of its server-side manager; the manager of what was
 * there before anybody applied. */
#define LAST_APPLIED       "kubectl.kubernetes.io/last-applied-configuration"
#define KUBECTL            "kubectl"
#define BEFORE_FIRST_APPLY "before-first-apply"
enum { ANNOTATIONS_MAX = 256 << 10 }; /* bytes of all annotations' keys and values */

/* One attempt to apply. */
struct attempt {
    struct apply_job *j;
    struct json *live, *config; /* without managedFields */
    struct managed m;
    struct manager *own;
    struct fieldset *conflicts; /* of m.v */
    struct json *result;        /* NULL: nothing changed */
};

/* ---- what is applied ---- */

static struct str group_version_kind(struct apply_job *j, const struct json *object)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(4));
    struct str version = json_str(json_getz(object, "apiVersion"));
    if (str_index(version, '/') < 0)
        buf_c(&b, '/');
    buf_str(&b, version);
    buf_z(&b, ", Kind=");
    buf_str(&b, json_str(json_getz(object, "kind")));
    return tree_text(j->in->arena, &b);
}

static int check_config(struct apply_job *j)
{
    const struct apply_in *in = j->in;
    const struct json *config = in->object;
    struct str name = json_str(json_path(config, "metadata", "name", NULL));
    struct str namespace = json_str(json_path(config, "metadata", "namespace", NULL));
    struct str gvk = group_version_kind(j, config);
    if (!str_eq(json_str(json_getz(config, "apiVersion")), in->api_version) ||
        !str_eq(json_str(json_getz(config, "kind")), in->kind))
        return err_set(j->e, ERR_BAD_REQUEST, "invalid object type: %.*s", STR_ARG(gvk));
    const struct json *entries = json_path(config, "metadata", "managedFields", NULL);
    if (entries && entries->type == JSON_ARRAY)
        return err_set(j->e, ERR_BAD_REQUEST, "metadata.managedFields must be nil");
    smd_validate(&j->walk, in->type, config, false);
    int rc = apply_job_check(j, "failed to create typed patch object");
    if (rc != -ERR_BAD_REQUEST)
        return rc;
    return err_set(j->e, ERR_BAD_REQUEST,
                   "failed to create typed patch object (%.*s/%.*s; %.*s): %.*s",
                   STR_ARG(namespace), STR_ARG(name), STR_ARG(gvk),
                   STR_ARG(smd_problems(&j->walk, in->arena)));
}

/* ---- removing what is not applied any more ---- */

static struct fieldset named_fields(struct apply_job *j, const struct versioned *v)
{
    struct fieldset s = smd_fields(&j->walk, v->type, v->tree);
    return smd_name_members(&j->pool, v->type, &s);
}

/* All fields that anybody manages in this version. */
static struct fieldset managed_in(struct attempt *t, struct str version)
{
    struct fieldset all = {NULL, 0};
    for (size_t i = 0; i < t->m.n; i++) {
        struct fieldset theirs = managed_set(&t->j->pool, &t->m.v[i]);
        if (str_eq(t->m.v[i].api_version, version))
            all = fieldset_union(&t->j->pool, &all, &theirs);
    }
    return all;
}

/* merged without what pruning took and nobody manages in this version. 0: *pruned is that, and
 * merged is in this version too. */
static int add_back_managed(struct attempt *t, struct str version, struct versioned *merged,
                            struct versioned *pruned)
{
    struct apply_job *j = t->j;
    struct versioned there;
    int rc = apply_convert(j, merged, version, &there);
    if (rc)
        return rc;
    *merged = there;
    rc = apply_convert(j, pruned, version, &there);
    if (rc)
        return rc;
    *pruned = there;
    struct fieldset managed = managed_in(t, version);
    managed = smd_name_members(&j->pool, merged->type, &managed);
    struct fieldset all = named_fields(j, merged), kept = named_fields(j, pruned);
    kept = fieldset_union(&j->pool, &kept, &managed);
    struct fieldset gone = fieldset_minus(&j->pool, &all, &kept);
    pruned->tree = smd_remove(&j->walk, merged->type, merged->tree, &gone);
    return 0;
}

static bool seen_before(const struct attempt *t, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_eq(t->m.v[k].api_version, t->m.v[i].api_version))
            return true;
    return false;
}

static int add_back_others(struct attempt *t, struct str first, struct versioned merged,
                           struct versioned *pruned)
{
    int rc = add_back_managed(t, first, &merged, pruned);
    for (size_t i = 0; rc >= 0 && i < t->m.n; i++)
        if (!str_eq(t->m.v[i].api_version, first) && !seen_before(t, i))
            rc = add_back_managed(t, t->m.v[i].api_version, &merged, pruned);
    return rc < 0 ? rc : 0;
}

/* Fields whose manager before was the applier alone go; what hangs below them but was not applied
 * by it comes back. */
static int add_back_dangling(struct attempt *t, const struct versioned *merged,
                             const struct fieldset *last, struct versioned *pruned)
{
    struct apply_job *j = t->j;
    struct versioned there;
    int rc = apply_convert(j, pruned, merged->version, &there);
    *pruned = *merged;
    if (rc)
        return rc < 0 ? rc : 0;
    struct fieldset all = named_fields(j, merged), kept = named_fields(j, &there);
    struct fieldset named = smd_name_members(&j->pool, merged->type, last);
    struct fieldset gone = fieldset_minus(&j->pool, &all, &kept);
    gone = fieldset_intersect(&j->pool, &gone, &named);
    pruned->tree = smd_remove(&j->walk, merged->type, merged->tree, &gone);
    return 0;
}

/* *merged without what the manager applied last time, does not apply now, and nobody else owns. */
static int prune(struct attempt *t, struct str last_version, const struct fieldset *last,
                 struct json **merged)
{
    struct apply_job *j = t->j;
    struct versioned whole = apply_versioned(j, *merged), pruned, there;
    struct fieldset dropped = fieldset_minus(&j->pool, last, &t->own->set);
    /* Who still applies all that it applied takes nothing away. */
    if (fieldset_empty(last) ||
        (str_eq(last_version, j->in->api_version) && fieldset_empty(&dropped)))
        return 0;
    int rc = apply_convert(j, &whole, last_version, &there);
    if (rc)
        return rc < 0 ? rc : 0;
    whole = pruned = there;
    struct fieldset named = smd_name_members(&j->pool, whole.type, last);
    pruned.tree = smd_remove(&j->walk, whole.type, whole.tree, &named);
    rc = add_back_others(t, last_version, whole, &pruned);
    if (rc == 0)
        rc = add_back_dangling(t, &whole, last, &pruned);
    if (rc == 0)
        rc = apply_convert(j, &pruned, j->in->api_version, &there);
    if (rc < 0)
        return rc;
    *merged = there.tree;
    return apply_job_check(j, "failed to prune fields");
}

/* ---- conflicts ---- */

struct conflict_text {
    struct apply_job *j;
    struct buf message;
    struct str manager;
    size_t n;
};

static int add_conflict(void *arg, struct str path)
{
    struct conflict_text *c = arg;
    err_cause(c->j->e, path, "FieldManagerConflict", "conflict with %.*s", STR_ARG(c->manager));
    buf_z(&c->message, "\n- ");
    buf_str(&c->message, path);
    c->n++;
    return 0;
}

static int add_one_conflict(void *arg, struct str path)
{
    struct conflict_text *c = arg;
    err_cause(c->j->e, path, "FieldManagerConflict", "conflict with %.*s", STR_ARG(c->manager));
    buf_fmt(&c->message, "conflict with %.*s: %.*s", STR_ARG(c->manager), STR_ARG(path));
    c->n++;
    return 0;
}

static int by_manager(const void *a, const void *b)
{
    const struct manager *const *x = a, *const *y = b;
    return managed_cmp(*x, *y);
}

static size_t count_conflicts(const struct attempt *t)
{
    size_t n = 0;
    for (size_t i = 0; t->conflicts && i < t->m.n; i++)
        n += fieldset_size(&t->conflicts[i]);
    return n;
}

static void describe(struct attempt *t, struct conflict_text *c, const struct manager *m,
                     bool only_one)
{
    CLEANUP(buf_fini) struct buf name = BUF_INIT(KIB(16));
    const struct fieldset *s = &t->conflicts[m - t->m.v];
    if (fieldset_empty(s))
        return;
    managed_print(&name, m);
    c->manager = buf_view(&name);
    if (!only_one) {
        if (c->message.n)
            buf_c(&c->message, '\n');
        buf_fmt(&c->message, "conflicts with %.*s:", STR_ARG(c->manager));
    }
    fieldset_each(s, only_one ? add_one_conflict : add_conflict, c);
}

static int report_conflicts(struct attempt *t)
{
    struct apply_job *j = t->j;
    size_t n = count_conflicts(t);
    const struct manager **order = arena_try(j->in->arena, t->m.n, sizeof *order);
    struct conflict_text c = {.j = j, .message = BUF_INIT(KIB(60))};
    j->pool.full |= !order;
    if (j->pool.full)
        return apply_job_check(j, "");
    for (size_t i = 0; i < t->m.n; i++)
        order[i] = &t->m.v[i];
    qsort(order, t->m.n, sizeof(struct manager *), by_manager);
    for (size_t i = 0; i < t->m.n; i++)
        describe(t, &c, order[i], n == 1);
    int rc = err_set(j->e, ERR_CONFLICT, "Apply failed with %zu conflict%s: %.*s", n,
                     n == 1 ? "" : "s", STR_ARG(buf_view(&c.message)));
    buf_fini(&c.message);
    return rc;
}

/* ---- one attempt ---- */

/* An object that nobody manages: all that is there was set before the first apply. */
static int start_tracking(struct attempt *t)
{
    struct json *empty = apply_empty(t->j);
    if (t->m.n > 0 || !empty)
        return 0;
    return apply_record_update(t->j, empty, t->live, STR(BEFORE_FIRST_APPLY), &t->m);
}

/* The applier's entry, with what it applies now; *ret_last is what it applied before. */
static struct manager *claim(struct attempt *t, struct str *ret_version, struct fieldset *ret_last)
{
    struct apply_job *j = t->j;
    struct manager self = apply_manager(j->in, j->in->manager, true);
    struct fieldset set = smd_fields(&j->walk, j->in->type, t->config);
    struct manager *own = managed_find(&t->m, &self);
    self.parsed = true;
    if (!own)
        own = managed_add(&j->pool, &t->m, &self);
    if (!own)
        return NULL;
    *ret_last = managed_set(&j->pool, own);
    *ret_version = own->api_version;
    if (!str_eq(own->api_version, self.api_version))
        own->json = NULL;
    own->api_version = self.api_version;
    managed_put(own, apply_visible(j, &set));
    return own;
}

static void finish_entry(struct attempt *t)
{
    struct apply_job *j = t->j;
    struct fieldset set = managed_set(&j->pool, t->own);
    managed_put(t->own, apply_strip(j, &set));
    if (t->result)
        managed_set_time(t->own, j->in->now);
}

static int attempt(struct attempt *t, bool force)
{
    struct apply_job *j = t->j;
    struct fieldset last = {NULL, 0};
    struct str last_version = STR("");
    struct err detail = ERR_INIT(j->in->arena);
    struct smd_diff diff;
    int rc = managed_decode(&j->pool, json_path(j->in->live, "metadata", "managedFields", NULL),
                            true, &t->m, &detail);
    if (rc)
        return err_set(j->e, ERR_INTERNAL, "failed to decode managed fields: %.*s",
                       STR_ARG(detail.message));
    rc = start_tracking(t);
    if (rc == 0)
        rc = apply_reconcile(j, t->live, &t->m);
    if (rc)
        return rc;
    struct json *merged = smd_merge(&j->walk, j->in->type, t->live, t->config);
    t->own = claim(t, &last_version, &last);
    rc = apply_job_check(j, "failed to merge config");
    if (rc == 0)
        rc = prune(t, last_version, &last, &merged);
    t->conflicts = arena_try(j->in->arena, t->m.n, sizeof *t->conflicts);
    j->pool.full |= !t->conflicts || !merged;
    if (rc == 0)
        rc = apply_job_check(j, "");
    struct versioned before = apply_versioned(j, t->live), after = apply_versioned(j, merged);
    if (rc == 0)
        rc = apply_take(j, &before, &after, &t->m, t->own, force, t->conflicts, &diff);
    if (rc == 0 && count_conflicts(t) == 0) {
        t->result = json_eq(t->live, merged) ? NULL : merged;
        finish_entry(t);
    }
    return rc;
}

/* ---- kubectl's way from client-side to server-side apply ---- */

/* Fields that client-side apply set and nobody changed since; the new manager may take them. */
static bool allowed_by_last_applied(struct attempt *t, struct fieldset *ret)
{
    struct apply_job *j = t->j;
    struct err ignored = ERR_INIT(j->in->arena);
    struct json *old;
    struct str text =
        json_str(json_getz(json_path(t->live, "metadata", "annotations", NULL), LAST_APPLIED));
    if (str_empty(text) || json_parse(j->in->arena, text, &old, &ignored) != 0 ||
        !str_eq(json_str(json_getz(old, "apiVersion")), j->in->api_version))
        return false;
    struct smd_walk walk;
    smd_walk_init(&walk, &j->pool);
    smd_validate(&walk, j->in->type, old, false);
    struct fieldset set = smd_fields(&walk, j->in->type, old);
    struct smd_diff d = smd_compare(&walk, j->in->type, old, t->live);
    bool good = walk.n_problems == 0;
    smd_walk_fini(&walk);
    set = fieldset_minus(&j->pool, &set, &d.modified);
    set = fieldset_minus(&j->pool, &set, &d.added);
    *ret = fieldset_minus(&j->pool, &set, &d.removed);
    return good;
}

/* The conflicts that the annotation does not settle stay. */
static void allow_last_applied(struct attempt *t)
{
    struct fieldset allowed;
    if (!str_eqz(t->j->in->manager, KUBECTL) || !allowed_by_last_applied(t, &allowed))
        return;
    for (size_t i = 0; i < t->m.n; i++)
        t->conflicts[i] = fieldset_minus(&t->j->pool, &t->conflicts[i], &allowed);
}

static size_t annotations_size(const struct json *annotations)
{
    size_t n = 0;
    for (size_t i = 0; i < annotations->object.n; i++)
        n += annotations->object.v[i].key.n + json_str(annotations->object.v[i].value).n;
    return n;
}

/* The object with annotations[LAST_APPLIED] = text; NULL text: without it. */
static struct json *annotate(struct apply_job *j, const struct json *object, struct json *text)
{
    struct tree_edit root, meta, notes;
    const struct json *metadata = json_getz(object, "metadata");
    const struct json *annotations = json_getz(metadata, "annotations");
    struct arena *a = j->in->arena;
    if (!tree_edit_init(&notes, a, annotations, 1) || !tree_edit_init(&meta, a, metadata, 1) ||
        !tree_edit_init(&root, a, object, 1)) {
        j->pool.full = true;
        return NULL;
    }
    if (text)
        tree_edit_set(&notes, STR(LAST_APPLIED), text);
    else
        tree_edit_del(&notes, STR(LAST_APPLIED));
    tree_edit_set(&meta, STR("annotations"), tree_edit_done(&notes));
    tree_edit_set(&root, STR("metadata"), tree_edit_done(&meta));
    return tree_edit_done(&root);
}

static bool has_annotations(const struct json *object)
{
    const struct json *v = json_path(object, "metadata", "annotations", NULL);
    return v && v->type == JSON_OBJECT;
}

/* The configuration as client-side apply would note it: sorted, without the note itself. NULL: it
 * is too long, or the arena is full. */
static struct json *last_applied_text(struct apply_job *j, const struct json *config)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(ANNOTATIONS_MAX);
    struct arena *a = j->in->arena;
    struct err ignored = ERR_INIT(a);
    struct json *v = (struct json *)(uintptr_t)config;
    if (has_annotations(config))
        v = annotate(j, config, NULL);
    if (!v)
        return NULL;
    json_write(&b, v);
    if (b.failed || json_parse(a, tree_text(a, &b), &v, &ignored) != 0)
        return NULL;
    json_sort(v);
    buf_clear(&b);
    json_write(&b, v);
    buf_c(&b, '\n');
    return b.failed ? NULL : tree_string(a, tree_text(a, &b));
}

/* Keeps kubectl's note of the last configuration true, where there is one. */
static struct json *renew_last_applied(struct apply_job *j, struct json *object)
{
    struct str old =
        json_str(json_getz(json_path(object, "metadata", "annotations", NULL), LAST_APPLIED));
    if (!str_eqz(j->in->manager, KUBECTL) || str_empty(old))
        return object;
    struct json *text = last_applied_text(j, j->in->object);
    struct json *noted = annotate(j, object, text);
    if (!noted || !text ||
        annotations_size(json_path(noted, "metadata", "annotations", NULL)) <= ANNOTATIONS_MAX)
        return noted;
    return annotate(j, object, NULL);
}

/* ---- the whole ---- */

static int apply(struct apply_job *j, struct json **ret)
{
    struct attempt t = {.j = j};
    int rc = check_config(j);
    if (rc)
        return rc;
    t.live = j->in->live ? apply_without_managed(j, j->in->live) : apply_empty(j);
    t.config = apply_without_managed(j, j->in->object);
    if (!t.live || !t.config)
        return apply_job_check(j, "");
    rc = attempt(&t, j->in->force);
    if (rc == 0 && count_conflicts(&t)) {
        allow_last_applied(&t);
        if (count_conflicts(&t))
            return report_conflicts(&t);
        rc = attempt(&t, true);
    }
    if (rc)
        return rc;
    struct json *object = renew_last_applied(j, t.result ? t.result : t.live);
    struct json *entries = managed_encode(&j->pool, &t.m);
    if (object)
        *ret = apply_with_managed(j, object, entries);
    return apply_job_check(j, "");
}

int apply_merge(const struct apply_in *in, struct json **ret, struct err *e)
{
    struct apply_job j;
    apply_job_init(&j, in, e);
    int rc = apply(&j, ret);
    apply_job_fini(&j);
    return rc;
}
