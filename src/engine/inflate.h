/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inflate.h: the plain bytes of a file that may be compressed, as a stream.
 *
 * gzip (also of several members, as pigz and eStargz write) and zstd (also of several frames) are
 * told by their magic numbers; anything else is passed as it is. Blocking.
 */
#ifndef BARQUE_ENGINE_INFLATE_H
#define BARQUE_ENGINE_INFLATE_H

#include "base/err.h"
#include "base/str.h"
#include "engine/content.h"

enum inflate_kind { INFLATE_PLAIN, INFLATE_GZIP, INFLATE_ZSTD };

struct inflate {
    int fd; /* borrowed */
    enum inflate_kind kind;
    void *state;        /* private: z_stream or ZSTD_DStream */
    struct sha256 hash; /* of the plain bytes */
    uint64_t plain, plain_max;
    unsigned char *in, *out;
    size_t in_at, in_n;
    bool input_ended, unit_open; /* unit: a gzip member or zstd frame that has not ended */
};

enum { INFLATE_CHUNK = 128 << 10 };

/* Reads from fd's present position. More than plain_max_bytes is an error (ERR_LIMIT). */
int inflate_begin(struct inflate *in, int fd, uint64_t plain_max_bytes, struct err *e) MUST_USE;
/* The next piece, valid until the next call; empty at the end. */
int inflate_next(struct inflate *in, struct str *ret, struct err *e) MUST_USE;
/* Reads to the end, then the digest of all plain bytes. */
int inflate_digest(struct inflate *in, char ret[DIGEST_TEXT_LEN + 1], struct err *e) MUST_USE;
void inflate_fini(struct inflate *in);

#endif
