/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_HARNESS_H
#define VHUSHMEM_TESTS_HARNESS_H

/* The base of every test. Include it first. */

#include "checks.h"
#include "files.h"
#include "snapshots.h"

#endif
