/* SPDX-License-Identifier: Apache-2.0 */
/* What a cluster needs to trust itself: one authority, a certificate for each role, kubeconfigs. */
#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "cmd/cluster.h"
#include "codec/base64.h"
#include "http/pki.h"

enum { LEAF_DAYS = 365, RENEW_DAYS = 30 };

struct maker {
    const struct cluster *c;
    struct arena *a;
    struct err *e;
    struct pki_pair ca;
    int64_t now_s;
};

/* Server files may be read by the server's user only; the rest by root only. */
static int store_file(struct maker *m, const char *relative, struct str text, bool for_server)
{
    const char *path = cluster_path(m->a, m->c, relative);
    int rc = file_write(path, text, 0600, m->e);
    if (rc < 0 || !for_server || geteuid() != 0)
        return rc;
    if (chown(path, (uid_t)m->c->uid, (gid_t)m->c->gid) < 0)
        return err_errno(m->e, errno, "%s", path);
    return 0;
}

static bool is_fresh(struct maker *m, const char *relative)
{
    struct err ignored = ERR_INIT(m->a);
    struct str pem;
    int64_t end;
    return file_read(m->a, cluster_path(m->a, m->c, relative), &pem, &ignored) == 0 &&
           pki_expiry(pem, &end, &ignored) == 0 && end > m->now_s + (int64_t)RENEW_DAYS * 86400;
}

static int make_authority(struct maker *m)
{
    struct err missing = ERR_INIT(m->a);
    const char *cert = cluster_path(m->a, m->c, "pki/ca.crt");
    const char *key = cluster_path(m->a, m->c, "pki/ca.key");
    if (file_read(m->a, cert, &m->ca.cert_pem, &missing) == 0)
        return file_read(m->a, key, &m->ca.key_pem, m->e);
    const char *name = arena_fmt(m->a, "%s-ca", m->c->name).p;
    int rc = pki_authority(m->a, name, &m->ca, m->e);
    if (rc == 0)
        rc = store_file(m, "pki/ca.key", m->ca.key_pem, false);
    if (rc == 0)
        rc = file_write(cert, m->ca.cert_pem, 0644, m->e);
    return rc;
}

struct leaf {
    const char *file; /* pki/<file>.crt and .key */
    struct pki_request q;
    bool for_server;
};

static int make_leaf(struct maker *m, const struct leaf *l, struct pki_pair *ret)
{
    const char *cert = arena_fmt(m->a, "pki/%s.crt", l->file).p;
    const char *key = arena_fmt(m->a, "pki/%s.key", l->file).p;
    struct pki_request q = l->q;
    if (is_fresh(m, cert)) {
        int rc = file_read(m->a, cluster_path(m->a, m->c, cert), &ret->cert_pem, m->e);
        return rc < 0 ? rc : file_read(m->a, cluster_path(m->a, m->c, key), &ret->key_pem, m->e);
    }
    q.not_before_s = m->now_s - 3600;
    q.not_after_s = m->now_s + (int64_t)LEAF_DAYS * 86400;
    int rc = pki_issue(m->a, &m->ca, &q, ret, m->e);
    if (rc == 0)
        rc = store_file(m, key, ret->key_pem, l->for_server);
    if (rc == 0)
        rc = store_file(m, cert, ret->cert_pem, l->for_server);
    return rc;
}

static struct str base64_text(struct arena *a, struct str s)
{
    CLEANUP(buf_fini) struct buf b = BUF_INIT(MIB(1));
    base64_encode(&b, s);
    return buf_to_arena(&b, a);
}

static int write_kubeconfig(struct maker *m, const struct pki_pair *admin)
{
    struct str text = arena_fmt(
        m->a,
        "apiVersion: v1\nkind: Config\nclusters:\n- name: %s\n  cluster:\n"
        "    server: https://127.0.0.1:%lld\n    certificate-authority-data: %.*s\n"
        "users:\n- name: %s-admin\n  user:\n    client-certificate-data: %.*s\n"
        "    client-key-data: %.*s\ncontexts:\n- name: %s\n  context:\n    cluster: %s\n"
        "    user: %s-admin\ncurrent-context: %s\n",
        m->c->name, (long long)m->c->port, STR_ARG(base64_text(m->a, m->ca.cert_pem)), m->c->name,
        STR_ARG(base64_text(m->a, admin->cert_pem)), STR_ARG(base64_text(m->a, admin->key_pem)),
        m->c->name, m->c->name, m->c->name, m->c->name);
    return file_write(cluster_path(m->a, m->c, "admin.kubeconfig"), text, 0600, m->e);
}

static int make_sa_key(struct maker *m)
{
    struct err missing = ERR_INIT(m->a);
    struct str pem;
    if (file_read(m->a, cluster_path(m->a, m->c, "pki/sa.key"), &pem, &missing) == 0)
        return 0;
    int rc = pki_key(m->a, &pem, m->e);
    return rc < 0 ? rc : store_file(m, "pki/sa.key", pem, true);
}

/* The first address of a range: the gateway of pods, the kubernetes Service. */
static const char *first_address(struct arena *a, const char *cidr)
{
    struct str ip, bits, rest, part;
    uint32_t v = 0;
    uint64_t n;
    (void)str_cut(str_z(cidr), '/', &ip, &bits);
    rest = ip;
    while (str_next(&rest, '.', &part))
        if (str_to_u64(part, &n))
            v = v << 8 | (uint32_t)n;
    v++;
    return arena_fmt(a, "%u.%u.%u.%u", v >> 24, v >> 16 & 255, v >> 8 & 255, v & 255).p;
}

static int make_all(struct maker *m)
{
    const struct cluster *c = m->c;
    const char *dns[] = {"localhost",
                         "kubernetes",
                         "kubernetes.default",
                         "kubernetes.default.svc",
                         arena_fmt(m->a, "kubernetes.default.svc.%s", c->domain).p,
                         NULL};
    const char *addresses[] = {"127.0.0.1", c->node_ip, first_address(m->a, c->pod_cidr),
                               first_address(m->a, c->service_cidr), NULL};
    const char *kubelet_dns[] = {"kubelet", c->name, NULL};
    const char *masters[] = {"system:masters", NULL}, *nodes[] = {"system:nodes", NULL};
    const char *node_user = arena_fmt(m->a, "system:node:%s", c->name).p;
    const struct leaf leaves[] = {
        {"apiserver",
         {.common_name = "kube-apiserver",
          .dns_names = dns,
          .addresses = addresses,
          .server = true},
         true},
        {"apiserver-kubelet-client",
         {.common_name = "kube-apiserver-kubelet-client", .organizations = masters, .client = true},
         true},
        {"kubelet",
         {.common_name = node_user,
          .organizations = nodes,
          .dns_names = kubelet_dns,
          .addresses = addresses,
          .server = true,
          .client = true},
         false},
        {"admin",
         {.common_name = "kubernetes-admin", .organizations = masters, .client = true},
         false},
    };
    struct pki_pair pair = {0};
    int rc = make_authority(m);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(leaves); i++)
        rc = make_leaf(m, &leaves[i], &pair);
    if (rc == 0)
        rc = write_kubeconfig(m, &pair); /* the last leaf is the admin's */
    return rc == 0 ? make_sa_key(m) : rc;
}

int cluster_credentials(const struct cluster *c, struct err *e)
{
    struct arena a = ARENA_INIT;
    struct maker m = {.c = c, .a = &a, .e = e, .now_s = (int64_t)time(NULL)};
    int rc = make_all(&m);
    arena_fini(&a);
    return rc;
}
