/* SPDX-License-Identifier: BSD-3-Clause */
/* Without a free descriptor a MAP over the wire is refused or ends the channel. Nothing leaks, and nothing crashes. */
/* valgrind: no (it has limits of its own in place of RLIMIT_NOFILE) */
#include "rig.h"

#include <sys/resource.h>

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    struct rlimit limit, tight;
    rig_open(&r, 16 * page, NULL);
    int fd = memfd_of(page, 1);
    VhostUserMMap m = mmap_of(0, 0, 0, page, 0);
    pump(r.frontend);
    int probe = dup(fd);
    close(probe); /* the lowest free one */
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    tight = limit;
    tight.rlim_cur = (rlim_t)probe;
    int before = fd_count();
    send_message(r.channel, MAP, 0x9, &m, sizeof(m), &fd, 1);
    CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    for (int i = 0; i < 100; i++) { /* no poll: the loop's own calls must not need a descriptor */
        vhushmem_frontend_dispatch(r.frontend);
    }
    CHECK(vhushmem_mapping_new(0, fd, 0, 0, page, 0, &error) == NULL);
    refused(errno_of_null(NULL), -EMFILE);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    pump(r.frontend);
    EQ(vhushmem_region_mapping_count(r.region), 0);
    CHECK(vhushmem_frontend_is_ready(r.frontend));
    CHECK(fd_count() <= before);
    if (r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 0) {
        CHECK(rig_answer(&r, MAP) < 0);
        rig_still_works(&r);
    }
    close(fd);
    rig_close(&r);
    return 0;
}
