/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end takes a driver's requests from a split virtqueue, gives them back and calls the driver: with and without
   indirect tables and event indices. */
#include "virtqueue-rig.h"

static void put_text(queue_rig *q, size_t offset, const char *text) { memcpy(q->ram + BUFFERS + offset, text, strlen(text)); }

static void has_text(queue_rig *q, size_t offset, const char *text)
{
    CHECK(memcmp(q->ram + BUFFERS + offset, text, strlen(text)) == 0);
}

static void serves(uint64_t features)
{
    queue_rig q;
    uint32_t written;
    queue_rig_open(&q, features);
    CHECK(vhushmem_frontend_is_started(q.frontend));
    /* Otherwise the driver asks for calls by its index: here, always. */
    uint16_t *used_event = (uint16_t *)(q.ram + AVAIL + 4) + q.size;

    /* One buffer to read, one to write. */
    put_text(&q, 0, "backwards");
    set_descriptor(&q, DESC, 5, BUFFERS, 9, NEXT, 6);
    set_descriptor(&q, DESC, 6, BUFFERS + 0x100, 64, WRITE, 0);
    offer(&q, 5);
    kick(&q);
    EQ(taken_back(&q, &written), 5);
    EQ(written, 9);
    has_text(&q, 0x100, "sdrawkcab");
    CHECK(was_called(&q, PATIENCE_MS));

    /* Several pieces of each, and an empty one; two chains with one kick. */
    put_text(&q, 0, "abc");
    put_text(&q, 0x40, "defgh");
    set_descriptor(&q, DESC, 0, BUFFERS, 3, NEXT, 9);
    set_descriptor(&q, DESC, 9, BUFFERS + 0x20, 0, NEXT, 1);
    set_descriptor(&q, DESC, 1, BUFFERS + 0x40, 5, NEXT, 63);
    set_descriptor(&q, DESC, 63, BUFFERS + 0x200, 2, NEXT | WRITE, 4);
    set_descriptor(&q, DESC, 4, BUFFERS + 0x300, 4, WRITE, 0);
    set_descriptor(&q, DESC, 20, BUFFERS, 3, 0, 0);
    *used_event = q.used_idx; /* the driver waits for the first only: its notification covers both */
    offer(&q, 0);
    offer(&q, 20);
    kick(&q);
    EQ(taken_back(&q, &written), 0);
    EQ(written, 6);
    EQ(taken_back(&q, &written), 20);
    EQ(written, 0);
    has_text(&q, 0x200, "hg");
    has_text(&q, 0x300, "fedc");
    CHECK(was_called(&q, PATIENCE_MS));

    if ((features & BIT(28)) != 0) {
        put_text(&q, 0, "indirect");
        set_descriptor(&q, TABLE, 0, BUFFERS, 4, NEXT, 2);
        set_descriptor(&q, TABLE, 2, BUFFERS + 4, 4, NEXT, 1);
        set_descriptor(&q, TABLE, 1, BUFFERS + 0x100, 64, WRITE, 0);
        set_descriptor(&q, DESC, 7, TABLE, 3 * 16, INDIRECT, 0);
        *used_event = q.used_idx;
        offer(&q, 7);
        kick(&q);
        EQ(taken_back(&q, &written), 7);
        EQ(written, 8);
        has_text(&q, 0x100, "tceridni");
        CHECK(was_called(&q, PATIENCE_MS));
    }

    /* A driver that wants no calls gets none. */
    set_descriptor(&q, DESC, 3, BUFFERS, 4, 0, 0);
    if (q.event_idx) {
        *used_event = (uint16_t)(q.used_idx + 5);
    } else {
        *(uint16_t *)(q.ram + AVAIL) = 1;
    }
    int kicked = seen(&q.events[VHUSHMEM_QUEUE_KICKED]);
    offer(&q, 3);
    kick(&q);
    EQ(taken_back(&q, NULL), 3);
    WAIT_UNTIL(seen(&q.events[VHUSHMEM_QUEUE_KICKED]) > kicked);
    CHECK(!was_called(&q, 0));

    /* The queue goes on where it stopped. It finds what the driver added meanwhile without a kick. */
    uint16_t base;
    EQ(vhushmem_frontend_stop_device(q.frontend, &base, 1, &error), 1);
    EQ(base, q.avail_idx);
    EQ(seen(&q.events[VHUSHMEM_QUEUE_STOPPED]), 1);
    queue_rig_start(&q, 32, 65534, features); /* the indices wrap around, the ring is another */
    for (int i = 0; i < 100; i++) {
        char text[20];
        snprintf(text, sizeof(text), "%05d", i);
        put_text(&q, 0, text);
        set_descriptor(&q, DESC, 1, BUFFERS, 5, NEXT, 2);
        set_descriptor(&q, DESC, 2, BUFFERS + 0x100, 64, WRITE, 0);
        offer(&q, 1);
        kick(&q);
        EQ(taken_back(&q, &written), 1);
        EQ(written, 5);
        CHECK(q.ram[BUFFERS + 0x104] == text[0] && q.ram[BUFFERS + 0x100] == text[4]);
    }
    EQ(seen(&q.events[VHUSHMEM_QUEUE_BROKEN]), 0);
    queue_rig_close(&q);
}

int main(void)
{
    char *fds = fds_now();
    serves(0);
    serves(BIT(28));
    serves(BIT(29));
    serves(BIT(28) | BIT(29));
    same(fds, fds_now());
    return 0;
}
