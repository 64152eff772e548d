/* SPDX-License-Identifier: BSD-3-Clause */
/* The loaded library reports the version of the headers, as a number and as text. */
#include "harness.h"

int main(void)
{
    char text[32];
    EQ(vhushmem_version(), VHUSHMEM_VERSION);
    snprintf(text, sizeof(text), "%d.%d.%d", VHUSHMEM_VERSION_MAJOR, VHUSHMEM_VERSION_MINOR, VHUSHMEM_VERSION_MICRO);
    CHECK(strcmp(vhushmem_version_string(), text) == 0);
    CHECK(VHUSHMEM_ERROR == vhushmem_error_quark() && VHUSHMEM_ERROR != 0);
    return 0;
}
