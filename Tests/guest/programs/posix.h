/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_GUEST_POSIX_H
#define VHUSHMEM_GUEST_POSIX_H

/*
 * What POSIX says about names and attributes, in the order of pjdfstest's folders, written from
 * their topics. A line tells what a call returned; nothing here decides what is right. The same
 * program on a correct file system decides.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

extern const char *section;

/** Tells what a call returned: OK or an errno's name. */
#define T(what, call) tell_result(what, (errno = 0, (call)))
/** Tells a number. */
#define V(what, value) printf("%s: %s = %lld\n", section, what, (long long)(value))

void tell_result(const char *what, int rc);

/** From here on this user with this group, and no other, does everything. 0: root. */
void become(uid_t user, gid_t group);

/** Makes an empty file, or a folder, with exactly this mode and owner. */
void make_file(const char *name, mode_t mode, uid_t owner, gid_t group);
void make_folder(const char *name, mode_t mode, uid_t owner, gid_t group);

/** Type, mode, links and owner of a name, without following links. */
void tell(const char *name);

struct stat look(const char *name);

/** Ensures that later changes have another time. */
void let_time_pass(void);
bool is_later(struct timespec a, struct timespec b);

/** Opens and closes it. */
int opens(const char *name, int flags, mode_t mode);

/** Removes everything in the working directory. */
void clean(void);

void check_modes(void);
void check_names(void);
void check_open(void);
void check_times(void);

#endif
