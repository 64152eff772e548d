/* SPDX-License-Identifier: BSD-3-Clause */
/* kernels: no (it reads files of the tree) */
/* arm64: no (it reads files of the tree) */
/*
 * The device of examples/qemu-style.c, and the part that stands in for QEMU, use nothing of this library except one include.
 * The example itself shows that they compile and serve.
 */
#include "harness.h"

#include <ctype.h>

static void has_no_word_of_ours(const char *name)
{
    static const char include[] = "#include <vhushmem/series.h>\n";
    const char *root = some(g_getenv("VHUSHMEM_SOURCE"));
    char *path = g_build_filename(root, "examples", name, NULL), *text = NULL;
    CHECK(g_file_get_contents(path, &text, NULL, NULL));
    char *line = some(strstr(text, include));
    memset(line, ' ', strlen(include));
    for (char *at = text; *at != '\0'; at++) {
        *at = (char)tolower((unsigned char)*at);
    }
    if (strstr(text, "vhu") != NULL) {
        FAIL("%s has: %.40s", name, strstr(text, "vhu"));
    }
    g_free(text);
    g_free(path);
}

int main(void)
{
    has_no_word_of_ours("qemu-style-device.c");
    has_no_word_of_ours("qemu-style.h");
    return 0;
}
