/* SPDX-License-Identifier: BSD-3-Clause */
/* A container tells its listeners, in the order of their priority, what is put into it and taken out. A subregion that does
   not fit is refused. */
#include "harness.h"

#include <vhushmem/series.h>

static char heard[256];
static MemoryRegionSection last;
static int warnings;

static void region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    last = *section;
    strcat(strcat(heard, "a"), listener->name);
}

static void region_del(MemoryListener *listener, MemoryRegionSection *section)
{
    last = *section;
    strcat(strcat(heard, "d"), listener->name);
}

static void hears(const char *wanted)
{
    if (strcmp(heard, wanted) != 0) {
        FAIL("heard \"%s\", not \"%s\"", heard, wanted);
    }
    heard[0] = 0;
}

static void count_warning(const char *domain, GLogLevelFlags level, const char *text, gpointer user_data)
{
    (void)domain, (void)level, (void)text, (void)user_data;
    warnings++;
}

int main(void)
{
    uint64_t page = PAGE;
    MemoryRegion container = {0}, first = {0}, second = {0};
    MemoryListener high = {.region_add = region_add, .region_del = region_del, .name = "2", .priority = 2};
    MemoryListener low = {.region_add = region_add, .region_del = region_del, .name = "1", .priority = 1};
    memory_region_init(&container, NULL, "container", 16 * page);
    EQ(memory_region_size(&container), 16 * page);
    CHECK(memory_region_get_ram_ptr(&container) == NULL);
    EQ(memory_region_get_fd(&container), -1);
    CHECK(memory_region_init_ram_from_fd(&first, NULL, "first", 2 * page, RAM_SHARED, memfd_of(2 * page, 1), 0, &error));
    CHECK(
        memory_region_init_ram_from_fd(&second, NULL, "second", page, RAM_SHARED | RAM_READONLY, memfd_of(page, 2), 0, &error));
    memory_listener_register(&high, &container);
    memory_listener_register(&low, &container);
    hears("");
    memory_region_add_subregion(&container, 4 * page, &first);
    hears("a1a2");
    CHECK(last.mr == &container && last.host == memory_region_get_ram_ptr(&first) && !last.readonly);
    EQ(last.offset_within_region, 4 * page);
    EQ(last.size, 2 * page);
    CHECK(first.container == &container);
    EQ(first.addr, 4 * page);

    guint handler = g_log_set_handler("vhushmem", G_LOG_LEVEL_WARNING, count_warning, NULL);
    memory_region_add_subregion(&container, 5 * page, &second);  /* overlaps */
    memory_region_add_subregion(&container, 16 * page, &second); /* does not fit */
    memory_region_add_subregion(&container, 0 - page, &second);
    memory_region_add_subregion(&container, 8 * page, &first); /* is in a container already */
    EQ(warnings, 4);
    g_log_remove_handler("vhushmem", handler);
    hears("");
    CHECK(second.container == NULL);

    memory_region_add_subregion(&container, 6 * page, &second);
    hears("a1a2");
    CHECK(last.readonly);
    memory_region_del_subregion(&container, &first);
    hears("d2d1");
    CHECK(first.container == NULL);
    memory_listener_unregister(&low);
    hears("d1");

    /* The container keeps its subregions alive. */
    uint64_t *ram = memory_region_get_ram_ptr(&second);
    memory_region_unref(&second);
    EQ(ram[0], pattern(2, 0));
    memory_region_del_subregion(&container, &second);
    hears("d2");
    CHECK(!readable(ram));
    memory_listener_unregister(&high);
    memory_region_unref(&first);
    memory_region_unref(&container);
    return 0;
}
