/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mapping goes between the SIGBUS that it raised and the handler. If its hole shows zeros, or if something else is mapped
 * there by then, the guard lets the instruction run again.
 */
#include "guard-rig.h"

static vhushmem_region *region;
static int next_file = -1;

/* What another thread may do before the handler has the lock. */
static void go_then_handle(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    if (vhushmem_region_unmap(region, PAGE, 2 * PAGE, NULL) != 0) {
        _exit(97);
    }
    if (next_file >= 0 && vhushmem_region_map(region, next_file, 0, PAGE, 2 * PAGE, 0, NULL) != 0) {
        _exit(96);
    }
    if (!vhushmem_guard_handle_sigbus(info)) {
        _exit(98);
    }
    sigbus_count++;
}

static void facts(uint32_t holes, bool shown_by_a_fault, int next, uint64_t wanted)
{
    rig r;
    vhushmem_region_options options = {.struct_size = sizeof(options), .holes = holes};
    rig_open_plain(&r, 16 * PAGE, NULL, &options);
    region = r.region;
    next_file = next;
    if (shown_by_a_fault) {
        ok(vhushmem_resolve_guest_fault(region, 8 * PAGE, 8, VHUSHMEM_ACCESS_READ, NULL));
    }
    int file = memfd_of(2 * PAGE, 1), before = sigbus_count;
    ok(vhushmem_region_map(region, file, 0, PAGE, 2 * PAGE, 0, &error));
    CHECK(ftruncate(file, 0) == 0);
    EQ(word_at(region, 2 * PAGE), wanted);
    EQ(sigbus_count, before + 1);
    EQ(vhushmem_region_mapping_count(region), next >= 0);
    if (next >= 0) {
        shows(region, PAGE, 2 * PAGE, 2, 0);
        CHECK(!is_broken(region, PAGE));
    }
    close(file);
    rig_close(&r);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = go_then_handle, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGBUS, &action, NULL) == 0);
    facts(VHUSHMEM_HOLES_ZERO, false, -1, 0);
    facts(VHUSHMEM_HOLES_FAULT, true, -1, 0);
    int other = memfd_of(2 * PAGE, 2);
    facts(VHUSHMEM_HOLES_ZERO, false, other, pattern(2, PAGE));
    facts(VHUSHMEM_HOLES_FAULT, false, other, pattern(2, PAGE));
    close(other);
    return 0;
}
