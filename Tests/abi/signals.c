/* SPDX-License-Identifier: BSD-3-Clause */
/* Compares the actions of all signals, and the number of threads, before and after the library is loaded and used. */
#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void actions(struct sigaction all[NSIG])
{
    memset(all, 0, NSIG * sizeof(*all));
    for (int i = 1; i < NSIG; i++) {
        sigaction(i, NULL, &all[i]); /* fails for signals that the C library keeps for itself */
    }
}

/* Field by field: the C library leaves garbage in its padding. */
static int same(const struct sigaction *a, const struct sigaction *b)
{
    for (int i = 1; i < NSIG; i++) {
        if (sigismember(&a->sa_mask, i) != sigismember(&b->sa_mask, i)) {
            return 0;
        }
    }
    return a->sa_handler == b->sa_handler && a->sa_flags == b->sa_flags;
}

static int threads(void)
{
    int n = 0;
    DIR *tasks = opendir("/proc/self/task");
    while (tasks != NULL && readdir(tasks) != NULL) {
        n++;
    }
    closedir(tasks);
    return n;
}

int main(int argc, char **argv)
{
    static struct sigaction before[NSIG], after[NSIG];
    int threads_before = threads(), status = 0;

    actions(before);
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (library == NULL) {
        printf("not loaded: %s\n", argc == 2 ? dlerror() : "usage: signals LIBRARY");
        return 1;
    }
    uint32_t (*version)(void) = (uint32_t(*)(void))dlsym(library, "vhushmem_version");
    void *(*device_new)(const void *, void *) = (void *(*)(const void *, void *))dlsym(library, "vhushmem_device_new");
    void (*device_unref)(void *) = (void (*)(void *))dlsym(library, "vhushmem_device_unref");
    if (version == NULL || version() == 0 || device_new == NULL || device_unref == NULL) {
        printf("loaded, but not usable\n");
        return 1;
    }
    device_unref(device_new(NULL, NULL));

    actions(after);
    for (int i = 1; i < NSIG; i++) {
        if (!same(&before[i], &after[i])) {
            printf("signal %d has another action\n", i);
            status = 1;
        }
    }
    if (threads() != threads_before) {
        printf("there is one more thread\n");
        status = 1;
    }
    return status;
}
