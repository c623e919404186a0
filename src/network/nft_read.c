/* SPDX-License-Identifier: Apache-2.0 */
/* What of our table the kernel has: for a new agent to adopt; and which clients it remembers. */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>

#include "network/nft_table.h"

struct reader {
    const struct nft_config *c;
    struct nft_found *found;
    int family;
    enum nft_set set;
    size_t frontends_before, backends_before; /* of the other family */
    const struct map *sticky;                 /* struct nft_key -> struct nft_sticky */
    struct buf *stale;                        /* elements of the map affinity, to be deleted */
};

/* ---- bytes back into keys ---- */

struct parse {
    const uint8_t *p;
    size_t n;
    bool bad;
};

static const uint8_t *take_bytes(struct parse *in, size_t n)
{
    static const uint8_t none[16];
    if (in->n < n) {
        in->bad = true;
        return none;
    }
    const uint8_t *p = in->p;
    in->p += n;
    in->n -= n;
    return p;
}

static uint32_t take_mark(struct parse *in)
{
    uint32_t v;
    memcpy(&v, take_bytes(in, sizeof v), sizeof v);
    return v;
}

static struct ip take_ip(struct parse *in, int family)
{
    struct ip a = {.family = (uint8_t)family};
    memcpy(a.bytes, take_bytes(in, ip_len(a)), ip_len(a));
    return a;
}

static uint16_t take_port(struct parse *in)
{
    const uint8_t *p = take_bytes(in, 4);
    return (uint16_t)(p[0] << 8 | p[1]);
}

static struct nft_key take_key(struct parse *in, int family)
{
    struct nft_key k = {.ip = take_ip(in, family)};
    k.protocol = *take_bytes(in, 4);
    k.port = take_port(in);
    return k;
}

static struct nft_backend take_backend(struct parse *in, int family)
{
    struct nft_backend b = {.ip = take_ip(in, family)};
    b.port = take_port(in);
    return b;
}

/* ---- attributes ---- */

static const struct nlattr *find_in(const struct nlattr *nest, uint16_t type)
{
    return nl_find(nl_attrs_in(nest), type);
}

static const struct nlattr *find_in_message(const struct nlmsghdr *m, uint16_t type)
{
    return nl_find(nl_attrs_of(m, sizeof(struct nfgenmsg)), type);
}

static struct parse attr_value(const struct nlattr *data)
{
    const struct nlattr *a = find_in(data, NFTA_DATA_VALUE);
    if (!a)
        return (struct parse){.bad = true};
    return (struct parse){mnl_attr_get_payload(a), mnl_attr_get_payload_len(a), false};
}

/* ---- verdicts ---- */

static bool take_number(struct str *s, uint32_t *ret)
{
    size_t n = 0;
    uint64_t v;
    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    if (!str_to_u64(str_sub(*s, 0, n), &v) || v > UINT32_MAX)
        return false;
    *s = str_sub(*s, n, s->n);
    *ret = (uint32_t)v;
    return true;
}

/* "pick4-any-3-outside-2-10800s": see nft_pick_name. */
static bool parse_pick(struct str chain, const struct nft_key *k, struct nft_target *ret)
{
    struct nft_target to = {.action = NFT_PICK};
    if (!str_skip(&chain, k->ip.family == 6 ? STR("pick6") : STR("pick4")) ||
        str_skip(&chain, STR("-any")) != ip_is_any(k->ip) || !str_skip(&chain, STR("-")) ||
        !take_number(&chain, &to.backends) || to.backends == 0)
        return false;
    to.outside = to.backends;
    if (str_skip(&chain, STR("-outside-")) && !take_number(&chain, &to.outside))
        return false;
    if (str_skip(&chain, STR("-")) &&
        (!take_number(&chain, &to.affinity_s) || !str_skip(&chain, STR("s"))))
        return false;
    *ret = to;
    return chain.n == 0 && to.outside <= to.backends;
}

static bool parse_target(struct str chain, const struct nft_key *k, struct nft_target *ret)
{
    *ret = (struct nft_target){.action = str_eqz(chain, "drop") ? NFT_DROP : NFT_REJECT};
    return str_eqz(chain, "drop") || str_eqz(chain, "reject") || parse_pick(chain, k, ret);
}

/* ---- elements ---- */

static void see_frontend(struct reader *rd, const struct nlattr *el)
{
    struct parse key = attr_value(find_in(el, NFTA_SET_ELEM_KEY));
    const struct nlattr *verdict = find_in(find_in(el, NFTA_SET_ELEM_DATA), NFTA_DATA_VERDICT);
    struct nft_found_frontend f = {.key = take_key(&key, rd->family)};
    if (!key.bad && parse_target(nl_text(find_in(verdict, NFTA_VERDICT_CHAIN)), &f.key, &f.target))
        vec_push(&rd->found->frontends, f);
}

static void see_backend(struct reader *rd, const struct nlattr *el)
{
    struct parse key = attr_value(find_in(el, NFTA_SET_ELEM_KEY));
    struct parse data = attr_value(find_in(el, NFTA_SET_ELEM_DATA));
    struct nft_found_backend b = {.key = take_key(&key, rd->family)};
    b.index = take_mark(&key);
    b.backend = take_backend(&data, rd->family);
    if (!key.bad && !data.bad)
        vec_push(&rd->found->backends, b);
}

static const struct nft_sticky *sticky_of(const struct reader *rd, const struct nft_key *k)
{
    return map_get(rd->sticky, str_n((const char *)k, sizeof *k));
}

/* Notes the element of the map affinity, as it is in the message, when its backend has gone. */
static void see_client(struct reader *rd, const struct nlattr *el)
{
    const struct nlattr *raw = find_in(el, NFTA_SET_ELEM_KEY);
    struct parse key = attr_value(raw), data = attr_value(find_in(el, NFTA_SET_ELEM_DATA));
    take_ip(&key, rd->family); /* the client */
    struct nft_key k = take_key(&key, rd->family);
    struct nft_backend b = take_backend(&data, rd->family);
    const struct nft_sticky *st = sticky_of(rd, &k);
    if (key.bad || data.bad || !st)
        return;
    if (st->n && bsearch(&b, st->backends, st->n, sizeof b, nft_backend_cmp))
        return;
    struct nlattr head = {.nla_type = NFTA_LIST_ELEM | NLA_F_NESTED,
                          .nla_len = (uint16_t)(sizeof head + MNL_ALIGN(raw->nla_len))};
    buf_add(rd->stale, &head, sizeof head);
    buf_add(rd->stale, raw, MNL_ALIGN(raw->nla_len));
}

static int see_elements(const struct nlmsghdr *m, void *arg)
{
    struct reader *rd = arg;
    struct nl_attrs list = nl_attrs_in(find_in_message(m, NFTA_SET_ELEM_LIST_ELEMENTS));
    for (const struct nlattr *el; nl_next(&list, &el);) {
        if (rd->set == NFT_FRONTENDS)
            see_frontend(rd, el);
        else if (rd->set == NFT_BACKENDS)
            see_backend(rd, el);
        else
            see_client(rd, el);
    }
    return 0;
}

static void begin_elements(void *arg)
{
    struct reader *rd = arg;
    if (rd->set == NFT_FRONTENDS)
        rd->found->frontends.n = rd->frontends_before;
    else if (rd->set == NFT_BACKENDS)
        rd->found->backends.n = rd->backends_before;
    else
        buf_clear(rd->stale);
}

static int read_set(int fd, struct reader *rd, enum nft_set set, struct err *e)
{
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    struct nft_asm a = {.b = &b, .table = rd->c->table};
    char name[NFT_SET_NAME_MAX];
    nft_set_name(set, rd->family, name);
    struct nlmsghdr *m = nft_message(&a, "read nftables set", 0, NFT_MSG_GETSETELEM, 0, NL_ROOM);
    mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_TABLE, a.table);
    mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_SET, name);
    nl_end(&b, m);
    rd->set = set;
    return nl_dump(fd, &b, see_elements, begin_elements, rd, e);
}

/* ---- chains and the table ---- */

static int see_chain(const struct nlmsghdr *m, void *arg)
{
    struct reader *rd = arg;
    struct str name = nl_text(find_in_message(m, NFTA_CHAIN_NAME));
    if (str_eqz(nl_text(find_in_message(m, NFTA_CHAIN_TABLE)), rd->c->table) &&
        (str_has_prefix(name, STR("pick")) || str_has_prefix(name, STR("remember"))))
        vec_push(&rd->found->chains, xasprintf("%.*s", STR_ARG(name)));
    return 0;
}

static void begin_chains(void *arg)
{
    struct reader *rd = arg;
    while (rd->found->chains.n)
        free(rd->found->chains.v[--rd->found->chains.n]);
}

static int read_chains(int fd, struct reader *rd, struct err *e)
{
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    struct nft_asm a = {.b = &b, .table = rd->c->table};
    nl_end(&b, nft_message(&a, "read nftables chains", 0, NFT_MSG_GETCHAIN, 0, NL_ROOM));
    return nl_dump(fd, &b, see_chain, begin_chains, rd, e);
}

static int keep_comment(const struct nlmsghdr *m, void *arg)
{
    char *out = arg;
    struct str comment = nft_table_comment(m);
    snprintf(out, NFT_COMMENT_MAX, "%.*s", STR_ARG(comment));
    return 0;
}

/* 1: no such table. */
static int read_comment(int fd, const char *table, char out[NFT_COMMENT_MAX], struct err *e)
{
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    struct nft_asm a = {.b = &b, .table = table};
    struct nlmsghdr *m = nft_message(&a, "read nftables table", 0, NFT_MSG_GETTABLE, 0, NL_ROOM);
    mnl_attr_put_strz(m, NFTA_TABLE_NAME, table);
    nl_end(&b, m);
    out[0] = 0;
    return nl_get(fd, &b, keep_comment, out, e);
}

/* "barque: /var/lib/barque (1)": what precedes the version says whose it is. */
static struct str owner_of(struct str comment)
{
    ptrdiff_t at = str_rindex(comment, '(');
    return at < 0 ? comment : str_sub(comment, 0, (size_t)at);
}

static int read_elements(int fd, struct reader *rd, struct err *e)
{
    int error = read_chains(fd, rd, e);
    for (rd->family = 4; rd->family <= 6 && !error; rd->family += 2) {
        bool six = rd->family == 6;
        if (!rd->c->pods[six].ip.family && !rd->c->services[six].ip.family)
            continue;
        rd->frontends_before = rd->found->frontends.n;
        rd->backends_before = rd->found->backends.n;
        error = read_set(fd, rd, NFT_FRONTENDS, e);
        if (!error)
            error = read_set(fd, rd, NFT_BACKENDS, e);
    }
    return error;
}

int nft_read(const struct nft_config *c, struct nft_found *ret, struct err *e)
{
    *ret = (struct nft_found){0};
    CLEANUP(close_fd) int fd = nl_open(NETLINK_NETFILTER, e);
    if (fd < 0)
        return fd;
    char comment[NFT_COMMENT_MAX];
    int outcome = read_comment(fd, c->table, comment, e);
    if (outcome)
        return MIN(outcome, 0);
    ret->foreign = !str_eq(owner_of(str_z(comment)), owner_of(str_z(c->comment)));
    ret->table = strcmp(comment, c->comment) == 0;
    if (!ret->table)
        return 0;
    struct reader rd = {.c = c, .found = ret};
    return read_elements(fd, &rd, e);
}

void nft_found_free(struct nft_found *f)
{
    for (size_t i = 0; i < f->chains.n; i++)
        free(f->chains.v[i]);
    vec_free(&f->chains);
    vec_free(&f->frontends);
    vec_free(&f->backends);
}

void nft_adopt_chains(struct nft *t, const struct nft_found *f)
{
    for (size_t i = 0; i < f->chains.n; i++) {
        if (map_has(&t->picks, str_z(f->chains.v[i])))
            continue;
        struct nft_pick *p = xcalloc(1, sizeof *p);
        snprintf(p->name, sizeof p->name, "%s", f->chains.v[i]);
        p->made = true;
        map_put(&t->picks, str_z(p->name), p);
        t->picks_changed = true;
    }
}

/* ---- clients ---- */

enum { FORGET_TRIES_MAX = 5 };

/* One walk and one transaction; fails when an element has timed out in between. */
static int forget_once(int fd, struct reader *rd, struct err *e)
{
    int error = read_set(fd, rd, NFT_AFFINITY, e);
    if (error || rd->stale->n == 0)
        return error;
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    struct nft_asm a = {.b = &b, .table = rd->c->table};
    nft_transaction_begin(&b);
    nft_put_elements(&a, NFT_AFFINITY, rd->family, rd->stale, false);
    nft_transaction_end(&b);
    return nl_run(fd, &b, e);
}

static int forget_family(int fd, struct reader *rd, struct err *e)
{
    int error = 0;
    for (int tries = 0; tries < FORGET_TRIES_MAX; tries++) {
        error = forget_once(fd, rd, e);
        if (!error)
            return 0;
        if (tries + 1 < FORGET_TRIES_MAX)
            err_clear(e);
    }
    return error;
}

int nft_forget_clients(int fd, const struct nft_config *c, const struct nft_sticky *v, size_t n,
                       struct err *e)
{
    CLEANUP(map_fini) struct map by_key = MAP_INIT;
    CLEANUP(buf_fini) struct buf stale = BUF_INIT(NL_BATCH_MAX);
    bool used[2] = {0};
    for (size_t i = 0; i < n; i++) {
        struct nft_sticky *st = xmalloc(sizeof *st);
        *st = v[i];
        free(map_put(&by_key, str_n((const char *)&st->key, sizeof st->key), st));
        used[st->key.ip.family == 6] = true;
    }
    int error = 0;
    struct reader rd = {.c = c, .sticky = &by_key, .stale = &stale};
    for (rd.family = 4; rd.family <= 6 && !error; rd.family += 2)
        if (used[rd.family == 6])
            error = forget_family(fd, &rd, e);
    uint32_t it = 0;
    for (struct map_entry *entry; (entry = map_next(&by_key, &it));)
        free(entry->value);
    return error;
}

int nft_destroy(const char *table, struct str comment_prefix, struct err *e)
{
    CLEANUP(close_fd) int fd = nl_open(NETLINK_NETFILTER, e);
    if (fd < 0)
        return fd;
    char comment[NFT_COMMENT_MAX];
    int outcome = read_comment(fd, table, comment, e);
    if (outcome)
        return outcome;
    if (!str_has_prefix(str_z(comment), comment_prefix))
        return err_set(e, ERR_CONFLICT, "nftables table \"%s\" is not ours", table);
    CLEANUP(nl_batch_fini) struct nl_batch b;
    nl_batch_init(&b);
    struct nft_asm a = {.b = &b, .table = table};
    nft_transaction_begin(&b);
    nft_table_remove(&a);
    nft_transaction_end(&b);
    return nl_run(fd, &b, e);
}
