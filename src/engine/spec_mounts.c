/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/spec_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/vec.h"
#include "engine/files.h"
#include "engine/json_out.h"

enum { SPEC_MOUNTS_MAX = 10000, MOUNTINFO_BYTES_MAX = 64 << 20 };

struct mount_entry {
    struct str destination, type, source;
    const char *options; /* blank-separated */
    size_t depth, order;
};

struct mounts {
    struct arena *a;
    VEC(struct mount_entry) v;
};

static size_t depth_of(struct str path)
{
    size_t depth = 0;
    struct str part;
    while (str_next(&path, '/', &part))
        depth += part.n > 0;
    return depth;
}

static void add(struct mounts *m, struct str destination, const char *type, struct str source,
                const char *options)
{
    struct mount_entry entry = {destination, str_z(type),           source,
                                options,     depth_of(destination), m->v.n};
    vec_push_arena(m->a, &m->v, entry);
}

static struct str without_slash(struct str path)
{
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    return path;
}

static bool configured(const struct spec_input *in, struct str destination)
{
    LIST_EACH (m, &in->config->mounts)
        if (str_eq(without_slash(m->container_path), destination))
            return true;
    return false;
}

static void add_standard(struct mounts *m, const struct spec_input *in, bool privileged)
{
    const struct {
        const char *path, *type, *source, *options;
    } standard[] = {
        {"/proc", "proc", "proc", "nosuid noexec nodev"},
        {"/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"},
        {"/dev/pts", "devpts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5"},
        {"/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"},
        {"/sys", "sysfs", "sysfs",
         privileged ? "nosuid noexec nodev rw" : "nosuid noexec nodev ro"},
        {"/sys/fs/cgroup", "cgroup", "cgroup",
         privileged ? "nosuid noexec nodev relatime rw" : "nosuid noexec nodev relatime ro"},
    };
    for (size_t i = 0; i < ARRAY_LEN(standard); i++)
        if (!configured(in, str_z(standard[i].path)))
            add(m, str_z(standard[i].path), standard[i].type, str_z(standard[i].source),
                standard[i].options);
    for (size_t i = 0; i < in->n_binds; i++)
        if (!configured(in, in->binds[i].destination))
            add(m, in->binds[i].destination, "bind", in->binds[i].source,
                in->binds[i].readonly ? "rbind rprivate ro" : "rbind rprivate rw");
}

/* ---- mounts of the configuration ---- */

/* How the filesystem under path is shared: the optional fields of its line in mountinfo. */
static int propagation_of(struct arena *a, const char *path, struct str *ret_fields, struct err *e)
{
    struct str text, line, best = STR_NULL, wanted = str_z(path);
    size_t best_n = 0;
    int r = file_read(a, AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX, &text, e);
    if (r < 0)
        return r;
    while (str_next(&text, '\n', &line)) {
        struct str rest = line, point = STR_NULL;
        for (int i = 0; i < 5; i++)
            if (!str_next(&rest, ' ', &point))
                break;
        bool under = str_eq(point, wanted) || str_eq(point, STR("/")) ||
                     (str_has_prefix(wanted, point) && wanted.p[point.n] == '/');
        if (under && point.n >= best_n) {
            best = rest;
            best_n = point.n;
        }
    }
    ptrdiff_t dash = str_find(best, STR(" - "));
    *ret_fields = dash < 0 ? best : str_sub(best, 0, (size_t)dash);
    return 0;
}

static int check_propagation(struct arena *a, const struct criv1_mount *c, const char *source,
                             struct err *e)
{
    struct str fields;
    if (c->propagation == CRIV1_PROPAGATION_PRIVATE)
        return 0;
    int r = propagation_of(a, source, &fields, e);
    if (r < 0)
        return r;
    if (c->propagation == CRIV1_PROPAGATION_BIDIRECTIONAL && str_find(fields, STR("shared:")) < 0)
        return err_set(e, ERR_BAD_REQUEST, "path \"%s\" is not on a shared mount", source);
    /* a slave of a private mount is as good as private: the host has nothing to tell it */
    return 0;
}

static const char *options_of(struct arena *a, const struct criv1_mount *c)
{
    static const char *const propagation[] = {"rprivate", "rslave", "rshared"};
    unsigned p = (unsigned)c->propagation < ARRAY_LEN(propagation) ? (unsigned)c->propagation : 0;
    const char *access = c->recursive_read_only ? "ro rro" : c->readonly ? "ro" : "rw";
    return arena_fmt(a, "rbind %s %s", propagation[p], access).p;
}

/* The source with links resolved; a folder is made where there is nothing. */
static int source_of(struct arena *a, const struct criv1_mount *c, const char **ret, struct err *e)
{
    const char *path = arena_z(a, c->host_path);
    if (path[0] != '/')
        return err_set(e, ERR_BAD_REQUEST, "mount source \"%s\" is not an absolute path", path);
    struct stat st;
    if (stat(path, &st) < 0) {
        int r = errno == ENOENT ? dir_make(path, 0755, e) : err_errno(e, errno, "stat %s", path);
        if (r < 0)
            return r;
    }
    CLEANUP(free_ptr) char *real = realpath(path, NULL);
    if (!real)
        return err_errno(e, errno, "resolve %s", path);
    *ret = arena_cstr(a, real).p;
    return 0;
}

static int check_mount(const struct criv1_mount *c, struct err *e)
{
    if (!c->container_path.n || c->container_path.p[0] != '/')
        return err_set(e, ERR_BAD_REQUEST, "mount point \"%.*s\" is not an absolute path",
                       STR_ARG(c->container_path));
    if (c->recursive_read_only && (!c->readonly || c->propagation != CRIV1_PROPAGATION_PRIVATE))
        return err_set(e, ERR_BAD_REQUEST,
                       "recursive_read_only needs readonly and private propagation");
    if (c->uid_mappings.n || c->gid_mappings.n)
        return err_set(e, ERR_BAD_REQUEST, "mounts with id mappings are not supported");
    return 0;
}

static int add_configured(struct mounts *m, const struct criv1_mount *c, struct err *e)
{
    const char *source = NULL;
    int r = check_mount(c, e);
    if (r < 0 || c->image) /* images were mounted by the caller: see volumes */
        return r;
    r = source_of(m->a, c, &source, e);
    if (r == 0)
        r = check_propagation(m->a, c, source, e);
    if (r == 0)
        add(m, without_slash(c->container_path), "bind", str_z(source), options_of(m->a, c));
    return r;
}

const char *spec_root_propagation(const struct criv1_container_config *config)
{
    int widest = CRIV1_PROPAGATION_PRIVATE;
    LIST_EACH (m, &config->mounts)
        widest = MAX(widest, m->propagation);
    return widest >= CRIV1_PROPAGATION_BIDIRECTIONAL       ? "shared"
           : widest == CRIV1_PROPAGATION_HOST_TO_CONTAINER ? "rslave"
                                                           : "rprivate";
}

/* ---- all of them ---- */

/* Parents before children, else as given. */
static int by_depth(const void *a, const void *b)
{
    const struct mount_entry *x = a, *y = b;
    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static void put_entry(struct buf *b, const struct mount_entry *m)
{
    struct str options = str_z(m->options), option;
    out_open(b, '{');
    out_member(b, "destination", m->destination);
    out_member(b, "type", m->type);
    out_member(b, "source", m->source);
    out_array(b, "options");
    while (str_next(&options, ' ', &option))
        out_string(b, option);
    out_close(b, ']');
    out_close(b, '}');
}

int spec_put_mounts(struct buf *b, const struct spec_input *in, bool privileged, struct arena *a,
                    struct err *e)
{
    struct mounts m = {.a = a};
    if (in->config->mounts.n > SPEC_MOUNTS_MAX)
        return err_set(e, ERR_LIMIT, "more than %d mounts", SPEC_MOUNTS_MAX);
    add_standard(&m, in, privileged);
    LIST_EACH (c, &in->config->mounts) {
        int r = add_configured(&m, c, e);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < in->n_volumes; i++)
        add(&m, in->volumes[i].destination, "bind", in->volumes[i].source, "rbind rprivate ro");
    qsort(m.v.v, m.v.n, sizeof *m.v.v, by_depth);
    out_array(b, "mounts");
    LIST_EACH (entry, &m.v)
        put_entry(b, entry);
    out_close(b, ']');
    return 0;
}
