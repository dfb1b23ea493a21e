/* The file of this process, its buffer, and the thread that writes it.
 *
 * Callers fill one buffer while the thread writes the other, so that a slow disk holds nobody up. Only the
 * thread writes, with all signals blocked: a write beyond a limit on files then fails instead of ending
 * the program, and no handler of the program runs there. The thread allocates no memory, for which glibc
 * would reserve it an arena. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum {
    WRITE_SIZE = 64 << 10, /* is written at once */
    KEPT_SIZE = 128 << 10, /* memory that a buffer keeps when it has been written */
    MOST_SIZE = 1 << 20,   /* more waits, unless it is one line */
    STACK_SIZE = 64 << 10,
    MOST_PARTS = 1000
};

/* Mapped, not allocated: the C library would keep what was once needed for a slow disk. */
struct buffer {
    char *bytes; /* NULL before there is a journal */
    size_t length;
    size_t capacity; /* most of which has no memory before it is used */
    long lines;
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t work; /* for the thread */
    pthread_cond_t done; /* by the thread */
    pthread_t thread;
    struct buffer filling, writing;
    char path[2 * LONGEST_PATH + 128];
    int descriptor;
    bool open, ready; /* ready: the mutex is made */
    bool flush, stop;
    bool resting;           /* the thread waits for a line, not for a time */
    long long taken, ended; /* lines: given to journal_end; written or lost */
    long long lost, told;   /* told: of these journal_flush has said */
    off_t whole;            /* bytes of whole lines in the file */
} journal = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void make_conditions(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&journal.work, &attributes);
    pthread_cond_init(&journal.done, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* Empties a buffer, and gives its memory back but for what is used all the time. */
static void give_back(struct buffer *buffer)
{
    if (buffer->capacity > MOST_SIZE) {
        char *bytes = mremap(buffer->bytes, buffer->capacity, MOST_SIZE, 0);
        if (bytes != MAP_FAILED)
            buffer->capacity = MOST_SIZE;
    }
    if (buffer->length > KEPT_SIZE)
        madvise(buffer->bytes + KEPT_SIZE, buffer->capacity - KEPT_SIZE, MADV_DONTNEED);
    buffer->length = 0;
    buffer->lines = 0;
}

static void before_fork(void)
{
    pthread_mutex_lock(&journal.mutex);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&journal.mutex);
}

/* The lines are the parent's to write, and the thread is not here. */
static void in_child(void)
{
    pthread_mutex_init(&journal.mutex, NULL);
    make_conditions();
    if (journal.open)
        close(journal.descriptor);
    journal.open = false;
    give_back(&journal.filling);
    give_back(&journal.writing);
}

/* How many of the bytes could be written; all, or as many as are whole lines. */
static size_t write_lines(const char *bytes, size_t length)
{
    size_t written = 0;
    while (written < length) {
        ssize_t count = write(journal.descriptor, bytes + written, length - written);
        if (count > 0) {
            written += (size_t)count;
        } else if (count == 0 || errno != EINTR) {
            int cause = count == 0 ? ENOSPC : errno;
            while (written > 0 && bytes[written - 1] != '\n')
                written--;
            /* Without the line that was cut, so that what follows is read. */
            int cut = ftruncate(journal.descriptor, journal.whole + (off_t)written);
            say_once(CMF_LOST,
                     "%s cannot be written (%s%s), so events are lost until it can: make room",
                     journal.path, strerror(cause), cut == 0 ? "" : ", not even shortened");
            break;
        }
    }
    journal.whole += (off_t)written;
    return written;
}

static long count_lines(const char *bytes, size_t length)
{
    long count = 0;
    for (size_t i = 0; i < length; i++)
        count += bytes[i] == '\n';
    return count;
}

/* Waits until there is something to write, for a second after the last time at least. */
static void await_work(const struct timespec *deadline)
{
    struct timespec until = *deadline;
    while (!journal.flush && !journal.stop) {
        if (pthread_cond_timedwait(&journal.work, &journal.mutex, &until) != ETIMEDOUT)
            continue;
        if (journal.filling.length > 0)
            return;
        journal.resting = true;
        while (journal.filling.length == 0 && !journal.flush && !journal.stop)
            pthread_cond_wait(&journal.work, &journal.mutex);
        journal.resting = false;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += 1;
    }
}

static void *write_until_stopped(void *unused)
{
    /* On a core that it shares with the caller, it does not run before the caller's turn is over. */
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += 1;
    pthread_mutex_lock(&journal.mutex);
    while (!journal.stop || journal.filling.length > 0) {
        await_work(&deadline);
        struct buffer full = journal.filling;
        journal.filling = journal.writing;
        journal.writing = full;
        journal.flush = false;
        pthread_mutex_unlock(&journal.mutex);
        size_t written = write_lines(full.bytes, full.length);
        long lost = full.lines;
        if (written > 0)
            lost = count_lines(full.bytes + written, full.length - written);
        clock_gettime(CLOCK_MONOTONIC, &deadline);
        deadline.tv_sec += 1;
        pthread_mutex_lock(&journal.mutex);
        journal.lost += lost;
        journal.ended += full.lines;
        give_back(&journal.writing);
        pthread_cond_broadcast(&journal.done);
    }
    pthread_mutex_unlock(&journal.mutex);
    return unused;
}

static int start_thread(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int cause = pthread_create(&journal.thread, &attributes, write_until_stopped, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return cause;
}

static bool make_file(const struct identity *identity)
{
    for (int n = 0; n < MOST_PARTS; n++) {
        char again[16] = "";
        if (n > 0)
            snprintf(again, sizeof again, ".%d", n);
        snprintf(journal.path, sizeof journal.path, "%s/%s@%s%s.jsonl", identity->journal,
                 identity->execution, identity->part, again);
        journal.descriptor = open(journal.path,
                                  O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (journal.descriptor >= 0)
            return true;
        if (errno != EEXIST)
            return false;
    }
    return false;
}

static bool make_buffer(struct buffer *buffer)
{
    if (buffer->bytes == NULL) {
        char *bytes = mmap(NULL, MOST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                           -1, 0);
        if (bytes == MAP_FAILED)
            return false;
        *buffer = (struct buffer){.bytes = bytes, .capacity = MOST_SIZE};
    }
    memset(buffer->bytes, 0, KEPT_SIZE); /* no page fault in a time step */
    return true;
}

int journal_open(const struct identity *identity)
{
    if (!journal.ready) {
        make_conditions();
        pthread_atfork(before_fork, in_parent, in_child);
        journal.ready = true;
    }
    if (!make_buffer(&journal.filling) || !make_buffer(&journal.writing))
        return say_once(CMF_NO_MEMORY, "there is no memory for events, so nothing is logged");
    if (!make_file(identity))
        return say_once(CMF_NO_JOURNAL, "%s cannot be made (%s), so nothing is logged",
                        journal.path, strerror(errno));
    journal.flush = journal.stop = journal.resting = false;
    journal.taken = journal.ended = journal.lost = journal.told = 0;
    journal.whole = 0;
    int cause = start_thread();
    if (cause != 0) {
        close(journal.descriptor);
        unlink(journal.path);
        return say_once(CMF_NO_JOURNAL, "no thread can be started (%s), so nothing is logged",
                        strerror(cause));
    }
    pthread_mutex_lock(&journal.mutex);
    journal.open = true;
    pthread_mutex_unlock(&journal.mutex);
    return CMF_OK;
}

bool journal_is_open(void)
{
    pthread_mutex_lock(&journal.mutex);
    bool is_open = journal.open;
    pthread_mutex_unlock(&journal.mutex);
    return is_open;
}

static int not_initialized(void)
{
    return say_once(CMF_NOT_INITIALIZED,
                    "nothing is logged before cmf_init has succeeded, nor after cmf_finalize");
}

static bool make_room(size_t most)
{
    struct buffer *filling = &journal.filling;
    size_t wanted = filling->length + most;
    if (wanted <= filling->capacity)
        return true;
    char *bytes = mremap(filling->bytes, filling->capacity, wanted, MREMAP_MAYMOVE);
    if (bytes == MAP_FAILED)
        return false;
    filling->bytes = bytes;
    filling->capacity = wanted;
    return true;
}

char *journal_begin(size_t most, int *error)
{
    pthread_mutex_lock(&journal.mutex);
    while (journal.open && journal.filling.length > 0 &&
           journal.filling.length + most > MOST_SIZE) {
        journal.flush = true;
        pthread_cond_signal(&journal.work);
        pthread_cond_wait(&journal.done, &journal.mutex);
    }
    bool is_open = journal.open;
    if (is_open && make_room(most))
        return journal.filling.bytes + journal.filling.length;
    if (is_open)
        journal.lost++;
    pthread_mutex_unlock(&journal.mutex);
    *error = is_open ? say_once(CMF_NO_MEMORY, "there is no memory for an event of %zu bytes, "
                                               "which is lost", most)
                     : not_initialized();
    return NULL;
}

static void take(char *end)
{
    journal.filling.length = (size_t)(end - journal.filling.bytes);
    journal.filling.lines++;
    journal.taken++;
}

void journal_end(char *end)
{
    take(end);
    bool wake = journal.resting;
    if (journal.filling.length >= WRITE_SIZE && !journal.flush) {
        journal.flush = true;
        wake = true;
    }
    journal.resting = false;
    pthread_mutex_unlock(&journal.mutex);
    if (wake)
        pthread_cond_signal(&journal.work);
}

int journal_flush(void)
{
    pthread_mutex_lock(&journal.mutex);
    bool is_open = journal.open;
    long long wanted = journal.taken;
    while (journal.open && journal.ended < wanted) {
        journal.flush = true;
        pthread_cond_signal(&journal.work);
        pthread_cond_wait(&journal.done, &journal.mutex);
    }
    bool lost = journal.lost > journal.told;
    journal.told = journal.lost;
    pthread_mutex_unlock(&journal.mutex);
    if (!is_open)
        return not_initialized();
    return lost ? CMF_LOST : CMF_OK;
}

/* Unlocks, and waits until the thread has written all. */
static void stop(void)
{
    journal.open = false;
    journal.stop = true;
    pthread_cond_signal(&journal.work);
    pthread_cond_broadcast(&journal.done);
    pthread_mutex_unlock(&journal.mutex);
    pthread_join(journal.thread, NULL);
    close(journal.descriptor);
}

void journal_discard(void)
{
    pthread_mutex_lock(&journal.mutex);
    stop();
    unlink(journal.path);
}

int journal_close(char *end)
{
    take(end);
    stop();
    if (journal.lost == 0)
        return CMF_OK;
    fprintf(stderr, "cmf: %lld event%s of %s could not be written and %s lost.\n", journal.lost,
            journal.lost == 1 ? "" : "s", journal.path, journal.lost == 1 ? "is" : "are");
    return CMF_LOST;
}
