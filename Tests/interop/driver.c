/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VMM without a guest: a front-end of the library. A script is its driver, and writes lines to its standard input. Usage:
 *
 *     driver SOCKET QUEUES [server] [reconnect]
 *
 * Each command gets one line as its answer: `ok ...` or `err ERRNO MESSAGE`. Lines that begin with `event` and `used` may come at
 * any time. The comment of a command's function describes its arguments.
 */
#include "driver.h"

static struct vm vm;

static const char *event_name(const vhushmem_event *event)
{
    static const char *const names[] = {"?",          "ready",         "map",    "unmap", "other", "reset", "channel-lost",
                                        "disconnect", "config-change", "broken", "healed"};
    return event->type < sizeof(names) / sizeof(names[0]) ? names[event->type] : "?";
}

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    (void)frontend;
    (void)user_data;
    for (unsigned i = 0; event->type == VHUSHMEM_EVENT_RESET && i < vm.count; i++) {
        ring_clear(&vm.rings[i]); /* not before: the back-end may still look at them */
    }
    say("event %s %d %s", event_name(event), event->result, event->message != NULL ? event->message : "");
}

/* The error comes by its address: the call may be an argument of this one, and C evaluates arguments in any order. */
static void answer(int rc, GError **error)
{
    if (rc < 0) {
        say("err %d %s", rc, error != NULL && *error != NULL ? (*error)->message : "");
    } else {
        say("ok %d", rc);
    }
    if (error != NULL) {
        g_clear_error(error);
    }
}

/* info: the back-end's offer, and what was negotiated */
static void info(char **words)
{
    (void)words;
    say("ok features=0x%" PRIx64 " protocol=0x%" PRIx64 " queues=%" PRIu64, vhushmem_frontend_features(vm.frontend),
        vhushmem_frontend_protocol_features(vm.frontend), vhushmem_frontend_max_queues(vm.frontend));
}

/* start FEATURES [QUEUE...]: all queues, or only these; each goes on from where it was */
static void start(char **words)
{
    vhushmem_queue queues[MAX_QUEUES];
    GError *error = NULL;
    bool all = words[1] == NULL;

    memset(queues, 0, sizeof(queues));
    for (unsigned i = 0; i < vm.count; i++) {
        struct ring *ring = &vm.rings[i];
        bool wanted = all;
        for (char **word = words + 1; !all && *word != NULL; word++) {
            wanted |= number(*word) == i;
        }
        queues[i] = (vhushmem_queue){.struct_size = sizeof(queues[i]),
                                     .size = wanted ? RING_SIZE : 0,
                                     .base = ring->seen,
                                     .desc = ring->desc,
                                     .avail = ring->avail,
                                     .used = ring->used,
                                     .kick_fd = ring->kick,
                                     .call_fd = ring->call};
    }
    answer(vhushmem_frontend_start_device(vm.frontend, number(words[0]), queues, vm.count, &error), &error);
}

/* stop: reports the queues' bases */
static void stop(char **words)
{
    uint16_t bases[MAX_QUEUES];
    char text[16 * MAX_QUEUES] = "";
    GError *error = NULL;
    int count = vhushmem_frontend_stop_device(vm.frontend, bases, MAX_QUEUES, &error);

    (void)words;
    if (count < 0) {
        answer(count, &error);
        return;
    }
    for (int i = 0; i < count; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), " %u", bases[i]);
    }
    say("ok%s", text);
}

/* reset: when the event `reset` comes, the rings are as new */
static void reset(char **words)
{
    GError *error = NULL;
    int rc = vhushmem_frontend_reset(vm.frontend, &error);

    (void)words;
    answer(rc, &error);
}

/* put QUEUE [out:HEX | in:BYTES]...: puts a chain into the ring and reports its head; kicks nobody */
static void put(char **words) { say("ok %d", ring_put(&vm, (unsigned)number(words[0]), words + 1)); }

/* kick QUEUE */
static void kick(char **words) { answer(eventfd_write(vm.rings[number(words[0]) % MAX_QUEUES].kick, 1), NULL); }

/* enable QUEUE 0|1 */
static void enable(char **words)
{
    GError *error = NULL;
    answer(vhushmem_frontend_enable_queue(vm.frontend, (unsigned)number(words[0]), number(words[1]) != 0, &error), &error);
}

/* config OFFSET BYTES: of configuration space, in hexadecimal digits */
static void config(char **words)
{
    uint8_t bytes[256];
    GError *error = NULL;
    uint32_t size = (uint32_t)number(words[1]);
    int rc = vhushmem_frontend_get_config(vm.frontend, (uint32_t)number(words[0]), bytes, size, &error);

    if (rc < 0) {
        answer(rc, &error);
    } else {
        say_hex("ok", bytes, size);
    }
}

/* window REGION OFFSET BYTES: mapped bytes of a shared memory region, in hexadecimal digits */
static void window(char **words)
{
    uint8_t bytes[4096];
    GError *error = NULL;
    size_t size = (size_t)number(words[2]);
    vhushmem_region *region = vhushmem_device_find_region(vhushmem_frontend_device(vm.frontend), (uint8_t)number(words[0]));
    int rc = size <= sizeof(bytes) ? vhushmem_region_read(region, number(words[1]), bytes, size, &error) : -EINVAL;

    if (rc < 0) {
        answer(rc, &error);
    } else {
        say_hex("ok", bytes, size);
    }
}

/* inflight: makes an area for requests in flight and gives it to the back-end */
static void inflight(char **words)
{
    vhushmem_inflight area = {.struct_size = sizeof(area)};
    GError *error = NULL;
    int rc = vhushmem_frontend_get_inflight(vm.frontend, (uint16_t)vm.count, RING_SIZE, &area, &error);

    (void)words;
    if (rc >= 0) {
        rc = vhushmem_frontend_set_inflight(vm.frontend, &area, &error);
        close(area.fd);
    }
    answer(rc, &error);
}

/* migratable: whether the device may be moved */
static void migratable(char **words)
{
    GError *error = NULL;
    (void)words;
    answer(vhushmem_frontend_can_migrate(vm.frontend, &error), &error);
}

/* state save|load FILE: the device's own state */
static void state(char **words)
{
    GError *error = NULL;
    bool saves = strcmp(words[0], "save") == 0;
    int pipe_fds[2], use = -1, file = open(words[1], saves ? O_CREAT | O_TRUNC | O_WRONLY : O_RDONLY, 0600);
    int ours, rc;

    if (file < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0) {
        answer(-errno, NULL);
        return;
    }
    ours = pipe_fds[saves ? 0 : 1];
    rc = vhushmem_frontend_set_device_state_fd(vm.frontend, saves ? VHUSHMEM_STATE_SAVE : VHUSHMEM_STATE_LOAD,
                                               pipe_fds[saves ? 1 : 0], &use, &error);
    close(pipe_fds[saves ? 1 : 0]);
    if (rc >= 0) {
        pour(saves ? (use >= 0 ? use : ours) : file, saves ? file : (use >= 0 ? use : ours));
    }
    close(ours);
    if (use >= 0) {
        close(use);
    }
    close(file);
    if (rc >= 0) {
        rc = vhushmem_frontend_check_device_state(vm.frontend, &error);
    }
    answer(rc, &error);
}

/* gpu: GPU_SET_SOCKET; the driver is the display at the other end */
static void gpu(char **words)
{
    GError *error = NULL;
    int pair[2], rc;

    (void)words;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        answer(-errno, NULL);
        return;
    }
    rc = vhushmem_frontend_request(vm.frontend, 33, NULL, 0, &pair[1], 1, 0, NULL, NULL, NULL, &error);
    close(pair[1]);
    vm.gpu = pair[0];
    answer(rc, &error);
}

/* quit */
static void quit(char **words)
{
    (void)words;
    vm.is_over = true;
    say("ok");
}

static const struct command {
    const char *name;
    int words; /* at least */
    void (*run)(char **words);
} commands[] = {
    {"info", 0, info},   {"start", 1, start},   {"stop", 0, stop},     {"reset", 0, reset},       {"put", 1, put},
    {"kick", 1, kick},   {"enable", 2, enable}, {"config", 2, config}, {"inflight", 0, inflight}, {"migratable", 0, migratable},
    {"state", 2, state}, {"gpu", 0, gpu},       {"window", 3, window}, {"quit", 0, quit},
};

static void run_line(char *line)
{
    char *words[MAX_WORDS + 1] = {0}, *rest = NULL;
    int count = 0;

    for (char *word = strtok_r(line, " \n", &rest); word != NULL && count < MAX_WORDS; word = strtok_r(NULL, " \n", &rest)) {
        words[count++] = word;
    }
    for (size_t i = 0; count > 0 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(words[0], commands[i].name) == 0 && count > commands[i].words) {
            commands[i].run(words + 1);
            return;
        }
    }
    say("err -22 no such command");
}

static int connect_to(const char *path, unsigned flags, unsigned reconnect_ms)
{
    vhushmem_frontend_options options = {.struct_size = sizeof(options),
                                         .num_queues = vm.count,
                                         .flags = flags,
                                         .reconnect_ms = reconnect_ms,
                                         .request_timeout_ms = 120000};
    vhushmem_guest_memory memory = {
        .struct_size = sizeof(memory), .guest_addr = RAM_AT, .size = RAM_SIZE, .host = vm.ram, .fd = vm.ram_fd};
    GError *error = NULL;
    int rc = -EINVAL;

    vm.frontend = vhushmem_frontend_new(path, &options, &error);
    if (vm.frontend != NULL) {
        vhushmem_frontend_set_callback(vm.frontend, on_event, NULL, NULL);
        rc = vhushmem_frontend_connect(vm.frontend, 120000, &error);
    }
    if (rc >= 0) {
        rc = vhushmem_frontend_set_memory(vm.frontend, &memory, 1, &error);
    }
    answer(rc, &error);
    return rc;
}

int main(int argc, char **argv)
{
    unsigned flags = 0, reconnect_ms = 0;

    if (argc < 3) {
        return 2;
    }
    for (int i = 3; i < argc; i++) {
        flags |= strcmp(argv[i], "server") == 0 ? VHUSHMEM_FRONTEND_SERVER : 0;
        reconnect_ms = strcmp(argv[i], "reconnect") == 0 ? 100 : reconnect_ms;
    }
    vm_init(&vm, (unsigned)number(argv[2]));
    if (connect_to(argv[1], flags, reconnect_ms) < 0) {
        return 1;
    }
    while (!vm.is_over) {
        vm_wait(&vm, run_line);
    }
    vhushmem_frontend_free(vm.frontend);
    return 0;
}
