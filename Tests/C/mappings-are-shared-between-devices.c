/* SPDX-License-Identifier: BSD-3-Clause */
/* A mapping of one device is guest memory to another device's back-end. Both see the same bytes, until the mapping is taken
   away or gone. */
#include "device-rig.h"

#define AT 0x40000000ull /* where the guest has the region of the first device */

static struct {
    uint64_t guest_addr, size, user_addr, fd_offset;
} told;

/* The second back-end gets a range of memory, and writes into it. */
static void take_memory(peer *p, const message *m)
{
    (void)p;
    if (m->header.request == ADD_MEM_REG) {
        CHECK(m->fd_count == 1);
        memcpy(&told, m->payload + 8, sizeof(told));
        CHECK(pwrite(m->fds[0], "shared", 6, (off_t)told.fd_offset + 1) == 6);
    }
}

static void count(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    *(int *)user_data += reply->result == 0 ? 1 : 100;
}

int main(void)
{
    rig a, b;
    char seen[6];
    int done = 0, file = memfd_of(4 * PAGE, 1), kick = eventfd(0, EFD_CLOEXEC);
    vhushmem_guest_memory ram = memory_of(0, 0x10000, file, 0), over = memory_of(AT + 2 * PAGE, PAGE, file, 0);
    vhushmem_queue queue = queue_of(64, 0, 0x1000, kick);
    vhushmem_region_options keeps = {.struct_size = sizeof(keeps), .flags = VHUSHMEM_REGION_KEEP_FDS};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .region = &keeps};
    rig_open(&a, 16 * PAGE, &options);
    still before = rig_still(&a);
    device_rig_open(&b, 1, DEVICE_FEATURES);
    b.peer.before_answer = take_memory;
    ok(vhushmem_frontend_set_memory(b.frontend, &ram, 1, &error));
    ok(vhushmem_frontend_start_device(b.frontend, 0, &queue, 1, &error));
    (void)device_rig_heard(&b);

    /* By the wire: the test closes the descriptor here, and the library has kept one. */
    EQ(wire_map(&a, 0, file, PAGE, 2 * PAGE, 2 * PAGE - 5, VHOST_USER_FLAG_MAP_RW), 0);
    vhushmem_mapping *mapping = some(vhushmem_region_find_mapping(a.region, 2 * PAGE, 2 * PAGE - 5));
    ok(vhushmem_frontend_share_mapping(b.frontend, mapping, AT + 2 * PAGE, &error));
    HEARD(&b, "37");
    EQ(told.guest_addr, AT + 2 * PAGE);
    EQ(told.size, 2 * PAGE);
    EQ(told.user_addr, (uintptr_t)vhushmem_region_window(a.region) + 2 * PAGE);
    EQ(told.fd_offset, PAGE);
    ok(vhushmem_region_read(a.region, 2 * PAGE + 1, seen, 6, &error));
    CHECK(memcmp(seen, "shared", 6) == 0);

    /* It stays when the RAM is told again. It cannot be shared twice or overlapped. */
    refused(vhushmem_frontend_share_mapping(b.frontend, mapping, AT, &error), -EEXIST);
    refused(vhushmem_frontend_set_memory(b.frontend, &over, 1, &error), -EINVAL, hex(AT + 2 * PAGE));
    ok(vhushmem_frontend_set_memory(b.frontend, NULL, 0, &error));
    HEARD(&b, "38");
    ok(vhushmem_frontend_set_memory_async(b.frontend, &ram, 1, count, &done, NULL, &error));
    refused(vhushmem_frontend_set_memory_async(b.frontend, &ram, 1, count, &done, NULL, &error), -EALREADY);
    PUMP_UNTIL(b.frontend, done == 1);
    HEARD(&b, "37");

    ok(vhushmem_frontend_unshare_mapping_async(b.frontend, mapping, count, &done, NULL, &error));
    PUMP_UNTIL(b.frontend, done == 2);
    HEARD(&b, "38");
    refused(vhushmem_frontend_unshare_mapping(b.frontend, mapping, &error), -ENOENT);
    ok(vhushmem_frontend_share_mapping_async(b.frontend, mapping, AT, count, &done, NULL, &error));
    PUMP_UNTIL(b.frontend, done == 3);
    HEARD(&b, "37");

    /* An unmapped range is forgotten with the next message about memory. */
    EQ(wire_unmap(&a, 0, 2 * PAGE, 2 * PAGE - 5), 0);
    ok(vhushmem_frontend_set_memory(b.frontend, &ram, 1, &error));
    HEARD(&b, "38");
    refused(vhushmem_frontend_share_mapping(b.frontend, mapping, AT, &error), -ENOENT, "live");
    vhushmem_mapping_unref(mapping);

    /* Mappings that cannot be shared. */
    ok(vhushmem_region_map(a.region, file, 0, 0, PAGE, 0, &error));
    mapping = some(vhushmem_region_find_mapping(a.region, 0, PAGE));
    refused(vhushmem_frontend_share_mapping(b.frontend, mapping, AT, &error), -EACCES, "read-only");
    vhushmem_mapping_unref(mapping);
    ok(vhushmem_region_unmap(a.region, 0, PAGE, &error));
    mapping = some(vhushmem_mapping_new(0, file, 0, 0, PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    refused(vhushmem_frontend_share_mapping(b.frontend, mapping, AT, &error), -ENOENT, "live");
    ok(vhushmem_region_add_mapping(b.region, vhushmem_mapping_ref(mapping), &error));
    refused(vhushmem_frontend_share_mapping(b.frontend, mapping, AT, &error), -EBADF, "descriptors");
    vhushmem_mapping_unref(mapping);
    ok(vhushmem_region_map(a.region, file, 0, 0, PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    mapping = some(vhushmem_region_find_mapping(a.region, 0, PAGE));
    refused(vhushmem_frontend_share_mapping(b.frontend, mapping, AT + 1, &error), -EINVAL, "page size");
    refused(vhushmem_frontend_share_mapping(b.frontend, mapping, UINT64_MAX & ~(PAGE - 1), &error), -EINVAL);
    err(vhushmem_frontend_share_mapping(b.frontend, NULL, AT, &error), -EFAULT);
    err(vhushmem_frontend_share_mapping(NULL, mapping, AT, &error), -EFAULT);
    HEARD(&b, "");
    vhushmem_mapping_unref(mapping);
    ok(vhushmem_region_unmap(a.region, 0, PAGE, &error));
    rig_close(&b);
    same_still_at(__FILE__, __LINE__, &a, before);
    close(file);
    close(kick);
    rig_close(&a);
    return 0;
}
