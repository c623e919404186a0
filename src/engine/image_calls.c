/* SPDX-License-Identifier: Apache-2.0 */
/* CRI's image service, but for pulls (pull.c): the image store's blocking calls on workers. */
#include <fcntl.h>

#include "engine/files.h"
#include "engine/local.h"

struct image_job {
    struct job job;
    struct engine_call *call;
    int64_t at_ns; /* when it was asked */
};

static void image_job_done(struct job *job)
{
    struct image_job *j = CONTAINER_OF(job, struct image_job, job);
    call_done(job->g, j->call);
    free(j);
}

static void start(struct local *g, struct engine_call *call, void (*run)(struct job *job))
{
    struct image_job *j = xcalloc(1, sizeof *j);
    j->call = call;
    j->at_ns = local_now_ns(g);
    job_start(g, &j->job, run, image_job_done);
}

/* "1000", "1000:1000" is a number; anything else, but not nothing, a name. */
static void fill_user(struct arena *a, struct str user, struct criv1_image *ret)
{
    struct str name, group;
    int64_t uid;
    str_cut(user, ':', &name, &group);
    if (str_to_i64(name, &uid) && uid >= 0) {
        ret->uid = arena_new(a, struct criv1_int64_value);
        ret->uid->value = uid;
    } else {
        ret->username = name;
    }
}

static void fill_image(struct arena *a, const struct image *image, struct criv1_image *ret)
{
    ret->id = image->id;
    ret->repo_tags = image->tags;
    ret->repo_digests = image->digests;
    ret->size = image->size;
    ret->pinned = image->pinned;
    ret->spec = arena_new(a, struct criv1_image_spec);
    ret->spec->image = image->id;
    fill_user(a, image->user, ret);
}

static void list_run(struct job *job)
{
    struct engine_call *call = CONTAINER_OF(job, struct image_job, job)->call;
    const struct criv1_list_images_request *q = call->request;
    struct criv1_list_images_response *r = RESPONSE(call, struct criv1_list_images_response);
    struct arena *a = call->arena;
    struct image *v, one;
    size_t n = 1;
    bool filtered = q->filter && q->filter->image && q->filter->image->image.n;
    int found;
    if (filtered) {
        v = &one;
        found = image_find(job->g->images, a, q->filter->image->image, &one, &call->err);
    } else {
        found = image_list(job->g->images, a, &v, &n, &call->err);
    }
    if (found == -ERR_NOT_FOUND)
        err_clear(&call->err);
    for (size_t i = 0; found == 0 && i < n; i++)
        fill_image(a, &v[i], list_add(a, &r->images));
}

void images_list(struct local *g, struct engine_call *call)
{
    start(g, call, list_run);
}

static void status_run(struct job *job)
{
    struct engine_call *call = CONTAINER_OF(job, struct image_job, job)->call;
    const struct criv1_image_status_request *q = call->request;
    struct criv1_image_status_response *r = RESPONSE(call, struct criv1_image_status_response);
    struct image image;
    struct str name = q->image ? q->image->image : STR_NULL;
    int found = image_find(job->g->images, call->arena, name, &image, &call->err);
    if (found == -ERR_NOT_FOUND) {
        err_clear(&call->err); /* an answer without an image */
    } else if (found == 0) {
        r->image = arena_new(call->arena, struct criv1_image);
        fill_image(call->arena, &image, r->image);
    }
}

void images_status(struct local *g, struct engine_call *call)
{
    start(g, call, status_run);
}

static void remove_run(struct job *job)
{
    struct engine_call *call = CONTAINER_OF(job, struct image_job, job)->call;
    const struct criv1_remove_image_request *q = call->request;
    RESPONSE(call, struct criv1_remove_image_response);
    struct str name = q->image ? q->image->image : STR_NULL;
    if (image_remove(job->g->images, name, &call->err) == -ERR_NOT_FOUND)
        err_clear(&call->err);
}

void images_remove(struct local *g, struct engine_call *call)
{
    start(g, call, remove_run);
}

static void fill_usage(struct arena *a, struct criv1_filesystem_usage *u, int64_t at_ns,
                       const char *path, uint64_t bytes, uint64_t inodes)
{
    u->timestamp = at_ns;
    u->fs_id = arena_new(a, struct criv1_filesystem_identifier);
    u->fs_id->mountpoint = arena_cstr(a, path);
    u->used_bytes = arena_new(a, struct criv1_u_int64_value);
    u->used_bytes->value = bytes;
    u->inodes_used = arena_new(a, struct criv1_u_int64_value);
    u->inodes_used->value = inodes;
}

static void fs_info_run(struct job *job)
{
    struct image_job *j = CONTAINER_OF(job, struct image_job, job);
    struct engine_call *call = j->call;
    struct criv1_image_fs_info_response *r = RESPONSE(call, struct criv1_image_fs_info_response);
    struct arena *a = call->arena;
    uint64_t bytes, inodes;
    if (image_usage(job->g->images, &bytes, &inodes, &call->err) < 0)
        return;
    fill_usage(a, list_add(a, &r->image_filesystems), j->at_ns,
               arena_fmt(a, "%s/images", job->g->root).p, bytes, inodes);
    const char *written = arena_fmt(a, "%s/snapshots", job->g->root).p;
    struct tree_usage u;
    if (tree_measure(AT_FDCWD, written, &u, &call->err) == 0)
        fill_usage(a, list_add(a, &r->container_filesystems), j->at_ns, written, u.bytes, u.inodes);
}

void images_fs_info(struct local *g, struct engine_call *call)
{
    start(g, call, fs_info_run);
}
