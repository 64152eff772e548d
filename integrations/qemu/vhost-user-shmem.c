/* SPDX-License-Identifier: BSD-3-Clause */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "migration/blocker.h"
#include "hw/virtio/vhost-user.h"
#include "hw/virtio/virtio-pci.h"
#include <vhushmem/vhushmem.h>

/*
 * From before the first map until the last mapping has gone, a migration is refused. While a migration is under way, a map is
 * refused.
 */
int vhost_user_shmem_block_migration(VhostUserState *user, bool before_map)
{
    if (before_map && !user->shmem_blocker) {
        error_setg(&user->shmem_blocker, "vhost-user: files are mapped into the guest, and no other host has these mappings: "
                                         "unmount the file system before a migration");
        return migrate_add_blocker(VHOST_USER_SHMEM_BLOCKER(user->shmem_blocker), NULL);
    }
    if (!before_map && user->shmem_blocker && vhushmem_device_mapping_count(user->shmem) == 0) {
        migrate_del_blocker(VHOST_USER_SHMEM_BLOCKER(user->shmem_blocker));
        g_clear_pointer(&user->shmem_blocker, error_free);
    }
    return 0;
}

int vhost_user_shmem_config(VhostUserState *user, const void *payload, size_t size, Error **errp)
{
    vhushmem_region_options options = {.struct_size = sizeof(options)};
    g_autoptr(GError) err = NULL;

    if (!user->shmem) {
        user->shmem = vhushmem_device_new(NULL, NULL);
        vhost_user_shmem_for_tcg(user->shmem);
    }
    vhushmem_region_options_for_dax(&options);
    options.holes = VHUSHMEM_HOLES_ZERO; /* QEMU's monitor reads them */
    if (vhushmem_device_add_config(user->shmem, payload, size, &options, &err) < 0) {
        error_setg(errp, "vhost-user: %s", err->message);
        return -EPROTO;
    }
    return 0;
}

int vhost_user_shmem_request(VhostUserState *user, bool map, const void *payload, size_t size, const int *fds, size_t nfds)
{
    g_autoptr(GError) err = NULL;
    int ret = !user->shmem || size != 40 || nfds != map ? -EINVAL : map ? vhost_user_shmem_block_migration(user, true) : 0;

    if (ret == 0) {
        ret = map ? vhushmem_handle_map(user->shmem, payload, fds[0], &err) : vhushmem_handle_unmap(user->shmem, payload, &err);
    }
    vhost_user_shmem_block_migration(user, false);
    /* A back-end that did not learn of a reset undoes mappings that the reset has already undone. */
    if (err && (map || ret != -ENOENT) && user->shmem_warnings++ < 64) {
        warn_report("vhost-user: %s", err->message);
    }
    return ret;
}

/*
 * It lives as long as its PCI device. Each owner of the BAR has a reference to the device. Then it lives a moment longer, for
 * threads that are reading guest memory.
 */
typedef struct Window {
    struct rcu_head rcu;
    vhushmem_region *region;
    MemoryRegion memory;
} Window;

static void window_free(Window *window)
{
    vhushmem_region_unref(window->region);
    g_free(window);
}

static void window_release(Object *owner, const char *name, void *opaque) { call_rcu((Window *)opaque, window_free, rcu); }

bool vhost_user_shmem_add_bar(VhostUserState *user, PCIDevice *pci, int bar, Error **errp)
{
    vhushmem_pci_region place = { .struct_size = sizeof(place) };
    uint64_t size = 0;
    uint8_t cap[VHUSHMEM_PCI_CAP_SIZE];
    int pos, n = user->shmem ? vhushmem_pci_layout(user->shmem, &place, 1, &size) : 0;
    Window *window;

    if (n == 0) {
        return true;
    }
    if (n != 1 || size != place.len || pci->io_regions[bar].size) {
        error_setg(errp, "vhost-user: BAR %d takes one region of 2^n bytes alone, not %d of %" PRIu64 " bytes", bar, n, size);
        return false;
    }
    pos = pci_add_capability(pci, PCI_CAP_ID_VNDR, 0, sizeof(cap), errp);
    if (pos < 0) {
        return false;
    }
    vhushmem_pci_write_cap(&place, bar, 0, cap);
    memcpy(pci->config + pos + PCI_CAP_FLAGS, cap + PCI_CAP_FLAGS, sizeof(cap) - PCI_CAP_FLAGS);
    window = g_new0(Window, 1);
    window->region = vhushmem_region_ref(vhushmem_device_find_region(user->shmem, place.shmid));
    memory_region_init_ram_device_ptr(&window->memory, OBJECT(pci), "vhost-user-shmem", size,
                                      vhushmem_region_window(window->region));
    vhushmem_region_advise(window->region, MADV_HUGEPAGE); /* QEMU's own advice, a line before, has reached only the holes */
    vhushmem_region_advise(window->region, MADV_DOFORK); /* undoes QEMU's DONTFORK: each map would have to give it again */
    object_property_add(OBJECT(pci), "vhost-user-shmem-window", "struct", NULL, NULL, window_release, window);
    pci_register_bar(pci, bar, PCI_BASE_ADDRESS_MEM_PREFETCH | PCI_BASE_ADDRESS_MEM_TYPE_64, &window->memory);
    return true;
}
