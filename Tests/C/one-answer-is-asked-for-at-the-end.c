/* SPDX-License-Identifier: BSD-3-Clause */
/* With ONE_ANSWER only the last request has need_reply; without it each has. All are sent before the first answer is
   awaited. */
/* tsan: yes (another thread listens to the back-end) */
#include "backend-rig.h"

#define COUNT 5

typedef struct reader {
    int channel;
    int answers; /* how many answers to send after all requests have come */
    int64_t value;
    message heard[COUNT];
} reader;

static void *read_all(void *user_data)
{
    reader *x = user_data;
    for (int i = 0; i < COUNT; i++) {
        EQ(receive(x->channel, &x->heard[i], PATIENCE_MS), 1);
    }
    for (int i = COUNT - x->answers; i < COUNT; i++) {
        send_message(x->channel, x->heard[i].header.request, 0x5, &x->value, 8, NULL, 0);
    }
    return NULL;
}

static void asks(unsigned flags, const char *wanted, int answers, int64_t value, int refusals)
{
    backend_rig r;
    reader x = {.answers = answers, .value = value};
    pthread_t thread;
    vhushmem_shmem_request all[COUNT] = {{0}};
    int fd = memfd_of(PAGE, 1);
    char seen[COUNT + 1] = "";
    backend_rig_open(&r, 16 * PAGE, NULL);
    x.channel = r.channel;
    CHECK(pthread_create(&thread, NULL, read_all, &x) == 0);
    for (unsigned i = 0; i < COUNT; i++) {
        all[i].struct_size = sizeof(all[i]);
        all[i].request = i % 2 == 0 ? MAP : UNMAP;
        all[i].fd = fd;
        all[i].shm_offset = i * PAGE;
        all[i].len = PAGE;
        all[i].result = 7;
    }
    EQ(vhushmem_backend_perform(r.backend, all, COUNT, flags, &error), refusals);
    pthread_join(thread, NULL);
    for (int i = 0; i < COUNT; i++) {
        uint64_t offset;
        memcpy(&offset, x.heard[i].payload + 16, 8);
        EQ(x.heard[i].header.request, all[i].request);
        EQ(offset, all[i].shm_offset);
        EQ(x.heard[i].fd_count, i % 2 == 0 ? 1 : 0);
        EQ(all[i].result, i >= COUNT - answers ? value : 0);
        seen[i] = x.heard[i].header.flags == 0x9 ? 'y' : x.heard[i].header.flags == 0x1 ? 'n' : '?';
        if (x.heard[i].fd_count > 0) {
            close(x.heard[i].fds[0]);
        }
    }
    if (strcmp(seen, wanted) != 0) {
        FAIL("the requests with need_reply: %s, not %s", seen, wanted);
    }
    /* If the last request could not be sent, there would be nothing to wait for. */
    all[COUNT - 1].fd = -1;
    all[COUNT - 1].request = MAP;
    err(vhushmem_backend_perform(r.backend, all, COUNT, VHUSHMEM_PERFORM_ONE_ANSWER, &error), -EBADF);
    CHECK(!wait_readable(r.channel, 0));
    backend_rig_close(&r);
    close(fd);
}

int main(void)
{
    char *fds = fds_now();
    asks(VHUSHMEM_PERFORM_ONE_ANSWER, "nnnny", 1, 0, 0);
    asks(VHUSHMEM_PERFORM_ONE_ANSWER, "nnnny", 1, -ENOENT, 1);
    asks(0, "yyyyy", COUNT, 0, 0);
    asks(0, "yyyyy", COUNT, -ENOSPC, COUNT);
    same(fds, fds_now());
    return 0;
}
