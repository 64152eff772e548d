/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_STATUS_RIG_H
#define VHUSHMEM_TESTS_STATUS_RIG_H

/* Checks the content of a status. Tests/json checks that it is JSON. */

#include "harness.h"

/* The text contains each of these. Frees it. */
#define says(json, ...) says_at(__FILE__, __LINE__, json, (const char *const[]){__VA_ARGS__, NULL})

static inline void says_at(const char *file, int line, char *json, const char *const *texts)
{
    if (json == NULL) {
        fail_at(file, line, "there is no status");
    }
    for (; *texts != NULL; texts++) {
        if (strstr(json, *texts) == NULL) {
            fail_at(file, line, "there is no %s in %s", *texts, json);
        }
    }
    g_free(json);
}

/* How often the text occurs. */
static inline unsigned times(const char *json, const char *text)
{
    unsigned n = 0;
    while ((json = strstr(json, text)) != NULL) {
        json += strlen(text);
        n++;
    }
    return n;
}

/* The number after the first such key from there on. */
static inline uint64_t number_of(const char *json, const char *key)
{
    char *quoted = g_strdup_printf("\"%s\":", key);
    const char *at = strstr(json, quoted);
    CHECK(at != NULL);
    uint64_t number = strtoull(at + strlen(quoted), NULL, 10);
    g_free(quoted);
    return number;
}

#endif
