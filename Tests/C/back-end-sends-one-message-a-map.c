/* SPDX-License-Identifier: BSD-3-Clause */
/* A map or unmap of the library's back-end is one message of 52 bytes with zero padding; a MAP brings one descriptor, an
   UNMAP none. */
#include "backend-rig.h"

int main(void)
{
    uint64_t page = PAGE;
    backend_rig r;
    backend_rig_open(&r, 16 * page, NULL);
    int fd = memfd_of(4 * page, 1);
    struct stat mine, sent;

    answerer map = {.channel = r.channel};
    answerer_start(&map);
    ok(vhushmem_backend_map(r.backend, 200, fd, page, 8 * page, 2 * page + 1, VHOST_USER_FLAG_MAP_RW, &error));
    pthread_join(map.thread, NULL);
    VhostUserMMap wanted = {.shmid = 200, .fd_offset = page, .shm_offset = 8 * page, .len = 2 * page + 1, .flags = 1};
    EQ(map.heard.header.request, MAP);
    EQ(map.heard.header.flags, 0x9);
    EQ(map.heard.header.size, sizeof(wanted));
    CHECK(memcmp(map.heard.payload, &wanted, sizeof(wanted)) == 0);
    EQ(map.heard.fd_count, 1);
    CHECK(fstat(fd, &mine) == 0 && fstat(map.heard.fds[0], &sent) == 0);
    CHECK(mine.st_ino == sent.st_ino && mine.st_dev == sent.st_dev);
    close(map.heard.fds[0]);
    CHECK(fcntl(fd, F_GETFD) >= 0); /* the call only borrowed it */

    answerer unmap = {.channel = r.channel};
    answerer_start(&unmap);
    ok(vhushmem_backend_unmap(r.backend, 200, 8 * page, 2 * page + 1, &error));
    answerer_end(&unmap);
    wanted.fd_offset = wanted.flags = 0;
    EQ(unmap.heard.header.request, UNMAP);
    EQ(unmap.heard.header.flags, 0x9);
    EQ(unmap.heard.header.size, sizeof(wanted));
    CHECK(memcmp(unmap.heard.payload, &wanted, sizeof(wanted)) == 0);
    EQ(unmap.heard.fd_count, 0);
    CHECK(!wait_readable(r.channel, 0));
    close(fd);
    backend_rig_close(&r);
    return 0;
}
