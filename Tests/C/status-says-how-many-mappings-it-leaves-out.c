/* SPDX-License-Identifier: BSD-3-Clause */
/* If there are more mappings than wanted, the first ones are listed, and the others counted. */
#include "status-rig.h"

enum { MANY = 1000 };

static void lists(char *json, unsigned listed, unsigned left_out)
{
    EQ(times(json, "\"fd_offset\":"), listed);
    EQ(number_of(json, "mappings_left_out"), left_out);
    EQ(number_of(strstr(json, "\"quotas\""), "used"), listed + left_out);
    g_free(json);
}

int main(void)
{
    uint64_t page = PAGE;
    char text[64];
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 3, 2 * MANY * page, NULL, &error));
    int fd = memfd_of(page, 1);
    lists(some(vhushmem_device_status_json(device, 10)), 0, 0);
    for (uint64_t i = 0; i < MANY; i++) {
        ok(vhushmem_region_map(region, fd, 0, 2 * i * page, page, 0, &error));
    }
    static const unsigned limits[] = {0, 1, 31, 32, 33, MANY - 1, MANY, MANY + 1};
    for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++) {
        unsigned listed = MIN(limits[i], MANY);
        lists(some(vhushmem_device_status_json(device, limits[i])), listed, MANY - listed);
        lists(some(vhushmem_region_status_json(region, limits[i])), listed, MANY - listed);
    }
    lists(some(vhushmem_device_status_json(device, UINT64_MAX)), MANY, 0);

    /* The first ones, in order. */
    snprintf(text, sizeof(text), "{\"shm_offset\":%" PRIu64 ",\"len\":%" PRIu64 ",", 4 * page, page);
    char *json = some(vhushmem_region_status_json(region, 3));
    CHECK(g_str_has_prefix(strrchr(json, '{'), text));
    g_free(json);

    /* The number that vhushmem_status_json lists. */
    vhushmem_frontend *frontend = some(vhushmem_frontend_new("/nowhere", NULL, &error));
    ok(vhushmem_frontend_add_region(frontend, 0, 2 * MANY * page, &error));
    region = some(vhushmem_device_find_region(vhushmem_frontend_device(frontend), 0));
    for (uint64_t i = 0; i < MANY; i++) {
        ok(vhushmem_region_map(region, fd, 0, 2 * i * page, page, 0, &error));
    }
    json = some(vhushmem_status_json(frontend));
    EQ(times(json, "\"fd_offset\":"), VHUSHMEM_STATUS_MAPPINGS);
    EQ(number_of(json, "mappings_left_out"), MANY - VHUSHMEM_STATUS_MAPPINGS);
    g_free(json);
    close(fd);
    vhushmem_frontend_free(frontend);
    vhushmem_device_unref(device);
    return 0;
}
