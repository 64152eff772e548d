/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end sends one socket after the other whose close waits. A bounded number of them waits to be closed. Then the
 * library reads nothing more from that back-end: neither of its sockets is read. In the end its channel or its connection is
 * lost. Meanwhile the library closes what another back-end sends.
 */
/* valgrind: no (it stops all threads for a call that waits) */
#include "linger.h"

#include "rig.h"

static int socket_count(void)
{
    char *list = fds_at_once();
    int count = 0;
    for (char *at = list; (at = strstr(at, " socket:")) != NULL; at++) {
        count++;
    }
    g_free(list);
    return count;
}

int main(void)
{
    enum { MANY = 100, BOUND = 64 + 9 };
    rig hostile, good;
    VhostUserMMap m = mmap_of(0, 0, 0, PAGE, 0);
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .message_timeout_ms = 300};
    linger_begin();
    rig_open(&hostile, 16 * PAGE, &options);
    rig_open(&good, 16 * PAGE, NULL);
    int before = socket_count(), most = 0;
    for (int i = 0; i < MANY; i++) {
        int fd = lingering_socket();
        if (try_send_message(hostile.channel, MAP, 0x1, &m, sizeof(m), &fd, 1) < 0) {
            break; /* the channel is lost already, and this one goes with the process */
        }
        close(fd);
        vhushmem_frontend_dispatch(hostile.frontend);
        most = MAX(most, socket_count() - before);
    }
    PUMP_UNTIL(hostile.frontend,
               hostile.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 1 || hostile.events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    CHECK(strstr(hostile.said, "could not be closed in time") != NULL);
    CHECK(hostile.events[VHUSHMEM_EVENT_MAP] >= 64 && hostile.events[VHUSHMEM_EVENT_MAP] <= BOUND);
    CHECK(most <= BOUND);

    int pair[2];
    char byte;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    send_message(good.channel, MAP, 0x1, &m, sizeof(m), &pair[0], 1);
    close(pair[0]);
    pump(good.frontend);
    EQ(recv(pair[1], &byte, 1, 0), 0); /* the last descriptor of the other end is closed */
    close(pair[1]);
    rig_still_works(&good);
    rig_close(&good);
    rig_close(&hostile);
    return 0;
}
