/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners are told of an alias of read-only memory as read-only, and so of an alias of that. Otherwise a listener would
   give it to a guest for writing. */
#include "harness.h"

#include <vhushmem/series.h>

static MemoryRegionSection last;
static unsigned added;

static void region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    (void)listener;
    last = *section;
    added++;
}

int main(void)
{
    uint64_t page = PAGE;
    MemoryRegion bar = {0}, rom = {0}, ram = {0}, alias = {0}, second = {0};
    MemoryListener listener = {.region_add = region_add, .name = "test"};
    char own[64];
    memory_region_init(&bar, NULL, "bar", 64 * page);
    memory_listener_register(&listener, &bar);
    CHECK(memory_region_init_ram_from_fd(&rom, NULL, "rom", 4 * page, RAM_SHARED | RAM_READONLY, memfd_of(4 * page, 1), 0,
                                         &error));
    memory_region_init_alias(&alias, NULL, "alias", &rom, page, 2 * page);
    memory_region_add_subregion(&bar, 8 * page, &alias);
    EQ(added, 1);
    CHECK(last.readonly && last.host == (char *)memory_region_get_ram_ptr(&rom) + page);
    EQ(int128_get64(last.size), 2 * page);
    memory_region_init_alias(&second, NULL, "second", &alias, page, page);
    memory_region_add_subregion(&bar, 0, &second);
    EQ(added, 2);
    CHECK(last.readonly && last.host == (char *)memory_region_get_ram_ptr(&rom) + 2 * page);
    memory_region_del_subregion(&bar, &second);
    memory_region_del_subregion(&bar, &alias);
    memory_region_unref(&second);
    memory_region_unref(&alias);
    memory_region_unref(&rom);

    /* An alias of writable memory is not read-only, unless its original is marked. */
    memory_region_init_ram_ptr(&ram, NULL, "ram", sizeof(own), own);
    memory_region_init_alias(&alias, NULL, "alias", &ram, 0, 32);
    memory_region_add_subregion(&bar, 0, &alias);
    CHECK(!last.readonly && last.host == own);
    memory_region_del_subregion(&bar, &alias);
    memory_region_set_readonly(&ram, true);
    memory_region_add_subregion(&bar, 0, &alias);
    CHECK(last.readonly);
    EQ(added, 4);
    memory_listener_unregister(&listener);
    memory_region_unref(&bar);
    memory_region_unref(&alias);
    memory_region_unref(&ram);
    return 0;
}
