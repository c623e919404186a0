/* SPDX-License-Identifier: Apache-2.0 */
/* nft_table.h: the ruleset as text for the kernel; private to nft*.c. */
#ifndef BARQUE_NETWORK_NFT_TABLE_H
#define BARQUE_NETWORK_NFT_TABLE_H

#include "network/nft.h"

/* A key or data of an element. */
struct nft_bytes {
    uint8_t v[64];
    size_t n;
};

enum { NFT_SET_NAME_MAX = 16 };
/* "frontends4" */
void nft_set_name(enum nft_set set, int family, char out[NFT_SET_NAME_MAX]);
void nft_pick_name(const struct nft_pick *p, char out[NFT_CHAIN_MAX]);

/* Messages that add or remove the elements, a list of attributes. */
void nft_put_elements(struct nft_asm *a, enum nft_set set, int family, const struct buf *list,
                      bool add);

/* Table, sets, chains and rules; see nft_define. */
void nft_table_define(struct nft_asm *a, const struct nft_config *c, bool fresh);
/* A pick chain with its rules. */
void nft_pick_define(struct nft_asm *a, const struct nft_config *c, const struct nft_pick *p);

#endif
