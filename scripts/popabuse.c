/* popabuse: what a POP3 server has to bear, from one thread with one epoll; and an honest client beside it.
 *
 *   popabuse -p PORT -m MODE [-n COUNT] [-s SECONDS] [-f SOURCES] [-u USER] [-w PASSWORD] [-r RATE]
 *
 *   MODE  idle     COUNT connections that say nothing, opened again when the server closes them
 *         loris    the same, and each sends one octet a second
 *         endless  COUNT connections that send a line without an end, as fast as it is taken
 *         churn    COUNT connections that are closed as soon as they have the greeting, RATE a second
 *         slow     COUNT sessions that ask for message 1 and read no more than its first line
 *         brute    COUNT connections that try one wrong password after the other
 *         honest   one client that logs in, says STAT and QUIT, RATE times a second; times its logins
 *
 * Connections come from 127.0.1.1 and up, as many addresses as SOURCES says (honest: from 127.0.2.1).  At the end
 * one line of key=value figures is printed; "ready" comes first, when all connections are open.
 *
 * Build: gcc -O2 -Wall -Wextra -o popabuse popabuse.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum mode { IDLE, LORIS, ENDLESS, CHURN, SLOW, BRUTE, HONEST };
static const char *names[] = {"idle", "loris", "endless", "churn", "slow", "brute", "honest"};

struct conn {
    int fd, state; /* state: replies that have come */
    double began;
};

static enum mode mode;
static int port = 110, count = 1, sources = 1, rate = 20;
static double seconds = 10;
static const char *user = "luser", *password = "haslo";
static int ep, next_source;
static long opened, closed, failed, done_count, greeted;
static float *latency;
static size_t latencies, room;
static char junk[65536];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void die(const char *what) {
    perror(what);
    exit(2);
}

static void open_one(struct conn *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)}, from = {.sin_family = AF_INET};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        die("popabuse: socket");
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    unsigned network = mode == HONEST ? 0x7f000201 : 0x7f000101; /* 127.0.2.1, 127.0.1.1 */
    from.sin_addr.s_addr = htonl(network + next_source++ % sources);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0)
        die("popabuse: bind");
    c->state = 0;
    c->began = now();
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
        failed++;
        close(c->fd);
        c->fd = -1;
        return;
    }
    opened++;
    struct epoll_event e = {.events = EPOLLIN | (mode == ENDLESS ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}

static void close_one(struct conn *c, int reset) {
    struct linger l = {1, 0};
    if (reset) /* without TIME_WAIT: ports are for the load, not for memories of it */
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    close(c->fd);
    c->fd = -1;
    closed++;
}

static void say(struct conn *c, const char *format, const char *what) {
    char line[256];
    int n = snprintf(line, sizeof line, format, what);
    if (send(c->fd, line, n, MSG_NOSIGNAL) < 0)
        return; /* it is gone; reading will tell */
}

static void note_latency(double began) {
    if (latencies == room) {
        room = room ? 2 * room : 4096;
        latency = realloc(latency, room * sizeof *latency);
        if (!latency)
            die("popabuse: realloc");
    }
    latency[latencies++] = (now() - began) * 1e3;
}

/* What a client says after its nth reply; tells whether it goes on. */
static int converse(struct conn *c, int ok) {
    c->state++;
    switch (mode) {
    case CHURN:
        greeted++;
        return 0;
    case SLOW:
    case HONEST:
        if (!ok)
            return -1;
        if (c->state == 1)
            say(c, "USER %s\r\n", user);
        else if (c->state == 2)
            say(c, "PASS %s\r\n", password);
        else if (c->state == 3 && mode == SLOW) {
            int small = 4096;
            setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
            say(c, "RETR %s\r\n", "1");
        } else if (c->state == 3) {
            note_latency(c->began);
            say(c, "STAT%s\r\nQUIT\r\n", "");
        } else if (c->state == 5)
            done_count++;
        return 1;
    case BRUTE:
        if (c->state > 1)
            done_count += !ok;
        if (c->state % 2)
            say(c, "USER %s\r\n", user);
        else
            say(c, "PASS %s\r\n", "wrong");
        return 1;
    default:
        greeted++;
        return 1;
    }
}

static void readable(struct conn *c) {
    char data[2048];
    /* A slow reader that has what it wants leaves the rest where it is. */
    if (mode == SLOW && c->state == 4) {
        epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
        return;
    }
    ssize_t n = recv(c->fd, data, mode == SLOW ? 128 : sizeof data - 1, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        if (mode == HONEST && c->state < 5)
            failed++;
        close_one(c, 0);
        return;
    }
    data[n] = 0;
    for (char *line = data; line < data + n; line++) {
        char *end = memchr(line, '\n', data + n - line);
        if (!end)
            break; /* replies are short and come whole */
        int goes_on = converse(c, *line == '+');
        if (goes_on <= 0) {
            failed += goes_on < 0;
            close_one(c, mode == CHURN);
            return;
        }
        line = end;
        if (mode == SLOW && c->state == 4)
            return;
    }
}

static void usage(void) {
    fprintf(stderr, "usage: popabuse -p PORT -m MODE [-n COUNT] [-s SECONDS] [-f SOURCES] [-u USER] "
                    "[-w PASSWORD] [-r RATE]\n");
    exit(2);
}

static void read_options(int argc, char **argv) {
    int c, found = 0;
    while ((c = getopt(argc, argv, "p:m:n:s:f:u:w:r:")) != -1)
        switch (c) {
        case 'p': port = atoi(optarg); break;
        case 'm':
            for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
                if (!strcmp(optarg, names[i]))
                    mode = i, found = 1;
            break;
        case 'n': count = atoi(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'f': sources = atoi(optarg); break;
        case 'u': user = optarg; break;
        case 'w': password = optarg; break;
        case 'r': rate = atoi(optarg); break;
        default: usage();
        }
    if (!found || count < 1 || sources < 1 || rate < 1)
        usage();
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    memset(junk, 'x', sizeof junk);
    ep = epoll_create1(0);
    int paced = mode == CHURN || mode == HONEST, told = 0;
    int slots = paced ? 1024 : count;
    struct conn *conns = calloc(slots, sizeof *conns);
    for (int i = 0; i < slots; i++)
        conns[i].fd = -1;
    double start = now(), ends = start + seconds, last_octet = start;
    long begun = 0, octets = 0;
    int from = 0;
    while (now() < ends) {
        double t = now();
        long may = paced ? (long)((t - start) * rate) + 1 - begun : 64; /* a burst of 64 at a time */
        if (mode == CHURN && begun + may > count)
            may = count - begun;
        for (int i = 0; i < slots && may > 0; i++) {
            struct conn *c = &conns[(from + i) % slots];
            if (c->fd >= 0)
                continue;
            open_one(c);
            begun++;
            may--;
            from = (from + i) % slots;
        }
        if (!paced && !told && begun >= count && greeted + done_count >= (mode == SLOW || mode == BRUTE ? 0 : count)) {
            printf("ready\n");
            fflush(stdout);
            told = 1;
        }
        if (mode == LORIS && t - last_octet >= 1) {
            last_octet = t;
            for (int i = 0; i < slots; i++)
                if (conns[i].fd >= 0 && send(conns[i].fd, "U", 1, MSG_NOSIGNAL) == 1)
                    octets++;
        }
        struct epoll_event events[256];
        int n = epoll_wait(ep, events, 256, paced ? 1 : 10);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c->fd < 0)
                continue;
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                readable(c);
            if (c->fd >= 0 && mode == ENDLESS && events[i].events & EPOLLOUT) {
                ssize_t sent = send(c->fd, junk, sizeof junk, MSG_NOSIGNAL);
                octets += sent > 0 ? sent : 0;
            }
        }
    }
    qsort(latency, latencies, sizeof *latency, by_value);
    printf("opened=%ld closed=%ld failed=%ld done=%ld octets=%ld", opened, closed, failed, done_count, octets);
    if (latencies)
        printf(" p50=%.2f p95=%.2f p99=%.2f max=%.2f", latency[latencies / 2], latency[latencies * 95 / 100],
               latency[latencies * 99 / 100], latency[latencies - 1]);
    printf("\n");
    return 0;
}
