/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhushmem_region_read and vhushmem_region_write copy mapped bytes. A hole, a page that its file has lost, and a mapping
 * that is undone meanwhile give an error, and no signal.
 */
/* tsan: yes (a thread copies what another one unmaps) */
#include "rig.h"

static rig r;
static int done;

static void *come_and_go(void *user_data)
{
    int fd = *(int *)user_data;
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        ok(vhushmem_region_map(r.region, fd, 0, 8 * PAGE, 2 * PAGE, VHOST_USER_FLAG_MAP_RW, &error));
        ok(vhushmem_region_unmap(r.region, 8 * PAGE, 2 * PAGE, &error));
    }
    return NULL;
}

int main(void)
{
    uint64_t page = PAGE, words[2] = {0, 0};
    char *bytes = g_malloc0(4 * page);
    rig_open_plain(&r, 16 * page, NULL, NULL);
    int fd = memfd_of(4 * page, 1), second = memfd_of(page, 2);
    ok(vhushmem_region_map(r.region, fd, 0, page, 2 * page, VHOST_USER_FLAG_MAP_RW, &error));
    ok(vhushmem_region_map(r.region, second, 0, 3 * page, page, 0, &error));

    /* Across the border of two mappings. */
    ok(vhushmem_region_read(r.region, 3 * page - 8, words, 16, &error));
    EQ(words[0], pattern(1, 2 * page - 8));
    EQ(words[1], pattern(2, 0));
    ok(vhushmem_region_read(r.region, page, bytes, 3 * page, &error));
    CHECK(memcmp(bytes + 2 * page, &(uint64_t){pattern(2, 0)}, 8) == 0);
    words[0] = 7;
    ok(vhushmem_region_write(r.region, page + 8, words, 8, &error));
    EQ(word_at(r.region, page + 8), 7);
    ok(vhushmem_region_read(r.region, page, NULL, 0, &error));

    refused(vhushmem_region_read(r.region, 4 * page - 8, words, 16, &error), -ENOENT, hex(4 * page));
    refused(vhushmem_region_read(r.region, 0, words, 8, &error), -ENOENT, "0x8 bytes", "0x0");
    refused(vhushmem_region_write(r.region, 3 * page - 8, words, 16, &error), -EACCES, hex(3 * page));
    refused(vhushmem_region_read(r.region, 16 * page - 8, words, 16, &error), -EINVAL, hex(16 * page));
    refused(vhushmem_region_read(r.region, UINT64_MAX, words, 16, &error), -EINVAL);
    refused(vhushmem_region_read(r.region, 0, NULL, 8, &error), -EFAULT, "buf");
    refused(vhushmem_region_write(NULL, 0, words, 8, &error), -EFAULT, "region");

    CHECK(ftruncate(fd, (off_t)page) == 0);
    refused(vhushmem_region_read(r.region, 2 * page, words, 8, &error), -EIO, hex(2 * page));
    refused(vhushmem_region_write(r.region, 2 * page, words, 8, &error), -EIO);
    fill(fd, 4 * page, 1);

    pthread_t thread;
    int seen = 0, missed = 0;
    CHECK(pthread_create(&thread, NULL, come_and_go, &fd) == 0);
    /* Valgrind runs one thread at a time, and not in turn, so it may see only one of the two. */
    int64_t end = now_ms() + (under_valgrind() ? 1000 : PATIENCE_MS);
    while ((seen < 500 || missed < 500) && now_ms() < end) {
        int rc = vhushmem_region_read(r.region, 9 * page, words, 16, NULL);
        CHECK(rc == 0 || rc == -ENOENT || rc == -EIO);
        if (rc == 0) {
            EQ(words[0], pattern(1, page));
            seen++;
        } else {
            missed++;
        }
        rc = vhushmem_region_write(r.region, 8 * page + 8, words, 8, NULL);
        CHECK(rc == 0 || rc == -ENOENT || rc == -EIO);
    }
    __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    CHECK((seen >= 500 && missed >= 500) || under_valgrind());
    g_free(bytes);
    close(fd);
    close(second);
    rig_close(&r);
    return 0;
}
