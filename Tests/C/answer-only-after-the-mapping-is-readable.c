/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When a back-end has its answer to a MAP, the window shows the file. When it has the answer to an UNMAP, the window no
 * longer shows it. The back-end is a thread, so that it looks while the front-end may still be at work.
 */
/* tsan: yes (the back-end's thread reads the window) */
#include "rig.h"

typedef struct job {
    int channel;
    vhushmem_region *region;
    int count;
    int done;
} job;

static int64_t ask(int channel, uint32_t request, const VhostUserMMap *m, const int *fd)
{
    message answer;
    send_message(channel, request, 0x9, m, sizeof(*m), fd, fd != NULL ? 1 : 0);
    EQ(receive(channel, &answer, PATIENCE_MS), 1);
    EQ(answer.header.request, request);
    EQ(answer.header.flags, 0x5);
    EQ(answer.header.size, 8);
    return (int64_t)u64_of(&answer);
}

static void *back_end(void *user_data)
{
    job *j = user_data;
    uint64_t page = PAGE;
    for (int i = 0; i < j->count; i++) {
        uint64_t at = (uint64_t)(i % 7) * page;
        int fd = memfd_of(2 * page, (uint64_t)i);
        VhostUserMMap m = mmap_of(0, page, at, page, i % 2);
        ok(ask(j->channel, MAP, &m, &fd));
        shows(j->region, at, page, (uint64_t)i, page);
        ok(ask(j->channel, UNMAP, &m, NULL));
        CHECK(!readable((char *)vhushmem_region_window(j->region) + at));
        close(fd);
    }
    __atomic_store_n(&j->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

int main(void)
{
    rig r;
    rig_open(&r, 16 * PAGE, NULL);
    job j = {r.channel, r.region, steps(2000), 0};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, back_end, &j) == 0);
    PUMP_UNTIL(r.frontend, __atomic_load_n(&j.done, __ATOMIC_ACQUIRE));
    pthread_join(thread, NULL);
    EQ(r.events[VHUSHMEM_EVENT_MAP], j.count);
    EQ(r.events[VHUSHMEM_EVENT_UNMAP], j.count);
    rig_close(&r);
    return 0;
}
