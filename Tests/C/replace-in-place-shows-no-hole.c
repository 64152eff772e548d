/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mapping is replaced in place again and again, read-only by read-write and one file by another. Threads that read and
 * translate it never see a hole or zeros. While it is read-write, a write works.
 */
/* tsan: yes (several threads use one region) */
/* asan: scale 3 (without a tool, the race runs for its full time) */
#include "memory-rig.h"

static vhushmem_region *region;
static uint64_t replaced, read_words, translated;

static void *reader(void *user_data)
{
    (void)user_data;
    const volatile uint64_t *window = vhushmem_region_window(region);
    while (race_goes_on()) {
        for (uint64_t at = 0; at < 4 * PAGE; at += PAGE) {
            uint64_t seen = window[at / 8]; /* a hole would end this process, or show zeros */
            if (seen != pattern(1, at) && seen != pattern(2, at)) {
                FAIL("a reader sees 0x%" PRIx64 " at 0x%" PRIx64, seen, at);
            }
        }
        count_up(&read_words);
    }
    return NULL;
}

static void *translator(void *user_data)
{
    (void)user_data;
    while (race_goes_on()) {
        uint64_t *at = vhushmem_region_translate(region, PAGE, 8, false);
        CHECK(at == (uint64_t *)((char *)vhushmem_region_window(region) + PAGE));
        uint64_t seen = 0;
        int rc = vhushmem_region_read(region, PAGE, &seen, 8, NULL);
        CHECK(rc == -EAGAIN || (rc == 0 && (seen == pattern(1, PAGE) || seen == pattern(2, PAGE))));
        EQ(vhushmem_region_mapping_count(region), 1);
        count_up(&translated);
    }
    return NULL;
}

static void *replacer(void *user_data)
{
    const int *files = user_data;
    for (uint64_t i = 0; race_goes_on(); i++) {
        uint64_t flags = i & 1 ? VHOST_USER_FLAG_MAP_RW : 0;
        ok(vhushmem_region_map(region, files[i >> 1 & 1], 0, 0, 4 * PAGE, flags, &error));
        CHECK((vhushmem_region_translate(region, 0, 8, true) != NULL) == (flags != 0));
        if (flags != 0) {
            ((volatile uint64_t *)vhushmem_region_window(region))[1] = i;
        }
        count_up(&replaced);
    }
    return NULL;
}

static void facts(uint32_t holes)
{
    rig r;
    pthread_t threads[3];
    int files[2] = {memfd_of(4 * PAGE, 1), memfd_of(4 * PAGE, 2)};
    vhushmem_region_options options = {.struct_size = sizeof(options), .holes = holes, .flags = VHUSHMEM_REGION_REPLACE};
    rig_open_plain(&r, 16 * PAGE, NULL, &options);
    region = r.region;
    replaced = read_words = translated = 0;
    ok(vhushmem_region_map(region, files[0], 0, 0, 4 * PAGE, 0, &error));
    CHECK(pthread_create(&threads[0], NULL, replacer, files) == 0);
    CHECK(pthread_create(&threads[1], NULL, reader, NULL) == 0);
    CHECK(pthread_create(&threads[2], NULL, translator, NULL) == 0);
    RACE(threads, 3, counted(&replaced) > 20 && counted(&read_words) > 20 && counted(&translated) > 20);
    EQ(vhushmem_region_mapped_bytes(region), 4 * PAGE);
    ok(vhushmem_region_unmap(region, 0, 4 * PAGE, &error));
    EQ(budget_figure(r.device, "used"), 2);
    close(files[0]);
    close(files[1]);
    rig_close(&r);
}

int main(void)
{
    facts(VHUSHMEM_HOLES_ZERO);
    facts(VHUSHMEM_HOLES_FAULT);
    printf("note: %" PRIu64 " replaced in the last race\n", replaced);
    return 0;
}
