/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: ordered-map ROUNDS PAIRS. Prints nanoseconds for an insert and the remove of the same entry, in the table of live
 * mappings with 1,000 and with 1,000,000 entries. OrderedMap.swift does it. It is compiled with the library's sources and with
 * the same flags.
 */
#include "measure.h"

void *bench_ordered_map_new(uint64_t entries);
bool bench_ordered_map_run(void *map, uint64_t pairs);

static const uint64_t sizes[] = {1000, 1000000};

int main(int argc, char **argv)
{
    void *maps[2];
    MUST(argc == 3);
    uint64_t rounds = number_of(argv[1]), pairs = number_of(argv[2]);
    pin_to_one_processor();
    for (int i = 0; i < 2; i++) {
        maps[i] = bench_ordered_map_new(sizes[i]);
        MUST(maps[i] != NULL);
    }
    for (uint64_t round = 0; round < rounds; round++) {
        for (int i = 0; i < 2; i++) {
            uint64_t began = ns_of(CLOCK_THREAD_CPUTIME_ID);
            MUST(bench_ordered_map_run(maps[i], pairs));
            uint64_t took = ns_of(CLOCK_THREAD_CPUTIME_ID) - began;
            printf("%llu %.1f\n", (unsigned long long)sizes[i], (double)took / (double)pairs);
        }
    }
    return 0;
}
