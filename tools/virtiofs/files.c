/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Open files: the guest's handles, and the limit of descriptors.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "fs.h"

#include <errno.h>
#include <unistd.h>

int fs_take_descriptor(struct fs *fs)
{
    if (fs->descriptors >= fs->config.max_descriptors) {
        return -ENFILE;
    }
    fs->descriptors++;
    return 0;
}

void fs_drop_descriptor(struct fs *fs) { fs->descriptors -= fs->descriptors > 0; }

int fs_add_file(struct fs *fs, const struct inode *inode, int fd, bool is_directory, uint64_t *id)
{
    struct open_file *file;
    int rc = fs_take_descriptor(fs);

    if (rc < 0) {
        return rc;
    }
    file = g_new0(struct open_file, 1);
    *file = (struct open_file){.id = fs->next_file++, .inode = inode->id, .fd = fd, .is_directory = is_directory};
    g_hash_table_insert(fs->files, &file->id, file);
    *id = file->id;
    return 0;
}

struct open_file *fs_file(struct fs *fs, uint64_t id, uint64_t inode, bool is_directory)
{
    struct open_file *file = g_hash_table_lookup(fs->files, &id);

    return file != NULL && file->inode == inode && file->is_directory == is_directory ? file : NULL;
}

void fs_remove_file(struct fs *fs, struct open_file *file)
{
    g_hash_table_remove(fs->files, &file->id);
    close(file->fd);
    fs_drop_descriptor(fs);
    g_free(file);
}
