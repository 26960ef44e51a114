/* Stops a process, or lets its calls fail, at its n-th change of a file below a folder. Loaded with LD_PRELOAD.

   faults_arm(folder, error, at): error 0 only counts; error -1 kills the process at change number `at`, in the middle of
   a write; any other error is the errno with which every change from number `at` on fails.
   faults_changes(): the number of changes so far.

   Changes are calls that open a file for writing, write, flush, sync, truncate, close after buffered writes, rename,
   remove a file or folder, or make a folder. A full disk (ENOSPC) lets files and folders be removed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#undef fwrite_unlocked /* a macro of stdio.h */

enum { PASSES, FAILS, DIES };
static char folder[PATH_MAX];
static int error_number;
static long at, changes;

void faults_arm(const char *path, int error, long number) {
  error_number = error;
  at = number;
  changes = 0;
  strncpy(folder, path, sizeof folder - 1);
}

long faults_changes(void) { return changes; }

static int change(const char *path) {
  size_t length = strlen(folder);
  if (!length || !path || strncmp(path, folder, length)) return PASSES;
  long number = __sync_add_and_fetch(&changes, 1);
  if (error_number < 0) return number == at ? DIES : PASSES;
  if (!error_number || number < at) return PASSES;
  errno = error_number;
  return FAILS;
}

static int change_of(int descriptor) {
  char link[64], path[PATH_MAX];
  if (!folder[0] || descriptor < 0) return PASSES;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return PASSES;
  path[length] = 0;
  return change(path);
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

static int fails(int outcome) {
  if (outcome == DIES) die();
  return outcome == FAILS;
}

static int removal_fails(int outcome) { return fails(outcome) && error_number != ENOSPC; }

#define REAL(type, name, ...)           \
  static type (*real)(__VA_ARGS__);     \
  if (!real) real = dlsym(RTLD_NEXT, #name)

#define OPEN(name)                                              \
  int name(const char *path, int flags, ...) {                  \
    REAL(int, name, const char *, int, ...);                    \
    va_list rest;                                               \
    va_start(rest, flags);                                      \
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;   \
    va_end(rest);                                               \
    if (flags & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC) && fails(change(path))) return -1; \
    return real(path, flags, mode);                             \
  }
OPEN(open)
OPEN(open64)

#define FOPEN(name)                                                     \
  FILE *name(const char *path, const char *mode) {                      \
    REAL(FILE *, name, const char *, const char *);                     \
    if (strpbrk(mode, "wa+") && fails(change(path))) return NULL;       \
    return real(path, mode);                                            \
  }
FOPEN(fopen)
FOPEN(fopen64)

#define FWRITE(name)                                                            \
  size_t name(const void *data, size_t size, size_t count, FILE *file) {        \
    REAL(size_t, name, const void *, size_t, size_t, FILE *);                   \
    int outcome = change_of(fileno(file));                                      \
    if (outcome == DIES) {                                                      \
      real(data, 1, size * count / 2, file);                                    \
      fflush_unlocked(file);                                                    \
      die();                                                                    \
    }                                                                           \
    return outcome == FAILS ? 0 : real(data, size, count, file);                \
  }
FWRITE(fwrite)
FWRITE(fwrite_unlocked)

ssize_t write(int descriptor, const void *data, size_t size) {
  REAL(ssize_t, write, int, const void *, size_t);
  int outcome = change_of(descriptor);
  if (outcome == DIES) {
    if (real(descriptor, data, size / 2) >= 0) die();
    die();
  }
  return outcome == FAILS ? -1 : real(descriptor, data, size);
}

int fflush(FILE *file) {
  REAL(int, fflush, FILE *);
  return file && fails(change_of(fileno(file))) ? EOF : real(file);
}

int fclose(FILE *file) {
  REAL(int, fclose, FILE *);
  int writes = (fcntl(fileno(file), F_GETFL) & O_ACCMODE) != O_RDONLY;
  int failed = writes && fails(change_of(fileno(file)));
  int result = real(file);
  if (failed) errno = error_number;
  return failed ? EOF : result;
}

#define FAIL_BY_DESCRIPTOR(name)                                        \
  int name(int descriptor) {                                            \
    REAL(int, name, int);                                               \
    return fails(change_of(descriptor)) ? -1 : real(descriptor);        \
  }
FAIL_BY_DESCRIPTOR(fsync)
FAIL_BY_DESCRIPTOR(fdatasync)

int ftruncate(int descriptor, off_t length) {
  REAL(int, ftruncate, int, off_t);
  return fails(change_of(descriptor)) ? -1 : real(descriptor, length);
}

int rename(const char *from, const char *to) {
  REAL(int, rename, const char *, const char *);
  return fails(change(to)) ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t mode) {
  REAL(int, mkdir, const char *, mode_t);
  return fails(change(path)) ? -1 : real(path, mode);
}

int unlink(const char *path) {
  REAL(int, unlink, const char *);
  return removal_fails(change(path)) ? -1 : real(path);
}

int rmdir(const char *path) {
  REAL(int, rmdir, const char *);
  return removal_fails(change(path)) ? -1 : real(path);
}
