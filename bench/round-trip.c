/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: round-trip ROUNDS REQUESTS SIZE NAME:LIVE... As a back-end, undoes mappings of SIZE bytes and asks for them again, REQUESTS of each
 * with each front-end, waiting for each answer; ROUNDS times. NAME is `ours` or `floor`, LIVE how many mappings it has at the least. Several
 * maps follow each other, then several unmaps: what a front-end does after an answer is part of the next request of the same kind. All
 * processes share one processor.
 */
#include "contestant.h"

#include <libgen.h>

/* So many in a row, evenly over the whole region. */
#define IN_A_ROW 16

static uint32_t timed(contestant *c, void (*ask)(contestant *, bool, uint64_t), uint64_t slot)
{
    uint64_t began = now_ns();
    ask(c, true, slot % c->slots);
    take_answer(c->channel);
    return (uint32_t)(now_ns() - began);
}

static void one_round(contestant *c, size_t requests, uint32_t *map, uint32_t *unmap)
{
    uint64_t random = 1, apart = c->slots / IN_A_ROW;
    for (size_t done = 0; done < requests; done += IN_A_ROW) {
        uint64_t first = next_random(&random, c->slots);
        for (size_t i = 0; i < IN_A_ROW; i++) {
            unmap[done + i] = timed(c, unmap_slot, first + i * apart);
        }
        for (size_t i = 0; i < IN_A_ROW; i++) {
            map[done + i] = timed(c, map_slot, first + i * apart);
        }
    }
    uint32_t map_ns = median_of(map, requests), unmap_ns = median_of(unmap, requests);
    printf("%s-%llu-map %u\n", c->name, (unsigned long long)c->slots - IN_A_ROW, map_ns);
    printf("%s-%llu-unmap %u\n", c->name, (unsigned long long)c->slots - IN_A_ROW, unmap_ns);
}

int main(int argc, char **argv)
{
    contestant contestants[8] = {{0}};
    MUST(argc > 4 && argc <= 12);
    size_t rounds = number_of(argv[1]), requests = number_of(argv[2]), count = (size_t)argc - 4;
    const char *folder = dirname(argv[0]);
    uint32_t *map = calloc(requests, sizeof(*map)), *unmap = calloc(requests, sizeof(*unmap));
    MUST(map != NULL && unmap != NULL);
    MUST(requests % IN_A_ROW == 0);
    pin_to_one_processor();
    for (size_t i = 0; i < count; i++) {
        contestant *c = &contestants[i];
        c->name = strtok(argv[4 + i], ":");
        c->slots = number_of(strtok(NULL, "")) + IN_A_ROW;
        c->slot_size = number_of(argv[3]);
        MUST(c->slots >= IN_A_ROW);
        start_contestant(c, folder);
    }
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < count; i++) {
            one_round(&contestants[i], requests, map, unmap);
        }
    }
    for (size_t i = 0; i < count; i++) {
        end_contestant(&contestants[i]);
    }
    free(map);
    free(unmap);
    return 0;
}
