/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite.h: the SQLite back-end's two halves. sqlite.c has the file (opening, loading, what a job
 * does; blocking calls on whatever thread has the job), sqlite_job.c hands jobs to the worker pool.
 * Private to these two.
 */
#ifndef BARQUE_STORE_SQLITE_H
#define BARQUE_STORE_SQLITE_H

#include <sqlite3.h>

#include "base/buf.h"
#include "store/backend.h"

struct database {
    char *path;
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *rollback, *insert, *drop, *reserve;
    struct buf value; /* a value whose two parts had to be joined */
    int wal_pages;    /* in the log after the last commit */
    int page_bytes;
    sqlite3_backup *copy; /* a backup under way */
    sqlite3 *copy_db;
    char *copy_path; /* its file until it is complete */
};

/* Opens, locks, creates or checks the file. On failure nothing is left open. */
int database_open(struct database *d, const char *path, struct err *e) MUST_USE;
int database_load(struct database *d, int (*fn)(void *arg, const struct row *r, struct err *e),
                  void *arg, rev_t *ret_reserved, struct err *e) MUST_USE;
/* Does the job and fills in its results. */
void database_run(struct database *d, struct job *j);
void database_close(struct database *d);

#endif
