/* SPDX-License-Identifier: BSD-3-Clause */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "migration/blocker.h"
#include "hw/virtio/vhost-user.h"
#include VHOST_USER_SHMEM_PCI_HEADER
#include <vhushmem/vhushmem.h>

enum { MAX_REGIONS = 8, MAX_WARNINGS = 64 };

/* A migration is refused from before the first map until the last mapping has gone; a map, while a migration is under way. */
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
    options.holes = VHUSHMEM_HOLES_ZERO;       /* QEMU reads them for its monitor */
    options.flags |= VHUSHMEM_REGION_DONTFORK; /* as all of its guest memory has it */
    if (vhushmem_device_add_config(user->shmem, payload, size, &options, &err) < 0) {
        error_setg(errp, "vhost-user: %s", err->message);
        return -EPROTO;
    }
    return 0;
}

int vhost_user_shmem_request(VhostUserState *user, bool map, const void *payload, size_t size, const int *fds, size_t nfds)
{
    g_autoptr(GError) err = NULL;
    int ret = -EINVAL;

    if (!user->shmem || size != VHOST_USER_SHMEM_MMAP_SIZE || nfds != map) {
        return ret;
    }
    ret = map ? vhost_user_shmem_block_migration(user, true) : 0;
    if (ret == 0) {
        ret = map ? vhushmem_handle_map(user->shmem, payload, fds[0], &err) : vhushmem_handle_unmap(user->shmem, payload, &err);
    }
    vhost_user_shmem_block_migration(user, false);
    if (err && user->shmem_warnings++ < MAX_WARNINGS) {
        warn_report("vhost-user: %s", err->message);
    }
    return ret;
}

/* It lives as long as its PCI device, and a moment longer for who reads guest memory just now. */
typedef struct Bar {
    struct rcu_head rcu;
    vhushmem_region *regions[MAX_REGIONS];
    MemoryRegion whole, parts[MAX_REGIONS];
} Bar;

static void bar_free(Bar *bar)
{
    for (int i = 0; i < MAX_REGIONS; i++) {
        vhushmem_region_unref(bar->regions[i]);
    }
    g_free(bar);
}

static void bar_release(Object *owner, const char *name, void *opaque)
{
    call_rcu((Bar *)opaque, bar_free, rcu);
}

bool vhost_user_shmem_add_bar(VhostUserState *user, PCIDevice *pci, int bar_number, Error **errp)
{
    vhushmem_pci_region places[MAX_REGIONS];
    uint8_t cap[VHUSHMEM_PCI_CAP_SIZE];
    uint64_t size = 0;
    int pos, n = user->shmem ? vhushmem_pci_layout(user->shmem, places, MAX_REGIONS, &size) : 0;
    Bar *bar = n > 0 ? g_new0(Bar, 1) : NULL;

    if (n == 0) {
        return true;
    }
    object_property_add(OBJECT(pci), "vhost-user-shmem", "struct", NULL, NULL, bar_release, bar);
    if (n < 0 || n > MAX_REGIONS || pci->io_regions[bar_number].size) {
        error_setg(errp, "vhost-user: BAR %d has no room for %d shared memory regions", bar_number, n);
        return false;
    }
    memory_region_init(&bar->whole, OBJECT(pci), "vhost-user-shmem-bar", size);
    for (int i = 0; i < n; i++) {
        pos = pci_add_capability(pci, PCI_CAP_ID_VNDR, 0, sizeof(cap), errp);
        if (pos < 0) {
            return false;
        }
        vhushmem_pci_write_cap(&places[i], bar_number, 0, cap);
        memcpy(pci->config + pos + PCI_CAP_FLAGS, cap + PCI_CAP_FLAGS, sizeof(cap) - PCI_CAP_FLAGS);
        bar->regions[i] = vhushmem_region_ref(vhushmem_device_find_region(user->shmem, places[i].shmid));
        memory_region_init_ram_device_ptr(&bar->parts[i], OBJECT(pci), "vhost-user-shmem-window", places[i].length,
                                          vhushmem_region_window(bar->regions[i]));
        vhushmem_region_advise(bar->regions[i], MADV_HUGEPAGE); /* QEMU has just given it for the holes alone */
        memory_region_add_subregion(&bar->whole, places[i].offset, &bar->parts[i]);
    }
    pci_register_bar(pci, bar_number, PCI_BASE_ADDRESS_SPACE_MEMORY | PCI_BASE_ADDRESS_MEM_PREFETCH | PCI_BASE_ADDRESS_MEM_TYPE_64,
                     &bar->whole);
    return true;
}
