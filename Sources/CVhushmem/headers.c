/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SwiftPM hands a target's public headers to others only if the target has a source file. This one is it, and shows that
 * the headers compile where the package is built.
 */
#include <vhushmem/series.h>
#include <vhushmem/vhushmem.h>
