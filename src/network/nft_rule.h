/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nft_rule.h: an assembler for nf_tables: chains, sets, and rules as lists of expressions.
 *
 * One function per expression, named as `nft --debug=netlink` prints it; that output and
 * linux/netfilter/nf_tables.h are the reference. Registers are the sixteen 32-bit ones, R0 to R15;
 * a concatenated key is what lies in consecutive registers, each field padded to 32 bits.
 */
#ifndef BARQUE_NETWORK_NFT_RULE_H
#define BARQUE_NETWORK_NFT_RULE_H

#include <linux/netfilter/nf_tables.h>

#include "network/netlink.h"

enum { R0 = NFT_REG32_00 };

/* All objects live in one table of family inet. */
struct nft_asm {
    struct nl_batch *b;
    const char *table;
    uint32_t set_id; /* of the set defined last; unique within a transaction */
};

/* NFT_MSG_* about an object; attributes follow until nl_end. */
struct nlmsghdr *nft_message(struct nft_asm *a, const char *what, int tolerate, uint16_t type,
                             uint16_t flags, size_t room);
void nft_transaction_begin(struct nl_batch *b);
void nft_transaction_end(struct nl_batch *b);

enum { NFT_COMMENT_MAX = 128 }; /* with the NUL */
void nft_table_add(struct nft_asm *a, const char *comment);
/* The comment in an answer of the kernel about a table; STR_NULL: none. */
struct str nft_table_comment(const struct nlmsghdr *m);
/* Removes the table with everything in it; no error when it is absent. */
void nft_table_remove(struct nft_asm *a);

void nft_chain_add(struct nft_asm *a, const char *chain);
/* type: "nat" or "filter"; hook: NF_INET_*. */
void nft_base_chain_add(struct nft_asm *a, const char *chain, const char *type, uint32_t hook,
                        int priority);
void nft_chain_flush(struct nft_asm *a, const char *chain);
void nft_chain_remove(struct nft_asm *a, const char *chain);

/* Types of fields as the nft program numbers them, for its listings. */
enum { FIELD_IPV4 = 7, FIELD_IPV6 = 8, FIELD_PROTO = 12, FIELD_PORT = 13, FIELD_MARK = 19 };
struct nft_fields {
    uint8_t n;
    uint8_t types[5]; /* more would not fit the kernel's 32 bits */
    uint8_t sizes[5]; /* bytes before padding */
};
uint32_t nft_fields_len(const struct nft_fields *f); /* padded */
struct nft_set_spec {
    const char *name;
    uint32_t flags; /* NFT_SET_*; NFT_SET_MAP is implied by data or verdicts */
    struct nft_fields key;
    struct nft_fields data; /* n == 0: none */
    bool verdicts;          /* a map to chains */
    uint32_t size;          /* 0: unbounded */
};
void nft_set_add(struct nft_asm *a, const struct nft_set_spec *s);
void nft_set_flush(struct nft_asm *a, const char *set);

struct nft_rule {
    struct nft_asm *a;
    struct nlmsghdr *m;
    struct nlattr *list;
};
struct nft_rule nft_rule_begin(struct nft_asm *a, const char *chain);
void nft_rule_end(struct nft_rule *r);

void nft_meta(struct nft_rule *r, uint32_t key, uint32_t reg);
void nft_ct(struct nft_rule *r, uint32_t key, uint32_t reg);
void nft_ct_original(struct nft_rule *r, uint32_t key, uint32_t reg);
void nft_network_field(struct nft_rule *r, uint32_t offset, uint32_t len, uint32_t reg);
void nft_transport_field(struct nft_rule *r, uint32_t offset, uint32_t len, uint32_t reg);
void nft_cmp(struct nft_rule *r, uint32_t op, uint32_t reg, const void *data, size_t len);
/* reg &= mask, over len bytes */
void nft_mask(struct nft_rule *r, uint32_t reg, const void *mask, size_t len);
void nft_immediate(struct nft_rule *r, uint32_t reg, const void *data, size_t len);
void nft_verdict(struct nft_rule *r, int32_t code, const char *chain);
/* Breaks off unless (with inverted: if) the key is in the set. */
void nft_lookup(struct nft_rule *r, const char *set, uint32_t reg, bool inverted);
/* As nft_lookup, with the data to data_reg; NFT_REG_VERDICT for a map to chains. */
void nft_map(struct nft_rule *r, const char *set, uint32_t reg, uint32_t data_reg);
void nft_random(struct nft_rule *r, uint32_t modulus, uint32_t reg);
void nft_update(struct nft_rule *r, const char *set, uint32_t reg, uint32_t data_reg,
                uint32_t timeout_s);
/* what: NFTA_FIB_F_DADDR or NFTA_FIB_F_SADDR; the register gets an RTN_* type. */
void nft_fib_type(struct nft_rule *r, uint32_t what, uint32_t reg);
void nft_dnat(struct nft_rule *r, uint32_t nfproto, uint32_t address_reg, uint32_t port_reg);
void nft_masquerade(struct nft_rule *r);
void nft_reject_tcp_reset(struct nft_rule *r); /* of TCP only */
void nft_reject_port_unreachable(struct nft_rule *r);

#endif
