/* SPDX-License-Identifier: BSD-3-Clause */
/* A device program is started with a socket that listens already. Front-ends come from it one after the other, and the
   socket may be shared. */
#include "backend-rig.h"

#include <sys/un.h>

static int seen[5];

static void on_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)backend;
    (void)user_data;
    seen[event->type]++;
}

/* Listens at an abstract name that the kernel chooses. */
static int listener(struct sockaddr_un *address, socklen_t *size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *size = sizeof(*address);
    CHECK(bind(fd, (void *)address, sizeof(sa_family_t)) == 0 && listen(fd, 8) == 0);
    CHECK(getsockname(fd, (void *)address, size) == 0);
    return fd;
}

static int connected(const struct sockaddr_un *address, socklen_t size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (const void *)address, size) == 0);
    return fd;
}

static void one_after_the_other(void)
{
    struct sockaddr_un address;
    socklen_t size;
    int fd = listener(&address, &size);
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    memset(seen, 0, sizeof(seen));
    ok(vhushmem_backend_set_callback(backend, on_event, NULL, NULL));
    EQ(vhushmem_backend_dispatch(backend), -ENOTCONN);
    ok(vhushmem_backend_listen_fd(backend, fd, &error));
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    refused(vhushmem_backend_listen_fd(backend, fd, &error), -EBUSY, "");
    EQ(vhushmem_backend_dispatch(backend), 0);
    for (int i = 1; i <= 3; i++) {
        backend_rig r = {.backend = backend, .main = connected(&address, size), .channel = -1};
        pump_backend(backend);
        EQ(seen[VHUSHMEM_BACKEND_CONNECTED], i);
        backend_rig_get(&r, GET_FEATURES);
        close(r.main);
        pump_backend(backend);
        EQ(seen[VHUSHMEM_BACKEND_DISCONNECT], i);
    }
    vhushmem_backend_free(backend);
    CHECK(fcntl(fd, F_GETFD) < 0);
}

/* A process that shares the socket goes on using it: waiting peers are its own. */
static void others_keep_it(void)
{
    struct sockaddr_un address;
    socklen_t size;
    int fd = listener(&address, &size), other = dup(fd);
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_listen_fd(backend, fd, &error));
    int waiting = connected(&address, size);
    vhushmem_backend_free(backend);
    STEP_UNTIL(fcntl(fd, F_GETFD) < 0, usleep(200));
    int taken = accept(other, NULL, NULL);
    CHECK(taken >= 0);
    CHECK(write(taken, "x", 1) == 1);
    char byte;
    CHECK(read(waiting, &byte, 1) == 1);
    close(taken);
    close(waiting);
    waiting = connected(&address, size);
    close(waiting);
    close(other);
}

static void refusals(void)
{
    int pair[2], not_bound = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), file = memfd_of(PAGE, 0);
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    refused(vhushmem_backend_listen_fd(backend, pair[0], &error), -EINVAL, "does not listen");
    refused(vhushmem_backend_listen_fd(backend, not_bound, &error), -EINVAL, "does not listen");
    refused(vhushmem_backend_listen_fd(backend, file, &error), -EINVAL, "no Unix stream socket");
    refused(vhushmem_backend_listen_fd(backend, -1, &error), -EBADF);
    int flags = fcntl(pair[0], F_GETFL);
    CHECK(flags >= 0 && (flags & O_NONBLOCK) == 0);
    vhushmem_backend_free(backend);
    close(pair[0]);
    close(pair[1]);
    close(not_bound);
    close(file);
}

int main(void)
{
    char *fds = fds_now();
    one_after_the_other();
    others_keep_it();
    refusals();
    same(fds, fds_now());
    return 0;
}
