/* SPDX-License-Identifier: BSD-3-Clause */
/* A thread counts the mappings of the process while another forks. The child can make a region of its own. */
#include "memory-rig.h"

static int is_over;

static void *count(void *user_data)
{
    while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
        ok(vhushmem_process_budget_set(0, 1000));
    }
    return user_data;
}

int main(void)
{
    char *own = own_mappings(1000);
    rig r;
    pthread_t thread;
    rig_open_plain(&r, 4 * PAGE, NULL, NULL);
    CHECK(pthread_create(&thread, NULL, count, NULL) == 0);
    for (int i = 0; i < steps(100); i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            vhushmem_device *device = some(vhushmem_device_new(NULL, &error));
            some(vhushmem_region_new(device, 1, 4 * PAGE, NULL, &error));
            ok(vhushmem_process_budget_set(0, 1000));
            _exit(0);
        }
        STEP_UNTIL(waitpid(child, &status, WNOHANG) == child, usleep(1000));
        EQ(status, 0);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(munmap(own, 2000 * PAGE) == 0);
    rig_close(&r);
    return 0;
}
