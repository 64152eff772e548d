/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: front-ends COUNT. What a front-end takes that is ready, with one region and a GSource, and has nothing to do: bytes of the heap, on
 * average over so many; and descriptors of one that has 256 queues, none of them started.
 */
#include "front-ends.h"

#include <dirent.h>
#include <malloc.h>

static int descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    MUST(directory != NULL);
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    MUST(argc == 2);
    uint64_t count = number_of(argv[1]);
    GMainContext *context = g_main_context_new();
    allow_descriptors();
    for (int i = 0; i < 4; i++) { /* what the first ones leave behind */
        open_front_end(context, 1, 16);
    }
    while (g_main_context_iteration(context, FALSE)) {}
    size_t before = mallinfo2().uordblks;
    for (uint64_t i = 0; i < count; i++) {
        open_front_end(context, 1, 16);
    }
    while (g_main_context_iteration(context, FALSE)) {}
    printf("heap %.0f\n", (double)(mallinfo2().uordblks - before) / (double)count);
    int open = descriptors();
    open_front_end(context, 256, 16);
    while (g_main_context_iteration(context, FALSE)) {}
    printf("descriptors %d\n", descriptors() - open - 2); /* the back-end's own two */
    return 0;
}
