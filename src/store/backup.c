/* SPDX-License-Identifier: Apache-2.0 */
/* A backup: a series of jobs for the back-end, which take turns with commits (write.c). */
#include "store/core.h"

struct backup {
    char *path;
    void (*done)(void *arg, int error);
    void *arg;
    int error;
    struct task refused;
};

static void backup_end(struct backup *b, int error)
{
    b->done(b->arg, error);
    free(b->path);
    free(b);
}

static void refused(struct task *t)
{
    backup_end(CONTAINER_OF(t, struct backup, refused), -ERR_UNAVAILABLE);
}

void store_backup(struct store *s, const char *path, void (*done)(void *arg, int error), void *arg)
{
    struct backup *b = xcalloc(1, sizeof *b);
    b->path = xstrdup(path);
    b->done = done;
    b->arg = arg;
    if (s->backup || s->closing) {
        loop_defer(s->loop, &b->refused, refused);
        return;
    }
    s->backup = b;
    jobs_soon(s);
}

void backup_prepare(struct store *s, struct job *j)
{
    j->kind = JOB_BACKUP;
    j->path = s->backup->path;
}

void backup_progress(struct store *s, const struct job *j)
{
    if (j->error || !j->more)
        backup_end(TAKE_PTR(s->backup), j->error);
}

void backup_cancel(struct store *s)
{
    if (s->backup)
        backup_end(TAKE_PTR(s->backup), -ERR_CANCELED);
}

void backup_forget(struct store *s)
{
    if (s->backup) {
        free(s->backup->path);
        free(s->backup);
    }
}
