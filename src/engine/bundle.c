/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "engine/files.h"
#include "engine/layers.h"
#include "engine/snapshot.h"

struct make {
    struct bundle *b;
    struct image image;
    struct oci_config config;
    const char *folder, *rootfs, *snapshot;
    VEC(struct spec_bind) volumes; /* images that are mounted as volumes */
    struct buf chains;
};

static const char *in_folder(struct make *m, const char *name)
{
    return arena_fmt(m->b->a, "%s/%s", m->folder, name).p;
}

/* ---- layers ---- */

/* Folders of the image's layers, the top first; an image without layers is an empty folder. */
static int lowers_of(struct make *m, const struct image *image, struct str **ret, size_t *ret_n)
{
    const struct content *c = image_store_content(m->b->g->images);
    size_t n = image->layers.n;
    struct str *v = arena_array(m->b->a, n + 1, struct str);
    for (size_t i = 0; i < n; i++)
        v[i] = layers_path(m->b->a, c, image->layers.v[n - 1 - i]);
    *ret = v;
    *ret_n = n;
    if (n)
        return 0;
    v[0] = arena_cstr(m->b->a, in_folder(m, "empty"));
    *ret_n = 1;
    return dir_make(v[0].p, 0755, m->b->e);
}

static void note_chains(struct make *m, const struct image *image)
{
    LIST_EACH (chain, &image->layers)
        buf_fmt(&m->chains, "%.*s\n", STR_ARG(*chain));
}

/* The folder names the layers before the store may be swept again. */
static int write_chains(struct make *m)
{
    return file_write(AT_FDCWD, in_folder(m, "layers"), buf_view(&m->chains), 0600, FILE_FAST,
                      m->b->e);
}

static int find_image(struct make *m, const struct criv1_image_spec *spec, struct image *ret)
{
    if (!spec || !spec->image.n)
        return err_set(m->b->e, ERR_BAD_REQUEST, "no image is given");
    return image_find(m->b->g->images, m->b->a, spec->image, ret, m->b->e);
}

static int claim_layers(struct make *m)
{
    struct image volume;
    int r = find_image(m, m->b->config->image, &m->image);
    if (r < 0)
        return r;
    note_chains(m, &m->image);
    LIST_EACH (mount, &m->b->config->mounts) {
        if (!mount->image)
            continue;
        if ((r = find_image(m, mount->image, &volume)) < 0)
            return r;
        note_chains(m, &volume);
    }
    return write_chains(m);
}

static int claim(struct make *m)
{
    int busy = image_busy_begin(m->b->g->images, m->b->e);
    if (busy < 0)
        return busy;
    int r = claim_layers(m);
    image_busy_end(m->b->g->images, busy);
    return r;
}

static int mount_root(struct make *m)
{
    struct str *lowers;
    size_t n;
    int r = lowers_of(m, &m->image, &lowers, &n);
    return r < 0 ? r : snapshot_mount(m->snapshot, m->rootfs, lowers, n, m->b->e);
}

/* ---- images as volumes ---- */

/* The folder or file below the mounted image that the volume shows, links resolved inside it. */
static int sub_path(struct make *m, const char *mounted, struct str sub, struct str *ret)
{
    char proc[32], path[4096];
    CLEANUP(close_fd) int root = dir_open(AT_FDCWD, mounted);
    CLEANUP(close_fd) int fd = root < 0 ? -1 : open_in_root(root, arena_z(m->b->a, sub));
    if (fd < 0)
        return err_set(m->b->e, ERR_BAD_REQUEST, "image has no path \"%.*s\"", STR_ARG(sub));
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(proc, path, sizeof path);
    if (n < 0 || (size_t)n == sizeof path)
        return err_errno(m->b->e, n < 0 ? errno : ENAMETOOLONG, "resolve %.*s", STR_ARG(sub));
    *ret = arena_str(m->b->a, str_n(path, (size_t)n));
    return 0;
}

static int mount_volume(struct make *m, const struct criv1_mount *mount)
{
    struct image image;
    struct str *lowers;
    size_t n;
    const char *path = in_folder(m, arena_fmt(m->b->a, "volume-%zu", m->volumes.n).p);
    int r = find_image(m, mount->image, &image);
    if (r == 0)
        r = lowers_of(m, &image, &lowers, &n);
    if (r == 0)
        r = dir_make(path, 0755, m->b->e);
    if (r == 0)
        r = snapshot_mount_readonly(path, lowers, n, m->b->e);
    struct spec_bind bind = {str_z(path), mount->container_path, true};
    if (r == 0 && mount->image_sub_path.n)
        r = sub_path(m, path, mount->image_sub_path, &bind.source);
    vec_push_arena(m->b->a, &m->volumes, bind);
    return r;
}

static int mount_volumes(struct make *m)
{
    LIST_EACH (mount, &m->b->config->mounts) {
        int r = mount->image ? mount_volume(m, mount) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- folders that the image promises ---- */

/* mkdir -p inside the root; links are followed as the container would. */
static int make_in_root(struct make *m, int root, struct str path)
{
    struct str rest = path, part;
    CLEANUP(buf_fini) struct buf so_far = BUF_INIT(4096);
    CLEANUP(close_fd) int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
    while (str_next(&rest, '/', &part)) {
        if (!part.n)
            continue;
        const char *name = arena_z(m->b->a, part);
        buf_fmt(&so_far, "/%s", name);
        if (so_far.failed)
            return err_set(m->b->e, ERR_BAD_REQUEST, "path is too long");
        int next = open_in_root(root, so_far.p);
        if (next < 0 && errno == ENOENT && mkdirat(at, name, 0755) == 0)
            next = open_in_root(root, so_far.p);
        if (next < 0)
            return err_errno(m->b->e, errno, "make %.*s in the container", STR_ARG(path));
        close(at);
        at = next;
    }
    return 0;
}

static int make_promised(struct make *m)
{
    CLEANUP(close_fd) int root = dir_open(AT_FDCWD, m->rootfs);
    if (root < 0)
        return err_errno(m->b->e, errno, "open %s", m->rootfs);
    LIST_EACH (volume, &m->config.volumes) {
        int r = make_in_root(m, root, *volume);
        if (r < 0)
            return r;
    }
    return make_in_root(m, root, spec_working_dir(m->b->config, &m->config));
}

/* ---- the specification ---- */

static struct str hostname_of(struct make *m)
{
    char own[256] = "";
    if (m->b->sandbox->hostname.n)
        return m->b->sandbox->hostname;
    gethostname(own, sizeof own - 1);
    return arena_cstr(m->b->a, own);
}

static int write_spec(struct make *m)
{
    struct bundle *b = m->b;
    const struct local *g = b->g;
    bool ro = b->readonly_rootfs;
    struct spec_bind binds[] = {
        {str_z(b->host_ipc ? "/dev/shm" : pod_path(g, b->a, b->sandbox_id, "shm")), STR("/dev/shm"),
         false},
        {str_z(pod_path(g, b->a, b->sandbox_id, "resolv.conf")), STR("/etc/resolv.conf"), ro},
        {str_z(pod_path(g, b->a, b->sandbox_id, "hostname")), STR("/etc/hostname"), ro},
        {str_z(pod_path(g, b->a, b->sandbox_id, "hosts")), STR("/etc/hosts"), ro},
    };
    struct spec_input in = {
        .host = &g->host,
        .config = b->config,
        .sandbox = b->sandbox,
        .image = &m->config,
        .user = &b->user,
        .hostname = hostname_of(m),
        .rootfs = m->rootfs,
        .cgroup = arena_z(b->a, b->cgroup),
        .net_ns = b->net_ns,
        .ipc_ns = b->ipc_ns,
        .uts_ns = b->uts_ns,
        .pid_ns = b->pid_ns,
        .binds = binds,
        .n_binds = ARRAY_LEN(binds),
        .volumes = m->volumes.v,
        .n_volumes = m->volumes.n,
    };
    struct str text;
    int r = spec_write(b->a, &in, &text, b->e);
    return r < 0 ? r
                 : file_write(AT_FDCWD, in_folder(m, "config.json"), text, 0600, FILE_FAST, b->e);
}

static void fill_results(struct make *m)
{
    struct bundle *b = m->b;
    b->image_id = m->image.id;
    b->image_ref = m->image.digests.n ? m->image.digests.v[0] : m->image.id;
    b->stop_signal = m->config.stop_signal.n ? signal_of_name(m->config.stop_signal) : 0;
}

static int make(struct make *m)
{
    struct bundle *b = m->b;
    const struct criv1_linux_container_config *l = b->config->linux_;
    int r = dir_make(m->folder, 0711, b->e);
    if (r == 0)
        r = claim(m);
    if (r == 0)
        r = image_config(b->g->images, b->a, &m->image, &m->config, b->e);
    if (r == 0)
        r = mount_root(m);
    if (r == 0)
        r = mount_volumes(m);
    if (r == 0)
        r = user_resolve(b->a, m->rootfs, m->config.user, l ? l->security_context : NULL, &b->user,
                         b->e);
    if (r == 0)
        r = make_promised(m);
    if (r == 0)
        r = write_spec(m);
    fill_results(m);
    return r;
}

int bundle_make(struct bundle *b)
{
    struct make m = {.b = b, .chains = BUF_INIT(MIB(4))};
    m.folder = container_path(b->g, b->a, b->id, "");
    m.rootfs = container_path(b->g, b->a, b->id, "rootfs");
    m.snapshot = arena_fmt(b->a, "%s/snapshots/%.*s", b->g->root, STR_ARG(b->id)).p;
    int r = make(&m);
    buf_fini(&m.chains);
    if (r < 0) {
        struct err ignored = ERR_INIT(b->a);
        (void)!bundle_remove(b->g, b->id, &ignored);
    }
    return r;
}

int bundle_unmount(const struct local *g, struct str id, struct err *e)
{
    const char *folder = container_path(g, e->arena, id, "");
    int r = snapshot_unmount(container_path(g, e->arena, id, "rootfs"), e);
    if (r < 0)
        return r;
    /* volumes of images, if there are any */
    if (access(arena_fmt(e->arena, "%s/volume-0", folder).p, F_OK) < 0)
        return 0;
    r = mounts_undo(folder, e);
    return r < 0 ? r : 0;
}

int bundle_remove(const struct local *g, struct str id, struct err *e)
{
    const char *snapshot = arena_fmt(e->arena, "%s/snapshots/%.*s", g->root, STR_ARG(id)).p;
    int r = bundle_unmount(g, id, e);
    if (r < 0)
        return r;
    unlink(arena_fmt(e->arena, "%s/exits/%.*s", g->run, STR_ARG(id)).p);
    record_forget(g->root, RECORD_CONTAINER, id);
    r = tree_remove(AT_FDCWD, snapshot, e);
    return r < 0 ? r : mounted_tree_remove(container_path(g, e->arena, id, ""), e);
}
