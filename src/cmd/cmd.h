/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd.h: the verbs of the executable, one file each, and the flags they share.
 */
#ifndef BARQUE_CMD_CMD_H
#define BARQUE_CMD_CMD_H

#include "base/err.h"
#include "cmd/cluster.h"

struct command {
    const char *name;                  /* "up" */
    const char *summary;               /* one line for the list of commands */
    const char *help;                  /* synopsis and flags */
    int (*run)(int argc, char **argv); /* argv[0] is the verb; returns the exit status */
};

extern const struct command command_up, command_down, command_server, command_agent,
    command_kubeconfig, command_image, command_doctor, command_version;

/* ---- flags: --name VALUE, --name=VALUE, --switch ---- */

struct flag {
    const char *name;  /* without the dashes */
    const char **text; /* one of these three is set */
    int64_t *number;
    bool *on;
    int64_t min, max; /* of number */
};
/* Takes flags out of argv; what is left are the operands (*argc, argv[1..]). Prints what is wrong,
 * with the command's help, and returns false; prints help and exits for --help. */
bool flags_parse(const struct command *c, int *argc, char **argv, const struct flag *flags,
                 size_t n_flags);

/* Prints "barque: message" (and the hint on a line of its own when not NULL); returns 1. */
int complain(const struct err *e, const char *hint);

#endif
