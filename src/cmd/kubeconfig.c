/* SPDX-License-Identifier: Apache-2.0 */
/* barque kubeconfig: prints the admin kubeconfig, for `export KUBECONFIG` or a redirect. */
#include "cmd/cmd.h"

static int run(int argc, char **argv)
{
    struct arena a = ARENA_INIT;
    struct err e = ERR_INIT(&a);
    struct cluster c;
    struct str text;
    const char *dir = CLUSTER_DIR_DEFAULT;
    const struct flag flags[] = {{.name = "data-dir", .text = &dir}};
    if (!flags_parse(&command_kubeconfig, &argc, argv, flags, ARRAY_LEN(flags)))
        return 2;
    if (cluster_load(&a, dir, &c, &e) < 0)
        return complain(&e, "`barque up` makes one");
    if (file_read(&a, cluster_path(&a, &c, "admin.kubeconfig"), &text, &e) < 0)
        return complain(&e, NULL);
    fwrite(text.p, 1, text.n, stdout);
    arena_fini(&a);
    return 0;
}

const struct command command_kubeconfig = {
    .name = "kubeconfig",
    .summary = "print the admin kubeconfig",
    .help = "Usage: barque kubeconfig [--data-dir DIR]\n",
    .run = run,
};
