/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random reads, writes, truncations, holes and copies of one file, by requests and through the window, in any order. At each
 * moment the guest and the host see what a plain array shows.
 */
#include "virtiofs-rig.h"

#include <linux/falloc.h>

#define LARGEST (3 * CHUNK)

static vfs v;
static uint8_t *model, *scratch;
static uint64_t size, node, fh, word;
static bool is_mapped[3], is_writable[3];

static uint64_t below(uint64_t limit)
{
    word ^= word << 13;
    word ^= word >> 7;
    word ^= word << 17;
    return limit == 0 ? 0 : word % limit;
}

static void fill_scratch(uint64_t len)
{
    for (uint64_t i = 0; i < len; i++) {
        scratch[i] = (uint8_t)below(256);
    }
}

static void map_chunk(unsigned chunk, bool writable)
{
    if (!is_mapped[chunk] || (writable && !is_writable[chunk])) {
        ok(vfs_map(&v, node, chunk * CHUNK, chunk * CHUNK, CHUNK, writable));
        is_mapped[chunk] = true;
        is_writable[chunk] = writable;
    }
}

/* A range inside of the file, and inside of one chunk. Returns false if there is none. */
static bool take_range(uint64_t *at, uint64_t *len)
{
    if (size == 0) {
        return false;
    }
    *at = below(size);
    *len = 1 + below(MIN(60000, MIN(size - *at, CHUNK - *at % CHUNK)));
    return true;
}

static void write_by_request(void)
{
    uint64_t at = below(LARGEST - 70000), len = 1 + below(70000);
    fill_scratch(len);
    ok(vfs_write(&v, node, fh, at, scratch, (uint32_t)len, O_RDWR));
    EQ(BODY(&v, struct fuse_write_out)->size, len);
    memcpy(model + at, scratch, len);
    size = MAX(size, at + len);
}

static void read_by_request(void)
{
    uint64_t at = below(size + 1), len = 1 + below(70000), there = MIN(len, size - at);
    ok(vfs_read(&v, node, fh, at, (uint32_t)len));
    EQ(v.head.len - sizeof(v.head), there);
    CHECK(memcmp(v.body, model + at, there) == 0);
}

static void by_window(bool writes)
{
    uint64_t at, len;
    if (!take_range(&at, &len)) {
        return;
    }
    map_chunk((unsigned)(at / CHUNK), writes);
    if (writes) {
        fill_scratch(len);
        ok(vhushmem_region_write(v.region, at, scratch, len, &error));
        memcpy(model + at, scratch, len);
    } else {
        ok(vhushmem_region_read(v.region, at, scratch, len, &error));
        CHECK(memcmp(scratch, model + at, len) == 0);
    }
}

static void set_size(void)
{
    struct fuse_setattr_in in = {.valid = FATTR_SIZE | (below(2) ? FATTR_FH : 0), .fh = fh, .size = below(LARGEST)};
    ok(vfs_ask(&v, FUSE_SETATTR, node, &in, sizeof(in), sizeof(struct fuse_attr_out)));
    if (in.size < size) {
        memset(model + in.size, 0, size - in.size);
    }
    size = in.size;
}

static void make_hole(void)
{
    uint64_t at = below(LARGEST - 70000), len = 1 + below(70000);
    struct fuse_fallocate_in in = {.fh = fh, .offset = at, .length = len, .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
    int rc = vfs_ask(&v, FUSE_FALLOCATE, node, &in, sizeof(in), 0);
    CHECK(rc == 0 || rc == -EOPNOTSUPP);
    if (rc == 0) {
        memset(model + at, 0, len);
    }
}

static void forget_window(void)
{
    unsigned chunk = (unsigned)below(3);
    ok(vfs_unmap(&v, chunk * CHUNK, CHUNK));
    is_mapped[chunk] = is_writable[chunk] = false;
}

static void compare_with_host(void)
{
    char *text = NULL;
    gsize length = 0;
    CHECK(g_file_get_contents(host_path(&v, "f"), &text, &length, NULL));
    EQ(length, size);
    CHECK(memcmp(text, model, size) == 0);
    g_free(text);
}

int main(void)
{
    const char *seed = getenv("VHUSHMEM_TEST_SEED");
    word = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)now_ms() | 1;
    printf("note: VHUSHMEM_TEST_SEED=%" PRIu64 "\n", word);
    fflush(stdout);
    model = calloc(1, LARGEST);
    scratch = calloc(1, LARGEST);
    vfs_open(&v);
    host_write(host_path(&v, "f"), "", 0);
    node = vfs_node(&v, FUSE_ROOT_ID, "f");
    fh = vfs_handle(&v, node, O_RDWR);
    for (int i = 0; i < steps(4000); i++) {
        switch (below(20)) {
        case 0 ... 3:
            write_by_request();
            break;
        case 4 ... 7:
            read_by_request();
            break;
        case 8 ... 12:
            by_window(true);
            break;
        case 13 ... 16:
            by_window(false);
            break;
        case 17:
            set_size();
            break;
        case 18:
            make_hole();
            break;
        default:
            forget_window();
        }
        if (i % 500 == 499) {
            compare_with_host();
        }
    }
    compare_with_host();
    vfs_close(&v);
    free(model);
    free(scratch);
    return 0;
}
