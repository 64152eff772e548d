/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * While huge pages are mapped and unmapped, another thread asks for addresses of the window as fast as it can, and never
 * gets one, whether or not the kernel can move a mapping of huge pages.
 */
/* valgrind: scale 1000 (a pair takes it 30 ms) */
/* asan: scale 10 (a pair takes four times as long, for the shadow of the page) */
#include "huge-pages.h"

#define HUGE_PAGES 8

static char *window;
static uint64_t size, at;
static int done;

static void *stranger(void *user_data)
{
    unsigned long *tries = user_data;
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        char *seen = mmap(window + at, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(seen != MAP_FAILED);
        CHECK(seen + PAGE <= window || seen >= window + size);
        munmap(seen, PAGE);
        __atomic_add_fetch(tries, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

int main(void)
{
    uint64_t huge = huge_page_or_skip(1, NULL);
    size = HUGE_PAGES * huge;
    at = 2 * huge;
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)huge) == 0);
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, size, NULL, &error));
    window = vhushmem_region_window(region);
    char *before = maps_between((uintptr_t)window, (uintptr_t)window + size);
    pthread_t thread;
    unsigned long tries = 0;
    CHECK(pthread_create(&thread, NULL, stranger, &tries) == 0);
    int pairs = steps(100000);
    for (int i = 0; i < pairs || __atomic_load_n(&tries, __ATOMIC_RELAXED) < 100; i++) {
        int result = vhushmem_region_map(region, fd, 0, at, huge, VHOST_USER_FLAG_MAP_RW, NULL);
        CHECK(result == 0 || result == -EOPNOTSUPP);
        if (result == 0) {
            ok(vhushmem_region_unmap(region, at, huge, &error));
        }
    }
    __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    EQ(vhushmem_region_mapping_count(region), 0);
    same(before, maps_between((uintptr_t)window, (uintptr_t)window + size));
    vhushmem_device_unref(device);
    close(fd);
    return 0;
}
