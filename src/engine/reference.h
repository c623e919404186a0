/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference.h: names of images, in the grammar and with the defaults of the distribution project's
 * reference package:
 *
 *   [domain[:port]/]path[:tag][@algorithm:hex]
 *
 * "nginx" is docker.io/library/nginx:latest; a first component is a domain when it holds a dot or
 * a colon, an upper-case letter, or is "localhost".
 */
#ifndef BARQUE_ENGINE_REFERENCE_H
#define BARQUE_ENGINE_REFERENCE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    REFERENCE_NAME_MAX = 255, /* domain and path together */
    REFERENCE_TAG_MAX = 128,
    DIGEST_HEX_LEN = 64,
    DIGEST_TEXT_LEN = 7 + DIGEST_HEX_LEN, /* "sha256:" and the hex */
};

struct reference {
    struct str domain; /* "docker.io", "localhost:5000" */
    struct str path;   /* "library/nginx" */
    struct str tag;    /* "latest", or empty when only a digest was given */
    struct str digest; /* "sha256:...", or empty */
};

/* Strings are on the arena. ERR_BAD_REQUEST: `couldn't parse image name "x": ...`. */
int reference_parse(struct arena *a, struct str text, struct reference *ret,
                    struct err *e) MUST_USE;
/* "docker.io/library/nginx" */
struct str reference_name(struct arena *a, const struct reference *r);
/* "docker.io/library/nginx:latest"; with a digest and no tag "name@digest"; with both, the digest
 * only: a digest is the stricter of the two. */
struct str reference_text(struct arena *a, const struct reference *r);

/* "sha256:" and 64 lower-case hex digits, the only algorithm accepted. */
bool digest_valid(struct str s);
/* The hex part of a valid digest. */
struct str digest_hex(struct str digest);

#endif
