/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several processes, each in its own folder, use names and files as programs do, at random but the same for a seed. In the end
 * each prints a hash of all results on the way, and a hash of the tree that is left. The same seed gives the same lines on every
 * correct file system.
 *
 * Usage: fsstress FOLDER SEED STEPS PROCESSES
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "random.h"

#define NAMES 12
#define LARGEST 40000
#define MOST_ENTRIES 256

static uint64_t state, results = HASH_OF_NOTHING;
static unsigned char bytes[LARGEST];
static bool is_told;

/** The result of an operation belongs to what was seen: a negative errno, or the number itself. */
static void seen(const char *what, int64_t result)
{
    int64_t value = result < 0 ? -errno : result;

    if (is_told) {
        printf("%s %" PRId64 "\n", what, value);
    }
    results = hash_of(results, what, strlen(what));
    results = hash_of(results, &value, sizeof(value));
}

/** A name in the folder itself or in one of three folders in it. */
static void pick(char *name, size_t room)
{
    uint64_t folder = random_below(&state, 4), number = random_below(&state, NAMES);

    if (folder == 0) {
        snprintf(name, room, "n%" PRIu64, number);
    } else {
        snprintf(name, room, "d%" PRIu64 "/n%" PRIu64, folder, number);
    }
}

static void fill(size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (unsigned char)(next_random(&state) >> 40);
    }
}

static void do_write(const char *name)
{
    static const int ways[] = {O_CREAT, O_CREAT | O_TRUNC, O_CREAT | O_EXCL, O_CREAT | O_APPEND, O_APPEND, 0};
    int flags = ways[random_below(&state, 6)], fd;
    size_t len = random_below(&state, LARGEST), at = random_below(&state, LARGEST);

    fill(len);
    fd = open(name, O_RDWR | flags, 0640);
    seen("open", fd < 0 ? -1 : 0);
    if (fd < 0) {
        return;
    }
    seen("pwrite", pwrite(fd, bytes, len, (off_t)at));
    seen("close", close(fd));
}

static void do_read(const char *name)
{
    int fd = open(name, O_RDONLY | O_NOFOLLOW);
    ssize_t got;

    seen("open", fd < 0 ? -1 : 0);
    if (fd < 0) {
        return;
    }
    got = pread(fd, bytes, sizeof(bytes), (off_t)random_below(&state, LARGEST));
    seen("pread", got);
    if (got > 0) {
        results = hash_of(results, bytes, (uint64_t)got);
    }
    close(fd);
}

static void do_map(const char *name)
{
    int fd = open(name, O_RDWR | O_NOFOLLOW);
    struct stat st;
    unsigned char *memory;

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0 || !S_ISREG(st.st_mode)) {
        seen("open to map", fd < 0 ? -1 : 0);
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    seen("mmap", memory == MAP_FAILED ? -1 : 0);
    close(fd);
    if (memory == MAP_FAILED) {
        return;
    }
    results = hash_of(results, memory, (uint64_t)st.st_size);
    memory[random_below(&state, (uint64_t)st.st_size)] ^= 1;
    seen("munmap", munmap(memory, (size_t)st.st_size));
}

/** An open file lives on without a name. */
static void do_nameless(const char *name)
{
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    char text[6] = "";

    seen("create", fd < 0 ? -1 : 0);
    if (fd < 0) {
        return;
    }
    seen("unlink", unlink(name));
    seen("write", pwrite(fd, "alive", 5, 3000));
    seen("read", pread(fd, text, 5, 3000));
    seen("says so", strcmp(text, "alive"));
    seen("truncate", ftruncate(fd, 10));
    close(fd);
}

static void do_attributes(const char *name)
{
    static const mode_t modes[] = {0600, 0644, 0755, 0400, 04755, 01777};
    struct timespec times[2] = {{.tv_sec = (time_t)random_below(&state, 2000000000), .tv_nsec = 5},
                                {.tv_sec = (time_t)random_below(&state, 2000000000), .tv_nsec = 123456789}};

    switch (random_below(&state, 4)) {
    case 0:
        seen("chmod", chmod(name, modes[random_below(&state, 6)]));
        break;
    case 1:
        seen("utimensat", utimensat(AT_FDCWD, name, times, AT_SYMLINK_NOFOLLOW));
        break;
    case 2:
        seen("chown", lchown(name, (uid_t)random_below(&state, 5), (gid_t)random_below(&state, 5)));
        break;
    case 3:
        seen("truncate", truncate(name, (off_t)random_below(&state, LARGEST)));
        break;
    }
}

static void do_xattr(const char *name)
{
    char attribute[16], value[64];
    ssize_t got;

    snprintf(attribute, sizeof(attribute), "user.a%d", (int)random_below(&state, 3));
    switch (random_below(&state, 3)) {
    case 0:
        seen("setxattr", setxattr(name, attribute, bytes, random_below(&state, sizeof(value)), 0));
        break;
    case 1:
        seen("removexattr", removexattr(name, attribute));
        break;
    case 2:
        got = getxattr(name, attribute, value, sizeof(value));
        seen("getxattr", got);
        if (got > 0) {
            results = hash_of(results, value, (uint64_t)got);
        }
        break;
    }
}

static void do_stat(const char *name)
{
    struct stat st;
    int rc = lstat(name, &st);

    seen("lstat", rc);
    if (rc == 0) {
        seen("mode", st.st_mode);
        seen("links", S_ISDIR(st.st_mode) ? 0 : (int64_t)st.st_nlink);
        seen("size", S_ISDIR(st.st_mode) ? 0 : st.st_size);
        seen("owner", st.st_uid);
        seen("group", st.st_gid);
        seen("mtime", 0);
    }
}

static void do_step(void)
{
    char name[32], other[32];

    pick(name, sizeof(name));
    pick(other, sizeof(other));
    switch (random_below(&state, 18)) {
    case 0:
    case 1:
    case 2:
        do_write(name);
        break;
    case 3:
    case 4:
        do_read(name);
        break;
    case 5:
        do_map(name);
        break;
    case 6:
        do_nameless(name);
        break;
    case 7:
        do_attributes(name);
        break;
    case 8:
        do_xattr(name);
        break;
    case 9:
        seen("mkdir", mkdir(name, 0755));
        break;
    case 10:
        seen("rmdir", rmdir(name));
        break;
    case 11:
        seen("unlink", unlink(name));
        break;
    case 12:
        seen("link", link(name, other));
        break;
    case 13:
        seen("symlink", symlink(other, name));
        break;
    case 14:
        seen("rename", rename(name, other));
        break;
    case 15:
        seen("exchange", renameat2(AT_FDCWD, name, AT_FDCWD, other, RENAME_EXCHANGE));
        break;
    case 16:
        seen("rename to a new name", renameat2(AT_FDCWD, name, AT_FDCWD, other, RENAME_NOREPLACE));
        break;
    case 17:
        do_stat(name);
        break;
    }
}

/* ---- the tree ---- */

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void look_at(const char *path, uint64_t *hash, unsigned *count)
{
    struct stat st;
    ssize_t got;
    char *names[MOST_ENTRIES], below[512];
    size_t found = 0;
    struct dirent *entry;
    DIR *folder;
    int fd;

    if (lstat(path, &st) < 0) {
        printf("fsstress: %s is listed and not there (errno %d)\n", path, errno);
        exit(1);
    }
    (*count)++;
    *hash = hash_of(*hash, path, strlen(path));
    *hash = hash_of(*hash, &st.st_mode, sizeof(st.st_mode));
    *hash = hash_of(*hash, &st.st_uid, sizeof(st.st_uid));
    if (S_ISREG(st.st_mode)) {
        *hash = hash_of(*hash, &st.st_nlink, sizeof(st.st_nlink));
        *hash = hash_of(*hash, &st.st_size, sizeof(st.st_size));
        fd = open(path, O_RDONLY);
        while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
            *hash = hash_of(*hash, bytes, (uint64_t)got);
        }
        close(fd);
    } else if (S_ISLNK(st.st_mode)) {
        got = readlink(path, (char *)bytes, sizeof(bytes));
        *hash = hash_of(*hash, bytes, got < 0 ? 0 : (uint64_t)got);
    } else if (S_ISDIR(st.st_mode) && (folder = opendir(path)) != NULL) {
        while ((entry = readdir(folder)) != NULL && found < MOST_ENTRIES) {
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
                names[found++] = strdup(entry->d_name);
            }
        }
        closedir(folder);
        qsort(names, found, sizeof(names[0]), by_name);
        for (size_t i = 0; i < found; i++) {
            snprintf(below, sizeof(below), "%s/%s", path, names[i]);
            look_at(below, hash, count);
            free(names[i]);
        }
    }
}

static int be_one(const char *folder, int number, uint64_t seed, uint64_t steps)
{
    uint64_t hash = HASH_OF_NOTHING;
    unsigned count = 0;
    char name[32];

    snprintf(name, sizeof(name), "p%d", number);
    if (chdir(folder) < 0 || mkdir(name, 0755) < 0 || chdir(name) < 0) {
        perror(name);
        return 1;
    }
    state = seeded(seed * 100 + (uint64_t)number);
    for (int i = 1; i < 4; i++) {
        snprintf(name, sizeof(name), "d%d", i);
        seen("mkdir", mkdir(name, 0755));
    }
    for (uint64_t i = 0; i < steps; i++) {
        do_step();
    }
    look_at(".", &hash, &count);
    printf("process %d: results %016" PRIx64 " tree %016" PRIx64 " of %u\n", number, results, hash, count);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    bool is_right = true;
    int status, processes;

    if (argc < 5) {
        return 2;
    }
    umask(022);
    is_told = getenv("FSSTRESS_TELLS") != NULL;
    processes = atoi(argv[4]);
    for (int i = 0; i < processes; i++) {
        if (fork() == 0) {
            exit(be_one(argv[1], i, strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0)));
        }
    }
    while (wait(&status) > 0) {
        is_right = is_right && status == 0;
    }
    return is_right ? 0 : 1;
}
