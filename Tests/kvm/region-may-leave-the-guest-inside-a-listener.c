/* SPDX-License-Identifier: BSD-3-Clause */
/* A VMM takes a region out of its guest inside region_add of a listener. No slot is left, and the map and later ones
   succeed. */
#include "slots.h"

static slots_rig s;
static bool frees;
static int added;

static void region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    added++;
    if (s.kvm != NULL) {
        if (frees) {
            vhushmem_kvm_free(s.kvm);
            s.kvm = NULL;
        } else if (added == 1) {
            ok(vhushmem_kvm_remove(s.kvm, s.rig.region));
        }
    }
}

static void facts(void)
{
    MemoryListener listener = {.region_add = region_add, .name = "test"};
    int file = memfd_of(PAGE, 1);
    slots_begin(&s, 8, 0);
    added = 0;
    memory_listener_register(&listener, some(virtio_shmem_memory_region(s.rig.region)));
    ok(vhushmem_kvm_place(s.kvm, s.rig.region, WINDOW_ADDRESS, &error));
    ok(vhushmem_region_map(s.rig.region, file, 0, 0, PAGE, VHOST_USER_FLAG_MAP_RW, &error));
    EQ(added, 1);
    EQ(slot_count(&s), 0);
    if (!frees) {
        err(vhushmem_kvm_remove(s.kvm, s.rig.region), -ENOENT);
    }
    ok(vhushmem_region_map(s.rig.region, file, 0, 4 * PAGE, PAGE, 0, &error));
    EQ(slot_count(&s), 0);
    ok(vhushmem_region_unmap(s.rig.region, 0, PAGE, &error));
    EQ(slot_count(&s), 0);
    if (!frees) {
        /* It may come back. */
        ok(vhushmem_kvm_place(s.kvm, s.rig.region, WINDOW_ADDRESS, &error));
        CHECK(has_slot(&s, 4 * PAGE));
        EQ(slot_count(&s), 1);
    }
    memory_listener_unregister(&listener);
    close(file);
    slots_end(&s);
}

int main(void)
{
    facts();
    frees = true;
    facts();
    return 0;
}
