/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h: a client of the OCI distribution protocol (pulling only), by libcurl.
 *
 * One struct registry is one pull's conversation with one repository. Everything blocks: it is
 * made for a worker. Transient failures (broken connections, 5xx, 429) are repeated with growing
 * pauses; a blob that broke off is resumed where it stopped. What arrives is hostile: sizes are
 * bounded by what the manifest announced, digests are checked as the bytes come.
 *
 * Authentication as the distribution project's "Docker Registry v2 authentication" has it: none,
 * basic, or a bearer token from the server that the registry names.
 */
#ifndef BARQUE_ENGINE_REGISTRY_H
#define BARQUE_ENGINE_REGISTRY_H

#include <stdatomic.h>

#include "base/err.h"
#include "engine/content.h"
#include "engine/oci_image.h"
#include "engine/reference.h"

enum {
    REGISTRY_PARALLEL_MAX = 3, /* blobs at a time */
    REGISTRY_ATTEMPTS_MAX = 5,
    REGISTRY_CONNECT_TIMEOUT_S = 30,
    REGISTRY_STALL_TIMEOUT_S = 60, /* without a byte */
};

struct registry_trust {
    const char *const *insecure; /* hosts that need neither TLS nor a certificate that verifies */
    size_t n_insecure;
    const char *ca_file; /* NULL: the system's authorities only */
    uint32_t pause_ms;   /* before the second attempt, doubled for each further one; 0: 500 */
};

struct registry_auth {
    struct str username, password;
    struct str identity_token; /* to be exchanged for an access token */
    struct str registry_token; /* the access token itself */
};

struct registry_progress {
    _Atomic uint64_t bytes_done, bytes_total;
};

struct registry;

/* Everything is borrowed until registry_close. Errors of all calls:
 * ERR_NOT_FOUND     no such repository, manifest or blob
 * ERR_UNAUTHORIZED  credentials are missing, wrong or not sufficient
 * ERR_UNAVAILABLE   the registry cannot be reached, its certificate does not verify, or it fails
 * ERR_INVALID       what came is not what was announced
 * ERR_CANCELED */
struct registry *registry_open(const struct reference *ref, const struct registry_trust *trust,
                               const struct registry_auth *auth,
                               struct registry_progress *progress);
void registry_close(struct registry *r);
/* From any thread: the call under way ends with ERR_CANCELED, and so does every later one. */
void registry_cancel(struct registry *r);

/* Manifest or index, by tag or digest. The body is on the arena. */
int registry_manifest(struct registry *r, struct str tag_or_digest, struct arena *a,
                      struct str *ret_body, struct err *e) MUST_USE;
/* Brings those blobs to the store that it does not have. */
int registry_blobs(struct registry *r, const struct content *c, const struct oci_blob *blobs,
                   size_t n, struct err *e) MUST_USE;

#endif
