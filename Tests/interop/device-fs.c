/* SPDX-License-Identifier: BSD-3-Clause */
/* A file system with one file, `file`, which is FILE: device-fs SOCKET FILE. As much of FUSE as a Linux client needs to read it. */
#include "device.h"

enum {
    LOOKUP = 1,
    GETATTR = 3,
    OPEN = 14,
    READ = 15,
    STATFS = 17,
    RELEASE = 18,
    FLUSH = 25,
    INIT = 26,
    OPENDIR = 27,
    READDIR = 28
};
enum { RELEASEDIR = 29, ACCESS = 34, DESTROY = 38, ROOT = 1, FILE_NODE = 2, MOST = 1 << 20 };

struct in_header {
    uint32_t len, opcode;
    uint64_t unique, node;
    uint32_t ids[4];
};

struct attributes {
    uint64_t node, size, blocks, times[3];
    uint32_t nanoseconds[3], mode, nlink, uid, gid, rdev, blksize, flags;
};

static union {
    uint8_t bytes[MOST];
    struct {
        uint64_t node, generation, valid[2];
        uint32_t nanoseconds[2];
        struct attributes attributes;
    } entry;
    struct {
        uint64_t valid;
        uint32_t nanoseconds, unused;
        struct attributes attributes;
    } attributes;
    struct {
        uint32_t major, minor, max_readahead, flags;
        uint16_t max_background, congestion;
        uint32_t max_write, granularity, unused[9];
    } init;
    struct {
        uint64_t node, next;
        uint32_t namelen, type;
        char name[8];
    } directory;
} out;

static struct attributes attributes_of(const struct device *device, uint64_t node)
{
    bool is_file = node == FILE_NODE;
    return (struct attributes){
        .node = node, .size = is_file ? device->size : 4096, .mode = is_file ? 0100644 : 040755, .nlink = 1};
}

static int64_t carry_out(struct device *device, const struct in_header *header, const uint8_t *in)
{
    uint64_t at;
    uint32_t size;

    memset(&out, 0, 4096);
    memcpy(&at, in + 8, sizeof(at));
    memcpy(&size, in + 16, sizeof(size));
    switch (header->opcode) {
    case INIT:
        out.init.major = 7;
        out.init.minor = 31;
        out.init.max_background = 16;
        out.init.max_write = out.init.max_readahead = 128 << 10;
        out.init.granularity = 1;
        return sizeof(out.init);
    case LOOKUP:
        if (strcmp((const char *)in, "file") != 0) {
            return -ENOENT;
        }
        out.entry.node = FILE_NODE;
        out.entry.valid[0] = out.entry.valid[1] = 1;
        out.entry.attributes = attributes_of(device, FILE_NODE);
        return sizeof(out.entry);
    case GETATTR:
        out.attributes.valid = 1;
        out.attributes.attributes = attributes_of(device, header->node);
        return sizeof(out.attributes);
    case OPEN:
    case OPENDIR:
        return 16;
    case READ:
        return pread(device->file, out.bytes, size < MOST ? size : MOST, (off_t)at);
    case READDIR:
        out.directory.node = FILE_NODE;
        out.directory.next = 1;
        out.directory.namelen = 4;
        out.directory.type = 8;
        memcpy(out.directory.name, "file", 4);
        return at == 0 ? (int64_t)sizeof(out.directory) : 0;
    case STATFS:
        return 80;
    case RELEASE:
    case RELEASEDIR:
    case FLUSH:
    case ACCESS:
    case DESTROY:
        return 0;
    default:
        return -ENOSYS;
    }
}

static int64_t serve(struct device *device, unsigned queue, vhushmem_chain *chain)
{
    struct in_header header;
    struct {
        uint32_t len;
        int32_t error;
        uint64_t unique;
    } answer;
    uint8_t in[256] = {0};
    int64_t count;

    (void)queue;
    if (vhushmem_chain_read(chain, 0, &header, sizeof(header)) < sizeof(header) ||
        vhushmem_chain_writable_size(chain) < sizeof(answer)) {
        return 0; /* FORGET has no answer */
    }
    vhushmem_chain_read(chain, sizeof(header), in, sizeof(in) - 1);
    count = carry_out(device, &header, in);
    answer.error = count < 0 ? (int32_t)count : 0;
    count = count < 0 ? 0 : count;
    answer.len = (uint32_t)(sizeof(answer) + (uint64_t)count);
    answer.unique = header.unique;
    vhushmem_chain_write(chain, 0, &answer, sizeof(answer));
    vhushmem_chain_write(chain, sizeof(answer), out.bytes, (size_t)count);
    return answer.len;
}

int main(int argc, char **argv)
{
    struct device device = {.queues = 2, .serve = serve};

    if (argc < 3) {
        return 2;
    }
    device_open(&device, argv[argc - 1]);
    return device_run(&device, argc, argv);
}
