/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Inodes: the files of node ids. An O_PATH descriptor holds the file of an inode, so no other file gets its number meanwhile.
 * With --inode-file-handles=prefer, a file handle of the kernel takes the place of the descriptor.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/magic.h>
#include <linux/openat2.h>

/* No component leads out of the directory of the lookup. None is a symbolic link, neither a normal one nor one of /proc. */
#define WITHIN (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
#define LARGEST_HANDLE 128

const char *proc_name(char *name, int fd)
{
    snprintf(name, PROC_NAME, "%d", fd);
    return name;
}

/* ---- keys ---- */

static guint key_hash(gconstpointer p)
{
    const struct inode_key *key = p;
    uint64_t mixed = (key->ino ^ key->dev << 32 ^ key->mount << 48) * UINT64_C(0x9e3779b97f4a7c15);

    return (guint)(mixed >> 32);
}

static gboolean key_equal(gconstpointer a, gconstpointer b) { return memcmp(a, b, sizeof(struct inode_key)) == 0; }

static struct inode_key key_of(const struct statx *st)
{
    return (struct inode_key){.dev = (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor,
                              .ino = st->stx_ino,
                              .mount = (st->stx_mask & STATX_MNT_ID) != 0 ? st->stx_mnt_id : 0};
}

/* ---- attributes from the kernel ---- */

int fs_stat_fd(int fd, struct statx *st)
{
    unsigned mask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;

    return statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, mask, st) < 0 ? -errno : 0;
}

int fs_stat(struct fs *fs, const struct inode *inode, struct statx *st)
{
    int fd = fs_get_fd(fs, inode), rc;

    if (fd < 0) {
        return fd;
    }
    rc = fs_stat_fd(fd, st);
    fs_put_fd(inode, fd);
    return rc;
}

/** Whether it is a file of /proc. One such file is this process's own memory, so a guest gets none. */
static bool is_of_proc(int fd)
{
    struct statfs about;

    return fstatfs(fd, &about) == 0 && about.f_type == PROC_SUPER_MAGIC;
}

/* ---- the table ---- */

static void inode_free(gpointer p)
{
    struct inode *inode = p;

    if (inode->fd >= 0) {
        close(inode->fd);
    }
    g_free(inode->handle);
    g_free(inode);
}

int fs_open(struct fs *fs, const struct fs_config *config, int whole_fd, int proc_fd)
{
    struct statx st;
    int rc;

    memset(fs, 0, sizeof(*fs));
    fs->config = *config;
    fs->whole_fd = whole_fd;
    fs->proc_fd = proc_fd;
    fs->root_fd = openat(whole_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fs->root_fd < 0) {
        return -errno;
    }
    rc = fs_stat_fd(fs->root_fd, &st);
    if (rc == 0 && is_of_proc(fs->root_fd)) {
        rc = -EACCES;
    }
    if (rc < 0) {
        close(fs->root_fd);
        return rc;
    }
    fs->root = (struct inode){.key = key_of(&st), .id = FUSE_ROOT_ID, .lookups = 1, .type = S_IFDIR, .fd = fs->root_fd};
    fs->root_mount = fs->root.key.mount;
    fs->inodes = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, inode_free);
    fs->inodes_by_key = g_hash_table_new(key_hash, key_equal);
    fs->files = g_hash_table_new(g_int64_hash, g_int64_equal);
    fs->next_inode = FUSE_ROOT_ID + 1;
    fs->next_file = 1;
    g_hash_table_insert(fs->inodes_by_key, &fs->root.key, &fs->root);
    return 0;
}

struct inode *fs_inode(struct fs *fs, uint64_t id)
{
    return id == FUSE_ROOT_ID ? &fs->root : g_hash_table_lookup(fs->inodes, &id);
}

static void remove_inode(struct fs *fs, struct inode *inode)
{
    if (g_hash_table_lookup(fs->inodes_by_key, &inode->key) == inode) {
        g_hash_table_remove(fs->inodes_by_key, &inode->key);
    }
    if (inode->fd >= 0) {
        fs_drop_descriptor(fs);
    }
    g_hash_table_remove(fs->inodes, &inode->id);
}

void fs_forget(struct fs *fs, uint64_t id, uint64_t count)
{
    struct inode *inode = id == FUSE_ROOT_ID ? NULL : fs_inode(fs, id);

    if (inode == NULL) {
        return;
    }
    inode->lookups -= MIN(inode->lookups, count);
    if (inode->lookups == 0) {
        remove_inode(fs, inode);
    }
}

void fs_forget_all(struct fs *fs)
{
    GHashTableIter iter;
    gpointer file;

    g_hash_table_iter_init(&iter, fs->files);
    while (g_hash_table_iter_next(&iter, NULL, &file)) {
        close(((struct open_file *)file)->fd);
        g_free(file);
    }
    g_hash_table_remove_all(fs->files);
    g_hash_table_remove_all(fs->inodes_by_key);
    g_hash_table_remove_all(fs->inodes);
    g_hash_table_insert(fs->inodes_by_key, &fs->root.key, &fs->root);
    fs->descriptors = 0;
    fs->is_mounted = fs->says_dax = fs->says_submounts = false;
    /* No number is used twice, so a number that the guest kept from before belongs to no inode. */
}

void fs_close(struct fs *fs)
{
    fs_forget_all(fs);
    g_hash_table_destroy(fs->files);
    g_hash_table_destroy(fs->inodes_by_key);
    g_hash_table_destroy(fs->inodes);
    close(fs->root_fd);
    close(fs->whole_fd);
    close(fs->proc_fd);
}

/* ---- file handles ---- */

/** Get the handle of a file on the root's own file system. NULL: it has no handle, or only its descriptor leads to it. */
static struct file_handle *handle_of(const struct fs *fs, int fd, const struct statx *st)
{
    struct file_handle *handle;
    int mount;

    if (!fs->config.use_handles || key_of(st).mount != fs->root_mount) {
        return NULL;
    }
    handle = g_malloc0(sizeof(*handle) + LARGEST_HANDLE);
    handle->handle_bytes = LARGEST_HANDLE;
    if (name_to_handle_at(fd, "", handle, &mount, AT_EMPTY_PATH) == 0) {
        return handle;
    }
    g_free(handle);
    return NULL;
}

static bool same_handle(const struct file_handle *a, const struct file_handle *b)
{
    return a->handle_type == b->handle_type && a->handle_bytes == b->handle_bytes &&
           memcmp(a->f_handle, b->f_handle, a->handle_bytes) == 0;
}

int fs_get_fd(struct fs *fs, const struct inode *inode)
{
    int fd;

    if (inode->fd >= 0) {
        return inode->fd;
    }
    fd = open_by_handle_at(fs->whole_fd, inode->handle, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void fs_put_fd(const struct inode *inode, int fd)
{
    if (inode->fd < 0 && fd >= 0) {
        close(fd);
    }
}

/* ---- lookup ---- */

/** Find or make the inode of an O_PATH descriptor, which it consumes. It counts one lookup. */
static int take_inode(struct fs *fs, int fd, const struct statx *st, struct inode **found)
{
    struct inode_key key = key_of(st);
    struct inode *inode = g_hash_table_lookup(fs->inodes_by_key, &key);
    struct file_handle *handle = inode == NULL || inode->handle != NULL ? handle_of(fs, fd, st) : NULL;

    if (inode != NULL && inode->handle != NULL && (handle == NULL || !same_handle(inode->handle, handle))) {
        /* Another file has the number now. The guest may still have the old inode by its id. */
        g_hash_table_remove(fs->inodes_by_key, &key);
        inode = NULL;
    }
    if (inode != NULL) {
        g_free(handle);
        close(fd);
        if (inode->lookups == UINT64_MAX) {
            return -EOVERFLOW;
        }
        inode->lookups += inode != &fs->root;
        *found = inode;
        return 0;
    }
    if (g_hash_table_size(fs->inodes) >= MAX_INODES || (handle == NULL && fs_take_descriptor(fs) < 0)) {
        g_free(handle);
        close(fd);
        return -ENFILE;
    }
    if (handle != NULL) {
        /* Often a few bytes are enough, and there may be very many handles. */
        handle = g_realloc(handle, sizeof(*handle) + handle->handle_bytes);
        close(fd);
        fd = -1;
    }
    inode = g_new0(struct inode, 1);
    *inode = (struct inode){
        .key = key, .id = fs->next_inode++, .lookups = 1, .type = st->stx_mode & S_IFMT, .fd = fd, .handle = handle};
    g_hash_table_insert(fs->inodes, &inode->id, inode);
    g_hash_table_insert(fs->inodes_by_key, &inode->key, inode);
    *found = inode;
    return 0;
}

int fs_lookup(struct fs *fs, struct inode *parent, const char *name, struct inode **inode, struct statx *st)
{
    struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = WITHIN};
    struct inode_key key;
    int dir = fs_get_directory(fs, parent), fd, rc;

    if (dir < 0) {
        return dir;
    }
    fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
    rc = fd < 0 ? -errno : 0;
    fs_put_fd(parent, dir);
    if (rc < 0) {
        return rc;
    }
    rc = fs_stat_fd(fd, st);
    key = key_of(st);
    if (rc == 0 && (key.dev != parent->key.dev || key.mount != parent->key.mount) && is_of_proc(fd)) {
        rc = -EACCES;
    }
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return take_inode(fs, fd, st, inode);
}

int fs_adopt(struct fs *fs, int opened, struct inode **inode, struct statx *st)
{
    char name[PROC_NAME];
    int fd = openat(fs->proc_fd, proc_name(name, opened), O_PATH | O_CLOEXEC), rc;

    if (fd < 0) {
        return -errno;
    }
    rc = fs_stat_fd(fd, st);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return take_inode(fs, fd, st, inode);
}

int fs_reopen(struct fs *fs, const struct inode *inode, int flags)
{
    char name[PROC_NAME];
    int path, fd;

    /* An open of a device or a FIFO would have an effect on the host. The guest's kernel handles both itself. */
    if (inode->type != S_IFREG && inode->type != S_IFDIR) {
        return inode->type == S_IFLNK ? -ELOOP : -ENXIO;
    }
    path = fs_get_fd(fs, inode);
    if (path < 0) {
        return path;
    }
    fd = openat(fs->proc_fd, proc_name(name, path), flags | O_CLOEXEC | O_NOCTTY);
    fd = fd < 0 ? -errno : fd;
    fs_put_fd(inode, path);
    return fd;
}
