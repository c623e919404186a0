/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h: an always-on ring of what happened, and lines on stderr above a threshold.
 *
 * Every call lands in the ring (bounded, oldest overwritten), whatever the threshold; the ring
 * is dumped when a contract fails. Only cmd/, server/, node/ and the reconcile frame log errors;
 * code below them returns them. Thread-safe.
 */
#ifndef BARQUE_BASE_LOG_H
#define BARQUE_BASE_LOG_H

#include "base/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines at or above this level go to stderr. Default: LOG_INFO. */
void log_threshold(enum log_level level);
/* "debug", "info", "warn", "error"; false when none of these. */
bool log_level_parse(const char *name, enum log_level *ret);
/* The clock for time stamps, milliseconds since the epoch; default: the system's. The simulator
 * sets its own. */
void log_clock(int64_t (*now_ms)(void));

/* area: the component, e.g. "store". One line, no newline at the end. */
void log_at(enum log_level level, const char *area, const char *fmt, ...) PRINTF(3, 4);
#define log_debug(area, ...) log_at(LOG_DEBUG, area, __VA_ARGS__)
#define log_info(area, ...)  log_at(LOG_INFO, area, __VA_ARGS__)
#define log_warn(area, ...)  log_at(LOG_WARN, area, __VA_ARGS__)
#define log_error(area, ...) log_at(LOG_ERROR, area, __VA_ARGS__)

/* Writes the ring, oldest first. */
void log_dump(FILE *to);

#endif
