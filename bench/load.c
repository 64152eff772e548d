/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: load LIBRARY. Prints the nanoseconds from before dlopen until a device has its first region. This program is not
 * linked with the library or with GLib: the loader loads both.
 */
#include "measure.h"

#include <dlfcn.h>

typedef struct vhushmem_device vhushmem_device;

int main(int argc, char **argv)
{
    MUST(argc == 2);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t began = now_ns();
    void *library = dlopen(argv[1], RTLD_NOW);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    vhushmem_device *(*new_device)(const void *, void **) =
        (vhushmem_device * (*)(const void *, void **)) dlsym(library, "vhushmem_device_new");
    void *(*new_region)(vhushmem_device *, uint8_t, uint64_t, const void *, void **) =
        (void *(*)(vhushmem_device *, uint8_t, uint64_t, const void *, void **))dlsym(library, "vhushmem_region_new");
    MUST(new_device != NULL && new_region != NULL);
    vhushmem_device *device = new_device(NULL, NULL);
    MUST(device != NULL && new_region(device, 0, 1024 * page, NULL, NULL) != NULL);
    printf("load %llu\n", (unsigned long long)(now_ns() - began));
    return 0;
}
