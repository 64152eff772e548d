/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * file-window-driver SOCKET FILE...: a VMM without a guest. It connects to the device of file-window.c, gives it memory and a
 * virtqueue, and acts as the driver. The FILEs are the same as the device's. It asks for ranges of them, and compares shared
 * memory with the files. The exit status is 0 only if everything was right.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vhushmem/vhushmem.h>

#include "file-window.h"

#define RAM_ADDR UINT64_C(0x100000) /* the guest address of the memory */
#define RAM_SIZE 0x10000
#define QUEUE_SIZE 16
#define PATIENCE_MS 60000

/* Offsets in that memory. */
enum { DESC = 0, AVAIL = 0x1000, USED = 0x2000, REQUEST = 0x3000, REPLY = 0x3100 };

struct descriptor {
    uint64_t addr;
    uint32_t len;
    uint16_t flags; /* 1: another descriptor follows; 2: the device may write */
    uint16_t next;
};

struct vmm {
    vhushmem_frontend *frontend;
    vhushmem_region *region;
    uint8_t *ram;
    int ram_fd, kick, call;
    uint16_t asked;
};

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("driver  FAILED: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* ---- the VMM ---- */

static void set_up(struct vmm *vmm, const char *socket_path)
{
    vhushmem_guest_memory memory = {.struct_size = sizeof(memory), .guest_addr = RAM_ADDR, .size = RAM_SIZE};
    vhushmem_queue queue = {.struct_size = sizeof(queue), .size = QUEUE_SIZE};
    GError *error = NULL;

    vmm->ram_fd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (vmm->ram_fd < 0 || ftruncate(vmm->ram_fd, RAM_SIZE) < 0) {
        fail("memory of the guest: %s", strerror(errno));
    }
    vmm->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vmm->ram_fd, 0);
    vmm->kick = eventfd(0, EFD_CLOEXEC);
    vmm->call = eventfd(0, EFD_CLOEXEC);
    if (vmm->ram == MAP_FAILED || vmm->kick < 0 || vmm->call < 0) {
        fail("memory or eventfds of the guest: %s", strerror(errno));
    }
    memory.host = vmm->ram;
    memory.fd = vmm->ram_fd;
    queue.desc = vmm->ram + DESC;
    queue.avail = vmm->ram + AVAIL;
    queue.used = vmm->ram + USED;
    queue.kick_fd = vmm->kick;
    queue.call_fd = vmm->call;

    vmm->frontend = vhushmem_frontend_new(socket_path, NULL, &error);
    if (vmm->frontend == NULL || vhushmem_frontend_connect(vmm->frontend, PATIENCE_MS, &error) < 0 ||
        vhushmem_frontend_set_memory(vmm->frontend, &memory, 1, &error) < 0 ||
        /* only VIRTIO_F_VERSION_1: no indirect descriptors, no event indices */
        vhushmem_frontend_start_device(vmm->frontend, UINT64_C(1) << 32, &queue, 1, &error) < 0) {
        fail("%s", error->message);
    }
    vmm->region = vhushmem_device_find_region(vhushmem_frontend_device(vmm->frontend), FILE_WINDOW_REGION);
    if (vmm->region == NULL) {
        fail("the device has no region %d", FILE_WINDOW_REGION);
    }
}

static void tear_down(struct vmm *vmm)
{
    uint16_t base;
    GError *error = NULL;

    if (vhushmem_frontend_stop_device(vmm->frontend, &base, 1, &error) != 1 || base != vmm->asked) {
        fail("stopping: %s", error != NULL ? error->message : "the queue did not stop where it should");
    }
    vhushmem_frontend_free(vmm->frontend);
    munmap(vmm->ram, RAM_SIZE);
    close(vmm->ram_fd);
    close(vmm->kick);
    close(vmm->call);
}

/** Serve the device until it has signalled the guest. */
static void wait_for_call(struct vmm *vmm)
{
    struct pollfd ready[2] = {{.fd = vmm->call, .events = POLLIN},
                              {.fd = vhushmem_frontend_get_fd(vmm->frontend), .events = POLLIN}};
    uint64_t count;

    while (poll(ready, 2, PATIENCE_MS) > 0) {
        if ((ready[1].revents & POLLIN) != 0 && vhushmem_frontend_dispatch(vmm->frontend) < 0) {
            fail("the device went away");
        }
        if ((ready[0].revents & POLLIN) != 0) {
            if (read(vmm->call, &count, sizeof(count)) != sizeof(count)) {
                fail("reading the device's signal: %s", strerror(errno));
            }
            return;
        }
    }
    fail("the device gave no answer in time");
}

/* ---- the driver ---- */

static int32_t ask(struct vmm *vmm, uint32_t op, uint32_t file, uint64_t offset, uint64_t len, uint64_t *shm_offset)
{
    struct file_window_request request = {htole32(op), htole32(file), htole64(offset), htole64(len)};
    struct file_window_reply reply;
    struct descriptor chain[2] = {
        {htole64(RAM_ADDR + REQUEST), htole32(sizeof(request)), htole16(1), htole16(1)},
        {htole64(RAM_ADDR + REPLY), htole32(sizeof(reply)), htole16(2), 0},
    };
    uint16_t *avail = (uint16_t *)(vmm->ram + AVAIL), *used = (uint16_t *)(vmm->ram + USED);
    uint64_t one = 1;

    memcpy(vmm->ram + REQUEST, &request, sizeof(request));
    memset(vmm->ram + REPLY, 0xff, sizeof(reply));
    memcpy(vmm->ram + DESC, chain, sizeof(chain));
    avail[2 + vmm->asked % QUEUE_SIZE] = 0; /* the chain begins at descriptor 0 */
    vmm->asked++;
    __atomic_store_n(&avail[1], htole16(vmm->asked), __ATOMIC_RELEASE);
    if (write(vmm->kick, &one, sizeof(one)) != sizeof(one)) {
        fail("kicking the device: %s", strerror(errno));
    }
    wait_for_call(vmm);
    if (le16toh(__atomic_load_n(&used[1], __ATOMIC_ACQUIRE)) != vmm->asked) {
        fail("the device signalled, and gave nothing back");
    }
    memcpy(&reply, vmm->ram + REPLY, sizeof(reply));
    if (shm_offset != NULL) {
        *shm_offset = le64toh(reply.shm_offset);
    }
    return (int32_t)le32toh((uint32_t)reply.result);
}

/** Ask for a range of a file, and compare. @returns where the range is in the region. */
static uint64_t map_and_compare(struct vmm *vmm, int fd, uint32_t file, uint64_t offset, uint64_t len)
{
    uint64_t at = UINT64_MAX;
    uint8_t *seen = malloc(len), *expected = calloc(1, len);
    GError *error = NULL;
    int32_t result = ask(vmm, FILE_WINDOW_MAP, file, offset, len, &at);

    if (result != 0 || seen == NULL || expected == NULL) {
        fail("the device answers %s", strerror(-result));
    }
    if (vhushmem_region_read(vmm->region, at, seen, len, &error) < 0) {
        fail("%s", error->message);
    }
    /* After the end of the file, its last page shows zeros. */
    if (pread(fd, expected, len, (off_t)offset) < 0 || memcmp(seen, expected, len) != 0) {
        fail("file %" PRIu32 " looks different at 0x%" PRIx64 " of shared memory", file, at);
    }
    printf("driver  file %" PRIu32 ", 0x%" PRIx64 " bytes at 0x%" PRIx64 ": seen at 0x%" PRIx64 " of shared memory\n", file,
           len, offset, at);
    free(seen);
    free(expected);
    return at;
}

static void expect(struct vmm *vmm, int32_t wanted, uint32_t op, uint32_t file, uint64_t offset, uint64_t len)
{
    int32_t result = ask(vmm, op, file, offset, len, NULL);

    if (result != wanted) {
        fail("the device answers %s, not %s", strerror(-result), strerror(-wanted));
    }
}

static void drive(struct vmm *vmm, char **files, uint32_t nfiles)
{
    uint64_t at[2];

    for (uint32_t file = 0; file < nfiles; file++) {
        int fd = open(files[file], O_RDONLY | O_CLOEXEC);
        struct stat status;
        uint64_t whole;

        if (fd < 0 || fstat(fd, &status) < 0) {
            fail("%s: %s", files[file], strerror(errno));
        }
        whole = ((uint64_t)status.st_size + FILE_WINDOW_PAGE - 1) / FILE_WINDOW_PAGE * FILE_WINDOW_PAGE;
        if (whole == 0 || whole > FILE_WINDOW_REGION_SIZE / 2) {
            fail("%s has %jd bytes: 1 to %" PRIu64 " will do", files[file], (intmax_t)status.st_size,
                 FILE_WINDOW_REGION_SIZE / 2);
        }
        at[0] = map_and_compare(vmm, fd, file, 0, whole);
        at[1] = map_and_compare(vmm, fd, file, whole - FILE_WINDOW_PAGE, FILE_WINDOW_PAGE);
        expect(vmm, -EOVERFLOW, FILE_WINDOW_MAP, file, whole, FILE_WINDOW_PAGE);
        expect(vmm, -EINVAL, FILE_WINDOW_MAP, file, 1, FILE_WINDOW_PAGE);
        expect(vmm, -ENOENT, FILE_WINDOW_UNMAP, 0, at[0], whole + FILE_WINDOW_PAGE);
        expect(vmm, 0, FILE_WINDOW_UNMAP, 0, at[0], whole);
        expect(vmm, -ENOENT, FILE_WINDOW_UNMAP, 0, at[0], whole);
        expect(vmm, 0, FILE_WINDOW_UNMAP, 0, at[1], FILE_WINDOW_PAGE);
        close(fd);
    }
    expect(vmm, -ENOENT, FILE_WINDOW_MAP, nfiles, 0, FILE_WINDOW_PAGE);
    expect(vmm, -EINVAL, FILE_WINDOW_MAP, 0, 0, 0);
    expect(vmm, -EINVAL, FILE_WINDOW_MAP, 0, 0, FILE_WINDOW_REGION_SIZE + FILE_WINDOW_PAGE);
    expect(vmm, -EOPNOTSUPP, 77, 0, 0, 0);
}

int main(int argc, char **argv)
{
    struct vmm vmm = {.asked = 0};

    if (argc < 3) {
        fprintf(stderr, "usage: file-window-driver SOCKET FILE...\n");
        return 2;
    }
    set_up(&vmm, argv[1]);
    drive(&vmm, argv + 2, (uint32_t)(argc - 2));
    if (vhushmem_region_mapping_count(vmm.region) != 0) {
        fail("something is still mapped");
    }
    printf("driver  %u requests, all as it should be\n", vmm.asked);
    tear_down(&vmm);
    return 0;
}
