/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All memory that a guest may have written stays out of core dumps (MADV_DONTDUMP): guest memory that a back-end was told
 * of, pages of a window that stand for no file, and memory that a VMM made from a file.
 */
#include "bare-queue.h"
#include "rig.h"

#include <vhushmem/series.h>

#define is_left_out(address) is_left_out_at(__FILE__, __LINE__, address)

static void is_left_out_at(const char *file, int line, const void *address)
{
    char *flags = vm_flags_at(some(address));
    if (strstr(flags, " dd ") == NULL) {
        fail_at(file, line, "it would be in a core dump: %s", flags);
    }
    g_free(flags);
}

/* Every page of guest memory, told as one table or range by range. */
static void of_a_back_end(bool as_a_table)
{
    bare_queue b;
    bare_queue_init(&b);
    bare_queue_connect(&b, as_a_table ? BARE_FEATURES & ~BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) : BARE_FEATURES);
    if (as_a_table) {
        struct {
            uint32_t count, padding;
            uint64_t region[4];
        } table = {1, 0, {RAM, RAM_SIZE, USER, 0}};
        EQ(tell(&b, SET_MEM_TABLE, &table, sizeof(table), b.ram_fd), 0);
    } else {
        tell_ram(&b);
    }
    for (uint64_t at = 0; at < RAM_SIZE; at += PAGE) {
        is_left_out(vhushmem_backend_guest_memory(b.r.backend, RAM + at, PAGE));
        is_left_out(vhushmem_backend_user_memory(b.r.backend, USER + at, PAGE));
    }
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

static void of_a_window(uint32_t holes)
{
    rig r;
    uint64_t page = PAGE;
    vhushmem_region_options options = {.struct_size = sizeof(options), .holes = holes};
    rig_open_plain(&r, 16 * page, NULL, &options);
    char *window = vhushmem_region_window(r.region);
    int fd = memfd_of(4 * page, 1);
    ok(vhushmem_region_map(r.region, fd, 0, 0, 2 * page, 0, &error));
    ok(vhushmem_region_map(r.region, fd, 0, 4 * page, 4 * page, VHOST_USER_FLAG_MAP_RW, &error));
    is_left_out(window);
    is_left_out(window + 4 * page);
    is_left_out(window + 7 * page);

    /* A guest writes to a hole, and to a mapping that it may only read. */
    ok(vhushmem_resolve_guest_fault(r.region, 10 * page, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    CHECK(writable(window + 10 * page));
    is_left_out(window + 10 * page);
    ok(vhushmem_resolve_guest_fault(r.region, page, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    CHECK(writable(window + page));
    is_left_out(window + page);
    is_left_out(window);

    /* Pages in the place of those that a file has lost. */
    CHECK(ftruncate(fd, (off_t)page) == 0);
    ok(vhushmem_resolve_guest_fault(r.region, 6 * page, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    CHECK(writable(window + 6 * page));
    for (uint64_t at = 4 * page; at < 8 * page; at += page) {
        is_left_out(window + at);
    }
    close(fd);
    rig_close(&r);
}

static void of_a_file(void)
{
    for (int kind = 0; kind < 2; kind++) {
        MemoryRegion mr = {0};
        int fd = memfd_of(2 * PAGE, 1);
        CHECK(memory_region_init_ram_from_fd(&mr, NULL, "ram", 2 * PAGE, kind == 0 ? RAM_SHARED : 0, fd, 0, &error));
        is_left_out(memory_region_get_ram_ptr(&mr));
        memory_region_unref(&mr);
    }
}

int main(void)
{
    of_a_back_end(false);
    of_a_back_end(true);
    of_a_window(VHUSHMEM_HOLES_FAULT);
    of_a_window(VHUSHMEM_HOLES_ZERO);
    of_a_file();
    return 0;
}
