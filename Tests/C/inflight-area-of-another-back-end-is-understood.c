/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The area for requests in flight says how many descriptors it has room for. Some back-ends write the ring's size there and
 * some the area's: the library reads both. Nobody can truncate its file under the process that has it mapped.
 */
#include "bare-queue.h"

#define AREA 256  /* entries; the ring has 16 */
#define PART 4160 /* 16 bytes, and 16 for each, up to a multiple of 64 */

/* Starts a queue from the area in `fd`, and takes the chains that it has as begun. */
static int taken(bare_queue *b, int fd)
{
    int count = 0;
    uint64_t area[3] = {PART, 0, 1 | (uint64_t)AREA << 16};
    bare_queue_connect(b, BARE_FEATURES);
    tell_ram(b);
    EQ(tell(b, SET_INFLIGHT_FD, area, sizeof(area), fd), 0);
    start_queue(b, 3);
    for (vhushmem_chain *chain; (chain = vhushmem_backend_pop(b->r.backend, 0, &error)) != NULL; count++) {
        vhushmem_chain_free(chain);
    }
    CHECK(error == NULL);
    backend_rig_close(&b->r);
    return count;
}

int main(void)
{
    bare_queue b;
    bare_queue_init(&b);
    for (uint16_t head = 0; head < 16; head++) {
        set_descriptor(&b, head, BUFFERS, 8, 0, 0);
    }
    ((uint16_t *)(b.ram + AVAIL))[1] = 3; /* all offered chains were taken */
    const struct {
        uint16_t version, desc_num;
        int taken;
    } areas[] = {{1, 16, 3}, {1, AREA, 3}, {1, 0, 3}, {0, 16, 0}, {0, 0, 0}};
    for (size_t i = 0; i < 5; i++) {
        uint8_t part[PART] = {0};
        memcpy(part + 8, &areas[i].version, 2);
        memcpy(part + 10, &areas[i].desc_num, 2);
        for (int head = 2; head < 11; head += 4) {
            part[16 + 16 * head] = 1;
        }
        int fd = memfd_of(PART, 0);
        CHECK(pwrite(fd, part, PART, 0) == PART);
        EQ(taken(&b, fd), areas[i].taken);
        close(fd);
    }

    /* The back-end ended after it had told the driver of chains 6 and then 2, and before it had recorded that in the area:
       it had given both back in one go. */
    uint8_t part[PART] = {0};
    const uint16_t version = 1, size = 16, last = 6, linked = 2;
    memcpy(part + 8, &version, 2);
    memcpy(part + 10, &size, 2);
    memcpy(part + 12, &last, 2);
    for (int head = 2; head < 11; head += 4) {
        part[16 + 16 * head] = 1;
    }
    memcpy(part + 16 + 16 * 6 + 6, &linked, 2);
    ((uint16_t *)(b.ram + USED))[1] = 2;
    int file = memfd_of(PART, 0);
    CHECK(pwrite(file, part, PART, 0) == PART);
    EQ(taken(&b, file), 1);
    CHECK(pread(file, part, PART, 0) == PART);
    EQ(part[16 + 16 * 6], 0);
    EQ(part[16 + 16 * 2], 0);
    EQ(part[16 + 16 * 10], 1);
    close(file);
    /* An area that links in a circle is not read to the end. Nothing else is harmed. */
    part[16 + 16 * 2] = 1;
    memcpy(part + 14, &(uint16_t){3}, 2);
    memcpy(part + 16 + 16 * 2 + 6, &last, 2);
    file = memfd_of(PART, 0);
    CHECK(pwrite(file, part, PART, 0) == PART);
    EQ(taken(&b, file), 1);
    close(file);
    ((uint16_t *)(b.ram + USED))[1] = 0;

    const uint64_t wanted[3] = {0, 0, 1 | (uint64_t)AREA << 16};
    message m;
    bare_queue_connect(&b, BARE_FEATURES);
    send_message(b.r.main, GET_INFLIGHT_FD, 0x9, wanted, sizeof(wanted), NULL, 0);
    pump_backend(b.r.backend);
    EQ(receive(b.r.main, &m, PATIENCE_MS), 1);
    EQ(m.fd_count, 1);
    EQ(fcntl(m.fds[0], F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), F_SEAL_SHRINK | F_SEAL_GROW);
    CHECK(ftruncate(m.fds[0], 0) == -1);
    close(m.fds[0]);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    return 0;
}
