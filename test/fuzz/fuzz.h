/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h: what a fuzz target defines and uses. */
#ifndef BARQUE_TEST_FUZZ_H
#define BARQUE_TEST_FUZZ_H

#include "base/base.h"
#include "base/str.h"

/* Called by libFuzzer or replay.c for each input; always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The input as a source of decisions: 0 when it has run out. */
struct fuzz_input {
    const uint8_t *p;
    size_t n;
};

static inline uint8_t fuzz_byte(struct fuzz_input *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++;
}

static inline struct str fuzz_rest(const struct fuzz_input *in)
{
    return str_n((const char *)in->p, in->n);
}

#endif
