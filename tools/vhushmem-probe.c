/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * vhushmem-probe: a front-end for any back-end with shared memory regions. It shakes hands, says what it found, serves requests
 * and says so, and takes commands on standard input that look at the memory.
 */

#include "probe.h"

#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Exit statuses. */
#define STATUS_NO_HANDSHAKE 1
#define STATUS_USAGE 2

/* ---- events ---- */

/** Why, for what did not go well. */
static void record_message(struct record *record, const vhushmem_event *event)
{
    if (event->message != NULL) {
        record_text(record, "message", event->message);
    }
}

static void on_ready(struct probe *probe)
{
    uint64_t protocol_features = vhushmem_frontend_protocol_features(probe->frontend);
    struct record record;

    probe->was_ready = true;
    probe_view_refresh(probe);
    record_begin(&record, probe->json, "ready");
    record_hex(&record, "features", vhushmem_frontend_features(probe->frontend));
    record_list_begin(&record, "protocol_features");
    for (unsigned bit = 0; bit < 64; bit++) {
        /* Where an older bit stands for SHMEM it does not stand for what has the bit today. */
        const char *name = bit == probe->shmem_bit ? "SHMEM" : vhushmem_protocol_feature_name(bit);

        if (((protocol_features >> bit) & 1) != 0) {
            record_list_text(&record, name != NULL ? name : "?");
        }
    }
    record_list_end(&record);
    record_number(&record, "max_queues", vhushmem_frontend_max_queues(probe->frontend));
    record_regions(&record, probe->device);
    record_end(&record);
    probe_input_quit_if_done(probe);
}

static void count_request(struct probe *probe, const vhushmem_event *event)
{
    if (event->result != 0) {
        probe->counters.refused++;
    } else if (event->type == VHUSHMEM_EVENT_MAP) {
        probe->counters.maps++;
        probe->counters.bytes_mapped += event->len;
    } else if (event->type == VHUSHMEM_EVENT_UNMAP) {
        probe->counters.unmaps++;
    }
}

static void on_map(struct probe *probe, const vhushmem_event *event)
{
    struct record record;

    if (probe_view_takes(probe, event)) {
        return;
    }
    record_begin(&record, probe->json, "map");
    record_number(&record, "shmid", event->shmid);
    record_hex(&record, "shm_offset", event->shm_offset);
    record_hex(&record, "len", event->len);
    record_hex(&record, "fd_offset", event->fd_offset);
    record_bool(&record, "rw", (event->flags & VHOST_USER_FLAG_MAP_RW) != 0);
    record_result(&record, event->result);
    record_message(&record, event);
    record_end(&record);
}

static void on_unmap(struct probe *probe, const vhushmem_event *event)
{
    struct record record;

    if (probe_view_takes(probe, event)) {
        return;
    }
    record_begin(&record, probe->json, "unmap");
    record_number(&record, "shmid", event->shmid);
    record_hex(&record, "shm_offset", event->shm_offset);
    record_hex(&record, "len", event->len);
    record_result(&record, event->result);
    record_message(&record, event);
    record_end(&record);
}

static void on_other_request(struct probe *probe, const vhushmem_event *event)
{
    struct record record;

    if (probe_view_takes(probe, event)) {
        return;
    }
    record_begin(&record, probe->json, "other_request");
    record_number(&record, "request", event->request);
    record_result(&record, event->result);
    record_message(&record, event);
    record_end(&record);
}

/** What has a result and a message at the most: reset, channel_lost, disconnect. */
static void say(struct probe *probe, const char *name, const vhushmem_event *event)
{
    struct record record;

    record_begin(&record, probe->json, name);
    if (event->result != 0) {
        record_result(&record, event->result);
    }
    record_message(&record, event);
    record_end(&record);
}

static void fail_handshake(struct probe *probe, int32_t result, const char *message)
{
    probe->status = STATUS_NO_HANDSHAKE;
    if (probe->json) {
        struct record record;

        record_begin(&record, true, "error");
        record_result(&record, result);
        record_text(&record, "message", message);
        record_end(&record);
    } else {
        fprintf(stderr, "vhushmem-probe: %s\n", message);
    }
    g_main_loop_quit(probe->loop);
}

static void on_disconnect(struct probe *probe, const vhushmem_event *event)
{
    if (!probe->was_ready) {
        fail_handshake(probe, event->result, event->message != NULL ? event->message : "the back-end went away");
        return;
    }
    say(probe, "disconnect", event);
    probe_answer_reset(probe, "the back-end went away before the reset was complete");
}

static void on_event(vhushmem_frontend *frontend, const vhushmem_event *event, void *user_data)
{
    struct probe *probe = user_data;

    (void)frontend;
    switch (event->type) {
    case VHUSHMEM_EVENT_READY:
        on_ready(probe);
        break;
    case VHUSHMEM_EVENT_MAP:
        count_request(probe, event);
        on_map(probe, event);
        break;
    case VHUSHMEM_EVENT_UNMAP:
        count_request(probe, event);
        on_unmap(probe, event);
        break;
    case VHUSHMEM_EVENT_OTHER_REQUEST:
        count_request(probe, event);
        on_other_request(probe, event);
        break;
    case VHUSHMEM_EVENT_CONFIG_CHANGE:
        say(probe, "config_change", event);
        break;
    case VHUSHMEM_EVENT_RESET:
        probe->counters.resets++;
        say(probe, "reset", event);
        probe_answer_reset(probe, NULL);
        break;
    case VHUSHMEM_EVENT_CHANNEL_LOST:
        probe->channel_lost = true;
        say(probe, "channel_lost", event);
        break;
    case VHUSHMEM_EVENT_DISCONNECT:
        on_disconnect(probe, event);
        break;
    default:
        break; /* a newer library's: nothing that this program was asked to say */
    }
}

/* ---- options ---- */

struct options {
    char *socket;
    gboolean server;
    char *strategy;
    char *holes;
    char *shmem_bit;
    char **regions;
    gboolean kvm;
    gboolean json;
    gboolean version;
};

G_GNUC_PRINTF(1, 2) static int usage_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("vhushmem-probe: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return STATUS_USAGE;
}

static int parse_options(struct options *options, int *argc, char ***argv)
{
    const GOptionEntry entries[] = {
        {"socket", 0, 0, G_OPTION_ARG_FILENAME, &options->socket, "The Unix socket of the back-end", "PATH"},
        {"server", 0, 0, G_OPTION_ARG_NONE, &options->server, "Listen at PATH instead of connecting to it", NULL},
        {"strategy", 0, 0, G_OPTION_ARG_STRING, &options->strategy, "How mappings reach a guest: window", "window|slots"},
        {"holes", 0, 0, G_OPTION_ARG_STRING, &options->holes, "What is where nothing is mapped", "fault|zero"},
        {"shmem-bit", 0, 0, G_OPTION_ARG_STRING, &options->shmem_bit, "The protocol feature bit of SHMEM: 20, 21 or 22", "N"},
        {"region", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->regions, "A region of a back-end that can't tell", "ID:SIZE"},
        {"kvm", 0, 0, G_OPTION_ARG_NONE, &options->kvm, "Look through a KVM guest (not in this version)", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options->json, "Print one JSON object a line", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version", NULL},
        G_OPTION_ENTRY_NULL,
    };
    GOptionContext *context = g_option_context_new("- a front-end for any vhost-user back-end with shared memory");
    GError *error = NULL;
    int status = 0;

    g_option_context_set_description(
        context, "Commands on standard input, one a line; numbers are decimal, or hex after 0x:\n"
                 "  read SHMID OFFSET LEN     show bytes of a region\n"
                 "  write SHMID OFFSET HEX    change bytes of a region\n"
                 "  status                    show regions, mappings and counters\n"
                 "  reset                     reset the device\n"
                 "  quit                      end\n\n"
                 "Exit status: 0 after quit, or at the end of input once the handshake is done, 1 when the\n"
                 "handshake failed or nothing can be written, 2 when an option is wrong.\n");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        status = usage_error("%s", error->message);
        g_error_free(error);
    } else if (*argc > 1) {
        status = usage_error("%s is no option; see --help", (*argv)[1]);
    }
    g_option_context_free(context);
    return status;
}

/** What the options say to the library. */
static int apply_options(struct probe *probe, const struct options *options, vhushmem_frontend_options *frontend,
                         vhushmem_region_options *region)
{
    uint64_t bit = VHOST_USER_PROTOCOL_F_SHMEM;

    if (options->socket == NULL) {
        return usage_error("--socket PATH is needed; see --help");
    }
    if (options->kvm) {
        return usage_error("--kvm is not in this version");
    }
    if (g_strcmp0(options->strategy, "slots") == 0) {
        return usage_error("--strategy slots is not in this version; window is");
    }
    if (options->strategy != NULL && strcmp(options->strategy, "window") != 0) {
        return usage_error("--strategy is window or slots, not %s", options->strategy);
    }
    if (g_strcmp0(options->holes, "zero") == 0) {
        region->holes = VHUSHMEM_HOLES_ZERO;
    } else if (options->holes != NULL && strcmp(options->holes, "fault") != 0) {
        return usage_error("--holes is fault or zero, not %s", options->holes);
    }
    if (options->shmem_bit != NULL && (!probe_parse_number(options->shmem_bit, 22, &bit) || bit < 20)) {
        return usage_error("--shmem-bit is 20, 21 or 22, not %s", options->shmem_bit);
    }
    probe->json = options->json;
    probe->zero_holes = region->holes == VHUSHMEM_HOLES_ZERO;
    probe->shmem_bit = (unsigned)bit;
    frontend->shmem_bit = (uint32_t)bit;
    frontend->flags = options->server ? VHUSHMEM_FRONTEND_SERVER : 0;
    frontend->region = region;
    return 0;
}

static int add_region(struct probe *probe, const char *option)
{
    char **words = g_strsplit(option, ":", 2);
    uint64_t shmid, size;
    GError *error = NULL;
    int status = 0;

    if (g_strv_length(words) != 2 || !probe_parse_number(words[0], UINT8_MAX, &shmid) ||
        !probe_parse_number(words[1], UINT64_MAX, &size)) {
        status = usage_error("--region is ID:SIZE, two numbers, the first below 256, not %s", option);
    } else if (vhushmem_frontend_add_region(probe->frontend, (uint8_t)shmid, size, &error) < 0) {
        status = usage_error("--region %s: %s", option, error->message);
        g_error_free(error);
    }
    g_strfreev(words);
    return status;
}

static int make_frontend(struct probe *probe, const struct options *options)
{
    vhushmem_region_options region = {.struct_size = sizeof(region)};
    vhushmem_frontend_options frontend = {.struct_size = sizeof(frontend)};
    GError *error = NULL;
    int status = apply_options(probe, options, &frontend, &region);

    if (status != 0) {
        return status;
    }
    probe->frontend = vhushmem_frontend_new(options->socket, &frontend, &error);
    if (probe->frontend == NULL) {
        status = usage_error("%s", error->message);
        g_error_free(error);
        return status;
    }
    probe->device = vhushmem_frontend_device(probe->frontend);
    for (char **option = options->regions; option != NULL && *option != NULL && status == 0; option++) {
        status = add_region(probe, *option);
    }
    return status;
}

/* ---- the program ---- */

static void run(struct probe *probe)
{
    GError *error = NULL;
    GSource *source;

    vhushmem_frontend_set_callback(probe->frontend, on_event, probe, NULL);
    source = vhushmem_frontend_source_new(probe->frontend);
    g_source_attach(source, NULL);
    g_source_unref(source);
    probe_input_begin(probe);
    probe_view_begin(probe);

    int rc = vhushmem_frontend_start(probe->frontend, &error);
    if (rc < 0 && probe->status == 0) {
        fail_handshake(probe, rc, error->message);
    }
    g_clear_error(&error);
    /* A loop can't be told to end before it runs. */
    if (probe->status == 0) {
        g_main_loop_run(probe->loop);
    }
    probe_view_end(probe);
    probe_input_free(probe);
}

/** A standard descriptor that is closed would become a socket's. */
static void open_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

int main(int argc, char **argv)
{
    open_standard_descriptors();
    setlocale(LC_CTYPE, ""); /* what the terminal can show */

    struct options options = {0};
    struct probe probe = {.loop = g_main_loop_new(NULL, FALSE)};
    int status = parse_options(&options, &argc, &argv);

    if (status == 0 && options.version) {
        printf("vhushmem-probe %d.%d.%d, library %s\n", VHUSHMEM_VERSION_MAJOR, VHUSHMEM_VERSION_MINOR, VHUSHMEM_VERSION_MICRO,
               vhushmem_version_string());
    } else if (status == 0) {
        status = make_frontend(&probe, &options);
        if (status == 0) {
            run(&probe);
            status = probe.status;
            /* What was not written was not said. */
            if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0) {
                fprintf(stderr, "vhushmem-probe: cannot write to the standard output\n");
                status = 1;
            }
        }
    }
    vhushmem_frontend_free(probe.frontend);
    g_main_loop_unref(probe.loop);
    g_free(options.socket);
    g_free(options.strategy);
    g_free(options.holes);
    g_free(options.shmem_bit);
    g_strfreev(options.regions);
    return status;
}
