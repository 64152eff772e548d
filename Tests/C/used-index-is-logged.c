/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of written pages has the page of the used index as well as that of the used entry. In a large ring these are two
   pages. */
#include "bare-queue.h"

#define SIZE 1024 /* entries of 8 bytes: from number 512 on they lie in the second page */
#define BASE 600
#define LOG_PAGE UINT64_C(4096) /* of which a bit of the log tells, however large the pages of the kernel are */

int main(void)
{
    bare_queue b;
    int log = memfd_of(PAGE, 0);
    static uint8_t zeros[LOG_PAGE], bits[LOG_PAGE];
    CHECK(pwrite(log, zeros, sizeof(zeros), 0) == (ssize_t)sizeof(zeros));
    uint64_t area[2] = {PAGE, 0};
    message m;
    bare_queue_init(&b);
    b.size = SIZE;
    bare_queue_connect(&b, BARE_FEATURES | BIT(1));
    /* SET_LOG_BASE */
    send_message(b.r.main, 6, 0x9, area, sizeof(area), &log, 1);
    pump_backend(b.r.backend);
    EQ(receive(b.r.main, &m, PATIENCE_MS), 1);
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS | BIT(26), -1), 0);
    tell_ram(&b);
    /* The rings of such a large queue need more room: descriptors from page 4 on, available at 12, used at 13 and 14. */
    const uint64_t desc = 0x4000, avail = 0xc000, used = 0xd000;
    struct {
        uint32_t queue, flags;
        uint64_t desc, used, avail, log;
    } addresses = {0, 1, USER + desc, USER + used, USER + avail, RAM + used};
    uint16_t *avail_ring = (uint16_t *)(b.ram + avail);
    ((uint16_t *)(b.ram + used))[1] = BASE;
    avail_ring[1] = BASE + 1;
    avail_ring[2 + BASE] = 0;
    EQ(tell_vring(&b, SET_VRING_NUM, 0, SIZE), 0);
    EQ(tell_vring(&b, SET_VRING_BASE, 0, BASE), 0);
    EQ(tell(&b, SET_VRING_ADDR, &addresses, sizeof(addresses), -1), 0);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, b.kick), 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    uint64_t descriptor[2] = {RAM + 0x3000, 4};
    memcpy(b.ram + desc, descriptor, sizeof(descriptor));
    CHECK(pwrite(log, zeros, sizeof(zeros), 0) == (ssize_t)sizeof(zeros));
    vhushmem_chain *chain = some(vhushmem_backend_pop(b.r.backend, 0, &error));
    ok(vhushmem_backend_push(b.r.backend, chain, 0, &error));
    EQ(((uint16_t *)(b.ram + used))[1], BASE + 1);
    CHECK(pread(log, bits, sizeof(bits), 0) == (ssize_t)sizeof(bits));
    for (uint64_t page = 0; page < 8 * sizeof(bits); page++) {
        bool is_used_ring = page == (RAM + used) / LOG_PAGE || page == (RAM + used) / LOG_PAGE + 1;
        EQ((bits[page / 8] >> page % 8) & 1, is_used_ring);
    }
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    close(log);
    return 0;
}
