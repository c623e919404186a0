/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert.h: one kind in several versions. Objects are stored as one version (the hub) and
 * converted on the way in and out.
 */
#ifndef BARQUE_API_CONVERT_H
#define BARQUE_API_CONVERT_H

#include "api/desc.h"

/* Fills *to (zeroed, of desc to_desc) from *from; strings are shared. False: no conversion between
 * these two is known. kind and apiVersion are the caller's. */
bool convert(struct arena *a, const struct desc *from_desc, const void *from,
             const struct desc *to_desc, void *to) MUST_USE;

#endif
