/* SPDX-License-Identifier: BSD-3-Clause */
/* Traces report the maps and unmaps that a program makes in its regions, in each possible way, and the messages that it
   handles one by one. */
#include "harness.h"

static struct {
    unsigned count;
    uint32_t request;
    int32_t result;
    uint64_t offset, len;
    char message[256];
} seen;

static void on_trace(const vhushmem_trace *trace, void *user_data)
{
    (void)user_data;
    EQ(trace->category, VHUSHMEM_TRACE_MAPS);
    EQ(trace->shmid, 3);
    seen.count++;
    seen.request = trace->request;
    seen.result = trace->result;
    seen.offset = trace->shm_offset;
    seen.len = trace->len;
    g_strlcpy(seen.message, trace->message, sizeof(seen.message));
}

/* One trace has come since the last look. */
#define TOLD(request_, result_, offset_, len_, words)                                                                          \
    do {                                                                                                                       \
        EQ(seen.count, 1);                                                                                                     \
        EQ(seen.request, request_);                                                                                            \
        EQ(seen.result, result_);                                                                                              \
        EQ(seen.offset, offset_);                                                                                              \
        EQ(seen.len, len_);                                                                                                    \
        CHECK(strstr(seen.message, words) != NULL);                                                                            \
        seen.count = 0;                                                                                                        \
    } while (0)

#define MAP VHOST_USER_BACKEND_SHMEM_MAP
#define UNMAP VHOST_USER_BACKEND_SHMEM_UNMAP

static void all_ways(vhushmem_device *device, vhushmem_region *region)
{
    int file = memfd_of(PAGE, 1);
    const VhostUserMMap message = {.shmid = 3, .shm_offset = 4 * PAGE, .len = PAGE};
    uint64_t offset;
    vhushmem_mapping *mapping;

    ok(vhushmem_region_map(region, file, 0, PAGE, PAGE, 0, &error));
    TOLD(MAP, 0, PAGE, PAGE, "done");
    EQ(vhushmem_region_map(region, file, 0, PAGE, PAGE, 0, NULL), -EEXIST);
    TOLD(MAP, -EEXIST, PAGE, PAGE, "overlaps");
    EQ(vhushmem_region_unmap(region, 0, PAGE, NULL), -ENOENT);
    TOLD(UNMAP, -ENOENT, 0, PAGE, "");
    ok(vhushmem_region_unmap(region, PAGE, PAGE, &error));
    TOLD(UNMAP, 0, PAGE, PAGE, "done");

    ok(vhushmem_region_alloc(region, file, 0, PAGE, 0, 0, &offset, &error));
    TOLD(MAP, 0, offset, PAGE, "done");
    ok(vhushmem_region_unmap(region, offset, PAGE, &error));
    TOLD(UNMAP, 0, offset, PAGE, "done");

    mapping = some(vhushmem_mapping_new(3, file, 0, 2 * PAGE, PAGE, 0, &error));
    ok(vhushmem_region_add_mapping(region, mapping, &error));
    TOLD(MAP, 0, 2 * PAGE, PAGE, "done");
    ok(vhushmem_region_unmap(region, 2 * PAGE, PAGE, &error));
    TOLD(UNMAP, 0, 2 * PAGE, PAGE, "done");

    ok(vhushmem_handle_map(device, &message, file, &error));
    TOLD(MAP, 0, 4 * PAGE, PAGE, "done");
    EQ(vhushmem_handle_map(device, &message, file, NULL), -EEXIST);
    TOLD(MAP, -EEXIST, 4 * PAGE, PAGE, "overlaps");
    ok(vhushmem_handle_unmap(device, &message, &error));
    TOLD(UNMAP, 0, 4 * PAGE, PAGE, "done");
    EQ(vhushmem_handle_unmap(device, &message, NULL), -ENOENT);
    TOLD(UNMAP, -ENOENT, 4 * PAGE, PAGE, "");

    /* During a reset. */
    EQ(vhushmem_device_begin_reset(device, &error), 0);
    EQ(vhushmem_handle_map(device, &message, file, NULL), -ECANCELED);
    TOLD(MAP, -ECANCELED, 4 * PAGE, PAGE, "");
    EQ(vhushmem_device_begin_reset(device, NULL), -EALREADY);
    ok(vhushmem_device_end_reset(device, &error));
    EQ(vhushmem_device_end_reset(device, NULL), -EINVAL);
    close(file);
}

int main(void)
{
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 3, 16 * PAGE, NULL, &error));
    int file = memfd_of(PAGE, 1);

    /* A region from before traces were turned on, and a later one. */
    ok(vhushmem_set_debug(VHUSHMEM_TRACE_MAPS, on_trace, NULL, NULL));
    all_ways(device, region);
    vhushmem_device *other = some(vhushmem_device_new(NULL, &error));
    all_ways(other, some(vhushmem_region_new(other, 3, 16 * PAGE, NULL, &error)));
    vhushmem_device_unref(other);

    ok(vhushmem_set_debug(0, NULL, NULL, NULL));
    ok(vhushmem_region_map(region, file, 0, PAGE, PAGE, 0, &error));
    ok(vhushmem_region_unmap(region, PAGE, PAGE, &error));
    EQ(seen.count, 0);
    vhushmem_device_unref(device);
    close(file);
    return 0;
}
