/* SPDX-License-Identifier: BSD-3-Clause */

#include "options.h"

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vhushmem/vhushmem.h>

#define DEFAULT_WINDOW (UINT64_C(1) << 30)
#define LARGEST_WINDOW (UINT64_C(1) << 46)
#define LONGEST_TAG 36
#define MOST_REQUEST_QUEUES 63

/* Options that are parsed from text, and options that are accepted only because callers of virtiofsd use them. */
struct texts {
    char *fd, *window, *cache, *sandbox, *seccomp, *handles, *nofile, *threads, *log_level, *queues;
    gboolean read_only, xattr, no_xattr, submounts, no_submounts, for_qemu, statistics, capabilities, version, syslog;
    gboolean lock_posix, lock_flock, killpriv, no_killpriv;
    char **rest;
};

G_GNUC_PRINTF(1, 2) static int usage_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("vhushmem-virtiofs: ", stderr);
    vfprintf(stderr, format, args);
    fputs("; see --help\n", stderr);
    va_end(args);
    return OPTIONS_USAGE;
}

/**
 * Parse a number of bytes: decimal, or hex after 0x, with K, M, G or T after it. @returns false: it is no number, or larger
 * than `largest`.
 */
static bool parse_size(const char *text, uint64_t largest, uint64_t *value)
{
    static const char units[] = "KMGT";
    uint64_t number;
    char *end, unit;
    const char *found;
    unsigned shift = 0;

    if (!g_ascii_isdigit(text[0])) {
        return false;
    }
    errno = 0;
    number = g_ascii_strtoull(text, &end, 0);
    if (errno != 0) {
        return false;
    }
    unit = g_ascii_toupper(*end);
    found = unit != 0 ? strchr(units, unit) : NULL;
    if (found != NULL) {
        shift = 10 * (unsigned)(found - units + 1);
        end++;
    }
    if (*end != 0 || number > (largest >> shift)) {
        return false;
    }
    *value = number << shift;
    return true;
}

/** @returns the index of a word in a list that ends with NULL; -1: it is not in the list. */
static int word_of(const char *text, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static int parse_words(struct options *options, const struct texts *texts)
{
    static const char *const caches[] = {"auto", "always", "never", NULL};
    static const char *const sandboxes[] = {"namespace", "required", "none", NULL};
    static const char *const filters[] = {"kill", "log", "none", NULL};
    static const char *const handles[] = {"never", "prefer", NULL};
    int cache = texts->cache != NULL ? word_of(texts->cache, caches) : 0;
    int sandbox = texts->sandbox != NULL ? word_of(texts->sandbox, sandboxes) : 0;
    int filter = texts->seccomp != NULL ? word_of(texts->seccomp, filters) : 0;
    int handle = texts->handles != NULL ? word_of(texts->handles, handles) : 0;

    if (cache < 0) {
        return usage_error("--cache is auto, always or never, not %s", texts->cache);
    }
    if (sandbox < 0) {
        return usage_error("--sandbox is namespace, required or none, not %s", texts->sandbox);
    }
    if (filter < 0) {
        return usage_error("--seccomp is kill, log or none, not %s", texts->seccomp);
    }
    if (handle < 0) {
        return usage_error("--inode-file-handles is never or prefer, not %s", texts->handles);
    }
    options->cache = (enum cache_policy)cache;
    options->sandbox = (enum sandbox_mode)sandbox;
    options->seccomp = (enum seccomp_mode)filter;
    options->file_handles = handle == 1;
    return OPTIONS_GO_ON;
}

static int parse_numbers(struct options *options, const struct texts *texts)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), number;

    if (texts->fd != NULL) {
        if (!parse_size(texts->fd, INT32_MAX, &number)) {
            return usage_error("--fd is the number of an open socket, not %s", texts->fd);
        }
        options->fd = (int)number;
    }
    if (texts->window != NULL &&
        (!parse_size(texts->window, LARGEST_WINDOW, &options->window) || options->window % page != 0)) {
        return usage_error("--window is a number of bytes, a multiple of %" PRIu64 " up to 64T, such as 512M or 8G; not %s",
                           page, texts->window);
    }
    if (texts->nofile != NULL && !parse_size(texts->nofile, 1 << 30, &options->rlimit_nofile)) {
        return usage_error("--rlimit-nofile is a number of descriptors, not %s", texts->nofile);
    }
    if (texts->queues != NULL) {
        if (!parse_size(texts->queues, MOST_REQUEST_QUEUES, &number) || number == 0) {
            return usage_error("--num-request-queues is 1 to %d, not %s", MOST_REQUEST_QUEUES, texts->queues);
        }
        options->request_queues = (unsigned)number;
    }
    return OPTIONS_GO_ON;
}

static int check(const struct options *options, const struct texts *texts)
{
    size_t length = options->tag != NULL ? strlen(options->tag) : 0;

    if (texts->rest != NULL && texts->rest[0] != NULL) {
        return usage_error("there is no option %s", texts->rest[0]);
    }
    if (options->print_capabilities || options->print_version) {
        return OPTIONS_GO_ON;
    }
    if ((options->socket_path == NULL) == (options->fd < 0)) {
        return usage_error("give one of --socket-path PATH and --fd N");
    }
    if (options->shared_dir == NULL) {
        return usage_error("give --shared-dir DIR");
    }
    if (options->tag != NULL && (length == 0 || length > LONGEST_TAG)) {
        return usage_error("--tag has 1 to %d bytes, not %zu", LONGEST_TAG, length);
    }
    if (options->for_qemu && options->read_only && options->window != 0) {
        return usage_error("--for-qemu and --read-only need --window 0: QEMU 11.1 maps only what the guest may write");
    }
    return OPTIONS_GO_ON;
}

static int finish(struct options *options, const struct texts *texts)
{
    int status = parse_words(options, texts);

    if (status == OPTIONS_GO_ON) {
        status = parse_numbers(options, texts);
    }
    options->read_only = texts->read_only;
    options->xattr = !texts->no_xattr;
    options->announce_submounts = !texts->no_submounts;
    options->for_qemu = texts->for_qemu;
    options->statistics = texts->statistics;
    options->killpriv = texts->killpriv;
    options->print_capabilities = texts->capabilities;
    options->print_version = texts->version;
    if (options->for_qemu && options->read_only && texts->window == NULL) {
        options->window = 0;
    }
    return status == OPTIONS_GO_ON ? check(options, texts) : status;
}

static void print_capabilities(void)
{
    /* From docs/interop/vhost-user.json: these are separate options, not grouped after -o. */
    puts("{\n  \"type\": \"fs\",\n  \"features\": [\n    \"separate-options\"\n  ]\n}");
}

static void clear_texts(struct texts *texts)
{
    char *all[] = {texts->fd,      texts->window, texts->cache,   texts->sandbox,   texts->seccomp,
                   texts->handles, texts->nofile, texts->threads, texts->log_level, texts->queues};

    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        g_free(all[i]);
    }
    g_strfreev(texts->rest);
}

int options_parse(struct options *options, int argc, char **argv)
{
    struct texts t = {0};
    const GOptionEntry entries[] = {
        {"socket-path", 0, 0, G_OPTION_ARG_FILENAME, &options->socket_path, "Listen at this Unix socket", "PATH"},
        {"fd", 0, 0, G_OPTION_ARG_STRING, &t.fd, "Use this open socket, connected or listening", "N"},
        {"shared-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->shared_dir, "The directory that the guest gets", "DIR"},
        {"tag", 0, 0, G_OPTION_ARG_STRING, &options->tag, "The name by which the guest mounts it, if the VMM asks the device",
         "NAME"},
        {"window", 0, 0, G_OPTION_ARG_STRING, &t.window, "Size of the DAX window (1G); 0: no window", "SIZE"},
        {"read-only", 0, 0, G_OPTION_ARG_NONE, &t.read_only, "The guest cannot change anything", NULL},
        {"readonly", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &t.read_only, NULL, NULL},
        {"cache", 0, 0, G_OPTION_ARG_STRING, &t.cache, "How long the guest keeps names and attributes (auto)",
         "auto|always|never"},
        {"num-request-queues", 0, 0, G_OPTION_ARG_STRING, &t.queues, "Request queues (1)", "N"},
        {"no-xattr", 0, 0, G_OPTION_ARG_NONE, &t.no_xattr, "Serve no extended attributes", NULL},
        {"xattr", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &t.xattr, NULL, NULL},
        {"no-announce-submounts", 0, 0, G_OPTION_ARG_NONE, &t.no_submounts, "Show the directory as one file system", NULL},
        {"announce-submounts", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &t.submounts, NULL, NULL},
        {"killpriv-v2", 0, 0, G_OPTION_ARG_NONE, &t.killpriv, "Faster writes by DAX, which leave set-user-id bits", NULL},
        {"no-killpriv-v2", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &t.no_killpriv, NULL, NULL},
        {"for-qemu", 0, 0, G_OPTION_ARG_NONE, &t.for_qemu, "Avoid everything that ends QEMU 11.1", NULL},
        {"inode-file-handles", 0, 0, G_OPTION_ARG_STRING, &t.handles, "Find inodes by handles, not by descriptors (never)",
         "never|prefer"},
        {"sandbox", 0, 0, G_OPTION_ARG_STRING, &t.sandbox, "Namespaces: if possible; or else end; or none (namespace)",
         "namespace|required|none"},
        {"seccomp", 0, 0, G_OPTION_ARG_STRING, &t.seccomp, "Action at a system call that is not needed (kill)",
         "kill|log|none"},
        {"rlimit-nofile", 0, 0, G_OPTION_ARG_STRING, &t.nofile, "How many descriptors may be open", "N"},
        {"statistics", 0, 0, G_OPTION_ARG_NONE, &t.statistics, "Print how many requests there were when the guest unmounts",
         NULL},
        {"print-capabilities", 0, 0, G_OPTION_ARG_NONE, &t.capabilities, "Print the program's abilities, as JSON", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &t.version, "Print the version", NULL},
        {"thread-pool-size", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &t.threads, NULL, "N"},
        {"log-level", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &t.log_level, NULL, "LEVEL"},
        {"syslog", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &t.syslog, NULL, NULL},
        {"no-posix-lock", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &t.lock_posix, NULL, NULL},
        {"no-flock", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &t.lock_flock, NULL, NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &t.rest, NULL, NULL},
        G_OPTION_ENTRY_NULL,
    };
    GOptionContext *context = g_option_context_new("- share a directory with a guest: virtiofs with DAX over vhost-user");
    GError *error = NULL;
    int status;

    memset(options, 0, sizeof(*options));
    options->fd = -1;
    options->window = DEFAULT_WINDOW;
    options->request_queues = 1;
    g_option_context_set_description(context, "SIZE: bytes; K, M, G or T may follow the number.\n\n"
                                              "Exit status: 0 at a signal or when the socket of --fd is closed, 1 when it\n"
                                              "cannot do its work, 2 when an option is wrong.\n");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        status = usage_error("%s", error->message);
        g_error_free(error);
    } else {
        status = finish(options, &t);
    }
    g_option_context_free(context);
    clear_texts(&t);
    if (status == OPTIONS_GO_ON && options->print_capabilities) {
        print_capabilities();
        status = OPTIONS_SUCCESS;
    } else if (status == OPTIONS_GO_ON && options->print_version) {
        printf("vhushmem-virtiofs %s\n", vhushmem_version_string());
        status = OPTIONS_SUCCESS;
    }
    return status;
}

void options_clear(struct options *options)
{
    g_free(options->socket_path);
    g_free(options->shared_dir);
    g_free(options->tag);
}
