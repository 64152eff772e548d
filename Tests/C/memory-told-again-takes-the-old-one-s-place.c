/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory that is told again, with the same address and size, replaces the older range. Chains keep the memory that
 * they were taken with. Any other overlap is refused, and the log says which. A second SET_OWNER begins again, as QEMU's
 * device_add does on a chardev that had a device before.
 */
#include "bare-queue.h"

static char warned[300];

static void on_warning(const char *domain, GLogLevelFlags level, const char *message, void *user_data)
{
    (void)domain;
    (void)level;
    (void)user_data;
    snprintf(warned, sizeof(warned), "%s", message);
}

static vhushmem_chain *take(bare_queue *b) { return some(vhushmem_backend_pop(b->r.backend, 0, &error)); }

/* The same memory in another file. It has the bytes that were written before, as QEMU's has. */
static int copy_of(bare_queue *b)
{
    int fd = memfd_of(RAM_SIZE, 0);
    CHECK(pwrite(fd, b->ram, RAM_SIZE, 0) == (ssize_t)RAM_SIZE);
    return fd;
}

static void told_again(void)
{
    bare_queue b;
    char text[8] = {0};
    bare_queue_open(&b, 0);
    memcpy(b.ram + BUFFERS, "before", 7);
    set_descriptor(&b, 3, BUFFERS, 7, 0, 0);
    offer(&b, 3);
    kick(&b);
    vhushmem_chain *chain = take(&b);

    int fd = copy_of(&b);
    uint8_t *ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(ram != MAP_FAILED);
    memcpy(ram + BUFFERS, "behind", 7);
    EQ(tell_region(&b, ADD_MEM_REG, RAM, RAM_SIZE, USER, 0, fd), 0);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));
    CHECK(memcmp(some(vhushmem_backend_guest_memory(b.r.backend, RAM + BUFFERS, 7)), "behind", 7) == 0);
    EQ(vhushmem_chain_read(chain, 0, text, sizeof(text)), 7);
    CHECK(strcmp(text, "before") == 0);
    /* The chain is given back where the rings are now. */
    EQ(vhushmem_backend_push(b.r.backend, chain, 0, &error), 0);
    EQ(((uint16_t *)(b.ram + USED))[1], 0);
    EQ(((uint16_t *)(ram + USED))[1], 1);
    /* The driver goes on there. */
    ((uint16_t *)(ram + AVAIL))[2 + 1] = 3;
    ((uint16_t *)(ram + AVAIL))[1] = 2;
    kick(&b);
    chain = take(&b);
    EQ(vhushmem_chain_read(chain, 0, text, sizeof(text)), 7);
    CHECK(strcmp(text, "behind") == 0);
    vhushmem_chain_free(chain);

    /* Every other overlap: smaller, larger, shifted. Nothing has changed, and the log says what is in the way. */
    guint handler = g_log_set_handler("vhushmem", G_LOG_LEVEL_WARNING, on_warning, NULL);
    const struct {
        uint64_t guest, size;
    } others[] = {{RAM, RAM_SIZE - PAGE}, {RAM, RAM_SIZE + PAGE}, {RAM + PAGE, RAM_SIZE - PAGE}, {RAM - PAGE, 2 * PAGE}};
    int large = memfd_of(RAM_SIZE + PAGE, 0);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        warned[0] = '\0';
        EQ(tell_region(&b, ADD_MEM_REG, others[i].guest, others[i].size, USER, 0, large), -EEXIST);
        CHECK(strstr(warned, "ADD_MEM_REG") != NULL && strstr(warned, "overlap") != NULL && strstr(warned, "0x100000") != NULL);
    }
    /* A table may not have the same range twice either. */
    struct {
        uint32_t count, padding;
        uint64_t regions[2][4];
    } table = {2, 0, {{RAM, PAGE, USER, 0}, {RAM, PAGE, USER, 0}}};
    int both[2] = {large, large};
    message m;
    send_message(b.r.main, SET_MEM_TABLE, 0x9, &table, sizeof(table), both, 2);
    pump_backend(b.r.backend);
    EQ(receive(b.r.main, &m, PATIENCE_MS), 1);
    EQ((int64_t)u64_of(&m), -EEXIST);
    CHECK(strstr(warned, "SET_MEM_TABLE") != NULL);
    warned[0] = '\0';
    EQ(tell_region(&b, REM_MEM_REG, RAM, PAGE, USER, 0, -1), -ENOENT);
    CHECK(strstr(warned, "REM_MEM_REG") != NULL);
    g_log_remove_handler("vhushmem", handler);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));
    CHECK(memcmp(some(vhushmem_backend_guest_memory(b.r.backend, RAM + BUFFERS, 7)), "behind", 7) == 0);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    munmap(ram, RAM_SIZE);
    close(fd);
    close(large);
}

static void plugged_in_anew(void)
{
    bare_queue b;
    bare_queue_open(&b, 0);
    EQ(b.r.events[VHUSHMEM_BACKEND_RESET], 0);
    EQ(tell(&b, SET_STATUS, &(uint64_t){0xf}, 8, -1), 0);
    EQ(tell(&b, SET_OWNER, NULL, 0, -1), 0);
    EQ(b.r.events[VHUSHMEM_BACKEND_RESET], 1);
    EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], 1);
    CHECK(!vhushmem_backend_queue_is_running(b.r.backend, 0));
    CHECK(!vhushmem_backend_is_negotiated(b.r.backend));
    CHECK(vhushmem_backend_guest_memory(b.r.backend, RAM, 1) == NULL);
    EQ(vhushmem_backend_features(b.r.backend), 0);
    EQ(vhushmem_backend_device_status(b.r.backend), 0);
    EQ(vhushmem_backend_protocol_features(b.r.backend), BARE_FEATURES);

    /* Memory lies elsewhere now, over the old ranges. */
    EQ(tell_u64(&b, SET_FEATURES, VIRTIO_DEFAULTS, -1), 0);
    EQ(b.r.events[VHUSHMEM_BACKEND_NEGOTIATED], 2);
    int large = memfd_of(RAM_SIZE + PAGE, 0);
    EQ(tell_region(&b, ADD_MEM_REG, RAM - PAGE, RAM_SIZE + PAGE, USER - PAGE, 0, large), 0);
    start_queue(&b, 0);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));
    close(large);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

int main(void)
{
    char *fds = fds_now(), *maps = maps_now();
    told_again();
    plugged_in_anew();
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
