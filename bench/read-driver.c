/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: read-driver SOCKET BLOCKS DEPTH READS. A driver without a guest, for any vhost-user-blk. It reads random blocks of 4
 * KiB, DEPTH at a time. It prints the nanoseconds of each read: `read NS`.
 */
#include "measure.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <vhushmem/vhushmem.h>

#define BLOCK 4096
#define SIZE 128u
#define MOST 32 /* at a time; each has three descriptors */
#define RAM_AT UINT64_C(0x100000)
#define RAM_SIZE 0x100000

enum { DESC = 0, AVAIL = 0x1000, USED = 0x2000, HEADERS = 0x4000, STATUS = 0x6000, BUFFERS = 0x10000 };

struct descriptor {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

struct header {
    uint32_t type, reserved;
    uint64_t sector;
};

struct used {
    uint16_t flags, index;
    struct {
        uint32_t id, len;
    } entries[SIZE];
};

static uint8_t *ram;
static int kick, call;
static uint16_t asked, seen;

static void lay_out(unsigned request)
{
    struct descriptor *d = (struct descriptor *)(void *)(ram + DESC) + 3 * request;
    uint16_t first = (uint16_t)(3 * request);
    d[0] = (struct descriptor){RAM_AT + HEADERS + 16 * request, 16, 1, (uint16_t)(first + 1)};
    d[1] = (struct descriptor){RAM_AT + BUFFERS + BLOCK * request, BLOCK, 3, (uint16_t)(first + 2)};
    d[2] = (struct descriptor){RAM_AT + STATUS + request, 1, 2, 0};
}

static void offer(unsigned request, uint64_t block)
{
    uint16_t *avail = (uint16_t *)(void *)(ram + AVAIL);
    ((struct header *)(void *)(ram + HEADERS))[request] = (struct header){0, 0, block * (BLOCK / 512)};
    ram[STATUS + request] = 0xff;
    avail[2 + asked % SIZE] = (uint16_t)(3 * request);
    __atomic_store_n(&avail[1], ++asked, __ATOMIC_RELEASE);
}

static void signal_device(void)
{
    uint64_t one = 1;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if ((__atomic_load_n((uint16_t *)(void *)(ram + USED), __ATOMIC_RELAXED) & 1) == 0) { /* the device wants a kick */
        MUST(write(kick, &one, sizeof(one)) == sizeof(one));
    }
}

/* Returns how many requests are done. If `goes_on`, it puts in another request for each. */
static unsigned take_back(uint64_t blocks, uint64_t *random, bool goes_on)
{
    struct used *used = (struct used *)(void *)(ram + USED);
    unsigned count = 0;
    while (seen != __atomic_load_n(&used->index, __ATOMIC_ACQUIRE)) {
        unsigned request = used->entries[seen++ % SIZE].id / 3;
        MUST(ram[STATUS + request] == 0);
        if (goes_on) {
            offer(request, next_random(random, blocks));
        }
        count++;
    }
    return count;
}

int main(int argc, char **argv)
{
    MUST(argc == 5);
    uint64_t blocks = number_of(argv[2]), depth = number_of(argv[3]), reads = number_of(argv[4]), random = 1, done = 0, count;
    MUST(depth >= 1 && depth <= MOST);
    int fd = memfd_create("ram", MFD_CLOEXEC);
    MUST(fd >= 0 && ftruncate(fd, RAM_SIZE) == 0);
    ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(ram != MAP_FAILED);
    kick = eventfd(0, EFD_CLOEXEC);
    call = eventfd(0, EFD_CLOEXEC);
    vhushmem_guest_memory memory = {
        .struct_size = sizeof memory, .guest_addr = RAM_AT, .size = RAM_SIZE, .host = ram, .fd = fd};
    vhushmem_queue queue = {.struct_size = sizeof(queue), .size = SIZE, .kick_fd = kick, .call_fd = call};
    queue.desc = ram + DESC;
    queue.avail = ram + AVAIL;
    queue.used = ram + USED;
    GError *error = NULL;
    vhushmem_frontend *frontend = vhushmem_frontend_new(argv[1], NULL, &error);
    if (frontend == NULL || vhushmem_frontend_connect(frontend, 10000, &error) < 0 ||
        vhushmem_frontend_set_memory(frontend, &memory, 1, &error) < 0 ||
        vhushmem_frontend_start_device(frontend, UINT64_C(1) << 32, &queue, 1, &error) < 0) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    for (unsigned i = 0; i < depth; i++) {
        lay_out(i);
        offer(i, next_random(&random, blocks));
    }
    uint64_t began = now_ns();
    signal_device();
    while (done < reads) {
        unsigned back = take_back(blocks, &random, done + depth < reads);
        done += back;
        if (back == 0) {
            /* Some devices make the eventfd non-blocking for both sides. */
            struct pollfd called = {.fd = call, .events = POLLIN};
            MUST(poll(&called, 1, 30000) == 1 && read(call, &count, sizeof(count)) == sizeof(count));
        } else if (done < reads) {
            signal_device();
        }
    }
    printf("read %.1f\n", (double)(now_ns() - began) / (double)done);
    vhushmem_frontend_free(frontend);
    return 0;
}
