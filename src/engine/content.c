/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/content.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "engine/files.h"

/* ---- SHA-256 ---- */

void sha256_init(struct sha256 *h)
{
    h->ctx = EVP_MD_CTX_new();
    must(h->ctx && EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) == 1);
}

void sha256_add(struct sha256 *h, const void *p, size_t n)
{
    must(EVP_DigestUpdate(h->ctx, p, n) == 1);
}

static void digest_text(const unsigned char raw[32], char out[DIGEST_TEXT_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    memcpy(out, "sha256:", 7);
    for (size_t i = 0; i < 32; i++) {
        out[7 + 2 * i] = digits[raw[i] >> 4];
        out[8 + 2 * i] = digits[raw[i] & 15];
    }
    out[DIGEST_TEXT_LEN] = 0;
}

void sha256_end(struct sha256 *h, char out[DIGEST_TEXT_LEN + 1])
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    must(EVP_DigestFinal_ex(h->ctx, raw, NULL) == 1);
    digest_text(raw, out);
    sha256_drop(h);
}

void sha256_drop(struct sha256 *h)
{
    EVP_MD_CTX_free(h->ctx);
    h->ctx = NULL;
}

struct str sha256_text(struct arena *a, struct str bytes)
{
    char text[DIGEST_TEXT_LEN + 1];
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, bytes.p, bytes.n);
    sha256_end(&h, text);
    return arena_cstr(a, text);
}

/* ---- the store ---- */

static char *blob_path(const struct content *c, struct str digest)
{
    return xasprintf("%s/blobs/sha256/%.*s", c->root, STR_ARG(digest_hex(digest)));
}

int content_init(struct content *c, const char *root, struct err *e)
{
    CLEANUP(free_ptr) char *blobs = xasprintf("%s/blobs/sha256", root);
    CLEANUP(free_ptr) char *ingest = xasprintf("%s/ingest", root);
    int r = dir_make(blobs, 0700, e);
    if (r == 0)
        r = dir_make(ingest, 0700, e);
    if (r == 0)
        c->root = xstrdup(root);
    return r;
}

void content_fini(struct content *c)
{
    free(c->root);
    c->root = NULL;
}

int content_stat(const struct content *c, struct str digest, uint64_t *ret_size)
{
    CLEANUP(free_ptr) char *path = blob_path(c, digest);
    struct stat st;
    if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return -ERR_NOT_FOUND;
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

int content_open(const struct content *c, struct str digest, struct err *e)
{
    CLEANUP(free_ptr) char *path = blob_path(c, digest);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        err_set(e, ERR_NOT_FOUND, "blob %.*s not found", STR_ARG(digest));
    else if (fd < 0)
        err_errno(e, errno, "open blob %.*s", STR_ARG(digest));
    return fd;
}

int content_read(const struct content *c, struct arena *a, struct str digest, size_t max_bytes,
                 struct str *ret, struct err *e)
{
    CLEANUP(free_ptr) char *path = blob_path(c, digest);
    int r = file_read(a, AT_FDCWD, path, max_bytes, ret, e);
    if (r < 0)
        return err_wrap(e, "blob %.*s", STR_ARG(digest));
    if (!str_eq(sha256_text(a, *ret), digest))
        return err_set(e, ERR_INVALID, "blob %.*s is damaged on disk", STR_ARG(digest));
    return 0;
}

int content_remove(const struct content *c, struct str digest, struct err *e)
{
    CLEANUP(free_ptr) char *path = blob_path(c, digest);
    if (unlink(path) < 0 && errno != ENOENT)
        return err_errno(e, errno, "remove blob %.*s", STR_ARG(digest));
    return 0;
}

/* ---- writing ---- */

/* Hashes what an earlier attempt left, up to the limit. */
static int take_over(struct blob_writer *w, struct err *e)
{
    char chunk[65536];
    for (;;) {
        ssize_t n = read(w->fd, chunk, sizeof chunk);
        if (n < 0)
            return err_errno(e, errno, "read %s", w->path);
        if (n == 0)
            return 0;
        w->size += (uint64_t)n;
        if (w->size > w->size_max)
            return blob_restart(w, e);
        sha256_add(&w->hash, chunk, (size_t)n);
    }
}

static int open_private(struct blob_writer *w, struct err *e)
{
    w->path = xasprintf("%s/ingest/tmp-XXXXXX", w->content->root);
    w->fd = mkostemp(w->path, O_CLOEXEC);
    return w->fd < 0 ? err_errno(e, errno, "create %s", w->path) : 0;
}

/* Is the locked file still the one under this name? The writer before us may have published it. */
static bool still_named(int fd, const char *path)
{
    struct stat mine, named;
    return fstat(fd, &mine) == 0 && lstat(path, &named) == 0 && mine.st_ino == named.st_ino &&
           mine.st_dev == named.st_dev;
}

static int open_resumable(struct blob_writer *w, struct str digest, struct err *e)
{
    w->path = xasprintf("%s/ingest/sha256-%.*s", w->content->root, STR_ARG(digest_hex(digest)));
    w->fd = open(w->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->fd < 0)
        return err_errno(e, errno, "create %s", w->path);
    if (flock(w->fd, LOCK_EX | LOCK_NB) == 0 && still_named(w->fd, w->path))
        return 0;
    close_fd(&w->fd);
    return err_set(e, ERR_CONFLICT, "blob %.*s is being written by somebody else", STR_ARG(digest));
}

static void finish(struct blob_writer *w, bool unlink_it)
{
    if (unlink_it && w->path)
        unlink(w->path);
    close_fd(&w->fd);
    free(w->path);
    w->path = NULL;
    sha256_drop(&w->hash);
}

int blob_begin(const struct content *c, struct str expected, uint64_t size_max_bytes,
               struct blob_writer *w, struct err *e)
{
    *w = (struct blob_writer){.content = c, .fd = -1, .size_max = size_max_bytes};
    sha256_init(&w->hash);
    int r = expected.n ? open_resumable(w, expected, e) : open_private(w, e);
    if (r == 0 && expected.n)
        r = take_over(w, e);
    if (r < 0)
        finish(w, false);
    return r;
}

int blob_add(struct blob_writer *w, const void *p, size_t n, struct err *e)
{
    if (n > w->size_max - w->size)
        return err_set(e, ERR_LIMIT, "blob is larger than the %llu bytes announced or allowed",
                       (unsigned long long)w->size_max);
    sha256_add(&w->hash, p, n);
    w->size += n;
    const char *at = p;
    while (n) {
        ssize_t done = write(w->fd, at, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_errno(e, errno, "write %s", w->path);
        at += done;
        n -= (size_t)done;
    }
    return 0;
}

int blob_restart(struct blob_writer *w, struct err *e)
{
    if (ftruncate(w->fd, 0) < 0 || lseek(w->fd, 0, SEEK_SET) < 0)
        return err_errno(e, errno, "truncate %s", w->path);
    sha256_drop(&w->hash);
    sha256_init(&w->hash);
    w->size = 0;
    return 0;
}

static int publish(struct blob_writer *w, struct str digest, struct err *e)
{
    CLEANUP(free_ptr) char *path = blob_path(w->content, digest);
    CLEANUP(free_ptr) char *folder = xasprintf("%s/blobs/sha256", w->content->root);
    if (fsync(w->fd) < 0)
        return err_errno(e, errno, "sync %s", w->path);
    if (rename(w->path, path) < 0)
        return err_errno(e, errno, "rename %s", w->path);
    CLEANUP(close_fd) int dir = dir_open(AT_FDCWD, folder);
    return dir < 0 ? err_errno(e, errno, "open %s", folder) : dir_sync(dir, e);
}

int blob_commit(struct blob_writer *w, struct str expected, int64_t size_expected,
                char ret_digest[DIGEST_TEXT_LEN + 1], struct err *e)
{
    sha256_end(&w->hash, ret_digest);
    int r = 0;
    if (size_expected >= 0 && w->size != (uint64_t)size_expected)
        r = err_set(e, ERR_INVALID, "blob %.*s has %llu bytes, %lld were announced",
                    STR_ARG(expected), (unsigned long long)w->size, (long long)size_expected);
    else if (expected.n && !str_eqz(expected, ret_digest))
        r = err_set(e, ERR_INVALID, "blob does not verify: it is %s, not %.*s", ret_digest,
                    STR_ARG(expected));
    else
        r = publish(w, str_z(ret_digest), e);
    finish(w, r < 0);
    return r;
}

void blob_abort(struct blob_writer *w)
{
    finish(w, !w->keep);
}

int content_put(const struct content *c, struct arena *a, struct str bytes, struct str *ret_digest,
                struct err *e)
{
    struct blob_writer w;
    char digest[DIGEST_TEXT_LEN + 1];
    int r = blob_begin(c, STR_NULL, bytes.n, &w, e);
    if (r == 0 && (r = blob_add(&w, bytes.p, bytes.n, e)) < 0)
        blob_abort(&w);
    if (r == 0)
        r = blob_commit(&w, STR_NULL, (int64_t)bytes.n, digest, e);
    if (r == 0)
        *ret_digest = arena_cstr(a, digest);
    return r;
}

/* ---- sweeping ---- */

struct sweep {
    bool (*keep)(void *arg, struct str digest);
    void *arg;
    int64_t oldest_s;
};

static int sweep_blob(void *arg, int dir, const char *name)
{
    struct sweep *s = arg;
    char digest[DIGEST_TEXT_LEN + 1];
    int n = snprintf(digest, sizeof digest, "sha256:%s", name);
    bool ours = n == DIGEST_TEXT_LEN && digest_valid(str_z(digest));
    if (!ours || !s->keep(s->arg, str_z(digest)))
        unlinkat(dir, name, 0);
    return 0;
}

static int sweep_ingest(void *arg, int dir, const char *name)
{
    struct sweep *s = arg;
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_mtime > s->oldest_s)
        return 0;
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    int r = tree_remove(dir, name, &e);
    arena_fini(&a);
    return r;
}

int content_sweep(const struct content *c, bool (*keep)(void *arg, struct str digest), void *arg,
                  int64_t ingest_age_s_max, struct err *e)
{
    struct sweep s = {keep, arg, (int64_t)time(NULL) - ingest_age_s_max};
    CLEANUP(free_ptr) char *blobs = xasprintf("%s/blobs/sha256", c->root);
    CLEANUP(free_ptr) char *ingest = xasprintf("%s/ingest", c->root);
    int r = dir_each(AT_FDCWD, blobs, sweep_blob, &s, e);
    if (r < 0)
        return r;
    r = dir_each(AT_FDCWD, ingest, sweep_ingest, &s, e);
    return r < 0 ? err_set(e, ERR_IO, "could not remove an unfinished file in %s", ingest) : 0;
}
