/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three processes begin to listen over one stale socket, round after round. One succeeds, the others get EADDRINUSE, and a
 * peer that connects then reaches that one. A process that holds the folder's lock makes nobody wait for ever.
 */
#include "harness.h"

#include <sys/file.h>

#define PROCESSES 3
#define ROUNDS 200

static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void leave_stale_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    close(fd);
}

static void byte_to(int fd) { CHECK(write(fd, "x", 1) == 1); }

static bool byte_from(int fd)
{
    char byte;
    return read(fd, &byte, 1) == 1;
}

/* A process that begins at a byte and reports the result, and stops at the next byte. The odd ones are front-ends. */
static __attribute__((noreturn)) void listen_again_and_again(int in, int out, int number)
{
    while (byte_from(in)) {
        vhushmem_frontend_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_FRONTEND_SERVER};
        vhushmem_backend *backend = number % 2 == 0 ? some(vhushmem_backend_new(NULL, NULL)) : NULL;
        vhushmem_frontend *frontend = backend == NULL ? some(vhushmem_frontend_new(address.sun_path, &options, NULL)) : NULL;
        int result = backend != NULL ? vhushmem_backend_listen(backend, address.sun_path, NULL)
                                     : vhushmem_frontend_start(frontend, NULL);
        CHECK(write(out, &result, sizeof(result)) == sizeof(result));
        CHECK(byte_from(in));
        vhushmem_backend_free(backend);
        vhushmem_frontend_free(frontend);
        CHECK(write(out, &result, sizeof(result)) == sizeof(result));
    }
    _exit(0);
}

static int result_from(int fd)
{
    int result;
    CHECK(read(fd, &result, sizeof(result)) == sizeof(result));
    return result;
}

static bool someone_listens(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_taken = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return is_taken;
}

/* Anyone who may read the folder can lock it. */
static void held_up(const char *directory)
{
    int lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(lock >= 0 && flock(lock, LOCK_EX) == 0);
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_listen(backend, address.sun_path, &error)); /* there is nothing to replace */
    vhushmem_backend_free(backend);
    leave_stale_socket();
    backend = some(vhushmem_backend_new(NULL, &error));
    refused(vhushmem_backend_listen(backend, address.sun_path, &error), -EADDRINUSE, address.sun_path);
    close(lock);
    ok(vhushmem_backend_listen(backend, address.sun_path, &error));
    CHECK(someone_listens());
    vhushmem_backend_free(backend);
}

int main(void)
{
    char *directory = new_directory();
    int in[PROCESSES][2], out[PROCESSES][2];
    pid_t children[PROCESSES];
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
    for (int i = 0; i < PROCESSES; i++) {
        CHECK(pipe2(in[i], O_CLOEXEC) == 0 && pipe2(out[i], O_CLOEXEC) == 0);
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            for (int j = 0; j <= i; j++) {
                close(in[j][1]);
            }
            listen_again_and_again(in[i][0], out[i][1], i);
        }
    }
    for (int round = 0; round < ROUNDS; round++) {
        int winners = 0;
        leave_stale_socket();
        for (int i = 0; i < PROCESSES; i++) {
            byte_to(in[(i + round) % PROCESSES][1]);
        }
        for (int i = 0; i < PROCESSES; i++) {
            int result = result_from(out[i][0]);
            CHECK(result == 0 || result == -EADDRINUSE);
            winners += result == 0;
        }
        EQ(winners, 1);
        CHECK(someone_listens());
        for (int i = 0; i < PROCESSES; i++) {
            byte_to(in[i][1]);
            (void)result_from(out[i][0]);
        }
        unlink(address.sun_path);
    }
    for (int i = 0; i < PROCESSES; i++) {
        close(in[i][1]);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        CHECK(waitpid(children[i], &status, 0) == children[i]);
        EQ(status, 0);
    }
    held_up(directory);
    remove_directory(directory);
    return 0;
}
