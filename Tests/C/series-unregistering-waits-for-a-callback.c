/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory_listener_unregister returns when no other thread is in a callback of the listener any more, so the listener's
 * memory may go then. A callback may unregister its own listener.
 */
/* tsan: yes (a thread unregisters a listener while another thread is in its callback) */
#include "harness.h"

#include <vhushmem/series.h>

#include <pthread.h>
#include <sys/syscall.h>

#define EVENTUALLY(condition) STEP_UNTIL(condition, usleep(200))

static int unregistering_thread; /* its id, set right before it unregisters */
static bool has_returned;
static int calls;
static MemoryListener listener;

/* Whether the thread waits in a system call, or has returned. */
static bool is_asleep(int thread)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
    FILE *file = fopen(path, "re");
    size_t length = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file != NULL) {
        fclose(file);
    }
    const char *state = length > 0 ? strrchr(text, ')') : NULL;
    return state != NULL && state[1] == ' ' && state[2] == 'S';
}

static void stay_until_somebody_unregisters(MemoryListener *self, MemoryRegionSection *section)
{
    (void)self;
    (void)section;
    __atomic_add_fetch(&calls, 1, __ATOMIC_ACQ_REL);
    int thread;
    EVENTUALLY((thread = __atomic_load_n(&unregistering_thread, __ATOMIC_ACQUIRE)) != 0);
    EVENTUALLY(__atomic_load_n(&has_returned, __ATOMIC_ACQUIRE) || is_asleep(thread));
    CHECK(!__atomic_load_n(&has_returned, __ATOMIC_ACQUIRE));
}

static void *unregister(void *unused)
{
    EVENTUALLY(__atomic_load_n(&calls, __ATOMIC_ACQUIRE) == 1);
    __atomic_store_n(&unregistering_thread, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
    memory_listener_unregister(&listener);
    __atomic_store_n(&has_returned, true, __ATOMIC_RELEASE);
    return unused;
}

static void leave(MemoryListener *self, MemoryRegionSection *section)
{
    (void)section;
    memory_listener_unregister(self);
}

int main(void)
{
    VirtIODevice *vdev = some(vhushmem_device_new(NULL, &error));
    VirtioSharedMemory *shmem = some(virtio_new_shmem_region(vdev, 1, 16 * PAGE));
    int fd = memfd_of(PAGE, 1);
    pthread_t thread;
    listener = (MemoryListener){.region_add = stay_until_somebody_unregisters, .name = "stays"};
    memory_listener_register(&listener, &shmem->mr);
    CHECK(pthread_create(&thread, NULL, unregister, NULL) == 0);
    ok(vhushmem_region_map(shmem, fd, 0, 0, PAGE, 0, &error));
    EVENTUALLY(__atomic_load_n(&has_returned, __ATOMIC_ACQUIRE));
    CHECK(pthread_join(thread, NULL) == 0);
    ok(vhushmem_region_map(shmem, fd, 0, PAGE, PAGE, 0, &error));
    EQ(calls, 1);

    ok(vhushmem_region_unmap(shmem, 0, PAGE, &error));
    ok(vhushmem_region_unmap(shmem, PAGE, PAGE, &error));
    listener = (MemoryListener){.region_add = leave, .name = "leaves"};
    memory_listener_register(&listener, &shmem->mr);
    ok(vhushmem_region_map(shmem, fd, 0, 0, PAGE, 0, &error));
    CHECK(listener.vhushmem_state == NULL);
    ok(vhushmem_region_unmap(shmem, 0, PAGE, &error));
    close(fd);
    vhushmem_device_unref(vdev);
    return 0;
}
