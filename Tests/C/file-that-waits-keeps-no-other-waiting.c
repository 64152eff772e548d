/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread is in a call of the library that waits for a FUSE server that does not answer. Four calls can close such a file:
 * vhushmem_region_add_mapping, an unmap in a region that keeps descriptors, a reset, and a replacement. Meanwhile another
 * thread maps, unmaps, translates and resolves a guest's fault in the same device.
 */
/* valgrind: no (it stops all threads for a call that waits) */
#include "fuse-rig.h"

enum { BY_ADD, BY_UNMAP, BY_UNMAP_ALL, BY_REPLACE, BY_UNREF, WAYS };

typedef struct waiter {
    vhushmem_region *region;
    int fd, way;
    int has_ended;
} waiter;

/* The call that is to wait. Where the library is to close the descriptor, this thread holds the only copy. */
static void *wait_in_the_library(void *user_data)
{
    waiter *w = user_data;
    switch (w->way) {
    case BY_ADD: {
        vhushmem_mapping *mapping = some(vhushmem_mapping_new(0, w->fd, 0, 0, 2 * PAGE, 0, &error));
        ok(vhushmem_region_add_mapping(w->region, mapping, &error));
        break;
    }
    case BY_UNMAP:
        ok(vhushmem_region_unmap(w->region, 0, 2 * PAGE, &error));
        break;
    case BY_UNMAP_ALL:
        EQ(vhushmem_region_unmap_all(w->region), 1);
        break;
    case BY_REPLACE: {
        int other = memfd_of(2 * PAGE, 3);
        ok(vhushmem_region_map(w->region, other, 0, 0, 2 * PAGE, 0, &error));
        close(other);
        break;
    }
    default: {
        vhushmem_mapping *mapping = some(vhushmem_mapping_new(0, w->fd, 0, 0, 2 * PAGE, 0, &error));
        vhushmem_mapping_unref(mapping);
    }
    }
    __atomic_store_n(&w->has_ended, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* The other thread's calls, which would never return if a lock were held. */
static void others_go_on(rig *r)
{
    int file = memfd_of(2 * PAGE, 1);
    uint64_t word = 0, at = 0;
    ok(vhushmem_region_map(r->region, file, 0, 8 * PAGE, 2 * PAGE, 0, &error));
    shows(r->region, 8 * PAGE, 2 * PAGE, 1, 0);
    CHECK(vhushmem_region_translate(r->region, 8 * PAGE, 8, false) != NULL);
    ok(vhushmem_region_read(r->region, 8 * PAGE, &word, 8, &error));
    ok(vhushmem_region_alloc(r->region, file, 0, PAGE, 0, 0, &at, &error));
    ok(vhushmem_region_unmap(r->region, at, PAGE, &error));
    ok(vhushmem_resolve_guest_fault(r->region, 12 * PAGE, 8, VHUSHMEM_ACCESS_WRITE, NULL));
    ok(vhushmem_resolve_guest_fault(r->region, 12 * PAGE, 8, VHUSHMEM_ACCESS_READ, &word));
    g_free(some(vhushmem_device_status_json(r->device, 10)));
    ok(vhushmem_region_unmap(r->region, 8 * PAGE, 2 * PAGE, &error));
    close(file);
}

static void facts(fuse_rig *f, int way)
{
    rig r;
    pthread_t thread;
    bool keeps = way != BY_ADD && way != BY_UNREF;
    vhushmem_region_options options = {.struct_size = sizeof(options), .flags = keeps ? VHUSHMEM_REGION_KEEP_FDS : 0};
    options.flags |= way == BY_REPLACE ? VHUSHMEM_REGION_REPLACE : 0;
    rig_open_plain(&r, 16 * PAGE, NULL, &options);
    fuse_let_go(f, false);
    EQ(fuse_held(f), 0);
    waiter w = {.region = r.region, .way = way, .fd = fuse_open(f, NODE_FLUSH, O_RDWR)};
    if (keeps) {
        ok(vhushmem_region_map(r.region, w.fd, 0, 0, 2 * PAGE, 0, &error));
        shows(r.region, 0, 2 * PAGE, NODE_FLUSH, 0);
    }
    int held = fuse_held(f);
    CHECK(pthread_create(&thread, NULL, wait_in_the_library, &w) == 0);
    STEP_UNTIL(fuse_held(f) > held, usleep(1000));
    others_go_on(&r);
    CHECK(pthread_join(thread, NULL) == 0);
    fuse_let_go(f, true);
    if (way == BY_ADD) {
        EQ(vhushmem_region_mapping_count(r.region), 1);
        shows(r.region, 0, 2 * PAGE, NODE_FLUSH, 0);
    }
    close(w.fd);
    rig_close(&r);
    STEP_UNTIL(fuse_held(f) == 0, usleep(1000));
}

int main(void)
{
    fuse_rig f;
    fuse_begin_or_skip(&f);
    for (int way = 0; way < WAYS; way++) {
        facts(&f, way);
    }
    /* A region that takes memfds only refuses every file of this file system. */
    rig r;
    vhushmem_region_options options = {.struct_size = sizeof(options), .fd_policy = VHUSHMEM_FD_MEMFD_ONLY};
    rig_open_plain(&r, 16 * PAGE, NULL, &options);
    int fd = fuse_open(&f, NODE_GOOD, O_RDWR);
    rig_refuses(&r, rig_map(&r, fd, 0, 0, PAGE, 0), -EACCES);
    close(fd);
    rig_close(&r);
    fuse_end(&f);
    return 0;
}
