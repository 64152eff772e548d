/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_FS_H
#define VHUSHMEM_VIRTIOFS_FS_H

/*
 * The shared directory as the guest knows it: inodes by node id, open files by handle. Each number
 * that the guest names is looked up here. None is an address or a descriptor.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <glib.h>

#include "fuse-wire.h"
#include "options.h"

/* The most inodes that a guest may have at once. Each takes some 150 bytes. */
#define MAX_INODES (UINT64_C(1) << 20)

/* Linux's client maps so much at a time: FUSE_DAX_SZ. */
#define DAX_CHUNK (UINT64_C(2) << 20)

/* The longest name: NAME_MAX of every local file system, and the limit of Linux's client. */
#define LONGEST_NAME 255

struct fs_config {
    enum cache_policy cache;
    bool read_only, xattr, announce_submounts, use_handles;
    bool statistics; /**< --statistics */
    /* only a file that consists of whole chunks can be mapped: QEMU 11.1 */
    bool dax_by_chunk;
    uint64_t max_descriptors; /**< the most that inodes and open files may have together */
};

struct inode_key {
    uint64_t dev, ino, mount;
};

struct inode {
    struct inode_key key; /* must be first: it is the key in inodes_by_key */
    uint64_t id, lookups;
    mode_t type;                /* S_IFMT */
    int fd;                     /* O_PATH; -1: the inode has a file handle instead */
    struct file_handle *handle; /* NULL: the inode has fd instead */
};

struct open_file {
    uint64_t id, inode; /* inode: the node id with which it was opened */
    int fd;
    bool is_directory;
};

struct fs {
    struct fs_config config;
    int root_fd;  /**< the shared directory, O_PATH */
    int whole_fd; /**< the same, open for reading: for syncfs, and for files by their handles */
    int proc_fd;  /**< /proc/self/fd, O_PATH; also the working directory */
    uint64_t root_mount;
    struct inode root;
    GHashTable *inodes, *inodes_by_key, *files;
    uint64_t next_inode, next_file, descriptors;
    bool said_version; /**< a log message said that the guest's protocol is too old */
    /* From FUSE_INIT to FUSE_DESTROY. */
    bool is_mounted;
    bool has_dax;        /**< the front-end serves mappings */
    bool says_dax;       /**< the guest asks which files are for DAX */
    bool says_submounts; /**< the guest asks where another file system begins */
};

/**
 * Open the directory. `proc_fd` then belongs to the file system, and so does `whole_fd`, the
 * directory open for reading.
 *
 * @returns 0 or a negative errno.
 */
int fs_open(struct fs *fs, const struct fs_config *config, int whole_fd, int proc_fd);

/**
 * Forget all inodes except the root, and close all files: the guest has unmounted, or another guest
 * comes.
 */
void fs_forget_all(struct fs *fs);

void fs_close(struct fs *fs);

/* ---- inodes (inodes.c) ---- */

/** @returns the inode of a node id, or NULL. */
struct inode *fs_inode(struct fs *fs, uint64_t id);

/**
 * Look up a name in a directory without following it, and count one lookup.
 *
 * @param name  a checked name (request_name).
 * @param st    receives its attributes.
 * @returns 0 or a negative errno.
 */
int fs_lookup(struct fs *fs, struct inode *parent, const char *name, struct inode **inode,
              struct statx *st);

/**
 * Find the inode of a file that was opened just now, and count one lookup. The descriptor still
 * belongs to the caller.
 */
int fs_adopt(struct fs *fs, int opened, struct inode **inode, struct statx *st);

/** Take away `count` lookups, or all if there are fewer. The inode goes with the last one. */
void fs_forget(struct fs *fs, uint64_t id, uint64_t count);

/**
 * Get an O_PATH descriptor of the inode. Give it back with fs_put_fd.
 *
 * @returns it, or a negative errno (ESTALE: the inode has a file handle, and the host has removed
 * the file).
 */
int fs_get_fd(struct fs *fs, const struct inode *inode);
void fs_put_fd(const struct inode *inode, int fd);

/**
 * Open the file of an inode: a regular file or a directory, never a device or a FIFO. @returns a
 * descriptor or a negative errno.
 */
int fs_reopen(struct fs *fs, const struct inode *inode, int flags);

int fs_stat_fd(int fd, struct statx *st);
int fs_stat(struct fs *fs, const struct inode *inode, struct statx *st);

/** Write the name of a descriptor below proc_fd into `name`, which has room for PROC_NAME bytes. */
#define PROC_NAME 16
const char *proc_name(char *name, int fd);

/* ---- directories (directories.c) ---- */

/**
 * Whether the host has moved a directory, or one above it, out of the shared one. It is seen only
 * if the process has a mount of its own (sandbox.h).
 *
 * @param fd  a descriptor of the directory.
 */
bool fs_has_left(const struct fs *fs, const struct inode *inode, int fd);

/**
 * As fs_get_fd, for a directory whose entries are looked at or changed.
 *
 * @returns a descriptor, to be given back by fs_put_fd, or a negative errno (ENOTDIR: it is no
 * directory; ESTALE: the host has moved it out of the shared directory, or has removed it).
 */
int fs_get_directory(struct fs *fs, const struct inode *inode);

/* ---- open files (files.c) ---- */

/** Count one descriptor. @returns 0 or -ENFILE. */
int fs_take_descriptor(struct fs *fs);
void fs_drop_descriptor(struct fs *fs);

/**
 * Make a handle for a descriptor. On success the descriptor belongs to the handle. @returns 0 or a
 * negative errno.
 */
int fs_add_file(struct fs *fs, const struct inode *inode, int fd, bool is_directory, uint64_t *id);

/**
 * @returns the open file with this handle, if it belongs to this inode and is of this kind; else
 * NULL.
 */
struct open_file *fs_file(struct fs *fs, uint64_t id, uint64_t inode, bool is_directory);
void fs_remove_file(struct fs *fs, struct open_file *file);

/* ---- attributes (attributes.c) ---- */

void fs_attributes(const struct fs *fs, const struct statx *st, struct fuse_attr *attr);
void fs_entry(const struct fs *fs, const struct inode *inode, const struct inode *parent,
              const struct statx *st, struct fuse_entry_out *entry);
/** The seconds for which the guest may keep what it knows. */
uint64_t fs_valid_seconds(const struct fs *fs);

#endif
