/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes and reads one file at random in every possible way, and compares it with a model in memory after each step.
 *
 * Usage: fsx FILE SEED STEPS LARGEST [fixed]
 *
 * With `fixed`, FILE exists with LARGEST bytes of zeros, and keeps its size.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "random.h"

#define MOST_BYTES 65536
#define PAGE 4096

static const char *path;
static unsigned char *model, *bytes;
static uint64_t size, largest, state, step;
static bool is_fixed;
static int fd = -1;
static char history[16][96];

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(history[step % 16], sizeof(history[0]), format, args);
    va_end(args);
}

__attribute__((noreturn)) static void fail(const char *what, uint64_t at)
{
    printf("fsx: step %" PRIu64 ": %s at %" PRIu64 " (errno %d), size %" PRIu64 "\n", step, what, at, errno, size);
    for (uint64_t i = step > 15 ? step - 15 : 0; i <= step; i++) {
        printf("  %" PRIu64 " %s\n", i, history[i % 16]);
    }
    exit(1);
}

static void reopen(void)
{
    if (fd >= 0 && close(fd) < 0) {
        fail("close", 0);
    }
    fd = open(path, O_RDWR | O_CREAT, 0644);
    if (fd < 0) {
        fail("open", 0);
    }
}

static void compare(const unsigned char *seen, uint64_t at, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++) {
        if (seen[i] != model[at + i]) {
            printf("fsx: byte %" PRIu64 " is %02x, not %02x\n", at + i, seen[i], model[at + i]);
            fail("a wrong byte", at + i);
        }
    }
}

static void fill(uint64_t len)
{
    for (uint64_t i = 0; i < len; i++) {
        bytes[i] = (unsigned char)(next_random(&state) >> 40);
    }
}

/** A range of the file. With `beyond`, also of what the file may become. */
static bool pick(bool beyond, uint64_t *at, uint64_t *len)
{
    uint64_t end = beyond && !is_fixed ? largest : size;

    if (end == 0) {
        return false;
    }
    *at = random_below(&state, end);
    *len = 1 + random_below(&state, MOST_BYTES);
    if (random_below(&state, 4) == 0) {
        *at &= ~(uint64_t)(PAGE - 1);
    }
    *len = *len < end - *at ? *len : end - *at;
    return true;
}

static void grow(uint64_t end)
{
    if (end > size) {
        size = end;
    }
}

static void do_read(void)
{
    uint64_t at, len;

    if (!pick(false, &at, &len)) {
        return;
    }
    say("read %" PRIu64 " +%" PRIu64, at, len);
    if (pread(fd, bytes, len, (off_t)at) != (ssize_t)len) {
        fail("a short read", at);
    }
    compare(bytes, at, len);
}

static void do_write(void)
{
    uint64_t at, len;

    if (!pick(true, &at, &len)) {
        return;
    }
    say("write %" PRIu64 " +%" PRIu64, at, len);
    fill(len);
    if (pwrite(fd, bytes, len, (off_t)at) != (ssize_t)len) {
        fail("a short write", at);
    }
    memcpy(model + at, bytes, len);
    grow(at + len);
}

static void do_append(void)
{
    uint64_t len = 1 + random_below(&state, MOST_BYTES);
    int other;

    len = len < largest - size ? len : largest - size;
    if (is_fixed || len == 0) {
        return;
    }
    say("append %" PRIu64 " +%" PRIu64, size, len);
    fill(len);
    other = open(path, O_WRONLY | O_APPEND);
    if (other < 0 || write(other, bytes, len) != (ssize_t)len || close(other) < 0) {
        fail("append", size);
    }
    memcpy(model + size, bytes, len);
    grow(size + len);
}

static unsigned char *map(uint64_t at, uint64_t len, int protection, uint64_t *skipped)
{
    unsigned char *memory;

    *skipped = at % PAGE;
    memory = mmap(NULL, len + *skipped, protection, MAP_SHARED, fd, (off_t)(at - *skipped));
    if (memory == MAP_FAILED) {
        fail("mmap", at);
    }
    return memory;
}

static void do_map_read(void)
{
    uint64_t at, len, skipped;
    unsigned char *memory;

    if (!pick(false, &at, &len)) {
        return;
    }
    say("mapped read %" PRIu64 " +%" PRIu64, at, len);
    memory = map(at, len, PROT_READ, &skipped);
    compare(memory + skipped, at, len);
    munmap(memory, len + skipped);
}

static void do_map_write(void)
{
    uint64_t at, len, skipped;
    unsigned char *memory;

    if (!pick(false, &at, &len)) {
        return;
    }
    say("mapped write %" PRIu64 " +%" PRIu64, at, len);
    fill(len);
    memory = map(at, len, PROT_READ | PROT_WRITE, &skipped);
    memcpy(memory + skipped, bytes, len);
    memcpy(model + at, bytes, len);
    if (random_below(&state, 2) == 0 && msync(memory, len + skipped, MS_SYNC) < 0) {
        fail("msync", at);
    }
    munmap(memory, len + skipped);
}

static void do_truncate(void)
{
    uint64_t to = random_below(&state, largest + 1);

    if (is_fixed) {
        return;
    }
    say("truncate %" PRIu64 " from %" PRIu64, to, size);
    if (ftruncate(fd, (off_t)to) < 0) {
        fail("ftruncate", to);
    }
    if (to < size) {
        memset(model + to, 0, size - to);
    }
    size = to;
}

static void do_allocate(int mode, const char *what)
{
    uint64_t at, len;

    if (!pick(mode == 0, &at, &len)) {
        return;
    }
    say("%s %" PRIu64 " +%" PRIu64, what, at, len);
    if (fallocate(fd, mode, (off_t)at, (off_t)len) < 0) {
        if (errno == EOPNOTSUPP) {
            return;
        }
        fail(what, at);
    }
    if (mode == 0) {
        grow(at + len);
    } else {
        memset(model + at, 0, len);
    }
}

static void do_copy(void)
{
    uint64_t from, to, len;
    off_t in, out;
    ssize_t copied;

    if (!pick(false, &from, &len)) {
        return;
    }
    to = random_below(&state, is_fixed ? size : largest);
    len = len < (is_fixed ? size : largest) - to ? len : (is_fixed ? size : largest) - to;
    if (from < to + len && to < from + len) {
        return;
    }
    say("copy %" PRIu64 " +%" PRIu64 " to %" PRIu64, from, len, to);
    in = (off_t)from;
    out = (off_t)to;
    copied = copy_file_range(fd, &in, fd, &out, len, 0);
    if (copied < 0) {
        if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EXDEV) {
            return;
        }
        fail("copy_file_range", from);
    }
    memcpy(model + to, model + from, (size_t)copied);
    if (copied > 0) {
        grow(to + (uint64_t)copied);
    }
}

static void check_size(void)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != size) {
        fail("a wrong size", (uint64_t)st.st_size);
    }
}

static void check_whole(void)
{
    for (uint64_t at = 0; at < size; at += MOST_BYTES) {
        uint64_t len = size - at < MOST_BYTES ? size - at : MOST_BYTES;

        if (pread(fd, bytes, len, (off_t)at) != (ssize_t)len) {
            fail("a short read of the whole", at);
        }
        compare(bytes, at, len);
    }
}

static void do_step(void)
{
    switch (random_below(&state, 14)) {
    case 0:
    case 1:
        do_read();
        break;
    case 2:
    case 3:
        do_write();
        break;
    case 4:
        do_append();
        break;
    case 5:
    case 6:
        do_map_read();
        break;
    case 7:
    case 8:
        do_map_write();
        break;
    case 9:
        do_truncate();
        break;
    case 10:
        do_allocate(0, "allocate");
        break;
    case 11:
        do_allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "punch");
        break;
    case 12:
        do_copy();
        break;
    case 13:
        say("close and open");
        if (random_below(&state, 2) == 0 && fsync(fd) < 0) {
            fail("fsync", 0);
        }
        reopen();
        break;
    }
    check_size();
}

int main(int argc, char **argv)
{
    uint64_t steps;

    if (argc < 5) {
        return 2;
    }
    path = argv[1];
    state = seeded(strtoull(argv[2], NULL, 0));
    steps = strtoull(argv[3], NULL, 0);
    largest = strtoull(argv[4], NULL, 0);
    is_fixed = argc > 5;
    model = calloc(1, largest);
    bytes = malloc(MOST_BYTES);
    if (largest == 0 || model == NULL || bytes == NULL) {
        return 2;
    }
    reopen();
    size = is_fixed ? largest : 0;
    if (!is_fixed && ftruncate(fd, 0) < 0) {
        fail("ftruncate", 0);
    }
    check_size();
    for (; step < steps; step++) {
        say("nothing");
        do_step();
        if (step % 100 == 99) {
            check_whole();
        }
    }
    check_whole();
    printf("fsx: %" PRIu64 " steps, %" PRIu64 " bytes, hash %016" PRIx64 "\n", steps, size,
           hash_of(HASH_OF_NOTHING, model, size));
    return 0;
}
