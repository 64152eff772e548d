/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk in a file: device-blk SOCKET FILE. */
#include "device.h"

enum { READ = 0, WRITE = 1, FLUSH = 4, GET_ID = 8, SECTOR = 512, QUEUES = 2, MOST = 4 << 20 };
enum { DONE = 0, FAILED = 1, UNKNOWN = 2 };

/* The known part of VIRTIO's configuration space. The rest exists, since QEMU asks for everything that it knows. */
static struct {
    uint64_t capacity;
    uint32_t size_max, seg_max, geometry, blk_size;
    uint8_t topology[8], writeback, unused;
    uint16_t num_queues;
    uint8_t rest[96];
} __attribute__((packed)) config = {.seg_max = 126, .blk_size = SECTOR, .num_queues = QUEUES};

static uint8_t transfer(struct device *device, uint32_t type, uint64_t sector, vhushmem_chain *chain, uint64_t size)
{
    static uint8_t bytes[MOST];

    if (size > MOST || sector > device->size / SECTOR || size > device->size - sector * SECTOR) {
        return FAILED;
    }
    if (type == WRITE) {
        vhushmem_chain_read(chain, 16, bytes, size);
        return pwrite(device->file, bytes, size, (off_t)(sector * SECTOR)) == (ssize_t)size ? DONE : FAILED;
    }
    if (pread(device->file, bytes, size, (off_t)(sector * SECTOR)) != (ssize_t)size) {
        return FAILED;
    }
    vhushmem_chain_write(chain, 0, bytes, size);
    return DONE;
}

static int64_t serve(struct device *device, unsigned queue, vhushmem_chain *chain)
{
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } request;
    uint64_t room = vhushmem_chain_writable_size(chain);
    uint8_t status = UNKNOWN;

    (void)queue;
    if (room == 0 || vhushmem_chain_read(chain, 0, &request, sizeof(request)) < sizeof(request)) {
        return 0;
    }
    room--; /* its last byte is the status */
    if (request.type == READ) {
        status = transfer(device, READ, request.sector, chain, room);
    } else if (request.type == WRITE) {
        status = transfer(device, WRITE, request.sector, chain, vhushmem_chain_readable_size(chain) - sizeof(request));
    } else if (request.type == FLUSH) {
        status = fdatasync(device->file) == 0 ? DONE : FAILED;
    } else if (request.type == GET_ID) {
        vhushmem_chain_write(chain, 0, "vhushmem-interop", room < 17 ? room : 17);
        status = DONE;
    }
    vhushmem_chain_write(chain, room, &status, 1);
    return (int64_t)room + 1;
}

int main(int argc, char **argv)
{
    /* SEG_MAX, BLK_SIZE, FLUSH, MQ */
    struct device device = {.features = BIT(2) | BIT(6) | BIT(9) | BIT(12),
                            .queues = QUEUES,
                            .config = &config,
                            .config_size = sizeof(config),
                            .serve = serve};

    if (argc < 3) {
        return 2;
    }
    device_open(&device, argv[argc - 1]);
    config.capacity = device.size / SECTOR;
    return device_run(&device, argc, argv);
}
