/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * If this process has no room for all descriptors of a message, the kernel drops the rest. The library refuses such a MAP or
 * UNMAP with EMFILE, even if the right number arrived, and closes the descriptors that arrived. Another request of this kind
 * reaches no callback: it may need the lost descriptors.
 */
/* valgrind: no (it has limits of its own in place of RLIMIT_NOFILE) */
#include "rig.h"

#include <sys/resource.h>

enum { VRING_HOST_NOTIFIER = 3 };

static rig r;

/* Sends `sent` descriptors, with room for only `room` of them. */
static void facts(uint32_t request, const VhostUserMMap *m, int sent, int room, int64_t answer)
{
    struct rlimit limit, tight;
    still before = rig_still(&r);
    int fds[3], fd = memfd_of(PAGE, 1);
    for (int i = 0; i < sent; i++) {
        fds[i] = fd;
    }
    send_message(r.channel, request, 0x9, m, sizeof(*m), fds, sent);
    /* Uses up the descriptors below the limit, except this many. */
    int fill[64], filled = 0, highest = dup(fd) + 16;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    tight = limit;
    tight.rlim_cur = (rlim_t)highest;
    CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    while (filled < 64 && (fill[filled] = dup(fd)) >= 0) {
        filled++;
    }
    CHECK(filled > room && filled < 64);
    for (int i = 0; i < room; i++) {
        close(fill[--filled]);
    }
    for (int i = 0; i < 100; i++) {
        vhushmem_frontend_dispatch(r.frontend);
    }
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (filled > 0) {
        close(fill[--filled]);
    }
    close(highest - 16);
    close(fd);
    EQ(rig_answer(&r, request), answer);
    same_still_at(__FILE__, __LINE__, &r, before);
}

static int taken;

static int take(vhushmem_frontend *frontend, const vhushmem_other_request *request, void *user_data)
{
    (void)frontend;
    (void)request;
    (void)user_data;
    taken++;
    return 0;
}

int main(void)
{
    rig_open(&r, 16 * PAGE, NULL);
    VhostUserMMap map = mmap_of(0, 0, 0, PAGE, 0), unmap = mmap_of(0, 0, 0, PAGE, 0);
    facts(MAP, &map, 1, 0, -EMFILE);
    facts(MAP, &map, 2, 0, -EMFILE);
    facts(MAP, &map, 2, 1, -EMFILE);
    facts(MAP, &map, 3, 1, -EMFILE);
    facts(MAP, &map, 2, 2, -EINVAL);
    facts(UNMAP, &unmap, 1, 0, -EMFILE);
    ok(vhushmem_frontend_set_request_callback(r.frontend, take, NULL, NULL));
    facts(VRING_HOST_NOTIFIER, &map, 1, 0, -EMFILE);
    facts(VRING_HOST_NOTIFIER, &map, 3, 2, -EMFILE);
    EQ(taken, 0);
    facts(VRING_HOST_NOTIFIER, &map, 2, 2, 0);
    EQ(taken, 1);
    rig_still_works(&r);
    rig_close(&r);
    return 0;
}
