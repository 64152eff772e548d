/* SPDX-License-Identifier: BSD-3-Clause */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "exec/address-spaces.h"
#include "hw/sysbus.h"
#include "hw/virtio/vhost-user.h"
#include "hw/virtio/virtio-mmio.h"
#include <vhushmem/vhushmem.h>

/* No machine with virtio-mmio has anything here: it is above its memory, and below 2^39, which every processor can address. */
#define FIRST_PLACE (256 * GiB)

/*
 * virtio-mmio has no BAR that the guest places. The windows are one after the other. The device cannot be unplugged, so this is
 * never undone.
 */
void vhost_user_shmem_add_mmio(VhostUserState *user, Object *transport)
{
    static hwaddr next = FIRST_PLACE;
    VirtIOMMIOProxy *proxy = (VirtIOMMIOProxy *)object_dynamic_cast(transport, TYPE_VIRTIO_MMIO);
    vhushmem_pci_region place = { .struct_size = sizeof(place) };
    uint64_t size = 0;
    int n = proxy && user->shmem ? vhushmem_pci_layout(user->shmem, &place, 1, &size) : 0;

    if (n == 1) {
        vhushmem_region *region = vhushmem_region_ref(vhushmem_device_find_region(user->shmem, place.shmid));
        MemoryRegion *memory = g_new0(MemoryRegion, 1);

        memory_region_init_ram_device_ptr(memory, transport, "vhost-user-shmem", place.len, vhushmem_region_window(region));
        vhushmem_region_advise(region, MADV_HUGEPAGE);
        vhushmem_region_advise(region, MADV_DOFORK);
        proxy->shmem = vhushmem_device_ref(user->shmem);
        proxy->shmem_place = next;
        memory_region_add_subregion(get_system_memory(), next, memory);
        next += size;
    } else if (n > 1) {
        warn_report("vhost-user: a device at virtio-mmio has one shared memory region, not %d: the guest gets none", n);
    }
}
