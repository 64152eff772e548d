/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Usage: round-trip ROUNDS REQUESTS SIZE NAME:LIVE... Acts as a back-end: it undoes mappings of SIZE bytes and asks for them
 * again. It does REQUESTS of each with each front-end, and waits for each answer. It does all that ROUNDS times. NAME is `ours`
 * or `floor`, LIVE the least number of mappings that it has. Several maps follow each other, then several unmaps. Each such
 * group is timed as a whole. So the work of a front-end after an answer is in the time of the next request or the next group.
 * All processes share one processor.
 */
#include "contestant.h"

#include <libgen.h>

/* The number of maps or unmaps in a group. They are spread evenly over the whole region. */
#define IN_A_ROW 16

/* The average nanoseconds of each request in a group. */
static uint32_t in_a_row(contestant *c, void (*ask)(contestant *, bool, uint64_t), uint64_t first)
{
    uint64_t apart = c->slots / IN_A_ROW, began = now_ns();
    for (uint64_t i = 0; i < IN_A_ROW; i++) {
        ask(c, true, (first + i * apart) % c->slots);
        take_answer(c->channel);
    }
    return (uint32_t)((now_ns() - began) / IN_A_ROW);
}

static void one_round(contestant *c, size_t rows, uint32_t *map, uint32_t *unmap)
{
    uint64_t random = 1;
    for (size_t row = 0; row < rows; row++) {
        uint64_t first = next_random(&random, c->slots);
        unmap[row] = in_a_row(c, unmap_slot, first);
        map[row] = in_a_row(c, map_slot, first);
    }
    uint32_t map_ns = median_of(map, rows), unmap_ns = median_of(unmap, rows);
    printf("%s-%llu-map %u\n", c->name, (unsigned long long)c->slots - IN_A_ROW, map_ns);
    printf("%s-%llu-unmap %u\n", c->name, (unsigned long long)c->slots - IN_A_ROW, unmap_ns);
}

int main(int argc, char **argv)
{
    contestant contestants[8] = {{0}};
    MUST(argc > 4 && argc <= 12);
    size_t rounds = number_of(argv[1]), requests = number_of(argv[2]), count = (size_t)argc - 4;
    const char *folder = dirname(argv[0]);
    size_t rows = requests / IN_A_ROW;
    uint32_t *map = calloc(rows, sizeof(*map)), *unmap = calloc(rows, sizeof(*unmap));
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
            one_round(&contestants[i], rows, map, unmap);
        }
    }
    for (size_t i = 0; i < count; i++) {
        end_contestant(&contestants[i]);
    }
    free(map);
    free(unmap);
    return 0;
}
