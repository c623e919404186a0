/* SPDX-License-Identifier: Apache-2.0 */
#include "network/nft_rule.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nfnetlink.h>

/* ---- transactions and objects ---- */

static void control_message(struct nl_batch *b, uint16_t type)
{
    struct nfgenmsg g = {.nfgen_family = AF_UNSPEC, .res_id = htons(NFNL_SUBSYS_NFTABLES)};
    nl_end(b, nl_begin(b, "nftables transaction", 0, type, 0, &g, sizeof g, NL_ROOM));
}

void nft_transaction_begin(struct nl_batch *b)
{
    control_message(b, NFNL_MSG_BATCH_BEGIN);
}

void nft_transaction_end(struct nl_batch *b)
{
    control_message(b, NFNL_MSG_BATCH_END);
}

struct nlmsghdr *nft_message(struct nft_asm *a, const char *what, int tolerate, uint16_t type,
                             uint16_t flags, size_t room)
{
    struct nfgenmsg g = {.nfgen_family = NFPROTO_INET};
    return nl_begin(a->b, what, tolerate, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, &g,
                    sizeof g, room);
}

static void put_u32(struct nlmsghdr *m, uint16_t type, uint32_t v)
{
    mnl_attr_put_u32(m, type, htonl(v));
}

static void put_name(struct nlmsghdr *m, uint16_t type, const char *name)
{
    mnl_attr_put_strz(m, type, name);
}

/* User data as the nft program keeps it: {type, length, bytes}; type 0 of a table is its comment,
 * with the NUL. */
enum { UDATA_COMMENT = 0, UDATA_HEADER = 2 };

void nft_table_add(struct nft_asm *a, const char *comment)
{
    struct nlmsghdr *m =
        nft_message(a, "create nftables table", 0, NFT_MSG_NEWTABLE, NLM_F_CREATE, NL_ROOM);
    put_name(m, NFTA_TABLE_NAME, a->table);
    char udata[UDATA_HEADER + NFT_COMMENT_MAX] = {UDATA_COMMENT};
    size_t n = strlen(comment) + 1;
    must(n <= NFT_COMMENT_MAX);
    udata[1] = (char)n;
    memcpy(udata + UDATA_HEADER, comment, n);
    mnl_attr_put(m, NFTA_TABLE_USERDATA, UDATA_HEADER + n, udata);
    nl_end(a->b, m);
}

struct str nft_table_comment(const struct nlmsghdr *m)
{
    const struct nlattr *a = nl_find(nl_attrs_of(m, sizeof(struct nfgenmsg)), NFTA_TABLE_USERDATA);
    const uint8_t *p = a ? mnl_attr_get_payload(a) : NULL;
    size_t n = a ? mnl_attr_get_payload_len(a) : 0;
    if (n <= UDATA_HEADER || p[0] != UDATA_COMMENT || p[1] == 0 || UDATA_HEADER + (size_t)p[1] > n)
        return STR_NULL;
    return str_n((const char *)p + UDATA_HEADER, p[1] - 1u);
}

void nft_table_remove(struct nft_asm *a)
{
    /* Adding an existing table is no error; after it, the removal is none either. */
    struct nlmsghdr *m =
        nft_message(a, "remove nftables table", 0, NFT_MSG_NEWTABLE, NLM_F_CREATE, NL_ROOM);
    put_name(m, NFTA_TABLE_NAME, a->table);
    nl_end(a->b, m);
    m = nft_message(a, "remove nftables table", 0, NFT_MSG_DELTABLE, 0, NL_ROOM);
    put_name(m, NFTA_TABLE_NAME, a->table);
    nl_end(a->b, m);
}

static struct nlmsghdr *chain_message(struct nft_asm *a, const char *what, uint16_t type,
                                      uint16_t flags, const char *chain)
{
    struct nlmsghdr *m = nft_message(a, what, 0, type, flags, NL_ROOM);
    put_name(m, NFTA_CHAIN_TABLE, a->table);
    put_name(m, NFTA_CHAIN_NAME, chain);
    return m;
}

void nft_chain_add(struct nft_asm *a, const char *chain)
{
    nl_end(a->b, chain_message(a, "create nftables chain", NFT_MSG_NEWCHAIN, NLM_F_CREATE, chain));
}

void nft_base_chain_add(struct nft_asm *a, const char *chain, const char *type, uint32_t hook,
                        int priority)
{
    struct nlmsghdr *m =
        chain_message(a, "create nftables chain", NFT_MSG_NEWCHAIN, NLM_F_CREATE, chain);
    struct nlattr *nest = mnl_attr_nest_start(m, NFTA_CHAIN_HOOK);
    put_u32(m, NFTA_HOOK_HOOKNUM, hook);
    put_u32(m, NFTA_HOOK_PRIORITY, (uint32_t)priority);
    mnl_attr_nest_end(m, nest);
    put_name(m, NFTA_CHAIN_TYPE, type);
    put_u32(m, NFTA_CHAIN_POLICY, NF_ACCEPT);
    nl_end(a->b, m);
}

void nft_chain_flush(struct nft_asm *a, const char *chain)
{
    struct nlmsghdr *m = nft_message(a, "flush nftables chain", 0, NFT_MSG_DELRULE, 0, NL_ROOM);
    put_name(m, NFTA_RULE_TABLE, a->table);
    put_name(m, NFTA_RULE_CHAIN, chain);
    nl_end(a->b, m);
}

void nft_chain_remove(struct nft_asm *a, const char *chain)
{
    nl_end(a->b, chain_message(a, "remove nftables chain", NFT_MSG_DELCHAIN, 0, chain));
}

/* ---- sets ---- */

enum { TYPE_BITS = 6, FIELD_ALIGN = 4, DATA_VERDICT = (int)NFT_DATA_VERDICT };

static uint32_t padded(uint8_t size)
{
    return (size + FIELD_ALIGN - 1u) & ~(FIELD_ALIGN - 1u);
}

uint32_t nft_fields_len(const struct nft_fields *f)
{
    uint32_t len = 0;
    for (size_t i = 0; i < f->n; i++)
        len += padded(f->sizes[i]);
    return len;
}

static uint32_t fields_type(const struct nft_fields *f)
{
    uint32_t type = 0;
    for (size_t i = 0; i < f->n; i++)
        type = type << TYPE_BITS | f->types[i];
    return type;
}

static void put_desc(struct nlmsghdr *m, const struct nft_set_spec *s)
{
    struct nlattr *desc = mnl_attr_nest_start(m, NFTA_SET_DESC);
    if (s->size)
        put_u32(m, NFTA_SET_DESC_SIZE, s->size);
    if (s->flags & NFT_SET_CONCAT) {
        struct nlattr *concat = mnl_attr_nest_start(m, NFTA_SET_DESC_CONCAT);
        for (size_t i = 0; i < s->key.n; i++) {
            struct nlattr *field = mnl_attr_nest_start(m, NFTA_LIST_ELEM);
            put_u32(m, NFTA_SET_FIELD_LEN, s->key.sizes[i]);
            mnl_attr_nest_end(m, field);
        }
        mnl_attr_nest_end(m, concat);
    }
    mnl_attr_nest_end(m, desc);
}

void nft_set_add(struct nft_asm *a, const struct nft_set_spec *s)
{
    struct nlmsghdr *m =
        nft_message(a, "create nftables set", 0, NFT_MSG_NEWSET, NLM_F_CREATE, NL_ROOM);
    bool map = s->verdicts || s->data.n;
    put_name(m, NFTA_SET_TABLE, a->table);
    put_name(m, NFTA_SET_NAME, s->name);
    put_u32(m, NFTA_SET_ID, ++a->set_id);
    put_u32(m, NFTA_SET_FLAGS, s->flags | (map ? NFT_SET_MAP : 0));
    put_u32(m, NFTA_SET_KEY_TYPE, fields_type(&s->key));
    put_u32(m, NFTA_SET_KEY_LEN, nft_fields_len(&s->key));
    if (s->verdicts) {
        put_u32(m, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
        put_u32(m, NFTA_SET_DATA_LEN, 0);
    } else if (s->data.n) {
        put_u32(m, NFTA_SET_DATA_TYPE, fields_type(&s->data));
        put_u32(m, NFTA_SET_DATA_LEN, nft_fields_len(&s->data));
    }
    put_desc(m, s);
    nl_end(a->b, m);
}

void nft_set_flush(struct nft_asm *a, const char *set)
{
    struct nlmsghdr *m = nft_message(a, "flush nftables set", 0, NFT_MSG_DELSETELEM, 0, NL_ROOM);
    put_name(m, NFTA_SET_ELEM_LIST_TABLE, a->table);
    put_name(m, NFTA_SET_ELEM_LIST_SET, set);
    nl_end(a->b, m);
}

/* ---- rules ---- */

struct nft_rule nft_rule_begin(struct nft_asm *a, const char *chain)
{
    struct nft_rule r = {.a = a};
    r.m = nft_message(a, "add nftables rule", 0, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND,
                      NL_ROOM);
    put_name(r.m, NFTA_RULE_TABLE, a->table);
    put_name(r.m, NFTA_RULE_CHAIN, chain);
    r.list = mnl_attr_nest_start(r.m, NFTA_RULE_EXPRESSIONS);
    return r;
}

void nft_rule_end(struct nft_rule *r)
{
    mnl_attr_nest_end(r->m, r->list);
    nl_end(r->a->b, r->m);
}

struct expr {
    struct nlattr *elem, *data;
};

static struct expr expr_begin(struct nft_rule *r, const char *name)
{
    struct expr x;
    x.elem = mnl_attr_nest_start(r->m, NFTA_LIST_ELEM);
    put_name(r->m, NFTA_EXPR_NAME, name);
    x.data = mnl_attr_nest_start(r->m, NFTA_EXPR_DATA);
    return x;
}

static void expr_end(struct nft_rule *r, struct expr x)
{
    mnl_attr_nest_end(r->m, x.data);
    mnl_attr_nest_end(r->m, x.elem);
}

static void put_value(struct nlmsghdr *m, uint16_t type, const void *data, size_t len)
{
    struct nlattr *nest = mnl_attr_nest_start(m, type);
    mnl_attr_put(m, NFTA_DATA_VALUE, len, data);
    mnl_attr_nest_end(m, nest);
}

void nft_meta(struct nft_rule *r, uint32_t key, uint32_t reg)
{
    struct expr x = expr_begin(r, "meta");
    put_u32(r->m, NFTA_META_DREG, reg);
    put_u32(r->m, NFTA_META_KEY, key);
    expr_end(r, x);
}

void nft_ct(struct nft_rule *r, uint32_t key, uint32_t reg)
{
    struct expr x = expr_begin(r, "ct");
    put_u32(r->m, NFTA_CT_DREG, reg);
    put_u32(r->m, NFTA_CT_KEY, key);
    expr_end(r, x);
}

void nft_ct_original(struct nft_rule *r, uint32_t key, uint32_t reg)
{
    struct expr x = expr_begin(r, "ct");
    put_u32(r->m, NFTA_CT_DREG, reg);
    put_u32(r->m, NFTA_CT_KEY, key);
    mnl_attr_put_u8(r->m, NFTA_CT_DIRECTION, 0);
    expr_end(r, x);
}

static void payload(struct nft_rule *r, uint32_t base, uint32_t offset, uint32_t len, uint32_t reg)
{
    struct expr x = expr_begin(r, "payload");
    put_u32(r->m, NFTA_PAYLOAD_DREG, reg);
    put_u32(r->m, NFTA_PAYLOAD_BASE, base);
    put_u32(r->m, NFTA_PAYLOAD_OFFSET, offset);
    put_u32(r->m, NFTA_PAYLOAD_LEN, len);
    expr_end(r, x);
}

void nft_network_field(struct nft_rule *r, uint32_t offset, uint32_t len, uint32_t reg)
{
    payload(r, NFT_PAYLOAD_NETWORK_HEADER, offset, len, reg);
}

void nft_transport_field(struct nft_rule *r, uint32_t offset, uint32_t len, uint32_t reg)
{
    payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, offset, len, reg);
}

void nft_cmp(struct nft_rule *r, uint32_t op, uint32_t reg, const void *data, size_t len)
{
    struct expr x = expr_begin(r, "cmp");
    put_u32(r->m, NFTA_CMP_SREG, reg);
    put_u32(r->m, NFTA_CMP_OP, op);
    put_value(r->m, NFTA_CMP_DATA, data, len);
    expr_end(r, x);
}

void nft_mask(struct nft_rule *r, uint32_t reg, const void *mask, size_t len)
{
    static const uint8_t zero[16];
    struct expr x = expr_begin(r, "bitwise");
    put_u32(r->m, NFTA_BITWISE_SREG, reg);
    put_u32(r->m, NFTA_BITWISE_DREG, reg);
    put_u32(r->m, NFTA_BITWISE_LEN, (uint32_t)len);
    put_value(r->m, NFTA_BITWISE_MASK, mask, len);
    put_value(r->m, NFTA_BITWISE_XOR, zero, len);
    expr_end(r, x);
}

void nft_immediate(struct nft_rule *r, uint32_t reg, const void *data, size_t len)
{
    struct expr x = expr_begin(r, "immediate");
    put_u32(r->m, NFTA_IMMEDIATE_DREG, reg);
    put_value(r->m, NFTA_IMMEDIATE_DATA, data, len);
    expr_end(r, x);
}

void nft_verdict(struct nft_rule *r, int32_t code, const char *chain)
{
    struct expr x = expr_begin(r, "immediate");
    put_u32(r->m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    struct nlattr *data = mnl_attr_nest_start(r->m, NFTA_IMMEDIATE_DATA);
    struct nlattr *verdict = mnl_attr_nest_start(r->m, NFTA_DATA_VERDICT);
    put_u32(r->m, NFTA_VERDICT_CODE, (uint32_t)code);
    if (chain)
        put_name(r->m, NFTA_VERDICT_CHAIN, chain);
    mnl_attr_nest_end(r->m, verdict);
    mnl_attr_nest_end(r->m, data);
    expr_end(r, x);
}

void nft_lookup(struct nft_rule *r, const char *set, uint32_t reg, bool inverted)
{
    struct expr x = expr_begin(r, "lookup");
    put_name(r->m, NFTA_LOOKUP_SET, set);
    put_u32(r->m, NFTA_LOOKUP_SREG, reg);
    if (inverted)
        put_u32(r->m, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    expr_end(r, x);
}

void nft_map(struct nft_rule *r, const char *set, uint32_t reg, uint32_t data_reg)
{
    struct expr x = expr_begin(r, "lookup");
    put_name(r->m, NFTA_LOOKUP_SET, set);
    put_u32(r->m, NFTA_LOOKUP_SREG, reg);
    put_u32(r->m, NFTA_LOOKUP_DREG, data_reg);
    expr_end(r, x);
}

void nft_random(struct nft_rule *r, uint32_t modulus, uint32_t reg)
{
    struct expr x = expr_begin(r, "numgen");
    put_u32(r->m, NFTA_NG_DREG, reg);
    put_u32(r->m, NFTA_NG_MODULUS, modulus);
    put_u32(r->m, NFTA_NG_TYPE, NFT_NG_RANDOM);
    put_u32(r->m, NFTA_NG_OFFSET, 0);
    expr_end(r, x);
}

void nft_update(struct nft_rule *r, const char *set, uint32_t reg, uint32_t data_reg,
                uint32_t timeout_s)
{
    struct expr x = expr_begin(r, "dynset");
    put_name(r->m, NFTA_DYNSET_SET_NAME, set);
    put_u32(r->m, NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
    put_u32(r->m, NFTA_DYNSET_SREG_KEY, reg);
    put_u32(r->m, NFTA_DYNSET_SREG_DATA, data_reg);
    mnl_attr_put_u64(r->m, NFTA_DYNSET_TIMEOUT, htobe64((uint64_t)timeout_s * 1000));
    expr_end(r, x);
}

void nft_fib_type(struct nft_rule *r, uint32_t what, uint32_t reg)
{
    struct expr x = expr_begin(r, "fib");
    put_u32(r->m, NFTA_FIB_DREG, reg);
    put_u32(r->m, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    put_u32(r->m, NFTA_FIB_FLAGS, what);
    expr_end(r, x);
}

void nft_dnat(struct nft_rule *r, uint32_t nfproto, uint32_t address_reg, uint32_t port_reg)
{
    struct expr x = expr_begin(r, "nat");
    put_u32(r->m, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    put_u32(r->m, NFTA_NAT_FAMILY, nfproto);
    put_u32(r->m, NFTA_NAT_REG_ADDR_MIN, address_reg);
    put_u32(r->m, NFTA_NAT_REG_PROTO_MIN, port_reg);
    expr_end(r, x);
}

void nft_masquerade(struct nft_rule *r)
{
    struct expr x = expr_begin(r, "masq");
    put_u32(r->m, NFTA_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
    expr_end(r, x);
}

void nft_reject_tcp_reset(struct nft_rule *r)
{
    struct expr x = expr_begin(r, "reject");
    put_u32(r->m, NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST);
    expr_end(r, x);
}

void nft_reject_port_unreachable(struct nft_rule *r)
{
    struct expr x = expr_begin(r, "reject");
    put_u32(r->m, NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
    mnl_attr_put_u8(r->m, NFTA_REJECT_ICMP_CODE, NFT_REJECT_ICMPX_PORT_UNREACH);
    expr_end(r, x);
}
