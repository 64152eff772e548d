/* SPDX-License-Identifier: BSD-3-Clause */
/* When a back-end process is killed its mappings are dropped, and the front-end's process lives on. */
#include "pair.h"

#include <signal.h>

static void event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    ((int *)user_data)[event->type]++;
    CHECK(event->type == VHUSHMEM_EVENT_DISCONNECT || event->type == VHUSHMEM_EVENT_CHANNEL_LOST || event->result == 0);
}

int main(void)
{
    const char *peers = getenv("VHUSHMEM_PEERS");
    if (peers == NULL) {
        skip("VHUSHMEM_PEERS does not name the folder of the peers");
    }
    char *directory = new_directory(), *path = g_strdup_printf("%s/socket", directory);
    char *program = g_strdup_printf("%s/map-and-wait", peers);
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_FRONTEND_SERVER};
    int events[8] = {0};
    vhushmem_frontend *frontend = some(vhushmem_frontend_new(path, &options, &error));
    ok(vhushmem_frontend_set_callback(frontend, event, events, NULL));
    ok(vhushmem_frontend_start(frontend, &error));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        execl(program, program, path, (char *)NULL);
        _exit(127);
    }
    PUMP_FRONTEND_UNTIL(frontend, events[VHUSHMEM_EVENT_MAP] == 1);
    vhushmem_region *region = some(vhushmem_device_find_region(vhushmem_frontend_device(frontend), 0));
    shows(region, 0, PAGE, 1, 0);
    kill(child, SIGKILL);
    CHECK(waitpid(child, NULL, 0) == child);
    PUMP_FRONTEND_UNTIL(frontend, events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    EQ(vhushmem_region_mapping_count(region), 0);
    CHECK(!readable(vhushmem_region_window(region)));
    vhushmem_frontend_free(frontend);
    g_free(path);
    g_free(program);
    remove_directory(directory);
    return 0;
}
