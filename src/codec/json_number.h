/* SPDX-License-Identifier: Apache-2.0 */
/* json_number.h: the digits of floating-point numbers. Private to codec/. */
#ifndef BARQUE_CODEC_JSON_NUMBER_H
#define BARQUE_CODEC_JSON_NUMBER_H

#include "base/buf.h"

/* The fewest decimal digits that read back as v (finite, not negative; single: as a float). v is
 * d1.d2d3... times ten to *ret_exponent. Returns how many there are; no NUL behind them. */
int json_shortest_digits(double v, bool single, char digits[32], int *ret_exponent);
/* These digits with a point and zeros where needed: 0.00125, 12500. */
void json_put_plain(struct buf *b, const char *digits, int n, int exponent);
/* These digits as 1.25e+09, with at least so many digits in the exponent. */
void json_put_scientific(struct buf *b, const char *digits, int n, int exponent,
                         int exponent_digits_min);

#endif
