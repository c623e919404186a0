/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions of elements. The ruleset itself is in nft_table.c, reading in nft_read.c. */
#include <arpa/inet.h>

#include "network/nft_table.h"

enum {
    ELEMENTS_ROOM = 60000 /* bytes of elements per message: an attribute's length is 16 bits */
};

int nft_backend_cmp(const void *a, const void *b)
{
    const struct nft_backend *x = a, *y = b;
    int c = memcmp(&x->ip, &y->ip, sizeof x->ip);
    return c ? c : (x->port > y->port) - (x->port < y->port);
}

/* ---- elements as bytes ---- */

static void put_bytes(struct nft_bytes *b, const void *p, size_t n)
{
    must(b->n + n <= sizeof b->v);
    memcpy(b->v + b->n, p, n);
    b->n += n;
}

static void put_mark(struct nft_bytes *b, uint32_t v)
{
    put_bytes(b, &v, sizeof v);
}

static void put_port(struct nft_bytes *b, uint16_t port)
{
    const uint8_t field[4] = {(uint8_t)(port >> 8), (uint8_t)port};
    put_bytes(b, field, sizeof field);
}

static void put_ip(struct nft_bytes *b, struct ip a)
{
    put_bytes(b, a.bytes, ip_len(a));
}

static struct nft_bytes key_bytes(const struct nft_key *k)
{
    struct nft_bytes b = {0};
    const uint8_t protocol[4] = {k->protocol};
    put_ip(&b, k->ip);
    put_bytes(&b, protocol, sizeof protocol);
    put_port(&b, k->port);
    return b;
}

static struct nft_bytes backend_bytes(const struct nft_backend *backend)
{
    struct nft_bytes b = {0};
    put_ip(&b, backend->ip);
    put_port(&b, backend->port);
    return b;
}

/* ---- pending elements ---- */

static size_t slot_of(enum nft_set set, int family)
{
    return (size_t)set * 2 + (family == 6);
}

/* One attribute being built at the end of a buffer. */
static struct nlattr *attr_begin(struct buf *b, uint16_t type, size_t *ret_at)
{
    struct nlattr head = {.nla_type = type};
    *ret_at = b->n;
    buf_add(b, &head, sizeof head);
    return (void *)(b->p + *ret_at);
}

static void attr_end(struct buf *b, size_t at)
{
    static const char zero[4];
    struct nlattr *head = (void *)(b->p + at);
    head->nla_len = (uint16_t)(b->n - at);
    buf_add(b, zero, MNL_ALIGN(b->n) - b->n);
}

static void attr(struct buf *b, uint16_t type, const void *p, size_t n)
{
    size_t at;
    attr_begin(b, type, &at);
    buf_add(b, p, n);
    attr_end(b, at);
}

static void attr_value(struct buf *b, uint16_t type, const struct nft_bytes *value)
{
    size_t at;
    attr_begin(b, type | NLA_F_NESTED, &at);
    attr(b, NFTA_DATA_VALUE, value->v, value->n);
    attr_end(b, at);
}

static void attr_verdict(struct buf *b, uint16_t type, int verdict_code, const char *chain)
{
    size_t data, verdict;
    const uint32_t code = htonl((uint32_t)verdict_code);
    attr_begin(b, type | NLA_F_NESTED, &data);
    attr_begin(b, NFTA_DATA_VERDICT | NLA_F_NESTED, &verdict);
    attr(b, NFTA_VERDICT_CODE, &code, sizeof code);
    attr(b, NFTA_VERDICT_CHAIN, chain, strlen(chain) + 1);
    attr_end(b, verdict);
    attr_end(b, data);
}

struct element {
    enum nft_set set;
    int family;
    struct nft_bytes key;
    struct nft_bytes key_end; /* n == 0: no interval */
    struct nft_bytes data;    /* n == 0: none */
    const char *chain;        /* NULL: none */
};

static void put_element(struct nft *t, struct buf *lists, const struct element *el)
{
    struct buf *b = &lists[slot_of(el->set, el->family)];
    size_t at;
    attr_begin(b, NFTA_LIST_ELEM | NLA_F_NESTED, &at);
    attr_value(b, NFTA_SET_ELEM_KEY, &el->key);
    if (el->key_end.n)
        attr_value(b, NFTA_SET_ELEM_KEY_END, &el->key_end);
    if (el->data.n)
        attr_value(b, NFTA_SET_ELEM_DATA, &el->data);
    if (el->chain)
        attr_verdict(b, NFTA_SET_ELEM_DATA, el->set == NFT_STICKY ? NFT_JUMP : NFT_GOTO, el->chain);
    attr_end(b, at);
    t->changes++;
}

/* ---- pick chains ---- */

void nft_pick_name(const struct nft_pick *p, char out[NFT_CHAIN_MAX])
{
    struct buf b = BUF_INIT(NFT_CHAIN_MAX - 1);
    buf_fmt(&b, "%s%d", p->remember ? "remember" : "pick", p->family);
    buf_z(&b, p->any ? "-any" : "");
    if (!p->remember)
        buf_fmt(&b, "-%u", p->target.backends);
    if (!p->remember && p->target.outside < p->target.backends)
        buf_fmt(&b, "-outside-%u", p->target.outside);
    if (p->target.affinity_s)
        buf_fmt(&b, "-%us", p->target.affinity_s);
    must(!b.failed);
    memcpy(out, b.p, b.n + 1);
    buf_fini(&b);
}

static struct nft_pick *pick_get(struct nft *t, const struct nft_key *k, struct nft_target to,
                                 bool remember)
{
    struct nft_pick p = {
        .family = k->ip.family, .any = ip_is_any(k->ip), .remember = remember, .target = to};
    nft_pick_name(&p, p.name);
    struct nft_pick *known = map_get(&t->picks, str_z(p.name));
    if (known)
        return known;
    known = xmalloc(sizeof *known);
    *known = p;
    map_put(&t->picks, str_z(known->name), known);
    t->picks_changed = true;
    return known;
}

static void forget_picks(struct nft *t)
{
    uint32_t it = 0;
    for (struct map_entry *entry; (entry = map_next(&t->picks, &it));)
        free(entry->value);
    map_clear(&t->picks);
}

static const char *pick_use(struct nft *t, const struct nft_key *k, struct nft_target to,
                            bool remember)
{
    struct nft_pick *p = pick_get(t, k, to, remember);
    p->users++;
    return p->name;
}

static void pick_unuse(struct nft *t, const struct nft_key *k, struct nft_target was, bool remember)
{
    struct nft_pick *p = pick_get(t, k, was, remember);
    must(p->users > 0);
    if (--p->users == 0)
        t->picks_changed = true;
}

static const char *target_chain(struct nft *t, const struct nft_key *k, struct nft_target to)
{
    if (to.action == NFT_REJECT)
        return "reject";
    return to.action == NFT_DROP ? "drop" : pick_use(t, k, to, false);
}

void nft_adopt_frontend(struct nft *t, const struct nft_key *k, struct nft_target to)
{
    if (to.action != NFT_PICK)
        return;
    pick_use(t, k, to, false);
    pick_get(t, k, to, false)->made = true;
    if (!to.affinity_s)
        return;
    pick_use(t, k, to, true);
    pick_get(t, k, to, true)->made = true;
}

/* ---- the calls ---- */

static void clear_pending(struct nft *t)
{
    for (size_t i = 0; i < NFT_PENDING; i++) {
        buf_fini(&t->remove[i]);
        buf_fini(&t->add[i]);
        buf_init(&t->remove[i], NL_BATCH_MAX);
        buf_init(&t->add[i], NL_BATCH_MAX);
    }
    t->define = t->fresh = t->picks_changed = false;
    t->changes = 0;
}

void nft_init(struct nft *t, const struct nft_config *c)
{
    *t = (struct nft){.config = *c, .picks = MAP_INIT_BORROWED};
    clear_pending(t);
}

void nft_fini(struct nft *t)
{
    clear_pending(t);
    forget_picks(t);
    map_fini(&t->picks);
}

bool nft_family_used(const struct nft *t, int family)
{
    const struct nft_config *c = &t->config;
    return c->pods[family == 6].ip.family || c->services[family == 6].ip.family;
}

void nft_define(struct nft *t, bool fresh)
{
    if (fresh) {
        clear_pending(t);
        forget_picks(t);
    }
    t->define = true;
    t->fresh |= fresh;
}

static struct element key_element(enum nft_set set, const struct nft_key *k, const char *chain)
{
    return (struct element){
        .set = set, .family = k->ip.family, .key = key_bytes(k), .chain = chain};
}

void nft_frontend_add(struct nft *t, const struct nft_key *k, struct nft_target to)
{
    struct element el = key_element(NFT_FRONTENDS, k, target_chain(t, k, to));
    put_element(t, t->add, &el);
    if (to.action != NFT_PICK || !to.affinity_s)
        return;
    el = key_element(NFT_STICKY, k, pick_use(t, k, to, true));
    put_element(t, t->add, &el);
}

void nft_frontend_remove(struct nft *t, const struct nft_key *k, struct nft_target was)
{
    struct element el = key_element(NFT_FRONTENDS, k, NULL);
    put_element(t, t->remove, &el);
    if (was.action != NFT_PICK)
        return;
    pick_unuse(t, k, was, false);
    if (!was.affinity_s)
        return;
    pick_unuse(t, k, was, true);
    el = key_element(NFT_STICKY, k, NULL);
    put_element(t, t->remove, &el);
}

static struct element backend_element(const struct nft_key *k, uint32_t index)
{
    struct element el = key_element(NFT_BACKENDS, k, NULL);
    put_mark(&el.key, index);
    return el;
}

void nft_backend_add(struct nft *t, const struct nft_key *k, uint32_t index,
                     const struct nft_backend *b)
{
    struct element el = backend_element(k, index);
    el.data = backend_bytes(b);
    put_element(t, t->add, &el);
}

void nft_backend_remove(struct nft *t, const struct nft_key *k, uint32_t index)
{
    struct element el = backend_element(k, index);
    put_element(t, t->remove, &el);
}

void nft_outer_add(struct nft *t, const struct nft_key *k)
{
    struct element el = key_element(NFT_OUTER, k, NULL);
    put_element(t, t->add, &el);
}

void nft_outer_remove(struct nft *t, const struct nft_key *k)
{
    struct element el = key_element(NFT_OUTER, k, NULL);
    put_element(t, t->remove, &el);
}

void nft_guard_add(struct nft *t, const struct nft_key *k)
{
    struct element el = key_element(NFT_GUARDED, k, NULL);
    put_element(t, t->add, &el);
}

void nft_guard_remove(struct nft *t, const struct nft_key *k)
{
    struct element el = key_element(NFT_GUARDED, k, NULL);
    put_element(t, t->remove, &el);
}

static void allowed(struct nft *t, struct buf *lists, const struct nft_key *k, struct cidr source)
{
    struct element el = key_element(NFT_ALLOWED, k, NULL);
    el.key_end = el.key;
    put_ip(&el.key, source.ip);
    put_ip(&el.key_end, cidr_last(source));
    put_element(t, lists, &el);
}

void nft_allowed_add(struct nft *t, const struct nft_key *k, struct cidr source)
{
    allowed(t, t->add, k, source);
}

void nft_allowed_remove(struct nft *t, const struct nft_key *k, struct cidr source)
{
    allowed(t, t->remove, k, source);
}

static void hairpin(struct nft *t, struct buf *lists, struct ip pod)
{
    struct element el = {.set = NFT_HAIRPIN, .family = pod.family};
    put_ip(&el.key, pod);
    put_ip(&el.key, pod);
    put_element(t, lists, &el);
}

void nft_hairpin_add(struct nft *t, struct ip pod)
{
    hairpin(t, t->add, pod);
}

void nft_hairpin_remove(struct nft *t, struct ip pod)
{
    hairpin(t, t->remove, pod);
}

/* ---- the transaction ---- */

/* The attributes at `from` that fit one message; returns where the next message begins. */
static size_t message_end(const struct buf *list, size_t from)
{
    size_t end = from;
    while (end < list->n) {
        const struct nlattr *a = (const void *)(list->p + end);
        size_t next = end + MNL_ALIGN(a->nla_len);
        if (next - from > ELEMENTS_ROOM)
            break;
        end = next;
    }
    return end;
}

void nft_put_elements(struct nft_asm *a, enum nft_set kind, int family, const struct buf *list,
                      bool add)
{
    char set[NFT_SET_NAME_MAX];
    nft_set_name(kind, family, set);
    for (size_t from = 0, end; from < list->n; from = end) {
        end = message_end(list, from);
        struct nlmsghdr *m = nft_message(
            a, add ? "add nftables elements" : "remove nftables elements", 0,
            add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, add ? NLM_F_CREATE : 0, NL_ROOM_MAX);
        mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_TABLE, a->table);
        mnl_attr_put_strz(m, NFTA_SET_ELEM_LIST_SET, set);
        mnl_attr_put(m, NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED, end - from, list->p + from);
        nl_end(a->b, m);
    }
}

static void make_picks(struct nft *t, struct nft_asm *a)
{
    uint32_t it = 0;
    for (struct map_entry *entry; (entry = map_next(&t->picks, &it));) {
        struct nft_pick *p = entry->value;
        if (p->made || p->users == 0)
            continue;
        nft_pick_define(a, &t->config, p);
        p->made = true;
    }
}

static void drop_picks(struct nft *t, struct nft_asm *a)
{
    uint32_t it = 0;
    for (struct map_entry *entry; (entry = map_next(&t->picks, &it));) {
        struct nft_pick *p = entry->value;
        if (p->users)
            continue;
        if (p->made)
            nft_chain_remove(a, p->name);
        map_remove(&t->picks, str_z(p->name));
        free(p);
    }
}

bool nft_take(struct nft *t, struct nl_batch *ret)
{
    if (!t->define && !t->changes && !t->picks_changed)
        return false;
    struct nft_asm a = {.b = ret, .table = t->config.table};
    nft_transaction_begin(ret);
    if (t->define)
        nft_table_define(&a, &t->config, t->fresh);
    for (size_t i = 0; i < NFT_PENDING; i++)
        nft_put_elements(&a, i / 2, i % 2 ? 6 : 4, &t->remove[i], false);
    if (t->picks_changed)
        make_picks(t, &a);
    for (size_t i = 0; i < NFT_PENDING; i++)
        nft_put_elements(&a, i / 2, i % 2 ? 6 : 4, &t->add[i], true);
    if (t->picks_changed)
        drop_picks(t, &a);
    nft_transaction_end(ret);
    clear_pending(t);
    return true;
}
