/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An impossible value that a driver writes into a ring breaks the queue with a sentence, and does nothing else. A new start
 * repairs it.
 */
#include "virtqueue-rig.h"

static queue_rig q;

static void indirect(unsigned n, uint64_t offset, uint32_t len, uint16_t flags, uint16_t next)
{
    set_descriptor(&q, TABLE, n, offset, len, flags, next);
    set_descriptor(&q, DESC, 0, TABLE, 16 * (n + 1), INDIRECT, 0);
}

static void at_once(uint64_t addr, uint32_t len)
{
    descriptor d = {addr, len, 0, 0};
    memcpy(q.ram + DESC, &d, sizeof(d));
}

static void write_nonsense(int n)
{
    switch (n) {
    case 0: /* a head that is no descriptor */
        return offer(&q, 64);
    case 1:
        return offer(&q, 65535);
    case 2: /* a loop of one, of two, and of all */
        set_descriptor(&q, DESC, 0, BUFFERS, 1, NEXT, 0);
        break;
    case 3:
        set_descriptor(&q, DESC, 0, BUFFERS, 1, NEXT, 1);
        set_descriptor(&q, DESC, 1, BUFFERS, 1, NEXT, 0);
        break;
    case 4:
        for (unsigned i = 0; i < 64; i++) {
            set_descriptor(&q, DESC, i, BUFFERS, 0, NEXT, (uint16_t)((i + 1) % 64));
        }
        break;
    case 5: /* next that is no descriptor */
        set_descriptor(&q, DESC, 0, BUFFERS, 1, NEXT, 64);
        break;
    case 6: /* unknown memory: before, after, across the end, around the end of the address space */
        at_once(RAM - 1, 1);
        break;
    case 7:
        at_once(RAM + RAM_SIZE, 1);
        break;
    case 8:
        at_once(RAM + RAM_SIZE - 1, 2);
        break;
    case 9:
        at_once(UINT64_MAX, 2);
        break;
    case 10:
        at_once(UINT64_MAX - 0xfff, 0xffffffff);
        break;
    case 11: /* something to read after something to write */
        set_descriptor(&q, DESC, 0, BUFFERS, 1, NEXT | WRITE, 1);
        set_descriptor(&q, DESC, 1, BUFFERS, 1, 0, 0);
        break;
    case 12: /* indirect inside indirect, with a next, of no bytes, of half an entry, outside of memory, too long, a loop */
        indirect(0, TABLE, 16, INDIRECT, 0);
        break;
    case 13:
        indirect(0, BUFFERS, 1, 0, 0);
        set_descriptor(&q, DESC, 0, TABLE, 16, INDIRECT | NEXT, 1);
        break;
    case 14:
        set_descriptor(&q, DESC, 0, TABLE, 0, INDIRECT, 0);
        break;
    case 15:
        set_descriptor(&q, DESC, 0, TABLE, 24, INDIRECT, 0);
        break;
    case 16:
        set_descriptor(&q, DESC, 0, RAM_SIZE - 16, 32, INDIRECT, 0);
        break;
    case 17:
        set_descriptor(&q, DESC, 0, TABLE, 0xfffffff0, INDIRECT, 0);
        break;
    case 18:
        indirect(1, BUFFERS, 1, NEXT, 0);
        set_descriptor(&q, TABLE, 0, BUFFERS, 1, NEXT, 1);
        break;
    case 19:
        indirect(0, BUFFERS, 1, NEXT, 7);
        break;
    case 20: /* an index that has gone too far */
        q.avail_idx = (uint16_t)(q.avail_idx + 65);
        __atomic_store_n((uint16_t *)(q.ram + AVAIL) + 1, q.avail_idx, __ATOMIC_RELEASE);
        return;
    case 21:
        __atomic_store_n((uint16_t *)(q.ram + AVAIL) + 1, (uint16_t)(q.avail_idx - 1), __ATOMIC_RELEASE);
        return;
    default:
        FAIL("there is no case %d", n);
    }
    offer(&q, 0);
}

int main(void)
{
    char *fds = fds_now();
    queue_rig_open(&q, BIT(28) | BIT(29));
    for (int n = 0; n <= 21; n++) {
        uint16_t base;
        write_nonsense(n);
        kick(&q);
        WAIT_UNTIL(seen(&q.events[VHUSHMEM_QUEUE_BROKEN]) == n + 1);
        CHECK(strstr(q.broken, "queue 0 is broken: ") == q.broken);
        CHECK(strlen(q.broken) > 25);
        EQ(ok(vhushmem_frontend_get_device_status(q.frontend, &error)) & 0x40, 0x40); /* DEVICE_NEEDS_RESET */
        /* A broken queue takes nothing more. */
        kick(&q);
        EQ(vhushmem_frontend_stop_device(q.frontend, &base, 1, &error), 1);
        EQ(used_index(&q), q.used_idx);

        queue_rig_start(&q, 64, 0, BIT(28) | BIT(29));
        memcpy(q.ram + BUFFERS, "again", 5);
        set_descriptor(&q, DESC, 0, BUFFERS, 5, NEXT, 1);
        set_descriptor(&q, DESC, 1, BUFFERS + 0x100, 64, WRITE, 0);
        offer(&q, 0);
        kick(&q);
        EQ(taken_back(&q, NULL), 0);
        CHECK(memcmp(q.ram + BUFFERS + 0x100, "niaga", 5) == 0);
        EQ(ok(vhushmem_frontend_get_device_status(q.frontend, &error)) & 0x40, 0);
    }
    queue_rig_close(&q);
    same(fds, fds_now());
    return 0;
}
