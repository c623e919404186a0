/* SPDX-License-Identifier: Apache-2.0 */
#include "network/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/buf.h"

static const char *const stages[RECORD_STAGES] = {"adding", "pods", "removing"};

/* ---- files ---- */

ssize_t file_read(const char *path, char *out, size_t room)
{
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t n = 0;
    while (n < room - 1) {
        ssize_t got = read(fd, out + n, room - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    out[n] = 0;
    return (ssize_t)n;
}

static int write_all(int fd, struct str text)
{
    while (text.n) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text = str_sub(text, (size_t)n, text.n);
    }
    return 0;
}

int file_write(const char *path, struct str text)
{
    CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -errno : write_all(fd, text);
}

/* Whole or not at all. */
static int replace_file(const char *path, struct str text, struct err *e)
{
    CLEANUP(free_ptr) char *temporary = xasprintf("%s.new", path);
    CLEANUP(close_fd) int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "create %s", temporary);
    int error = write_all(fd, text);
    if (error)
        return err_errno(e, -error, "write %s", temporary);
    if (rename(temporary, path) < 0)
        return err_errno(e, errno, "rename %s", temporary);
    return 0;
}

static int make_folder(const char *path, struct err *e)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return err_errno(e, errno, "create folder %s", path);
    return 0;
}

static bool is_mount(const char *path)
{
    CLEANUP(free_ptr) char *parent = xasprintf("%s/..", path);
    struct stat own, above;
    return stat(path, &own) == 0 && stat(parent, &above) == 0 && own.st_dev != above.st_dev;
}

static int make_mount(const char *dir, struct err *e)
{
    int error = make_folder(dir, e);
    if (error || is_mount(dir))
        return error;
    if (mount("barque", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700,size=64m") < 0)
        return err_errno(e, errno, "mount a tmpfs at %s", dir);
    return 0;
}

/* ---- the host ---- */

static char *host_path(const char *dir)
{
    return xasprintf("%s/host", dir);
}

static bool copy_field(char *out, size_t room, struct str value)
{
    if (value.n >= room)
        return false;
    memcpy(out, value.p, value.n);
    out[value.n] = 0;
    return true;
}

static bool parse_sysctl(struct record_host *h, struct str value)
{
    struct record_sysctl s;
    struct str path, was;
    if (!str_cut(value, ' ', &path, &was) || !copy_field(s.path, sizeof s.path, path) ||
        !copy_field(s.value, sizeof s.value, was) || str_find(path, STR("..")) >= 0)
        return false;
    vec_push(&h->sysctls, s);
    return true;
}

static bool parse_host_line(struct record_host *h, struct str line)
{
    struct str key, value;
    if (str_empty(line))
        return true;
    if (!str_cut(line, ' ', &key, &value))
        return false;
    if (str_eqz(key, "name"))
        return copy_field(h->name, sizeof h->name, value);
    if (str_eqz(key, "ranges"))
        return copy_field(h->ranges, sizeof h->ranges, value);
    return str_eqz(key, "sysctl") && parse_sysctl(h, value);
}

int record_host_load(const char *dir, struct record_host *ret, struct err *e)
{
    CLEANUP(free_ptr) char *path = host_path(dir);
    CLEANUP(free_ptr) char *text = xmalloc(RECORD_MAX);
    ssize_t n = file_read(path, text, RECORD_MAX);
    *ret = (struct record_host){0};
    if (n == -ENOENT || n == -ENOTDIR)
        return 1;
    if (n < 0)
        return err_errno(e, (int)-n, "read %s", path);
    struct str rest = str_n(text, (size_t)n), line;
    bool good = true;
    while (str_next(&rest, '\n', &line))
        good &= parse_host_line(ret, line);
    if (good && ret->name[0])
        return 0;
    record_host_fini(ret);
    return err_set(e, ERR_STORE_CORRUPT, "%s cannot be understood", path);
}

int record_host_save(const char *dir, const struct record_host *h, struct err *e)
{
    static const char *const folders[] = {"/adding", "/pods", "/removing", "/netns"};
    int error = make_mount(dir, e);
    for (size_t i = 0; i < ARRAY_LEN(folders) && !error; i++) {
        CLEANUP(free_ptr) char *folder = xasprintf("%s%s", dir, folders[i]);
        error = make_folder(folder, e);
    }
    if (error)
        return error;
    CLEANUP(free_ptr) char *path = host_path(dir);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(RECORD_MAX);
    buf_fmt(&b, "name %s\nranges %s\n", h->name, h->ranges);
    for (size_t i = 0; i < h->sysctls.n; i++)
        buf_fmt(&b, "sysctl %s %s\n", h->sysctls.v[i].path, h->sysctls.v[i].value);
    if (b.failed)
        return err_set(e, ERR_LIMIT, "too many sysctls for %s", path);
    return replace_file(path, buf_view(&b), e);
}

void record_host_fini(struct record_host *h)
{
    vec_free(&h->sysctls);
    *h = (struct record_host){0};
}

/* ---- pods ---- */

bool record_id_valid(struct str id)
{
    if (id.n == 0 || id.n > NETWORK_ID_MAX || str_eqz(id, ".") || str_eqz(id, "..") ||
        str_has_suffix(id, STR(".new")))
        return false;
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '_' || c == '-';
        if (!good)
            return false;
    }
    return true;
}

static char *pod_path(const char *dir, const char *id, enum record_stage stage)
{
    return xasprintf("%s/%s/%s", dir, stages[stage], id);
}

char *record_pin_path(const char *dir, const char *id)
{
    return xasprintf("%s/netns/%s", dir, id);
}

int record_pod_save(const char *dir, const struct record_pod *p, struct err *e)
{
    CLEANUP(free_ptr) char *path = pod_path(dir, p->id, RECORD_ADDING);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(RECORD_MAX);
    buf_fmt(&b, "offset %u\n", p->offset);
    for (size_t i = 0; i < p->port_count; i++) {
        const struct record_port *port = &p->ports[i];
        char text[IP_TEXT_MAX];
        buf_fmt(&b, "port %d %u %u %s\n", port->protocol, port->host_port, port->container_port,
                ip_text(port->host_ip, text));
    }
    return replace_file(path, buf_view(&b), e);
}

int record_pod_move(const char *dir, const char *id, enum record_stage from, enum record_stage to,
                    struct err *e)
{
    CLEANUP(free_ptr) char *old = pod_path(dir, id, from);
    CLEANUP(free_ptr) char *new = pod_path(dir, id, to);
    return rename(old, new) < 0 ? err_errno(e, errno, "rename %s", old) : 0;
}

void record_pod_forget(const char *dir, const char *id, enum record_stage stage)
{
    CLEANUP(free_ptr) char *path = pod_path(dir, id, stage);
    unlink(path);
}

static bool next_number(struct str *s, uint64_t max, uint64_t *ret)
{
    struct str part;
    return str_next(s, ' ', &part) && str_to_u64(part, ret) && *ret <= max;
}

static bool parse_port(struct record_pod *p, struct str value)
{
    struct record_port port = {0};
    uint64_t protocol, host, container;
    if (!next_number(&value, UINT8_MAX, &protocol) || !next_number(&value, UINT16_MAX, &host) ||
        !next_number(&value, UINT16_MAX, &container) || !ip_parse(value, &port.host_ip))
        return false;
    port.protocol = (enum network_protocol)protocol;
    port.host_port = (uint16_t)host;
    port.container_port = (uint16_t)container;
    p->ports = xrealloc(p->ports, (p->port_count + 1) * sizeof *p->ports);
    p->ports[p->port_count++] = port;
    return true;
}

static bool parse_pod_line(struct record_pod *p, struct str line)
{
    struct str key, value;
    uint64_t offset;
    if (str_empty(line))
        return true;
    str_cut(line, ' ', &key, &value);
    if (str_eqz(key, "port"))
        return p->port_count < 2 * NETWORK_HOST_PORTS_MAX && parse_port(p, value);
    if (!str_eqz(key, "offset") || !str_to_u64(value, &offset) || offset > UINT32_MAX)
        return false;
    p->offset = (uint32_t)offset;
    return true;
}

static struct record_pod load_pod(const char *dir, const char *id, enum record_stage stage)
{
    struct record_pod p = {0};
    snprintf(p.id, sizeof p.id, "%s", id);
    CLEANUP(free_ptr) char *path = pod_path(dir, id, stage);
    CLEANUP(free_ptr) char *text = xmalloc(RECORD_MAX);
    ssize_t n = file_read(path, text, RECORD_MAX);
    struct str rest = str_n(text, n < 0 ? 0 : (size_t)n), line;
    bool good = n >= 0;
    while (good && str_next(&rest, '\n', &line))
        good = parse_pod_line(&p, line);
    if (!good)
        p.offset = 0;
    return p;
}

int record_pods_load(const char *dir, enum record_stage stage, struct record_pods *ret,
                     struct err *e)
{
    *ret = (struct record_pods){0};
    CLEANUP(free_ptr) char *folder = xasprintf("%s/%s", dir, stages[stage]);
    DIR *d = opendir(folder);
    if (!d)
        return errno == ENOENT ? 0 : err_errno(e, errno, "open folder %s", folder);
    for (struct dirent *entry; (entry = readdir(d));) {
        if (record_id_valid(str_z(entry->d_name))) {
            struct record_pod p = load_pod(dir, entry->d_name, stage);
            vec_push(&ret->v, p);
        } else if (entry->d_name[0] != '.') {
            record_pod_forget(dir, entry->d_name, stage); /* a torn ".new" */
        }
    }
    closedir(d);
    return 0;
}

void record_pods_free(struct record_pods *v)
{
    for (size_t i = 0; i < v->v.n; i++)
        free(v->v.v[i].ports);
    vec_free(&v->v);
}

/* ---- the end ---- */

static int remove_folder(const char *folder, struct err *e)
{
    DIR *d = opendir(folder);
    if (!d)
        return errno == ENOENT ? 0 : err_errno(e, errno, "open folder %s", folder);
    for (struct dirent *entry; (entry = readdir(d));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(d), entry->d_name, 0);
    closedir(d);
    if (rmdir(folder) < 0 && errno != ENOENT)
        return err_errno(e, errno, "remove folder %s", folder);
    return 0;
}

int record_remove_all(const char *dir, struct err *e)
{
    static const char *const folders[] = {"/adding", "/pods", "/removing", "/netns"};
    int error = 0;
    for (size_t i = 0; i < ARRAY_LEN(folders) && !error; i++) {
        CLEANUP(free_ptr) char *folder = xasprintf("%s%s", dir, folders[i]);
        error = remove_folder(folder, e);
    }
    if (!error && is_mount(dir) && umount2(dir, MNT_DETACH) < 0)
        return err_errno(e, errno, "unmount %s", dir);
    return error ? error : remove_folder(dir, e);
}
