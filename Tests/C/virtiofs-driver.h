/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_VIRTIOFS_DRIVER_H
#define VHUSHMEM_TESTS_VIRTIOFS_DRIVER_H

/*
 * A front-end of the library for the process of virtiofs-process.h, and the guest's kernel, played
 * by the test: it speaks FUSE over the queues, byte by byte if the test wants.
 */

#include "virtiofs-process.h"

/* ---- the front-end ---- */

static inline void vfs_pump(vfs *v) { vhushmem_frontend_dispatch(v->frontend); }

static inline void vfs_connect_with(vfs *v, const vhushmem_frontend_options *options)
{
    v->frontend = some(vhushmem_frontend_new(v->socket, options, &error));
    ok(vhushmem_frontend_connect(v->frontend, PATIENCE_MS, &error));
    v->region = vhushmem_device_find_region(vhushmem_frontend_device(v->frontend), 0);
}

static inline vhushmem_region_options dax_options(void)
{
    vhushmem_region_options region = {.struct_size = sizeof(region)};
    ok(vhushmem_region_options_for_dax(&region));
    return region;
}

static inline void vfs_connect(vfs *v)
{
    vhushmem_region_options region = dax_options();
    vhushmem_frontend_options options = {
        .struct_size = sizeof(options), .num_queues = v->queues, .region = &region};
    vfs_connect_with(v, &options);
}

static inline void vfs_memory(vfs *v)
{
    v->ram_fd = memfd_create("ram", MFD_CLOEXEC);
    CHECK(v->ram_fd >= 0 && ftruncate(v->ram_fd, GUEST_RAM_SIZE) == 0);
    v->ram = mmap(NULL, GUEST_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->ram_fd, 0);
    CHECK(v->ram != MAP_FAILED);
    for (unsigned i = 0; i < MOST_QUEUES; i++) {
        v->rings[i].kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        v->rings[i].call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
}

static inline descriptor *desc_of(vfs *v, unsigned queue)
{
    return (descriptor *)(v->ram + queue * RING_BYTES);
}
static inline uint16_t *avail_of(vfs *v, unsigned queue)
{
    return (uint16_t *)(v->ram + queue * RING_BYTES + 0x1000);
}
static inline uint16_t *used_of(vfs *v, unsigned queue)
{
    return (uint16_t *)(v->ram + queue * RING_BYTES + 0x2000);
}

static inline void vfs_run(vfs *v, const uint16_t *bases)
{
    vhushmem_guest_memory memory = {.struct_size = sizeof(memory),
                                    .guest_addr = GUEST_RAM,
                                    .size = GUEST_RAM_SIZE,
                                    .host = v->ram,
                                    .fd = v->ram_fd};
    vhushmem_queue queues[MOST_QUEUES];
    for (unsigned i = 0; i < v->queues; i++) {
        queues[i] = (vhushmem_queue){.struct_size = sizeof(queues[i]),
                                     .size = RING_SIZE,
                                     .base = bases != NULL ? bases[i] : 0,
                                     .desc = desc_of(v, i),
                                     .avail = avail_of(v, i),
                                     .used = used_of(v, i),
                                     .kick_fd = v->rings[i].kick,
                                     .call_fd = v->rings[i].call};
        if (bases == NULL) {
            memset(v->ram + i * RING_BYTES, 0, RING_BYTES);
            v->rings[i].asked = v->rings[i].taken = 0;
        }
    }
    ok(vhushmem_frontend_set_memory(v->frontend, &memory, 1, &error));
    ok(vhushmem_frontend_start_device(v->frontend, UINT64_C(1) << 32 | UINT64_C(1) << 28, queues,
                                      v->queues, &error));
}

/* ---- requests ---- */

/* Makes a chain available and tells the device. */
static inline void vfs_offer(vfs *v, unsigned queue, uint16_t head)
{
    uint16_t *avail = avail_of(v, queue);
    uint64_t one = 1;
    avail[2 + v->rings[queue].asked % RING_SIZE] = head;
    __atomic_store_n(&avail[1], ++v->rings[queue].asked, __ATOMIC_RELEASE);
    CHECK(write(v->rings[queue].kick, &one, sizeof(one)) == sizeof(one));
}

static inline bool vfs_has_answer(vfs *v, unsigned queue)
{
    return __atomic_load_n(&used_of(v, queue)[1], __ATOMIC_ACQUIRE) != v->rings[queue].taken;
}

/* The head of the next chain that comes back; `written` receives how much. */
static inline uint32_t vfs_take(vfs *v, unsigned queue, uint32_t *written)
{
    struct pollfd ready[2] = {{.fd = v->rings[queue].call, .events = POLLIN},
                              {.fd = vhushmem_frontend_get_fd(v->frontend), .events = POLLIN}};
    uint64_t count;
    STEP_UNTIL(vfs_has_answer(v, queue), poll(ready, 2, 100);
               if (ready[1].revents != 0) vfs_pump(v); if (ready[0].revents != 0)
                   CHECK(read(ready[0].fd, &count, 8) == 8 || errno == EAGAIN);
               CHECK(waitpid(v->pid, NULL, WNOHANG) == 0));
    const uint32_t *entry =
        (const uint32_t *)(used_of(v, queue) + 2) + 2 * (v->rings[queue].taken++ % RING_SIZE);
    if (written != NULL) {
        *written = entry[1];
    }
    return entry[0];
}

/*
 * A chain of one piece to read and one to write, at descriptor `at` and the next; of 0 bytes: there
 * is none.
 */
static inline void vfs_chain(vfs *v, unsigned queue, unsigned at, uint64_t in, uint32_t in_size,
                             uint64_t out, uint32_t out_size)
{
    descriptor *d = desc_of(v, queue) + at;
    d[0] = (descriptor){GUEST_RAM + in, in_size, out_size > 0 ? NEXT : 0, (uint16_t)(at + 1)};
    d[1] = (descriptor){GUEST_RAM + out, out_size, WRITE, 0};
    if (in_size == 0) {
        d[0] = d[1];
    }
}

static inline uint64_t vfs_header(vfs *v, uint8_t *at, uint32_t opcode, uint64_t node, size_t size)
{
    struct fuse_in_header head = {.len = (uint32_t)(sizeof(head) + size),
                                  .opcode = opcode,
                                  .unique = ++v->unique,
                                  .nodeid = node,
                                  .uid = geteuid(),
                                  .gid = getegid(),
                                  .pid = 1};
    memcpy(at, &head, sizeof(head));
    return head.unique;
}

/*
 * What came back for ask(): the header is checked, and the body is at v->body. Returns 0 or a
 * negative errno.
 */
static inline int vfs_answer(vfs *v, uint64_t unique)
{
    memcpy(&v->head, v->ram + ANSWER_AT, sizeof(v->head));
    v->body = v->ram + ANSWER_AT + sizeof(v->head);
    EQ(v->head.unique, unique);
    EQ(v->head.len, v->written);
    CHECK(v->head.error <= 0 && v->head.error > -512);
    CHECK(v->head.error == 0 || v->head.len == sizeof(v->head));
    return v->head.error;
}

/*
 * A request in two parts behind the header, and room for an answer's body. Returns 0 or a negative
 * errno.
 */
static inline int vfs_ask2(vfs *v, uint32_t opcode, uint64_t node, const void *one, size_t one_size,
                           const void *two, size_t two_size, uint32_t room)
{
    uint8_t *at = v->ram + REQUEST_AT;
    uint64_t unique = vfs_header(v, at, opcode, node, one_size + two_size);
    if (one_size > 0) {
        memcpy(at + sizeof(struct fuse_in_header), one, one_size);
    }
    if (two_size > 0) {
        memcpy(at + sizeof(struct fuse_in_header) + one_size, two, two_size);
    }
    memset(v->ram + ANSWER_AT, 0xee, sizeof(v->head) + room);
    vfs_chain(v, 1, 0, REQUEST_AT, (uint32_t)(sizeof(struct fuse_in_header) + one_size + two_size),
              ANSWER_AT, (uint32_t)(sizeof(v->head) + room));
    vfs_offer(v, 1, 0);
    EQ(vfs_take(v, 1, &v->written), 0);
    return vfs_answer(v, unique);
}

#define BODY(v, type) ((const type *)(v)->body)

static inline int vfs_ask(vfs *v, uint32_t opcode, uint64_t node, const void *in, size_t size,
                          uint32_t room)
{
    return vfs_ask2(v, opcode, node, in, size, NULL, 0, room);
}

/* A request of a fixed part and a name. */
static inline int vfs_name(vfs *v, uint32_t opcode, uint64_t node, const void *in, size_t size,
                           const char *name)
{
    return vfs_ask2(v, opcode, node, in, size, name, strlen(name) + 1, 512);
}

static inline void vfs_init(vfs *v)
{
    struct fuse_init_in in = {.major = 7,
                              .minor = 38,
                              .max_readahead = 1 << 20,
                              .flags = UINT32_MAX & ~(UINT32_C(1) << 31),
                              .flags2 = FUSE_HAS_INODE_DAX >> 32};
    ok(vfs_ask(v, FUSE_INIT, 0, &in, sizeof(in), sizeof(v->init)));
    memcpy(&v->init, v->body, sizeof(v->init));
}

#endif
