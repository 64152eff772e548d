/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_VIRTIOFS_RIG_H
#define VHUSHMEM_TESTS_VIRTIOFS_RIG_H

/*
 * The process of virtiofs-process.h with the driver of virtiofs-driver.h, and requests that tests
 * make often.
 */

#include "virtiofs-driver.h"

/* All of it, with `queues` queues and these options; mounted. */
static inline void vfs_open_with(vfs *v, unsigned queues, const char *const *options)
{
    static const char *const usual[] = {"--window", "16M", "--num-request-queues", "3", NULL};
    vfs_folders(v);
    v->queues = queues;
    vfs_memory(v);
    vfs_start(v, options != NULL ? options : usual);
    vfs_connect(v);
    vfs_run(v, NULL);
    vfs_init(v);
}

static inline void vfs_open(vfs *v) { vfs_open_with(v, 4, NULL); }

/* Ends the device, which must have lived until now; its status is `status`. */
static inline void vfs_end(vfs *v, int status)
{
    int seen;
    CHECK(kill(v->pid, SIGTERM) == 0);
    CHECK(waitpid(v->pid, &seen, 0) == v->pid);
    EQ(WIFEXITED(seen) ? WEXITSTATUS(seen) : 1000 + WTERMSIG(seen), status);
    CHECK(access(v->socket, F_OK) < 0);
}

static inline void remove_tree(const char *path)
{
    char *command[] = {"/bin/rm", "-rf", (char *)path, NULL};
    ok(g_spawn_sync(NULL, command, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, NULL, &error)
           ? 0
           : -1);
}

static inline void vfs_close(vfs *v)
{
    char *secret = g_strdup_printf("%s/secret", v->base);
    CHECK(host_is(secret, SECRET, strlen(SECRET)));
    g_free(secret);
    if (v->frontend != NULL) {
        vhushmem_frontend_free(v->frontend);
    }
    vfs_end(v, 0);
    munmap(v->ram, GUEST_RAM_SIZE);
    close(v->ram_fd);
    for (unsigned i = 0; i < MOST_QUEUES; i++) {
        close(v->rings[i].kick);
        close(v->rings[i].call);
    }
    remove_tree(v->base);
    g_free(v->base);
    g_free(v->shared);
    g_free(v->socket);
}

/* ---- what tests ask often ---- */

static inline int vfs_lookup(vfs *v, uint64_t parent, const char *name)
{
    return vfs_name(v, FUSE_LOOKUP, parent, NULL, 0, name);
}

/* The node id of an entry that is there. */
static inline uint64_t vfs_node(vfs *v, uint64_t parent, const char *name)
{
    ok(vfs_lookup(v, parent, name));
    return BODY(v, struct fuse_entry_out)->nodeid;
}

/* The handle of a file that can be opened. */
static inline uint64_t vfs_handle(vfs *v, uint64_t node, uint32_t flags)
{
    struct fuse_open_in in = {.flags = flags};
    ok(vfs_ask(v, FUSE_OPEN, node, &in, sizeof(in), sizeof(struct fuse_open_out)));
    return BODY(v, struct fuse_open_out)->fh;
}

static inline int vfs_read(vfs *v, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size)
{
    struct fuse_read_in in = {.fh = fh, .offset = offset, .size = size};
    return vfs_ask(v, FUSE_READ, node, &in, sizeof(in), size);
}

static inline int vfs_write(vfs *v, uint64_t node, uint64_t fh, uint64_t offset, const void *bytes,
                            uint32_t size, uint32_t flags)
{
    struct fuse_write_in in = {.fh = fh, .offset = offset, .size = size, .flags = flags};
    return vfs_ask2(v, FUSE_WRITE, node, &in, sizeof(in), bytes, size,
                    sizeof(struct fuse_write_out));
}

static inline int vfs_release(vfs *v, uint64_t node, uint64_t fh)
{
    struct fuse_release_in in = {.fh = fh};
    return vfs_ask(v, FUSE_RELEASE, node, &in, sizeof(in), 0);
}

static inline void vfs_forget(vfs *v, uint64_t node, uint64_t count)
{
    struct fuse_forget_in in = {.nlookup = count};
    uint8_t *at = v->ram + REQUEST_AT;
    vfs_header(v, at, FUSE_FORGET, node, sizeof(in));
    memcpy(at + sizeof(struct fuse_in_header), &in, sizeof(in));
    vfs_chain(v, 0, 0, REQUEST_AT, sizeof(struct fuse_in_header) + sizeof(in), 0, 0);
    vfs_offer(v, 0, 0);
    EQ(vfs_take(v, 0, NULL), 0);
}

static inline int vfs_map(vfs *v, uint64_t node, uint64_t offset, uint64_t at, uint64_t len,
                          bool writable)
{
    struct fuse_setupmapping_in in = {.fh = UINT64_MAX,
                                      .foffset = offset,
                                      .len = len,
                                      .flags = FUSE_SETUPMAPPING_FLAG_READ |
                                               (writable ? FUSE_SETUPMAPPING_FLAG_WRITE : 0),
                                      .moffset = at};
    return vfs_ask(v, FUSE_SETUPMAPPING, node, &in, sizeof(in), 0);
}

static inline int vfs_unmap(vfs *v, uint64_t at, uint64_t len)
{
    struct fuse_removemapping_one one = {.moffset = at, .len = len};
    struct fuse_removemapping_in in = {.count = 1};
    return vfs_ask2(v, FUSE_REMOVEMAPPING, FUSE_ROOT_ID, &in, sizeof(in), &one, sizeof(one), 0);
}

/* Descriptors of the process that serves. */
static inline int vfs_descriptors(vfs *v)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", v->child);
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

#endif
