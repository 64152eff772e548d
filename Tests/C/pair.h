/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_PAIR_H
#define VHUSHMEM_TESTS_PAIR_H

/*
 * A back-end of ours in a child process: `run` is called in the child once the handshake is done, and its end is the connection's.
 */

#include "harness.h"

/* Let the back-end work until something has become true. */
#define PUMP_BACKEND_UNTIL(backend, condition)                                                                                 \
    do {                                                                                                                       \
        int64_t end_ = now_ms() + PATIENCE_MS;                                                                                 \
        while (!(condition)) {                                                                                                 \
            if (now_ms() > end_) {                                                                                             \
                FAIL("waited in vain for: %s", #condition);                                                                    \
            }                                                                                                                  \
            if (wait_for((int)ok(vhushmem_backend_get_fd(backend)), 10)) {                                                     \
                vhushmem_backend_dispatch(backend);                                                                            \
            }                                                                                                                  \
        }                                                                                                                      \
    } while (0)

static inline bool wait_for(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) > 0;
}

/* Let the front-end work until something has become true. */
#define PUMP_FRONTEND_UNTIL(frontend, condition)                                                                               \
    do {                                                                                                                       \
        int64_t end_ = now_ms() + PATIENCE_MS;                                                                                 \
        while (!(condition)) {                                                                                                 \
            if (now_ms() > end_) {                                                                                             \
                FAIL("waited in vain for: %s", #condition);                                                                    \
            }                                                                                                                  \
            if (wait_for((int)ok(vhushmem_frontend_get_fd(frontend)), 10)) {                                                   \
                vhushmem_frontend_dispatch(frontend);                                                                          \
            }                                                                                                                  \
        }                                                                                                                      \
    } while (0)

/* In a child: a back-end with region 0 of so many bytes uses the socket, and does not return. */
static inline __attribute__((noreturn)) void run_back_end(int socket, uint64_t size, void (*run)(vhushmem_backend *))
{
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_add_region(backend, 0, size, &error));
    ok(vhushmem_backend_attach(backend, socket, &error));
    PUMP_BACKEND_UNTIL(backend, vhushmem_backend_is_negotiated(backend));
    run(backend);
    vhushmem_backend_free(backend);
    _exit(0);
}

/* Fork; in the child, a back-end with region 0 of so many bytes uses the socket. Returns the child's id; the socket is closed. */
static inline pid_t back_end_process(int socket, int others, uint64_t size, void (*run)(vhushmem_backend *))
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (others >= 0) {
            close(others);
        }
        run_back_end(socket, size, run);
    }
    close(socket);
    return child;
}

/* The child has come to a good end. */
static inline void ends_well(pid_t child)
{
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    EQ(status, 0);
}

#endif
