/* SPDX-License-Identifier: BSD-3-Clause */
/* valgrind: no (it replaces mmap) */
/* asan: no (it replaces mmap) */
/*
 * A device may go with many mappings, by itself, with its front-end or with its channel. A thread then undoes them, a few at
 * a time: the caller undoes only a bounded number, and the window stays reserved until the last mapping is gone. A device or
 * a region that the program still holds is empty when the call returns. If no thread can be made, the caller undoes them
 * all.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include "channel-rig.h"
#include "many.h"

static int file;
static uint8_t *window;
static _Atomic uint64_t by_caller, by_others;
static _Atomic bool too_many, window_went;
static __thread bool is_caller;

/* The library's calls come here. */
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (real == NULL) {
        real = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
    }
    if (window != NULL && (uint8_t *)address >= window && (uint8_t *)address < window + MANY * PAGE) {
        *(is_caller ? &by_caller : &by_others) += length / PAGE;
        if (!is_caller && length > FEW_ENOUGH * PAGE && by_others + by_caller < MANY) {
            too_many = true; /* in one call of the kernel */
        }
    }
    return real(address, length, protection, flags, fd, offset);
}

int munmap(void *address, size_t length)
{
    static int (*real)(void *, size_t);
    if (real == NULL) {
        real = (int (*)(void *, size_t))dlsym(RTLD_NEXT, "munmap");
    }
    int result = real(address, length);
    if (window != NULL && address == window && length == MANY * PAGE) {
        window_went = true;
    }
    return result;
}

static bool fails_in_threads;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (real == NULL) {
        real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
    }
    return fails_in_threads ? EAGAIN : real(thread, attributes, run, data);
}

static void look_at(vhushmem_region *region)
{
    by_caller = by_others = 0;
    window_went = false;
    window = vhushmem_region_window(region);
}

static void caller_did_little(void)
{
    CHECK(by_caller <= FEW_ENOUGH);
    STEP_UNTIL(window_went, usleep(1000));
    CHECK(by_others >= MANY - FEW_ENOUGH);
    CHECK(!too_many);
    window = NULL;
}

static void alone(void)
{
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, MANY * PAGE, NULL, &error));
    map_many(region, file);
    look_at(region);
    vhushmem_device_unref(device);
    caller_did_little();
}

static void with_its_front_end(bool resets)
{
    rig r;
    rig_open(&r, MANY * PAGE, NULL);
    map_many(r.region, file);
    if (resets) {
        ok(vhushmem_frontend_reset(r.frontend, &error));
        uint64_t left = left_in(r.region);
        look_at(r.region);
        vhushmem_frontend_free(r.frontend);
        CHECK(by_caller <= FEW_ENOUGH);
        STEP_UNTIL(window_went, usleep(1000));
        CHECK(by_others >= left - FEW_ENOUGH);
        window = NULL;
    } else {
        look_at(r.region);
        vhushmem_frontend_free(r.frontend);
        caller_did_little();
    }
    peer_end(&r.peer);
}

static void with_its_channel(void)
{
    channel_rig r;
    channel_rig_open(&r, NULL);
    vhushmem_region *region = some(vhushmem_region_new(r.device, 1, MANY * PAGE, NULL, &error));
    map_many(region, file);
    vhushmem_device_unref(r.device);
    look_at(region);
    vhushmem_channel_free(r.channel);
    caller_did_little();
    close(r.peer);
}

static void held(void)
{
    rig r;
    rig_open(&r, MANY * PAGE, NULL);
    map_many(r.region, file);
    vhushmem_region *region = vhushmem_region_ref(r.region);
    vhushmem_frontend_free(r.frontend);
    EQ(left_in(region), 0);
    CHECK(!readable(vhushmem_region_window(region)));
    vhushmem_region_unref(region);
    peer_end(&r.peer);

    channel_rig c;
    channel_rig_open(&c, NULL);
    region = some(vhushmem_region_new(c.device, 1, MANY * PAGE, NULL, &error));
    map_many(region, file);
    vhushmem_channel_free(c.channel);
    EQ(left_in(region), 0);
    vhushmem_device_unref(c.device);
    close(c.peer);
}

static void without_a_thread(void)
{
    vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
    vhushmem_region *region = some(vhushmem_region_new(device, 0, MANY * PAGE, NULL, &error));
    map_many(region, file);
    look_at(region);
    fails_in_threads = true;
    vhushmem_device_unref(device);
    fails_in_threads = false;
    CHECK(window_went);
    window = NULL;
}

int main(void)
{
    is_caller = true;
    file = memfd_of(2 * PAGE, 1);
    alone();
    with_its_front_end(false);
    with_its_front_end(true);
    with_its_channel();
    held();
    without_a_thread();
    close(file);
    return 0;
}
