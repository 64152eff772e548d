/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_PROBE_OPTIONS_H
#define VHUSHMEM_PROBE_OPTIONS_H

/**
 * @file
 * The options of the probe, its help, and numbers that people type. probe.h includes this.
 */

#include "probe.h"

/* ---- probe-options.c, probe-help.c ---- */

struct probe_options {
    enum probe_mode mode;
    bool has_subcommand; /**< false: the old form, without subcommands */
    char *socket;
    char *connect, *listen;
    gboolean server;
    char *strategy;
    char *holes;
    char *shmem_bit;
    char **regions;
    gboolean kvm;
    gboolean json;
    gboolean dump_wire;
    gboolean version;
    gboolean dax;
    gboolean for_qemu;
    gboolean summary;
    gboolean until_disconnect;
    double seconds; /**< --for; 0: it was not given */
    char *device;
    char *queues;
    char *config_size;
    char *features;
    char *record;
    char *capture; /**< the file of `replay` */
    char **only, **except;
};

/** @returns -1: go on; else the exit status: help was printed, or the error. */
int probe_parse_options(struct probe_options *options, int argc, char **argv);
void probe_free_options(struct probe_options *options);
/**
 * Make the front-end that the options ask for. @returns 0, or the exit status after an error was
 * printed.
 */
int probe_make_frontend(struct probe *probe, const struct probe_options *options);
/** Print "vhushmem-probe: ..." on standard error. @returns STATUS_USAGE. */
int probe_usage_error(const char *format, ...) G_GNUC_PRINTF(1, 2);
/** Parse ID:SIZE. @returns false: it has another form. */
bool probe_parse_region(const char *option, uint64_t *shmid, uint64_t *size);
/**
 * The page of `vhushmem-probe help TOPIC` (NULL: the short text of --help). @returns NULL: there is
 * no such topic.
 */
const char *probe_help(const char *topic);
/** The topics, to put into a sentence: "connect proxy ...". */
const char *probe_help_topics(void);

/* ---- probe-number.c ---- */

/**
 * Parse a decimal number, or a hexadecimal one after 0x: only digits. @returns false: it is no
 * number, or it is larger than max.
 */
bool probe_parse_number(const char *text, uint64_t max, uint64_t *value);
/** The same, or a decimal number with a unit: 4K, 16M, 1GiB, 2TB (each a power of 1024). */
bool probe_parse_size(const char *text, uint64_t max, uint64_t *value);
/** Seconds: 5, 0.25. */
bool probe_parse_seconds(const char *text, double *seconds);
/** A size as people write it: 16 MiB; 0x5e6 if no unit fits. @returns a string (g_free). */
char *probe_size_text(uint64_t bytes);
/** Parse two hex digits for each byte. @returns the bytes (g_free), or NULL. */
uint8_t *probe_parse_hex(const char *hex, uint64_t *len);

#endif
