/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mapping is the last reference to a large memfd. It is undone by an UNMAP, by a map in its place, by a reset, with the
 * channel, with the front-end; and a back-end lets guest memory go. The calling thread does not free the file, and soon it
 * is freed.
 */
/* valgrind: no (it counts processor time of its own) */
#include "rig.h"

#include "bare-queue.h"

#include <sys/resource.h>

#define LARGE ((uint64_t)256 << 20)

static int64_t kernel_us(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
    return (int64_t)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
}

static int large_memfd(void)
{
    int fd = memfd_create("large", MFD_CLOEXEC);
    if (fallocate(fd, 0, 0, (off_t)LARGE) != 0) {
        skip("there is no memory for a large file");
    }
    return fd;
}

static int64_t by_itself;

static void is_not_freed_since(int64_t began, const char *what)
{
    int64_t took = kernel_us() - began;
    if (took >= by_itself / 2) {
        fprintf(stderr, "%s: %lld us, of %lld us for the file\n", what, (long long)took, (long long)by_itself);
        exit(1);
    }
    wait_for_closes();
}

/* The only mapping of a large file, which nobody else has. It has this length. */
static void map_large(rig *r, uint64_t at, uint64_t length)
{
    int fd = large_memfd();
    ok(rig_map(r, fd, 0, at, length, VHOST_USER_FLAG_MAP_RW));
    close(fd);
}

static void unmapped(void)
{
    rig r;
    rig_open(&r, LARGE, NULL);
    for (int i = 0; i < 4; i++) {
        uint64_t length = i % 2 == 0 ? PAGE : LARGE;
        map_large(&r, 0, length);
        int64_t began = kernel_us();
        ok(rig_unmap(&r, 0, length));
        is_not_freed_since(began, "unmap");
    }
    /* Several mappings, the last of which goes. */
    int fd = large_memfd();
    for (uint64_t i = 0; i < 100; i++) {
        ok(rig_map(&r, fd, i * PAGE, 2 * i * PAGE, PAGE, 0));
    }
    close(fd);
    int64_t began = kernel_us();
    for (uint64_t i = 0; i < 100; i++) {
        ok(rig_unmap(&r, 2 * i * PAGE, PAGE));
    }
    is_not_freed_since(began, "unmaps");
    map_large(&r, 0, PAGE);
    began = kernel_us();
    EQ(vhushmem_region_unmap_all(r.region), 1);
    is_not_freed_since(began, "all");
    map_large(&r, 0, PAGE);
    began = kernel_us();
    ok(vhushmem_frontend_reset(r.frontend, &error));
    is_not_freed_since(began, "reset");
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == 1);
    map_large(&r, 0, PAGE);
    began = kernel_us();
    shutdown(r.channel, SHUT_RDWR);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 1);
    EQ(vhushmem_region_mapping_count(r.region), 0);
    is_not_freed_since(began, "channel");
    rig_close(&r);

    rig_open(&r, LARGE, NULL);
    map_large(&r, 0, PAGE);
    map_large(&r, 2 * PAGE, PAGE);
    began = kernel_us();
    vhushmem_frontend_free(r.frontend);
    is_not_freed_since(began, "free");
    peer_end(&r.peer);
}

static void replaced(void)
{
    static const vhushmem_region_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_REGION_REPLACE};
    rig r;
    rig_open_plain(&r, LARGE, NULL, &options);
    map_large(&r, 0, LARGE);
    int fd = large_memfd();
    int64_t began = kernel_us();
    ok(rig_map(&r, fd, 0, 0, LARGE, 0));
    is_not_freed_since(began, "replace");
    close(fd);
    /* The end of a device, and a region that outlives it. */
    vhushmem_region_ref(r.region);
    began = kernel_us();
    vhushmem_device_unref(r.device);
    is_not_freed_since(began, "device");
    vhushmem_region_unref(r.region);
}

/* Too many files have been mapped: the library keeps no descriptor of one more. */
static void beyond_the_quota(void)
{
    rig r;
    rig_open_plain(&r, 4096 * PAGE, NULL, NULL);
    for (uint64_t i = 0; i < 100; i++) {
        int fd = memfd_create("sparse", MFD_CLOEXEC);
        CHECK(ftruncate(fd, (off_t)LARGE) == 0);
        ok(rig_map(&r, fd, 0, (8 + 2 * i) * PAGE, PAGE, 0));
        close(fd);
    }
    map_large(&r, 0, PAGE);
    int64_t began = kernel_us();
    ok(rig_unmap(&r, 0, PAGE));
    is_not_freed_since(began, "unmap beyond the quota");
    map_large(&r, 0, 2 * PAGE);
    began = kernel_us();
    EQ(vhushmem_region_unmap_all(r.region), 101);
    is_not_freed_since(began, "all beyond the quota");
    vhushmem_device_unref(r.device);
}

/* More files than the library keeps, and one that is mapped again: all works, and nothing stays open. */
static void many(void)
{
    rig r;
    rig_open_plain(&r, 4096 * PAGE, NULL, NULL);
    for (int round = 0; round < 3; round++) {
        char *fds = fds_now();
        for (uint64_t i = 0; i < 100; i++) {
            int fd = memfd_create("sparse", MFD_CLOEXEC);
            CHECK(ftruncate(fd, (off_t)LARGE) == 0);
            ok(rig_map(&r, fd, 0, 3 * i * PAGE, PAGE, 0));
            ok(rig_map(&r, fd, 0, 3 * i * PAGE + PAGE, PAGE, 0));
            close(fd);
        }
        for (uint64_t i = 0; i < 100; i++) {
            ok(rig_unmap(&r, 3 * (i * 7 % 100) * PAGE + PAGE * (i % 2), PAGE));
        }
        if (round == 1) {
            EQ(vhushmem_region_unmap_all(r.region), 100);
        }
        for (uint64_t i = 0; i < 100 && round != 1; i++) {
            ok(rig_unmap(&r, 3 * (i * 7 % 100) * PAGE + PAGE * (1 - i % 2), PAGE));
        }
        same(fds, fds_now());
    }
    vhushmem_device_unref(r.device);
}

/* A back-end's guest memory: its front-end replaces it, or it goes with the connection. */
static void of_a_guest(void)
{
    for (int way = 0; way < 2; way++) {
        bare_queue b;
        bare_queue_init(&b);
        bare_queue_connect(&b, BARE_FEATURES);
        tell_ram(&b);
        int fd = large_memfd();
        EQ(tell_region(&b, ADD_MEM_REG, LARGE, LARGE, 2 * USER, 0, fd), 0);
        close(fd);
        int64_t began = kernel_us();
        if (way == 0) {
            EQ(tell_region(&b, REM_MEM_REG, LARGE, LARGE, 2 * USER, 0, -1), 0);
        } else {
            shutdown(b.r.main, SHUT_RDWR);
            pump_backend(b.r.backend);
            EQ(b.r.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
        }
        is_not_freed_since(began, "guest memory");
        backend_rig_close(&b.r);
        bare_queue_close(&b);
    }
}

int main(void)
{
    int fd = large_memfd();
    int64_t began = kernel_us();
    close(fd);
    by_itself = kernel_us() - began;
    unmapped();
    replaced();
    of_a_guest();
    beyond_the_quota();
    many();
    return 0;
}
