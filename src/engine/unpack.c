/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/vec.h"
#include "engine/files.h"
#include "engine/treewalk.h"

#define WHITEOUT_PREFIX ".wh."
#define OPAQUE_NAME     ".wh..wh..opq"

struct folder_time {
    char *path;
    struct timespec mtime;
};

struct job {
    const struct unpack *how;
    struct tree_walk walk;
    struct archive *archive;
    struct inflate *in;
    struct err *e;
    bool stream_failed; /* e is already set, by the stream */
    uint64_t entries;
    VEC(struct folder_time) times; /* set last: making files in a folder changes them */
};

/* Where one entry goes. */
struct place {
    struct archive_entry *entry;
    const char *path; /* clean: no leading slash, no "." or ".." */
    const char *name; /* its last component */
    int parent;       /* open; borrowed from the walk */
};

static int fail(struct job *j, const char *path, const char *what)
{
    return err_errno(j->e, errno, "layer entry \"%s\": %s", path, what);
}

/* ---- names ---- */

/* Removes empty and "." components and resolves ".." by name. -1: leaves the root, or too long. */
static int clean_path(const char *raw, char out[UNPACK_PATH_MAX])
{
    size_t n = 0;
    struct str rest = str_z(raw), part;
    while (str_next(&rest, '/', &part)) {
        if (!part.n || str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR(".."))) {
            if (n == 0)
                return -1;
            while (n > 0 && out[--n] != '/')
                ;
            continue;
        }
        if (n + part.n + 2 > UNPACK_PATH_MAX || part.n > 255)
            return -1;
        if (n)
            out[n++] = '/';
        memcpy(out + n, part.p, part.n);
        n += part.n;
    }
    out[n] = 0;
    return 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- attributes ---- */

static bool xattr_allowed(const char *name)
{
    return strcmp(name, "security.capability") == 0 || strncmp(name, "user.", 5) == 0 ||
           strncmp(name, "system.posix_acl_", 17) == 0;
}

static int apply_xattrs(struct job *j, const struct place *p)
{
    char proc[UNPACK_PATH_MAX + 64];
    const char *name;
    const void *value;
    size_t n;
    archive_entry_xattr_reset(p->entry);
    snprintf(proc, sizeof proc, "/proc/self/fd/%d/%s", p->parent, p->name);
    while (archive_entry_xattr_next(p->entry, &name, &value, &n) == ARCHIVE_OK)
        if (name && xattr_allowed(name) && lsetxattr(proc, name, value, n, 0) < 0 &&
            errno != EOPNOTSUPP)
            return fail(j, p->path, name);
    return 0;
}

static struct timespec entry_mtime(struct archive_entry *entry)
{
    if (!archive_entry_mtime_is_set(entry))
        return (struct timespec){0};
    long ns = archive_entry_mtime_nsec(entry);
    return (struct timespec){archive_entry_mtime(entry), ns < 0 || ns > 999999999 ? 0 : ns};
}

static int set_owner(struct job *j, const struct place *p)
{
    int64_t uid = archive_entry_uid(p->entry), gid = archive_entry_gid(p->entry);
    if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX) {
        errno = ERANGE;
        return fail(j, p->path, "owner");
    }
    if (fchownat(p->parent, p->name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(j, p->path, "set owner");
    return 0;
}

/* Owner first (it clears the set-id bits), mode and time last. The thing was just made by us, so
 * that following its name is safe when it is no symbolic link. */
static int apply_attributes(struct job *j, const struct place *p, mode_t type)
{
    if (j->how->mode == UNPACK_FILES)
        return 0;
    int r = set_owner(j, p);
    if (r == 0)
        r = apply_xattrs(j, p);
    if (r < 0)
        return r;
    if (type != S_IFLNK &&
        fchmodat(p->parent, p->name, archive_entry_perm(p->entry) & 07777, 0) < 0)
        return fail(j, p->path, "set mode");
    struct timespec mtime = entry_mtime(p->entry);
    if (type == S_IFDIR) {
        struct folder_time t = {xstrdup(p->path), mtime};
        vec_push(&j->times, t);
        return 0;
    }
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, mtime};
    if (utimensat(p->parent, p->name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(j, p->path, "set time");
    return 0;
}

static void apply_folder_times(struct job *j)
{
    LIST_EACH (t, &j->times) {
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, t->mtime};
        int fd = tree_open_plain(j->how->target, t->path);
        if (fd < 0)
            continue; /* a later entry took its place */
        char proc[32];
        snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
        (void)utimensat(AT_FDCWD, proc, times, 0);
        close(fd);
    }
}

/* ---- kinds of entries ---- */

static int write_data(struct job *j, const struct place *p, int fd)
{
    for (;;) {
        const void *block;
        size_t n;
        la_int64_t offset;
        int r = archive_read_data_block(j->archive, &block, &n, &offset);
        if (r == ARCHIVE_EOF)
            break;
        if (r < ARCHIVE_WARN)
            return j->stream_failed ? -(int)j->e->code
                                    : err_set(j->e, ERR_INVALID, "layer entry \"%s\": %s", p->path,
                                              archive_error_string(j->archive));
        for (size_t done = 0; done < n;) {
            ssize_t w = pwrite(fd, (const char *)block + done, n - done, offset + (off_t)done);
            if (w < 0 && errno == EINTR)
                continue;
            if (w < 0)
                return fail(j, p->path, "write");
            done += (size_t)w;
        }
    }
    /* a sparse file may end in a hole */
    if (ftruncate(fd, archive_entry_size(p->entry)) < 0)
        return fail(j, p->path, "set size");
    return 0;
}

static int make_file(struct job *j, const struct place *p)
{
    CLEANUP(close_fd)
    int fd = openat(p->parent, p->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(j, p->path, "create");
    return write_data(j, p, fd);
}

static int make_hardlink(struct job *j, const struct place *p)
{
    char target[UNPACK_PATH_MAX];
    if (clean_path(archive_entry_hardlink(p->entry), target) < 0 || !target[0])
        return err_set(j->e, ERR_INVALID, "layer entry \"%s\": unsafe hard link", p->path);
    if (strcmp(target, p->path) == 0)
        return err_set(j->e, ERR_INVALID, "layer entry \"%s\": hard link to itself", p->path);
    CLEANUP(close_fd) int here = fcntl(p->parent, F_DUPFD_CLOEXEC, 0);
    if (here < 0)
        return fail(j, p->path, "keep folder open");
    int parent = tree_walk_parent(&j->walk, target);
    if (parent < 0)
        return fail(j, target, "open folder of hard link target");
    if (linkat(parent, base_name(target), here, p->name, 0) == 0)
        return 0;
    if (errno != ENOENT || tree_walk_copy_up(&j->walk, parent, target) < 0 ||
        linkat(parent, base_name(target), here, p->name, 0) < 0)
        return fail(j, p->path, "hard link");
    return 0;
}

static int make_node(struct job *j, const struct place *p, mode_t type)
{
    dev_t device = makedev(archive_entry_rdevmajor(p->entry), archive_entry_rdevminor(p->entry));
    if (mknodat(p->parent, p->name, type | 0600, type == S_IFIFO ? 0 : device) < 0)
        return fail(j, p->path, "make device");
    return 0;
}

static int make_symlink(struct job *j, const struct place *p)
{
    const char *to = archive_entry_symlink(p->entry);
    if (!to || !*to || strlen(to) >= UNPACK_PATH_MAX)
        return err_set(j->e, ERR_INVALID, "layer entry \"%s\": bad symbolic link", p->path);
    if (symlinkat(to, p->parent, p->name) < 0)
        return fail(j, p->path, "symbolic link");
    return 0;
}

static int make_folder(struct job *j, const struct place *p, bool exists, bool hide_below)
{
    if (!exists && mkdirat(p->parent, p->name, 0700) < 0)
        return fail(j, p->path, "make folder");
    if (hide_below && tree_mark_opaque(p->parent, p->name) < 0)
        return fail(j, p->path, "mark opaque");
    return 0;
}

/* Clears the place for the entry. Says whether a folder stays there, and whether what is below
 * was hidden by a whiteout that had to go. */
static int clear_place(struct job *j, const struct place *p, mode_t type, bool *ret_exists,
                       bool *ret_hidden)
{
    struct stat st;
    *ret_exists = *ret_hidden = false;
    if (fstatat(p->parent, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : fail(j, p->path, "stat");
    *ret_exists = S_ISDIR(st.st_mode) && type == S_IFDIR;
    *ret_hidden = tree_is_whiteout(&st);
    if (*ret_exists)
        return 0;
    return tree_remove(p->parent, p->name, j->e);
}

static int make_entry(struct job *j, const struct place *p)
{
    mode_t type = archive_entry_filetype(p->entry);
    bool link = archive_entry_hardlink(p->entry) != NULL, exists, hidden;
    bool layer = j->how->mode == UNPACK_LAYER;
    int r = clear_place(j, p, link ? S_IFREG : type, &exists, &hidden);
    if (r < 0)
        return r;
    if (link)
        return make_hardlink(j, p);
    if (type == S_IFREG)
        r = make_file(j, p);
    else if (type == S_IFDIR)
        r = make_folder(j, p, exists, hidden);
    else if (type == S_IFLNK)
        r = make_symlink(j, p);
    else if (layer && (type == S_IFCHR || type == S_IFBLK || type == S_IFIFO))
        r = make_node(j, p, type);
    else
        return 0; /* sockets and unknown kinds have no meaning in an image */
    return r < 0 ? r : apply_attributes(j, p, type);
}

/* ---- whiteouts ---- */

static int apply_whiteout(struct job *j, const struct place *p)
{
    struct stat st;
    const char *name = p->name + strlen(WHITEOUT_PREFIX);
    if (strcmp(p->name, OPAQUE_NAME) == 0)
        return tree_mark_opaque(p->parent, ".") < 0 ? fail(j, p->path, "mark opaque") : 0;
    if (strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
        return 0; /* bookkeeping of AUFS */
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return err_set(j->e, ERR_INVALID, "layer entry \"%s\": bad whiteout", p->path);
    /* a whiteout speaks of the layers below only, not of this one */
    if (fstatat(p->parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(st.st_mode) && tree_mark_opaque(p->parent, name) < 0)
            return fail(j, p->path, "mark opaque");
        return 0;
    }
    if (mknodat(p->parent, name, S_IFCHR, makedev(0, 0)) < 0)
        return fail(j, p->path, "whiteout");
    return 0;
}

/* ---- the stream ---- */

static la_ssize_t feed(struct archive *a, void *arg, const void **ret)
{
    struct job *j = arg;
    struct str piece;
    if (inflate_next(j->in, &piece, j->e) < 0) {
        j->stream_failed = true;
        archive_set_error(a, EIO, "stream");
        return -1;
    }
    *ret = piece.p;
    return (la_ssize_t)piece.n;
}

static int root_entry(struct job *j, struct archive_entry *entry)
{
    struct place p = {entry, "", ".", j->how->target};
    if (archive_entry_filetype(entry) != S_IFDIR)
        return 0;
    return apply_attributes(j, &p, S_IFDIR);
}

static int apply(struct job *j, struct archive_entry *entry)
{
    char path[UNPACK_PATH_MAX];
    const char *raw = archive_entry_pathname(entry);
    if (!raw || clean_path(raw, path) < 0)
        return err_set(j->e, ERR_INVALID, "layer entry \"%.200s\": unsafe path", raw ? raw : "");
    if (!path[0])
        return root_entry(j, entry);
    struct place p = {entry, path, base_name(path), tree_walk_parent(&j->walk, path)};
    if (p.parent < 0)
        return fail(j, path, "open its folder");
    if (j->how->mode == UNPACK_LAYER &&
        strncmp(p.name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
        return apply_whiteout(j, &p);
    return make_entry(j, &p);
}

static int read_entries(struct job *j)
{
    for (;;) {
        struct archive_entry *entry;
        int r = archive_read_next_header(j->archive, &entry);
        if (r == ARCHIVE_EOF)
            return 0;
        if (r < ARCHIVE_WARN)
            return j->stream_failed ? -(int)j->e->code
                                    : err_set(j->e, ERR_INVALID, "bad tar archive: %s",
                                              archive_error_string(j->archive));
        if (++j->entries > UNPACK_ENTRIES_MAX)
            return err_set(j->e, ERR_LIMIT, "the archive has more than %d entries",
                           UNPACK_ENTRIES_MAX);
        if ((r = apply(j, entry)) < 0)
            return r;
    }
}

static int open_archive(struct job *j)
{
    j->archive = archive_read_new();
    must(j->archive);
    archive_read_support_format_tar(j->archive);
    archive_read_support_format_empty(j->archive);
    if (archive_read_open(j->archive, j, NULL, feed, NULL) != ARCHIVE_OK)
        return j->stream_failed ? -(int)j->e->code
                                : err_set(j->e, ERR_INVALID, "not a tar archive: %s",
                                          archive_error_string(j->archive));
    return 0;
}

static int run(struct job *j, char ret_diff_id[DIGEST_TEXT_LEN + 1])
{
    int r = open_archive(j);
    if (r == 0)
        r = read_entries(j);
    if (r == 0)
        r = inflate_digest(j->in, ret_diff_id, j->e);
    if (r == 0)
        apply_folder_times(j);
    archive_read_free(j->archive);
    return r;
}

int unpack_tar(const struct unpack *how, int blob_fd, char ret_diff_id[DIGEST_TEXT_LEN + 1],
               struct err *e)
{
    struct inflate in;
    int r = inflate_begin(&in, blob_fd, UNPACK_BYTES_MAX, e);
    if (r < 0)
        return r;
    /* names in pax headers are UTF-8: libarchive converts them to the locale of the thread */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
    locale_t before = utf8 ? uselocale(utf8) : NULL;
    struct job j = {.how = how, .in = &in, .e = e};
    tree_walk_init(&j.walk, how->target, how->below, how->n_below);
    r = run(&j, ret_diff_id);
    tree_walk_fini(&j.walk);
    if (utf8) {
        uselocale(before);
        freelocale(utf8);
    }
    LIST_EACH (t, &j.times)
        free(t->path);
    vec_free(&j.times);
    inflate_fini(&in);
    return r;
}
