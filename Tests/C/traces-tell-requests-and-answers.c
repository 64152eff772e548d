/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhushmem_set_debug reports each message and each map with its answer, in this process alone. With VHUSHMEM_DEBUG, GLib's
 * log reports the same, with structured fields. If off, nothing is reported. vhushmem_request_name has the names.
 */
#include "pair.h"

#define ROUNDS 3

static struct {
    unsigned wire, maps, refused, destroyed, logged;
    bool saw_config, saw_sentence, saw_fields;
} seen;

static void on_trace(const vhushmem_trace *trace, void *user_data)
{
    CHECK(user_data == &seen);
    CHECK(trace->name != NULL && trace->message != NULL && strlen(trace->message) > 5);
    EQ(trace->reserved, 0);
    if (trace->category == VHUSHMEM_TRACE_WIRE) { /* in the child, which is a device, also of the channel */
        seen.wire++;
        seen.saw_config |= trace->request == VHOST_USER_GET_SHMEM_CONFIG && !trace->is_sent && trace->size == 2056 &&
                           strcmp(trace->name, "GET_SHMEM_CONFIG") == 0;
        return;
    }
    EQ(trace->category, VHUSHMEM_TRACE_MAPS);
    seen.maps++;
    CHECK(strcmp(trace->name, trace->request == VHOST_USER_BACKEND_SHMEM_MAP ? "SHMEM_MAP" : "SHMEM_UNMAP") == 0);
    EQ(trace->shmid, 0);
    EQ(trace->shm_offset, PAGE);
    EQ(trace->len, PAGE);
    if (trace->result != 0) {
        seen.refused++;
        EQ(trace->result, -EEXIST);
        seen.saw_sentence |= strstr(trace->message, "overlaps") != NULL;
    }
}

static void on_destroy(gpointer user_data)
{
    CHECK(user_data == &seen);
    seen.destroyed++;
}

/* Two maps of the same place, and an unmap. */
static void ask(vhushmem_backend *backend)
{
    int file = memfd_of(PAGE, 1);
    ok(vhushmem_backend_map(backend, 0, file, 0, PAGE, PAGE, 0, &error));
    EQ(vhushmem_backend_map(backend, 0, file, 0, PAGE, PAGE, 0, NULL), -EEXIST);
    ok(vhushmem_backend_unmap(backend, 0, PAGE, PAGE, &error));
}

static unsigned lost;

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend, (void)user_data;
    lost += event->type == VHUSHMEM_EVENT_DISCONNECT;
}

static void session(void)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    pid_t child = back_end_process(pair[1], pair[0], 16 * PAGE, ask);
    vhushmem_frontend *frontend = some(vhushmem_frontend_new_fd(pair[0], NULL, &error));
    lost = 0;
    ok(vhushmem_frontend_set_callback(frontend, on_event, NULL, NULL));
    ok(vhushmem_frontend_connect(frontend, PATIENCE_MS, &error));
    PUMP_FRONTEND_UNTIL(frontend, lost > 0);
    vhushmem_frontend_free(frontend);
    ends_well(child);
}

static GLogWriterOutput on_log(GLogLevelFlags level, const GLogField *fields, gsize count, gpointer user_data)
{
    bool is_map = false, has_offset = false, is_ours = false;
    (void)user_data;
    for (gsize i = 0; i < count; i++) {
        is_ours |= strcmp(fields[i].key, "GLIB_DOMAIN") == 0 && strcmp(fields[i].value, "vhushmem") == 0;
        is_map |= strcmp(fields[i].key, "VHUSHMEM_REQUEST") == 0 && strcmp(fields[i].value, "SHMEM_MAP") == 0;
        has_offset |= strcmp(fields[i].key, "VHUSHMEM_OFFSET") == 0 && strtoull(fields[i].value, NULL, 10) == PAGE;
    }
    seen.logged += is_ours;
    seen.saw_fields |= is_ours && is_map && has_offset && (level & G_LOG_LEVEL_MESSAGE) != 0;
    return G_LOG_WRITER_HANDLED;
}

static void the_callback_is_told(void)
{
    ok(vhushmem_set_debug(VHUSHMEM_TRACE_ALL, on_trace, &seen, on_destroy));
    for (int i = 0; i < ROUNDS; i++) {
        session();
    }
    EQ(seen.maps, 3 * ROUNDS);
    EQ(seen.refused, ROUNDS);
    CHECK(seen.saw_config && seen.saw_sentence);
    CHECK(seen.wire > 20 * ROUNDS);

    ok(vhushmem_set_debug(VHUSHMEM_TRACE_MAPS, on_trace, &seen, on_destroy));
    EQ(seen.destroyed, 1);
    unsigned wire = seen.wire, maps = seen.maps;
    session();
    EQ(seen.wire, wire);
    EQ(seen.maps, maps + 3);

    ok(vhushmem_set_debug(0, NULL, NULL, NULL));
    EQ(seen.destroyed, 2);
    maps = seen.maps;
    session();
    EQ(seen.maps, maps);
    EQ(seen.logged, 0);

    /* A refused call changes nothing. */
    EQ(vhushmem_set_debug(4, on_trace, &seen, on_destroy), -EINVAL);
    EQ(seen.destroyed, 3);
    ok(vhushmem_set_debug(VHUSHMEM_TRACE_ALL, NULL, &seen, on_destroy));
    EQ(seen.destroyed, 4);
    session();
    CHECK(seen.saw_fields);
}

/* In a process whose environment asks for it, nothing else is needed. */
static void the_environment_is_heard(const char *program)
{
    char *output = NULL, *errors = NULL;
    char *arguments[] = {(char *)program, "child", NULL};
    char **environment = g_environ_setenv(g_get_environ(), "VHUSHMEM_DEBUG", "maps", TRUE);
    int status;
    environment = g_environ_unsetenv(environment, "G_MESSAGES_DEBUG");
    CHECK(g_spawn_sync(NULL, arguments, environment, G_SPAWN_DEFAULT, NULL, NULL, &output, &errors, &status, &error));
    EQ(status, 0);
    CHECK(strstr(errors, "SHMEM_MAP: ") != NULL && strstr(errors, "overlaps") != NULL);
    CHECK(strstr(errors, "GET_FEATURES") == NULL);
    g_strfreev(environment);
    g_free(output);
    g_free(errors);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        session();
        return 0;
    }
    CHECK(strcmp(vhushmem_request_name(false, 5), "SET_MEM_TABLE") == 0);
    CHECK(strcmp(vhushmem_request_name(false, 45), "GET_VRING_BASE_SKIP_DRAIN") == 0);
    CHECK(strcmp(vhushmem_request_name(true, 9), "SHMEM_MAP") == 0);
    CHECK(strcmp(vhushmem_request_name(true, 1), "IOTLB_MSG") == 0);
    CHECK(vhushmem_request_name(true, 11) == NULL && vhushmem_request_name(false, 0) == NULL);
    CHECK(vhushmem_request_name(false, UINT32_MAX) == NULL && vhushmem_request_name(true, 0) == NULL);
    the_environment_is_heard(argv[0]);
    g_log_set_writer_func(on_log, NULL, NULL);
    the_callback_is_told();
    return 0;
}
