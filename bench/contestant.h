/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_BENCH_CONTESTANT_H
#define VHUSHMEM_BENCH_CONTESTANT_H

/*
 * A front-end in its own process: the library's, the floor's, or another one. Its region is full:
 * each slot has a mapping.
 */

#include "wire.h"

#include <signal.h>
#include <sys/wait.h>

typedef struct contestant {
    const char *name; /* "ours", "floor", or "rust-vmm": the program that RUST_VMM_SERVE names */
    uint64_t slots;
    uint64_t slot_size;
    /*
     * mapped into each slot, always from its beginning, so the kernel never joins two neighbours
     * into one mapping
     */
    int file;
    pid_t process;
    int main;
    int channel;
} contestant;

static inline void exec_front_end(const char *name, const char *folder, int socket, uint64_t size)
{
    char program[4096], socket_text[16], size_text[24];
    const char *other = strcmp(name, "rust-vmm") == 0 ? getenv("RUST_VMM_SERVE") : NULL;
    bool ours = strcmp(name, "ours") == 0;
    snprintf(program, sizeof(program), "%s/%s", folder, ours ? "front-end" : "floor");
    snprintf(socket_text, sizeof(socket_text), "%d", socket);
    snprintf(size_text, sizeof(size_text), "%llu", (unsigned long long)size);
    execl(other != NULL ? other : program, program, socket_text, ours ? NULL : size_text, NULL);
    perror(program);
    _exit(1);
}

static inline void map_slot(contestant *c, bool need_reply, uint64_t slot)
{
    send_map(c->channel, need_reply, slot * c->slot_size, c->slot_size, c->file);
}

static inline void unmap_slot(contestant *c, bool need_reply, uint64_t slot)
{
    send_unmap(c->channel, need_reply, slot * c->slot_size, c->slot_size);
}

/* `folder`: the folder of the programs. */
static inline void start_contestant(contestant *c, const char *folder)
{
    int pair[2];
    bool is_floor = strcmp(c->name, "floor") == 0;
    uint64_t region_size = c->slots * c->slot_size;
    MUST(is_floor || strcmp(c->name, "ours") == 0 || strcmp(c->name, "rust-vmm") == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    c->process = fork();
    MUST(c->process >= 0);
    if (c->process == 0) {
        /* The front-end's end. This copy is inherited. */
        exec_front_end(c->name, folder, dup(pair[0]), region_size);
    }
    close(pair[0]);
    c->main = pair[1];
    c->channel = is_floor ? pair[1] : shake_hands(pair[1], region_size);
    c->file = file_of(c->slot_size);
    for (uint64_t slot = 0; slot < c->slots; slot++) {
        map_slot(c, slot + 1 == c->slots, slot);
    }
    take_answer(c->channel);
}

static inline void end_contestant(contestant *c)
{
    int status;
    if (c->channel != c->main) {
        close(c->channel);
    }
    close(c->main);
    close(c->file);
    MUST(waitpid(c->process, &status, 0) == c->process);
    MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif
