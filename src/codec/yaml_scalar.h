/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_scalar.h: what a plain YAML 1.1 scalar stands for, as go-yaml v2 resolves it. The reader
 * asks to read it, the writer to know whether it must be quoted. Private to codec/.
 *
 * Of the types of https://yaml.org/type/ this leaves out base 60 numbers, as go-yaml does.
 */
#ifndef BARQUE_CODEC_YAML_SCALAR_H
#define BARQUE_CODEC_YAML_SCALAR_H

#include "base/buf.h"

enum yaml_kind {
    YAML_STRING,
    YAML_NULL,
    YAML_BOOL,
    YAML_INT,  /* from INT64_MIN to UINT64_MAX */
    YAML_LONG, /* decimal digits that are no INT (too many, or 089), but not past all doubles */
    YAML_FLOAT,
    YAML_TIMESTAMP, /* for Kubernetes a string, but one that is quoted when written */
};

struct yaml_scalar {
    enum yaml_kind kind;
    bool boolean;
    bool negative;      /* INT, LONG */
    uint64_t magnitude; /* INT */
    struct str digits;  /* LONG, without leading zeros */
    double real;        /* FLOAT: may be infinite or not a number */
};

/* scratch holds digits until the next call. */
struct yaml_scalar yaml_resolve(struct str text, struct buf *scratch);

/* Go's strconv.FormatFloat(v, 'g', -1, single ? 32 : 64), and .inf, -.inf, .nan. */
void yaml_put_float(struct buf *b, double v, bool single);

/* Is it a base 60 number like 1:30, which other YAML 1.1 readers would read as one? */
bool yaml_is_base60(struct str text);

#endif
