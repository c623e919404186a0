/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>
#include <zstd.h>

#include "engine/files.h"
#include "engine/unpack.h"

enum { CHUNK = 128 << 10 };

struct pack {
    struct archive *tar, *disk; /* disk: reads attributes only */
    struct archive_entry_linkresolver *links;
    struct blob_writer blob;
    struct sha256 diff;
    ZSTD_CCtx *zstd;
    char *out; /* CHUNK bytes */
    dev_t device;
    struct err *e;
    bool failed; /* e is set, by the stream */
};

/* ---- the stream: tar bytes are hashed, compressed and stored ---- */

static int compress(struct pack *p, const void *bytes, size_t n, ZSTD_EndDirective how)
{
    ZSTD_inBuffer in = {bytes, n, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {p->out, CHUNK, 0};
        left = ZSTD_compressStream2(p->zstd, &out, &in, how);
        if (ZSTD_isError(left))
            return err_set(p->e, ERR_INTERNAL, "zstd: %s", ZSTD_getErrorName(left));
        int r = blob_add(&p->blob, p->out, out.pos, p->e);
        if (r < 0)
            return r;
    } while (how == ZSTD_e_end ? left != 0 : in.pos < in.size);
    return 0;
}

static la_ssize_t take(struct archive *a, void *arg, const void *bytes, size_t n)
{
    struct pack *p = arg;
    sha256_add(&p->diff, bytes, n);
    if (compress(p, bytes, n, ZSTD_e_continue) < 0) {
        p->failed = true;
        archive_set_error(a, EIO, "store");
        return -1;
    }
    return (la_ssize_t)n;
}

static int tar_failed(struct pack *p, const char *path)
{
    return p->failed ? -(int)p->e->code
                     : err_set(p->e, ERR_IO, "pack %s: %s", path, archive_error_string(p->tar));
}

/* ---- the folder ---- */

static int put_data(struct pack *p, int fd, const char *path, uint64_t size)
{
    CLEANUP(free_ptr) char *chunk = xmalloc(CHUNK);
    while (size) {
        ssize_t n = read(fd, chunk, MIN((uint64_t)CHUNK, size));
        if (n < 0)
            return err_errno(p->e, errno, "read %s", path);
        if (n == 0)
            return err_set(p->e, ERR_IO, "%s shrank while it was read", path);
        if (archive_write_data(p->tar, chunk, (size_t)n) != n)
            return tar_failed(p, path);
        size -= (uint64_t)n;
    }
    return 0;
}

static void clear_times(struct archive_entry *entry)
{
    archive_entry_unset_atime(entry);
    archive_entry_unset_ctime(entry);
    archive_entry_unset_birthtime(entry);
}

/* Names of users stay out: the image has its own. */
static int fill_entry(struct pack *p, struct archive_entry *entry, int dir, const char *name,
                      const char *path, const struct stat *st)
{
    char proc[512];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d/%s", dir, name);
    archive_entry_copy_sourcepath(entry, proc);
    archive_entry_copy_pathname(entry, proc);
    if (archive_read_disk_entry_from_file(p->disk, entry, -1, st) < ARCHIVE_WARN)
        return err_set(p->e, ERR_IO, "read %s: %s", path, archive_error_string(p->disk));
    archive_entry_copy_pathname(entry, path);
    archive_entry_copy_uname(entry, NULL);
    archive_entry_copy_gname(entry, NULL);
    archive_entry_set_fflags(entry, 0, 0);
    archive_entry_acl_clear(entry);
    archive_entry_sparse_clear(entry);
    clear_times(entry);
    return 0;
}

static int put_entry(struct pack *p, struct archive_entry **entry, int fd, const char *path)
{
    struct archive_entry *later = NULL;
    archive_entry_linkify(p->links, entry, &later);
    must(!later); /* that strategy is not chosen */
    if (archive_write_header(p->tar, *entry) < ARCHIVE_WARN)
        return tar_failed(p, path);
    int64_t size = archive_entry_size(*entry);
    return fd >= 0 && size > 0 ? put_data(p, fd, path, (uint64_t)size) : 0;
}

static int pack_one(struct pack *p, int dir, const char *name, const char *path,
                    const struct stat *st)
{
    CLEANUP(close_fd) int fd = -1;
    if (S_ISREG(st->st_mode)) {
        fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            return err_errno(p->e, errno, "open %s", path);
    }
    struct archive_entry *entry = archive_entry_new();
    int r = fill_entry(p, entry, dir, name, path, st);
    if (r == 0)
        r = put_entry(p, &entry, fd, path);
    archive_entry_free(entry);
    return r;
}

static int pack_content(struct pack *p, int fd, const char *path, unsigned depth);

static int pack_name(struct pack *p, int dir, const char *name, const char *path, unsigned depth)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_errno(p->e, errno, "stat %s", path);
    if (S_ISSOCK(st.st_mode))
        return 0;
    int r = pack_one(p, dir, name, path, &st);
    if (r < 0 || !S_ISDIR(st.st_mode) || st.st_dev != p->device)
        return r;
    if (depth >= PACK_DEPTH_MAX)
        return err_set(p->e, ERR_LIMIT, "%s is nested too deeply", path);
    CLEANUP(close_fd) int fd = dir_open(dir, name);
    if (fd < 0)
        return err_errno(p->e, errno, "open %s", path);
    return pack_content(p, fd, path, depth + 1);
}

static int is_name(const struct dirent *d)
{
    return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int pack_content(struct pack *p, int fd, const char *path, unsigned depth)
{
    struct dirent **names;
    int n = scandirat(fd, ".", &names, is_name, by_name), r = 0;
    if (n < 0)
        return err_errno(p->e, errno, "read %s", path);
    for (int i = 0; i < n; i++) {
        CLEANUP(free_ptr)
        char *sub = xasprintf("%s%s%s", path, *path ? "/" : "", names[i]->d_name);
        if (r == 0 && strlen(sub) >= UNPACK_PATH_MAX)
            r = err_set(p->e, ERR_LIMIT, "a path below %s is too long", path);
        if (r == 0)
            r = pack_name(p, fd, names[i]->d_name, sub, depth);
        free(names[i]);
    }
    free(names);
    return r;
}

static void begin(struct pack *p)
{
    p->tar = archive_write_new();
    p->disk = archive_read_disk_new();
    p->links = archive_entry_linkresolver_new();
    p->zstd = ZSTD_createCCtx();
    p->out = xmalloc(CHUNK);
    sha256_init(&p->diff);
    must(p->tar && p->disk && p->links && p->zstd);
    ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, 1);
    archive_entry_linkresolver_set_strategy(p->links, ARCHIVE_FORMAT_TAR);
    archive_read_disk_set_symlink_physical(p->disk);
    archive_write_set_format_pax_restricted(p->tar);
    archive_write_set_bytes_per_block(p->tar, CHUNK);
    archive_write_set_bytes_in_last_block(p->tar, 1);
    archive_write_open(p->tar, p, NULL, take, NULL);
}

static void end(struct pack *p)
{
    archive_write_free(p->tar);
    archive_read_free(p->disk);
    archive_entry_linkresolver_free(p->links);
    ZSTD_freeCCtx(p->zstd);
    free(p->out);
    sha256_drop(&p->diff);
}

static int pack_root(struct pack *p, const char *path)
{
    struct stat st;
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(p->e, errno, "open %s", path);
    p->device = st.st_dev;
    int r = pack_one(p, fd, ".", "./", &st);
    if (r == 0)
        r = pack_content(p, fd, "", 0);
    if (r == 0 && archive_write_close(p->tar) != ARCHIVE_OK)
        r = tar_failed(p, path);
    return r == 0 ? compress(p, NULL, 0, ZSTD_e_end) : r;
}

int pack_folder(const struct content *c, const char *path, char ret_diff_id[DIGEST_TEXT_LEN + 1],
                char ret_digest[DIGEST_TEXT_LEN + 1], uint64_t *ret_size, struct err *e)
{
    struct pack p = {.e = e};
    int r = blob_begin(c, STR_NULL, UNPACK_BYTES_MAX, &p.blob, e);
    if (r < 0)
        return r;
    /* names are written as UTF-8, converted from the locale of the thread */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
    locale_t before = utf8 ? uselocale(utf8) : NULL;
    begin(&p);
    r = pack_root(&p, path);
    if (r == 0) {
        sha256_end(&p.diff, ret_diff_id);
        *ret_size = p.blob.size;
        r = blob_commit(&p.blob, STR_NULL, -1, ret_digest, e);
    } else {
        blob_abort(&p.blob);
    }
    end(&p);
    if (utf8) {
        uselocale(before);
        freelocale(utf8);
    }
    return r;
}
