/* SPDX-License-Identifier: Apache-2.0 */
/* patch: the newest state, changed as the patch document says, takes the path of an update. */
#include "api/patch.h"
#include "codec/yaml.h"
#include "server/impl.h"
#include "server/write.h"

struct patch_job {
    enum patch_type type;
    struct json *patch;
};

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
    if (read_patch(r, job) < 0 || write_load_base(w) < 0) {
        respond_error(r);
        return;
    }
    patch_attempt(w);
}

void verb_patch(struct request *r)
{
    write_patch(r, NULL);
}
