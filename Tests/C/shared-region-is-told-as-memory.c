/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each mapping of a shared region is guest memory to the back-end that mapped it. The back-end is told after the answer to
 * the map, and again when the mapping goes. A read-only mapping has a descriptor that cannot be written to.
 */
#include "shared-region.h"

static rig r;
static int file, only_read, kick_fd;

static void open_rig(uint64_t slots)
{
    static vhushmem_queue queue;
    vhushmem_guest_memory ram = memory_of(0, 0x10000, file, 0);
    device_rig_slots = slots;
    device_rig_region = &shared_keeps;
    device_rig_open(&r, 1, DEVICE_FEATURES);
    r.peer.before_answer = shared_look;
    queue = queue_of(64, 0, 0x1000, kick_fd);
    ok(vhushmem_frontend_set_memory(r.frontend, &ram, 1, &error));
    ok(vhushmem_frontend_share_region(r.frontend, r.region, AT, 0, &error));
    /* Before the start nothing is told. */
    EQ(wire_map(&r, 0, file, 0, 8 * PAGE, PAGE, VHOST_USER_FLAG_MAP_RW), 0);
    shared_quiet(&r);
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
}

static void maps_and_unmaps(void)
{
    open_rig(32);
    HEARD(&r, "2 39 40 37 37 8 10 9 13 14 12 18 39");
    EQ(shared_told.guest_addr, AT + 8 * PAGE);
    EQ(wire_map(&r, 0, file, PAGE, 2 * PAGE, 2 * PAGE - 5, VHOST_USER_FLAG_MAP_RW), 0);
    shared_heard(&r, "37");
    EQ(shared_told.guest_addr, AT + 2 * PAGE);
    EQ(shared_told.size, 2 * PAGE);
    EQ(shared_told.user_addr, (uintptr_t)vhushmem_region_window(r.region) + 2 * PAGE);
    EQ(shared_told.fd_offset, PAGE);
    EQ(shared_mode, O_RDWR);
    counts(&r, 2, 0);

    /* Read-only, from a descriptor that can be written, and from one that cannot. */
    EQ(wire_map(&r, 0, file, 0, 4 * PAGE, PAGE, 0), 0);
    shared_heard(&r, "37");
    EQ(shared_mode, O_RDONLY);
    EQ(wire_map(&r, 0, only_read, 0, 5 * PAGE, PAGE, 0), 0);
    shared_heard(&r, "37");
    EQ(shared_mode, O_RDONLY);
    vhushmem_mapping *mapping = some(vhushmem_region_find_mapping(r.region, 4 * PAGE, PAGE));
    refused(vhushmem_frontend_share_mapping(r.frontend, mapping, AT << 1, &error), -EACCES);
    vhushmem_mapping_unref(mapping);
    mapping = some(vhushmem_region_find_mapping(r.region, 8 * PAGE, PAGE));
    refused(vhushmem_frontend_share_mapping(r.frontend, mapping, AT + 8 * PAGE, &error), -EINVAL, "overlaps");
    vhushmem_mapping_unref(mapping);

    EQ(wire_unmap(&r, 0, 2 * PAGE, 2 * PAGE - 5), 0);
    shared_heard(&r, "38");
    EQ(shared_told.guest_addr, AT + 2 * PAGE);
    EQ(shared_told.size, 2 * PAGE);
    /* In the place of another mapping: the old one goes first. */
    EQ(wire_map(&r, 0, file, 2 * PAGE, 8 * PAGE, PAGE, 0), 0);
    shared_heard(&r, "38 37");
    EQ(shared_told.fd_offset, 2 * PAGE);
    EQ(shared_mode, O_RDONLY);
    /* The program's own mappings, too. */
    ok(vhushmem_region_map(r.region, file, 0, 9 * PAGE, PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    shared_heard(&r, "37");
    ok(vhushmem_region_unmap(r.region, 9 * PAGE, PAGE, &error));
    shared_heard(&r, "38");

    /* RAM may change meanwhile. */
    ok(vhushmem_region_map(r.region, file, 0, 9 * PAGE, PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    vhushmem_guest_memory over = memory_of(AT + PAGE, PAGE, file, 0), ram = memory_of(0, 0x8000, file, 0);
    refused(vhushmem_frontend_set_memory(r.frontend, &over, 1, &error), -EINVAL, "overlaps");
    ok(vhushmem_frontend_set_memory(r.frontend, &ram, 1, &error));
    PUMP_UNTIL(r.frontend, shared_count(&r) == 4);
    shared_heard(&r, "38 37 37");
    counts(&r, 4, 0);

    /* Stopped: mappings stay told, and a mapping that goes is taken away. */
    EQ(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error), 1);
    HEARD(&r, "18 11");
    EQ(wire_unmap(&r, 0, 5 * PAGE, PAGE), 0);
    shared_heard(&r, "38");
    EQ(wire_map(&r, 0, file, 0, 5 * PAGE, PAGE, 0), 0);
    shared_quiet(&r);
    counts(&r, 3, 1);
    vhushmem_queue queue = queue_of(64, 0, 0x1000, kick_fd);
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    HEARD(&r, "2 39 40 37 8 10 9 13 14 12 18 39");

    /* A reset leaves nothing. */
    ok(vhushmem_frontend_reset(r.frontend, &error));
    shared_heard(&r, "34 38 38 38 38");
    counts(&r, 0, 0);
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    HEARD(&r, "2 39 40 8 10 9 13 14 12 18 39");
    EQ(wire_map(&r, 0, file, 0, 0, PAGE, 0), 0);
    shared_heard(&r, "37");
    ok(vhushmem_frontend_unshare_region(r.frontend, r.region, &error));
    shared_heard(&r, "38");
    EQ(wire_map(&r, 0, file, 0, PAGE, PAGE, 0), 0);
    shared_quiet(&r);
    refused(vhushmem_frontend_unshare_region(r.frontend, r.region, &error), -ENOENT);
    EQ(vhushmem_frontend_shared_mappings(r.frontend, r.region, NULL), -ENOENT);
    rig_close(&r);
}

static void slots_run_out(void)
{
    open_rig(4); /* RAM has one slot */
    (void)device_rig_heard(&r);
    for (int i = 0; i < 4; i++) {
        EQ(wire_map(&r, 0, file, 0, (uint64_t)i * PAGE, PAGE, VHOST_USER_FLAG_MAP_RW), 0);
    }
    shared_heard(&r, "37 37");
    shared_quiet(&r);
    counts(&r, 3, 2);
    /* The next mapping takes the slot. */
    EQ(wire_unmap(&r, 0, 0, PAGE), 0);
    shared_heard(&r, "38 37");
    EQ(shared_told.guest_addr, AT + 2 * PAGE);
    counts(&r, 3, 1);
    /* RAM goes first. */
    vhushmem_guest_memory ram[] = {memory_of(0, 0x10000, file, 0), memory_of(0x20000, PAGE, file, 0),
                                   memory_of(0x30000, PAGE, file, 0)};
    ok(vhushmem_frontend_set_memory(r.frontend, ram, 3, &error));
    HEARD(&r, "38 38 37 37");
    counts(&r, 1, 3);
    ok(vhushmem_frontend_set_memory(r.frontend, ram, 1, &error));
    PUMP_UNTIL(r.frontend, shared_count(&r) == 3);
    shared_heard(&r, "38 38 37 37");
    counts(&r, 3, 1);
    rig_close(&r);
}

/* How long the kernel lets a holder keep a lease that somebody wants to break. */
static int64_t lease_ms(void)
{
    FILE *limit = fopen("/proc/sys/fs/lease-break-time", "re");
    int seconds = 45;
    CHECK(limit == NULL || fscanf(limit, "%d", &seconds) == 1);
    if (limit != NULL) {
        fclose(limit);
    }
    return (int64_t)seconds * 1000;
}

static void what_can_not_be_told_is_left_out(void)
{
    int leased, short_file = memfd_of(PAGE + 5, 1);
    open_rig(32);
    (void)device_rig_heard(&r);
    /* If the file has only a part of the last page, the page is told. */
    EQ(wire_map(&r, 0, short_file, 0, 0, 4 * PAGE, VHOST_USER_FLAG_MAP_RW), 0);
    shared_heard(&r, "37");
    EQ(shared_told.size, 2 * PAGE);
    /* A refused mapping stays out. The connection and the others live on. */
    r.peer.refuses = ADD_MEM_REG;
    EQ(wire_map(&r, 0, file, 0, 4 * PAGE, PAGE, VHOST_USER_FLAG_MAP_RW), 0);
    PUMP_UNTIL(r.frontend, shared_count(&r) == 2);
    shared_heard(&r, "37");
    r.peer.refuses = 0;
    counts(&r, 2, 1);
    EQ(wire_unmap(&r, 0, 4 * PAGE, PAGE), 0);
    shared_quiet(&r);
    /* With a lease on the file, an open would wait. */
    char *path = g_strdup_printf("/tmp/vhushmem-lease-%d", (int)getpid());
    leased = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(leased >= 0 && ftruncate(leased, PAGE) == 0);
    signal(SIGIO, SIG_IGN);
    if (fcntl(leased, F_SETLEASE, F_WRLCK) == 0) {
        int64_t begin = now_ms();
        EQ(wire_map(&r, 0, leased, 0, 5 * PAGE, PAGE, 0), 0);
        shared_quiet(&r);
        counts(&r, 2, 1);
        CHECK(now_ms() - begin < lease_ms()); /* a blocking open waits for as long as a lease may last */
    }
    close(leased);
    unlink(path);
    g_free(path);
    close(short_file);
    rig_close(&r);
}

static void writable_ones_alone(void)
{
    open_rig(32);
    (void)device_rig_heard(&r);
    ok(vhushmem_frontend_unshare_region(r.frontend, r.region, &error));
    shared_heard(&r, "38");
    ok(vhushmem_frontend_share_region(r.frontend, r.region, AT, VHUSHMEM_SHARE_WRITABLE_ONLY, &error));
    shared_heard(&r, "37");
    EQ(wire_map(&r, 0, file, 0, 0, PAGE, 0), 0);
    shared_quiet(&r);
    counts(&r, 1, 1);
    /* A mapping becomes writable, as Linux's virtiofs client does it. */
    EQ(wire_map(&r, 0, file, 0, 0, PAGE, VHOST_USER_FLAG_MAP_RW), 0);
    shared_heard(&r, "37");
    counts(&r, 2, 0);
    rig_close(&r);
}

static void what_is_refused(void)
{
    rig other;
    open_rig(32);
    refused(vhushmem_frontend_share_region(r.frontend, r.region, AT, 0, &error), -EEXIST);
    refused(vhushmem_frontend_share_region(r.frontend, r.region, AT, 2, &error), -EINVAL, "flags");
    ok(vhushmem_frontend_unshare_region(r.frontend, r.region, &error));
    refused(vhushmem_frontend_share_region(r.frontend, r.region, AT + 1, 0, &error), -EINVAL, "page size");
    refused(vhushmem_frontend_share_region(r.frontend, r.region, UINT64_MAX & ~(PAGE - 1), 0, &error), -EINVAL);
    refused(vhushmem_frontend_share_region(r.frontend, r.region, PAGE, 0, &error), -EINVAL, "overlaps");
    err(vhushmem_frontend_share_region(NULL, r.region, AT, 0, &error), -EFAULT);
    err(vhushmem_frontend_share_region(r.frontend, NULL, AT, 0, &error), -EFAULT);
    err(vhushmem_frontend_unshare_region(NULL, r.region, &error), -EFAULT);
    err(vhushmem_frontend_unshare_region(r.frontend, NULL, &error), -EFAULT);
    EQ(vhushmem_frontend_shared_mappings(NULL, r.region, NULL), -EFAULT);
    EQ(vhushmem_frontend_shared_mappings(r.frontend, NULL, NULL), -EFAULT);
    device_rig_region = NULL;
    device_rig_open(&other, 1, DEVICE_FEATURES & ~BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS));
    refused(vhushmem_frontend_share_region(other.frontend, other.region, AT, 0, &error), -EBADF, "descriptors");
    refused(vhushmem_frontend_share_region(other.frontend, r.region, AT, 0, &error), -EINVAL, "another");
    rig_close(&other);
    device_rig_region = &shared_keeps;
    device_rig_open(&other, 1, DEVICE_FEATURES & ~BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS));
    refused(vhushmem_frontend_share_region(other.frontend, other.region, AT, 0, &error), -EOPNOTSUPP, "CONFIGURE_MEM_SLOTS");
    rig_close(&other);
    ok(vhushmem_frontend_share_region(r.frontend, r.region, AT, 0, &error));
    peer_hang_up(&r.peer);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    refused(vhushmem_frontend_share_region(r.frontend, r.region, AT, 0, &error), -ENOTCONN);
    rig_close(&r);
}

int main(void)
{
    char path[64];
    file = memfd_of(0x10000, 1);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    CHECK((only_read = open(path, O_RDONLY | O_CLOEXEC)) >= 0);
    kick_fd = eventfd(0, EFD_CLOEXEC);
    maps_and_unmaps();
    char *before = fds_now();
    slots_run_out();
    what_can_not_be_told_is_left_out();
    writable_ones_alone();
    what_is_refused();
    same_at(__FILE__, __LINE__, before, fds_now());
    close(file);
    close(only_read);
    close(kick_fd);
    return 0;
}
