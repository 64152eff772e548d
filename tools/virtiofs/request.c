/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Serves a request: from a chain to an operation and back. All lengths and names of a request are checked here.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "request.h"

#include <errno.h>
#include <string.h>

#include "statistics.h"
#include "window.h"

/* The text after the fixed part of a request. */
enum names { NONE, NAME, TWO_NAMES, NAME_AND_TARGET, ATTRIBUTE };

/* Flags of an operation. */
enum {
    CHANGES = 1 << 0,   /* refused if the directory is read-only */
    NO_ANSWER = 1 << 1, /* the guest expects no answer */
    NO_INODE = 1 << 2,  /* the node id in the header has no meaning */
    ANY_TIME = 1 << 3,  /* also before FUSE_INIT */
    IS_DATA = 1 << 4    /* the bytes after the fixed part are not copied */
};

struct operation {
    int (*carry_out)(struct request *r);
    uint16_t fixed;  /* the least number of bytes after the header, before any name */
    uint16_t answer; /* the least room in bytes for the answer's body */
    uint8_t names, flags;
};

static const struct operation operations[] = {
    [FUSE_LOOKUP] = {op_lookup, 0, sizeof(struct fuse_entry_out), NAME, 0},
    [FUSE_FORGET] = {op_forget, sizeof(struct fuse_forget_in), 0, NONE, NO_ANSWER | NO_INODE},
    [FUSE_GETATTR] = {op_getattr, sizeof(struct fuse_getattr_in), sizeof(struct fuse_attr_out), NONE, 0},
    [FUSE_SETATTR] = {op_setattr, sizeof(struct fuse_setattr_in), sizeof(struct fuse_attr_out), NONE, CHANGES},
    [FUSE_READLINK] = {op_readlink, 0, 1, NONE, 0},
    [FUSE_SYMLINK] = {op_symlink, 0, sizeof(struct fuse_entry_out), NAME_AND_TARGET, CHANGES},
    [FUSE_MKNOD] = {op_mknod, sizeof(struct fuse_mknod_in), sizeof(struct fuse_entry_out), NAME, CHANGES},
    [FUSE_MKDIR] = {op_mkdir, sizeof(struct fuse_mkdir_in), sizeof(struct fuse_entry_out), NAME, CHANGES},
    [FUSE_UNLINK] = {op_unlink, 0, 0, NAME, CHANGES},
    [FUSE_RMDIR] = {op_rmdir, 0, 0, NAME, CHANGES},
    [FUSE_RENAME] = {op_rename, sizeof(struct fuse_rename_in), 0, TWO_NAMES, CHANGES},
    [FUSE_RENAME2] = {op_rename2, sizeof(struct fuse_rename2_in), 0, TWO_NAMES, CHANGES},
    [FUSE_LINK] = {op_link, sizeof(struct fuse_link_in), sizeof(struct fuse_entry_out), NAME, CHANGES},
    [FUSE_OPEN] = {op_open, sizeof(struct fuse_open_in), sizeof(struct fuse_open_out), NONE, 0},
    [FUSE_READ] = {op_read, sizeof(struct fuse_read_in), 0, NONE, 0},
    [FUSE_WRITE] = {op_write, sizeof(struct fuse_write_in), sizeof(struct fuse_write_out), NONE, CHANGES | IS_DATA},
    [FUSE_STATFS] = {op_statfs, 0, sizeof(struct fuse_statfs_out), NONE, 0},
    [FUSE_RELEASE] = {op_release, sizeof(struct fuse_release_in), 0, NONE, 0},
    [FUSE_FSYNC] = {op_fsync, sizeof(struct fuse_fsync_in), 0, NONE, 0},
    [FUSE_SETXATTR] = {op_setxattr, VIRTIOFS_SETXATTR_IN, 0, ATTRIBUTE, CHANGES},
    [FUSE_GETXATTR] = {op_getxattr, sizeof(struct fuse_getxattr_in), 0, ATTRIBUTE, 0},
    [FUSE_LISTXATTR] = {op_listxattr, sizeof(struct fuse_getxattr_in), 0, NONE, 0},
    [FUSE_REMOVEXATTR] = {op_removexattr, 0, 0, ATTRIBUTE, CHANGES},
    [FUSE_FLUSH] = {op_flush, sizeof(struct fuse_flush_in), 0, NONE, 0},
    [FUSE_INIT] = {op_init, VIRTIOFS_INIT_IN_MIN, sizeof(struct fuse_init_out), NONE, NO_INODE | ANY_TIME},
    [FUSE_OPENDIR] = {op_opendir, sizeof(struct fuse_open_in), sizeof(struct fuse_open_out), NONE, 0},
    [FUSE_READDIR] = {op_readdir, sizeof(struct fuse_read_in), 0, NONE, 0},
    [FUSE_RELEASEDIR] = {op_releasedir, sizeof(struct fuse_release_in), 0, NONE, 0},
    [FUSE_FSYNCDIR] = {op_fsyncdir, sizeof(struct fuse_fsync_in), 0, NONE, 0},
    [FUSE_ACCESS] = {op_access, sizeof(struct fuse_access_in), 0, NONE, 0},
    [FUSE_CREATE] = {op_create, sizeof(struct fuse_create_in), sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out),
                     NAME, CHANGES},
    [FUSE_DESTROY] = {op_destroy, 0, 0, NONE, NO_INODE | ANY_TIME},
    [FUSE_BATCH_FORGET] = {op_batch_forget, sizeof(struct fuse_batch_forget_in), 0, NONE, NO_ANSWER | NO_INODE},
    [FUSE_FALLOCATE] = {op_fallocate, sizeof(struct fuse_fallocate_in), 0, NONE, CHANGES},
    [FUSE_READDIRPLUS] = {op_readdirplus, sizeof(struct fuse_read_in), 0, NONE, 0},
    [FUSE_LSEEK] = {op_lseek, sizeof(struct fuse_lseek_in), sizeof(struct fuse_lseek_out), NONE, 0},
    [FUSE_COPY_FILE_RANGE] = {op_copy_file_range, sizeof(struct fuse_copy_file_range_in), sizeof(struct fuse_write_out), NONE,
                              CHANGES},
    [FUSE_SETUPMAPPING] = {window_setup, sizeof(struct fuse_setupmapping_in), 0, NONE, 0},
    [FUSE_REMOVEMAPPING] = {window_remove, sizeof(struct fuse_removemapping_in), 0, NONE, NO_INODE},
    [FUSE_SYNCFS] = {op_syncfs, sizeof(struct fuse_syncfs_in), 0, NONE, 0},
    [FUSE_STATX] = {op_statx, sizeof(struct fuse_statx_in), sizeof(struct fuse_statx_out), NONE, 0},
};

/* One thread serves. It copies and answers a request before it takes the next one. */
static uint8_t request_bytes[sizeof(struct fuse_in_header) + REQUEST_MAX];
static _Alignas(8) uint8_t answer_bytes[sizeof(struct fuse_out_header) + ANSWER_MAX];

/* ---- names ---- */

/** The text at `*at`. NULL: it does not end inside the request. */
static const char *text_at(const struct request *r, size_t *at)
{
    const uint8_t *text = r->in + *at, *end = memchr(text, 0, r->in_size - *at);

    if (end == NULL) {
        return NULL;
    }
    *at += (size_t)(end - text) + 1;
    return (const char *)text;
}

/** Whether a text is the name of one entry of a directory, and leads to no other place. */
static int check_name(const char *name)
{
    size_t length = strlen(name);

    if (length > LONGEST_NAME) {
        return -ENAMETOOLONG;
    }
    return length == 0 || strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? -EINVAL : 0;
}

static int take_names(struct request *r, const struct operation *operation)
{
    size_t at = operation->fixed;
    int rc = 0;

    if (operation->names == NONE) {
        return 0;
    }
    r->name = text_at(r, &at);
    if (operation->names == TWO_NAMES || operation->names == NAME_AND_TARGET) {
        r->name2 = r->name != NULL ? text_at(r, &at) : NULL;
        if (r->name2 == NULL) {
            return -EINVAL;
        }
    }
    if (r->name == NULL) {
        return -EINVAL;
    }
    if (operation->names != ATTRIBUTE) {
        rc = check_name(r->name);
    }
    return rc == 0 && operation->names == TWO_NAMES ? check_name(r->name2) : rc;
}

/* ---- answers ---- */

static void give_back(vhushmem_backend *backend, vhushmem_chain *chain, size_t written)
{
    if (vhushmem_backend_push(backend, chain, (uint32_t)written, NULL) < 0) {
        vhushmem_chain_free(chain);
    }
}

void request_answer(vhushmem_backend *backend, vhushmem_chain *chain, uint64_t unique, int result)
{
    struct fuse_out_header header = {.len = sizeof(header), .error = result < 0 ? result : 0, .unique = unique};

    give_back(backend, chain, vhushmem_chain_write(chain, 0, &header, sizeof(header)));
}

/** The guest's kernel accepts only these as an errno. With any other number it ends the connection. */
static int errno_for_guest(int result) { return result < 0 && result > -512 ? result : -EIO; }

static void finish(vhushmem_backend *backend, const struct request *r, int result)
{
    struct fuse_out_header header = {.len = sizeof(header), .unique = r->header.unique};

    if (result < 0) {
        request_answer(backend, r->chain, r->header.unique, errno_for_guest(result));
        return;
    }
    header.len += (uint32_t)result;
    if (r->is_written) {
        vhushmem_chain_write(r->chain, 0, &header, sizeof(header));
    } else {
        memcpy(answer_bytes, &header, sizeof(header));
        vhushmem_chain_write(r->chain, 0, answer_bytes, header.len);
    }
    give_back(backend, r->chain, header.len);
}

/* ---- requests ---- */

/** Copy the request and check its lengths. */
static int take_request(struct request *r, const struct operation *operation)
{
    uint64_t size = r->header.len - sizeof(r->header);

    r->data_size = size;
    r->in_size = (size_t)MIN(size, (operation->flags & IS_DATA) != 0 ? operation->fixed : REQUEST_MAX);
    r->in = request_bytes + sizeof(r->header);
    if (size < operation->fixed) {
        return -EINVAL;
    }
    if ((operation->flags & IS_DATA) == 0 && size > REQUEST_MAX && (operation->flags & NO_ANSWER) == 0) {
        return -E2BIG;
    }
    if (vhushmem_chain_read(r->chain, sizeof(r->header), request_bytes + sizeof(r->header), r->in_size) != r->in_size) {
        return -EINVAL;
    }
    return take_names(r, operation);
}

static int carry_out(struct request *r, const struct operation *operation)
{
    int rc;

    if (operation == NULL) {
        return -ENOSYS;
    }
    if ((operation->flags & NO_ANSWER) == 0 && r->room < operation->answer) {
        return -EINVAL;
    }
    if (!r->fs->is_mounted && (operation->flags & ANY_TIME) == 0) {
        return -EPROTO;
    }
    rc = take_request(r, operation);
    if (rc < 0) {
        return rc;
    }
    if ((operation->flags & NO_INODE) == 0) {
        r->inode = fs_inode(r->fs, r->header.nodeid);
        if (r->inode == NULL) {
            return -ESTALE;
        }
    }
    if ((operation->flags & CHANGES) != 0 && r->fs->config.read_only) {
        return -EROFS;
    }
    memset(r->out, 0, operation->answer);
    return operation->carry_out(r);
}

void request_serve(struct fs *fs, struct window *window, vhushmem_backend *backend, unsigned queue, vhushmem_chain *chain)
{
    struct request r = {.fs = fs, .window = window, .chain = chain, .queue = queue};
    uint64_t readable = vhushmem_chain_readable_size(chain), writable = vhushmem_chain_writable_size(chain);
    const struct operation *operation = NULL;
    int result;

    r.out = answer_bytes + sizeof(struct fuse_out_header);
    if (vhushmem_chain_read(chain, 0, &r.header, sizeof(r.header)) != sizeof(r.header)) {
        /* No answer is possible: the number of the request is not known. */
        give_back(backend, chain, 0);
        return;
    }
    statistics_count(r.header.opcode);
    if (r.header.opcode < G_N_ELEMENTS(operations) && operations[r.header.opcode].carry_out != NULL) {
        operation = &operations[r.header.opcode];
    }
    if ((operation == NULL || (operation->flags & NO_ANSWER) == 0) && writable < sizeof(struct fuse_out_header)) {
        give_back(backend, chain, 0);
        return;
    }
    r.room = (size_t)(MAX(writable, sizeof(struct fuse_out_header)) - sizeof(struct fuse_out_header));
    result = r.header.len < sizeof(r.header) || r.header.len > readable ? -EINVAL : carry_out(&r, operation);
    if (operation != NULL && (operation->flags & NO_ANSWER) != 0) {
        give_back(backend, chain, 0);
    } else if (result != REQUEST_HELD) {
        finish(backend, &r, result);
    }
}
