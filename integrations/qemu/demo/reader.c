/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads a file by loads: maps it and adds up its words, TIMES times or twice. Prints the sum and the nanoseconds of each time.
 * Usage: reader FILE [TIMES]
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
    struct stat st;
    int fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;
    int times = argc > 2 ? atoi(argv[2]) : 2;
    const uint64_t *words;

    if (fd < 0 || fstat(fd, &st) < 0) {
        perror("reader");
        return 1;
    }
    words = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (words == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (int i = 0; i < times; i++) {
        uint64_t begin = now(), sum = 0;

        for (size_t w = 0; w < (size_t)st.st_size / sizeof(*words); w++) {
            sum += words[w];
        }
        printf("READ %" PRIx64 " %" PRIu64 "\n", sum, now() - begin);
    }
    return 0;
}
