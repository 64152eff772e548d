/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end sends any bytes and descriptors on its channel, and requests with random fields. The process lives, no mapping
 * lands outside of its request, and no descriptor stays open.
 */
#include "rig.h"

static uint64_t state = 1;

static uint64_t next_random(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 16;
}

/* Mostly the usual number, and now and then another one. */
static uint64_t a_number(uint64_t usual)
{
    static const uint64_t odd[] = {0, 1, 7, 4095, 4096, 65536, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 4095};
    uint64_t n = next_random();
    return n % 5 > 0 ? usual : n % 3 == 0 ? odd[n / 16 % (sizeof(odd) / sizeof(odd[0]))] : n;
}

static void send_garbage(int channel, const int *fds)
{
    uint64_t page = PAGE;
    uint8_t bytes[12 + 64];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)next_random();
    }
    if (next_random() % 40 > 0) {
        VhostUserHeader header = {(uint32_t)a_number(next_random() % 2 ? MAP : UNMAP),
                                  (uint32_t)(next_random() % 60 ? 0x9 : a_number(1)),
                                  (uint32_t)(next_random() % 30 ? 40 : next_random() % 64)};
        VhostUserMMap m = mmap_of((uint8_t)a_number(0), a_number(next_random() % 4 * page), a_number(next_random() % 16 * page),
                                  a_number(next_random() % 4 * page + 1), a_number(next_random() % 2));
        memcpy(bytes, &header, 12);
        memcpy(bytes + 12, &m, 40);
    }
    uint32_t size;
    memcpy(&size, bytes + 8, 4);
    size_t length = 12 + (size_t)(size <= 64 ? size : 40);
    if (next_random() % 50 == 0) {
        length = 1 + next_random() % length;
    }
    int count = (int)(next_random() % 8 ? bytes[0] == MAP : next_random() % 10);
    try_send_bytes(channel, bytes, length, fds, count);
}

int main(void)
{
    uint64_t page = PAGE;
    int fds[16], pipes[2];
    CHECK(pipe2(pipes, O_CLOEXEC) == 0);
    for (int i = 0; i < 16; i++) {
        fds[i] = i == 3 ? pipes[0] : memfd_of((uint64_t)(i % 4) * page, (uint64_t)i);
    }
    char *before = fds_now();
    int lost = 0, served = 0;
    for (int round = 0; round < steps(200); round++) {
        rig r;
        rig_open(&r, 16 * page, NULL);
        for (int i = 0; i < 200 && r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 0; i++) {
            send_garbage(r.channel, fds + next_random() % 6);
            if (i % 4 == 0) {
                pump(r.frontend);
                hung_up(r.channel, 0); /* it reads the answers */
            }
            CHECK(vhushmem_region_mapped_bytes(r.region) <= 16 * page);
            served += r.events[VHUSHMEM_EVENT_MAP] > 0;
        }
        CHECK(vhushmem_frontend_is_ready(r.frontend));
        lost += r.events[VHUSHMEM_EVENT_CHANNEL_LOST];
        rig_close(&r);
    }
    CHECK(served > 0 && lost > 0);
    same(before, fds_now());
    close(pipes[1]);
    for (int i = 0; i < 16; i++) {
        close(fds[i]);
    }
    return 0;
}
