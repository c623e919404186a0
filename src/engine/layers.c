/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "engine/files.h"
#include "engine/unpack.h"

void layers_chain(struct arena *a, const struct str *diff_ids, size_t n, struct str *ret)
{
    for (size_t i = 0; i < n; i++)
        ret[i] = i == 0 ? diff_ids[0]
                        : sha256_text(a, arena_fmt(a, "%.*s %.*s", STR_ARG(ret[i - 1]),
                                                   STR_ARG(diff_ids[i])));
}

struct str layers_path(struct arena *a, const struct content *c, struct str chain_id)
{
    return arena_fmt(a, "%s/layers/%.*s/fs", c->root, STR_ARG(digest_hex(chain_id)));
}

bool layers_have(const struct content *c, struct str chain_id)
{
    struct arena a = ARENA_INIT;
    bool have = access(layers_path(&a, c, chain_id).p, F_OK) == 0;
    arena_fini(&a);
    return have;
}

/* Opens the folders below the last of n layers, nearest first. Returns how many, or -1. */
static int open_below(const struct content *c, const struct str *chain_ids, size_t n, int *fds,
                      struct err *e)
{
    int count = 0;
    for (size_t i = n - 1; i-- > 0; count++) {
        struct str path = layers_path(e->arena, c, chain_ids[i]);
        fds[count] = open(path.p, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fds[count] < 0) {
            err_errno(e, errno, "open layer %.*s", STR_ARG(chain_ids[i]));
            while (count > 0)
                close(fds[--count]);
            return -1;
        }
    }
    return count;
}

/* Unpacks into <temp>/fs and notes its size in <temp>/usage. */
static int unpack_into(const char *temp, int blob, struct str diff_id, const int *below,
                       size_t n_below, struct err *e)
{
    CLEANUP(free_ptr) char *path = xasprintf("%s/fs", temp);
    char found[DIGEST_TEXT_LEN + 1];
    if (mkdir(path, 0755) < 0 || chmod(path, 0755) < 0)
        return err_errno(e, errno, "make folder %s", path);
    CLEANUP(close_fd) int target = dir_open(AT_FDCWD, path);
    if (target < 0)
        return err_errno(e, errno, "open %s", path);
    struct unpack how = {UNPACK_LAYER, target, below, n_below};
    int r = unpack_tar(&how, blob, found, e);
    if (r < 0)
        return r;
    if (!str_eqz(diff_id, found))
        return err_set(e, ERR_INVALID, "layer does not verify: its content is %s, not %.*s", found,
                       STR_ARG(diff_id));
    struct tree_usage u;
    if ((r = tree_measure(AT_FDCWD, path, &u, e)) < 0)
        return r;
    CLEANUP(free_ptr) char *usage = xasprintf("%s/usage", temp);
    struct str text = arena_fmt(e->arena, "%llu %llu\n", (unsigned long long)u.bytes,
                                (unsigned long long)u.inodes);
    return file_write(AT_FDCWD, usage, text, 0600, FILE_FAST, e);
}

/* On disk before it gets its name: everything on this filesystem is written out. */
static int publish(const struct content *c, const char *temp, struct str chain_id, struct err *e)
{
    CLEANUP(free_ptr) char *folder = xasprintf("%s/layers", c->root);
    CLEANUP(free_ptr) char *path = xasprintf("%s/%.*s", folder, STR_ARG(digest_hex(chain_id)));
    int r = dir_make(folder, 0700, e);
    if (r < 0)
        return r;
    CLEANUP(close_fd) int dir = dir_open(AT_FDCWD, folder);
    if (dir < 0 || syncfs(dir) < 0)
        return err_errno(e, errno, "sync %s", folder);
    if (rename(temp, path) < 0 && errno != EEXIST && errno != ENOTEMPTY)
        return err_errno(e, errno, "rename %s", temp);
    return dir_sync(dir, e);
}

static int unpack_open_blob(const struct content *c, int blob, struct str diff_id,
                            const struct str *chain_ids, size_t n, struct err *e)
{
    CLEANUP(free_ptr) char *temp = xasprintf("%s/ingest/layer-XXXXXX", c->root);
    CLEANUP(free_ptr) int *below = xcalloc(n, sizeof *below);
    int n_below = open_below(c, chain_ids, n, below, e);
    if (n_below < 0)
        return -(int)e->code;
    int r = mkdtemp(temp) ? 0 : err_errno(e, errno, "make folder %s", temp);
    if (r == 0)
        r = unpack_into(temp, blob, diff_id, below, (size_t)n_below, e);
    if (r == 0)
        r = publish(c, temp, chain_ids[n - 1], e);
    while (n_below > 0)
        close(below[--n_below]);
    struct err ignored = ERR_INIT(e->arena);
    (void)!tree_remove(AT_FDCWD, temp, &ignored);
    return r;
}

int layers_unpack(const struct content *c, struct str blob_digest, struct str diff_id,
                  const struct str *chain_ids, size_t n, struct err *e)
{
    must(n > 0);
    if (layers_have(c, chain_ids[n - 1]))
        return 0;
    CLEANUP(close_fd) int blob = content_open(c, blob_digest, e);
    if (blob < 0)
        return -(int)e->code;
    int r = unpack_open_blob(c, blob, diff_id, chain_ids, n, e);
    return r < 0 ? err_wrap(e, "unpack layer %.*s", STR_ARG(blob_digest)) : 0;
}

int layers_usage(const struct content *c, struct str chain_id, uint64_t *ret_bytes,
                 uint64_t *ret_inodes)
{
    char text[64];
    size_t n;
    CLEANUP(free_ptr)
    char *path = xasprintf("%s/layers/%.*s/usage", c->root, STR_ARG(digest_hex(chain_id)));
    struct str bytes, inodes;
    if (!file_read_small(AT_FDCWD, path, text, sizeof text, &n))
        return -ERR_NOT_FOUND;
    str_cut(str_trim(str_n(text, n)), ' ', &bytes, &inodes);
    return str_to_u64(bytes, ret_bytes) && str_to_u64(inodes, ret_inodes) ? 0 : -ERR_INVALID;
}

struct sweep {
    bool (*keep)(void *arg, struct str chain_id);
    void *arg;
    struct err *e;
};

static int sweep_one(void *arg, int dir, const char *name)
{
    struct sweep *s = arg;
    char chain[DIGEST_TEXT_LEN + 1];
    int n = snprintf(chain, sizeof chain, "sha256:%s", name);
    if (n == DIGEST_TEXT_LEN && digest_valid(str_z(chain)) && s->keep(s->arg, str_z(chain)))
        return 0;
    return tree_remove(dir, name, s->e);
}

int layers_sweep(const struct content *c, bool (*keep)(void *arg, struct str chain_id), void *arg,
                 struct err *e)
{
    struct sweep s = {keep, arg, e};
    CLEANUP(free_ptr) char *folder = xasprintf("%s/layers", c->root);
    return dir_each(AT_FDCWD, folder, sweep_one, &s, e);
}
