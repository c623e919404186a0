/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/images.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/map.h"
#include "codec/json.h"
#include "engine/files.h"
#include "engine/layers.h"

enum {
    INDEX_BYTES_MAX = 64 << 20,
    ID_PREFIX_MIN = 12,
    INGEST_AGE_S_MAX = 24 * 3600, /* unfinished downloads may be resumed for a day */
    CHAINS_BYTES_MAX = LAYERS_MAX * (DIGEST_TEXT_LEN + 1),
};

struct image_store {
    struct content content;
    char *containers; /* folder of the containers, whose `layers` files name chain ids */
    char *index_path;
    pthread_mutex_t mutex; /* over the rest */
    struct arena arena;    /* the index in memory */
    struct image *v;
    size_t n;
    struct stat seen; /* of index.json when it was read */
};

/* ---- the index ---- */

static void read_strings(struct arena *a, const struct json *v, struct str_list *ret)
{
    for (size_t i = 0; v && v->type == JSON_ARRAY && i < v->array.n; i++)
        str_list_push(a, ret, json_str(v->array.v[i]));
}

static bool read_image(struct arena *a, const struct json *v, struct image *ret)
{
    int64_t size = 0;
    *ret = (struct image){.id = json_str(json_getz(v, "id")),
                          .manifest = json_str(json_getz(v, "manifest")),
                          .user = json_str(json_getz(v, "user"))};
    const struct json *pinned = json_getz(v, "pinned");
    ret->pinned = pinned && pinned->type == JSON_BOOL && pinned->boolean;
    read_strings(a, json_getz(v, "tags"), &ret->tags);
    read_strings(a, json_getz(v, "digests"), &ret->digests);
    read_strings(a, json_getz(v, "layers"), &ret->layers);
    bool ok = json_i64(json_getz(v, "size"), &size) && size >= 0;
    ret->size = (uint64_t)size;
    LIST_EACH (layer, &ret->layers)
        ok &= digest_valid(*layer);
    return ok && digest_valid(ret->id) && digest_valid(ret->manifest);
}

static int parse_index(struct image_store *s, struct str text, struct err *e)
{
    struct json *doc;
    if (json_parse(&s->arena, text, &doc, e) < 0)
        return err_set(e, ERR_INVALID, "%s is damaged: %.*s", s->index_path, STR_ARG(e->message));
    const struct json *list = json_getz(doc, "images");
    if (!list || list->type != JSON_ARRAY || list->array.n > IMAGES_MAX)
        return err_set(e, ERR_INVALID, "%s is damaged: no list of images", s->index_path);
    struct image *v = arena_array(&s->arena, list->array.n, struct image);
    for (size_t i = 0; i < list->array.n; i++)
        if (!read_image(&s->arena, list->array.v[i], &v[i]))
            return err_set(e, ERR_INVALID, "%s is damaged: image %zu", s->index_path, i);
    s->v = v;
    s->n = list->array.n;
    return 0;
}

/* Reads index.json when it is not the one seen last. With the mutex. */
static int refresh(struct image_store *s, struct err *e)
{
    struct stat st;
    struct str text;
    if (stat(s->index_path, &st) < 0) {
        if (errno != ENOENT)
            return err_errno(e, errno, "stat %s", s->index_path);
        s->n = 0;
        return 0;
    }
    if (st.st_ino == s->seen.st_ino && st.st_size == s->seen.st_size &&
        st.st_mtim.tv_sec == s->seen.st_mtim.tv_sec &&
        st.st_mtim.tv_nsec == s->seen.st_mtim.tv_nsec)
        return 0;
    s->seen = (struct stat){0};
    s->n = 0;
    arena_reset(&s->arena);
    int r = file_read(&s->arena, AT_FDCWD, s->index_path, INDEX_BYTES_MAX, &text, e);
    if (r == 0)
        r = parse_index(s, text, e);
    if (r == 0)
        s->seen = st;
    return r;
}

static void put_strings(struct buf *b, const char *name, const struct str_list *l)
{
    buf_fmt(b, ",\n\"%s\":[", name);
    for (size_t i = 0; i < l->n; i++) {
        buf_z(b, i ? "," : "");
        json_put_string(b, l->v[i]);
    }
    buf_c(b, ']');
}

static void put_image(struct buf *b, const struct image *image)
{
    buf_fmt(b, "{\"id\":\"%.*s\",\"manifest\":\"%.*s\",\"size\":%llu,\"pinned\":%s,\"user\":",
            STR_ARG(image->id), STR_ARG(image->manifest), (unsigned long long)image->size,
            image->pinned ? "true" : "false");
    json_put_string(b, image->user);
    put_strings(b, "tags", &image->tags);
    put_strings(b, "digests", &image->digests);
    put_strings(b, "layers", &image->layers);
    buf_c(b, '}');
}

static int write_index(struct image_store *s, const struct image *v, size_t n, struct err *e)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(INDEX_BYTES_MAX);
    buf_z(&b, "{\"images\":[\n");
    for (size_t i = 0; i < n; i++) {
        buf_z(&b, i ? ",\n" : "");
        put_image(&b, &v[i]);
    }
    buf_z(&b, "\n]}\n");
    if (b.failed || n > IMAGES_MAX)
        return err_set(e, ERR_LIMIT, "too many images in %s", s->index_path);
    return file_write(AT_FDCWD, s->index_path, buf_view(&b), 0600, FILE_DURABLE, e);
}

/* ---- locks ---- */

static void unlock(pthread_mutex_t **m)
{
    pthread_mutex_unlock(*m);
}

#define LOCKED(store)                                                                              \
    CLEANUP(unlock) pthread_mutex_t *held_ = &(store)->mutex;                                      \
    pthread_mutex_lock(held_)

/* A file lock among processes and threads: each taker has its own open file. */
static int lock_file(const struct image_store *s, const char *name, int how, struct err *e)
{
    CLEANUP(free_ptr) char *path = xasprintf("%s/%s", s->content.root, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "open %s", path);
    while (flock(fd, how) < 0) {
        if (errno == EINTR)
            continue;
        int why = errno;
        close(fd);
        return why == EWOULDBLOCK ? err_set(e, ERR_CONFLICT, "%s is held", path)
                                  : err_errno(e, why, "lock %s", path);
    }
    return fd;
}

int image_busy_begin(struct image_store *s, struct err *e)
{
    return lock_file(s, "busy", LOCK_SH, e);
}

void image_busy_end(struct image_store *s, int token)
{
    close(token);
}

/* ---- opening ---- */

int image_store_open(const char *engine_root, struct image_store **ret, struct err *e)
{
    struct image_store *s = xcalloc(1, sizeof *s);
    CLEANUP(free_ptr) char *root = xasprintf("%s/images", engine_root);
    arena_init(&s->arena, 2 * (size_t)INDEX_BYTES_MAX + MIB(256));
    pthread_mutex_init(&s->mutex, NULL);
    s->containers = xasprintf("%s/run/containers", engine_root);
    s->index_path = xasprintf("%s/index.json", root);
    int r = content_init(&s->content, root, e);
    if (r == 0)
        r = refresh(s, e);
    if (r < 0) {
        image_store_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void image_store_close(struct image_store *s)
{
    content_fini(&s->content);
    arena_fini(&s->arena);
    pthread_mutex_destroy(&s->mutex);
    free(s->containers);
    free(s->index_path);
    free(s);
}

const struct content *image_store_content(const struct image_store *s)
{
    return &s->content;
}

/* ---- reading ---- */

static struct str_list copy_strings(struct arena *a, const struct str_list *l)
{
    struct str_list copy = {0};
    LIST_EACH (item, l)
        str_list_push(a, &copy, arena_str(a, *item));
    return copy;
}

static struct image copy_image(struct arena *a, const struct image *image)
{
    struct image copy = *image;
    copy.id = arena_str(a, image->id);
    copy.manifest = arena_str(a, image->manifest);
    copy.user = arena_str(a, image->user);
    copy.tags = copy_strings(a, &image->tags);
    copy.digests = copy_strings(a, &image->digests);
    copy.layers = copy_strings(a, &image->layers);
    return copy;
}

int image_list(struct image_store *s, struct arena *a, struct image **ret_v, size_t *ret_n,
               struct err *e)
{
    LOCKED(s);
    int r = refresh(s, e);
    if (r < 0)
        return r;
    *ret_n = s->n;
    *ret_v = arena_array(a, s->n, struct image);
    for (size_t i = 0; i < s->n; i++)
        (*ret_v)[i] = copy_image(a, &s->v[i]);
    return 0;
}

static bool id_matches(struct str id, struct str name)
{
    if (digest_valid(name))
        return str_eq(id, name);
    return name.n >= ID_PREFIX_MIN && str_has_prefix(str_sub(id, 7, id.n), name);
}

/* The image with that name or id, or NULL. With the mutex. */
static struct image *find(struct image_store *s, struct arena *a, struct str name)
{
    struct err ignored = ERR_INIT(a);
    struct reference ref;
    bool named = !digest_valid(name) && reference_parse(a, name, &ref, &ignored) == 0;
    struct str text = named ? reference_text(a, &ref) : STR_NULL;
    for (size_t i = 0; named && i < s->n; i++)
        if (str_list_has(&s->v[i].tags, text) || str_list_has(&s->v[i].digests, text))
            return &s->v[i];
    for (size_t i = 0; i < s->n; i++)
        if (id_matches(s->v[i].id, name))
            return &s->v[i];
    return NULL;
}

int image_find(struct image_store *s, struct arena *a, struct str name, struct image *ret,
               struct err *e)
{
    LOCKED(s);
    int r = refresh(s, e);
    if (r < 0)
        return r;
    const struct image *image = find(s, a, name);
    if (!image)
        return err_set(e, ERR_NOT_FOUND, "image \"%.*s\" not found", STR_ARG(name));
    *ret = copy_image(a, image);
    return 0;
}

int image_config(struct image_store *s, struct arena *a, const struct image *image,
                 struct oci_config *ret, struct err *e)
{
    struct str text;
    int r = content_read(&s->content, a, image->id, OCI_DOCUMENT_MAX, &text, e);
    return r < 0 ? r : oci_config_parse(a, text, ret, e);
}

/* ---- adding ---- */

static int read_manifest(struct image_store *s, struct arena *a, struct str digest,
                         struct oci_manifest *ret, uint64_t *ret_size, struct err *e)
{
    struct str text;
    int r = content_read(&s->content, a, digest, OCI_DOCUMENT_MAX, &text, e);
    if (r == 0)
        r = oci_manifest_parse(a, text, ret, e);
    if (r == 0 && ret_size)
        *ret_size = text.n;
    return r;
}

/* Fills in what the manifest and the configuration say, and unpacks the layers. */
static int prepare(struct image_store *s, struct arena *a, struct str manifest_digest,
                   struct image *ret, struct err *e)
{
    struct oci_manifest m;
    struct oci_config config;
    int r = read_manifest(s, a, manifest_digest, &m, &ret->size, e);
    if (r < 0)
        return r;
    ret->manifest = manifest_digest;
    ret->id = m.config.digest;
    if ((r = image_config(s, a, ret, &config, e)) < 0)
        return r;
    if (config.diff_ids.n != m.n_layers)
        return err_set(e, ERR_INVALID,
                       "invalid image: the configuration has %zu layers, the manifest %zu",
                       config.diff_ids.n, m.n_layers);
    struct str *chain = arena_array(a, m.n_layers, struct str);
    layers_chain(a, config.diff_ids.v, m.n_layers, chain);
    ret->size += (uint64_t)m.config.size;
    ret->user = config.user;
    for (size_t i = 0; i < m.n_layers; i++) {
        r = layers_unpack(&s->content, m.layers[i].digest, config.diff_ids.v[i], chain, i + 1, e);
        if (r < 0)
            return r;
        ret->size += (uint64_t)m.layers[i].size;
        str_list_push(a, &ret->layers, chain[i]);
    }
    return 0;
}

static void drop_string(struct str_list *l, struct str s)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++)
        if (!str_eq(l->v[i], s))
            l->v[kept++] = l->v[i];
    l->n = kept;
}

static void add_string(struct arena *a, struct str_list *l, struct str s)
{
    if (s.n && !str_list_has(l, s))
        str_list_push(a, l, s);
}

/* Puts the image in the index; its names leave all others. With mutex and lock. */
static int record(struct image_store *s, struct arena *a, struct image *image, struct err *e)
{
    int r = refresh(s, e);
    if (r < 0)
        return r;
    struct image *v = arena_array(a, s->n + 1, struct image);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        v[n] = copy_image(a, &s->v[i]);
        LIST_EACH (tag, &image->tags)
            drop_string(&v[n].tags, *tag);
        if (!str_eq(v[n].id, image->id)) {
            n++;
            continue;
        }
        LIST_EACH (tag, &v[n].tags)
            add_string(a, &image->tags, *tag);
        LIST_EACH (digest, &v[n].digests)
            add_string(a, &image->digests, *digest);
        image->pinned |= v[n].pinned;
    }
    v[n++] = *image;
    return write_index(s, v, n, e);
}

int image_add(struct image_store *s, struct arena *a, const struct reference *ref,
              struct str manifest_digest, struct str repo_digest, struct image *ret, struct err *e)
{
    *ret = (struct image){0};
    struct str name = reference_name(a, ref);
    int r = prepare(s, a, manifest_digest, ret, e);
    if (r < 0)
        return r;
    if (ref->tag.n)
        add_string(a, &ret->tags, arena_fmt(a, "%.*s:%.*s", STR_ARG(name), STR_ARG(ref->tag)));
    if (repo_digest.n)
        add_string(a, &ret->digests,
                   arena_fmt(a, "%.*s@%.*s", STR_ARG(name), STR_ARG(repo_digest)));
    CLEANUP(close_fd) int lock = lock_file(s, "lock", LOCK_EX, e);
    if (lock < 0)
        return lock;
    LOCKED(s);
    return record(s, a, ret, e);
}

/* ---- removing ---- */

static int forget(struct image_store *s, struct arena *a, struct str name, struct err *e)
{
    CLEANUP(close_fd) int lock = lock_file(s, "lock", LOCK_EX, e);
    if (lock < 0)
        return lock;
    LOCKED(s);
    int r = refresh(s, e);
    if (r < 0)
        return r;
    const struct image *gone = find(s, a, name);
    if (!gone)
        return err_set(e, ERR_NOT_FOUND, "image \"%.*s\" not found", STR_ARG(name));
    struct image *v = arena_array(a, s->n, struct image);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (&s->v[i] != gone)
            v[n++] = s->v[i];
    return write_index(s, v, n, e);
}

int image_remove(struct image_store *s, struct str name, struct err *e)
{
    struct arena a = ARENA_INIT;
    int r = forget(s, &a, name, e);
    arena_fini(&a);
    return r < 0 ? r : image_sweep(s, e);
}

/* ---- sweeping ---- */

struct needed {
    struct image_store *store;
    struct arena arena;
    struct map blobs, chains; /* digests; the value means nothing */
};

static void need(struct needed *n, struct map *m, struct str digest)
{
    map_put(m, digest, n);
}

static bool keep_blob(void *arg, struct str digest)
{
    return map_has(&((struct needed *)arg)->blobs, digest);
}

static bool keep_chain(void *arg, struct str chain)
{
    return map_has(&((struct needed *)arg)->chains, chain);
}

static int need_of_container(void *arg, int dir, const char *name)
{
    struct needed *n = arg;
    struct err ignored = ERR_INIT(&n->arena);
    struct str text, line;
    const char *path = arena_fmt(&n->arena, "%s/layers", name).p;
    if (file_read(&n->arena, dir, path, CHAINS_BYTES_MAX, &text, &ignored) < 0)
        return 0;
    while (str_next(&text, '\n', &line))
        if (line.n)
            need(n, &n->chains, line);
    return 0;
}

/* An image whose manifest is gone or damaged needs nothing more than what the index says. */
static void need_of_image(struct needed *n, const struct image *image)
{
    struct err ignored = ERR_INIT(&n->arena);
    struct oci_manifest m;
    need(n, &n->blobs, image->manifest);
    need(n, &n->blobs, image->id);
    LIST_EACH (chain, &image->layers)
        need(n, &n->chains, *chain);
    if (read_manifest(n->store, &n->arena, image->manifest, &m, NULL, &ignored) < 0)
        return;
    for (size_t i = 0; i < m.n_layers; i++)
        need(n, &n->blobs, m.layers[i].digest);
}

static int sweep(struct needed *n, struct err *e)
{
    struct image *v;
    size_t count;
    int r = image_list(n->store, &n->arena, &v, &count, e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        need_of_image(n, &v[i]);
    if ((r = dir_each(AT_FDCWD, n->store->containers, need_of_container, n, e)) < 0)
        return r;
    if ((r = content_sweep(&n->store->content, keep_blob, n, INGEST_AGE_S_MAX, e)) < 0)
        return r;
    return layers_sweep(&n->store->content, keep_chain, n, e);
}

int image_sweep(struct image_store *s, struct err *e)
{
    CLEANUP(close_fd) int busy = lock_file(s, "busy", LOCK_EX | LOCK_NB, e);
    if (busy == -ERR_CONFLICT) {
        err_clear(e);
        return 0;
    }
    if (busy < 0)
        return busy;
    struct needed n = {.store = s, .arena = ARENA_INIT};
    int r = sweep(&n, e);
    map_fini(&n.blobs);
    map_fini(&n.chains);
    arena_fini(&n.arena);
    return r;
}

struct usage_sum {
    const struct content *content;
    struct tree_usage total;
};

static int add_layer(void *arg, int dir, const char *name)
{
    struct usage_sum *sum = arg;
    char chain[DIGEST_TEXT_LEN + 1];
    uint64_t bytes, inodes;
    int n = snprintf(chain, sizeof chain, "sha256:%s", name);
    if (n == DIGEST_TEXT_LEN && digest_valid(str_z(chain)) &&
        layers_usage(sum->content, str_z(chain), &bytes, &inodes) == 0) {
        sum->total.bytes += bytes;
        sum->total.inodes += inodes;
    }
    return 0;
}

/* Layers do not change: what they use was counted when they were unpacked. */
int image_usage(struct image_store *s, uint64_t *ret_bytes, uint64_t *ret_inodes, struct err *e)
{
    struct usage_sum sum = {.content = &s->content};
    CLEANUP(free_ptr) char *blobs = xasprintf("%s/blobs", s->content.root);
    CLEANUP(free_ptr) char *layers = xasprintf("%s/layers", s->content.root);
    int r = tree_measure(AT_FDCWD, blobs, &sum.total, e);
    if (r == 0)
        r = dir_each(AT_FDCWD, layers, add_layer, &sum, e);
    *ret_bytes = sum.total.bytes;
    *ret_inodes = sum.total.inodes;
    return r;
}
