/* SPDX-License-Identifier: BSD-3-Clause */
/* How many descriptors, on which message, and of which kind. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "hostile.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

/* ---- how many, and where ---- */

static int with_fds(arena *a, const void *with)
{
    int count = (int)(intptr_t)with, fds[16];
    VhostUserMMap map = usual_map();
    for (int i = 0; i < 16; i++) {
        fds[i] = a->file;
    }
    return ask(a, MAP, NEED_REPLY, &map, sizeof(map), fds, count);
}

static int unmap_with_fds(arena *a, const void *with)
{
    int fds[2] = {a->file, a->file}, count = (int)(intptr_t)with;
    VhostUserMMap map = usual_map();
    EQ(ask_map(a, &map, a->file), 0);
    int result = ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), fds, count);
    EQ(ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0), 0);
    return result;
}

static int unknown_with_fds(arena *a, const void *with)
{
    int fds[8];
    for (int i = 0; i < 8; i++) {
        fds[i] = a->file;
    }
    return ask(a, 77, NEED_REPLY, &fds, sizeof(fds), fds, (int)(intptr_t)with);
}

/* The descriptor comes with the second half. */
static int late_fd(arena *a, const void *with)
{
    VhostUserMMap map = usual_map();
    uint8_t bytes[sizeof(VhostUserHeader) + sizeof(map)];
    VhostUserHeader header = {MAP, NEED_REPLY, sizeof(map)};
    size_t cut = (size_t)(uintptr_t)with;
    memcpy(bytes, &header, sizeof(header));
    memcpy(bytes + sizeof(header), &map, sizeof(map));
    send_bytes(a->channel, bytes, cut, NULL, 0);
    usleep(20000);
    if (try_send_bytes(a->channel, bytes + cut, sizeof(bytes) - cut, &a->file, 1) < 0) {
        return CLOSED;
    }
    return answer_on(a->channel, MAP, PATIENCE_MS);
}

/* ---- what it is ---- */

typedef int (*maker)(arena *a);

static int refused_kind(arena *a, const void *with, uint64_t flags)
{
    int fd = ((maker)(uintptr_t)with)(a);
    if (fd < 0) {
        snprintf(a->why, sizeof(a->why), "this machine has none: %s", strerror(errno));
        return SKIPPED;
    }
    VhostUserMMap map = usual_map();
    map.flags = flags;
    map.fd_offset = 0;
    int result = ask_map(a, &map, fd);
    close(fd);
    return result;
}

static int to_read(arena *a, const void *with) { return refused_kind(a, with, 0); }
static int to_write(arena *a, const void *with) { return refused_kind(a, with, VHOST_USER_FLAG_MAP_RW); }

static int make_pipe(arena *a)
{
    int ends[2];
    (void)a;
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    close(ends[1]);
    return ends[0];
}

static int socket_of(int type)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) == 0);
    close(pair[1]);
    return pair[0];
}

static int make_stream(arena *a) { return (void)a, socket_of(SOCK_STREAM); }
static int make_datagram(arena *a) { return (void)a, socket_of(SOCK_DGRAM); }
static int make_directory(arena *a) { return (void)a, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }
static int make_eventfd(arena *a) { return (void)a, eventfd(0, EFD_CLOEXEC); }
static int make_epoll(arena *a) { return (void)a, epoll_create1(EPOLL_CLOEXEC); }
static int make_timer(arena *a) { return (void)a, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); }
static int make_inotify(arena *a) { return (void)a, inotify_init1(IN_CLOEXEC); }

static int make_signalfd(arena *a)
{
    sigset_t none;
    (void)a;
    sigemptyset(&none);
    return signalfd(-1, &none, SFD_CLOEXEC);
}

static int make_own_channel(arena *a) { return dup(a->channel); }
static int make_null(arena *a) { return (void)a, open("/dev/null", O_RDWR | O_CLOEXEC); }
static int make_zero(arena *a) { return (void)a, open("/dev/zero", O_RDWR | O_CLOEXEC); }
static int make_full(arena *a) { return (void)a, open("/dev/full", O_RDWR | O_CLOEXEC); }
static int make_mem(arena *a) { return (void)a, open("/proc/self/mem", O_RDWR | O_CLOEXEC); }
static int make_proc(arena *a) { return (void)a, open("/proc/self/maps", O_RDONLY | O_CLOEXEC); }
static int make_sys(arena *a) { return (void)a, open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC); }

/* The victim's memory file again, opened in another way. */
static int reopened(arena *a, int flags)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", a->file);
    return open(path, flags | O_CLOEXEC);
}

static int make_path(arena *a) { return reopened(a, O_PATH); }
static int make_read_only(arena *a) { return reopened(a, O_RDONLY); }
static int make_write_only(arena *a) { return reopened(a, O_WRONLY); }

static int sealed(int seals)
{
    int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)FILE_SIZE) == 0);
    CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static int make_seal_seal(arena *a) { return (void)a, sealed(F_SEAL_SEAL); }
static int make_seal_shrink(arena *a) { return (void)a, sealed(F_SEAL_SHRINK); }
static int make_seal_grow(arena *a) { return (void)a, sealed(F_SEAL_GROW); }
static int make_seal_write(arena *a) { return (void)a, sealed(F_SEAL_WRITE); }
static int make_seal_future(arena *a) { return (void)a, sealed(F_SEAL_FUTURE_WRITE); }
static int make_seal_all(arena *a) { return (void)a, sealed(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE); }

static int of_size(uint64_t size)
{
    int fd = memfd_create("sized", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    return fd;
}

static int make_empty(arena *a) { return (void)a, of_size(0); }
static int make_one_byte(arena *a) { return (void)a, of_size(1); }
static int make_page(arena *a) { return (void)a, of_size(PAGE); }
static int make_page_and_a_byte(arena *a) { return (void)a, of_size(PAGE + 1); }

static int make_regular(arena *a)
{
    char path[] = "/tmp/hostile-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    (void)a;
    CHECK(fd >= 0 && unlink(path) == 0 && ftruncate(fd, (off_t)FILE_SIZE) == 0);
    return fd;
}

static int make_hugetlb(arena *a)
{
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    (void)a;
    return fd;
}

static int make_udmabuf(arena *a)
{
    struct {
        uint32_t memfd, flags;
        uint64_t offset, size;
    } create = {.size = FILE_SIZE};
    int device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), memory;
    (void)a;
    if (device < 0) {
        return -1;
    }
    memory = sealed(F_SEAL_SHRINK);
    create.memfd = (uint32_t)memory;
    int fd = ioctl(device, _IOW('u', 0x42, create), &create);
    close(memory);
    close(device);
    return fd;
}

/* A sparse file of the maximum size. The request is for a page at the very end. */
static int sparse(arena *a, const void *with)
{
    uint64_t size = INT64_MAX & ~(PAGE - 1), back = (uint64_t)(uintptr_t)with;
    int fd = of_size(size);
    VhostUserMMap map = {.shm_offset = 4 * PAGE, .len = PAGE, .fd_offset = size - back * PAGE};
    int result = ask_map(a, &map, fd);
    close(fd);
    return result;
}

/* Another thread takes the file's pages away and gives them back, while the file is mapped again and again. */
static void *shake(void *user_data)
{
    arena *a = user_data;
    while (!__atomic_load_n(&a->stop, __ATOMIC_ACQUIRE)) {
        CHECK(ftruncate(a->file, 0) == 0 && ftruncate(a->file, (off_t)FILE_SIZE) == 0);
    }
    return NULL;
}

static int shaken(arena *a, const void *with)
{
    arena shaker = {.file = memfd_of(FILE_SIZE, 1)};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, shake, &shaker) == 0);
    for (int i = 0; i < steps(500); i++) {
        VhostUserMMap map = usual_map();
        map.flags = (uint64_t)(uintptr_t)with;
        int result = ask_map(a, &map, shaker.file);
        CHECK(result == 0 || result == -EOVERFLOW);
        if (result == 0) {
            EQ(ask(a, UNMAP, NEED_REPLY, &map, sizeof(map), NULL, 0), 0);
        }
    }
    a->mapped.len = 0;
    __atomic_store_n(&shaker.stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    close(shaker.file);
    return 0;
}

/* A closed descriptor cannot be sent: the kernel refuses it, and the victim sees no message. */
static int closed_fd(arena *a, const void *with)
{
    VhostUserMMap map = usual_map();
    int fd = dup(a->file);
    (void)with;
    close(fd);
    CHECK(try_send_message(a->channel, MAP, NEED_REPLY, &map, sizeof(map), &fd, 1) == -1 && errno == EBADF);
    return SILENT;
}

#define KIND(name, outcome, how, make)                                                                                         \
    {                                                                                                                          \
        "kind: " name, outcome, how, (const void *)make, NULL                                                                  \
    }

static const hostile_case cases[] = {
    {"fds: none on a map", -EINVAL, with_fds, (void *)0, NULL},
    {"fds: one", 0, with_fds, (void *)1, NULL},
    {"fds: two", -EINVAL, with_fds, (void *)2, NULL},
    {"fds: seven", -EINVAL, with_fds, (void *)7, NULL},
    {"fds: eight", -EINVAL, with_fds, (void *)8, NULL},
    {"fds: nine", -EINVAL, with_fds, (void *)9, NULL},
    {"fds: sixteen", -EINVAL, with_fds, (void *)16, NULL},
    {"fds: one that is closed", SILENT, closed_fd, NULL, NULL},
    {"fds: one on an unmap", -EINVAL, unmap_with_fds, (void *)1, NULL},
    {"fds: two on an unmap", -EINVAL, unmap_with_fds, (void *)2, NULL},
    {"fds: one on a request that nobody knows", -EOPNOTSUPP, unknown_with_fds, (void *)1, NULL},
    {"fds: eight on a request that nobody knows", -EOPNOTSUPP, unknown_with_fds, (void *)8, NULL},
    {"fds: on the second byte of a map", CLOSED, late_fd, (void *)1, NULL},
    {"fds: in the middle of a header", CLOSED, late_fd, (void *)6, NULL},
    {"fds: on the payload of a map", CLOSED, late_fd, (void *)12, NULL},
    {"fds: on the last byte of a map", CLOSED, late_fd, (void *)51, NULL},
    KIND("a pipe", -ENODEV, to_read, make_pipe),
    KIND("a stream socket", -ENODEV, to_read, make_stream),
    KIND("a datagram socket", -ENODEV, to_read, make_datagram),
    KIND("the channel itself", -ENODEV, to_read, make_own_channel),
    KIND("a directory", -ENODEV, to_read, make_directory),
    KIND("an eventfd", -ENODEV, to_read, make_eventfd),
    KIND("an epoll", -ENODEV, to_read, make_epoll),
    KIND("a timer", -ENODEV, to_read, make_timer),
    KIND("a signalfd", -ENODEV, to_read, make_signalfd),
    KIND("an inotify", -ENODEV, to_read, make_inotify),
    KIND("O_PATH", -EBADF, to_read, make_path),
    KIND("/dev/null", -ENODEV, to_read, make_null),
    KIND("/dev/zero to read", 0, to_read, make_zero),
    KIND("/dev/zero to write", 0, to_write, make_zero),
    KIND("/dev/full", -ENODEV, to_read, make_full),
    KIND("memory of a process", -EOVERFLOW, to_read, make_mem),
    KIND("a file of procfs", -EOVERFLOW, to_read, make_proc),
    KIND("a file of sysfs", -EOVERFLOW, to_read, make_sys),
    KIND("read-only, to read", 0, to_read, make_read_only),
    KIND("read-only, to write", -EACCES, to_write, make_read_only),
    KIND("write-only, to read", -EACCES, to_read, make_write_only),
    KIND("write-only, to write", -EACCES, to_write, make_write_only),
    KIND("sealed against seals, to write", 0, to_write, make_seal_seal),
    KIND("sealed against shrinking, to write", 0, to_write, make_seal_shrink),
    KIND("sealed against growing, to write", 0, to_write, make_seal_grow),
    KIND("sealed against writing, to read", 0, to_read, make_seal_write),
    KIND("sealed against writing, to write", -EPERM, to_write, make_seal_write),
    KIND("sealed against future writing, to read", 0, to_read, make_seal_future),
    KIND("sealed against future writing, to write", -EPERM, to_write, make_seal_future),
    KIND("with every seal, to read", 0, to_read, make_seal_all),
    KIND("with every seal, to write", -EPERM, to_write, make_seal_all),
    KIND("an empty file", -EOVERFLOW, to_read, make_empty),
    KIND("a file of one byte for two pages", -EOVERFLOW, to_read, make_one_byte),
    KIND("a file of a page for two", -EOVERFLOW, to_read, make_page),
    KIND("a file of a page and a byte for two pages", 0, to_read, make_page_and_a_byte),
    KIND("a regular file", 0, to_write, make_regular),
    KIND("hugetlb at places that are no multiples of its pages", -EINVAL, to_read, make_hugetlb),
    KIND("a dma-buf", 0, to_read, make_udmabuf),
    {"file: 8 EiB, its last page", 0, sparse, (void *)1, NULL},
    {"file: 8 EiB, beyond its end", -EOVERFLOW, sparse, (void *)0, NULL},
    {"file: truncated and back while it is mapped to read", 0, shaken, (void *)0, NULL},
    {"file: truncated and back while it is mapped to write", 0, shaken, (void *)1, NULL},
};

int main(void)
{
    CASES_BEGIN(G_N_ELEMENTS(cases));
    run_cases(cases, G_N_ELEMENTS(cases));
    return failures != 0;
}
