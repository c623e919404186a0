/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/buf.h"

enum {
    TREE_DEPTH_MAX = 64, /* folders open at a time; deeper ones are lifted up first */
    READ_CHUNK = 16384,
};

static int read_rest(struct arena *a, int fd, const char *path, size_t max_bytes, struct str *ret,
                     struct err *e)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(max_bytes + 1);
    for (;;) {
        char *room = buf_reserve(&b, MIN((size_t)READ_CHUNK, max_bytes + 1 - b.n));
        if (!room)
            return err_set(e, ERR_LIMIT, "%s is larger than %zu bytes", path, max_bytes);
        ssize_t n = read(fd, room, MIN((size_t)READ_CHUNK, max_bytes + 1 - b.n));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "read %s", path);
        buf_advance(&b, (size_t)n);
        if (b.n > max_bytes)
            return err_set(e, ERR_LIMIT, "%s is larger than %zu bytes", path, max_bytes);
        if (n == 0)
            break;
    }
    *ret = arena_str(a, buf_view(&b));
    return 0;
}

int file_read(struct arena *a, int dir, const char *path, size_t max_bytes, struct str *ret,
              struct err *e)
{
    CLEANUP(close_fd) int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return err_set(e, ERR_NOT_FOUND, "%s not found", path);
    if (fd < 0)
        return err_errno(e, errno, "open %s", path);
    return read_rest(a, fd, path, max_bytes, ret, e);
}

bool file_read_small(int dir, const char *path, char *out, size_t max_bytes, size_t *ret_n)
{
    CLEANUP(close_fd) int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return false;
    size_t n = 0;
    while (n + 1 < max_bytes) {
        ssize_t got = read(fd, out + n, max_bytes - 1 - n);
        if (got < 0)
            return false;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    out[n] = 0;
    *ret_n = n;
    return true;
}

bool file_read_u64(int dir, const char *path, uint64_t *ret)
{
    char text[64];
    size_t n;
    if (!file_read_small(dir, path, text, sizeof text, &n))
        return false;
    struct str head, tail;
    str_cut(str_trim(str_n(text, n)), ' ', &head, &tail);
    return str_to_u64(head, ret);
}

static int write_all(int fd, struct str content)
{
    while (content.n) {
        ssize_t n = write(fd, content.p, content.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        content = str_sub(content, (size_t)n, content.n);
    }
    return 0;
}

static int sync_parent(int dir, const char *path, struct err *e)
{
    struct str whole = str_z(path);
    ptrdiff_t slash = str_rindex(whole, '/');
    CLEANUP(free_ptr)
    char *parent =
        slash > 0 ? xasprintf("%.*s", (int)slash, path) : xstrdup(slash == 0 ? "/" : ".");
    CLEANUP(close_fd) int fd = dir_open(dir, parent);
    if (fd < 0)
        return err_errno(e, errno, "open %s", parent);
    return dir_sync(fd, e);
}

int file_write(int dir, const char *path, struct str content, mode_t mode, enum file_durability how,
               struct err *e)
{
    CLEANUP(free_ptr) char *temp = xasprintf("%s.new-%d", path, (int)gettid());
    CLEANUP(close_fd)
    int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return err_errno(e, errno, "create %s", temp);
    int r = write_all(fd, content);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = -errno;
    if (r == 0 && how == FILE_DURABLE && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(dir, temp, dir, path) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dir, temp, 0);
        return err_errno(e, -r, "write %s", path);
    }
    return how == FILE_DURABLE ? sync_parent(dir, path, e) : 0;
}

int file_poke(int dir, const char *path, struct str content)
{
    CLEANUP(close_fd) int fd = openat(dir, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, content.p, content.n);
    return n < 0 ? -errno : 0;
}

int dir_make(const char *path, mode_t mode, struct err *e)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return 0;
    if (errno != ENOENT)
        return err_errno(e, errno, "make folder %s", path);
    CLEANUP(free_ptr) char *part = xstrdup(path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return err_errno(e, errno, "make folder %s", part);
        *p = '/';
    }
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return err_errno(e, errno, "make folder %s", path);
    return 0;
}

int dir_open(int dir, const char *path)
{
    return openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int open_in_root(int dir, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

int dir_sync(int dir, struct err *e)
{
    if (fsync(dir) < 0)
        return err_errno(e, errno, "sync folder");
    return 0;
}

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

/* The folder as a stream; *fd goes into it. */
static DIR *stream_of(int fd)
{
    DIR *d = fdopendir(fd);
    if (!d)
        close(fd);
    return d;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

struct removal {
    int top;         /* where folders below TREE_DEPTH_MAX are lifted to */
    unsigned lifted; /* how many were, so that the top is read again */
};

static int remove_entry(struct removal *rm, int dir, const char *name, unsigned depth);

/* Empties the folder; takes fd. Returns 0 or a negative errno. */
static int remove_content(struct removal *rm, int fd, unsigned depth)
{
    CLEANUP(close_dir) DIR *d = stream_of(fd);
    if (!d)
        return -errno;
    struct dirent *entry;
    while ((entry = readdir(d))) {
        if (is_dots(entry->d_name))
            continue;
        int r = remove_entry(rm, dirfd(d), entry->d_name, depth);
        if (r < 0)
            return r;
    }
    return 0;
}

static int lift(struct removal *rm, int dir, const char *name)
{
    for (;;) {
        char fresh[32];
        snprintf(fresh, sizeof fresh, ".lifted-%u", rm->lifted++);
        if (renameat2(dir, name, rm->top, fresh, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno != EEXIST)
            return -errno;
    }
}

static int remove_entry(struct removal *rm, int dir, const char *name, unsigned depth)
{
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -errno;
    if (depth >= TREE_DEPTH_MAX)
        return lift(rm, dir, name);
    int fd = dir_open(dir, name);
    if (fd < 0)
        return -errno;
    int r = remove_content(rm, fd, depth + 1);
    if (r < 0)
        return r;
    return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int tree_remove(int dir, const char *path, struct err *e)
{
    if (unlinkat(dir, path, 0) == 0 || errno == ENOENT || errno == ENOTDIR)
        return 0;
    CLEANUP(close_fd) int top = dir_open(dir, path);
    if (top < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "remove %s", path);
    struct removal rm = {.top = top};
    unsigned seen;
    do {
        seen = rm.lifted;
        int fd = dir_open(top, ".");
        int r = fd < 0 ? -errno : remove_content(&rm, fd, 0);
        if (r < 0)
            return err_errno(e, -r, "remove %s", path);
    } while (rm.lifted != seen);
    if (unlinkat(dir, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return err_errno(e, errno, "remove %s", path);
    return 0;
}

static int measure(int fd, dev_t device, unsigned depth, struct tree_usage *u)
{
    CLEANUP(close_dir) DIR *d = stream_of(fd);
    if (!d)
        return -errno;
    struct dirent *entry;
    while ((entry = readdir(d))) {
        struct stat st;
        if (is_dots(entry->d_name))
            continue;
        if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != device)
            continue; /* it went away meanwhile, or is a mount */
        u->bytes += (uint64_t)st.st_blocks * 512;
        u->inodes++;
        if (!S_ISDIR(st.st_mode) || depth >= TREE_DEPTH_MAX)
            continue;
        int sub = dir_open(dirfd(d), entry->d_name);
        if (sub >= 0)
            (void)measure(sub, device, depth + 1, u);
    }
    return 0;
}

int tree_measure(int dir, const char *path, struct tree_usage *ret, struct err *e)
{
    *ret = (struct tree_usage){0};
    int fd = dir_open(dir, path);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "open %s", path);
    struct stat st;
    if (fstat(fd, &st) < 0) {
        close(fd);
        return err_errno(e, errno, "stat %s", path);
    }
    ret->bytes = (uint64_t)st.st_blocks * 512;
    ret->inodes = 1;
    int r = measure(fd, st.st_dev, 0, ret);
    return r < 0 ? err_errno(e, -r, "read %s", path) : 0;
}

int dir_each(int dir, const char *path, int (*fn)(void *arg, int dir, const char *name), void *arg,
             struct err *e)
{
    int fd = dir_open(dir, path);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "open %s", path);
    CLEANUP(close_dir) DIR *d = stream_of(fd);
    if (!d)
        return err_errno(e, errno, "read %s", path);
    struct dirent *entry;
    while ((entry = readdir(d))) {
        int r = is_dots(entry->d_name) ? 0 : fn(arg, dirfd(d), entry->d_name);
        if (r)
            return r;
    }
    return 0;
}
