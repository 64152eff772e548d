/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_PAIR_H
#define VHUSHMEM_TESTS_PAIR_H

/*
 * A back-end of the library in a child process. The child calls `run` after the handshake. When
 * `run` returns, the connection ends.
 */

#include "harness.h"

static inline void pump_backend_once(vhushmem_backend *backend)
{
    if (wait_readable((int)ok(vhushmem_backend_get_fd(backend)), 10)) {
        vhushmem_backend_dispatch(backend);
    }
}

/* Lets the back-end work until the condition is true. */
#define PUMP_BACKEND_UNTIL(backend, condition) STEP_UNTIL(condition, pump_backend_once(backend))

static inline void pump_frontend_once(vhushmem_frontend *frontend)
{
    if (wait_readable((int)ok(vhushmem_frontend_get_fd(frontend)), 10)) {
        vhushmem_frontend_dispatch(frontend);
    }
}

/* Lets the front-end work until the condition is true. */
#define PUMP_FRONTEND_UNTIL(frontend, condition) STEP_UNTIL(condition, pump_frontend_once(frontend))

/* In a child: a back-end with region 0 of so many bytes uses the socket. Does not return. */
static inline __attribute__((noreturn)) void run_back_end(int socket, uint64_t size,
                                                          void (*run)(vhushmem_backend *))
{
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_add_region(backend, 0, size, &error));
    ok(vhushmem_backend_attach(backend, socket, &error));
    PUMP_BACKEND_UNTIL(backend, vhushmem_backend_is_negotiated(backend));
    run(backend);
    vhushmem_backend_free(backend);
    _exit(0);
}

/*
 * Forks. In the child, a back-end with region 0 of so many bytes uses the socket. Returns the
 * child's id; the socket is closed.
 */
static inline pid_t back_end_process(int socket, int others, uint64_t size,
                                     void (*run)(vhushmem_backend *))
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

/* The child has exited with 0. */
static inline void ends_well(pid_t child)
{
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    EQ(status, 0);
}

#endif
