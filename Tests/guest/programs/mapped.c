/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looks at files by loads and changes them by stores, in the guest.
 *
 *   mapped cat FILE                  loads, written to standard output
 *   mapped write FILE OFFSET TEXT    stores
 *   mapped pages FILE SIZE           touches each page of SIZE bytes, and counts: pages with a first word, zero pages, pages that raise SIGBUS
 *   mapped watch FILE                reads the first word of each page again and again until SIGTERM; prints the values that it saw
 *   mapped poke FILE                 writes its page's number into each page again and again until SIGTERM
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096
#define MOST_VALUES 16

static sigjmp_buf back;
static volatile sig_atomic_t is_over;
static uint64_t values[MOST_VALUES];
static unsigned value_count;
static uint64_t with_word, zero, faults;

static void on_fault(int number)
{
    (void)number;
    siglongjmp(back, 1);
}

static void on_end(int number)
{
    (void)number;
    is_over = 1;
}

static void note(uint64_t value)
{
    for (unsigned i = 0; i < value_count; i++) {
        if (values[i] == value) {
            return;
        }
    }
    if (value_count < MOST_VALUES) {
        values[value_count++] = value;
    }
}

static void touch(const volatile unsigned char *memory, size_t size)
{
    for (volatile size_t at = 0; at < size; at += PAGE) {
        if (sigsetjmp(back, 1) == 0) {
            uint64_t value = *(const volatile uint64_t *)(memory + at);
            note(value);
            with_word += value != 0;
            zero += value == 0;
        } else {
            faults++;
        }
    }
}

static void poke(volatile unsigned char *memory, size_t size)
{
    for (volatile size_t at = 0; at < size; at += PAGE) {
        if (sigsetjmp(back, 1) == 0) {
            *(volatile uint64_t *)(memory + at) = at / PAGE + 1;
            with_word++;
        } else {
            faults++;
        }
    }
}

static bool put(const volatile unsigned char *memory, size_t size)
{
    static char copy[1 << 16];

    for (size_t at = 0; at < size;) {
        size_t n = size - at < sizeof(copy) ? size - at : sizeof(copy);
        memcpy(copy, (const void *)(memory + at), n);
        if (fwrite(copy, 1, n, stdout) != n) {
            return false;
        }
        at += n;
    }
    return fflush(stdout) == 0;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    bool writes = strcmp(command, "write") == 0 || strcmp(command, "poke") == 0;
    struct stat st;
    volatile unsigned char *memory;
    size_t size;
    int fd;

    if (argc < 3) {
        return 2;
    }
    fd = open(argv[2], writes ? O_RDWR : O_RDONLY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        perror(argv[2]);
        return 1;
    }
    size = (size_t)st.st_size;
    if (strcmp(command, "pages") == 0 && argc > 3) {
        size = strtoull(argv[3], NULL, 0);
    }
    if (size == 0) {
        return 0;
    }
    memory = mmap(NULL, size, PROT_READ | (writes ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    signal(SIGBUS, on_fault);
    signal(SIGTERM, on_end);
    if (strcmp(command, "cat") == 0) {
        return put(memory, size) ? 0 : 1;
    }
    if (strcmp(command, "write") == 0 && argc > 4) {
        memcpy((void *)(memory + strtoull(argv[3], NULL, 0)), argv[4], strlen(argv[4]));
        return msync((void *)memory, size, MS_SYNC) == 0 ? 0 : 1;
    }
    if (strcmp(command, "pages") == 0) {
        touch(memory, size);
    } else if (strcmp(command, "watch") == 0 || strcmp(command, "poke") == 0) {
        puts("begun");
        fflush(stdout);
        while (!is_over) {
            if (writes) {
                poke(memory, size);
            } else {
                touch(memory, size);
            }
        }
    } else {
        return 2;
    }
    printf("words %" PRIu64 " zero %" PRIu64 " faults %" PRIu64 " values", with_word, zero, faults);
    for (unsigned i = 0; i < value_count; i++) {
        printf(" %" PRIu64, values[i]);
    }
    puts("");
    return 0;
}
