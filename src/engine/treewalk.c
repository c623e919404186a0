/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/treewalk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/str.h"
#include "engine/unpack.h"

enum { XATTR_LIST_MAX = 4096, XATTR_VALUE_MAX = 65536 };

static const char opaque_xattr[] = "trusted.overlay.opaque";

void tree_walk_init(struct tree_walk *w, int root, const int *below, size_t n_below)
{
    *w = (struct tree_walk){.root = root, .below = below, .n_below = n_below, .cached_fd = -1};
}

void tree_walk_fini(struct tree_walk *w)
{
    close_fd(&w->cached_fd);
    free(w->cached);
    w->cached = NULL;
}

bool tree_is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

int tree_mark_opaque(int dir, const char *name)
{
    char proc[320];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d/%s", dir, name);
    return lsetxattr(proc, opaque_xattr, "y", 1, 0);
}

static bool is_opaque(int fd)
{
    char proc[32], value = 0;
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    return getxattr(proc, opaque_xattr, &value, 1) == 1 && value == 'y';
}

static int open_no_links(int root, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_PATH | O_CLOEXEC | O_NOFOLLOW,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

int tree_open_plain(int root, const char *path)
{
    return open_no_links(root, *path ? path : ".", O_DIRECTORY);
}

/* ---- the layers below ---- */

enum below { BELOW_ABSENT, BELOW_FOUND, BELOW_DEEPER };

/* Looks for path in one layer, component by component. BELOW_DEEPER: this layer says nothing about
 * it, ask the next; BELOW_ABSENT: this layer hides it. */
static enum below find_in_layer(int layer, const char *path, int *ret_fd)
{
    int fd = fcntl(layer, F_DUPFD_CLOEXEC, 0);
    bool hidden = fd >= 0 && is_opaque(fd);
    struct str rest = str_z(path), part;
    while (fd >= 0 && str_next(&rest, '/', &part)) {
        char name[256];
        struct stat st;
        snprintf(name, sizeof name, "%.*s", STR_ARG(part));
        int next = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        int why = errno;
        close(fd);
        if (next < 0)
            return why == ENOENT && !hidden ? BELOW_DEEPER : BELOW_ABSENT;
        fd = next;
        if (fstat(fd, &st) < 0 || tree_is_whiteout(&st))
            break;
        if (!rest.p) {
            *ret_fd = fd;
            return BELOW_FOUND;
        }
        if (!S_ISDIR(st.st_mode))
            break;
        hidden |= is_opaque(fd);
    }
    close_fd(&fd);
    return BELOW_ABSENT;
}

/* An O_PATH descriptor of what the layers below show at path, or -1. */
static int find_below(const struct tree_walk *w, const char *path, struct stat *st)
{
    int fd = -1;
    enum below found = find_in_layer(w->root, path, &fd);
    close_fd(&fd);
    for (size_t i = 0; i < w->n_below && found == BELOW_DEEPER; i++) {
        fd = -1;
        found = find_in_layer(w->below[i], path, &fd);
        if (found == BELOW_FOUND && fstat(fd, st) == 0)
            return fd;
        close_fd(&fd);
    }
    return -1;
}

/* Copies xattrs that belong to the file, not those of overlayfs. */
static int copy_xattrs(int from, const char *to)
{
    char proc[32], names[XATTR_LIST_MAX];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", from);
    ssize_t n = listxattr(proc, names, sizeof names);
    if (n < 0)
        return errno == EOPNOTSUPP ? 0 : -1;
    CLEANUP(free_ptr) char *value = xmalloc(XATTR_VALUE_MAX);
    for (char *name = names; name < names + n; name += strlen(name) + 1) {
        if (strncmp(name, "trusted.overlay.", 16) == 0)
            continue;
        ssize_t len = getxattr(proc, name, value, XATTR_VALUE_MAX);
        if (len >= 0 && lsetxattr(to, name, value, (size_t)len, 0) < 0 && errno != EOPNOTSUPP)
            return -1;
    }
    return 0;
}

static int copy_attributes(int from, const struct stat *st, int parent, const char *name)
{
    char proc[320];
    struct timespec times[2] = {st->st_atim, st->st_mtim};
    snprintf(proc, sizeof proc, "/proc/self/fd/%d/%s", parent, name);
    if (fchownat(parent, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        copy_xattrs(from, proc) < 0 || fchmodat(parent, name, st->st_mode & 07777, 0) < 0)
        return -1;
    return utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW);
}

static int copy_bytes(int from, int to)
{
    char chunk[65536];
    ssize_t n;
    while ((n = read(from, chunk, sizeof chunk)) != 0) {
        if (n < 0)
            return -1;
        for (ssize_t done = 0; done < n;) {
            ssize_t w = write(to, chunk + done, (size_t)(n - done));
            if (w < 0)
                return -1;
            done += w;
        }
    }
    return 0;
}

static int copy_file(int from, const struct stat *st, int parent, const char *name)
{
    char proc[32];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", from);
    CLEANUP(close_fd) int in = open(proc, O_RDONLY | O_CLOEXEC);
    CLEANUP(close_fd)
    int out = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (in < 0 || out < 0 || copy_bytes(in, out) < 0)
        return -1;
    return copy_attributes(from, st, parent, name);
}

int tree_walk_copy_up(struct tree_walk *w, int parent, const char *path)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    CLEANUP(close_fd) int from = find_below(w, path, &st);
    if (from < 0 || !S_ISREG(st.st_mode)) {
        errno = from < 0 ? ENOENT : EPERM;
        return -1;
    }
    return copy_file(from, &st, parent, slash ? slash + 1 : path);
}

/* ---- the walk ---- */

struct step {
    struct tree_walk *w;
    int fd;                     /* the folder reached */
    char at[UNPACK_PATH_MAX];   /* its path, free of links */
    char todo[UNPACK_PATH_MAX]; /* what is left to walk */
    unsigned links;
};

/* Cuts the first component off todo into name. False at the end; errno on a bad name. */
static bool next_name(struct step *s, char name[256])
{
    const char *p = s->todo;
    while (*p == '/')
        p++;
    size_t n = strcspn(p, "/");
    if (n == 0 || n > 255)
        return false;
    memcpy(name, p, n);
    name[n] = 0;
    memmove(s->todo, p + n, strlen(p + n) + 1);
    return true;
}

static int go_to(struct step *s, const char *path)
{
    int fd = tree_open_plain(s->w->root, path);
    if (fd < 0)
        return -1;
    close(s->fd);
    s->fd = fd;
    if (path != s->at)
        snprintf(s->at, sizeof s->at, "%s", path);
    return 0;
}

static int go_up(struct step *s)
{
    char *slash = strrchr(s->at, '/');
    if (slash)
        *slash = 0;
    else
        s->at[0] = 0;
    return go_to(s, s->at);
}

static int go_down(struct step *s, const char *name)
{
    size_t n = strlen(s->at);
    if (n + strlen(name) + 2 > sizeof s->at) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = openat(s->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    close(s->fd);
    s->fd = fd;
    snprintf(s->at + n, sizeof s->at - n, "%s%s", n ? "/" : "", name);
    return 0;
}

/* Puts the link's text in front of what is left to walk. */
static int follow(struct step *s, const char *name)
{
    char text[UNPACK_PATH_MAX], joined[UNPACK_PATH_MAX];
    ssize_t n = readlinkat(s->fd, name, text, sizeof text - 1);
    if (n < 0)
        return -1;
    text[n] = 0;
    int len = snprintf(joined, sizeof joined, "%s/%s", text, s->todo);
    if (++s->links > UNPACK_LINKS_MAX || len < 0 || (size_t)len >= sizeof joined) {
        errno = ELOOP;
        return -1;
    }
    memcpy(s->todo, joined, (size_t)len + 1);
    return text[0] == '/' ? go_to(s, "") : 0;
}

/* Makes the missing component as the layers below have it: a folder with the same attributes, the
 * same link, or (absent, or something else there) a plain folder. */
static int make_missing(struct step *s, const char *name, bool hidden)
{
    char path[2 * UNPACK_PATH_MAX];
    struct stat st;
    snprintf(path, sizeof path, "%s%s%s", s->at, s->at[0] ? "/" : "", name);
    CLEANUP(close_fd) int from = hidden ? -1 : find_below(s->w, path, &st);
    if (from >= 0 && S_ISLNK(st.st_mode)) {
        char text[UNPACK_PATH_MAX];
        ssize_t n = readlinkat(from, "", text, sizeof text - 1);
        if (n < 0)
            return -1;
        text[n] = 0;
        if (symlinkat(text, s->fd, name) < 0)
            return -1;
        return fchownat(s->fd, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW);
    }
    if (mkdirat(s->fd, name, 0755) < 0 || fchmodat(s->fd, name, 0755, 0) < 0)
        return -1;
    if (hidden)
        return tree_mark_opaque(s->fd, name);
    return from >= 0 && S_ISDIR(st.st_mode) ? copy_attributes(from, &st, s->fd, name) : 0;
}

static int walk_one(struct step *s, const char *name)
{
    struct stat st;
    if (strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0)
        return go_up(s);
    bool exists = fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    bool hidden = exists && tree_is_whiteout(&st);
    if (!exists && errno != ENOENT)
        return -1;
    if (hidden && unlinkat(s->fd, name, 0) < 0)
        return -1;
    if (!exists || hidden) {
        if (make_missing(s, name, hidden) < 0 || fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return -1;
    }
    return S_ISLNK(st.st_mode) ? follow(s, name) : go_down(s, name);
}

static int walk(struct tree_walk *w, const char *path)
{
    CLEANUP(free_ptr) struct step *s = xcalloc(1, sizeof *s);
    char name[256];
    s->w = w;
    snprintf(s->todo, sizeof s->todo, "%s", path);
    s->fd = tree_open_plain(w->root, "");
    if (s->fd < 0)
        return -1;
    while (next_name(s, name))
        if (walk_one(s, name) < 0) {
            int why = errno;
            close(s->fd);
            errno = why;
            return -1;
        }
    return s->fd;
}

int tree_walk_parent(struct tree_walk *w, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (w->cached && strlen(w->cached) == n && memcmp(w->cached, path, n) == 0)
        return w->cached_fd;
    CLEANUP(free_ptr) char *parent = xasprintf("%.*s", (int)n, path);
    int fd = walk(w, parent);
    if (fd < 0)
        return -1;
    close_fd(&w->cached_fd);
    free(w->cached);
    w->cached = TAKE_PTR(parent);
    w->cached_fd = fd;
    return fd;
}
