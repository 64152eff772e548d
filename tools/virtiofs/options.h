/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_OPTIONS_H
#define VHUSHMEM_VIRTIOFS_OPTIONS_H

/*
 * The command line. Options that virtiofsd has too have the same names, because libvirt calls
 * device programs with them.
 */

#include <stdbool.h>
#include <stdint.h>

/** How long the guest may keep names, attributes and data before it asks again. */
enum cache_policy {
    CACHE_AUTO,   /**< one second */
    CACHE_ALWAYS, /**< a day: only the guest changes the directory */
    CACHE_NEVER   /**< not at all */
};

enum sandbox_mode {
    /*
     * namespaces and an empty root, if the kernel allows it; else a message, and the same as NONE
     */
    SANDBOX_NAMESPACE,
    SANDBOX_REQUIRED, /**< the same, but if the kernel does not allow it, the program ends */
    /* only checked names, dropped capabilities and the filter of system calls */
    SANDBOX_NONE
};

enum seccomp_mode {
    SECCOMP_KILL, /**< a system call that is not in the list ends the process */
    SECCOMP_LOG,  /**< the kernel logs it and serves it */
    SECCOMP_NONE  /**< there is no list */
};

struct options {
    char *socket_path;
    int fd; /**< a connected or a listening socket; -1: socket_path */
    char *shared_dir;
    char *tag;
    uint64_t window; /**< bytes of the DAX window; 0: there is none */
    bool read_only;
    enum cache_policy cache;
    unsigned request_queues;
    bool xattr;
    bool announce_submounts;
    bool for_qemu;
    bool statistics;
    bool killpriv;
    bool file_handles;
    enum sandbox_mode sandbox;
    enum seccomp_mode seccomp;
    uint64_t rlimit_nofile; /**< 0: as many as the kernel allows, up to 1,000,000 */
    bool print_capabilities;
    bool print_version;
};

/** options_parse returns: go on, or end with this exit status. */
enum { OPTIONS_GO_ON = -1, OPTIONS_SUCCESS = 0, OPTIONS_USAGE = 2 };

/**
 * Fill in `options`. It prints errors, and the text of --help, --version and --print-capabilities.
 */
int options_parse(struct options *options, int argc, char **argv);

void options_clear(struct options *options);

#endif
