/* SPDX-License-Identifier: BSD-3-Clause */
/* A front-end that is freed inside a listener, with requests still waiting on its channel, serves none of them. */
#include "rig.h"

#include <vhushmem/series.h>

static rig r;
static int adds;
static bool free_in_add;

static void free_front_end(void)
{
    vhushmem_frontend *frontend = r.frontend;
    r.frontend = NULL;
    vhushmem_frontend_free(frontend);
}

static void region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    (void)section;
    adds++;
    if (free_in_add) {
        free_front_end();
    }
}

static void commit(MemoryListener *listener)
{
    (void)listener;
    if (r.frontend != NULL) {
        free_front_end();
    }
}

static void freed_in(bool add)
{
    rig_open(&r, 16 * PAGE, NULL);
    free_in_add = add;
    adds = 0;
    vhushmem_device_ref(r.device);
    /* With a callback, the library would watch for that callback to free it. */
    ok(vhushmem_frontend_set_callback(r.frontend, NULL, NULL, NULL));
    MemoryListener listener = {.region_add = region_add, .commit = commit, .name = "test"};
    memory_listener_register(&listener, some(virtio_shmem_memory_region(r.region)));
    int fd = memfd_of(PAGE, 1);
    for (uint64_t i = 0; i < 5; i++) {
        VhostUserMMap m = mmap_of(0, 0, i * PAGE, PAGE, 0);
        send_message(r.channel, MAP, 1, &m, sizeof(m), &fd, 1);
    }
    vhushmem_frontend_dispatch(r.frontend);
    CHECK(r.frontend == NULL);
    EQ(adds, 1);
    EQ(vhushmem_device_mapping_count(r.device), 0);
    memory_listener_unregister(&listener);
    vhushmem_device_unref(r.device);
    peer_end(&r.peer);
    close(fd);
}

int main(void)
{
    char *fds = fds_now();
    freed_in(true);
    freed_in(false);
    same(fds, fds_now());
    return 0;
}
