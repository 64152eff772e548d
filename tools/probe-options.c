/* SPDX-License-Identifier: BSD-3-Clause */

#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* An exit status. */
#define STATUS_USAGE 2

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

int probe_parse_options(struct probe_options *options, int *argc, char ***argv)
{
    const GOptionEntry entries[] = {
        {"socket", 0, 0, G_OPTION_ARG_FILENAME, &options->socket, "The Unix socket of the back-end; @NAME: an abstract one",
         "PATH"},
        {"server", 0, 0, G_OPTION_ARG_NONE, &options->server, "Listen at PATH instead of connecting to it", NULL},
        {"strategy", 0, 0, G_OPTION_ARG_STRING, &options->strategy, "How mappings reach a guest", "window|slots"},
        {"holes", 0, 0, G_OPTION_ARG_STRING, &options->holes, "What is where nothing is mapped", "fault|zero"},
        {"shmem-bit", 0, 0, G_OPTION_ARG_STRING, &options->shmem_bit, "The protocol feature bit of SHMEM: 20, 21 or 22", "N"},
        {"region", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->regions, "A region of a back-end that can't tell", "ID:SIZE"},
        {"kvm", 0, 0, G_OPTION_ARG_NONE, &options->kvm, "Place the regions in a KVM guest, as a VMM would", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options->json, "Print one JSON object a line", NULL},
        {"dump-wire", 0, 0, G_OPTION_ARG_NONE, &options->dump_wire, "Print each message, decoded", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version", NULL},
        G_OPTION_ENTRY_NULL,
    };
    GOptionContext *context = g_option_context_new("- a front-end for any vhost-user back-end with shared memory");
    GError *error = NULL;
    int status = 0;

    g_option_context_set_description(
        context, "Commands on standard input, one a line; numbers are decimal, or hex after 0x:\n"
                 "  read SHMID OFFSET LEN     show bytes of a region\n"
                 "  touch SHMID OFFSET LEN    the same as a VMM's thread would: what a file has lost becomes zeros\n"
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
static int apply_options(struct probe *probe, const struct probe_options *options, vhushmem_frontend_options *frontend,
                         vhushmem_region_options *region)
{
    uint64_t bit = VHOST_USER_PROTOCOL_F_SHMEM;

    if (options->socket == NULL) {
        return usage_error("--socket PATH is needed; see --help");
    }
    if (g_strcmp0(options->strategy, "slots") == 0) {
        region->strategy = VHUSHMEM_STRATEGY_SLOTS;
    } else if (options->strategy != NULL && strcmp(options->strategy, "window") != 0) {
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
    if (options->kvm) {
        char *sentence = probe_kvm_open(probe);

        if (sentence != NULL) {
            int status = usage_error("--kvm: no guest can be made: %s", sentence);

            g_free(sentence);
            return status;
        }
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

int probe_make_frontend(struct probe *probe, const struct probe_options *options)
{
    vhushmem_region_options region = {.struct_size = sizeof(region)};
    vhushmem_frontend_options frontend = {.struct_size = sizeof(frontend)};
    GError *error = NULL;
    int status = apply_options(probe, options, &frontend, &region);

    if (status != 0) {
        return status;
    }
    if (options->dump_wire) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
            return usage_error("no socket pair: %s", g_strerror(errno));
        }
        frontend.flags &= ~(uint32_t)VHUSHMEM_FRONTEND_SERVER;
        probe->wire.front = pair[1];
        probe->frontend = vhushmem_frontend_new_fd(pair[0], &frontend, &error);
    } else {
        probe->frontend = vhushmem_frontend_new(options->socket, &frontend, &error);
    }
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
