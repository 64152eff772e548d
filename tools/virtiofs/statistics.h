/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_STATISTICS_H
#define VHUSHMEM_VIRTIOFS_STATISTICS_H

/*
 * The number of requests of each kind. They are always counted. SIGUSR1 prints them. With
 * --statistics they are also printed when the guest unmounts or the front-end goes.
 */

#include <stddef.h>
#include <stdint.h>

/** Count a request. An opcode without a name counts as `other`. */
void statistics_count(uint32_t opcode);

/** Note the number of mappings. */
void statistics_mapped(size_t count);

/**
 * Print one line to standard error: all counts, and `live`, the number of mappings.
 */
void statistics_tell(size_t live);

/** If anything was counted, print one line to standard error and begin again. */
void statistics_print(void);

#endif
