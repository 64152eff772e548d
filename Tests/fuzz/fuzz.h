/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_FUZZ_H
#define VHUSHMEM_TESTS_FUZZ_H

/*
 * What the targets in C share: the input's bytes, and files of many kinds to send. Include it
 * first.
 */

#define END_OF_FAILURE() abort() /* libFuzzer keeps the input of a process that aborts */
#include "channel-rig.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the input ---- */

typedef struct input {
    const uint8_t *at, *end;
} input;

/* Zeros follow the end. */
static inline uint8_t take(input *in) { return in->at < in->end ? *in->at++ : 0; }
static inline bool is_over(const input *in) { return in->at >= in->end; }
static inline uint32_t below(input *in, uint32_t limit) { return take(in) % limit; }

static inline uint64_t take_word(input *in, unsigned bytes)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < bytes; i++) {
        word |= (uint64_t)take(in) << 8 * i;
    }
    return word;
}

/* As a rule some pages. Otherwise a number near the limits, or any number. */
static inline uint64_t take_size(input *in, uint64_t page)
{
    uint8_t kind = take(in), small = take(in);
    switch (kind) {
    default:
        return (small & 63) * page;
    case 240 ... 244:
        return (small & 63) * page + 1;
    case 245 ... 247:
        return (small & 63) * page - 1;
    case 248:
        return small;
    case 249:
        return 0 - small * page;
    case 250:
        return UINT64_MAX - small;
    case 251:
        return (UINT64_C(1) << 63) + small * page;
    case 252:
        return (UINT64_C(1) << 63) - (small + 1) * page;
    case 253 ... 255:
        return take_word(in, 8);
    }
}

/* ---- descriptors to send ---- */

typedef enum kind {
    PLAIN,
    READ_ONLY,
    WRITE_ONLY,
    SEALED_WRITE,
    SEALED_FUTURE_WRITE,
    SEALED_SHRINK,
    SHORT_FILE, /* four pages and 100 bytes */
    EMPTY_FILE,
    PATH_ONLY,
    DIRECTORY,
    PIPE,
    SOCKET,
    EVENTFD,
    EPOLL,
    BROKEN_PIPE,   /* its reader has closed */
    BROKEN_SOCKET, /* likewise */
    DEV_NULL,
    DEV_ZERO,
    KINDS
} kind;

#define FILE_PAGES 16

typedef struct file {
    int fd;
    uint64_t size; /* of a regular file */
    uint64_t seed;
} file;

static file files[KINDS];

static inline int sealed(uint64_t seed, int seals)
{
    int fd = memfd_of(FILE_PAGES * PAGE, seed);
    CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

static inline int opened(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static inline void on_sigpipe(int signal)
{
    (void)signal;
    FAIL("SIGPIPE was raised: it would end the process of somebody who does not expect it");
}

/* Once for the process: no input changes them. */
static inline void files_open(void)
{
    signal(SIGPIPE, on_sigpipe);
    int pair[2];
    char path[64];
    for (unsigned i = 0; i < KINDS; i++) {
        files[i].size = FILE_PAGES * PAGE;
        files[i].seed = i;
    }
    files[PLAIN].fd = memfd_of(FILE_PAGES * PAGE, PLAIN);
    files[READ_ONLY].fd = read_only(files[PLAIN].fd);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", files[PLAIN].fd);
    files[WRITE_ONLY].fd = opened(path, O_WRONLY);
    files[PATH_ONLY].fd = opened(path, O_PATH);
    files[READ_ONLY].seed = PLAIN;
    files[SEALED_WRITE].fd = sealed(SEALED_WRITE, F_SEAL_WRITE);
    files[SEALED_FUTURE_WRITE].fd = sealed(SEALED_FUTURE_WRITE, F_SEAL_FUTURE_WRITE);
    files[SEALED_SHRINK].fd = sealed(SEALED_SHRINK, F_SEAL_SHRINK);
    files[SHORT_FILE].size = 4 * PAGE + 100;
    files[SHORT_FILE].fd = memfd_of(4 * PAGE, SHORT_FILE);
    CHECK(ftruncate(files[SHORT_FILE].fd, (off_t)files[SHORT_FILE].size) == 0);
    files[EMPTY_FILE].size = 0;
    files[EMPTY_FILE].fd = memfd_of(0, EMPTY_FILE);
    files[DIRECTORY].fd = opened("/", O_RDONLY | O_DIRECTORY);
    CHECK(pipe2(pair, O_CLOEXEC) == 0);
    files[PIPE].fd = pair[0];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    files[SOCKET].fd = pair[0];
    CHECK(pipe2(pair, O_CLOEXEC | O_NONBLOCK) == 0);
    close(pair[0]);
    files[BROKEN_PIPE].fd = pair[1];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    close(pair[0]);
    files[BROKEN_SOCKET].fd = pair[1];
    files[EVENTFD].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    files[EPOLL].fd = epoll_create1(EPOLL_CLOEXEC);
    files[DEV_NULL].fd = opened("/dev/null", O_RDWR);
    files[DEV_ZERO].fd = opened("/dev/zero", O_RDWR);
}

/* ---- what holds at the end of each input ---- */

typedef struct held {
    int descriptors, mappings;
} held;

/*
 * Open descriptors, and mappings of memfds. Counted from text in one piece, because this happens
 * twice for each input.
 */
static inline held held_now(void)
{
    static char text[1 << 18];
    held now = {fd_count(), 0};
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t size = 0;
    for (ssize_t n; size < sizeof(text) && (n = read(fd, text + size, sizeof(text) - size)) > 0;
         size += (size_t)n) {}
    close(fd);
    for (char *at = text; (at = memmem(at, size - (size_t)(at - text), "/memfd:", 7)) != NULL;
         at++) {
        now.mappings++;
    }
    return now;
}

static inline void nothing_is_left(held before)
{
    held after = held_now();
    if (after.descriptors != before.descriptors) {
        FAIL("%d descriptors were open, and now %d are", before.descriptors, after.descriptors);
    }
    if (after.mappings != before.mappings) {
        FAIL("%d ranges of memfds were mapped, and now %d are", before.mappings, after.mappings);
    }
}

/* A socket pair that never blocks. */
static inline void two_sockets(int pair[2])
{
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
}

#endif
