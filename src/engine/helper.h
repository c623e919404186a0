/* SPDX-License-Identifier: Apache-2.0 */
/* helper.h: the small program beside the engine (helper/helper.c), built into this one. */
#ifndef BARQUE_ENGINE_HELPER_H
#define BARQUE_ENGINE_HELPER_H

#include "base/err.h"

/* Writes the program to path, unless it is there already with the same content. */
int helper_install(const char *path, struct err *e) MUST_USE;

#endif
