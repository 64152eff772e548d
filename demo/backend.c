/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * backend SOCKET [FILE] [--no-driver]: a device process. Its guest sees FILE in shared memory, or this program itself if
 * there is no FILE.
 *
 * It does this, in this order:
 * * It listens at SOCKET.
 * * It waits until a driver has started its queue. Some front-ends serve no mapping before that, and QEMU ends when it gets a
 *   request. With --no-driver it does not wait, for front-ends that have no driver.
 * * It has the front-end map FILE read-only, as a whole and in pieces, and a page of its own read-write (control.h).
 * * It waits until the guest has read the file and written to the page, and checks what the guest wrote.
 * * It undoes each mapping. It ends when the front-end does.
 *
 * Its loop is a plain poll(2). Each wait has a time limit. The exit status is 0 only if everything was right.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vhushmem/vhushmem.h>

#include "control.h"

#define MIB (UINT64_C(1) << 20)
#define REGION_SIZE (16 * MIB)
#define FILE_OFFSET (1 * MIB)     /* where in the region the whole file begins */
#define FILE_MAX (8 * MIB)        /* the most of it that is mapped, in bytes */
#define PIECES_OFFSET (10 * MIB)  /* where the first piece begins */
#define PIECES_DISTANCE (2 * MIB) /* from the beginning of a piece to that of the next */
#define PATIENCE_MS 60000

struct device {
    vhushmem_backend *backend;
    struct control *control; /* this process's own mapping of the page. The guest writes to it too: read each word once */
    int control_fd;
    int file;
    bool needs_driver; /* wait until a driver has started the queue */
    bool is_started;
    size_t page;
    uint32_t nparts;
    struct control_part parts[CONTROL_MAX_PARTS];
    bool gone;
};

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("device  FAILED: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* ---- the loop ---- */

static void on_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    struct device *device = user_data;

    (void)backend;
    if (event->type == VHUSHMEM_BACKEND_DISCONNECT) {
        device->gone = true;
    }
}

/** The queue exists only so that a driver can start it: no request is ever put into it. */
static void on_queue(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event, const char *message,
                     void *user_data)
{
    struct device *device = user_data;

    (void)backend;
    (void)queue;
    (void)message;
    if (event == VHUSHMEM_QUEUE_STARTED) {
        device->is_started = true;
    }
}

static bool may_map(struct device *device)
{
    return vhushmem_backend_is_negotiated(device->backend) && (device->is_started || !device->needs_driver);
}

static bool has_answer(struct device *device)
{
    return __atomic_load_n(&device->control->answer, __ATOMIC_ACQUIRE) == CONTROL_ANSWERED;
}

static bool is_gone(struct device *device) { return device->gone; }

/** Serve the front-end until `done` returns true. It looks every 5 ms, because a change of memory wakes no process. */
static void serve_until(struct device *device, bool (*done)(struct device *device), const char *what)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE_MS * (gint64)1000;
    struct pollfd wait = {
        .fd = vhushmem_backend_get_fd(device->backend),
        .events = (short)vhushmem_backend_get_events(device->backend),
    };

    while (!done(device)) {
        if (device->gone) {
            fail("the front-end went away before %s", what);
        }
        if (g_get_monotonic_time() > deadline) {
            fail("waited %d seconds in vain until %s", PATIENCE_MS / 1000, what);
        }
        if (poll(&wait, 1, 5) < 0 && errno != EINTR) {
            fail("cannot poll: %s", g_strerror(errno));
        }
        if (wait.revents != 0 && vhushmem_backend_dispatch(device->backend) < 0) {
            fail("the back-end has nothing to serve any more");
        }
    }
}

/* ---- the file and the page ---- */

/** The sum that the guest must find. This process reads the same bytes in another way. */
static uint32_t sum_of_file(int file, uint64_t offset, uint32_t len)
{
    uint32_t sum = 0;

    for (uint32_t done = 0; done < len;) {
        uint32_t words[1024] = {0};
        ssize_t n;

        n = pread(file, words, MIN(sizeof(words), len - done), (off_t)(offset + done));
        if (n <= 0 || (n % 4 != 0 && done + n != len)) {
            fail("cannot read the file at 0x%" PRIx64 ": %s", offset + done, n < 0 ? g_strerror(errno) : "too few bytes");
        }
        for (ssize_t i = 0; i < (n + 3) / 4; i++) {
            sum += words[i];
        }
        done += (uint32_t)n;
    }
    return sum;
}

static void add_part(struct device *device, uint64_t shm_offset, uint64_t fd_offset, uint64_t len)
{
    struct control_part *part = &device->parts[device->nparts++];

    part->shm_offset = shm_offset;
    part->fd_offset = fd_offset;
    part->len = (uint32_t)len;
    part->sum = sum_of_file(device->file, fd_offset, part->len);
}

/**
 * Decide what part of the file is mapped where: first the whole file, then its last page, one in the middle, and its first.
 */
static void lay_out(struct device *device, const char *path)
{
    struct stat status;

    device->page = (size_t)sysconf(_SC_PAGESIZE);
    /* QEMU takes no file that is open only for reading. With O_NONBLOCK the open does not wait on a FIFO. */
    device->file = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device->file < 0) {
        device->file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    }
    if (device->file < 0 || fstat(device->file, &status) < 0) {
        fail("cannot open %s: %s", path, g_strerror(errno));
    }
    if (!S_ISREG(status.st_mode) || status.st_size == 0) {
        fail("%s is not a file with something in it", path);
    }

    uint64_t size = MIN((uint64_t)status.st_size, FILE_MAX);
    uint64_t last = (size - 1) / device->page;
    const uint64_t pieces[] = {last, last / 2, 0};

    add_part(device, FILE_OFFSET, 0, size);
    for (size_t i = 0; i < G_N_ELEMENTS(pieces); i++) {
        uint64_t offset = pieces[i] * device->page;

        add_part(device, PIECES_OFFSET + i * PIECES_DISTANCE, offset, MIN(size - offset, device->page));
    }
    printf("device  %s: %s%" PRIu64 " bytes to be mapped %s, and three pages of it apart\n", path,
           size < (uint64_t)status.st_size ? "the first " : "", size, size < (uint64_t)status.st_size ? "in one" : "whole");
}

static void make_control(struct device *device)
{
    device->control_fd = memfd_create("demo-control", MFD_CLOEXEC);
    if (device->control_fd < 0 || ftruncate(device->control_fd, (off_t)device->page) < 0) {
        fail("cannot make a memfd: %s", g_strerror(errno));
    }
    device->control = mmap(NULL, device->page, PROT_READ | PROT_WRITE, MAP_SHARED, device->control_fd, 0);
    if (device->control == MAP_FAILED) {
        fail("cannot map the memfd: %s", g_strerror(errno));
    }
    device->control->magic = CONTROL_MAGIC;
    device->control->nparts = device->nparts;
    memcpy(device->control->parts, device->parts, sizeof(device->parts));
    g_snprintf(device->control->device_text, CONTROL_TEXT, "process %d greets the guest", (int)getpid());
}

/* ---- requests to the front-end ---- */

static void map(struct device *device, int fd, uint64_t fd_offset, uint64_t shm_offset, uint64_t len, uint64_t flags)
{
    GError *error = NULL;

    if (vhushmem_backend_map(device->backend, CONTROL_SHMID, fd, fd_offset, shm_offset, len, flags, &error) < 0) {
        fail("%s", error->message);
    }
}

static void unmap(struct device *device, uint64_t shm_offset, uint64_t len)
{
    GError *error = NULL;

    if (vhushmem_backend_unmap(device->backend, CONTROL_SHMID, shm_offset, len, &error) < 0) {
        fail("%s", error->message);
    }
}

static void map_all(struct device *device)
{
    map(device, device->control_fd, 0, CONTROL_OFFSET, device->page, VHOST_USER_FLAG_MAP_RW);
    for (uint32_t i = 0; i < device->nparts; i++) {
        const struct control_part *part = &device->parts[i];

        map(device, device->file, part->fd_offset, part->shm_offset, part->len, 0);
    }
}

/** Ask for a map of the page at the place of the file. It must be refused, and the connection must go on. */
static void map_wrongly(struct device *device)
{
    int rc = vhushmem_backend_map(device->backend, CONTROL_SHMID, device->control_fd, 0, FILE_OFFSET, device->page,
                                  VHOST_USER_FLAG_MAP_RW, NULL);

    if (rc != -EEXIST) {
        fail("a map over a live mapping was answered with %d, not -EEXIST", rc);
    }
    printf("device  asked for a map over a live one: refused (%s), as it should be\n", g_strerror(-rc));
}

static void unmap_all(struct device *device)
{
    for (uint32_t i = 0; i < device->nparts; i++) {
        unmap(device, device->parts[i].shm_offset, device->parts[i].len);
    }
    unmap(device, CONTROL_OFFSET, device->page);
}

/* ---- the guest's answer ---- */

static void check_answer(struct device *device)
{
    const struct control *control = device->control;
    char expected[CONTROL_TEXT] = {0};

    for (uint32_t i = 0; i < device->nparts; i++) {
        if (control->sums[i] != device->parts[i].sum) {
            fail("the guest sees 0x%08x in part %u, the file has 0x%08x", control->sums[i], i, device->parts[i].sum);
        }
    }
    g_snprintf(expected, sizeof(expected), "process %d greets the guest", (int)getpid());
    if (memcmp(control->guest_text, expected, sizeof(expected)) != 0) {
        fail("the guest's text is not the one it was to copy");
    }
    if (sum_of_file(device->file, 0, device->parts[0].len) != device->parts[0].sum) {
        fail("the file has changed");
    }
    printf("device  the guest wrote %u sums and \"%s\": all as they should be\n", device->nparts, expected);
}

static void make_backend(struct device *device, const char *socket_path)
{
    vhushmem_backend_options options = {.struct_size = sizeof(options)};
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers), .queue = on_queue};
    GError *error = NULL;

    if (device->needs_driver && (fcntl(device->file, F_GETFL) & O_ACCMODE) == O_RDWR) {
        options.flags = VHUSHMEM_BACKEND_FOR_QEMU; /* without these flags QEMU would grant the device nothing */
    }
    device->backend = vhushmem_backend_new(&options, &error);
    if (device->backend == NULL || vhushmem_backend_set_callback(device->backend, on_event, device, NULL) < 0 ||
        vhushmem_backend_set_handlers(device->backend, &handlers, device, NULL, &error) < 0 ||
        vhushmem_backend_add_region(device->backend, CONTROL_SHMID, REGION_SIZE, &error) < 0 ||
        vhushmem_backend_listen(device->backend, socket_path, &error) < 0) {
        fail("%s", error != NULL ? error->message : "no callback");
    }
}

int main(int argc, char **argv)
{
    struct device device = {.control_fd = -1, .file = -1, .needs_driver = true};
    const char *paths[2] = {NULL, "/proc/self/exe"};
    unsigned npaths = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-driver") == 0) {
            device.needs_driver = false;
        } else if (npaths < G_N_ELEMENTS(paths)) {
            paths[npaths++] = argv[i];
        } else {
            npaths = 0;
            break;
        }
    }
    if (npaths == 0) {
        fprintf(stderr, "usage: %s SOCKET [FILE] [--no-driver]\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    lay_out(&device, paths[1]);
    make_control(&device);
    make_backend(&device, paths[0]);

    serve_until(&device, may_map, "a front-end had come and a driver had started the queue (--no-driver waits for none)");
    map_all(&device);
    map_wrongly(&device);
    __atomic_store_n(&device.control->state, CONTROL_MAPPED, __ATOMIC_RELEASE);

    serve_until(&device, has_answer, "the guest had answered");
    check_answer(&device);
    unmap_all(&device);
    printf("device  every mapping is undone\n");
    serve_until(&device, is_gone, "the front-end was gone");

    vhushmem_backend_free(device.backend);
    munmap(device.control, device.page);
    close(device.control_fd);
    close(device.file);
    return 0;
}
