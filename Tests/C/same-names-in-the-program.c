/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program has its own functions with the series' names, as QEMU has, and uses the vhushmem_* family. The library never
 * calls the program's functions. Its own, reached by dlsym, work next to them.
 */
#include "rig.h"

#include <dlfcn.h>

static int calls;

#define OWN(type, name)                                                                                                        \
    type name(void);                                                                                                           \
    type name(void)                                                                                                            \
    {                                                                                                                          \
        calls++;                                                                                                               \
        return (type)0;                                                                                                        \
    }

OWN(void *, virtio_new_shmem_region)
OWN(int, virtio_add_shmem)
OWN(void *, virtio_find_shmem_region)
OWN(void *, virtio_shmem_memory_region)
OWN(void *, virtio_shared_memory_mapping_new)
OWN(int, virtio_add_shmem_map)
OWN(void *, virtio_alloc_shmem_map)
OWN(void *, virtio_find_shmem_map)
OWN(void, virtio_del_shmem_map)
OWN(void, memory_region_init)
OWN(bool, memory_region_init_ram_from_fd)
OWN(uint64_t, memory_region_size)
OWN(void *, memory_region_get_ram_ptr)
OWN(int, memory_region_get_fd)
OWN(void, memory_region_add_subregion)
OWN(void, memory_region_del_subregion)
OWN(void, memory_region_transaction_begin)
OWN(void, memory_region_transaction_commit)
OWN(void, memory_region_ref)
OWN(void, memory_region_unref)
OWN(void, memory_listener_register)
OWN(void, memory_listener_unregister)
OWN(int, vhost_get_shmem_config)
OWN(bool, vu_shmem_map)
OWN(bool, vu_shmem_unmap)

/* The library's function of the same name. */
static void *of_library(const char *name)
{
    Dl_info info;
    void *found = dlsym(RTLD_NEXT, name);
    CHECK(found != NULL && dladdr(found, &info) != 0);
    CHECK(strstr(info.dli_fname, "libvhushmem") != NULL);
    return found;
}

int main(void)
{
    uint64_t page = PAGE, at;
    rig r;
    rig_open(&r, 16 * page, NULL);
    int fd = memfd_of(4 * page, 1);
    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    ok(vhushmem_region_map(r.region, fd, 0, page, page, 0, &error));
    ok(vhushmem_region_alloc(r.region, fd, 0, page, 0, 0, &at, &error));
    ok(vhushmem_region_add_mapping(r.region, some(vhushmem_mapping_new(0, fd, 0, 8 * page, page, 0, &error)), &error));
    ok(wire_unmap(&r, 0, 0, page));
    ok(vhushmem_frontend_reset(r.frontend, &error));
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == 1);
    EQ(calls, 0);

    void *(*new_region)(vhushmem_device *, uint8_t, uint64_t) = of_library("virtio_new_shmem_region");
    void *(*new_mapping)(uint8_t, int, uint64_t, uint64_t, uint64_t, bool) = of_library("virtio_shared_memory_mapping_new");
    int (*add_map)(void *, void *) = of_library("virtio_add_shmem_map");
    void *(*find_map)(void *, uint64_t, uint64_t) = of_library("virtio_find_shmem_map");
    void (*del_map)(void *, uint64_t, uint64_t) = of_library("virtio_del_shmem_map");
    void *(*container)(void *) = of_library("virtio_shmem_memory_region");
    void *(*ram_ptr)(void *) = of_library("memory_region_get_ram_ptr");
    void (*begin)(void) = of_library("memory_region_transaction_begin");
    void (*commit)(void) = of_library("memory_region_transaction_commit");
    void *region = some(new_region(r.device, 9, 16 * page));
    void *mapping = some(new_mapping(9, fd, page, page, page, true));
    begin();
    ok(add_map(region, mapping));
    commit();
    CHECK(find_map(region, page, page) == mapping);
    shows(region, page, page, 1, page);
    CHECK(ram_ptr(container(region)) == vhushmem_region_window(region));
    del_map(region, page, page);
    EQ(vhushmem_region_mapping_count(region), 0);
    EQ(calls, 0);

    /* The program's own names still mean the program's functions. */
    CHECK(virtio_new_shmem_region() == NULL);
    memory_region_transaction_begin();
    EQ(calls, 2);
    close(fd);
    rig_close(&r);
    EQ(calls, 2);
    return 0;
}
