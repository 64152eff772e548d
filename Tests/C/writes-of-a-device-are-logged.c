/* SPDX-License-Identifier: BSD-3-Clause */
/* While the front-end wants it (VHOST_F_LOG_ALL), its log has a bit for each page of the guest that the device has written. */
#include "bare-queue.h"

#define LOG_ALL BIT(26)
#define LOG_SHMFD BIT(1)
#define LOG_AT 64               /* where the log begins in its file */
#define LOG_PAGE UINT64_C(4096) /* of which a bit of the log tells, however large the pages of the kernel are */
#define LOGGED_PAGES ((RAM + RAM_SIZE) / LOG_PAGE)

static uint8_t *log_bytes;
static vhushmem_chain *kept;

static void writes(bare_queue *b, vhushmem_queue_event event)
{
    vhushmem_chain *chain;
    if (event != VHUSHMEM_QUEUE_KICKED) {
        return;
    }
    while ((chain = vhushmem_backend_pop(b->r.backend, 0, NULL)) != NULL) {
        uint64_t size = vhushmem_chain_writable_size(chain);
        EQ(vhushmem_chain_write(chain, 0, b->ram, size), size);
        if (kept == NULL && size == 1) {
            kept = chain;
            continue;
        }
        EQ(vhushmem_backend_push(b->r.backend, chain, (uint32_t)(size < 0x1800 ? size : 0x1800), NULL), 0);
    }
}

/* The log has exactly these pages of RAM, and nothing outside of it. Clears it. */
static void noted(uint32_t pages)
{
    uint8_t *bits = log_bytes + LOG_AT;
    uint32_t found = 0;
    for (size_t page = 0; page < LOGGED_PAGES; page++) {
        if ((bits[page / 8] & 1 << page % 8) != 0) {
            CHECK(page >= RAM / LOG_PAGE && page < RAM / LOG_PAGE + 32);
            found |= 1u << (page - RAM / LOG_PAGE);
        }
    }
    EQ(found, pages);
    memset(bits, 0, LOGGED_PAGES / 8);
    for (size_t i = 0; i < PAGE; i++) {
        EQ(log_bytes[i], 0);
    }
}

static int tell_log(bare_queue *b, uint64_t size, uint64_t offset, int fd)
{
    uint64_t payload[2] = {size, offset};
    return tell(b, 6, payload, sizeof(payload), fd);
}

static int features_are(bare_queue *b, uint64_t more) { return tell_u64(b, SET_FEATURES, VIRTIO_DEFAULTS | more, -1); }

static void logs(void)
{
    bare_queue b;
    int file = memfd_of(PAGE, 0), told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    log_bytes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(log_bytes != MAP_FAILED);
    memset(log_bytes, 0, PAGE);
    on_queue = writes;
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES | LOG_SHMFD);
    CHECK((backend_rig_get(&b.r, GET_FEATURES) & LOG_ALL) != 0);
    tell_ram(&b);
    start_queue(&b, 0);
    EQ(tell_log(&b, LOGGED_PAGES / 8, LOG_AT, file), 0);
    EQ(tell(&b, 7, NULL, 0, told), 0);

    /* The front-end does not want it yet. */
    set_descriptor(&b, 0, BUFFERS, 4, WRITE, 0);
    offer(&b, 0);
    kick(&b);
    EQ(taken_back(&b), 0);
    vhushmem_backend_log_write(b.r.backend, RAM, 1);
    noted(0);
    CHECK(!signalled(told));

    /* The running device is told to log. Its other features stay the same. */
    EQ(features_are(&b, LOG_ALL | BIT(28)), -EBUSY);
    EQ(features_are(&b, LOG_ALL), 0);
    offer(&b, 0);
    kick(&b);
    EQ(taken_back(&b), 0);
    noted(1u << 4);
    CHECK(signalled(told));

    /* As much as was written, across the border of a page, in two pieces. A buffer that is only read is not logged. */
    set_descriptor(&b, 1, BUFFERS + 0x3000, 16, NEXT, 2);
    set_descriptor(&b, 2, BUFFERS + 0x5ff8, 16, NEXT | WRITE, 3);
    set_descriptor(&b, 3, BUFFERS + 0x8000, 0x3000, WRITE, 0);
    offer(&b, 1);
    kick(&b);
    EQ(taken_back(&b), 1);
    noted(1u << 9 | 1u << 10 | 1u << 12 | 1u << 13);

    /* The used ring too, if the front-end wants it. Rings cannot change while the queue runs. */
    EQ(tell_rings(&b, 0, 1, USER + DESC, USER + AVAIL, USER + USED + 0x100), -EBUSY);
    EQ(tell_rings(&b, 0, 1, USER + DESC, USER + AVAIL, USER + USED), 0);
    offer(&b, 0);
    kick(&b);
    EQ(taken_back(&b), 0);
    noted(1u << 4 | 1u << 2);
    EQ(vhushmem_backend_set_kicks(b.r.backend, 0, false, NULL), 0);
    noted(1u << 2);
    EQ(tell_rings(&b, 0, 0, USER + DESC, USER + AVAIL, USER + USED), 0);

    /* The device's own writes. A page without a bit is skipped. */
    vhushmem_backend_log_write(b.r.backend, RAM + 0x1fff, 2);
    vhushmem_backend_log_write(b.r.backend, RAM + RAM_SIZE, PAGE);
    vhushmem_backend_log_write(b.r.backend, UINT64_MAX - 1, 1);
    vhushmem_backend_log_write(b.r.backend, UINT64_MAX, UINT64_MAX);
    vhushmem_backend_log_write(b.r.backend, RAM, 0);
    noted(1u << 1 | 1u << 2);

    /* A chain that is given back when the queue stops is logged as well. */
    set_descriptor(&b, 5, BUFFERS, 1, WRITE, 0);
    offer(&b, 5);
    kick(&b);
    CHECK(kept != NULL);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
    EQ(vhushmem_backend_push(b.r.backend, kept, 1, NULL), 0);
    noted(1u << 4);

    /* A queue that starts writes its flags, because this one wanted no kicks before it stopped. */
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    EQ(vhushmem_backend_set_kicks(b.r.backend, 0, false, NULL), 0);
    EQ(tell_vring(&b, SET_VRING_BASE, 0, stop_queue(&b)), 0);
    EQ(tell_rings(&b, 0, 1, USER + DESC, USER + AVAIL, USER + USED), 0);
    EQ(((uint16_t *)(b.ram + USED))[0], 1);
    noted(0);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, b.kick), 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    EQ(((uint16_t *)(b.ram + USED))[0], 0);
    noted(1u << 2);

    /* The end of logging. */
    EQ(features_are(&b, 0), 0);
    offer(&b, 0);
    kick(&b);
    noted(0);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    munmap(log_bytes, PAGE);
    close(file);
    close(told);
}

/* An impossible log ends the connection: its reply could not refuse. */
static void refusals(void)
{
    int file = memfd_of(PAGE, 0), null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    const struct {
        uint64_t size, offset;
        int fd;
    } wrong[] = {{0, 0, file},          {PAGE + 1, 0, file},   {PAGE, 1, file},      {UINT64_MAX, 1, file},
                 {1, UINT64_MAX, file}, {1, PAGE, file},       {PAGE, 0, null_fd},   {UINT64_MAX, UINT64_MAX, file},
                 {1ull << 63, 0, file}, {8, 1ull << 63, file}, {0, UINT64_MAX, file}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        bare_queue b;
        bare_queue_init(&b);
        bare_queue_connect(&b, BARE_FEATURES | LOG_SHMFD);
        EQ(tell_log(&b, PAGE, 0, file), 0);
        EQ(tell(&b, 7, NULL, 0, file), -EINVAL);
        EQ(tell_log(&b, wrong[i].size, wrong[i].offset, wrong[i].fd), DROPPED);
        backend_rig_close(&b.r);
        bare_queue_close(&b);
    }
    close(file);
    close(null_fd);
}

int main(void)
{
    char *fds = fds_now(), *maps = maps_now();
    logs();
    refusals();
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
