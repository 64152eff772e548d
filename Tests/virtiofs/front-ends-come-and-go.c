/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end that is gone leaves nothing behind, and the next one begins again. Sockets of --fd, connected and listening, work
 * as well.
 */
#include "virtiofs-rig.h"

static vfs v;

static void use(void)
{
    vfs_run(&v, NULL);
    vfs_init(&v);
    uint64_t node = vfs_node(&v, FUSE_ROOT_ID, "f");
    uint64_t fh = vfs_handle(&v, node, O_RDWR);
    ok(vfs_read(&v, node, fh, 0, 10));
    ok(vfs_map(&v, node, 0, 0, CHUNK, true));
}

/* Starts the device with a socket that it inherits. */
static void start_with(int fd)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", fd);
    v.pid = fork();
    CHECK(v.pid >= 0);
    if (v.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        look_for_no_leaks();
        fcntl(fd, F_SETFD, 0);
        execl(program_path(), program_path(), "--fd", number, "--shared-dir", v.shared, "--window", "16M", NULL);
        _exit(127);
    }
    close(fd);
}

static void given_listener(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", v.socket);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0);
    start_with(fd);
    for (int i = 0; i < 3; i++) {
        vfs_connect(&v);
        use();
        vhushmem_frontend_free(v.frontend);
    }
    CHECK(kill(v.pid, SIGTERM) == 0 && waitpid(v.pid, &status, 0) == v.pid && status == 0);
}

static void given_connection(void)
{
    vhushmem_region_options region = dax_options();
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .num_queues = v.queues, .region = &region};
    int pair[2], status;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    start_with(pair[1]);
    v.frontend = some(vhushmem_frontend_new_fd(pair[0], &options, &error));
    ok(vhushmem_frontend_connect(v.frontend, PATIENCE_MS, &error));
    v.region = some(vhushmem_device_find_region(vhushmem_frontend_device(v.frontend), 0));
    use();
    vhushmem_frontend_free(v.frontend);
    /* The device was started for this front-end alone. */
    CHECK(waitpid(v.pid, &status, 0) == v.pid);
    EQ(status, 0);
}

int main(void)
{
    vfs_folders(&v);
    v.queues = 2;
    vfs_memory(&v);
    static const char *const options[] = {"--window", "16M", NULL};
    host_write(host_path(&v, "f"), "0123456789", 10);
    vfs_start(&v, options);
    int before = -1;
    for (int i = 0; i < 5; i++) {
        vfs_connect(&v);
        if (before < 0) {
            STEP_UNTIL(vhushmem_frontend_is_ready(v.frontend), vfs_pump(&v));
        }
        use();
        vhushmem_frontend_free(v.frontend);
        /* The device sees the end in its next turn. */
        if (before < 0) {
            usleep(100000);
            before = vfs_descriptors(&v);
        }
        STEP_UNTIL(vfs_descriptors(&v) <= before, usleep(1000));
    }
    vfs_end(&v, 0);
    given_listener();
    unlink(v.socket);
    given_connection();

    /* A killed device leaves its socket, and the next one takes its place. */
    vfs_start(&v, options);
    vfs_connect(&v);
    use();
    pid_t child = v.child;
    CHECK(kill(v.pid, SIGKILL) == 0 && waitpid(v.pid, NULL, 0) == v.pid);
    STEP_UNTIL(kill(child, 0) < 0, usleep(1000)); /* the process that serves ends with it */
    vhushmem_frontend_free(v.frontend);
    vfs_start(&v, options);
    vfs_connect(&v); /* waits until the new one listens */
    v.child = child_of(v.pid);
    use();
    vfs_close(&v);
    return 0;
}
