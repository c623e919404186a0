/* SPDX-License-Identifier: Apache-2.0 */
/* patch: the newest state, changed as the patch document says, takes the path of an update. */
#include "api/patch.h"
#include "codec/yaml.h"
#include "server/impl.h"
#include "server/owners.h"
#include "server/write.h"

struct patch_job {
    enum patch_type type;
    bool apply; /* server-side apply: patch is the configuration */
    struct json *patch;
};

static int read_configuration(struct request *r, struct patch_job *job)
{
    job->apply = true;
    if (!r->opts.field_manager.n)
        return err_set(&r->err, ERR_BAD_REQUEST,
                       "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is "
                       "required for apply patch");
    return yaml_parse(r->arena, r->body, &job->patch, &r->err);
}

static int read_patch(struct request *r, struct patch_job *job)
{
    static const struct {
        const char *media;
        enum patch_type type;
    } types[] = {
        {"application/json-patch+json", PATCH_JSON},
        {"application/merge-patch+json", PATCH_MERGE},
        {"application/strategic-merge-patch+json", PATCH_STRATEGIC},
    };
    if (str_eq(r->content_type, STR("application/apply-patch+yaml")))
        return read_configuration(r, job);
    if (r->opts.force)
        return err_set(&r->err, ERR_INVALID,
                       "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be "
                       "specified for non-apply patch");
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (!str_eqz(r->content_type, types[i].media))
            continue;
        job->type = types[i].type;
        if (job->type == PATCH_STRATEGIC && !r->res->desc)
            break;
        return patch_parse(job->type, r->body, r->arena, &job->patch, NULL, &r->err);
    }
    return err_set(&r->err, ERR_UNSUPPORTED_MEDIA_TYPE,
                   "the body of the request was in an unknown format - accepted media types "
                   "include: application/json-patch+json, application/merge-patch+json, "
                   "%sapplication/apply-patch+yaml",
                   r->res->desc ? "application/strategic-merge-patch+json, " : "");
}

/* The base in the request's version, as a tree. */
static struct json *current_tree(struct write *w)
{
    struct request *r = w->r;
    struct json *tree;
    if (r->res != w->res)
        return object_tree(r->arena, object_convert(r->arena, w->old, r->res));
    must(json_parse(r->arena, item_value(w->base), &tree, &r->err) == 0);
    return tree;
}

static int apply_patch(struct write *w, struct json **ret)
{
    struct patch_job *job = w->arg;
    struct request *r = w->r;
    struct json *now = current_tree(w);
    switch (job->type) {
    case PATCH_JSON: return patch_json(r->arena, now, job->patch, ret, &r->err);
    case PATCH_MERGE: return patch_merge(r->arena, now, job->patch, ret, &r->err);
    case PATCH_STRATEGIC:
        return patch_strategic(r->arena, r->res->desc, now, job->patch, ret, &r->err);
    }
    never("patch type");
}

/* The configuration must name what the path names. */
static int check_configuration(struct write *w, const struct json *c)
{
    struct request *r = w->r;
    struct str kind = json_str(json_getz(c, "kind")),
               version = json_str(json_getz(c, "apiVersion"));
    struct str name = json_str(json_path(c, "metadata", "name", NULL));
    if (!str_eq(kind, r->res->kind) || !str_eq(version, r->res->api_version))
        return err_set(&r->err, ERR_BAD_REQUEST,
                       "the applied configuration is a %.*s of %.*s, expected %.*s of %.*s",
                       STR_ARG(kind), STR_ARG(version), STR_ARG(r->res->kind),
                       STR_ARG(r->res->api_version));
    if (name.n && !str_eq(name, r->name))
        return err_set(&r->err, ERR_BAD_REQUEST,
                       "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                       STR_ARG(name), STR_ARG(r->name));
    return 0;
}

static void apply_attempt(struct write *w)
{
    struct request *r = w->r;
    struct patch_job *job = w->arg;
    struct json *merged;
    w->by_apply = true;
    if (check_configuration(w, job->patch) < 0 || owners_apply(w, job->patch, &merged) < 0 ||
        write_read_json(w, json_text(r->arena, merged), &w->obj) < 0) {
        respond_error(r);
        return;
    }
    if (w->base) {
        w->obj->meta->resource_version =
            json_str(json_path(job->patch, "metadata", "resourceVersion", NULL));
        write_update(w);
        return;
    }
    w->obj->meta->name = r->name;
    write_create(w);
}

static void patch_attempt(struct write *w)
{
    struct request *r = w->r;
    struct json *patched;
    if (apply_patch(w, &patched) < 0 ||
        write_read_json(w, json_text(r->arena, patched), &w->obj) < 0) {
        respond_error(r);
        return;
    }
    write_update(w);
}

void write_patch(struct request *r, void (*fixup)(struct write *w))
{
    struct write *w = write_new(r);
    struct patch_job *job = arena_new(r->arena, struct patch_job);
    w->arg = job;
    w->status = str_eq(r->subresource, STR("status"));
    w->again = patch_attempt;
    w->fixup = fixup;
    if (read_patch(r, job) < 0) {
        respond_error(r);
        return;
    }
    int rc = write_load_base(w);
    if (rc == -ERR_NOT_FOUND && job->apply && !r->subresource.n)
        err_clear(&r->err); /* an apply creates what is not there */
    else if (rc < 0) {
        respond_error(r);
        return;
    }
    if (job->apply) {
        w->again = apply_attempt;
        apply_attempt(w);
        return;
    }
    patch_attempt(w);
}

void verb_patch(struct request *r)
{
    write_patch(r, NULL);
}
