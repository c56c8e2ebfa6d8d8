/* The load: callers that send requests made beforehand, each the next as soon as its answer is there. It parses no
   more of an answer than its end, so that it never is what is measured.

   load PORT CALLERS MODE STATUS GAP < requests
   MODE `keep`: each caller has one connection for all its requests; `fresh`: a new one per request, which stays open.
   `paced`: a request each GAP microseconds, whether those before it are answered or not, on a connection of its own,
   which is closed then; its time counts from when it was due. CALLERS: as many as may be under way.
   STATUS is the answer expected, 101 or 200; another one ends the load, unless it is paced: then they are counted.
   GAP: microseconds that a caller waits before its next request. Each request is its length (4 bytes, native) and its
   bytes. Printed: the seconds from first to last, this process's own CPU seconds, how many answers had another status,
   then each answer's microseconds, a line each. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 30 /* seconds without any answer */

struct caller { int from; size_t got; double began; char answer[16384]; };

static char *requests, *next, *end;
static struct sockaddr_in address = {.sin_family = AF_INET};
static const char *status;
static int epoll, fresh, paced, refused;
static useconds_t gap;
static double due;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void read_requests(void) {
    size_t size = 0, room = 1 << 20;
    ssize_t some;
    requests = malloc(room);
    while ((some = read(STDIN_FILENO, requests + size, room - size)) > 0) {
        size += some;
        if (size == room && !(requests = realloc(requests, room *= 2))) fail("memory");
    }
    next = requests;
    end = requests + size;
}

static void dial(struct caller *one) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    one->from = socket(AF_INET, SOCK_STREAM, 0);
    if (one->from < 0 || connect(one->from, (void *)&address, sizeof address)) fail("connect");
    epoll_ctl(epoll, EPOLL_CTL_ADD, one->from, &event);
}

/* 0 when there is nothing left to ask. */
static int ask(struct caller *one) {
    uint32_t size;
    if (next == end) return 0;
    memcpy(&size, next, sizeof size);
    if (gap && !paced) usleep(gap);
    one->got = 0;
    one->began = paced ? due : now();
    if (fresh || paced) dial(one);
    if (send(one->from, next + sizeof size, size, MSG_NOSIGNAL) != (ssize_t)size) fail("send");
    next += sizeof size + size;
    return 1;
}

/* Whether the answer is all there: for a handshake its head, otherwise the body that the head tells of, too. */
static int answered(struct caller *one) {
    ssize_t some = recv(one->from, one->answer + one->got, sizeof one->answer - 1 - one->got, 0);
    char *body, *length;
    if (some <= 0) fail("the server hung up");
    one->got += some;
    one->answer[one->got] = 0;
    if (!(body = strstr(one->answer, "\r\n\r\n"))) return 0;
    if (strncmp(one->answer + 9, status, 3)) {
        if (!refused++) fprintf(stderr, "%s\n", one->answer);
        if (!paced) exit(1);
        return 1;
    }
    length = fresh ? NULL : strcasestr(one->answer, "\r\ncontent-length:");
    return one->got >= (size_t)(body + 4 - one->answer) + (length && length < body ? atoi(length + 17) : 0);
}

/* Sends what is due, and waits until there is an answer or the next is due. */
static int pace(struct caller **spare, int spares) {
    struct pollfd answers = {.fd = epoll, .events = POLLIN};
    for (; spares && next != end && now() >= due; due += gap / 1e6) ask(spare[--spares]);
    if (spares && next != end) {
        double left = due - now();
        struct timespec wait = {.tv_nsec = left > 0 ? left * 1e9 : 0};
        ppoll(&answers, 1, &wait, NULL);
    }
    return spares;
}

int main(int argc, char **argv) {
    struct rlimit files;
    struct rusage used;
    struct epoll_event ready[256];
    struct caller *callers, **spare;
    double began, heard, *took;
    int number, asking = 0, done = 0, spares = 0;
    if (argc != 6) return 2;
    address.sin_port = htons(atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    number = atoi(argv[2]);
    fresh = argv[3][0] == 'f';
    paced = argv[3][0] == 'p';
    status = argv[4];
    gap = atoi(argv[5]);
    if (gap >= 1000000) return 2;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    read_requests();
    epoll = epoll_create1(0);
    callers = calloc(number, sizeof *callers);
    spare = calloc(number, sizeof *spare);
    took = malloc((end - requests) / sizeof(uint32_t) * sizeof *took);
    if (!callers || !spare || !took) return 2;
    for (int i = 0; i < number && !fresh && !paced; i++) dial(&callers[i]);
    began = due = heard = now();
    if (paced)
        for (int i = 0; i < number; i++) spare[spares++] = &callers[i];
    else
        for (int i = 0; i < number; i++) asking += ask(&callers[i]);
    while (asking || (paced && (next != end || spares < number))) {
        if (paced) spares = pace(spare, spares);
        int some = epoll_wait(epoll, ready, 256, paced && spares && next != end ? 0 : PATIENCE * 1000);
        if (some > 0) heard = now();
        if (some < 0 || now() - heard > PATIENCE) fail("no answer");
        for (int i = 0; i < some; i++) {
            struct caller *one = ready[i].data.ptr;
            if (!answered(one)) continue;
            took[done++] = now() - one->began;
            if (fresh) epoll_ctl(epoll, EPOLL_CTL_DEL, one->from, NULL);
            if (paced) {
                close(one->from);
                spare[spares++] = one;
            } else {
                asking -= !ask(one);
            }
        }
    }
    began = now() - began;
    getrusage(RUSAGE_SELF, &used);
    printf("%f %f %d\n", began, used.ru_utime.tv_sec + used.ru_utime.tv_usec / 1e6 + used.ru_stime.tv_sec
                              + used.ru_stime.tv_usec / 1e6, refused);
    for (int i = 0; i < done; i++) printf("%.0f\n", took[i] * 1e6);
    return 0;
}
