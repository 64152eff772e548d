/* SPDX-License-Identifier: BSD-3-Clause */

#include "statistics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#include "fuse-wire.h"

#define NAME(op) [FUSE_##op] = #op

static const char *const names[] = {
    NAME(INIT),     NAME(DESTROY),   NAME(LOOKUP),      NAME(FORGET),       NAME(BATCH_FORGET),  NAME(GETATTR),
    NAME(SETATTR),  NAME(STATX),     NAME(ACCESS),      NAME(READLINK),     NAME(SYMLINK),       NAME(MKNOD),
    NAME(MKDIR),    NAME(UNLINK),    NAME(RMDIR),       NAME(RENAME),       NAME(RENAME2),       NAME(LINK),
    NAME(OPEN),     NAME(CREATE),    NAME(READ),        NAME(WRITE),        NAME(LSEEK),         NAME(COPY_FILE_RANGE),
    NAME(FLUSH),    NAME(FALLOCATE), NAME(FSYNC),       NAME(FSYNCDIR),     NAME(STATFS),        NAME(SYNCFS),
    NAME(OPENDIR),  NAME(READDIR),   NAME(READDIRPLUS), NAME(RELEASE),      NAME(RELEASEDIR),    NAME(SETXATTR),
    NAME(GETXATTR), NAME(LISTXATTR), NAME(REMOVEXATTR), NAME(SETUPMAPPING), NAME(REMOVEMAPPING),
};

static uint64_t counts[G_N_ELEMENTS(names)], others, total;
static size_t most_mapped;

void statistics_count(uint32_t opcode)
{
    total++;
    if (opcode < G_N_ELEMENTS(names) && names[opcode] != NULL) {
        counts[opcode]++;
    } else {
        others++;
    }
}

void statistics_mapped(size_t count) { most_mapped = MAX(most_mapped, count); }

static void print_counts(void)
{
    fprintf(stderr, "vhushmem-virtiofs: %" PRIu64 " requests:", total);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (counts[i] != 0) {
            fprintf(stderr, " %s %" PRIu64, names[i], counts[i]);
        }
    }
    fprintf(stderr, "; others %" PRIu64 "; at most %zu mappings at once", others, most_mapped);
}

void statistics_tell(size_t live)
{
    print_counts();
    fprintf(stderr, ", %zu now\n", live);
}

void statistics_print(void)
{
    if (total == 0) {
        return;
    }
    print_counts();
    fputc('\n', stderr);
    memset(counts, 0, sizeof(counts));
    others = total = 0;
    most_mapped = 0;
}
