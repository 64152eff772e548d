/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_HOSTILE_GUEST_H
#define VHUSHMEM_TESTS_HOSTILE_GUEST_H

/*
 * Guests that do their worst to vhushmem-virtiofs. Each case has its own device. After the case
 * the device lives, another front-end finds it as it was at the start, with no descriptor more,
 * and the host's files are unchanged. Each case is a line: `case NAME: ok (OUTCOME)`.
 */

#include "virtiofs-rig.h"

/*
 * Outcomes of a case besides 0 and a negative errno: the chain comes back with no bytes; nothing
 * comes back; each is answered somehow.
 */
enum { SILENT = 1, BROKEN, ANY };

typedef struct guest_case {
    const char *name;
    int outcome;
    int (*act)(vfs *v, const void *with);
    const void *with;
} guest_case;

#define HEAD (sizeof(struct fuse_in_header))

/*
 * The answer to the request at REQUEST_AT, on queue 1. The caller laid out its chain, from
 * descriptor 0 on.
 */
static inline int outcome_of_chain(vfs *v, unsigned queue)
{
    uint32_t written;
    struct fuse_out_header head;
    memset(v->ram + ANSWER_AT, 0xee, 64);
    vfs_offer(v, queue, 0);
    vfs_take(v, queue, &written);
    if (written == 0) {
        return SILENT;
    }
    memcpy(&head, v->ram + ANSWER_AT, sizeof(head));
    CHECK(written >= sizeof(head) && head.len == written && head.error <= 0 && head.error > -512);
    return head.error;
}

/* These bytes as a request, with this much room for an answer. */
static inline int outcome_of(vfs *v, const void *bytes, size_t size, uint32_t room)
{
    memcpy(v->ram + REQUEST_AT, bytes, size);
    vfs_chain(v, 1, 0, REQUEST_AT, (uint32_t)size, ANSWER_AT, room);
    return outcome_of_chain(v, 1);
}

/* The queue breaks: the chain is not given back, and the device serves another front-end. */
static inline int outcome_of_break(vfs *v, unsigned queue)
{
    vfs_offer(v, queue, 0);
    /*
     * The other queue still serves. It was kicked later, so the device has looked at the broken
     * one by then.
     */
    struct fuse_getattr_in in = {0};
    vfs_header(v, v->ram + REQUEST_AT, FUSE_GETATTR, 1, sizeof(in));
    vfs_chain(v, 2, 0, REQUEST_AT, HEAD + sizeof(in), ANSWER_AT, 200);
    for (int i = 0; i < 3; i++) {
        vfs_offer(v, 2, 0);
        vfs_take(v, 2, NULL);
    }
    return vfs_has_answer(v, queue) ? ANY : BROKEN;
}

static inline gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The folder as a text: names, sizes, modes. */
static inline char *folder_now(const vfs *v)
{
    GString *text = g_string_new(NULL);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    DIR *dir = opendir(v->shared);
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        g_ptr_array_add(names, g_strdup(entry->d_name));
    }
    closedir(dir);
    g_ptr_array_sort(names, by_name);
    for (guint i = 0; i < names->len; i++) {
        struct stat st;
        CHECK(lstat(host_path(v, names->pdata[i]), &st) == 0);
        g_string_append_printf(text, "%s %o %jd\n", (char *)names->pdata[i], st.st_mode,
                               S_ISREG(st.st_mode) ? (intmax_t)st.st_size : 0);
    }
    g_ptr_array_free(names, TRUE);
    return g_string_free(text, FALSE);
}

static inline void fill_folder(const vfs *v)
{
    host_write(host_path(v, "f"), "0123456789", 10);
    CHECK(mkdir(host_path(v, "d"), 0755) == 0);
    CHECK(symlink("../secret", host_path(v, "l")) == 0);
    CHECK(mkfifo(host_path(v, "p"), 0600) == 0);
}

static inline void run_case(const guest_case *c)
{
    static vfs v;
    vfs_folders(&v);
    fill_folder(&v);
    static const char *const options[] = {
        "--window", "16M", "--num-request-queues", "3", "--rlimit-nofile", "4096", NULL};
    v.queues = 4;
    vfs_memory(&v);
    vfs_start(&v, options);
    char *before = folder_now(&v);
    vfs_connect(&v);
    vfs_run(&v, NULL);
    int descriptors = vfs_descriptors(&v);
    vfs_init(&v);
    int outcome = c->act(&v, c->with);
    vhushmem_frontend_free(v.frontend);
    CHECK(waitpid(v.pid, NULL, WNOHANG) == 0);

    vfs_connect(&v);
    vfs_run(&v, NULL);
    STEP_UNTIL(vfs_descriptors(&v) <= descriptors, usleep(1000));
    vfs_init(&v);
    uint64_t node = vfs_node(&v, FUSE_ROOT_ID, "f");
    ok(vfs_read(&v, node, vfs_handle(&v, node, O_RDWR), 0, 10));
    CHECK(memcmp(v.body, "0123456789", 10) == 0);
    ok(vfs_map(&v, node, 0, 0, CHUNK, true));
    same(before, folder_now(&v));
    vfs_close(&v);
    bool is_right = outcome == c->outcome || c->outcome == ANY;
    printf("case %s: %s (%s)\n", c->name, is_right ? "ok" : "FAIL",
           outcome == SILENT   ? "no answer"
           : outcome == BROKEN ? "queue broken"
           : outcome >= 0      ? "served"
                               : strerror(-outcome));
}

static inline int run_cases(const guest_case *cases, size_t count)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("cases %zu\n", count);
    for (size_t i = 0; i < count; i++) {
        run_case(&cases[i]);
    }
    return 0;
}

#endif
