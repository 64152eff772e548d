/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Event indices: the driver names a used index, and is called when the queue passes it, also by several chains at once or
 * around the end of the numbers. The first call of a device's life comes whatever index the driver names, because it may
 * have been waiting since the last life.
 */
#include "bare-queue.h"

static bare_queue b;

/* Takes and gives back so many chains, with this wish of the driver. Returns whether it was called. */
static bool called(uint16_t used_event, int count)
{
    *(uint16_t *)(b.ram + AVAIL + 4 + 2 * b.size) = used_event;
    for (int i = 0; i < count; i++) {
        set_descriptor(&b, (unsigned)i, BUFFERS, 4, 0, 0);
        offer(&b, (uint16_t)i);
    }
    for (int i = 0; i < count; i++) {
        EQ(vhushmem_backend_push(b.r.backend, some(vhushmem_backend_pop(b.r.backend, 0, &error)), 0, &error), 0);
    }
    int told = (int)ok(vhushmem_backend_notify(b.r.backend, 0, &error));
    EQ(signalled(b.call), told == 1);
    return told == 1;
}

static void facts(uint16_t base)
{
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS | BIT(29), -1), 0);
    tell_ram(&b);
    b.avail_idx = b.used_idx = base;
    ((uint16_t *)(b.ram + AVAIL))[1] = ((uint16_t *)(b.ram + USED))[1] = base;
    start_queue(&b, base);
    uint16_t used = base;
    /* Nothing was given back, so nothing is told, and that was no call. */
    EQ(vhushmem_backend_notify(b.r.backend, 0, &error), 0);
    /* It wants to be called much later. The first call comes nevertheless, and no other. */
    CHECK(called((uint16_t)(used + 100), 1));
    used++;
    CHECK(!called((uint16_t)(used + 100), 1));
    used++;
    /* The queue passes the named index: after it, at it, before it. */
    CHECK(!called((uint16_t)(used - 1), 1));
    used++;
    CHECK(called(used, 1));
    used++;
    CHECK(!called((uint16_t)(used + 1), 1));
    used++;
    /* Several at once: the first of them, the last of them, one more. */
    CHECK(called(used, 5));
    used += 5;
    CHECK(called((uint16_t)(used + 4), 5));
    used += 5;
    CHECK(!called((uint16_t)(used + 5), 5));
    used += 5;
    CHECK(!called((uint16_t)(used - 1), 5));
    used += 5;
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

int main(void)
{
    facts(0);
    facts(65526);
    return 0;
}
