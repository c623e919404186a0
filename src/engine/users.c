/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/users.h"

#include <fcntl.h>

#include "engine/files.h"

struct files {
    struct str passwd, group; /* empty when the image has none */
};

static struct str read_in_image(struct arena *a, int root, const char *path)
{
    struct err ignored = ERR_INIT(a);
    struct str text = STR_NULL;
    char proc[32];
    CLEANUP(close_fd) int fd = open_in_root(root, path);
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    if (fd >= 0 && file_read(a, AT_FDCWD, proc, USERS_FILE_MAX, &text, &ignored) < 0)
        return STR_NULL;
    return text;
}

struct passwd_line {
    struct str name, home;
    uint32_t uid, gid;
};

static bool to_id(struct str s, uint32_t *ret)
{
    uint64_t v;
    if (!s.n || s.p[0] == '-' || s.p[0] == '+' || !str_to_u64(s, &v) || v >= UINT32_MAX)
        return false;
    *ret = (uint32_t)v;
    return true;
}

/* name:password:uid:gid:comment:home:shell */
static bool parse_passwd(struct str line, struct passwd_line *ret)
{
    struct str f[6] = {0};
    for (size_t i = 0; i < ARRAY_LEN(f); i++)
        if (!str_next(&line, ':', &f[i]) && i < 4)
            return false;
    *ret = (struct passwd_line){.name = f[0], .home = f[5]};
    return to_id(f[2], &ret->uid) && to_id(f[3], &ret->gid);
}

/* By name, or with an empty name by uid. */
static bool find_user(const struct files *files, struct str name, uint32_t uid,
                      struct passwd_line *ret)
{
    struct str rest = files->passwd, line;
    while (str_next(&rest, '\n', &line))
        if (parse_passwd(line, ret) && (name.n ? str_eq(ret->name, name) : ret->uid == uid))
            return true;
    return false;
}

struct group_line {
    struct str name, members;
    uint32_t gid;
};

/* name:password:gid:member,member */
static bool parse_group(struct str line, struct group_line *ret)
{
    struct str f[4] = {0};
    for (size_t i = 0; i < ARRAY_LEN(f); i++)
        if (!str_next(&line, ':', &f[i]) && i < 3)
            return false;
    *ret = (struct group_line){.name = f[0], .members = f[3]};
    return to_id(f[2], &ret->gid);
}

static bool find_group(const struct files *files, struct str name, uint32_t *ret)
{
    struct str rest = files->group, line;
    struct group_line g;
    while (str_next(&rest, '\n', &line))
        if (parse_group(line, &g) && str_eq(g.name, name)) {
            *ret = g.gid;
            return true;
        }
    return false;
}

static bool has_group(const struct process_user *u, uint32_t gid)
{
    for (size_t i = 0; i < u->n_groups; i++)
        if (u->groups[i] == gid)
            return true;
    return false;
}

static void add_group(struct process_user *u, uint32_t gid)
{
    if (u->n_groups < USER_GROUPS_MAX && !has_group(u, gid))
        u->groups[u->n_groups++] = gid;
}

static bool is_member(struct str members, struct str name)
{
    struct str member;
    while (str_next(&members, ',', &member))
        if (str_eq(str_trim(member), name))
            return true;
    return false;
}

/* The image's /etc/group gives the user's further groups, as login would. */
static void add_image_groups(const struct files *files, struct process_user *u)
{
    struct str rest = files->group, line;
    struct group_line g;
    while (u->name.n && str_next(&rest, '\n', &line))
        if (parse_group(line, &g) && is_member(g.members, u->name))
            add_group(u, g.gid);
}

static int resolve_user(const struct files *files, struct str user, struct process_user *u,
                        struct err *e)
{
    struct passwd_line line;
    uint32_t uid = 0;
    bool number = to_id(user, &uid), known = find_user(files, number ? STR_NULL : user, uid, &line);
    if (!known && !number)
        return err_set(e, ERR_BAD_REQUEST,
                       "unable to find user %.*s: no matching entries in passwd file",
                       STR_ARG(user));
    u->uid = known ? line.uid : uid;
    u->gid = known ? line.gid : 0;
    if (known) {
        u->name = line.name;
        u->home = line.home;
    }
    return 0;
}

static int resolve_group(const struct files *files, struct str group, struct process_user *u,
                         struct err *e)
{
    if (to_id(group, &u->gid) || find_group(files, group, &u->gid))
        return 0;
    return err_set(e, ERR_BAD_REQUEST,
                   "unable to find group %.*s: no matching entries in group file", STR_ARG(group));
}

/* "user[:group]" of the security context, or of the image where that says nothing. */
static int wanted(struct arena *a, struct str image_user,
                  const struct criv1_linux_container_security_context *sc, struct str *ret,
                  struct err *e)
{
    struct str user = sc ? sc->run_as_username : STR_NULL;
    if (!user.n && sc && sc->run_as_user)
        user = arena_fmt(a, "%lld", (long long)sc->run_as_user->value);
    *ret = user.n ? user : image_user;
    if (!sc || !sc->run_as_group)
        return 0;
    if (!user.n)
        return err_set(e, ERR_BAD_REQUEST, "user group %lld is specified without user",
                       (long long)sc->run_as_group->value);
    *ret = arena_fmt(a, "%.*s:%lld", STR_ARG(user), (long long)sc->run_as_group->value);
    return 0;
}

static int add_given_groups(const struct criv1_linux_container_security_context *sc,
                            struct process_user *u, struct err *e)
{
    LIST_EACH (gid, &sc->supplemental_groups) {
        if (*gid < 0 || *gid >= UINT32_MAX)
            return err_set(e, ERR_BAD_REQUEST, "supplemental group %lld is out of range",
                           (long long)*gid);
        add_group(u, (uint32_t)*gid);
    }
    return 0;
}

int user_resolve(struct arena *a, const char *rootfs, struct str image_user,
                 const struct criv1_linux_container_security_context *sc, struct process_user *ret,
                 struct err *e)
{
    struct str want, user, group;
    *ret = (struct process_user){0};
    int r = wanted(a, image_user, sc, &want, e);
    if (r < 0)
        return r;
    CLEANUP(close_fd) int root = dir_open(AT_FDCWD, rootfs);
    struct files files = {read_in_image(a, root, "etc/passwd"),
                          read_in_image(a, root, "etc/group")};
    ret->groups = arena_array(a, USER_GROUPS_MAX, uint32_t);
    bool grouped = str_cut(want, ':', &user, &group) && group.n;
    r = resolve_user(&files, user.n ? user : STR("0"), ret, e);
    if (r == 0 && grouped)
        r = resolve_group(&files, group, ret, e);
    if (r < 0)
        return r;
    if (!sc || sc->supplemental_groups_policy != CRIV1_Strict)
        add_image_groups(&files, ret);
    return sc ? add_given_groups(sc, ret, e) : 0;
}
