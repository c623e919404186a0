/* SPDX-License-Identifier: Apache-2.0 */
/* Pulling from a real registry: docker-registry on loopback, filled by skopeo. */
#include "engine/test_world.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "engine/oci_image.h"

static int registry_pid, port;
static unsigned progress_calls;
static uint64_t progress_total;

static int free_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    getsockname(fd, (struct sockaddr *)&in, &n);
    close(fd);
    return ntohs(in.sin_port);
}

static bool listens(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool ok = connect(fd, (struct sockaddr *)&in, sizeof in) == 0;
    close(fd);
    return ok;
}

static void start_registry(void)
{
    port = free_port();
    struct str config = arena_fmt(&w->arena,
                                  "version: 0.1\nlog: {level: error}\nstorage: {filesystem: "
                                  "{rootdirectory: %s}}\nhttp: {addr: '127.0.0.1:%d'}\n",
                                  in_root("registry"), port);
    assert_int_equal(
        file_write(AT_FDCWD, in_root("registry.yml"), config, 0644, FILE_FAST, &w->err), 0);
    registry_pid = fork();
    if (registry_pid == 0) {
        int quiet = open("/dev/null", O_WRONLY);
        dup2(quiet, 1);
        dup2(quiet, 2);
        execl("/usr/bin/docker-registry", "docker-registry", "serve", in_root("registry.yml"),
              NULL);
        _exit(127);
    }
    for (int i = 0; !listens() && i < 500; i++)
        usleep(10000);
    assert_true(listens());
}

static void stop_registry(void)
{
    kill(registry_pid, SIGKILL);
    waitpid(registry_pid, NULL, 0);
}

static void put(const char *path, struct str text)
{
    assert_int_equal(file_write(AT_FDCWD, in_root(path), text, 0644, FILE_FAST, &w->err), 0);
}

/* The test's image as an OCI layout, and from there into the registry. */
static void push_image(void)
{
    struct image_store *store;
    struct image image;
    struct oci_manifest m;
    struct str manifest, blob;
    assert_int_equal(image_store_open(in_root("engine"), &store, &w->err), 0);
    assert_int_equal(image_find(store, &w->arena, STR("busybox:test"), &image, &w->err), 0);
    const struct content *c = image_store_content(store);
    assert_int_equal(content_read(c, &w->arena, image.manifest, MIB(4), &manifest, &w->err), 0);
    assert_int_equal(oci_manifest_parse(&w->arena, manifest, &m, &w->err), 0);
    assert_int_equal(dir_make(in_root("layout/blobs/sha256"), 0755, &w->err), 0);
    struct str digests[] = {image.manifest, m.config.digest, m.layers[0].digest};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(content_read(c, &w->arena, digests[i], MIB(64), &blob, &w->err), 0);
        put(arena_fmt(&w->arena, "layout/blobs/sha256/%.*s", STR_ARG(digest_hex(digests[i]))).p,
            blob);
    }
    put("layout/oci-layout", STR("{\"imageLayoutVersion\":\"1.0.0\"}"));
    put("layout/index.json",
        arena_fmt(&w->arena,
                  "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\",\"digest\":\"%.*s\","
                  "\"size\":%zu}]}",
                  OCI_MANIFEST_TYPE, STR_ARG(image.manifest), manifest.n));
    image_store_close(store);
    struct str cmd = arena_fmt(&w->arena,
                               "skopeo --insecure-policy copy -q --dest-tls-verify=false oci:%s "
                               "docker://127.0.0.1:%d/test/busybox:v1",
                               in_root("layout"), port);
    assert_int_equal(system(cmd.p), 0);
}

static void progressed(struct engine_call *c, const struct engine_progress *p)
{
    progress_calls++;
    progress_total = p->bytes_total;
    assert_true(p->bytes_done <= p->bytes_total || !p->bytes_total);
}

static const struct criv1_pull_image_response *try_pull(const char *name)
{
    struct criv1_image_spec image = {.image = str_z(name)};
    struct criv1_pull_image_request q = {.image = &image};
    struct engine_call c = {.done = call_ended, .progress = progressed, .arena = &w->arena};
    engine_call(w->engine, CRIV1_PULL_IMAGE, &q, &c);
    run_loop();
    w->err = c.err;
    return c.response;
}

static const char *name_of(const char *rest)
{
    return arena_fmt(&w->arena, "127.0.0.1:%d/%s", port, rest).p;
}

static const struct criv1_image *image_status(const char *name)
{
    struct criv1_image_spec image = {.image = str_z(name)};
    struct criv1_image_status_request q = {.image = &image};
    const struct criv1_image_status_response *r = call(CRIV1_IMAGE_STATUS, &q);
    return r->image;
}

static void test_pull(void **state)
{
    start_registry();
    push_image();
    const struct criv1_pull_image_response *r = try_pull(name_of("test/busybox:v1"));
    if (!r)
        fail_msg("%.*s", STR_ARG(w->err.message));
    assert_true(progress_calls > 0);
    const struct criv1_image *image = image_status(name_of("test/busybox:v1"));
    assert_non_null(image);
    assert_true(str_eq(image->id, r->image_ref));
    assert_int_equal(image->repo_digests.n, 1);
    assert_non_null(image_status(arena_z(&w->arena, image->repo_digests.v[0])));
    assert_null(image_status(name_of("test/busybox:v2")));

    struct str pod = run_pod("pulled");
    struct criv1_container_config *config = container_config("exit 3");
    config->image->image = str_z(name_of("test/busybox:v1"));
    assert_int_equal(run_to_end(pod, config)->exit_code, 3);
    remove_pod(pod);

    /* by digest */
    assert_non_null(try_pull(arena_z(&w->arena, image->repo_digests.v[0])));
    /* what is not there */
    assert_null(try_pull(name_of("test/busybox:v2")));
    assert_int_equal(w->err.code, ERR_NOT_FOUND);
    assert_true(str_has_suffix(w->err.message, STR("/test/busybox:v2\": not found")));
    assert_null(try_pull(name_of("nothing:v1")));
    assert_int_equal(w->err.code, ERR_NOT_FOUND);
    assert_null(try_pull("Not A Name"));
    assert_int_equal(w->err.code, ERR_BAD_REQUEST);

    struct criv1_image_spec spec = {.image = image->id};
    struct criv1_remove_image_request gone = {.image = &spec};
    call(CRIV1_REMOVE_IMAGE, &gone);
    assert_null(image_status(name_of("test/busybox:v1")));
    call(CRIV1_REMOVE_IMAGE, &gone);
    stop_registry();
    assert_null(try_pull(name_of("test/busybox:v1")));
    assert_int_equal(w->err.code, ERR_UNAVAILABLE);
}

static void test_image_calls(void **state)
{
    struct criv1_list_images_request q = {0};
    const struct criv1_list_images_response *r = call(CRIV1_LIST_IMAGES, &q);
    assert_int_equal(r->images.n, 1);
    assert_str(r->images.v[0].repo_tags.v[0], "docker.io/library/busybox:test");
    assert_true(r->images.v[0].size > 100000);
    struct criv1_image_fs_info_request fq = {0};
    const struct criv1_image_fs_info_response *f = call(CRIV1_IMAGE_FS_INFO, &fq);
    assert_int_equal(f->image_filesystems.n, 1);
    assert_true(str_has_suffix(f->image_filesystems.v[0].fs_id->mountpoint, STR("/images")));
    struct criv1_version_request vq = {0};
    const struct criv1_version_response *v = call(CRIV1_VERSION, &vq);
    assert_str(v->runtime_api_version, "v1");
    struct criv1_status_request sq = {.verbose = true};
    const struct criv1_status_response *s = call(CRIV1_STATUS, &sq);
    assert_int_equal(s->status->conditions.n, 2);
    assert_true(s->status->conditions.v[0].status && s->status->conditions.v[1].status);
    struct criv1_checkpoint_container_request cq = {0};
    assert_null(try_call(CRIV1_CHECKPOINT_CONTAINER, &cq));
    assert_int_equal(w->err.code, ERR_METHOD_NOT_ALLOWED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(test_image_calls), ENGINE_TEST(test_pull)};
    static const char *const needed[] = {"/bin/busybox", "/usr/bin/conmon", "/usr/bin/crun",
                                         "/usr/bin/docker-registry", "/usr/bin/skopeo"};
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if (geteuid() != 0 || access(needed[i], X_OK) < 0) {
            print_message("skipped: needs root and %s\n", needed[i]);
            return 77;
        }
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
