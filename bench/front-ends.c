/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: front-ends COUNT. Measures a front-end that is ready, has one region and a GSource, and has nothing to do. Prints its
 * bytes of heap, the average of COUNT, and the descriptors of one with 256 queues, none of them started.
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
    for (int i = 0; i < 4; i++) { /* the first ones leave memory behind */
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
    printf("descriptors %d\n", descriptors() - open - 2); /* without the back-end's two */
    return 0;
}
