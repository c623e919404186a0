/* SPDX-License-Identifier: Apache-2.0 */
/* image_import: archives and folders become images. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "codec/json.h"
#include "engine/files.h"
#include "engine/images.h"
#include "engine/inflate.h"
#include "engine/layers.h"
#include "engine/pack.h"
#include "engine/unpack.h"

enum { IMPORT_NEST_MAX = 4 /* indexes within indexes */ };

struct import {
    struct image_store *store;
    const struct content *content;
    struct arena *a;
    struct reference ref;
    struct str name; /* the reference as text */
    struct err *e;
};

/* ---- copying blobs from a folder ---- */

/* Opens a file that the archive names, links followed but never out of the folder. */
static int open_inside(struct import *im, int dir, const char *path)
{
    int fd = open_in_root(dir, path);
    if (fd < 0)
        err_errno(im->e, errno, "open %s in the archive", path);
    return fd;
}

static int read_inside(struct import *im, int dir, const char *path, struct str *ret)
{
    CLEANUP(close_fd) int fd = open_inside(im, dir, path);
    char proc[32];
    if (fd < 0)
        return -(int)im->e->code;
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    return file_read(im->a, AT_FDCWD, proc, OCI_DOCUMENT_MAX, ret, im->e);
}

/* Stores the rest of fd as a blob; expected may be empty. */
static int store_fd(struct import *im, int fd, struct str expected, struct oci_blob *ret)
{
    struct blob_writer w;
    char digest[DIGEST_TEXT_LEN + 1];
    CLEANUP(free_ptr) char *chunk = xmalloc(INFLATE_CHUNK);
    int r = blob_begin(im->content, STR_NULL, UNPACK_BYTES_MAX, &w, im->e);
    if (r < 0)
        return r;
    ssize_t n = 0;
    while (r == 0 && (n = read(fd, chunk, INFLATE_CHUNK)) > 0)
        r = blob_add(&w, chunk, (size_t)n, im->e);
    if (n < 0)
        r = err_errno(im->e, errno, "read archive");
    if (r < 0) {
        blob_abort(&w);
        return r;
    }
    ret->size = (int64_t)w.size;
    r = blob_commit(&w, expected, -1, digest, im->e);
    ret->digest = arena_cstr(im->a, digest);
    return r;
}

static int store_oci_blob(struct import *im, int dir, const struct oci_blob *blob)
{
    uint64_t size;
    struct oci_blob stored;
    if (content_stat(im->content, blob->digest, &size) == 0)
        return 0;
    const char *path = arena_fmt(im->a, "blobs/sha256/%.*s", STR_ARG(digest_hex(blob->digest))).p;
    CLEANUP(close_fd) int fd = open_inside(im, dir, path);
    return fd < 0 ? -(int)im->e->code : store_fd(im, fd, blob->digest, &stored);
}

static int store_text(struct import *im, struct str text, const char *type, struct oci_blob *ret)
{
    ret->media_type = str_z(type);
    ret->size = (int64_t)text.n;
    return content_put(im->content, im->a, text, &ret->digest, im->e);
}

static int finish(struct import *im, struct str manifest, struct image *ret)
{
    return image_add(im->store, im->a, &im->ref, manifest, STR_NULL, ret, im->e);
}

/* ---- OCI image layout ---- */

static bool entry_is_named(const struct import *im, const struct oci_index_entry *entry)
{
    return str_eq(entry->full_name, im->name) || str_eq(entry->name, im->name) ||
           (im->ref.tag.n && str_eq(entry->name, im->ref.tag));
}

/* In the top index: the image that has the wanted name; else the one for this machine. */
static const struct oci_index_entry *choose(const struct import *im, const struct oci_index *index)
{
    struct oci_platform host = oci_platform_host();
    for (size_t i = 0; i < index->n; i++)
        if (entry_is_named(im, &index->v[i]))
            return &index->v[i];
    return oci_index_select(index, &host);
}

static int import_manifest(struct import *im, int dir, struct str text, struct str digest,
                           struct image *ret)
{
    struct oci_manifest m;
    struct str stored;
    int r = oci_manifest_parse(im->a, text, &m, im->e);
    if (r == 0)
        r = store_oci_blob(im, dir, &m.config);
    for (size_t i = 0; r == 0 && i < m.n_layers; i++)
        r = store_oci_blob(im, dir, &m.layers[i]);
    if (r == 0)
        r = content_put(im->content, im->a, text, &stored, im->e);
    if (r == 0 && !str_eq(stored, digest))
        r = err_set(im->e, ERR_INVALID, "manifest %.*s does not verify", STR_ARG(digest));
    return r < 0 ? r : finish(im, stored, ret);
}

static int import_layout(struct import *im, int dir, struct image *ret)
{
    struct str text, digest = STR_NULL;
    int r = read_inside(im, dir, "index.json", &text);
    for (int depth = 0; r == 0 && depth < IMPORT_NEST_MAX; depth++) {
        enum oci_kind kind = OCI_IS_INDEX;
        if (depth > 0 && (r = oci_kind_of(im->a, text, &kind, im->e)) < 0)
            return r;
        if (kind == OCI_IS_MANIFEST)
            return import_manifest(im, dir, text, digest, ret);
        struct oci_index index;
        if ((r = oci_index_parse(im->a, text, &index, im->e)) < 0)
            return r;
        const struct oci_index_entry *entry = choose(im, &index);
        if (!entry)
            return err_set(im->e, ERR_NOT_FOUND, "the archive has no image for this machine");
        digest = entry->blob.digest;
        r = read_inside(
            im, dir, arena_fmt(im->a, "blobs/sha256/%.*s", STR_ARG(digest_hex(digest))).p, &text);
    }
    return r < 0 ? r : err_set(im->e, ERR_INVALID, "the archive's indexes are nested too deeply");
}

/* ---- docker-archive ---- */

static bool has_tag(const struct import *im, const struct json *entry)
{
    const struct json *tags = json_getz(entry, "RepoTags");
    for (size_t i = 0; tags && tags->type == JSON_ARRAY && i < tags->array.n; i++) {
        struct err ignored = ERR_INIT(im->a);
        struct reference ref;
        if (reference_parse(im->a, json_str(tags->array.v[i]), &ref, &ignored) == 0 &&
            str_eq(reference_text(im->a, &ref), im->name))
            return true;
    }
    return false;
}

static int import_docker_entry(struct import *im, int dir, const struct json *entry,
                               struct image *ret)
{
    struct oci_manifest m = {0};
    struct str config = json_str(json_getz(entry, "Config")), text;
    const struct json *layers = json_getz(entry, "Layers");
    if (!config.n || !layers || layers->type != JSON_ARRAY || layers->array.n > LAYERS_MAX)
        return err_set(im->e, ERR_INVALID, "manifest.json has no Config or Layers");
    int r = read_inside(im, dir, arena_z(im->a, config), &text);
    if (r == 0)
        r = store_text(im, text, OCI_CONFIG_TYPE, &m.config);
    m.n_layers = layers->array.n;
    m.layers = arena_array(im->a, m.n_layers, struct oci_blob);
    for (size_t i = 0; r == 0 && i < m.n_layers; i++) {
        const char *path = arena_z(im->a, json_str(layers->array.v[i]));
        CLEANUP(close_fd) int fd = open_inside(im, dir, path);
        m.layers[i].media_type = STR(OCI_LAYER_TYPE);
        r = fd < 0 ? -(int)im->e->code : store_fd(im, fd, STR_NULL, &m.layers[i]);
    }
    struct oci_blob manifest;
    if (r == 0)
        r = store_text(im, oci_manifest_write(im->a, &m), OCI_MANIFEST_TYPE, &manifest);
    return r < 0 ? r : finish(im, manifest.digest, ret);
}

static int import_docker(struct import *im, int dir, struct image *ret)
{
    struct str text;
    struct json *doc;
    int r = read_inside(im, dir, "manifest.json", &text);
    if (r == 0 && json_parse(im->a, text, &doc, im->e) < 0)
        r = err_set(im->e, ERR_INVALID, "manifest.json: %.*s", STR_ARG(im->e->message));
    if (r < 0)
        return r;
    if (doc->type != JSON_ARRAY || !doc->array.n)
        return err_set(im->e, ERR_INVALID, "manifest.json names no image");
    const struct json *chosen = doc->array.v[0];
    for (size_t i = 0; i < doc->array.n; i++)
        if (has_tag(im, doc->array.v[i])) {
            chosen = doc->array.v[i];
            break;
        }
    return import_docker_entry(im, dir, chosen, ret);
}

/* ---- root filesystems ---- */

static int import_layer(struct import *im, struct oci_blob *layer, struct str diff_id,
                        struct image *ret)
{
    struct oci_platform host = oci_platform_host();
    struct str shell = STR("/bin/sh");
    struct str_list cmd = {&shell, 1};
    struct oci_manifest m = {.layers = layer, .n_layers = 1};
    struct oci_blob manifest;
    int r =
        store_text(im, oci_config_write(im->a, &host, diff_id, &cmd), OCI_CONFIG_TYPE, &m.config);
    if (r == 0)
        r = store_text(im, oci_manifest_write(im->a, &m), OCI_MANIFEST_TYPE, &manifest);
    return r < 0 ? r : finish(im, manifest.digest, ret);
}

static int import_rootfs(struct import *im, const char *path, struct image *ret)
{
    char diff_id[DIGEST_TEXT_LEN + 1], digest[DIGEST_TEXT_LEN + 1];
    uint64_t size;
    int r = pack_folder(im->content, path, diff_id, digest, &size, im->e);
    struct oci_blob layer = {STR(OCI_LAYER_TYPE "+zstd"), str_z(digest), (int64_t)size};
    return r < 0 ? r : import_layer(im, &layer, str_z(diff_id), ret);
}

static int import_rootfs_tar(struct import *im, int fd, struct image *ret)
{
    static const char *const types[] = {
        [INFLATE_PLAIN] = OCI_LAYER_TYPE,
        [INFLATE_GZIP] = OCI_LAYER_TYPE "+gzip",
        [INFLATE_ZSTD] = OCI_LAYER_TYPE "+zstd",
    };
    char diff_id[DIGEST_TEXT_LEN + 1];
    struct inflate in;
    struct oci_blob layer;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(im->e, errno, "rewind archive");
    int r = inflate_begin(&in, fd, UNPACK_BYTES_MAX, im->e);
    if (r < 0)
        return r;
    layer.media_type = str_z(types[in.kind]);
    r = inflate_digest(&in, diff_id, im->e);
    inflate_fini(&in);
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = err_errno(im->e, errno, "rewind archive");
    if (r == 0)
        r = store_fd(im, fd, STR_NULL, &layer);
    return r < 0 ? r : import_layer(im, &layer, str_z(diff_id), ret);
}

/* ---- what is it? ---- */

/* An archive of an image, unpacked or not, says so by one of two files. Positive: it is none. */
enum { NO_ARCHIVE = 1 };

static int import_archive(struct import *im, int dir, struct image *ret)
{
    if (faccessat(dir, "oci-layout", F_OK, 0) == 0 && faccessat(dir, "index.json", F_OK, 0) == 0)
        return import_layout(im, dir, ret);
    if (faccessat(dir, "manifest.json", F_OK, 0) == 0)
        return import_docker(im, dir, ret);
    return NO_ARCHIVE;
}

static int import_folder(struct import *im, const char *path, struct image *ret)
{
    CLEANUP(close_fd) int dir = dir_open(AT_FDCWD, path);
    if (dir < 0)
        return err_errno(im->e, errno, "open %s", path);
    int r = import_archive(im, dir, ret);
    return r == NO_ARCHIVE ? import_rootfs(im, path, ret) : r;
}

static int import_unpacked(struct import *im, int fd, const char *temp, struct image *ret)
{
    char diff_id[DIGEST_TEXT_LEN + 1];
    CLEANUP(close_fd) int dir = dir_open(AT_FDCWD, temp);
    if (dir < 0)
        return err_errno(im->e, errno, "open %s", temp);
    struct unpack how = {.mode = UNPACK_FILES, .target = dir};
    int r = unpack_tar(&how, fd, diff_id, im->e);
    return r < 0 ? r : import_archive(im, dir, ret);
}

static int import_tar(struct import *im, int fd, struct image *ret)
{
    CLEANUP(free_ptr) char *temp = xasprintf("%s/ingest/import-XXXXXX", im->content->root);
    if (!mkdtemp(temp))
        return err_errno(im->e, errno, "make folder %s", temp);
    int r = import_unpacked(im, fd, temp, ret);
    struct err ignored = ERR_INIT(im->a);
    (void)!tree_remove(AT_FDCWD, temp, &ignored);
    return r == NO_ARCHIVE ? import_rootfs_tar(im, fd, ret) : r;
}

static int import_path(struct import *im, const char *path, struct image *ret)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return errno == ENOENT ? err_set(im->e, ERR_NOT_FOUND, "%s not found", path)
                               : err_errno(im->e, errno, "stat %s", path);
    if (S_ISDIR(st.st_mode))
        return import_folder(im, path, ret);
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(im->e, errno, "open %s", path);
    return import_tar(im, fd, ret);
}

int image_import(struct image_store *s, struct arena *a, struct str name, const char *path,
                 struct image *ret, struct err *e)
{
    struct import im = {.store = s, .content = image_store_content(s), .a = a, .e = e};
    int r = reference_parse(a, name, &im.ref, e);
    if (r < 0)
        return r;
    if (!im.ref.tag.n)
        return err_set(e, ERR_BAD_REQUEST, "\"%.*s\": an import is named by a tag, not a digest",
                       STR_ARG(name));
    im.name = reference_text(a, &im.ref);
    int busy = image_busy_begin(s, e);
    if (busy < 0)
        return busy;
    r = import_path(&im, path, ret);
    image_busy_end(s, busy);
    return r < 0 ? err_wrap(e, "import %s", path) : 0;
}
