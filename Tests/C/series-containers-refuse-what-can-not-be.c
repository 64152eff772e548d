/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A container cannot be put into itself, on any level. Nothing can be put into memory, or taken out of a place where it is
 * not. A container that goes releases its contents.
 */
#include "watcher.h"

static int warnings;

static void count_warning(const char *domain, GLogLevelFlags level, const char *text, gpointer user_data)
{
    (void)domain, (void)level, (void)text, (void)user_data;
    warnings++;
}

int main(void)
{
    uint64_t page = PAGE;
    char *fds = fds_now();
    MemoryRegion a = {0}, b = {0}, c = {0}, ram = {0}, small = {0};
    watcher w;
    char *own = g_malloc0(4 * page);
    memory_region_init(&a, NULL, "a", 4 * page);
    memory_region_init(&b, NULL, "b", 4 * page);
    memory_region_init(&c, NULL, "c", 4 * page);
    memory_region_init_ram_ptr(&ram, NULL, "ram", 4 * page, own);
    memory_region_init_ram_ptr(&small, NULL, "small", page, own);
    memory_region_add_subregion(&a, 0, &b);
    memory_region_add_subregion(&b, 0, &c);
    watch(&w, &a);
    guint handler = g_log_set_handler("vhushmem", G_LOG_LEVEL_WARNING, count_warning, NULL);
    memory_region_add_subregion(&a, 0, &a);
    memory_region_add_subregion(&b, 0, &a);
    memory_region_add_subregion(&c, 0, &a);
    EQ(warnings, 3);
    CHECK(a.container == NULL && !memory_region_is_mapped(&a));
    memory_region_add_subregion(&ram, 0, &small);
    EQ(warnings, 4);
    CHECK(!memory_region_is_mapped(&small));
    memory_region_add_subregion(&c, page, &small);
    hears(&w, "b +1 c");
    memory_region_del_subregion(&a, &small);
    memory_region_del_subregion(&b, &small);
    EQ(warnings, 6);
    hears(&w, "");
    CHECK(small.container == &c && small.addr == page);
    g_log_remove_handler("vhushmem", handler);
    unwatch(&w, "b -1 c");

    /* The last reference to a container is gone when nothing holds it. */
    memory_region_unref(&a);
    CHECK(a.vhushmem_state == NULL && b.container == NULL && c.container == &b);
    memory_region_unref(&b);
    CHECK(b.vhushmem_state == NULL && c.container == NULL && small.container == &c);
    memory_region_unref(&small); /* c has a reference */
    CHECK(memory_region_get_ram_ptr(&small) == own);
    memory_region_unref(&c);
    CHECK(small.vhushmem_state == NULL && small.container == NULL && memory_region_get_ram_ptr(&small) == NULL);
    memory_region_unref(&ram);
    g_free(own);
    same(fds, fds_now());
    return 0;
}
