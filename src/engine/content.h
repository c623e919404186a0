/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.h: blobs by their SHA-256, on disk under <store>/blobs/sha256/<hex>.
 *
 * A blob appears under its name only when it is whole, verified and on disk. Unfinished ones live
 * in <store>/ingest; one that was begun for a known digest can be resumed after a broken transfer
 * or a crash. Blocking; a writer is used by one thread at a time.
 */
#ifndef BARQUE_ENGINE_CONTENT_H
#define BARQUE_ENGINE_CONTENT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "engine/reference.h"

/* ---- SHA-256 of a stream ---- */

struct sha256 {
    void *ctx; /* private */
};
void sha256_init(struct sha256 *h);
void sha256_add(struct sha256 *h, const void *p, size_t n);
/* Writes "sha256:<hex>" and a NUL, and frees the state. */
void sha256_end(struct sha256 *h, char out[DIGEST_TEXT_LEN + 1]);
/* Frees the state of a stream that is not wanted any more; fine after sha256_end. */
void sha256_drop(struct sha256 *h);
/* On the arena. */
struct str sha256_text(struct arena *a, struct str bytes);

/* ---- the store of blobs ---- */

struct content {
    char *root; /* folder of blobs/ and ingest/ */
};

/* Makes the folders when missing. */
int content_init(struct content *c, const char *root, struct err *e) MUST_USE;
void content_fini(struct content *c);

/* Size in bytes, or -ERR_NOT_FOUND. */
int content_stat(const struct content *c, struct str digest, uint64_t *ret_size) MUST_USE;
/* A descriptor for reading, or -1 with err set. */
int content_open(const struct content *c, struct str digest, struct err *e);
/* A small blob (manifest, config) whole, on the arena, verified again. */
int content_read(const struct content *c, struct arena *a, struct str digest, size_t max_bytes,
                 struct str *ret, struct err *e) MUST_USE;
/* Fine when it is not there. */
int content_remove(const struct content *c, struct str digest, struct err *e) MUST_USE;

/* ---- writing one blob ---- */

struct blob_writer {
    const struct content *content;
    int fd;
    char *path; /* of the unfinished file */
    struct sha256 hash;
    uint64_t size;     /* bytes so far */
    uint64_t size_max; /* more is refused */
    bool keep;         /* leave the unfinished file for a later resume */
};

/* Begins a blob. With an expected digest the unfinished file has a fixed name: what an earlier
 * attempt left is kept and hashed again, w->size tells how much that was, and a second writer for
 * the same digest fails with ERR_CONFLICT. expected may be empty: then the name is private. */
int blob_begin(const struct content *c, struct str expected, uint64_t size_max_bytes,
               struct blob_writer *w, struct err *e) MUST_USE;
int blob_add(struct blob_writer *w, const void *p, size_t n, struct err *e) MUST_USE;
/* Starts over: the peer cannot resume. */
int blob_restart(struct blob_writer *w, struct err *e) MUST_USE;
/* Syncs, verifies and publishes it. expected may be empty; size_expected < 0: any. The digest goes
 * to ret_digest. The writer is finished whatever comes back; a blob that does not verify is
 * removed (ERR_INVALID). */
int blob_commit(struct blob_writer *w, struct str expected, int64_t size_expected,
                char ret_digest[DIGEST_TEXT_LEN + 1], struct err *e) MUST_USE;
/* Drops the unfinished file, unless w->keep. Fine on a finished writer. */
void blob_abort(struct blob_writer *w);

/* A whole small blob at once. The digest is on the arena. */
int content_put(const struct content *c, struct arena *a, struct str bytes, struct str *ret_digest,
                struct err *e) MUST_USE;

/* Removes blobs for which keep() says false, and unfinished files older than the given age. The
 * caller makes sure that nobody writes meanwhile. */
int content_sweep(const struct content *c, bool (*keep)(void *arg, struct str digest), void *arg,
                  int64_t ingest_age_s_max, struct err *e) MUST_USE;

#endif
