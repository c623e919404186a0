/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns what after a create, update or patch; and writes that change nothing but times. */
#include "api/apply_job.h"

static struct json *entries_of(const struct json *object)
{
    return object ? json_path(object, "metadata", "managedFields", NULL) : NULL;
}

/* Entries that we stored. When they cannot be read there are none. */
static void decode_live(struct apply_job *j, struct managed *ret)
{
    struct err ignored = ERR_INIT(j->in->arena);
    if (managed_decode(&j->pool, entries_of(j->in->live), false, ret, &ignored) != 0)
        ret->n = 0;
}

/* A write through a subresource keeps the live object's entries. Else the request's count, unless
 * there are none or they are bad: a client that does not know managedFields must not lose them. */
static void decode_live_or_new(struct apply_job *j, struct managed *ret)
{
    struct json *live = entries_of(j->in->live), *new = entries_of(j->in->object);
    struct err ignored = ERR_INIT(j->in->arena);
    bool is_new = str_empty(j->in->subresource) && new && !(live && json_eq(live, new));
    if (is_new && managed_is_reset(new)) {
        *ret = (struct managed){0};
        return;
    }
    if (!is_new || managed_decode(&j->pool, new, true, ret, &ignored) != 0 || ret->n == 0)
        decode_live(j, ret);
}

/* An object that exists has no owners when somebody had them forgotten. */
static bool is_untracked(const struct apply_in *in, const struct managed *m)
{
    return m->n == 0 && !str_empty(json_str(json_path(in->live, "metadata", "uid", NULL)));
}

static int record(struct apply_job *j, struct json *after, struct managed *m)
{
    const struct apply_in *in = j->in;
    struct json *before = in->live ? apply_without_managed(j, in->live) : apply_empty(j);
    int rc = 0;
    if (!before || !after)
        return apply_job_check(j, "");
    if (in->type.ops->may_change)
        rc = apply_reconcile(j, before, m);
    if (rc == 0)
        rc = apply_record_update(j, before, after, in->manager, m);
    if (rc == 0)
        managed_cap(&j->pool, m);
    return rc;
}

static int track(struct apply_job *j, struct json **ret)
{
    struct managed m = {0};
    struct json *after = apply_without_managed(j, j->in->object), *entries = NULL;
    decode_live_or_new(j, &m);
    if (!is_untracked(j->in, &m)) {
        int rc = record(j, after, &m);
        if (rc == -ERR_LIMIT)
            return rc;
        /* Not worth refusing the write: owners stay as they were. */
        if (rc)
            err_clear(j->e);
        entries = rc ? entries_of(j->in->live) : managed_encode(&j->pool, &m);
    }
    if (after)
        *ret = apply_with_managed(j, after, entries);
    return j->pool.full ? apply_job_check(j, "") : 0;
}

int apply_track_update(const struct apply_in *in, struct json **ret, struct err *e)
{
    struct apply_job j;
    apply_job_init(&j, in, e);
    int rc = track(&j, ret);
    apply_job_fini(&j);
    return rc;
}

/* ---- writes without effect ---- */

static bool eq_but_time(const struct json *a, const struct json *b)
{
    size_t compared = 0, in_b = 0;
    for (size_t i = 0; i < a->object.n; i++) {
        if (str_eqz(a->object.v[i].key, "time"))
            continue;
        const struct json *other = json_get(b, a->object.v[i].key);
        if (!other || !json_eq(a->object.v[i].value, other))
            return false;
        compared++;
    }
    for (size_t i = 0; i < b->object.n; i++)
        in_b += !str_eqz(b->object.v[i].key, "time");
    return compared == in_b;
}

static bool entries_eq_but_time(const struct json *a, const struct json *b)
{
    if (!a || !b || a->type != JSON_ARRAY || b->type != JSON_ARRAY || a->array.n != b->array.n)
        return false;
    for (size_t i = 0; i < a->array.n; i++)
        if (a->array.v[i]->type != JSON_OBJECT || b->array.v[i]->type != JSON_OBJECT ||
            !eq_but_time(a->array.v[i], b->array.v[i]))
            return false;
    return true;
}

/* Equal members, but for one that is compared by the caller. */
static bool eq_but(const struct json *a, const struct json *b, const char *member)
{
    if (a->type != JSON_OBJECT || b->type != JSON_OBJECT || a->object.n != b->object.n)
        return false;
    for (size_t i = 0; i < a->object.n; i++) {
        const struct json *other = json_get(b, a->object.v[i].key);
        if (!other)
            return false;
        if (!str_eqz(a->object.v[i].key, member) && !json_eq(a->object.v[i].value, other))
            return false;
    }
    return true;
}

struct json *apply_settle(struct json *live, struct json *object)
{
    struct json *old = json_getz(live, "metadata"), *new = json_getz(object, "metadata");
    if (!old || !new || !entries_eq_but_time(entries_of(live), entries_of(object)))
        return object;
    return eq_but(live, object, "metadata") && eq_but(old, new, "managedFields") ? live : object;
}
