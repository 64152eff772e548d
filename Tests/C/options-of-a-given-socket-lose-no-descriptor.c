/* SPDX-License-Identifier: BSD-3-Clause */
/* The caller gives a socket with SO_PASSCRED, SO_PASSPIDFD or both. Descriptors arrive nevertheless, and the library closes
   what the kernel adds. */
#include "backend-rig.h"
#include "channel-rig.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

enum { CREDENTIALS = 1, PIDFD = 2 };

static void set(int socket, int ways)
{
    int on = 1;
    if (ways & CREDENTIALS) {
        CHECK(setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
    }
    if (ways & PIDFD && setsockopt(socket, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) != 0) {
        EQ(errno, ENOPROTOOPT); /* before Linux 6.5 */
    }
}

static void channel(int ways)
{
    channel_rig r;
    int pair[2], fd = memfd_of(PAGE, 1);
    memset(&r, 0, sizeof(r));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    set(pair[0], ways);
    r.peer = pair[1];
    r.device = some(vhushmem_device_new(NULL, &error));
    r.region = some(vhushmem_region_new(r.device, 0, 16 * PAGE, NULL, &error));
    r.channel = some(vhushmem_channel_new(pair[0], r.device, NULL, &error));
    ok(vhushmem_channel_get_fd(r.channel));
    char *before = fds_now();
    for (uint64_t i = 0; i < 16; i++) {
        EQ(channel_rig_map(&r, fd, i * PAGE, PAGE), 0);
    }
    same(before, fds_now());
    close(fd);
    channel_rig_close(&r);
}

/* As many descriptors as a message may carry. */
static void back_end(int ways)
{
    enum { RANGES = 8 };
    backend_rig r;
    int pair[2], fd = memfd_of(RANGES * PAGE, 1), fds[RANGES];
    struct {
        uint32_t count, padding;
        uint64_t ranges[RANGES][4]; /* guest address, size, user address, offset */
    } table = {RANGES, 0, {{0}}};
    memset(&r, 0, sizeof(r));
    r.channel = -1;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    set(pair[1], ways);
    r.main = pair[0];
    r.backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_set_callback(r.backend, backend_rig_event, &r, NULL));
    ok(vhushmem_backend_attach(r.backend, pair[1], &error));
    backend_rig_shake_hands(&r, BACKEND_RIG_FEATURES);
    for (int i = 0; i < RANGES; i++) {
        uint64_t at = (uint64_t)i * PAGE;
        uint64_t range[4] = {at, PAGE, UINT64_C(0x10000000) + at, at};
        memcpy(table.ranges[i], range, sizeof(range));
        fds[i] = fd;
    }
    char *before = fds_now();
    backend_rig_set(&r, SET_MEM_TABLE, &table, sizeof(table), fds, RANGES);
    CHECK(vhushmem_backend_guest_memory(r.backend, 7 * PAGE, PAGE) != NULL);
    backend_rig_set(&r, SET_OWNER, NULL, 0, NULL, 0);
    char *after = fds_now();
    int more = (int)strlen(after) - (int)strlen(before);
    CHECK(more < 40); /* one eventfd, for memory that goes */
    g_free(before);
    g_free(after);
    close(fd);
    backend_rig_close(&r);
}

int main(void)
{
    for (int ways = 0; ways <= (CREDENTIALS | PIDFD); ways++) {
        channel(ways);
        back_end(ways);
    }
    return 0;
}
