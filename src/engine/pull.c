/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PullImage: one job on a worker for each image, however many ask for it; at most PULLS_MAX run
 * at a time, so that workers are left for what pods need meanwhile.
 */
#include "codec/base64.h"
#include "engine/local.h"

enum { PULLS_MAX = 2, PROGRESS_MS = 250, INDEX_NEST_MAX = 4 };

struct pull {
    struct job job;
    struct local *g;
    struct list link;  /* of local.pulls */
    struct list calls; /* who waits for it */
    struct arena arena;
    struct err err;
    struct reference ref;
    struct str name; /* the reference as text */
    struct registry_auth auth;
    struct registry_progress progress;
    struct registry *registry;
    _Atomic(const char *) what;
    struct timer timer; /* tells progress while somebody wants to know */
    struct image image;
    bool running, abandoned;
};

/* ---- the worker's part ---- */

/* From the reference to the manifest for this machine, through indexes. */
static int resolve(struct pull *p, struct str *ret_manifest, struct str *ret_top)
{
    struct str text, name = p->ref.digest.n ? p->ref.digest : p->ref.tag;
    struct oci_platform host = oci_platform_host();
    for (int depth = 0; depth < INDEX_NEST_MAX; depth++) {
        enum oci_kind kind;
        struct oci_index index;
        int r = registry_manifest(p->registry, name, &p->arena, &text, &p->err);
        if (r == 0)
            r = oci_kind_of(&p->arena, text, &kind, &p->err);
        if (r < 0)
            return r;
        if (depth == 0)
            *ret_top = sha256_text(&p->arena, text);
        if (kind == OCI_IS_MANIFEST) {
            *ret_manifest = text;
            return 0;
        }
        if ((r = oci_index_parse(&p->arena, text, &index, &p->err)) < 0)
            return r;
        const struct oci_index_entry *entry = oci_index_select(&index, &host);
        if (!entry)
            return err_set(&p->err, ERR_NOT_FOUND,
                           "no match for platform %.*s/%.*s in manifest: not found",
                           STR_ARG(host.os), STR_ARG(host.architecture));
        name = entry->blob.digest;
    }
    return err_set(&p->err, ERR_INVALID, "indexes are nested too deeply");
}

static int download(struct pull *p, struct str manifest)
{
    struct oci_manifest m;
    int r = oci_manifest_parse(&p->arena, manifest, &m, &p->err);
    if (r < 0)
        return r;
    struct oci_blob *blobs = arena_array(&p->arena, m.n_layers + 1, struct oci_blob);
    blobs[0] = m.config;
    if (blobs[0].size > OCI_DOCUMENT_MAX)
        return err_set(&p->err, ERR_INVALID, "the image's configuration is too large");
    for (size_t i = 0; i < m.n_layers; i++)
        blobs[i + 1] = m.layers[i];
    return registry_blobs(p->registry, image_store_content(p->g->images), blobs, m.n_layers + 1,
                          &p->err);
}

static int pull(struct pull *p)
{
    struct str manifest, top, digest;
    int r = resolve(p, &manifest, &top);
    if (r < 0)
        return r;
    atomic_store(&p->what, "downloading");
    r = download(p, manifest);
    if (r == 0)
        r = content_put(image_store_content(p->g->images), &p->arena, manifest, &digest, &p->err);
    if (r < 0)
        return r;
    atomic_store(&p->what, "unpacking");
    return image_add(p->g->images, &p->arena, &p->ref, digest, top, &p->image, &p->err);
}

static void pull_run(struct job *job)
{
    struct pull *p = CONTAINER_OF(job, struct pull, job);
    int busy = image_busy_begin(p->g->images, &p->err);
    if (busy >= 0) {
        (void)!pull(p);
        image_busy_end(p->g->images, busy);
    }
    if (p->err.code)
        err_wrap(&p->err, "failed to pull image \"%.*s\"", STR_ARG(p->name));
}

/* ---- the loop's part ---- */

static void start_next(struct local *g);

static void tell_progress(struct timer *t)
{
    struct pull *p = CONTAINER_OF(t, struct pull, timer);
    struct engine_progress now = {
        .bytes_done = atomic_load(&p->progress.bytes_done),
        .bytes_total = atomic_load(&p->progress.bytes_total),
        .what = atomic_load(&p->what),
    };
    struct engine_call *c, *next;
    bool wanted = false;
    list_each_safe (c, next, &p->calls, link) {
        if (!c->progress)
            continue;
        wanted = true;
        c->progress(c, &now);
    }
    if (wanted)
        timer_start(p->g->loop, &p->timer, PROGRESS_MS, tell_progress);
}

static void answer(struct pull *p, struct engine_call *c)
{
    if (p->err.code)
        err_set(&c->err, p->err.code, "%.*s", STR_ARG(p->err.message));
    else
        RESPONSE(c, struct criv1_pull_image_response)->image_ref = arena_str(c->arena, p->image.id);
    call_done(p->g, c);
}

static void pull_free(struct pull *p)
{
    struct list *link;
    while ((link = list_pop_front(&p->calls)))
        answer(p, list_entry(link, struct engine_call, link));
    timer_stop(&p->timer);
    list_remove(&p->link);
    registry_close(p->registry);
    arena_fini(&p->arena);
    free(p);
}

static void pull_done(struct job *job)
{
    struct pull *p = CONTAINER_OF(job, struct pull, job);
    struct local *g = p->g;
    pull_free(p);
    start_next(g);
}

static void start_next(struct local *g)
{
    struct pull *p, *waiting = NULL;
    int running = 0;
    list_each (p, &g->pulls, link) {
        running += p->running;
        if (!p->running && !waiting)
            waiting = p;
    }
    if (!waiting || running >= PULLS_MAX)
        return;
    waiting->running = true;
    job_start(g, &waiting->job, pull_run, pull_done);
}

static struct str copy(struct arena *a, struct str s)
{
    return s.n ? arena_str(a, s) : STR_NULL;
}

/* "auth" is user:password in base64. */
static int fill_auth(struct pull *p, const struct criv1_auth_config *c)
{
    struct str plain;
    if (!c)
        return 0;
    p->auth.username = copy(&p->arena, c->username);
    p->auth.password = copy(&p->arena, c->password);
    p->auth.identity_token = copy(&p->arena, c->identity_token);
    p->auth.registry_token = copy(&p->arena, c->registry_token);
    if (p->auth.username.n || !c->auth.n)
        return 0;
    if (!base64_decode(&p->arena, c->auth, &plain) ||
        !str_cut(plain, ':', &p->auth.username, &p->auth.password))
        return err_set(&p->err, ERR_BAD_REQUEST, "invalid auth in pull credentials");
    while (str_chop(&p->auth.password, STR("\0")))
        ;
    return 0;
}

static bool same_auth(const struct registry_auth *a, const struct registry_auth *b)
{
    return str_eq(a->username, b->username) && str_eq(a->password, b->password) &&
           str_eq(a->identity_token, b->identity_token) &&
           str_eq(a->registry_token, b->registry_token);
}

static struct pull *find_same(struct local *g, const struct pull *wanted)
{
    struct pull *p;
    list_each (p, &g->pulls, link) {
        if (!p->abandoned && str_eq(p->name, wanted->name) && same_auth(&p->auth, &wanted->auth))
            return p;
    }
    return NULL;
}

static struct pull *pull_new(struct local *g)
{
    struct pull *p = xcalloc(1, sizeof *p);
    p->g = g;
    p->arena = ARENA_INIT;
    p->err = ERR_INIT(&p->arena);
    list_init(&p->calls);
    atomic_store(&p->what, "resolving");
    return p;
}

static void drop_new(struct pull *p)
{
    arena_fini(&p->arena);
    free(p);
}

static int parse_request(struct pull *p, const struct criv1_pull_image_request *q)
{
    if (!q->image || !q->image->image.n)
        return err_set(&p->err, ERR_BAD_REQUEST, "no image is given");
    int r = reference_parse(&p->arena, q->image->image, &p->ref, &p->err);
    if (r == 0)
        r = fill_auth(p, q->auth);
    p->name = r == 0 ? reference_text(&p->arena, &p->ref) : STR_NULL;
    return r;
}

void image_pull(struct local *g, struct engine_call *call)
{
    struct pull *p = pull_new(g), *same;
    if (parse_request(p, call->request) < 0) {
        err_set(&call->err, p->err.code, "%.*s", STR_ARG(p->err.message));
        drop_new(p);
        call_done(g, call);
        return;
    }
    same = find_same(g, p);
    if (same) {
        drop_new(p);
        p = same;
    } else {
        p->registry = registry_open(&p->ref, &g->trust, &p->auth, &p->progress);
        list_push_back(&g->pulls, &p->link);
    }
    list_push_back(&p->calls, &call->link);
    if (call->progress && !timer_active(&p->timer))
        timer_start(g->loop, &p->timer, 0, tell_progress);
    start_next(g);
}

/* Nobody waits for it any more. */
static void abandon(struct pull *p)
{
    p->abandoned = true;
    registry_cancel(p->registry);
    if (!p->running)
        pull_free(p);
}

void image_pull_cancel(struct local *g, struct engine_call *call)
{
    struct pull *p, *next;
    list_each_safe (p, next, &g->pulls, link) {
        struct engine_call *c;
        bool ours = false;
        list_each (c, &p->calls, link)
            ours |= c == call;
        if (!ours)
            continue;
        err_set(&call->err, ERR_CANCELED, "canceled");
        call_done(g, call); /* leaves the list */
        if (list_empty(&p->calls))
            abandon(p);
        return;
    }
}

void image_pulls_cancel_all(struct local *g)
{
    struct pull *p, *next;
    list_each_safe (p, next, &g->pulls, link) {
        struct list *link;
        while ((link = list_pop_front(&p->calls))) {
            struct engine_call *c = list_entry(link, struct engine_call, link);
            err_set(&c->err, ERR_CANCELED, "the engine is being closed");
            call_done(g, c);
        }
        timer_stop(&p->timer);
        abandon(p);
    }
}
