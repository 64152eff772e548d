/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_FUSE_RIG_H
#define VHUSHMEM_TESTS_FUSE_RIG_H

/*
 * A FUSE server in a child process. Each of its files is one page of a pattern. It answers the
 * FLUSH of one of them when the test allows it. Needs the right to mount, and /dev/fuse.
 */

#include "memory-rig.h"

#include <linux/fuse.h>
#include <signal.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

/* Files by their node. */
enum { NODE_ROOT = 1, NODE_GOOD, NODE_FLUSH, NODES };

static const char *const node_names[NODES] = {[NODE_GOOD] = "good", [NODE_FLUSH] = "flush"};

#define FUSE_FILE_BYTES ((uint64_t)1 << 20)

/* Shared with the server. */
typedef struct fuse_shared {
    int held;   /* requests that wait for an answer */
    int let_go; /* 1: the server answers them */
} fuse_shared;

typedef struct fuse_rig {
    fuse_shared *shared;
    char *directory;
    pid_t server;
} fuse_rig;

static inline void fuse_reply(int device, uint64_t unique, int code, const void *payload,
                              size_t size)
{
    struct fuse_out_header header = {
        .len = (uint32_t)(sizeof(header) + size), .error = code, .unique = unique};
    struct iovec parts[2] = {{&header, sizeof(header)}, {(void *)payload, size}};
    /* The process that asked may have gone. */
    (void)!writev(device, parts, size > 0 ? 2 : 1);
}

static inline struct fuse_attr fuse_attributes(uint64_t node)
{
    struct fuse_attr a = {.ino = node, .nlink = 1, .blksize = 4096};
    a.mode = node == NODE_ROOT ? S_IFDIR | 0777 : S_IFREG | 0666;
    a.size = node == NODE_ROOT ? 0 : FUSE_FILE_BYTES;
    return a;
}

static inline __attribute__((noreturn)) void fuse_serve(int device, fuse_shared *shared)
{
    static char buffer[1 << 18];
    uint64_t held[64];
    int held_count = 0;
    for (;;) {
        if (held_count > 0 && __atomic_load_n(&shared->let_go, __ATOMIC_ACQUIRE)) {
            while (held_count > 0) {
                fuse_reply(device, held[--held_count], 0, NULL, 0);
            }
            __atomic_store_n(&shared->held, 0, __ATOMIC_RELEASE);
        }
        if (!wait_readable(device, 10)) {
            continue;
        }
        ssize_t n = read(device, buffer, sizeof(buffer));
        if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) {
            continue;
        }
        if (n < (ssize_t)sizeof(struct fuse_in_header)) {
            _exit(0);
        }
        struct fuse_in_header *request = (struct fuse_in_header *)buffer;
        const void *payload = request + 1;
        uint64_t unique = request->unique, node = request->nodeid;
        switch (request->opcode) {
        case FUSE_INIT: {
            const struct fuse_init_in *in = payload;
            struct fuse_init_out out = {
                .major = 7, .minor = in->minor < 38 ? in->minor : 38, .max_write = 1 << 16};
            out.max_readahead = 1 << 16;
            out.flags = FUSE_ASYNC_READ;
            fuse_reply(device, unique, 0, &out, sizeof(out));
            break;
        }
        case FUSE_GETATTR: {
            struct fuse_attr_out out = {.attr_valid = 3600, .attr = fuse_attributes(node)};
            fuse_reply(device, unique, 0, &out, sizeof(out));
            break;
        }
        case FUSE_LOOKUP: {
            uint64_t found = NODE_GOOD;
            while (found < NODES && strcmp(payload, node_names[found]) != 0) {
                found++;
            }
            if (found == NODES) {
                fuse_reply(device, unique, -ENOENT, NULL, 0);
                break;
            }
            struct fuse_entry_out out = {.nodeid = found,
                                         .entry_valid = 3600,
                                         .attr_valid = 3600,
                                         .attr = fuse_attributes(found)};
            fuse_reply(device, unique, 0, &out, sizeof(out));
            break;
        }
        case FUSE_OPEN: {
            struct fuse_open_out out = {.fh = node, .open_flags = FOPEN_KEEP_CACHE};
            fuse_reply(device, unique, 0, &out, sizeof(out));
            break;
        }
        case FUSE_READ: {
            const struct fuse_read_in *in = payload;
            static uint64_t words[1 << 14];
            size_t size = in->size < sizeof(words) ? in->size : sizeof(words);
            for (size_t i = 0; i < size / 8; i++) {
                words[i] = pattern(node, in->offset + i * 8);
            }
            fuse_reply(device, unique, 0, words, size);
            break;
        }
        case FUSE_FLUSH:
            if (node == NODE_FLUSH && held_count < 64) {
                held[held_count++] = unique;
                __atomic_store_n(&shared->held, held_count, __ATOMIC_RELEASE);
                break;
            }
            fuse_reply(device, unique, 0, NULL, 0);
            break;
        case FUSE_FORGET:
        case FUSE_BATCH_FORGET:
        case FUSE_INTERRUPT:
            break;
        case FUSE_RELEASE:
            fuse_reply(device, unique, 0, NULL, 0);
            break;
        default:
            fuse_reply(device, unique, -ENOSYS, NULL, 0);
        }
    }
}

static inline void fuse_begin_or_skip(fuse_rig *f)
{
    int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        skip("/dev/fuse cannot be opened");
    }
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0) {
        skip("no file system can be mounted here");
    }
    f->directory = new_directory();
    char *options = g_strdup_printf("fd=%d,rootmode=40000,user_id=%d,group_id=%d", device,
                                    (int)geteuid(), (int)getegid());
    if (mount("test", f->directory, "fuse", MS_NOSUID | MS_NODEV, options) != 0) {
        remove_directory(f->directory);
        skip("no FUSE file system can be mounted here");
    }
    g_free(options);
    f->shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(f->shared != MAP_FAILED);
    fflush(NULL);
    f->server = fork();
    CHECK(f->server >= 0);
    if (f->server == 0) {
        /* A test that fails leaves no mount behind. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fuse_serve(device, f->shared);
    }
    close(device);
}

static inline int fuse_open(fuse_rig *f, int node, int flags)
{
    char *path = g_strdup_printf("%s/%s", f->directory, node_names[node]);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) {
        FAIL("%s: %s", path, strerror(errno));
    }
    g_free(path);
    return fd;
}

static inline int fuse_held(fuse_rig *f)
{
    return __atomic_load_n(&f->shared->held, __ATOMIC_ACQUIRE);
}

static inline void fuse_let_go(fuse_rig *f, bool let_go)
{
    __atomic_store_n(&f->shared->let_go, let_go, __ATOMIC_RELEASE);
}

/* Answers all that waits, and ends the server. */
static inline void fuse_end(fuse_rig *f)
{
    fuse_let_go(f, true);
    umount2(f->directory, MNT_DETACH);
    kill(f->server, SIGKILL);
    CHECK(waitpid(f->server, NULL, 0) == f->server);
    munmap(f->shared, PAGE);
    rmdir(f->directory);
    g_free(f->directory);
}

#endif
