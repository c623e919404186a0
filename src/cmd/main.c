/* SPDX-License-Identifier: Apache-2.0 */
/* The one executable: barque VERB ... */
#include "cmd/cmd.h"

static const struct command *const commands[] = {
    &command_up,
    &command_kubeconfig,
    &command_server,
    &command_version,
};

static void usage(FILE *to)
{
    fprintf(to,
            "barque: the cloud-native stack as one program\n\nUsage: barque COMMAND [flags]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(to, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\n`barque COMMAND --help` tells the flags of one command.\n");
}

static int run_version(int argc, char **argv)
{
    printf("barque %s (Kubernetes API v1.36)\n", BARQUE_VERSION);
    return 0;
}

const struct command command_version = {
    .name = "version", .summary = "say which version this is", .run = run_version};

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(argc - 1, argv + 1);
    fprintf(stderr, "barque: unknown command \"%s\"\n\n", argv[1]);
    usage(stderr);
    return 2;
}
