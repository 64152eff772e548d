/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_OPTIONS_H
#define VHUSHMEM_VIRTIOFS_OPTIONS_H

/*
 * The command line. Names are those of virtiofsd where it has the option, since libvirt calls a
 * device program with them.
 */

#include <stdbool.h>
#include <stdint.h>

/** How long the guest may keep names, attributes and data before it asks again. */
enum cache_policy {
    CACHE_AUTO,   /**< one second */
    CACHE_ALWAYS, /**< a day: nobody but the guest changes the directory */
    CACHE_NEVER   /**< not at all */
};

enum sandbox_mode {
    /*
     * namespaces and a root of its own, if the kernel allows it; else a message, and as with NONE
     */
    SANDBOX_NAMESPACE,
    SANDBOX_REQUIRED, /**< the same, or the program ends */
    /* checked names, dropped capabilities and the filter of system calls alone */
    SANDBOX_NONE
};

enum seccomp_mode {
    SECCOMP_KILL, /**< a system call that is not in the list ends the process */
    SECCOMP_LOG,  /**< it is logged by the kernel, and made */
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

/** What options_parse returns: go on, or end with this exit status. */
enum { OPTIONS_GO_ON = -1, OPTIONS_SUCCESS = 0, OPTIONS_USAGE = 2 };

/**
 * Fills `options` in. Prints what is wrong, or what --help, --version and --print-capabilities ask
 * for.
 */
int options_parse(struct options *options, int argc, char **argv);

void options_clear(struct options *options);

#endif
