/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <time.h>

enum { RING_LINES = 512, LINE_MAX_BYTES = 240 };

static struct {
    pthread_mutex_t lock;
    enum log_level threshold;
    int64_t (*now_ms)(void);
    uint64_t next; /* lines written so far */
    char ring[RING_LINES][LINE_MAX_BYTES];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .threshold = LOG_INFO};

static const char *const names[] = {"debug", "info", "warn", "error"};

void log_threshold(enum log_level level)
{
    state.threshold = level;
}

bool log_level_parse(const char *name, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_clock(int64_t (*now_ms)(void))
{
    state.now_ms = now_ms;
}

static int64_t now_ms(void)
{
    if (state.now_ms)
        return state.now_ms();
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void log_at(enum log_level level, const char *area, const char *fmt, ...)
{
    char text[1024];
    int64_t ms = now_ms();
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    int n = snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s %s: ",
                     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                     tm.tm_sec, (int)(ms % 1000), names[level], area);
    must(n > 0 && (size_t)n < sizeof text);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text + n, sizeof text - (size_t)n, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&state.lock);
    char *line = state.ring[state.next++ % RING_LINES];
    size_t keep = strnlen(text, LINE_MAX_BYTES - 1);
    memcpy(line, text, keep);
    line[keep] = 0;
    pthread_mutex_unlock(&state.lock);
    if (level >= state.threshold)
        fprintf(stderr, "%s\n", text);
}

void log_dump(FILE *to)
{
    /* No lock: this runs when the process is about to end, maybe from inside log_at. */
    uint64_t from = state.next > RING_LINES ? state.next - RING_LINES : 0;
    fprintf(to, "--- last %d log lines ---\n", (int)(state.next - from));
    for (uint64_t i = from; i < state.next; i++)
        fprintf(to, "%s\n", state.ring[i % RING_LINES]);
}
