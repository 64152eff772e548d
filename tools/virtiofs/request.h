/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_REQUEST_H
#define VHUSHMEM_VIRTIOFS_REQUEST_H

/*
 * One FUSE request. Its bytes are copied out of the guest's memory once, and only the copy is used.
 * The table in request.c has the least size of each request and the room that its answer takes.
 * Both are checked first.
 */

#include <limits.h>

#include <vhushmem/virtqueue.h>

#include "fs.h"

/* An operation returns the size of its answer's body, a negative errno, or this. */
enum {
    REQUEST_HELD = INT_MIN /**< the answer comes later, and its sender has the chain */

};

/*
 * The most bytes of a request that are copied. Only WRITE may be longer, and its data is not
 * copied.
 */
#define REQUEST_MAX (128u << 10)
/* The largest body of an answer, without READ's. */
#define ANSWER_MAX (64u << 10)

struct window;

struct request {
    struct fs *fs;
    struct window *window; /**< NULL: there is none */
    vhushmem_chain *chain;
    unsigned queue;
    struct fuse_in_header header;
    struct inode *inode; /**< the inode that the header names */
    const uint8_t *in;   /**< the bytes after the header: a copy */
    size_t in_size;
    uint64_t data_size; /**< bytes after the header in the guest's memory */
    /*
     * the answer's body is made here: ANSWER_MAX bytes. The first ones, up to the size in the
     * table, are zeros
     */
    uint8_t *out;
    size_t room;     /**< for the answer's body, in the guest's memory */
    bool is_written; /**< the body is in the guest's memory already */
    /* the names that the table gives the request: checked, unless they are targets or attributes */
    const char *name, *name2;
};

/**
 * Take a chain and serve its request. On return the chain was given back, or the window has it.
 */
void request_serve(struct fs *fs, struct window *window, vhushmem_backend *backend, unsigned queue,
                   vhushmem_chain *chain);

/** Answer with an errno, or with 0 and no body, and give the chain back. */
void request_answer(vhushmem_backend *backend, vhushmem_chain *chain, uint64_t unique, int result);

/* ---- operations, by file ---- */

/* op-inode.c */
int op_lookup(struct request *r);
int op_forget(struct request *r);
int op_batch_forget(struct request *r);
int op_getattr(struct request *r);
int op_setattr(struct request *r);
int op_statx(struct request *r);
int op_access(struct request *r);
int op_readlink(struct request *r);
int op_statfs(struct request *r);

/* op-names.c */
int op_symlink(struct request *r);
int op_mknod(struct request *r);
int op_mkdir(struct request *r);
int op_unlink(struct request *r);
int op_rmdir(struct request *r);
int op_rename(struct request *r);
int op_rename2(struct request *r);
int op_link(struct request *r);

/* op-files.c */
int op_open(struct request *r);
int op_create(struct request *r);
int op_release(struct request *r);
int op_flush(struct request *r);
int op_fsync(struct request *r);
int op_lseek(struct request *r);
int op_fallocate(struct request *r);
int op_copy_file_range(struct request *r);
int op_syncfs(struct request *r);

/* op-data.c */
int op_read(struct request *r);
int op_write(struct request *r);

/* op-directories.c */
int op_opendir(struct request *r);
int op_readdir(struct request *r);
int op_readdirplus(struct request *r);
int op_releasedir(struct request *r);
int op_fsyncdir(struct request *r);

/* op-xattrs.c */
int op_setxattr(struct request *r);
int op_getxattr(struct request *r);
int op_listxattr(struct request *r);
int op_removexattr(struct request *r);

/* op-session.c */
int op_init(struct request *r);
int op_destroy(struct request *r);

#endif
