/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pki.h: keys and X.509 certificates: what a cluster needs to trust itself. P-256 keys, SHA-256
 * signatures, PEM text in and out.
 */
#ifndef BARQUE_HTTP_PKI_H
#define BARQUE_HTTP_PKI_H

#include "base/err.h"

struct pki_pair {
    struct str cert_pem, key_pem; /* on the caller's arena */
};

/* A private key, PKCS#8 PEM. */
int pki_key(struct arena *a, struct str *ret_pem, struct err *e) MUST_USE;

/* A self-signed authority, valid for ten years. */
int pki_authority(struct arena *a, const char *common_name, struct pki_pair *ret,
                  struct err *e) MUST_USE;

struct pki_request {
    const char *common_name;
    const char *const *organizations;  /* groups; NULL-terminated or NULL */
    const char *const *dns_names;      /* subject alternative names; NULL-terminated or NULL */
    const char *const *addresses;      /* IP addresses, likewise */
    bool server, client;               /* extended key usage */
    int64_t not_before_s, not_after_s; /* unix time */
};
/* A fresh key and its certificate, signed by the authority. */
int pki_issue(struct arena *a, const struct pki_pair *ca, const struct pki_request *q,
              struct pki_pair *ret, struct err *e) MUST_USE;

/* Unix time at which a certificate ends. */
int pki_expiry(struct str cert_pem, int64_t *ret_s, struct err *e) MUST_USE;

#endif
