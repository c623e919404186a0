/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/vec.h"
#include "engine/files.h"

enum {
    OPTIONS_MAX = 4095, /* mount(2) passes one page */
    MOUNTINFO_BYTES_MAX = 64 << 20,
};

/* ---- the options of one overlay mount ---- */

/* overlayfs separates folders by ':' and mount options by ','. */
static void put_path(struct buf *b, struct str path)
{
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] == ':' || path.p[i] == ',' || path.p[i] == '\\')
            buf_c(b, '\\');
        buf_c(b, path.p[i]);
    }
}

/* Paths may be too long for one page together: their descriptors have short names. */
struct short_names {
    VEC(int) fds;
};

static int put_short(struct buf *b, struct short_names *names, struct str path, struct err *e)
{
    CLEANUP(free_ptr) char *z = xasprintf("%.*s", STR_ARG(path));
    int fd = open(z, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "open %s", z);
    vec_push(&names->fds, fd);
    buf_fmt(b, "/proc/self/fd/%d", fd);
    return 0;
}

static int put_lowers(struct buf *b, const struct str *lowers, size_t n, struct short_names *names,
                      struct err *e)
{
    buf_z(b, "lowerdir=");
    for (size_t i = 0; i < n; i++) {
        int r = 0;
        buf_z(b, i ? ":" : "");
        if (names)
            r = put_short(b, names, lowers[i], e);
        else
            put_path(b, lowers[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static void put_upper(struct buf *b, const char *folder)
{
    struct str path = str_z(folder);
    buf_z(b, ",upperdir=");
    put_path(b, path);
    buf_z(b, "/upper,workdir=");
    put_path(b, path);
    buf_z(b, "/work");
}

static int overlay(const char *target, struct str options, unsigned long flags)
{
    return mount("overlay", target, "overlay", flags, options.p) < 0 ? -errno : 0;
}

/* With the volatile option, without it on kernels before 5.10. */
static int overlay_writable(const char *target, struct buf *options)
{
    size_t n = options->n;
    buf_z(options, ",volatile");
    int r = options->failed ? -E2BIG : overlay(target, buf_view(options), 0);
    if (r != -EINVAL)
        return r;
    buf_truncate(options, n);
    return overlay(target, buf_view(options), 0);
}

static int try_mount(const char *target, const char *folder, const struct str *lowers, size_t n,
                     struct short_names *names, struct err *e)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(OPTIONS_MAX);
    int r = put_lowers(&b, lowers, n, names, e);
    if (r < 0)
        return r;
    if (folder)
        put_upper(&b, folder);
    if (b.failed)
        return -ERR_LIMIT;
    r = folder ? overlay_writable(target, &b) : overlay(target, buf_view(&b), MS_RDONLY);
    return r == -E2BIG ? -ERR_LIMIT : r < 0 ? err_errno(e, -r, "mount overlay at %s", target) : 0;
}

/* folder: where upper/ and work/ are; NULL: read-only. -ERR_LIMIT: too much for one mount. */
static int mount_one(const char *target, const char *folder, const struct str *lowers, size_t n,
                     struct err *e)
{
    struct short_names names = {0};
    int r = n > SNAPSHOT_LOWERS_MAX ? -ERR_LIMIT : try_mount(target, folder, lowers, n, NULL, e);
    if (r != -ERR_LIMIT || n > SNAPSHOT_LOWERS_MAX)
        return r;
    r = try_mount(target, folder, lowers, n, &names, e);
    LIST_EACH (fd, &names.fds)
        close(*fd);
    vec_free(&names.fds);
    return r;
}

/* ---- more layers than one mount takes ---- */

/* Layers in groups, each group a read-only overlay of its own, these stacked again. The final
 * mount holds on to what it stands on, so that the groups are unmounted at once. */
enum { GROUP = 128, GROUPS_MAX = 128 };

struct stages {
    char *paths[GROUPS_MAX];
    struct str views[GROUPS_MAX];
    size_t n;
};

static int mount_group(struct stages *s, const char *near, const struct str *lowers, size_t n,
                       struct err *e)
{
    if (n == 1) { /* overlayfs wants two or an upper layer */
        s->paths[s->n] = xasprintf("%.*s", STR_ARG(lowers[0]));
        s->views[s->n] = lowers[0];
        s->n++;
        return 0;
    }
    char *path = xasprintf("%s.stage-%zu", near, s->n);
    s->paths[s->n] = path;
    s->views[s->n++] = str_z(path);
    int r = dir_make(path, 0700, e);
    return r < 0 ? r : mount_one(path, NULL, lowers, n, e);
}

static void drop_stages(struct stages *s, const char *near)
{
    size_t prefix = strlen(near);
    for (size_t i = 0; i < s->n; i++) {
        if (strncmp(s->paths[i], near, prefix) == 0) {
            umount2(s->paths[i], MNT_DETACH);
            rmdir(s->paths[i]);
        }
        free(s->paths[i]);
    }
}

static int mount_staged(const char *target, const char *folder, const struct str *lowers, size_t n,
                        struct err *e)
{
    struct stages s = {0};
    int r = 0;
    if (n > (size_t)GROUP * GROUPS_MAX)
        return err_set(e, ERR_LIMIT, "%zu layers are too many", n);
    for (size_t at = 0; at < n && r == 0; at += GROUP)
        r = mount_group(&s, target, lowers + at, MIN((size_t)GROUP, n - at), e);
    if (r == 0)
        r = mount_one(target, folder, s.views, s.n, e);
    drop_stages(&s, target);
    return r;
}

static int mount_any(const char *target, const char *folder, const struct str *lowers, size_t n,
                     struct err *e)
{
    int r = mount_one(target, folder, lowers, n, e);
    return r == -ERR_LIMIT ? mount_staged(target, folder, lowers, n, e) : r;
}

/* ---- snapshots ---- */

bool is_mount_point(const char *path)
{
    struct stat here, parent;
    CLEANUP(free_ptr) char *up = xasprintf("%s/..", path);
    return stat(path, &here) == 0 && stat(up, &parent) == 0 && here.st_dev != parent.st_dev;
}

static int make_folders(const char *folder, const char *target, struct err *e)
{
    CLEANUP(free_ptr) char *upper = xasprintf("%s/upper", folder);
    CLEANUP(free_ptr) char *work = xasprintf("%s/work", folder);
    int r = dir_make(upper, 0755, e);
    if (r == 0)
        r = dir_make(work, 0700, e);
    return r == 0 ? dir_make(target, 0755, e) : r;
}

/* The container's root folder looks as the image's does: overlayfs shows the upper one's mode. */
static int copy_root_mode(const char *folder, struct str top, struct err *e)
{
    struct stat st;
    CLEANUP(free_ptr) char *lower = xasprintf("%.*s", STR_ARG(top));
    CLEANUP(free_ptr) char *upper = xasprintf("%s/upper", folder);
    if (stat(lower, &st) < 0)
        return err_errno(e, errno, "stat %s", lower);
    if (chown(upper, st.st_uid, st.st_gid) < 0 || chmod(upper, st.st_mode & 07777) < 0)
        return err_errno(e, errno, "set mode of %s", upper);
    return 0;
}

int snapshot_mount(const char *folder, const char *target, const struct str *lowers, size_t n,
                   struct err *e)
{
    CLEANUP(free_ptr) char *stale = xasprintf("%s/work/work/incompat/volatile", folder);
    must(n > 0);
    int r = make_folders(folder, target, e);
    if (r < 0)
        return r;
    /* left by a volatile mount that the machine's end cut short; overlayfs refuses to go on */
    if (access(stale, F_OK) == 0)
        rmdir(stale);
    r = copy_root_mode(folder, lowers[0], e);
    return r < 0 ? r : mount_any(target, folder, lowers, n, e);
}

int snapshot_mount_readonly(const char *target, const struct str *lowers, size_t n, struct err *e)
{
    if (n > 1)
        return mount_any(target, NULL, lowers, n, e);
    CLEANUP(free_ptr) char *lower = xasprintf("%.*s", STR_ARG(lowers[0]));
    if (mount(lower, target, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
        return err_errno(e, errno, "bind %s at %s", lower, target);
    return 0;
}

int snapshot_unmount(const char *target, struct err *e)
{
    if (umount2(target, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
        return err_errno(e, errno, "unmount %s", target);
    return 0;
}

int mounted_tree_remove(const char *path, struct err *e)
{
    int r = tree_remove(AT_FDCWD, path, e);
    if (r == 0)
        return 0;
    err_clear(e);
    r = mounts_undo(path, e);
    return r < 0 ? r : tree_remove(AT_FDCWD, path, e);
}

/* ---- all mounts below a folder ---- */

/* "\040" and the like, as mountinfo writes blanks, tabs, line ends and backslashes. */
static char *unescape(struct str s)
{
    char *out = xmalloc(s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 3 < s.n) {
            out[n++] =
                (char)((s.p[i + 1] - '0') << 6 | (s.p[i + 2] - '0') << 3 | (s.p[i + 3] - '0'));
            i += 3;
        } else {
            out[n++] = s.p[i];
        }
    }
    out[n] = 0;
    return out;
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == 0);
}

struct points {
    VEC(char *) v;
};

static void collect(struct str mountinfo, const char *folder, struct points *points)
{
    struct str line, field = STR_NULL;
    while (str_next(&mountinfo, '\n', &line)) {
        int i = 0;
        while (i < 5 && str_next(&line, ' ', &field))
            i++;
        if (i < 5)
            continue;
        char *path = unescape(field);
        if (is_below(path, folder))
            vec_push(&points->v, path);
        else
            free(path);
    }
}

int mounts_undo(const char *path, struct err *e)
{
    struct arena a;
    struct str text;
    struct points points = {0};
    CLEANUP(free_ptr) char *real = realpath(path, NULL);
    arena_init(&a, 2 * (size_t)MOUNTINFO_BYTES_MAX);
    int r = file_read(&a, AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX, &text, e);
    if (r == 0 && real)
        collect(text, real, &points);
    for (size_t i = points.v.n; i-- > 0;) {
        if (umount2(points.v.v[i], MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
            errno != ENOENT && r == 0)
            r = err_errno(e, errno, "unmount %s", points.v.v[i]);
        free(points.v.v[i]);
    }
    int count = (int)points.v.n;
    vec_free(&points.v);
    arena_fini(&a);
    return r < 0 ? r : count;
}
