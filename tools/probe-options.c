/* SPDX-License-Identifier: BSD-3-Clause */

#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "probe-wire.h"

int probe_usage_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("vhushmem-probe: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return STATUS_USAGE;
}

static const struct {
    const char *name;
    enum probe_mode mode;
    bool records;
} subcommands[] = {
    {"connect", MODE_CONNECT, false}, {"proxy", MODE_PROXY, false},     {"record", MODE_PROXY, true},
    {"replay", MODE_REPLAY, false},   {"backend", MODE_BACKEND, false},
};

/** @returns the index of the subcommand, or -1: the word names none (the old form). */
static int find_subcommand(const char *word)
{
    for (size_t i = 0; word != NULL && i < G_N_ELEMENTS(subcommands); i++) {
        if (strcmp(subcommands[i].name, word) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int print_help(const char *topic)
{
    const char *page = probe_help(topic);

    if (page == NULL) {
        return probe_usage_error("there is no topic and no command %s; topics are %s", topic, probe_help_topics());
    }
    fputs(page, stdout);
    return fflush(stdout) == 0 ? STATUS_DONE : STATUS_UNEXPECTED;
}

/** Take the words that are no options. @returns -1, or the exit status. */
static int take_words(struct probe_options *options, int subcommand, int argc, char **argv)
{
    char **place = NULL;

    if (subcommand >= 0 && (subcommands[subcommand].records || options->mode == MODE_REPLAY)) {
        place = options->mode == MODE_REPLAY ? &options->capture : &options->record;
    } else if (subcommand >= 0 && options->mode == MODE_CONNECT) {
        place = &options->socket;
    } else if (subcommand >= 0 && options->mode == MODE_BACKEND) {
        place = &options->listen;
    }
    if (argc > 1 && place != NULL && *place == NULL) {
        *place = g_strdup(argv[1]);
        argc--;
        argv++;
    }
    if (argc > 1 && subcommand < 0) {
        return probe_usage_error("there is no subcommand %s: there are connect, backend, proxy, record and replay; see --help",
                                 argv[1]);
    }
    return argc > 1 ? probe_usage_error("there is no place for the word %s; see --help", argv[1]) : -1;
}

/** Check the options that each subcommand needs. @returns -1, or the exit status. */
static int check_needs(struct probe_options *options)
{
    bool both = options->listen != NULL && options->connect != NULL;

    if (options->mode == MODE_CONNECT && options->socket == NULL && !both) {
        options->socket = options->connect != NULL ? options->connect : options->listen;
        options->server = options->server || options->listen != NULL;
        options->connect = options->listen = NULL;
    }
    if (options->mode == MODE_CONNECT && options->socket == NULL) {
        return options->has_subcommand
                   ? probe_usage_error("a SOCKET is needed: vhushmem-probe connect SOCKET; see `vhushmem-probe help connect`")
                   : probe_usage_error("say what to do: connect, backend, proxy, record or replay; see --help");
    }
    if (options->mode == MODE_PROXY && !both) {
        return probe_usage_error("--listen PATH and --connect PATH are needed; see `vhushmem-probe help proxy`");
    }
    if (options->mode == MODE_BACKEND && (options->listen == NULL) == (options->connect == NULL)) {
        return probe_usage_error("give either --listen PATH or --connect PATH; see `vhushmem-probe help backend`");
    }
    if (options->mode == MODE_REPLAY && (options->capture == NULL || (options->listen == NULL) == (options->connect == NULL))) {
        return probe_usage_error("give a FILE, and either --connect PATH (a device) or --listen PATH (for a VMM); see "
                                 "`vhushmem-probe help replay`");
    }
    return -1;
}

static gboolean take_seconds(const gchar *name, const gchar *value, gpointer data, GError **error)
{
    struct probe_options *options = data;

    if (!probe_parse_seconds(value, &options->seconds) || options->seconds <= 0) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s is a number of seconds, not %s", name, value);
        return FALSE;
    }
    return TRUE;
}

int probe_parse_options(struct probe_options *options, int argc, char **argv)
{
    gboolean help = FALSE;
    const GOptionEntry entries[] = {
        {"help", 'h', 0, G_OPTION_ARG_NONE, &help, NULL, NULL},
        {"socket", 0, 0, G_OPTION_ARG_FILENAME, &options->socket, NULL, NULL},
        {"listen", 0, 0, G_OPTION_ARG_FILENAME, &options->listen, NULL, NULL},
        {"connect", 0, 0, G_OPTION_ARG_FILENAME, &options->connect, NULL, NULL},
        {"server", 0, 0, G_OPTION_ARG_NONE, &options->server, NULL, NULL},
        {"strategy", 0, 0, G_OPTION_ARG_STRING, &options->strategy, NULL, NULL},
        {"holes", 0, 0, G_OPTION_ARG_STRING, &options->holes, NULL, NULL},
        {"shmem-bit", 0, 0, G_OPTION_ARG_STRING, &options->shmem_bit, NULL, NULL},
        {"region", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->regions, NULL, NULL},
        {"kvm", 0, 0, G_OPTION_ARG_NONE, &options->kvm, NULL, NULL},
        {"dax", 0, 0, G_OPTION_ARG_NONE, &options->dax, NULL, NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options->json, NULL, NULL},
        {"dump-wire", 0, 0, G_OPTION_ARG_NONE, &options->dump_wire, NULL, NULL},
        {"summary", 0, 0, G_OPTION_ARG_NONE, &options->summary, NULL, NULL},
        {"only", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->only, NULL, NULL},
        {"except", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->except, NULL, NULL},
        {"record", 0, 0, G_OPTION_ARG_FILENAME, &options->record, NULL, NULL},
        {"device", 0, 0, G_OPTION_ARG_STRING, &options->device, NULL, NULL},
        {"queues", 0, 0, G_OPTION_ARG_STRING, &options->queues, NULL, NULL},
        {"config-size", 0, 0, G_OPTION_ARG_STRING, &options->config_size, NULL, NULL},
        {"features", 0, 0, G_OPTION_ARG_STRING, &options->features, NULL, NULL},
        {"for-qemu", 0, 0, G_OPTION_ARG_NONE, &options->for_qemu, NULL, NULL},
        {"for", 0, 0, G_OPTION_ARG_CALLBACK, take_seconds, NULL, NULL},
        {"until-disconnect", 0, 0, G_OPTION_ARG_NONE, &options->until_disconnect, NULL, NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, NULL, NULL},
        G_OPTION_ENTRY_NULL,
    };
    int subcommand = find_subcommand(argc > 1 ? argv[1] : NULL), status;
    GOptionContext *context;
    GOptionGroup *group;
    GError *error = NULL;

    if (argc > 1 && strcmp(argv[1], "help") == 0) {
        return argc > 3 ? probe_usage_error("help takes one topic") : print_help(argc > 2 ? argv[2] : NULL);
    }
    options->has_subcommand = subcommand >= 0;
    options->mode = subcommand >= 0 ? subcommands[subcommand].mode : MODE_CONNECT;
    if (subcommand >= 0) {
        argc--;
        argv++;
    }
    context = g_option_context_new(NULL);
    group = g_option_group_new("main", "", "", options, NULL);
    g_option_group_add_entries(group, entries);
    g_option_context_set_main_group(context, group);
    g_option_context_set_help_enabled(context, FALSE);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        status = probe_usage_error("%s", error->message);
        g_error_free(error);
    } else if (help) {
        status = print_help(subcommand >= 0 ? subcommands[subcommand].name : NULL);
    } else if (options->version) {
        printf("vhushmem-probe %d.%d.%d, library %s\n", VHUSHMEM_VERSION_MAJOR, VHUSHMEM_VERSION_MINOR, VHUSHMEM_VERSION_MICRO,
               vhushmem_version_string());
        status = fflush(stdout) == 0 ? STATUS_DONE : STATUS_UNEXPECTED;
    } else {
        status = take_words(options, subcommand, argc, argv);
        status = status < 0 ? check_needs(options) : status;
    }
    g_option_context_free(context);
    return status;
}

void probe_free_options(struct probe_options *options)
{
    char **texts[] = {&options->socket,      &options->connect,   &options->listen, &options->strategy,
                      &options->holes,       &options->shmem_bit, &options->device, &options->queues,
                      &options->config_size, &options->features,  &options->record, &options->capture};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_clear_pointer(texts[i], g_free);
    }
    g_strfreev(options->regions);
    g_strfreev(options->only);
    g_strfreev(options->except);
}

/** Turn the options into options of the library. */
static int apply_options(struct probe *probe, const struct probe_options *options, vhushmem_frontend_options *frontend,
                         vhushmem_region_options *region)
{
    uint64_t bit = VHOST_USER_PROTOCOL_F_SHMEM, queues = probe->device_id == VIRTIO_ID_FS ? 2 : 1;

    if (options->dax) {
        vhushmem_region_options_for_dax(region);
    }
    if (g_strcmp0(options->strategy, "slots") == 0) {
        region->strategy = VHUSHMEM_STRATEGY_SLOTS;
    } else if (options->strategy != NULL && strcmp(options->strategy, "window") != 0) {
        return probe_usage_error("--strategy is window or slots, not %s", options->strategy);
    }
    if (g_strcmp0(options->holes, "zero") == 0) {
        region->holes = VHUSHMEM_HOLES_ZERO;
    } else if (options->holes != NULL && strcmp(options->holes, "fault") != 0) {
        return probe_usage_error("--holes is fault or zero, not %s", options->holes);
    }
    if (options->shmem_bit != NULL && (!probe_parse_number(options->shmem_bit, 22, &bit) || bit < 20)) {
        return probe_usage_error("--shmem-bit is 20, 21 or 22, not %s", options->shmem_bit);
    }
    if (options->queues != NULL && (!probe_parse_number(options->queues, 256, &queues) || queues == 0)) {
        return probe_usage_error("--queues is a number from 1 to 256, not %s", options->queues);
    }
    if (options->kvm) {
        char *sentence = probe_kvm_open(probe);

        if (sentence != NULL) {
            int status = probe_usage_error("--kvm: no guest can be made: %s", sentence);

            g_free(sentence);
            return status;
        }
    }
    probe->zero_holes = region->holes == VHUSHMEM_HOLES_ZERO;
    probe->shmem_bit = (unsigned)bit;
    frontend->shmem_bit = (uint32_t)bit;
    frontend->num_queues = (uint32_t)queues;
    frontend->min_queue_num = 1;
    frontend->max_config_size = 4096;
    frontend->flags = options->server ? VHUSHMEM_FRONTEND_SERVER : 0;
    frontend->region = region;
    return 0;
}

bool probe_parse_region(const char *option, uint64_t *shmid, uint64_t *size)
{
    char **words = g_strsplit(option, ":", 2);
    bool is_region = g_strv_length(words) == 2 && probe_parse_number(words[0], UINT8_MAX, shmid) &&
                     probe_parse_size(words[1], UINT64_MAX, size);

    g_strfreev(words);
    return is_region;
}

static int add_region(struct probe *probe, const char *option)
{
    uint64_t shmid, size;
    GError *error = NULL;
    int status = 0;

    if (!probe_parse_region(option, &shmid, &size)) {
        status = probe_usage_error("--region is ID:SIZE, two numbers, the first below 256, not %s", option);
    } else if (vhushmem_frontend_add_region(probe->frontend, (uint8_t)shmid, size, &error) < 0) {
        status = probe_usage_error("--region %s: %s", option, error->message);
        g_error_free(error);
    }
    return status;
}

int probe_make_frontend(struct probe *probe, const struct probe_options *options)
{
    vhushmem_region_options region = {.struct_size = sizeof(region)};
    vhushmem_frontend_options frontend = {.struct_size = sizeof(frontend)};
    GError *error = NULL;
    int status = apply_options(probe, options, &frontend, &region);

    if (status != 0) {
        return status;
    }
    if (options->dump_wire || options->record != NULL || options->summary) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
            return probe_usage_error("no socket pair: %s", g_strerror(errno));
        }
        frontend.flags &= ~(uint32_t)VHUSHMEM_FRONTEND_SERVER;
        probe->front = pair[1];
        probe->frontend = vhushmem_frontend_new_fd(pair[0], &frontend, &error);
    } else {
        probe->frontend = vhushmem_frontend_new(options->socket, &frontend, &error);
    }
    if (probe->frontend == NULL) {
        status = probe_usage_error("%s", error->message);
        g_error_free(error);
        return status;
    }
    probe->device = vhushmem_frontend_device(probe->frontend);
    for (char **option = options->regions; option != NULL && *option != NULL && status == 0; option++) {
        status = add_region(probe, *option);
    }
    return status;
}
