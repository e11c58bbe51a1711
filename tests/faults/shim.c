/* A preloaded library that counts, fails and records the file calls made below one directory.
 *
 * Read shim.py for how it is built and started. What it is told, in the environment:
 *
 *   SHIM_ROOT   the directory that is watched (a real path); without it, everything passes through
 *   SHIM_STATE  a file of 4096 zero bytes, mapped: see `struct state`; it outlives _exit and SIGKILL
 *   SHIM_LOG    a file to which each successful call is appended: see `struct head`
 *   SHIM_FAULT  kill | kill_after | eio | enospc | short | eio_forever | enospc_forever
 *   SHIM_AT     n: the fault happens at the n-th call that it can happen to
 *
 * Nothing is kept per descriptor: a descriptor's path is asked of /proc at each call. So there is
 * nothing to forget at close(), and a child of vfork(), which closes descriptors in its parent's
 * memory, cannot disturb it. The real calls are made by number, so they cannot come back here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MAGIC 0x5348494dU
#define MARKER "/.marker-"

/* The numbers are known to shim.py. */
enum op { START = 1, MARK, OPEN, WRITE, FSYNC, FDATASYNC, RANGE, TRUNCATE, RENAME, UNLINK, RMDIR, LINK, MKDIR,
          FALLOCATE, MMAP, SYNC, OTHER };
static const char *const names[] = { "", "start", "mark", "open", "write", "fsync", "fdatasync",
    "sync_file_range", "truncate", "rename", "unlink", "rmdir", "link", "mkdir", "fallocate", "mmap", "sync",
    "other" };

/* What a call can suffer. Every counted call can be the last one of the process, and can give EIO. */
enum { CAN_ANY = 1, CAN_FILL = 2, CAN_SHORT = 4 };
enum verdict { GO, FAIL, HALVE, DIE_AFTER };

struct state {
    uint64_t calls;    /* counted calls */
    uint64_t eligible; /* those among them that SHIM_FAULT can happen to */
    uint64_t fired;    /* faults that did happen */
    uint64_t loaded;   /* processes that loaded this library */
    char call[64];     /* the first call that a fault happened to */
    char path[PATH_MAX - 96];
};

struct head {
    uint32_t magic, op;
    uint64_t inode;
    int64_t offset, length;
    uint64_t flags;
    uint32_t created; /* open: the file was not there before */
    int32_t error;    /* fsync: what it failed with, as that decides what a later one is worth */
    uint32_t path_size, other_size;
    uint64_t data_size;
};

static char root[PATH_MAX];
static size_t root_size;
static struct state spare, *state = &spare;
static int log_fd = -1;
static enum { NONE, KILL, KILL_AFTER, ERROR, SHORT } fault;
static int fault_errno, fault_needs;
static bool fault_stays;
static uint64_t fault_at;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- start ------------------------------------------------------------------------------------------ */

static void hold(void) { pthread_mutex_lock(&mutex); }
static void release(void) { pthread_mutex_unlock(&mutex); }

static void complain(const char *what)
{
    dprintf(2, "shim: %s\n", what);
    syscall(SYS_exit_group, 97);
}

static void choose_fault(const char *name)
{
    fault_stays = strstr(name, "_forever") != NULL;
    fault_needs = CAN_ANY;
    if (!strcmp(name, "kill")) fault = KILL;
    else if (!strcmp(name, "kill_after")) fault = KILL_AFTER;
    else if (!strncmp(name, "eio", 3)) { fault = ERROR; fault_errno = EIO; }
    else if (!strncmp(name, "enospc", 6)) { fault = ERROR; fault_errno = ENOSPC; fault_needs = CAN_FILL; }
    else if (!strcmp(name, "short")) { fault = SHORT; fault_needs = CAN_SHORT; }
    else complain("SHIM_FAULT has an unknown value");
}

static void emit(struct head head, const char *path, const char *other, const struct iovec *data, ssize_t size);

static void start(void)
{
    const char *value = getenv("SHIM_ROOT");
    if (!value || !realpath(value, root)) return;
    root_size = strlen(root);
    pthread_atfork(hold, release, release); /* a child must not inherit a mutex that a thread holds */
    if ((value = getenv("SHIM_STATE"))) {
        int fd = syscall(SYS_openat, AT_FDCWD, value, O_RDWR | O_CLOEXEC, 0);
        void *page = fd < 0 ? MAP_FAILED
            : (void *)syscall(SYS_mmap, NULL, sizeof spare, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
        if (page == MAP_FAILED) complain("SHIM_STATE cannot be mapped");
        state = page;
        syscall(SYS_close, fd);
    }
    __atomic_add_fetch(&state->loaded, 1, __ATOMIC_SEQ_CST);
    if ((value = getenv("SHIM_FAULT"))) choose_fault(value);
    if ((value = getenv("SHIM_AT"))) fault_at = strtoull(value, NULL, 10);
    if ((value = getenv("SHIM_LOG"))) {
        int low = syscall(SYS_openat, AT_FDCWD, value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (low < 0) complain("SHIM_LOG cannot be opened");
        /* A high number keeps out of the way of programs that expect theirs. */
        int high = syscall(SYS_fcntl, low, F_DUPFD_CLOEXEC, 600);
        if (high >= 0) syscall(SYS_close, low);
        log_fd = high >= 0 ? high : low;
        emit((struct head){ .op = START }, root, "", NULL, 0);
    }
}

static void ready(void) { pthread_once(&once, start); }
static __attribute__((constructor)) void at_load(void) { int kept = errno; ready(); errno = kept; }

/* ---- paths ------------------------------------------------------------------------------------------ */

static bool below_root(const char *path)
{
    return root_size && !strncmp(path, root, root_size) && (path[root_size] == '/' || !path[root_size]);
}

static bool path_of(int fd, char *out)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, link, out, PATH_MAX - 1);
    if (size < 0) return false;
    out[size] = 0;
    return true;
}

static bool watched(int fd, char *out)
{
    int kept = errno;
    ready();
    bool yes = root_size && fd >= 0 && path_of(fd, out) && below_root(out);
    errno = kept;
    return yes;
}

/* The absolute path of a name, with the links of its directory resolved and, if asked, its own. */
static bool absolute(int dir, const char *name, bool follow, char *out)
{
    char full[2 * PATH_MAX], base[PATH_MAX], parent[PATH_MAX];
    if (!name || !*name || strlen(name) >= PATH_MAX) return false;
    if (*name == '/') *parent = 0;
    else if (dir == AT_FDCWD ? !getcwd(parent, sizeof parent) : !path_of(dir, parent)) return false;
    snprintf(full, sizeof full, "%s/%s", parent, name);
    size_t size = strlen(full);
    while (size > 1 && full[size - 1] == '/') full[--size] = 0;
    char *slash = strrchr(full, '/');
    snprintf(base, sizeof base, "%.*s", PATH_MAX - 1, slash + 1);
    if ((follow || !strcmp(base, ".") || !strcmp(base, "..")) && realpath(full, out)) return true;
    *slash = 0;
    if (!realpath(*full ? full : "/", parent) || strlen(parent) + strlen(base) + 2 > PATH_MAX) return false;
    strcpy(out, parent);
    if (strcmp(out, "/")) strcat(out, "/");
    strcat(out, base);
    return true;
}

static bool watched_at(int dir, const char *name, bool follow, char *out)
{
    int kept = errno;
    ready();
    bool yes = root_size && absolute(dir, name, follow, out) && below_root(out);
    errno = kept;
    return yes;
}

static uint64_t inode_at(const char *path)
{
    struct stat found;
    return syscall(SYS_newfstatat, AT_FDCWD, path, &found, AT_SYMLINK_NOFOLLOW) ? 0 : found.st_ino;
}

/* ---- log -------------------------------------------------------------------------------------------- */

static void emit(struct head head, const char *path, const char *other, const struct iovec *data, ssize_t size)
{
    if (log_fd < 0) return;
    head.magic = MAGIC;
    head.path_size = strlen(path);
    head.other_size = strlen(other);
    head.data_size = size;
    size_t total = sizeof head + head.path_size + head.other_size + size;
    char *record = malloc(total), *end = record;
    if (!record) complain("no memory for the log");
    end = mempcpy(end, &head, sizeof head);
    end = mempcpy(end, path, head.path_size);
    end = mempcpy(end, other, head.other_size);
    for (; size > 0; data++) {
        size_t part = data->iov_len < (size_t)size ? data->iov_len : (size_t)size;
        end = mempcpy(end, data->iov_base, part);
        size -= part;
    }
    /* One write to a file opened for appending: records of several processes do not mix. */
    if (syscall(SYS_write, log_fd, record, total) != (ssize_t)total) complain("the log cannot be written");
    free(record);
}

/* Between processes the log's order is that of the calls, too: each makes its call with the log locked. */
static void lock_log(int type)
{
    struct flock whole = { .l_type = type, .l_whence = SEEK_SET };
    if (log_fd >= 0) while (syscall(SYS_fcntl, log_fd, F_SETLKW, &whole) && errno == EINTR) continue;
}

/* ---- counting and failing --------------------------------------------------------------------------- */

static void die(void)
{
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
}

static void note_fault(enum op op, const char *path)
{
    if (__atomic_add_fetch(&state->fired, 1, __ATOMIC_SEQ_CST) != 1) return;
    snprintf(state->call, sizeof state->call, "%s", names[op]);
    snprintf(state->path, sizeof state->path, "%.*s", (int)sizeof state->path - 1, path);
}

/* Each watched call is made between enter() and leave(): so one at a time, and logged in that order. */
static enum verdict enter(enum op op, const char *path, int can)
{
    hold();
    lock_log(F_WRLCK);
    __atomic_add_fetch(&state->calls, 1, __ATOMIC_SEQ_CST);
    if (fault_needs && !(can & fault_needs)) return GO;
    uint64_t number = __atomic_add_fetch(&state->eligible, 1, __ATOMIC_SEQ_CST);
    if (!fault || !fault_at || (fault_stays ? number < fault_at : number != fault_at)) return GO;
    note_fault(op, path);
    if (fault == KILL) die();
    return fault == KILL_AFTER ? DIE_AFTER : fault == SHORT ? HALVE : FAIL;
}

static long leave(enum verdict verdict, long result, int error)
{
    if (verdict == DIE_AFTER) die();
    lock_log(F_UNLCK);
    release();
    if (result < 0) errno = error;
    return result;
}

/* Make the call unless it is to fail; `error` keeps what went wrong while the log is written. */
#define ATTEMPT(verdict, call) \
    int error = 0; \
    long result = (verdict) == FAIL ? (errno = fault_errno, -1) : (long)(call); \
    if (result < 0) error = errno

/* ---- marks ------------------------------------------------------------------------------------------ */

EXPORT void shim_mark(const char *text)
{
    int kept = errno;
    ready();
    hold();
    lock_log(F_WRLCK);
    emit((struct head){ .op = MARK }, text, "", NULL, 0);
    lock_log(F_UNLCK);
    release();
    errno = kept;
}

/* For a child without ctypes: to open ROOT/.marker-TEXT is to mark TEXT; the open finds no file. */
static bool marked(const char *path)
{
    if (!below_root(path) || strncmp(path + root_size, MARKER, strlen(MARKER))) return false;
    shim_mark(path + root_size + strlen(MARKER));
    errno = ENOENT;
    return true;
}

/* ---- open ------------------------------------------------------------------------------------------- */

static int do_open(int dir, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX], found[PATH_MAX];
    if (!watched_at(dir, name, !(flags & O_NOFOLLOW), path)) return syscall(SYS_openat, dir, name, flags, mode);
    if (marked(path)) return -1;
    bool creates = (flags & O_CREAT) && !inode_at(path);
    enum verdict verdict = enter(OPEN, path, CAN_ANY | (creates ? CAN_FILL : 0));
    creates = (flags & O_CREAT) && !inode_at(path);
    ATTEMPT(verdict, syscall(SYS_openat, dir, name, flags, mode));
    struct stat stat;
    if (result >= 0 && path_of(result, found) && !syscall(SYS_fstat, (int)result, &stat)) {
        struct head head = { .op = OPEN, .inode = stat.st_ino, .flags = flags, .created = creates };
        emit(head, found, "", NULL, 0);
    }
    return leave(verdict, result, error);
}

static mode_t mode_of(int flags, va_list rest)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
}

#define OPENS(function) \
    EXPORT int function(const char *name, int flags, ...) \
    { va_list rest; va_start(rest, flags); mode_t mode = mode_of(flags, rest); va_end(rest); \
      return do_open(AT_FDCWD, name, flags, mode); }
#define OPENS_AT(function) \
    EXPORT int function(int dir, const char *name, int flags, ...) \
    { va_list rest; va_start(rest, flags); mode_t mode = mode_of(flags, rest); va_end(rest); \
      return do_open(dir, name, flags, mode); }
OPENS(open) OPENS(open64) OPENS_AT(openat) OPENS_AT(openat64)

/* What the C library's checked headers call instead. */
EXPORT int __open_2(const char *name, int flags) { return do_open(AT_FDCWD, name, flags, 0); }
EXPORT int __open64_2(const char *name, int flags) { return do_open(AT_FDCWD, name, flags, 0); }
EXPORT int __openat_2(int dir, const char *name, int flags) { return do_open(dir, name, flags, 0); }
EXPORT int __openat64_2(int dir, const char *name, int flags) { return do_open(dir, name, flags, 0); }

EXPORT int creat(const char *name, mode_t mode)
{ return do_open(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
EXPORT int creat64(const char *name, mode_t mode)
{ return do_open(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* ---- write ------------------------------------------------------------------------------------------ */

#define HERE (-1) /* the offset of a write at the descriptor's own position */

static ssize_t put(int fd, const struct iovec *data, int count, off_t offset, int flags)
{
    if (flags) return syscall(SYS_pwritev2, fd, data, count, (long)offset, 0L, flags);
    if (count == 1 && offset == HERE) return syscall(SYS_write, fd, data->iov_base, data->iov_len);
    if (count == 1) return syscall(SYS_pwrite64, fd, data->iov_base, data->iov_len, offset);
    if (offset == HERE) return syscall(SYS_writev, fd, data, count);
    return syscall(SYS_pwritev, fd, data, count, (long)offset, 0L);
}

static ssize_t put_half(int fd, const struct iovec *data, int count, off_t offset, int flags, size_t total)
{
    struct iovec *half = malloc(count * sizeof *half);
    size_t left = total / 2;
    int used = 0;
    if (!half) complain("no memory for a short write");
    for (; used < count && left; used++) {
        half[used] = data[used];
        if (half[used].iov_len > left) half[used].iov_len = left;
        left -= half[used].iov_len;
    }
    ssize_t result = put(fd, half, used, offset, flags);
    int kept = errno;
    free(half);
    errno = kept;
    return result;
}

/* Where the bytes went, told afterwards: right for appends, too, whoever else appends. */
static int64_t offset_of(int fd, off_t asked, int flags, const struct stat *stat, ssize_t size)
{
    if (asked == HERE) return syscall(SYS_lseek, fd, 0L, SEEK_CUR) - size;
    return flags & O_APPEND ? stat->st_size - size : asked;
}

static ssize_t do_write(int fd, const struct iovec *data, int count, off_t offset, int flags)
{
    char path[PATH_MAX];
    if (!watched(fd, path)) return put(fd, data, count, offset, flags);
    size_t total = 0;
    for (int i = 0; i < count; i++) total += data[i].iov_len;
    enum verdict verdict = enter(WRITE, path, CAN_ANY | CAN_FILL | (total > 1 ? CAN_SHORT : 0));
    ATTEMPT(verdict, verdict == HALVE ? put_half(fd, data, count, offset, flags, total)
                                      : put(fd, data, count, offset, flags));
    struct stat stat;
    if (result >= 0 && !syscall(SYS_fstat, fd, &stat)) {
        int mode = syscall(SYS_fcntl, fd, F_GETFL);
        struct head head = { .op = WRITE, .inode = stat.st_ino, .length = result, .flags = mode,
                             .offset = offset_of(fd, offset, mode, &stat, result) };
        emit(head, path, "", data, result);
    }
    return leave(verdict, result, error);
}

#define ONE(buffer, size) &(struct iovec){ (void *)(buffer), size }, 1
EXPORT ssize_t write(int fd, const void *buffer, size_t size)
{ return do_write(fd, ONE(buffer, size), HERE, 0); }
EXPORT ssize_t pwrite(int fd, const void *buffer, size_t size, off_t offset)
{ return do_write(fd, ONE(buffer, size), offset, 0); }
EXPORT ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset)
{ return do_write(fd, ONE(buffer, size), offset, 0); }
EXPORT ssize_t writev(int fd, const struct iovec *data, int count)
{ return do_write(fd, data, count, HERE, 0); }
EXPORT ssize_t pwritev(int fd, const struct iovec *data, int count, off_t offset)
{ return do_write(fd, data, count, offset, 0); }
EXPORT ssize_t pwritev64(int fd, const struct iovec *data, int count, off64_t offset)
{ return do_write(fd, data, count, offset, 0); }
EXPORT ssize_t pwritev2(int fd, const struct iovec *data, int count, off_t offset, int flags)
{ return do_write(fd, data, count, offset, flags); }
EXPORT ssize_t pwritev64v2(int fd, const struct iovec *data, int count, off64_t offset, int flags)
{ return do_write(fd, data, count, offset, flags); }

/* ---- calls on a descriptor -------------------------------------------------------------------------- */

/* Log what was done to a descriptor; a failed fsync, too, as the next one does not make up for it. */
static void emit_fd(struct head head, int fd, const char *path, long result, int error)
{
    struct stat stat;
    bool syncs = head.op == FSYNC || head.op == FDATASYNC;
    if ((result < 0 && !syncs) || syscall(SYS_fstat, fd, &stat)) return;
    head.inode = stat.st_ino;
    head.error = result < 0 ? error : 0;
    emit(head, path, "", NULL, 0);
}

#define ON_FD(head_, can, call) \
    char path[PATH_MAX]; \
    if (!watched(fd, path)) return call; \
    struct head head = head_; \
    enum verdict verdict = enter(head.op, path, can); \
    ATTEMPT(verdict, call); \
    emit_fd(head, fd, path, result, error); \
    return leave(verdict, result, error)
#define HEAD(...) ((struct head){ __VA_ARGS__ })

EXPORT int fsync(int fd) { ON_FD(HEAD(.op = FSYNC), CAN_ANY | CAN_FILL, syscall(SYS_fsync, fd)); }
EXPORT int fdatasync(int fd) { ON_FD(HEAD(.op = FDATASYNC), CAN_ANY | CAN_FILL, syscall(SYS_fdatasync, fd)); }
EXPORT int sync_file_range(int fd, off64_t offset, off64_t size, unsigned int flags)
{
    ON_FD(HEAD(.op = RANGE, .offset = offset, .length = size, .flags = flags), CAN_ANY | CAN_FILL,
          syscall(SYS_sync_file_range, fd, offset, size, flags));
}

static int do_ftruncate(int fd, off64_t size)
{ ON_FD(HEAD(.op = TRUNCATE, .length = size), CAN_ANY | CAN_FILL, syscall(SYS_ftruncate, fd, size)); }
EXPORT int ftruncate(int fd, off_t size) { return do_ftruncate(fd, size); }
EXPORT int ftruncate64(int fd, off64_t size) { return do_ftruncate(fd, size); }

static int do_fallocate(int fd, int mode, off64_t offset, off64_t size)
{
    ON_FD(HEAD(.op = FALLOCATE, .offset = offset, .length = size, .flags = mode), CAN_ANY | CAN_FILL,
          syscall(SYS_fallocate, fd, mode, offset, size));
}
static int answer_fallocate(int fd, off64_t offset, off64_t size) /* this one returns its error */
{
    int kept = errno, error = do_fallocate(fd, 0, offset, size) ? errno : 0;
    errno = kept;
    return error;
}
EXPORT int fallocate(int fd, int mode, off_t offset, off_t size) { return do_fallocate(fd, mode, offset, size); }
EXPORT int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{ return do_fallocate(fd, mode, offset, size); }
EXPORT int posix_fallocate(int fd, off_t offset, off_t size) { return answer_fallocate(fd, offset, size); }
EXPORT int posix_fallocate64(int fd, off64_t offset, off64_t size) { return answer_fallocate(fd, offset, size); }

/* ---- calls on names --------------------------------------------------------------------------------- */

static int do_truncate(const char *name, off64_t size)
{
    char path[PATH_MAX];
    if (!watched_at(AT_FDCWD, name, true, path)) return syscall(SYS_truncate, name, size);
    enum verdict verdict = enter(TRUNCATE, path, CAN_ANY | CAN_FILL);
    ATTEMPT(verdict, syscall(SYS_truncate, name, size));
    if (result >= 0) emit(HEAD(.op = TRUNCATE, .inode = inode_at(path), .length = size), path, "", NULL, 0);
    return leave(verdict, result, error);
}
EXPORT int truncate(const char *name, off_t size) { return do_truncate(name, size); }
EXPORT int truncate64(const char *name, off64_t size) { return do_truncate(name, size); }

/* A rename or a link across the root's border is logged as half outside: the model refuses it. */
static int do_rename(int dir, const char *name, int other_dir, const char *other_name, unsigned int flags)
{
    char path[PATH_MAX], other[PATH_MAX];
    bool from = watched_at(dir, name, false, path), to = watched_at(other_dir, other_name, false, other);
    if (!from && !to) return syscall(SYS_renameat2, dir, name, other_dir, other_name, flags);
    enum verdict verdict = enter(RENAME, from ? path : other, CAN_ANY | CAN_FILL);
    uint64_t inode = from ? inode_at(path) : 0;
    ATTEMPT(verdict, syscall(SYS_renameat2, dir, name, other_dir, other_name, flags));
    if (result >= 0)
        emit(HEAD(.op = RENAME, .inode = inode, .flags = flags), from ? path : "", to ? other : "", NULL, 0);
    return leave(verdict, result, error);
}
EXPORT int rename(const char *name, const char *other)
{ return do_rename(AT_FDCWD, name, AT_FDCWD, other, 0); }
EXPORT int renameat(int dir, const char *name, int other_dir, const char *other)
{ return do_rename(dir, name, other_dir, other, 0); }
EXPORT int renameat2(int dir, const char *name, int other_dir, const char *other, unsigned int flags)
{ return do_rename(dir, name, other_dir, other, flags); }

static int do_link(int dir, const char *name, int other_dir, const char *other_name, int flags)
{
    char path[PATH_MAX], other[PATH_MAX];
    bool to = watched_at(other_dir, other_name, false, other);
    if (!to) return syscall(SYS_linkat, dir, name, other_dir, other_name, flags);
    bool from = watched_at(dir, name, flags & AT_SYMLINK_FOLLOW, path);
    enum verdict verdict = enter(LINK, other, CAN_ANY | CAN_FILL);
    ATTEMPT(verdict, syscall(SYS_linkat, dir, name, other_dir, other_name, flags));
    if (result >= 0) emit(HEAD(.op = LINK, .inode = inode_at(other)), from ? path : "", other, NULL, 0);
    return leave(verdict, result, error);
}
EXPORT int link(const char *name, const char *other) { return do_link(AT_FDCWD, name, AT_FDCWD, other, 0); }
EXPORT int linkat(int dir, const char *name, int other_dir, const char *other, int flags)
{ return do_link(dir, name, other_dir, other, flags); }

static int do_unlink(int dir, const char *name, int flags)
{
    char path[PATH_MAX];
    if (!watched_at(dir, name, false, path)) return syscall(SYS_unlinkat, dir, name, flags);
    enum op op = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
    enum verdict verdict = enter(op, path, CAN_ANY);
    uint64_t inode = inode_at(path);
    ATTEMPT(verdict, syscall(SYS_unlinkat, dir, name, flags));
    if (result >= 0) emit(HEAD(.op = op, .inode = inode), path, "", NULL, 0);
    return leave(verdict, result, error);
}
EXPORT int unlink(const char *name) { return do_unlink(AT_FDCWD, name, 0); }
EXPORT int unlinkat(int dir, const char *name, int flags) { return do_unlink(dir, name, flags); }
EXPORT int rmdir(const char *name) { return do_unlink(AT_FDCWD, name, AT_REMOVEDIR); }
EXPORT int remove(const char *name)
{
    int kept = errno;
    if (!do_unlink(AT_FDCWD, name, 0)) return 0;
    if (errno != EISDIR) return -1;
    errno = kept;
    return do_unlink(AT_FDCWD, name, AT_REMOVEDIR);
}

static int do_mkdir(int dir, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    if (!watched_at(dir, name, false, path)) return syscall(SYS_mkdirat, dir, name, mode);
    enum verdict verdict = enter(MKDIR, path, CAN_ANY | CAN_FILL);
    ATTEMPT(verdict, syscall(SYS_mkdirat, dir, name, mode));
    if (result >= 0) emit(HEAD(.op = MKDIR, .inode = inode_at(path)), path, "", NULL, 0);
    return leave(verdict, result, error);
}
EXPORT int mkdir(const char *name, mode_t mode) { return do_mkdir(AT_FDCWD, name, mode); }
EXPORT int mkdirat(int dir, const char *name, mode_t mode) { return do_mkdir(dir, name, mode); }

/* ---- not counted: noted in the log, so that the model knows what it cannot know --------------------- */

static void notice(enum op op, const char *path, const char *what)
{
    int kept = errno;
    hold();
    lock_log(F_WRLCK);
    emit(HEAD(.op = op), path, what, NULL, 0);
    lock_log(F_UNLCK);
    release();
    errno = kept;
}

static void *do_mmap(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
    char path[PATH_MAX];
    void *result = (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
    bool shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
    if (result != MAP_FAILED && shared && (protection & PROT_WRITE) && watched(fd, path))
        notice(MMAP, path, "mmap");
    return result;
}
EXPORT void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{ return do_mmap(at, size, protection, flags, fd, offset); }
EXPORT void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{ return do_mmap(at, size, protection, flags, fd, offset); }

EXPORT void sync(void)
{
    syscall(SYS_sync);
    ready();
    if (root_size) notice(SYNC, root, "sync");
}
EXPORT int syncfs(int fd)
{
    char path[PATH_MAX];
    int result = syscall(SYS_syncfs, fd);
    if (!result && watched(fd, path)) notice(SYNC, path, "syncfs");
    return result;
}

static ssize_t do_sendfile(int out, int in, off64_t *offset, size_t size)
{
    char path[PATH_MAX];
    ssize_t result = syscall(SYS_sendfile, out, in, offset, size);
    if (result > 0 && watched(out, path)) notice(OTHER, path, "sendfile");
    return result;
}
EXPORT ssize_t sendfile(int out, int in, off_t *offset, size_t size)
{ return do_sendfile(out, in, offset, size); }
EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t size)
{ return do_sendfile(out, in, offset, size); }

EXPORT ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned int flags)
{
    char path[PATH_MAX];
    ssize_t result = syscall(SYS_copy_file_range, in, from, out, to, size, flags);
    if (result > 0 && watched(out, path)) notice(OTHER, path, "copy_file_range");
    return result;
}

EXPORT int symlinkat(const char *target, int dir, const char *name)
{
    char path[PATH_MAX];
    int result = syscall(SYS_symlinkat, target, dir, name);
    if (!result && watched_at(dir, name, false, path)) notice(OTHER, path, "symlink");
    return result;
}
EXPORT int symlink(const char *target, const char *name) { return symlinkat(target, AT_FDCWD, name); }
