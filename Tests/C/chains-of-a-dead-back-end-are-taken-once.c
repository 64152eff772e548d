/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * After a back-end died without a word, the front-end knows only which chains were given back, and sends that as the base. The
 * next back-end takes the open chains again from the area for requests in flight, in their order, and then the newer ones. No
 * chain comes twice.
 */
#include "bare-queue.h"

static int take(bare_queue *b, bool give_back)
{
    vhushmem_chain *chain = vhushmem_backend_pop(b->r.backend, 0, &error);
    CHECK(error == NULL);
    if (chain == NULL) {
        return -1;
    }
    int head = vhushmem_chain_head(chain);
    if (give_back) {
        ok(vhushmem_backend_push(b->r.backend, chain, 0, &error));
    } else {
        vhushmem_chain_free(chain);
    }
    return head;
}

int main(void)
{
    char *fds = fds_now();
    bare_queue b;
    uint8_t area[24];
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    tell_ram(&b);
    int file = ask_for_inflight(&b, area);
    EQ(tell(&b, SET_INFLIGHT_FD, area, 24, file), 0);
    start_queue(&b, 0);
    for (uint16_t head = 0; head < 8; head++) {
        set_descriptor(&b, head, BUFFERS, 8, WRITE, 0);
    }
    for (uint16_t head = 0; head < 5; head++) {
        offer(&b, head);
    }
    EQ(take(&b, false), 0);
    EQ(take(&b, true), 1);
    EQ(take(&b, false), 2);
    EQ(take(&b, true), 3);
    EQ(take(&b, false), 4);
    EQ(taken_back(&b), 1);
    EQ(taken_back(&b), 3);
    backend_rig_close(&b.r);
    offer(&b, 5);

    /* Twice: the second back-end dies too, before it has given all back. */
    bare_queue_connect(&b, BARE_FEATURES);
    tell_ram(&b);
    EQ(tell(&b, SET_INFLIGHT_FD, area, 24, file), 0);
    start_queue(&b, b.used_idx);
    EQ(take(&b, true), 0);
    EQ(take(&b, false), 2);
    EQ(taken_back(&b), 0);
    backend_rig_close(&b.r);

    bare_queue_connect(&b, BARE_FEATURES);
    tell_ram(&b);
    EQ(tell(&b, SET_INFLIGHT_FD, area, 24, file), 0);
    start_queue(&b, b.used_idx);
    const int order[] = {2, 4, 5};
    for (int i = 0; i < 3; i++) {
        EQ(take(&b, true), order[i]);
        EQ(taken_back(&b), order[i]);
    }
    EQ(take(&b, true), -1);
    EQ(stop_queue(&b), 6);

    /* An area in a file that is too short, without queues, or with more queues than fit: refused. */
    uint8_t odd[24];
    int shorter = memfd_of(PAGE, 1);
    memset(odd, 0, sizeof(odd));
    EQ(tell(&b, SET_INFLIGHT_FD, odd, 24, file), -EINVAL);
    memcpy(odd, area, 24);
    memset(odd + 16, 0xff, 4);
    EQ(tell(&b, SET_INFLIGHT_FD, odd, 24, file), -EINVAL);
    memcpy(odd, area, 24);
    memset(odd + 8, 0xf8, 8);
    CHECK(tell(&b, SET_INFLIGHT_FD, odd, 24, file) < 0);
    memcpy(odd, area, 24);
    *(uint64_t *)odd = 2 * PAGE;
    EQ(tell(&b, SET_INFLIGHT_FD, odd, 24, shorter), -EOVERFLOW);
    const uint16_t wrong[][2] = {{0, 16}, {3, 16}, {1, 0}, {1, 3}};
    for (int i = 0; i < 4; i++) {
        memset(odd, 0, sizeof(odd));
        memcpy(odd + 16, wrong[i], 4);
        message none = backend_rig_ask(&b.r, GET_INFLIGHT_FD, odd, 24, NULL, 0);
        EQ(none.header.size, 24);
        EQ(u64_of(&none), 0); /* an area of no bytes, and no descriptor */
    }
    /* An area full of nonsense counts as empty, or breaks the queue. It does no harm. */
    uint8_t junk[512];
    memset(junk, 0xff, sizeof(junk));
    const uint16_t head[2] = {1, 16}; /* version and size are right, so that the rest is read */
    memcpy(junk + 8, head, sizeof(head));
    CHECK(pwrite(file, junk, sizeof(junk), 0) == sizeof(junk));
    EQ(tell(&b, SET_INFLIGHT_FD, area, 24, file), 0);
    start_queue(&b, 6);
    for (int i = 0; i < 40 && vhushmem_backend_queue_is_running(b.r.backend, 0); i++) {
        vhushmem_chain_free(vhushmem_backend_pop(b.r.backend, 0, NULL));
    }
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    close(file);
    close(shorter);
    same(fds, fds_now());
    return 0;
}
