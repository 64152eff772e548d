/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_PROBE_H
#define VHUSHMEM_PROBE_H

/**
 * @file
 * The pieces of vhushmem-probe: its options (probe-options.c), what it says (probe-record.c; on a terminal probe-view.c, and with
 * --dump-wire probe-wire.c and probe-decode.c), what a guest would see of it (probe-guest.c), what it is told (probe-input.c,
 * probe-commands.c), and the front-end between them (vhushmem-probe.c). One thread, one GMainLoop.
 */

#include <stdbool.h>
#include <stdint.h>

#include <vhushmem/vhushmem.h>

/** What was seen since the beginning. */
struct probe_counters {
    uint64_t maps;
    uint64_t unmaps;
    uint64_t refused; /**< requests of any kind */
    uint64_t resets;
    uint64_t bytes_mapped; /**< asked for in maps that were served */
    uint64_t bytes_read;   /**< by the command */
    uint64_t bytes_written;
};

/** Commands, as they come in. */
struct probe_input {
    GString *bytes; /**< what came and is no command yet */
    guint watch;    /**< on standard input; 0: none */
    bool skipping;  /**< in a line that is too long, until it ends */
    bool ended;
};

/** So many of the last requests are shown by the live view. */
#define PROBE_LAST_REQUESTS 5

/** The live view of a terminal. */
struct probe_view {
    guint timer; /**< 0: there is no view */
    unsigned rows;
    unsigned columns;
    unsigned region_rows;
    char *last[PROBE_LAST_REQUESTS]; /**< a ring */
    unsigned next;                   /**< the oldest of it */
    gint64 measured_at;
    uint64_t measured_total; /**< requests, at that time */
    double rate;             /**< requests a second */
};

struct probe;
struct record;

/** Where the messages pass through, with --dump-wire. */
struct probe_wire {
    int front; /**< the other end of the front-end's socket */
    const char *path;
    void (*start)(struct probe *);
};

struct probe {
    GMainLoop *loop;
    vhushmem_frontend *frontend;
    vhushmem_device *device; /**< the front-end's; outlives the connection */
    bool json;
    bool zero_holes; /**< what nothing is mapped at can be read */
    unsigned shmem_bit;
    bool was_ready;
    bool channel_lost;
    int vm; /**< with --kvm; else -1 */
    vhushmem_kvm *kvm;
    bool resetting; /**< a reset command waits for its event; the commands behind it wait, too */
    bool quitting;
    int status; /**< exit status */
    struct probe_counters counters;
    struct probe_input input;
    struct probe_view view;
    struct probe_wire wire;
};

/* ---- probe-options.c ---- */

struct probe_options {
    char *socket;
    gboolean server;
    char *strategy;
    char *holes;
    char *shmem_bit;
    char **regions;
    gboolean kvm;
    gboolean json;
    gboolean dump_wire;
    gboolean version;
};

/** @returns 0, or the exit status, and the reason has been printed. */
int probe_parse_options(struct probe_options *options, int *argc, char ***argv);
/** Make what the options ask for. @returns as above. */
int probe_make_frontend(struct probe *probe, const struct probe_options *options);

/* ---- probe-guest.c: what a guest would see ---- */

/** Make a guest without processors. @returns a sentence that says why not (g_free), or NULL. */
char *probe_kvm_open(struct probe *probe);
/** Where the regions are in a BAR, and, with --kvm, put them there in the guest. */
void probe_place(struct probe *probe, struct record *record);
void probe_kvm_close(struct probe *probe);

/* ---- probe-record.c: one line of output ---- */

/**
 * A line under construction: a JSON object, or its fields as words for a human reader. What is put into it stands in the order
 * of the calls. Keys are constants of this program; texts may hold anything.
 */
struct record {
    GString *line;
    bool json;
    bool comma;      /**< something stands before what comes next, in the same list or object */
    unsigned indent; /**< for humans: how many lists are open; their objects stand in lines of their own, */
    bool below_list; /**< and so does what comes after them */
};

void record_begin(struct record *record, bool json, const char *event);
/** Print the line and flush. */
void record_end(struct record *record);

void record_number(struct record *record, const char *key, uint64_t value);
/** An offset, a size or a set of bits: humans see it in hex. */
void record_hex(struct record *record, const char *key, uint64_t value);
void record_result(struct record *record, int32_t value);
void record_bool(struct record *record, const char *key, bool value);
void record_text(struct record *record, const char *key, const char *text);
/** Bytes, two hex digits each. */
void record_bytes(struct record *record, const char *key, const uint8_t *bytes, size_t len);

void record_list_begin(struct record *record, const char *key);
void record_list_text(struct record *record, const char *text);
void record_list_end(struct record *record);
/** An object: an item of a list (key NULL), or a field. */
void record_object_begin(struct record *record, const char *key);
void record_object_end(struct record *record);

/** Every region's id and size, as a list. */
void record_regions(struct record *record, vhushmem_device *device);

/* ---- probe-view.c: the live view ---- */

/** Begin to draw, if standard output is a terminal that is large enough. */
void probe_view_begin(struct probe *probe);
/** Show a request among the last ones. @returns false: there is no view, so it is to be printed. */
bool probe_view_takes(struct probe *probe, const vhushmem_event *event);
/** Draw now. Before the number of regions changes what can be seen of it: what was printed below goes then. */
void probe_view_refresh(struct probe *probe);
/** Leave the terminal as it was. */
void probe_view_end(struct probe *probe);

/* ---- probe-wire.c and probe-decode.c: --dump-wire ---- */

/** A message on its way. */
struct wire_message {
    bool from_backend, on_channel;
    uint32_t request, flags, size;
    unsigned nfds;
    const uint8_t *payload; /**< size bytes */
};

/**
 * Connect to the back-end, or wait for it, and have everything pass between it and probe->wire.front from then on.
 *
 * @param start  called when there is a back-end.
 * @returns 0 or a negative errno: no back-end, and `start` is not called.
 */
int probe_wire_begin(struct probe *probe, const char *path, bool server, void (*start)(struct probe *));
/** Print what a message says. From any thread: a line goes out in one piece. */
void probe_decode(struct probe *probe, const struct wire_message *message);

/* ---- probe-input.c: standard input, line by line ---- */

/** A command is at most this long: a write of PROBE_MAX_LEN bytes, and room for its other words. */
#define PROBE_MAX_LINE (2 * PROBE_MAX_LEN + 256)

void probe_input_begin(struct probe *probe);
/** Take up the commands that waited for a reset, soon. */
void probe_input_resume(struct probe *probe);
/** End the program if there is nothing more to come from standard input and the handshake has had its outcome. */
void probe_input_quit_if_done(struct probe *probe);
void probe_input_free(struct probe *probe);

/* ---- probe-commands.c ---- */

/** The most bytes of one read or write. */
#define PROBE_MAX_LEN (UINT64_C(1) << 20)

/** Run one command (its line without the newline, any bytes) and answer it; a reset is answered later. */
void probe_run_command(struct probe *probe, const char *line, size_t len);
void probe_answer_error(struct probe *probe, const char *command, const char *sentence);
/** The reset that was asked for has come to its end; sentence NULL: it is done. */
void probe_answer_reset(struct probe *probe, const char *sentence);

/**
 * A decimal number, or a hexadecimal one after 0x: digits only.
 *
 * @returns false: it is no number, or larger than max.
 */
bool probe_parse_number(const char *text, uint64_t max, uint64_t *value);

#endif
