/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server with trivial handlers, to be measured with wrk or curl from outside:
 *
 *   bench-http tcp:127.0.0.1:8443 [CERT.pem KEY.pem]
 *
 *   /            a small object (about 400 bytes)
 *   /list        one megabyte, as the gather of a thousand parts
 *   /watch       a streamed response that never ends: what an idle connection costs
 *
 * SIGUSR1 prints the resident memory and the connections' share of it.
 */
#include <signal.h>

#include "base/vec.h"
#include "http/http.h"

static const char object[] =
    "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"game-config\","
    "\"namespace\":\"default\",\"uid\":\"6f4f5a0e-9b7a-4c55-9a1e-0d2f6f9f0b1c\","
    "\"resourceVersion\":\"412\",\"creationTimestamp\":\"2026-01-02T03:04:05Z\"},\"data\":{"
    "\"player_initial_lives\":\"3\",\"ui_properties_file_name\":\"user-interface.properties\","
    "\"game.properties\":\"enemy.types=aliens,monsters\\nplayer.maximum-lives=5\\n\"}}\n";

enum { LIST_PARTS = 1000, PART_BYTES = 1024 };

static struct http_headers json_headers;
static struct str list_parts[LIST_PARTS];

static void respond_list(struct http_exchange *x)
{
    http_respond_start(x, 200, &json_headers);
    http_write(x, list_parts, LIST_PARTS);
    http_end(x);
}

static void watcher_gone(void *arg, struct http_exchange *x)
{
}

static void handle(void *arg, struct http_exchange *x)
{
    struct str path = http_request(x)->path;
    if (str_eqz(path, "/list")) {
        respond_list(x);
    } else if (str_eqz(path, "/watch")) {
        http_on_abort(x, watcher_gone, NULL);
        http_respond_start(x, 200, &json_headers);
    } else {
        http_respond(x, 200, &json_headers, str_n(object, sizeof object - 1));
    }
}

static struct str read_file(const char *path)
{
    static char room[2][16384];
    static int used;
    FILE *f = fopen(path, "r");
    must(f && used < 2);
    char *to = room[used++];
    size_t n = fread(to, 1, sizeof room[0], f);
    fclose(f);
    return str_n(to, n);
}

static void print_memory(struct signal_watch *w)
{
    char line[256];
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "Pss:", 4) == 0 || strncmp(line, "Pss_Anon:", 9) == 0)
            fputs(line, stdout);
    if (f)
        fclose(f);
    fflush(stdout);
}

static void interrupted(struct signal_watch *w)
{
    exit(0);
}

int main(int argc, char **argv)
{
    struct arena arena = ARENA_INIT;
    struct err e = ERR_INIT(&arena);
    struct loop *l = loop_new(&e);
    struct tls_context *tls = NULL;
    static const struct http_handler handler = {handle};
    struct signal_watch memory = {0}, end = {0};
    struct http_limits limits = http_limits_default;
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: bench-http ADDRESS [CERT KEY]\n");
        return 2;
    }
    if (argc == 4) {
        struct tls_config c = {
            .cert_pem = read_file(argv[2]), .key_pem = read_file(argv[3]), .http2 = true};
        tls = tls_context_new(&c, true, &e);
    }
    http_header_add(&arena, &json_headers, STR("content-type"), STR("application/json"));
    for (size_t i = 0; i < LIST_PARTS; i++) {
        char *p = arena_raw(&arena, PART_BYTES);
        memset(p, 'a' + (int)(i % 26), PART_BYTES);
        list_parts[i] = str_n(p, PART_BYTES);
    }
    struct http_server *s = NULL;
    if (argc == 2 || tls)
        s = http_server_new(l, str_z(argv[1]), tls, &limits, &handler, NULL, &e);
    if (!s) {
        fprintf(stderr, "bench-http: %.*s\n", STR_ARG(e.message));
        return 1;
    }
    signal_watch_start(l, &memory, SIGUSR1, print_memory);
    signal_watch_start(l, &end, SIGTERM, interrupted);
    printf("%.*s\n", STR_ARG(http_server_address(s)));
    fflush(stdout);
    loop_run(l);
    return 0;
}
