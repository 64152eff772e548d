/* SPDX-License-Identifier: BSD-3-Clause */

/** The driver that the probe plays. It has guest memory, and starts and stops its queues. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create, preadv2 */
#endif

#include "probe-rings.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <glib-unix.h>

static struct driver *driver_of(struct probe *probe)
{
    if (probe->driver == NULL) {
        probe->driver = g_new0(struct driver, 1);
        probe->driver->ram_fd = -1;
    }
    return probe->driver;
}

void driver_reap(struct probe *probe)
{
    struct driver *driver = probe->driver;

    for (unsigned i = 0; driver != NULL && driver->started && i < driver->count; i++) {
        reap_queue(probe, &driver->queues[i]);
    }
}

static gboolean on_call(gint fd, GIOCondition condition, gpointer user_data)
{
    struct queue *q = user_data;
    uint64_t count;
    struct iovec iov = {&count, sizeof(count)};

    (void)condition;
    /* The device has the eventfd too, and may have cleared O_NONBLOCK. */
    if (preadv2(fd, &iov, 1, -1, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP) {
        eventfd_read(fd, &count);
    }
    if (q->probe->driver->started) {
        reap_queue(q->probe, q);
    }
    return G_SOURCE_CONTINUE;
}

/* ---- memory ---- */

char *driver_set_memory(struct probe *probe, uint64_t size)
{
    struct driver *driver = driver_of(probe);
    vhushmem_guest_memory memory = {.struct_size = sizeof(memory), .guest_addr = DRIVER_RAM_ADDR, .size = size};
    GError *error = NULL;

    if (driver->started) {
        return g_strdup("the device runs: stop it first");
    }
    if (size == 0 || size % PAGE != 0 || size > DRIVER_MAX_RAM) {
        return g_strdup("SIZE is no multiple of 4K up to 64G");
    }
    if (driver->ram != NULL) {
        munmap(driver->ram, driver->ram_size);
        close(driver->ram_fd);
        driver->ram = NULL;
    }
    driver->ram_fd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (driver->ram_fd < 0 || ftruncate(driver->ram_fd, (off_t)size) < 0) {
        return g_strdup_printf("memory of the guest: %s", g_strerror(errno));
    }
    driver->ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, driver->ram_fd, 0);
    if (driver->ram == MAP_FAILED) {
        driver->ram = NULL;
        return g_strdup_printf("memory of the guest: %s", g_strerror(errno));
    }
    driver->ram_size = size;
    memory.host = driver->ram;
    memory.fd = driver->ram_fd;
    /* If the device does not run, it learns of the memory at its start. So this does not wait. */
    if (vhushmem_frontend_set_memory(probe->frontend, &memory, 1, &error) < 0) {
        char *sentence = g_strdup(error->message);

        g_error_free(error);
        return sentence;
    }
    return NULL;
}

/* ---- start and stop ---- */

bool driver_is_started(const struct probe *probe) { return probe->driver != NULL && probe->driver->started; }

uint64_t driver_features(struct probe *probe)
{
    const struct driver *driver = driver_of(probe);

    return driver->features_set ? driver->features : vhushmem_frontend_features(probe->frontend) & (UINT64_C(1) << 32);
}

void driver_set_features(struct probe *probe, uint64_t features)
{
    driver_of(probe)->features = features;
    driver_of(probe)->features_set = true;
}

/** No queue runs any more: each request that the device has comes back with an error. */
static void drop_queues(struct probe *probe, const char *message)
{
    struct driver *driver = probe->driver;

    driver->started = false;
    for (unsigned i = 0; i < driver->count; i++) {
        struct queue *q = &driver->queues[i];

        if (message != NULL) {
            fail_requests(probe, q, message);
        }
        g_source_remove(q->watch);
        close(q->kick);
        close(q->call);
        g_free(q->free);
        g_free(q->requests);
    }
    g_clear_pointer(&driver->queues, g_free);
    driver->count = 0;
}

static void make_queues(struct probe *probe, unsigned count, unsigned size)
{
    struct driver *driver = probe->driver;
    uint64_t at = 0;

    driver->queues = g_new0(struct queue, count);
    driver->count = count;
    for (unsigned i = 0; i < count; i++) {
        struct queue *q = &driver->queues[i];

        *q = (struct queue){.size = (uint16_t)size, .nfree = (uint16_t)size, .probe = probe, .index = i, .rings = at};
        q->free = g_new(uint16_t, size);
        for (unsigned d = 0; d < size; d++) {
            q->free[d] = (uint16_t)d;
        }
        q->requests = g_new0(struct request, size);
        q->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        q->watch = g_unix_fd_add(q->call, G_IO_IN, on_call, q);
        at += rings_size(size);
    }
    driver->buffers = at;
    g_assert(driver->ram != NULL); /* driver_start has made it */
    memset(driver->ram, 0, at);
}

static void on_started(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    struct probe *probe = user_data;
    void (*fn)(struct probe *, const char *) = probe->driver->on_started;

    (void)frontend;
    probe->driver->on_started = NULL;
    if (reply->result < 0) {
        drop_queues(probe, NULL);
    } else {
        probe->driver->started = true;
        probe->was_driven = true;
    }
    if (fn != NULL) {
        fn(probe, reply->result < 0 ? reply->message : NULL);
    }
}

char *driver_start(struct probe *probe, unsigned count, unsigned size, void (*fn)(struct probe *probe, const char *error))
{
    struct driver *driver = driver_of(probe);
    char *sentence = driver->ram == NULL ? driver_set_memory(probe, DRIVER_RAM_SIZE) : NULL;
    GError *error = NULL;

    if (sentence != NULL || driver->started || driver->on_started != NULL) {
        return sentence != NULL ? sentence : g_strdup("the device runs already");
    }
    if (rings_size(size) * count >= driver->ram_size) {
        return g_strdup("guest memory is too small for the rings");
    }
    make_queues(probe, count, size);
    vhushmem_queue *queues = g_new0(vhushmem_queue, count);

    for (unsigned i = 0; i < count; i++) {
        struct queue *q = &driver->queues[i];

        queues[i] = (vhushmem_queue){.struct_size = sizeof(vhushmem_queue),
                                     .size = q->size,
                                     .desc = driver->ram + desc_at(q),
                                     .avail = driver->ram + avail_at(q),
                                     .used = driver->ram + used_at(q),
                                     .kick_fd = q->kick,
                                     .call_fd = q->call};
    }
    driver->on_started = fn;
    if (vhushmem_frontend_start_device_async(probe->frontend, driver_features(probe), queues, count, on_started, probe, NULL,
                                             &error) < 0) {
        driver->on_started = NULL;
        drop_queues(probe, NULL);
        sentence = g_strdup(error->message);
        g_error_free(error);
    }
    g_free(queues);
    return sentence;
}

static void on_stopped(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    struct probe *probe = user_data;
    void (*fn)(struct probe *, const uint16_t *, unsigned, const char *) = probe->driver->on_stopped;

    (void)frontend;
    probe->driver->on_stopped = NULL;
    driver_reap(probe);
    drop_queues(probe, "the device was stopped");
    if (fn != NULL) {
        fn(probe, reply->payload, (unsigned)(reply->payload_size / sizeof(uint16_t)),
           reply->result < 0 ? reply->message : NULL);
    }
}

char *driver_stop(struct probe *probe, void (*fn)(struct probe *, const uint16_t *, unsigned, const char *))
{
    GError *error = NULL;
    char *sentence = NULL;

    if (!driver_is_started(probe) || probe->driver->on_stopped != NULL) {
        return g_strdup("the device does not run");
    }
    probe->driver->on_stopped = fn;
    if (vhushmem_frontend_stop_device_async(probe->frontend, on_stopped, probe, NULL, &error) < 0) {
        probe->driver->on_stopped = NULL;
        sentence = g_strdup(error->message);
        g_error_free(error);
    }
    return sentence;
}

void driver_lost(struct probe *probe, const char *message)
{
    if (driver_is_started(probe) && probe->driver->on_stopped == NULL) {
        drop_queues(probe, message);
    }
}

void driver_was_reset(struct probe *probe)
{
    if (driver_is_started(probe)) {
        drop_queues(probe, "the device was reset");
    }
}

void driver_free(struct probe *probe)
{
    struct driver *driver = probe->driver;

    if (driver == NULL) {
        return;
    }
    drop_queues(probe, NULL);
    if (driver->ram != NULL) {
        munmap(driver->ram, driver->ram_size);
        close(driver->ram_fd);
    }
    g_clear_pointer(&probe->driver, g_free);
}
