/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end of the library in one process maps and unmaps, with the series' calls, into the region of a front-end of the
 * library in another. Each reads what the other writes, and refusals come back.
 */
#include "pair.h"

#include <vhushmem/series.h>

/* In the child. The front-end writes 42 into the second word of whatever is mapped read-write. */
static void device(vhushmem_backend *backend)
{
    uint64_t page = PAGE, word = 0;
    VuDev *dev = backend;
    int fd = memfd_of(4 * page, 1);
    CHECK(vu_shmem_map(dev, 0, page, 4 * page, 2 * page, VHOST_USER_FLAG_MAP_RW, fd));
    CHECK(!vu_shmem_map(dev, 0, 0, 5 * page, page, 0, fd));
    err(vhushmem_backend_map(backend, 0, fd, 0, 5 * page, page, 0, &error), -EEXIST);
    err(vhushmem_backend_map(backend, 1, fd, 0, 5 * page, page, 0, &error), -ENOENT);
    err(vhushmem_backend_map(backend, 0, fd, 8 * page, 0, page, 0, &error), -EOVERFLOW);
    err(vhushmem_backend_map(backend, 0, fd, 0, 1, page, 0, &error), -EINVAL);
    CHECK(!vu_shmem_unmap(dev, 0, 4 * page, page));
    err(vhushmem_backend_unmap(backend, 0, 4 * page, page, &error), -EINVAL);
    err(vhushmem_backend_unmap(backend, 0, 0, page, &error), -ENOENT);
    CHECK(vu_shmem_unmap(dev, 0, 4 * page, 2 * page));
    EQ(pread(fd, &word, 8, (off_t)page + 8), 8);
    EQ(word, 42);
    for (int i = 0; i < 200; i++) {
        ok(vhushmem_backend_map(backend, 0, fd, 0, (uint64_t)(i % 4) * 4 * page, 4 * page, 0, &error));
        if (i >= 3) {
            ok(vhushmem_backend_unmap(backend, 0, (uint64_t)((i + 1) % 4) * 4 * page, 4 * page, &error));
        }
    }
    close(fd);
}

static void event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    int *events = user_data;
    events[event->type]++;
    if (event->type == VHUSHMEM_EVENT_MAP && event->result == 0) {
        vhushmem_region *region = some(vhushmem_device_find_region(vhushmem_frontend_device(frontend), 0));
        EQ(word_at(region, event->shm_offset), pattern(1, event->fd_offset));
        if (event->flags == VHOST_USER_FLAG_MAP_RW) {
            char *to = some(vhushmem_region_translate(region, event->shm_offset + 8, 8, true));
            *(volatile uint64_t *)to = 42;
        }
    }
}

int main(void)
{
    int pair[2], events[8] = {0};
    static char *fds; /* not on the stack: the child leaves main, so there it would be a leak */
    fds = fds_now();
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    pid_t child = back_end_process(pair[1], pair[0], 16 * PAGE, device);
    vhushmem_frontend *frontend = some(vhushmem_frontend_new_fd(pair[0], NULL, &error));
    ok(vhushmem_frontend_set_callback(frontend, event, events, NULL));
    ok(vhushmem_frontend_connect(frontend, PATIENCE_MS, &error));
    int nregions = 0;
    uint64_t sizes[VIRTIO_MAX_SHMEM_REGIONS];
    ok(vhost_get_shmem_config(frontend, &nregions, sizes, &error));
    EQ(nregions, 1);
    EQ(sizes[0], 16 * PAGE);
    for (int i = 1; i < VIRTIO_MAX_SHMEM_REGIONS; i++) {
        EQ(sizes[i], 0);
    }
    PUMP_FRONTEND_UNTIL(frontend, events[VHUSHMEM_EVENT_DISCONNECT] > 0);
    ends_well(child);
    EQ(events[VHUSHMEM_EVENT_MAP], 6 + 200);
    EQ(vhushmem_device_mapping_count(vhushmem_frontend_device(frontend)), 0);
    vhushmem_frontend_free(frontend);
    same(fds, fds_now());
    return 0;
}
