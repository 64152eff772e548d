/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest exchanges a directory and a symbolic link that leads out of the shared directory as fast as it can. Meanwhile it
 * looks names up below and makes files there. It never reaches anything outside: all its operations use descriptors, and the
 * host follows no link.
 */
#include "virtiofs-rig.h"

static vfs v;
static bool stop;

/* Another program of the host: "d" is a directory, a link that leads out, a directory, ... */
static void *exchange(void *unused)
{
    (void)unused;
    char *dir = g_strdup_printf("%s/d", v.shared), *link = g_strdup_printf("%s/l", v.shared);
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        CHECK(renameat2(AT_FDCWD, dir, AT_FDCWD, link, RENAME_EXCHANGE) == 0);
    }
    g_free(dir);
    g_free(link);
    return NULL;
}

/* The guest never sees the secret, in any way. */
static void look(uint64_t node)
{
    struct fuse_open_in in = {.flags = O_RDONLY};
    if (vfs_ask(&v, FUSE_OPEN, node, &in, sizeof(in), sizeof(struct fuse_open_out)) == 0) {
        uint64_t fh = BODY(&v, struct fuse_open_out)->fh;
        if (vfs_read(&v, node, fh, 0, 100) == 0) {
            CHECK(v.head.len < sizeof(v.head) + strlen(SECRET) || memcmp(v.body, SECRET, strlen(SECRET)) != 0);
        }
        vfs_release(&v, node, fh);
    }
}

int main(void)
{
    pthread_t thread;
    int links = 0, directories = 0;
    vfs_open(&v);
    CHECK(mkdir(host_path(&v, "d"), 0755) == 0 && symlink("../", host_path(&v, "l")) == 0);
    host_write(host_path(&v, "d/secret"), "harmless", 8);
    CHECK(pthread_create(&thread, NULL, exchange, NULL) == 0);
    for (int i = 0; i < steps(1500) || links == 0 || directories == 0; i++) {
        CHECK(i < 1000000);
        uint64_t dir = vfs_node(&v, FUSE_ROOT_ID, i % 2 == 0 ? "d" : "l");
        bool is_link = (BODY(&v, struct fuse_entry_out)->attr.mode & S_IFMT) == S_IFLNK;
        links += is_link;
        directories += !is_link;
        int found = vfs_lookup(&v, dir, "secret");
        CHECK(found == (is_link ? -ENOTDIR : 0) || found == -ENOENT);
        if (found == 0) {
            look(BODY(&v, struct fuse_entry_out)->nodeid);
        }
        struct fuse_create_in create = {.flags = O_CREAT | O_RDWR, .mode = 0644};
        int made = vfs_name(&v, FUSE_CREATE, dir, &create, sizeof(create), "mine");
        CHECK(is_link ? made == -ENOTDIR : made == 0);
        if (made == 0) {
            uint64_t node = BODY(&v, struct fuse_entry_out)->nodeid;
            vfs_release(&v, node, ((const struct fuse_open_out *)(v.body + sizeof(struct fuse_entry_out)))->fh);
        }
        vfs_name(&v, FUSE_UNLINK, dir, NULL, 0, "mine");
        /* The link itself is no way to a file. */
        if (is_link) {
            look(dir);
        }
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    CHECK(pthread_join(thread, NULL) == 0);
    char *outside = g_strdup_printf("%s/mine", v.base);
    CHECK(access(outside, F_OK) < 0);
    g_free(outside);
    printf("note: %d links and %d directories\n", links, directories);
    vfs_close(&v);
    return 0;
}
