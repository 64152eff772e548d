/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Some files refuse their own mmap, for example a hugetlb memfd with too few huge pages, which a back-end can send at will.
 * The library refuses such a map, and the window is not open for a moment: a thread that asks for the window's addresses all
 * the while never gets one.
 */
/* tsan: yes (another thread asks for addresses of the window) */
#include "harness.h"

#define SIZE (1ull << 30)

static char *window;
static int done;

static void *stranger(void *user_data)
{
    unsigned long *tries = user_data;
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        char *seen = mmap(window, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(seen != MAP_FAILED);
        CHECK(seen + PAGE <= window || seen >= window + SIZE);
        munmap(seen, PAGE);
        __atomic_fetch_add(tries, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

int main(void)
{
    int huge = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    if (huge < 0 || ftruncate(huge, SIZE) != 0) {
        skip("the kernel has no hugetlb memfds");
    }
    void *trial = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, huge, 0);
    if (trial != MAP_FAILED) {
        skip("there are enough huge pages for 1 GiB: the file does not refuse");
    }
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, SIZE, NULL, &error));
    window = vhushmem_region_window(region);
    char *before = maps_between((uintptr_t)window, (uintptr_t)window + SIZE);
    pthread_t thread;
    unsigned long tries = 0;
    CHECK(pthread_create(&thread, NULL, stranger, &tries) == 0);
    int64_t end = now_ms() + PATIENCE_MS;
    /* A busy machine may start the thread late. */
    for (int i = 0; i < (under_valgrind() ? 100 : 20000) || __atomic_load_n(&tries, __ATOMIC_RELAXED) == 0; i++) {
        CHECK(now_ms() < end);
        err(vhushmem_region_map(region, huge, 0, 0, SIZE, 0, &error), -ENOMEM);
    }
    __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    CHECK(tries > 0);
    EQ(vhushmem_region_mapping_count(region), 0);
    same(before, maps_between((uintptr_t)window, (uintptr_t)window + SIZE));
    vhushmem_device_unref(device);
    close(huge);
    return 0;
}
