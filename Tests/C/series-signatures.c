/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each function of series.h keeps its type: a pointer of that type takes it, written once with the library's own names and
 * once with those that series.h gives them. series-code-compiles-as-it-stands.c shows that these are the types that the
 * series' code expects.
 */
#include "harness.h"

#include <vhushmem/series.h>

static struct vhushmem_region *(*new_region)(struct vhushmem_device *, uint8_t, uint64_t) = virtio_new_shmem_region;
static struct vhushmem_region *(*find_region)(struct vhushmem_device *, uint8_t) = virtio_find_shmem_region;
static struct vhushmem_mapping *(*new_mapping)(uint8_t, int, uint64_t, uint64_t, uint64_t,
                                               bool) = virtio_shared_memory_mapping_new;
static int (*add_map)(struct vhushmem_region *, struct vhushmem_mapping *) = virtio_add_shmem_map;
static struct vhushmem_mapping *(*find_map)(struct vhushmem_region *, uint64_t, uint64_t) = virtio_find_shmem_map;
static void (*del_map)(struct vhushmem_region *, uint64_t, uint64_t) = virtio_del_shmem_map;
static bool (*init_ram)(struct MemoryRegion *, void *, const char *, uint64_t, uint32_t, int, uint64_t,
                        GError **) = memory_region_init_ram_from_fd;
static int (*get_config)(struct vhushmem_frontend *, int *, uint64_t *, GError **) = vhost_get_shmem_config;
static bool (*vu_map)(struct vhushmem_backend *, uint8_t, uint64_t, uint64_t, uint64_t, uint64_t, int) = vu_shmem_map;
static bool (*vu_unmap)(struct vhushmem_backend *, uint8_t, uint64_t, uint64_t) = vu_shmem_unmap;
static int (*add_shmem)(struct vhushmem_device *, uint8_t, uint64_t, GError **) = virtio_add_shmem;
static struct vhushmem_mapping *(*alloc_map)(struct vhushmem_region *, int, uint64_t, uint64_t, uint64_t, bool, uint64_t *,
                                             GError **) = virtio_alloc_shmem_map;

/* With the series' own type names. */
static VirtioSharedMemory *(*new_region_2)(VirtIODevice *, uint8_t, uint64_t) = virtio_new_shmem_region;
static VirtioSharedMemory *(*find_region_2)(VirtIODevice *, uint8_t) = virtio_find_shmem_region;
static VirtioSharedMemoryMapping *(*new_mapping_2)(uint8_t, int, uint64_t, uint64_t, uint64_t,
                                                   bool) = virtio_shared_memory_mapping_new;
static int (*add_map_2)(VirtioSharedMemory *, VirtioSharedMemoryMapping *) = virtio_add_shmem_map;
static VirtioSharedMemoryMapping *(*find_map_2)(VirtioSharedMemory *, hwaddr, uint64_t) = virtio_find_shmem_map;
static void (*del_map_2)(VirtioSharedMemory *, hwaddr, uint64_t) = virtio_del_shmem_map;
static bool (*init_ram_2)(MemoryRegion *, void *, const char *, uint64_t, uint32_t, int, ram_addr_t,
                          GError **) = memory_region_init_ram_from_fd;
static bool (*vu_map_2)(VuDev *, uint8_t, uint64_t, uint64_t, uint64_t, uint64_t, int) = vu_shmem_map;
static bool (*vu_unmap_2)(VuDev *, uint8_t, uint64_t, uint64_t) = vu_shmem_unmap;
static int (*add_shmem_2)(VirtIODevice *, uint8_t, uint64_t, GError **) = virtio_add_shmem;
static VirtioSharedMemoryMapping *(*alloc_map_2)(VirtioSharedMemory *, int, uint64_t, uint64_t, uint64_t, bool, uint64_t *,
                                                 GError **) = virtio_alloc_shmem_map;

/* The related functions of memory regions. */
static void (*init)(MemoryRegion *, void *, const char *, uint64_t) = memory_region_init;
static uint64_t (*size)(MemoryRegion *) = memory_region_size;
static void *(*get_ram_ptr)(MemoryRegion *) = memory_region_get_ram_ptr;
static int (*get_fd)(MemoryRegion *) = memory_region_get_fd;
static void (*add_subregion)(MemoryRegion *, hwaddr, MemoryRegion *) = memory_region_add_subregion;
static void (*del_subregion)(MemoryRegion *, MemoryRegion *) = memory_region_del_subregion;
static void (*begin)(void) = memory_region_transaction_begin;
static void (*commit)(void) = memory_region_transaction_commit;
static void (*ref)(MemoryRegion *) = memory_region_ref;
static void (*unref)(MemoryRegion *) = memory_region_unref;
static void (*listener_register)(MemoryListener *, MemoryRegion *) = memory_listener_register;
static void (*listener_unregister)(MemoryListener *) = memory_listener_unregister;
static MemoryRegion *(*container_of_region)(VirtioSharedMemory *) = virtio_shmem_memory_region;

int main(void)
{
    EQ(VIRTIO_MAX_SHMEM_REGIONS, 256);
    EQ(RAM_SHARED, 1u << 1);
    CHECK(RAM_READONLY != RAM_READONLY_FD && (RAM_READONLY | RAM_READONLY_FD | RAM_SHARED) != 0);
    CHECK(sizeof(hwaddr) == 8 && sizeof(ram_addr_t) == 8 && (hwaddr)-1 > 0);
    CHECK(new_region == new_region_2 && find_region == find_region_2 && new_mapping == new_mapping_2 && add_map == add_map_2);
    CHECK(find_map == find_map_2 && del_map == del_map_2 && init_ram == init_ram_2 && vu_map == vu_map_2);
    CHECK(vu_unmap == vu_unmap_2 && add_shmem == add_shmem_2 && alloc_map == alloc_map_2 && get_config != NULL);
    CHECK(init && size && get_ram_ptr && get_fd && add_subregion && del_subregion && begin && commit && ref && unref);
    CHECK(listener_register && listener_unregister && container_of_region);
    return 0;
}
