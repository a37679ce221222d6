/* A wall clock that is wrong, for a whole process: LD_PRELOAD this. Durations and sleeps stay right.

   WRONG_CLOCK is where the clock begins, in seconds since 1970. With WRONG_CLOCK_JUMPS every other look at it finds
   2^31 seconds more. */

#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void wrong(struct timespec *now)
{
    static int looks;
    struct timespec since_boot;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &since_boot);
    const char *begin = getenv("WRONG_CLOCK");
    now->tv_sec = (begin ? atoll(begin) : 0) + since_boot.tv_sec % 100000;
    now->tv_nsec = since_boot.tv_nsec;
    if (getenv("WRONG_CLOCK_JUMPS") && __atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED) % 2)
        now->tv_sec += 1L << 31;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return syscall(SYS_clock_gettime, clock, now);
    wrong(now);
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    wrong(&exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where)
{
    struct timespec exact;
    wrong(&exact);
    if (where)
        *where = exact.tv_sec;
    return exact.tv_sec;
}
