/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhushmem_kvm places a region in a guest: as one slot that never changes, or as a slot for each mapping. In the second way
 * a hole is an exit, and no mistake can write to a read-only mapping.
 */
#include "guest.h"

static void facts(uint32_t strategy, uint32_t slots)
{
    const uint64_t page = PAGE;
    vhushmem_region_options options = {.struct_size = sizeof(options), .strategy = strategy};
    vhushmem_frontend_options frontend = {.struct_size = sizeof(frontend), .region = &options};
    guest g;
    vcpu *c = &g.vcpu;
    rig_open(&g.rig, 16 * page, &frontend);
    vm_open(&g.vm, g.rig.region);
    vm_slot(&g.vm, 1, WINDOW_ADDRESS, 0, NULL); /* removes the rig's own slot; the library's comes now */
    vcpu_open(c, &g.vm, 0);
    int file = memfd_of(8 * page, 1);
    ok(rig_map(&g.rig, file, 0, 0, page, 0)); /* before it has a place */
    vhushmem_kvm *kvm = some(vhushmem_kvm_new(g.vm.fd, 7, slots, &error));
    ok(vhushmem_kvm_place(kvm, g.rig.region, WINDOW_ADDRESS, &error));
    err(vhushmem_kvm_place(kvm, g.rig.region, WINDOW_ADDRESS + 32 * page, &error), -EEXIST);
    ok(rig_map(&g.rig, file, page, 2 * page, 2 * page, VHOST_USER_FLAG_MAP_RW));
    ok(rig_map(&g.rig, file, 4 * page, 6 * page, 100, 0)); /* owns its page */
    guest_shows(c, 0, 1, 0);
    guest_shows(c, 3 * page + 8, 1, 2 * page + 8);
    guest_shows(c, 6 * page, 1, 4 * page);
    guest_store(c, 2 * page, 77);
    uint32_t word;
    CHECK(pread(file, &word, 4, (off_t)page) == 4 && word == 77);

    /* A hole, and a write to a read-only mapping. */
    c->esi = at(8 * page);
    if (try_call(c, ROUTINE_LOAD) == 0) {
        EQ(c->ebx, 0);
        c->edi = at(8);
        c->ebx = 5;
        call(c, ROUTINE_STORE);
        file_is_untouched(file, page, 1);
        CHECK(fault_count(c) >= 2);
        if (strategy == VHUSHMEM_STRATEGY_SLOTS) {
            EQ(c->faults[FORM_ADDRESS] + c->faults[FORM_UNKNOWN], 0);
        }
    }

    /* Undone, and mapped differently. */
    ok(rig_unmap(&g.rig, 2 * page, 2 * page));
    ok(rig_map(&g.rig, file, 6 * page, 3 * page, 2 * page, 0));
    guest_shows(c, 3 * page, 1, 6 * page);
    if (strategy == VHUSHMEM_STRATEGY_SLOTS) {
        /* Each mapping has a slot: three of six are left. */
        for (uint64_t i = 0; i < 3; i++) {
            ok(rig_map(&g.rig, file, 0, (10 + i) * page, page, 0));
        }
        EQ(rig_map(&g.rig, file, 0, 13 * page, page, 0), -ENOSPC);
        g_clear_error(&error);
        EQ(vhushmem_region_mapping_count(g.rig.region), 6);
        CHECK(vhushmem_region_translate(g.rig.region, 13 * page, 1, false) == NULL);
        ok(rig_unmap(&g.rig, 10 * page, page));
        ok(rig_map(&g.rig, file, 0, 13 * page, page, 0));
        guest_shows(c, 13 * page, 1, 0);
    }
    ok(vhushmem_frontend_reset(g.rig.frontend, &error));
    PUMP_UNTIL(g.rig.frontend, g.rig.events[VHUSHMEM_EVENT_RESET] == 1);
    for (uint64_t i = 0; i < (strategy == VHUSHMEM_STRATEGY_SLOTS ? 6 : 8); i++) {
        ok(rig_map(&g.rig, file, i * page, 2 * i * page, page, 0));
        guest_shows(c, 2 * i * page + 8, 1, i * page + 8);
    }

    /* Elsewhere in the guest. */
    ok(vhushmem_kvm_remove(kvm, g.rig.region));
    EQ(vhushmem_kvm_remove(kvm, g.rig.region), -ENOENT);
    err(vhushmem_kvm_place(kvm, g.rig.region, WINDOW_ADDRESS + 1, &error), -EINVAL);
    err(vhushmem_kvm_place(kvm, g.rig.region, 0, &error), -EEXIST); /* the guest's code is there */
    ok(vhushmem_kvm_place(kvm, g.rig.region, WINDOW_ADDRESS, &error));
    guest_shows(c, 10 * page, 1, 5 * page);
    vhushmem_kvm_free(kvm);
    vcpu_close(c);
    vm_close(&g.vm);
    rig_close(&g.rig);
    close(file);
}

int main(void)
{
    char *fds = fds_now();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    facts(VHUSHMEM_STRATEGY_WINDOW, 1);
    facts(VHUSHMEM_STRATEGY_SLOTS, 6);
    EQ(errno_of_null(vhushmem_kvm_new(null, 0, 1, &error)), -ENOTTY);
    g_clear_error(&error);
    EQ(errno_of_null(vhushmem_kvm_new(-1, 0, 1, &error)), -EBADF);
    g_clear_error(&error);
    close(null);
    same(fds, fds_now());
    return 0;
}
