/* SPDX-License-Identifier: Apache-2.0 */
/* What a container sees of its configuration. */
#include "engine/test_world.h"

/* Runs the script in a container of its own and gives what it wrote. */
static struct str run(struct str pod, struct criv1_container_config *config)
{
    unlink(in_root("log/main.log"));
    const struct criv1_container_status *st = run_to_end(pod, config);
    struct str text = output();
    remove_container(st->id);
    return text;
}

static struct criv1_linux_container_security_context *
security(struct criv1_container_config *config)
{
    return config->linux_->security_context;
}

static struct criv1_int64_value *number(int64_t v)
{
    struct criv1_int64_value *p = arena_new(&w->arena, struct criv1_int64_value);
    p->value = v;
    return p;
}

static void add_env(struct criv1_container_config *config, const char *key, const char *value)
{
    struct criv1_key_value *kv = list_add(&w->arena, &config->envs);
    kv->key = str_z(key);
    kv->value = str_z(value);
}

static struct criv1_mount *add_mount(struct criv1_container_config *config, const char *host,
                                     const char *container)
{
    struct criv1_mount *m = list_add(&w->arena, &config->mounts);
    m->host_path = str_z(host);
    m->container_path = str_z(container);
    return m;
}

static void assert_has(struct str text, const char *part)
{
    if (str_find(text, str_z(part)) < 0)
        fail_msg("\"%s\" is not in \"%.*s\"", part, STR_ARG(text));
}

static void test_process(void **state)
{
    struct str pod = run_pod("proc");
    struct criv1_container_config *config =
        container_config("echo $0 $HOSTNAME $COLOR $PATH; pwd; id; cat /proc/self/oom_score_adj");
    add_env(config, "COLOR", "red=blue");
    config->working_dir = STR("/deep/er");
    security(config)->run_as_user = number(33);
    *list_add(&w->arena, &security(config)->supplemental_groups) = 777;
    config->linux_->resources->oom_score_adj = 500;
    struct str text = run(pod, config);
    assert_has(text, "/bin/sh proc red=blue /usr/local/sbin:");
    assert_has(text, "/deep/er\n");
    assert_has(text, "uid=33(web) gid=44 groups=44,55(extra),777\n");
    assert_has(text, "\n500\n");

    config = container_config("id");
    config->linux_->resources->oom_score_adj = -999; /* more than may be had on some hosts */
    security(config)->run_as_username = STR("web");
    security(config)->run_as_group = number(0);
    security(config)->supplemental_groups_policy = CRIV1_Strict;
    assert_has(run(pod, config), "uid=33(web) gid=0(root) groups=0(root)\n");

    config = container_config("true");
    security(config)->run_as_username = STR("nobody-here");
    struct criv1_create_container_request q = {.pod_sandbox_id = pod, .config = config};
    assert_null(try_call(CRIV1_CREATE_CONTAINER, &q));
    assert_has(w->err.message, "unable to find user nobody-here");
    remove_pod(pod);
}

static void test_capabilities(void **state)
{
    static const char show[] = "grep -E 'Cap(Bnd|Eff)|NoNewPrivs|Seccomp:' /proc/self/status; "
                               "unshare -U true 2>&1 && echo unshared";
    struct str pod = run_pod("caps");
    struct str text = run(pod, container_config(show));
    assert_has(text, "CapEff:\t00000000a80425fb\n"); /* what containers have everywhere */
    assert_has(text, "NoNewPrivs:\t0\n");
    assert_has(text, "Seccomp:\t0\n");

    struct criv1_container_config *config = container_config(show);
    security(config)->no_new_privs = true;
    security(config)->seccomp = arena_new(&w->arena, struct criv1_security_profile);
    security(config)->capabilities = arena_new(&w->arena, struct criv1_capability);
    str_list_push(&w->arena, &security(config)->capabilities->drop_capabilities, STR("ALL"));
    str_list_push(&w->arena, &security(config)->capabilities->add_capabilities,
                  STR("net_bind_service"));
    text = run(pod, config);
    assert_has(text, "CapEff:\t0000000000000400\n");
    assert_has(text, "NoNewPrivs:\t1\n");
    assert_has(text, "Seccomp:\t2\n");
    assert_has(text, "Operation not permitted");

    config = container_config("grep CapEff /proc/self/status; ls /dev; "
                              "cat /sys/fs/cgroup/*/devices.list");
    security(config)->privileged = true;
    text = run(pod, config);
    assert_true(str_find(text, STR("a80425fb")) < 0);
    assert_has(text, "kmsg");

    config = container_config("true");
    security(config)->capabilities = arena_new(&w->arena, struct criv1_capability);
    str_list_push(&w->arena, &security(config)->capabilities->add_capabilities, STR("FLY"));
    struct criv1_create_container_request q = {.pod_sandbox_id = pod, .config = config};
    assert_null(try_call(CRIV1_CREATE_CONTAINER, &q));
    assert_has(w->err.message, "unknown capability \"FLY\"");
    remove_pod(pod);
}

static void test_filesystem(void **state)
{
    struct str pod = run_pod("files");
    struct criv1_container_config *config = container_config(
        "touch /new && echo wrote; cat /etc/hosts; mount | grep -E ' /dev/shm | /ro | /rw | / '; "
        "cat /ro/f; touch /ro/x 2>&1; echo y > /rw/y; cat /proc/kcore | wc -c; "
        "echo 1 > /proc/sys/kernel/sysrq; ls /dev");
    assert_int_equal(dir_make(in_root("ro"), 0755, &w->err), 0);
    assert_int_equal(
        file_write(AT_FDCWD, in_root("ro/f"), STR("content\n"), 0644, FILE_FAST, &w->err), 0);
    add_mount(config, in_root("ro"), "/ro")->readonly = true;
    add_mount(config, in_root("made/by/mount"), "/rw/");
    str_list_push(&w->arena, &security(config)->masked_paths, STR("/proc/kcore"));
    str_list_push(&w->arena, &security(config)->readonly_paths, STR("/proc/sys"));
    struct str text = run(pod, config);
    assert_has(text, "wrote\n");
    assert_has(text, "localhost\n");
    assert_has(text, "files\n");
    assert_has(text, "content\n");
    assert_has(text, "/ro/x: Read-only file system");
    assert_has(text, "\n0\n"); /* masked */
    assert_has(text, "can't create /proc/sys/kernel/sysrq");
    assert_has(text, "\nptmx\n");
    assert_int_equal(access(in_root("made/by/mount/y"), F_OK), 0);
    assert_int_equal(access(in_root("rootfs/new"), F_OK), -1);

    config = container_config("touch /new 2>&1; touch /dev/shm/x && echo shm");
    security(config)->readonly_rootfs = true;
    text = run(pod, config);
    assert_has(text, "/new: Read-only file system");
    assert_has(text, "shm\n");
    remove_pod(pod);
}

static void test_recursive_read_only(void **state)
{
    struct str pod = run_pod("rro");
    struct criv1_container_config *config = container_config("touch /v/x 2>&1");
    assert_int_equal(dir_make(in_root("rro"), 0755, &w->err), 0);
    struct criv1_mount *m = add_mount(config, in_root("rro"), "/v");
    m->readonly = m->recursive_read_only = true;
    assert_has(run(pod, config), "/v/x: Read-only file system");
    remove_pod(pod);
}

/* An image as a volume: read-only, whole or a part. */
static void test_image_volume(void **state)
{
    struct str pod = run_pod("volume");
    struct criv1_container_config *config =
        container_config("ls /img/bin; touch /img/x 2>&1; cat /part/passwd");
    for (int i = 0; i < 2; i++) {
        struct criv1_mount *m = add_mount(config, "", i ? "/part" : "/img");
        m->image = arena_new(&w->arena, struct criv1_image_spec);
        m->image->image = STR("busybox:test");
        m->image_sub_path = i ? STR("etc") : STR_NULL;
        m->readonly = true;
    }
    struct str text = run(pod, config);
    assert_has(text, "busybox\n");
    assert_has(text, "/img/x: Read-only file system");
    assert_has(text, "web:x:33:44");
    remove_pod(pod);
}

static void test_shared_namespaces(void **state)
{
    struct criv1_pod_sandbox_config *pc = pod_config("shared");
    pc->linux_->security_context->namespace_options->pid = CRIV1_POD;
    str_map_set(&w->arena, &pc->linux_->sysctls, STR("net.ipv4.ip_unprivileged_port_start"),
                STR("80"));
    str_map_set(&w->arena, &pc->linux_->sysctls, STR("kernel.shm_rmid_forced"), STR("1"));
    struct str pod = run_pod_with(pc);
    struct criv1_container_config *first =
        container_config("touch /dev/shm/hello; exec sleep 1000");
    struct criv1_container_config *second = container_config(
        "cat /proc/1/comm; ls /dev/shm; cat /proc/*/comm; "
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced");
    security(first)->namespace_options->pid = security(second)->namespace_options->pid = CRIV1_POD;
    start(create(pod, first));
    usleep(50000);
    struct str text = run(pod, second);
    assert_has(text, "pause\n");
    assert_has(text, "hello\n");
    assert_has(text, "sleep\n");
    assert_has(text, "80\n1\n");
    remove_pod(pod);

    pc = pod_config("wrong");
    str_map_set(&w->arena, &pc->linux_->sysctls, STR("vm.swappiness"), STR("1"));
    struct criv1_run_pod_sandbox_request q = {.config = pc};
    assert_null(try_call(CRIV1_RUN_POD_SANDBOX, &q));
    assert_has(w->err.message, "sysctl \"vm.swappiness\" is not of the pod's namespaces");
}

static void test_host_namespaces(void **state)
{
    char own[256];
    struct criv1_pod_sandbox_config *pc = pod_config("");
    struct criv1_namespace_option *o = pc->linux_->security_context->namespace_options;
    pc->metadata->name = STR("host");
    o->network = o->pid = o->ipc = CRIV1_NODE;
    struct str pod = run_pod_with(pc);
    struct criv1_container_config *config =
        container_config("hostname; for n in net ipc pid uts; do readlink /proc/self/ns/$n; done");
    *security(config)->namespace_options = *o;
    struct str text = run(pod, config);
    gethostname(own, sizeof own);
    assert_has(text, own);
    static const char *const kinds[] = {"net", "ipc", "pid", "uts"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        char path[64], link[64] = "";
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
        assert_true(readlink(path, link, sizeof link - 1) > 0);
        assert_has(text, link);
    }
    remove_pod(pod);
}

static void test_target_namespace(void **state)
{
    struct str pod = run_pod("target");
    struct str first = create(pod, container_config("exec sleep 1000"));
    start(first);
    struct criv1_container_config *config = container_config("cat /proc/1/comm");
    security(config)->namespace_options->pid = CRIV1_TARGET;
    security(config)->namespace_options->target_id = first;
    assert_has(run(pod, config), "sleep\n");
    remove_pod(pod);
}

static void test_refusals(void **state)
{
    struct str pod = run_pod("refuse");
    struct criv1_container_config *config = container_config("true");
    config->command = (struct str_list){0};
    config->args = (struct str_list){0};
    str_list_push(&w->arena, &config->command, STR("no-such-program"));
    struct str id = create(pod, config);
    struct criv1_start_container_request s = {.container_id = id};
    assert_null(try_call(CRIV1_START_CONTAINER, &s));
    assert_has(w->err.message, "no-such-program");
    assert_int_equal(status(id)->state, CRIV1_CONTAINER_EXITED);
    assert_int_equal(status(id)->exit_code, 128);
    assert_str(status(id)->reason, "StartError");
    assert_has(status(id)->message, "no-such-program");
    assert_null(try_call(CRIV1_START_CONTAINER, &s));
    assert_has(w->err.message, "is in CONTAINER_EXITED state");

    config = container_config("true");
    config->image->image = STR("not-here:1");
    struct criv1_create_container_request q = {.pod_sandbox_id = pod, .config = config};
    assert_null(try_call(CRIV1_CREATE_CONTAINER, &q));
    assert_int_equal(w->err.code, ERR_NOT_FOUND);

    config = container_config("true");
    add_mount(config, "relative", "/x");
    q.config = config;
    assert_null(try_call(CRIV1_CREATE_CONTAINER, &q));
    assert_has(w->err.message, "not an absolute path");
    remove_pod(pod);
    q.config = container_config("true");
    assert_null(try_call(CRIV1_CREATE_CONTAINER, &q));
    assert_int_equal(w->err.code, ERR_NOT_FOUND);
}

ENGINE_TESTS(ENGINE_TEST(test_process), ENGINE_TEST(test_capabilities),
             ENGINE_TEST(test_filesystem), ENGINE_TEST(test_recursive_read_only),
             ENGINE_TEST(test_image_volume), ENGINE_TEST(test_shared_namespaces),
             ENGINE_TEST(test_host_namespaces), ENGINE_TEST(test_target_namespace),
             ENGINE_TEST(test_refusals))
