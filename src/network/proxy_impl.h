/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_impl.h: private to proxy.c and proxy_commit.c. */
#ifndef BARQUE_NETWORK_PROXY_IMPL_H
#define BARQUE_NETWORK_PROXY_IMPL_H

#include "network/proxy.h"

/* What a frontend has, or should have. */
struct proxy_content {
    bool there;
    struct nft_target target;
    struct nft_backend *backends; /* have: by index; want: sorted */
    bool *outside;                /* want: may connections from outside go to it? */
    uint32_t n;
    bool outer;   /* reached from outside the cluster */
    bool limited; /* only these sources may come */
    struct cidr *sources;
    size_t source_count;
};

struct proxy_frontend {
    struct nft_key key;
    struct proxy_content have; /* in the kernel, or on its way */
    struct proxy_content want; /* until written, when want_known */
    bool want_known;
    struct list claims; /* the first one holds */
    struct list dirty;
};

struct proxy_claim {
    struct list link; /* in frontend->claims */
    struct proxy_frontend *frontend;
    struct state_service *service; /* NULL: a pod's host port */
    struct nft_backend backend;    /* of a host port */
    bool seen;
};

struct proxy_service {
    VEC(struct proxy_claim *) claims;
};

struct proxy_pod {
    struct list link, dirty;
    struct ip ips[2];
    bool wanted, installed;
    struct proxy_claim *claims;
    size_t claim_count;
};

void proxy_flush_soon(struct proxy *p);
void proxy_update_service(struct proxy *p, struct state_service *s);
/* Adds to the transaction what differs, and to the leftovers what is to be forgotten after it. */
void proxy_write_changes(struct proxy *p, struct proxy_leftovers *left);
void proxy_write_everything(struct proxy *p);
/* False, with nothing adopted, when what was found does not fit together. */
bool proxy_adopt(struct proxy *p, const struct nft_found *found);
void proxy_forget(struct proxy *p);

#endif
