/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_LINGER_H
#define VHUSHMEM_TESTS_LINGER_H

/*
 * Sockets whose close waits: they have unsent bytes for a peer that reads nothing, and linger for
 * an hour.
 */

#include "harness.h"

#include <netinet/in.h>

static int linger_listener = -1;

/*
 * One such socket. A test that closes its last descriptor waits until the alarm ends the test, or
 * until linger_end().
 */
static inline int lingering_socket(void)
{
    static struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    if (linger_listener < 0) {
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        linger_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(linger_listener, (struct sockaddr *)&address, length) != 0 ||
            listen(linger_listener, 256) != 0) {
            skip("there is no loopback network");
        }
        CHECK(getsockname(linger_listener, (struct sockaddr *)&address, &length) == 0);
    }
    int sender = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(sender, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(fcntl(sender, F_SETFL, O_NONBLOCK) == 0);
    static const char bytes[65536];
    while (write(sender, bytes, sizeof(bytes)) > 0) {}
    struct linger linger = {.l_onoff = 1, .l_linger = 3600};
    CHECK(setsockopt(sender, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
    return sender;
}

static inline void *linger_close(void *user_data)
{
    close((int)(intptr_t)user_data);
    return NULL;
}

/*
 * Closes a socket that was sent to a process that may have closed it by now. Then this close is
 * the last one, and waits. The thread must be joined or detached.
 */
static inline pthread_t linger_close_in_a_thread(int fd)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, linger_close, (void *)(intptr_t)fd) == 0);
    return thread;
}

/* Closes the other ends. After that, a close of the sockets does not wait. */
static inline void linger_end(void)
{
    close(linger_listener);
    linger_listener = -1;
}

/* Sets an alarm for a test that lingers. */
static inline void linger_begin(void) { alarm(PATIENCE_MS / 1000); }

#endif
