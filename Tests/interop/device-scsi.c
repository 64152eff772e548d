/* SPDX-License-Identifier: BSD-3-Clause */
/* A SCSI host with one disk, target 0, unit 0, in a file: device-scsi SOCKET FILE. */
#include "device.h"

enum { CONTROL = 0, EVENTS = 1, SECTOR = 512, REQUEST = 51, RESPONSE = 108, MOST = 1 << 20 };
enum { BAD_TARGET = 3, CHECK_CONDITION = 2, ILLEGAL_REQUEST = 5 };

static uint8_t data[MOST];

static void store32(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* Puts the result for the driver into `data`. Returns how many bytes; negative: the command failed. */
static int64_t carry_out(struct device *device, const uint8_t *cdb, vhushmem_chain *chain)
{
    uint64_t at = SECTOR * ((uint64_t)cdb[2] << 24 | cdb[3] << 16 | cdb[4] << 8 | cdb[5]);
    uint64_t size = SECTOR * (uint64_t)(cdb[7] << 8 | cdb[8]);

    memset(data, 0, SECTOR);
    switch (cdb[0]) {
    case 0x00: /* TEST UNIT READY */
    case 0x1b: /* START STOP UNIT */
    case 0x1e: /* PREVENT ALLOW MEDIUM REMOVAL */
        return 0;
    case 0x35: /* SYNCHRONIZE CACHE */
        return fdatasync(device->file) == 0 ? 0 : -1;
    case 0x12: /* INQUIRY */
        data[2] = 5;
        data[3] = 2;
        data[4] = 31;
        memcpy(data + 8, "VHUSHMEMINTEROP         0001", 28);
        return (cdb[1] & 1) != 0 ? -1 : 36;
    case 0xa0: /* REPORT LUNS */
        data[3] = 8;
        return 16;
    case 0x25: /* READ CAPACITY */
        store32(data, device->size / SECTOR - 1);
        store32(data + 4, SECTOR);
        return 8;
    case 0x1a: /* MODE SENSE (6) */
        data[0] = 3;
        return 4;
    case 0x28: /* READ (10) */
        return size > MOST || at + size > device->size || pread(device->file, data, size, (off_t)at) < 0 ? -1 : (int64_t)size;
    case 0x2a: /* WRITE (10) */
        return size > MOST || at + size > device->size || vhushmem_chain_read(chain, REQUEST, data, size) < size ||
                       pwrite(device->file, data, size, (off_t)at) < 0
                   ? -1
                   : 0;
    default:
        return -1;
    }
}

static int64_t serve(struct device *device, unsigned queue, vhushmem_chain *chain)
{
    uint8_t request[REQUEST], response[RESPONSE] = {0};
    uint64_t room = vhushmem_chain_writable_size(chain);
    int64_t count = 0;

    if (queue == EVENTS) {
        return -1; /* it waits there for an event */
    }
    if (queue == CONTROL || room < RESPONSE || vhushmem_chain_read(chain, 0, request, REQUEST) < REQUEST) {
        return (int64_t)vhushmem_chain_write(chain, 0, response, room < 5 ? room : 5);
    }
    if (request[1] != 0 || (request[2] & 0x3f) != 0 || request[3] != 0) {
        response[11] = BAD_TARGET;
    } else {
        count = carry_out(device, request + 19, chain);
    }
    if (count < 0) {
        static const uint8_t sense[18] = {0x70, [2] = ILLEGAL_REQUEST, [7] = 10, [12] = 0x20};
        response[0] = sizeof(sense);
        response[10] = CHECK_CONDITION;
        memcpy(response + 12, sense, sizeof(sense));
        count = 0;
    }
    vhushmem_chain_write(chain, 0, response, RESPONSE);
    return (int64_t)(RESPONSE + vhushmem_chain_write(chain, RESPONSE, data, (size_t)count));
}

int main(int argc, char **argv)
{
    /* HOTPLUG, CHANGE */
    struct device device = {.features = BIT(1) | BIT(2), .queues = 4, .serve = serve};

    if (argc < 3) {
        return 2;
    }
    device_open(&device, argv[argc - 1]);
    return device_run(&device, argc, argv);
}
