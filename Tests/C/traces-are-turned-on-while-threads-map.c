/* SPDX-License-Identifier: BSD-3-Clause */
/* tsan: yes (threads map, make devices and turn traces on and off at once) */
/* Traces may be turned on and off at any time. In the end every device reports its maps if traces are on, and none if they
   are off. */
#include "harness.h"

static volatile bool enough;
static unsigned told;

static void on_trace(const vhushmem_trace *trace, void *user_data)
{
    (void)user_data;
    CHECK(trace->category == VHUSHMEM_TRACE_MAPS);
    __atomic_add_fetch(&told, 1, __ATOMIC_RELAXED);
}

static void map_and_unmap(vhushmem_region *region, int file)
{
    ok(vhushmem_region_map(region, file, 0, 0, PAGE, 0, NULL));
    ok(vhushmem_region_unmap(region, 0, PAGE, NULL));
}

static gpointer map_all_the_time(gpointer region)
{
    int file = memfd_of(PAGE, 1);
    while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
        map_and_unmap(region, file);
    }
    close(file);
    return NULL;
}

static gpointer make_devices(gpointer unused)
{
    int file = memfd_of(PAGE, 1);
    while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
        vhushmem_device *device = some(vhushmem_device_new(NULL, NULL));
        map_and_unmap(some(vhushmem_region_new(device, 0, 4 * PAGE, NULL, NULL)), file);
        vhushmem_device_unref(device);
    }
    close(file);
    return unused;
}

/* The number of traces for one map and one unmap. */
static unsigned told_of(vhushmem_region *region, int file)
{
    unsigned before = __atomic_load_n(&told, __ATOMIC_RELAXED);
    map_and_unmap(region, file);
    return __atomic_load_n(&told, __ATOMIC_RELAXED) - before;
}

int main(void)
{
    vhushmem_device *devices[2];
    vhushmem_region *regions[2];
    GThread *threads[3];
    int file = memfd_of(PAGE, 1);
    for (int i = 0; i < 2; i++) {
        devices[i] = some(vhushmem_device_new(NULL, &error));
        regions[i] = some(vhushmem_region_new(devices[i], 0, 4 * PAGE, NULL, &error));
        threads[i] = g_thread_new("maps", map_all_the_time, regions[i]);
    }
    threads[2] = g_thread_new("devices", make_devices, NULL);
    for (int i = 0; i < steps(20000) || __atomic_load_n(&told, __ATOMIC_RELAXED) < 50; i++) {
        ok(vhushmem_set_debug(VHUSHMEM_TRACE_MAPS, on_trace, NULL, NULL));
        ok(vhushmem_set_debug(0, NULL, NULL, NULL));
    }
    __atomic_store_n(&enough, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; i++) {
        g_thread_join(threads[i]);
    }
    for (int i = 0; i < 2; i++) {
        EQ(told_of(regions[i], file), 0);
        ok(vhushmem_set_debug(VHUSHMEM_TRACE_MAPS, on_trace, NULL, NULL));
        EQ(told_of(regions[i], file), 2);
        ok(vhushmem_set_debug(0, NULL, NULL, NULL));
        EQ(told_of(regions[i], file), 0);
        vhushmem_device_unref(devices[i]);
    }
    close(file);
    return 0;
}
