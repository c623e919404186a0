/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cluster.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "codec/json.h"

enum { FILE_BYTES_MAX = 1 << 20, UNPRIVILEGED_ID = 64010 };

/* ---- files ---- */

int file_read(struct arena *a, const char *path, struct str *ret, struct err *e)
{
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(e, ERR_NOT_FOUND, "%s: no such file", path);
    if (fd < 0)
        return err_errno(e, errno, "%s", path);
    CLEANUP(buf_fini) struct buf b = BUF_INIT(FILE_BYTES_MAX);
    for (;;) {
        char *to = buf_reserve(&b, 4096);
        ssize_t n = to ? read(fd, to, 4096) : -1;
        if (!to)
            return err_set(e, ERR_LIMIT, "%s: larger than %d bytes", path, FILE_BYTES_MAX);
        if (n < 0)
            return err_errno(e, errno, "%s", path);
        if (n == 0)
            break;
        buf_advance(&b, (size_t)n);
    }
    *ret = buf_to_arena(&b, a);
    return 0;
}

int file_write(const char *path, struct str text, uint32_t mode, struct err *e)
{
    CLEANUP(free_ptr) char *temp = xasprintf("%s.%d.new", path, (int)getpid());
    CLEANUP(close_fd) int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return err_errno(e, errno, "%s", temp);
    for (size_t at = 0; at < text.n;) {
        ssize_t n = write(fd, text.p + at, text.n - at);
        if (n < 0)
            return err_errno(e, errno, "%s", temp);
        at += (size_t)n;
    }
    if (fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(temp, path) < 0)
        return err_errno(e, errno, "%s", path);
    return 0;
}

const char *cluster_path(struct arena *a, const struct cluster *c, const char *relative)
{
    return arena_fmt(a, "%s/%s", c->dir, relative).p;
}

/* ---- settings ---- */

/* The first address of an interface that is up and leads somewhere. */
static const char *find_node_ip(struct arena *a)
{
    struct ifaddrs *all, *i;
    const char *found = "127.0.0.1";
    if (getifaddrs(&all) < 0)
        return found;
    for (i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK) ||
            !(i->ifa_flags & IFF_UP))
            continue;
        char text[INET_ADDRSTRLEN];
        const struct sockaddr_in *sin = (const void *)i->ifa_addr;
        inet_ntop(AF_INET, &sin->sin_addr, text, sizeof text);
        found = arena_cstr(a, text).p;
        break;
    }
    freeifaddrs(all);
    return found;
}

void cluster_defaults(struct arena *a, const char *dir, struct cluster *ret)
{
    const struct passwd *user = getpwnam("barque");
    *ret = (struct cluster){
        .dir = dir,
        .name = "barque",
        .pod_cidr = "10.244.0.0/24",
        .service_cidr = "10.96.0.0/16",
        .node_ports = "30000-32767",
        .domain = "cluster.local",
        .bind_address = "0.0.0.0",
        .node_ip = find_node_ip(a),
        .port = 6443,
        .uid = user ? user->pw_uid : UNPRIVILEGED_ID,
        .gid = user ? user->pw_gid : UNPRIVILEGED_ID,
    };
}

static bool parse_cidr(const char *text, uint32_t *ret_net, uint32_t *ret_bits)
{
    struct str ip, bits;
    uint64_t n;
    char host[INET_ADDRSTRLEN];
    struct in_addr in;
    if (!str_cut(str_z(text), '/', &ip, &bits) || !str_to_u64(bits, &n) || n < 8 || n > 30 ||
        ip.n >= sizeof host)
        return false;
    memcpy(host, ip.p, ip.n);
    host[ip.n] = 0;
    if (inet_pton(AF_INET, host, &in) != 1)
        return false;
    *ret_bits = (uint32_t)n;
    *ret_net = ntohl(in.s_addr) & ~(uint32_t)((1ull << (32 - n)) - 1);
    return true;
}

static bool name_ok(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
              (name[i] == '-' && i && i + 1 < n)))
            return false;
    return n >= 1 && n <= 11; /* the bridge's name is at most 15 bytes */
}

int cluster_check(struct arena *a, struct cluster *c, struct err *e)
{
    uint32_t pods, pod_bits, services, service_bits;
    if (!name_ok(c->name))
        return err_set(e, ERR_INVALID,
                       "--name: \"%s\" must be 1 to 11 of a-z, 0-9 and '-' between them", c->name);
    if (!parse_cidr(c->pod_cidr, &pods, &pod_bits))
        return err_set(e, ERR_INVALID, "--pod-cidr: \"%s\" is not an IPv4 range", c->pod_cidr);
    if (!parse_cidr(c->service_cidr, &services, &service_bits))
        return err_set(e, ERR_INVALID, "--service-cidr: \"%s\" is not an IPv4 range",
                       c->service_cidr);
    uint32_t shared = MIN(pod_bits, service_bits);
    if (pods >> (32 - shared) == services >> (32 - shared))
        return err_set(e, ERR_INVALID, "--pod-cidr %s and --service-cidr %s overlap", c->pod_cidr,
                       c->service_cidr);
    /* The tenth address, as is the custom; in small ranges the second. */
    uint32_t dns = services + (service_bits <= 28 ? 10 : 2);
    c->dns_ip =
        arena_fmt(a, "%u.%u.%u.%u", dns >> 24, dns >> 16 & 255, dns >> 8 & 255, dns & 255).p;
    if (!c->agent_port)
        c->agent_port = c->port == 6443 ? 10250 : c->port + 1;
    return 0;
}

static const struct {
    const char *name;
    size_t text_at, number_at; /* offset, or SIZE_MAX */
} settings[] = {
    {"name", offsetof(struct cluster, name), SIZE_MAX},
    {"podCIDR", offsetof(struct cluster, pod_cidr), SIZE_MAX},
    {"serviceCIDR", offsetof(struct cluster, service_cidr), SIZE_MAX},
    {"nodePorts", offsetof(struct cluster, node_ports), SIZE_MAX},
    {"dnsIP", offsetof(struct cluster, dns_ip), SIZE_MAX},
    {"domain", offsetof(struct cluster, domain), SIZE_MAX},
    {"bindAddress", offsetof(struct cluster, bind_address), SIZE_MAX},
    {"nodeIP", offsetof(struct cluster, node_ip), SIZE_MAX},
    {"port", SIZE_MAX, offsetof(struct cluster, port)},
    {"agentPort", SIZE_MAX, offsetof(struct cluster, agent_port)},
    {"uid", SIZE_MAX, offsetof(struct cluster, uid)},
    {"gid", SIZE_MAX, offsetof(struct cluster, gid)},
};

int cluster_load(struct arena *a, const char *dir, struct cluster *ret, struct err *e)
{
    struct cluster c = {.dir = dir};
    struct str text;
    struct json *doc;
    const char *path = cluster_path(a, &c, "cluster.json");
    int rc = file_read(a, path, &text, e);
    if (rc == -ERR_NOT_FOUND)
        return err_set(e, ERR_NOT_FOUND, "there is no cluster in %s", dir);
    if (rc < 0 || (rc = json_parse(a, text, &doc, e)) < 0)
        return rc;
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        const struct json *v = json_getz(doc, settings[i].name);
        bool is_text = settings[i].text_at != SIZE_MAX;
        if (!v || v->type != (is_text ? JSON_STRING : JSON_NUMBER))
            return err_set(e, ERR_INVALID, "%s: \"%s\" is missing", path, settings[i].name);
        if (is_text)
            *(const char **)(void *)((char *)&c + settings[i].text_at) = arena_z(a, v->string);
        else if (!json_i64(v, (int64_t *)(void *)((char *)&c + settings[i].number_at)))
            return err_set(e, ERR_INVALID, "%s: \"%s\" is no whole number", path, settings[i].name);
    }
    *ret = c;
    return 0;
}

int cluster_save(const struct cluster *c, struct err *e)
{
    struct arena a = ARENA_INIT;
    CLEANUP(buf_fini) struct buf b = BUF_INIT(KIB(64));
    struct json *doc = json_object(&a);
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        struct json *v =
            settings[i].text_at != SIZE_MAX
                ? json_string(&a, str_z(*(const char *const *)(const void *)((const char *)c +
                                                                             settings[i].text_at)))
                : json_int(&a, *(const int64_t *)(const void *)((const char *)c +
                                                                settings[i].number_at));
        json_set(&a, doc, str_z(settings[i].name), v);
    }
    json_write_pretty(&b, doc, 2);
    buf_c(&b, '\n');
    int rc = file_write(cluster_path(&a, c, "cluster.json"), buf_view(&b), 0644, e);
    arena_fini(&a);
    return rc;
}

/* ---- process ids ---- */

static const char *pid_path(struct arena *a, const struct cluster *c, const char *name)
{
    return arena_fmt(a, "%s/run/%s.pid", c->dir, name).p;
}

/* Does the process's command line name our data folder? A reused pid does not. */
static bool is_ours(struct arena *a, int64_t pid, const struct cluster *c)
{
    struct str cmdline, part;
    struct err e = ERR_INIT(a);
    if (file_read(a, arena_fmt(a, "/proc/%lld/cmdline", (long long)pid).p, &cmdline, &e) < 0)
        return false;
    while (str_next(&cmdline, 0, &part))
        if (str_eqz(part, c->dir))
            return true;
    return false;
}

int pid_read(const struct cluster *c, const char *name)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct str text;
    int64_t pid = 0;
    if (file_read(&a, pid_path(&a, c, name), &text, &e) < 0 || !str_to_i64(str_trim(text), &pid) ||
        pid <= 1 || pid > INT32_MAX || kill((pid_t)pid, 0) < 0 || !is_ours(&a, pid, c))
        pid = 0;
    arena_fini(&a);
    return (int)pid;
}

int pid_write(const struct cluster *c, const char *name, int pid, struct err *e)
{
    struct arena a = ARENA_INIT;
    int rc = file_write(pid_path(&a, c, name), arena_fmt(&a, "%d\n", pid), 0644, e);
    arena_fini(&a);
    return rc;
}

void pid_remove(const struct cluster *c, const char *name)
{
    struct arena a = ARENA_INIT;
    (void)unlink(pid_path(&a, c, name));
    arena_fini(&a);
}
