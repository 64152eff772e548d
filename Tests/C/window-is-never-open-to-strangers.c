/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * During maps, unmaps and failing maps, other threads mmap as fast as they can, asking for addresses of the window. None of
 * their mappings ever lands there.
 */
/* tsan: yes (other threads ask for addresses of the window) */
/* valgrind: no (it runs one thread at a time, so no other comes in between) */
#include "harness.h"

#define PAGES 256

static char *window;
static uint64_t page;
static int done;

static void *stranger(void *user_data)
{
    uint64_t state = (uint64_t)(uintptr_t)user_data;
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        char *seen[16];
        for (int i = 0; i < 16; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            char *hint = i % 2 ? NULL : window + (state >> 33) % PAGES * page;
            seen[i] = mmap(hint, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            CHECK(seen[i] != MAP_FAILED);
            CHECK(seen[i] + page <= window || seen[i] >= window + PAGES * page);
        }
        for (int i = 0; i < 16; i++) {
            munmap(seen[i], page);
        }
    }
    return NULL;
}

static void storm(uint32_t holes)
{
    vhushmem_region_options options = {
        .struct_size = sizeof(options), .holes = holes, .fd_policy = VHUSHMEM_FD_ALLOW_BEYOND_END};
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, PAGES * page, &options, &error));
    pthread_t threads[2];
    window = vhushmem_region_window(region);
    done = 0;

    /* Files that the kernel itself refuses to map in some way, and one that works. */
    int sealed = memfd_of(4 * page, 1), works = memfd_of(4 * page, 2), odd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    int huge = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    CHECK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0 && odd >= 0);
    char *before = maps_between((uintptr_t)window, (uintptr_t)window + PAGES * page);
    for (uintptr_t i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[i], NULL, stranger, (void *)(i + 1)) == 0);
    }
    for (uint64_t i = 0; i < (under_valgrind() ? 30 : (uint64_t)steps(10000)); i++) {
        uint64_t at = i * 7 % (PAGES - 4) * page;
        err(vhushmem_region_map(region, sealed, 0, at, 4 * page, VHOST_USER_FLAG_MAP_RW, &error), -EPERM);
        CHECK(vhushmem_region_map(region, odd, 0, at, 4 * page, 0, NULL) < 0);
        if (huge >= 0) {
            CHECK(vhushmem_region_map(region, huge, 0, at, 4 * page, 0, NULL) < 0);
        }
        ok(vhushmem_region_map(region, works, 0, at, 4 * page, 0, &error));
        ok(vhushmem_region_unmap(region, at, 4 * page, &error));
    }
    __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    same(before, maps_between((uintptr_t)window, (uintptr_t)window + PAGES * page));
    close(sealed);
    close(works);
    close(odd);
    if (huge >= 0) {
        close(huge);
    }
    vhushmem_device_unref(device);
}

int main(void)
{
    page = PAGE;
    storm(VHUSHMEM_HOLES_FAULT);
    storm(VHUSHMEM_HOLES_ZERO);
    return 0;
}
