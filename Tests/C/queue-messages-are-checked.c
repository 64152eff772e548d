/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The back-end refuses a message about queues that is impossible in general, or impossible now. If it cannot answer with a
 * refusal, it ends the connection.
 */
#include "bare-queue.h"

static int silent(bare_queue *b, uint32_t request, const void *payload, uint32_t size)
{
    send_message(b->r.main, request, 0x1, payload, size, NULL, 0);
    pump_backend(b->r.backend);
    return b->r.events[VHUSHMEM_BACKEND_DISCONNECT] > 0 ? DROPPED : 0;
}

static void refusals(void)
{
    bare_queue b;
    int pair[2], null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), reg = memfd_of(PAGE, 1);
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    tell_ram(&b);
    /* Sizes: 0, the maximum, one more, and numbers that are no power of two; and queues that do not exist. */
    const uint32_t sizes[] = {0, 3, 32769, 65536, UINT32_MAX};
    for (size_t i = 0; i < 5; i++) {
        EQ(tell_vring(&b, SET_VRING_NUM, 0, sizes[i]), -EINVAL);
    }
    EQ(tell_vring(&b, SET_VRING_NUM, 0, 32768), 0);
    EQ(tell_vring(&b, SET_VRING_BASE, 0, 65535), 0);
    EQ(tell_vring(&b, SET_VRING_BASE, 0, 65536), -EINVAL);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 2), -EINVAL);
    const uint32_t queues[] = {2, 256, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        EQ(tell_vring(&b, SET_VRING_NUM, queues[i], 16), -EINVAL);
        EQ(tell_vring(&b, SET_VRING_BASE, queues[i], 0), -EINVAL);
        EQ(tell_vring(&b, SET_VRING_ENABLE, queues[i], 1), -EINVAL);
        EQ(tell_rings(&b, queues[i], 0, USER, USER + AVAIL, USER + USED), -EINVAL);
    }
    EQ(tell_u64(&b, SET_VRING_KICK, 2, b.kick), -EINVAL);
    /* Rings that do not fit, are not aligned, are in unknown memory, or are to be logged. */
    EQ(tell_rings(&b, 0, 0, USER + RAM_SIZE - 16 * 16, USER + AVAIL, USER + USED), -EINVAL);
    EQ(tell_vring(&b, SET_VRING_NUM, 0, 16), 0);
    EQ(tell_rings(&b, 0, 2, USER, USER + AVAIL, USER + USED), -EINVAL);
    EQ(tell_rings(&b, 0, 0, USER + 8, USER + AVAIL, USER + USED), -EINVAL);
    EQ(tell_rings(&b, 0, 0, USER, USER + AVAIL + 1, USER + USED), -EINVAL);
    EQ(tell_rings(&b, 0, 0, USER, USER + AVAIL, USER + USED + 2), -EINVAL);
    EQ(tell_rings(&b, 0, 0, 0, USER + AVAIL, USER + USED), -EINVAL);
    EQ(tell_rings(&b, 0, 0, UINT64_MAX - 15, USER + AVAIL, USER + USED), -EINVAL);
    EQ(tell_rings(&b, 0, 0, USER, USER + RAM_SIZE - 6 - 2 * 16 + 2, USER + USED), -EINVAL);
    EQ(tell_rings(&b, 0, 0, USER, USER + AVAIL, USER + RAM_SIZE - 6 - 8 * 16 + 2), -EINVAL);
    /* A socket might linger. A file that is always ready would wake the loop without end, so the queue does not start. */
    EQ(tell_u64(&b, SET_VRING_KICK, 0, pair[0]), -EINVAL);
    EQ(tell_u64(&b, SET_VRING_CALL, 0, pair[0]), -EINVAL);
    EQ(tell_rings(&b, 0, 0, USER, USER + AVAIL, USER + USED), 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, null_fd), -EINVAL);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, reg), -EINVAL);
    CHECK(!vhushmem_backend_queue_is_running(b.r.backend, 0));
    EQ(b.seen[VHUSHMEM_QUEUE_STARTED], 0);
    EQ(tell_vring(&b, SET_VRING_BASE, 0, 0), 0);

    /* While the queue runs, it cannot be changed. */
    EQ(tell_u64(&b, SET_VRING_KICK, 0, b.kick), 0);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));
    EQ(tell_vring(&b, SET_VRING_NUM, 0, 32), -EBUSY);
    EQ(tell_vring(&b, SET_VRING_BASE, 0, 1), -EBUSY);
    EQ(tell_rings(&b, 0, 0, USER, USER + AVAIL, USER + USED + PAGE), -EBUSY);
    EQ(tell_rings(&b, 0, 0, USER, USER + AVAIL, USER + USED), 0);
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS | BIT(28), -1), -EBUSY);
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS, -1), 0);
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS | BIT(34), -1), -EINVAL);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
    EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], 1);
    EQ(stop_queue(&b), 0);
    EQ(stop_queue(&b), 0);
    EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], 1);
    EQ(tell_u64(&b, SET_STATUS, 256, -1), -EINVAL);
    /* Requests that are not served: an announcement, an MTU, an IOMMU, a GPU's socket; and, unless negotiated, a log, byte
       orders, kicks by message. */
    const uint32_t others[] = {6, 19, 20, 22, 23, 33, 35, 0, 45, UINT32_MAX};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        EQ(tell_u64(&b, others[i], 0, -1), -EOPNOTSUPP);
    }
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    close(pair[0]);
    close(pair[1]);
    close(null_fd);
    close(reg);
}

/* Each begins with a new connection, and ends it. */
static void endings(void)
{
    bare_queue b;
    uint64_t value;
    uint32_t state[2] = {0, 3};
    for (int n = 0; n < 16; n++) {
        bare_queue_init(&b);
        bare_queue_connect(&b, n == 12 ? BARE_FEATURES & ~BIT(3) : BARE_FEATURES);
        int result = 0;
        switch (n) {
        case 0: /* bits without a meaning */
            result = tell_u64(&b, SET_VRING_KICK, 0x200, b.kick);
            break;
        case 1: /* a descriptor that is said to be missing, and one that is missing */
            result = tell_u64(&b, SET_VRING_CALL, 0x100, b.call);
            break;
        case 2:
            result = tell_u64(&b, SET_VRING_KICK, 0, -1);
            break;
        case 3:
            result = tell(&b, SET_VRING_NUM, state, 7, -1);
            break;
        case 4:
            result = tell(&b, SET_VRING_NUM, state, 8, b.kick);
            break;
        case 5:
            result = tell_u64(&b, ADD_MEM_REG, 0, b.ram_fd);
            break;
        case 6:
            result = tell_region(&b, ADD_MEM_REG, RAM, RAM_SIZE, USER, 0, -1);
            break;
        case 7: /* no channel: not a socket */
            result = tell(&b, SET_BACKEND_REQ_FD, NULL, 0, b.ram_fd);
            break;
        case 8: /* refused, and nobody asked for an answer */
            result = silent(&b, SET_VRING_NUM, state, 8);
            break;
        case 9:
            value = BIT(34);
            result = silent(&b, SET_FEATURES, &value, 8);
            break;
        case 10:
            result = silent(&b, 20, &value, 8);
            break;
        case 11: /* CONFIG was not negotiated */
            result = silent(&b, GET_CONFIG, NULL, 0);
            break;
        case 12: /* REPLY_ACK was not negotiated either: need_reply changes nothing */
            result = tell_vring(&b, SET_VRING_NUM, 0, 3);
            break;
        case 13: /* the reply is a number anyway, and no number says that it is not served */
            result = tell_vring(&b, GET_VRING_BASE, 2, 0);
            break;
        case 14: /* nor does a reply with its own form */
            result = tell_u64(&b, GET_SHARED_OBJECT, 0, -1);
            break;
        case 15:
            result = tell_u64(&b, GET_INFLIGHT_FD, 0, -1);
            break;
        }
        EQ(result, DROPPED);
        CHECK(hung_up(b.r.main, PATIENCE_MS));
        backend_rig_close(&b.r);
        bare_queue_close(&b);
    }
}

int main(void)
{
    char *fds = fds_now(), *maps = maps_now();
    refusals();
    endings();
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
