/* popload: closed-loop POP3 load from one thread with one epoll.
 *
 *   popload -p PORT [-h IPV4] [-c CONNS] [-s SECONDS] [-u USERFMT] [-n USERS] [-w PASSWORD] [-m MODE]
 *
 *   USERFMT  printf format with one %d for the user's number, e.g. u%d@example.org
 *   MODE     poll   USER PASS STAT QUIT
 *            uidl   USER PASS STAT UIDL QUIT
 *            fetch  USER PASS STAT RETR 1..n QUIT
 *            hold   log in, then sit idle until SECONDS are over
 *
 * Each of CONNS connections plays sessions one after the other, without pauses, users in turn.  A session is
 * timed from connect() to the reply to QUIT.  At the end one line of key=value figures is printed; `hold`
 * prints a line of its own as soon as all are logged in.
 *
 * Build: gcc -O2 -Wall -Wextra -o popload popload.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum state { CONNECTING, GREETING, USER, PASS, STAT, UIDL, RETR, QUIT, HELD, DEAD };
enum part { STATUS_ONLY, STATUS_OF_BODY, BODY }; /* what the next octets of a reply are */

struct conn {
    int fd;
    enum state state;
    enum part part;
    int user;      /* number put into USERFMT */
    int messages;  /* as STAT said */
    int retrieved;
    double began;
    char tail[5];  /* the last octets of a body: CRLF . CRLF ends it */
    int tail_len;
    char line[512];
    int line_len;
};

static const char *host = "127.0.0.1", *userfmt = "u%d@klient1.pl", *password = "haslo", *mode = "poll";
static int port = 110, conns = 16, users = 1, next_user;
static double seconds = 5, ends_at;
static struct sockaddr_in server;
static int ep;
static long sessions, errors, octets, held;
static float *latency;
static size_t latencies, latency_room;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void watch(struct conn *c, int operation, unsigned events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(ep, operation, c->fd, &e);
}

static void begin(struct conn *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        perror("popload: socket");
        exit(2);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->state = CONNECTING;
    c->part = STATUS_ONLY;
    c->tail_len = c->line_len = c->retrieved = c->messages = 0;
    c->began = now();
    c->user = next_user;
    next_user = (next_user + 1) % users;
    if (connect(c->fd, (void *)&server, sizeof server) < 0 && errno != EINPROGRESS) {
        errors++;
        close(c->fd);
        c->state = DEAD;
        return;
    }
    watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void remember(float value) {
    if (latencies == latency_room) {
        latency_room = latency_room ? latency_room * 2 : 65536;
        latency = realloc(latency, latency_room * sizeof *latency);
        if (!latency) exit(2);
    }
    latency[latencies++] = value;
}

/* End a session, well or not, and begin the next one while there is time. */
static void end(struct conn *c, int well) {
    struct linger reset = {1, 0};
    if (well) {
        sessions++;
        remember(now() - c->began);
    } else {
        errors++;
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    close(c->fd);
    c->state = DEAD;
    if (now() < ends_at) begin(c);
}

static void say(struct conn *c, enum state next, enum part part, const char *format, ...) {
    char line[600];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    c->state = next;
    c->part = part;
    if (write(c->fd, line, n) != n) fprintf(stderr, "popload: short write\n");
}

/* Say what comes after a complete positive reply. */
static void advance(struct conn *c) {
    char user[256];
    switch (c->state) {
    case GREETING:
        snprintf(user, sizeof user, userfmt, c->user);
        say(c, USER, STATUS_ONLY, "USER %s\r\n", user);
        break;
    case USER:
        say(c, PASS, STATUS_ONLY, "PASS %s\r\n", password);
        break;
    case PASS:
        if (!strcmp(mode, "hold")) {
            c->state = HELD;
            held++;
        } else {
            say(c, STAT, STATUS_ONLY, "STAT\r\n");
        }
        break;
    case STAT:
        if (!strcmp(mode, "uidl")) {
            say(c, UIDL, STATUS_OF_BODY, "UIDL\r\n");
            break;
        } /* fall through */
    case RETR:
        if (!strcmp(mode, "fetch") && c->retrieved < c->messages) {
            say(c, RETR, STATUS_OF_BODY, "RETR %d\r\n", ++c->retrieved);
            break;
        } /* fall through */
    case UIDL:
        say(c, QUIT, STATUS_ONLY, "QUIT\r\n");
        break;
    case QUIT:
        end(c, 1);
        break;
    default:
        break;
    }
}

/* Take octets of a body; nothing is pipelined, so its end is the end of what came. */
static void take_body(struct conn *c, const char *data, int n) {
    if (n >= 5) {
        memcpy(c->tail, data + n - 5, 5);
        c->tail_len = 5;
    } else {
        int keep = 5 - n < c->tail_len ? 5 - n : c->tail_len;
        memmove(c->tail, c->tail + c->tail_len - keep, keep);
        memcpy(c->tail + keep, data, n);
        c->tail_len = keep + n;
    }
    if (c->tail_len == 5 && !memcmp(c->tail, "\r\n.\r\n", 5)) advance(c);
}

static void take_status(struct conn *c) {
    c->line[c->line_len] = 0;
    c->line_len = 0;
    if (c->line[0] != '+') {
        if (errors < 5) fprintf(stderr, "popload: state %d: %s", c->state, c->line);
        end(c, 0);
        return;
    }
    if (c->state == STAT) c->messages = atoi(c->line + 4);
    if (c->part == STATUS_OF_BODY) {
        c->part = BODY;
        memcpy(c->tail, "\0\0\0\r\n", 5); /* a body may be empty: the dot comes at once */
        c->tail_len = 5;
    } else {
        advance(c);
    }
}

static void take(struct conn *c, const char *data, int n) {
    while (n > 0) {
        if (c->part == BODY) {
            take_body(c, data, n);
            return;
        }
        const char *lf = memchr(data, '\n', n);
        int part = lf ? lf - data + 1 : n;
        if (c->line_len + part < (int)sizeof c->line) {
            memcpy(c->line + c->line_len, data, part);
            c->line_len += part;
        }
        data += part;
        n -= part;
        if (!lf) return;
        take_status(c);
        if (c->state == DEAD || c->state == CONNECTING) return;
    }
}

/* Returns 1 when the connection stands, 0 when it does not stand yet or failed. */
static int connected(struct conn *c, unsigned events) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        errors++;
        close(c->fd);
        c->state = DEAD;
        if (now() < ends_at) {
            usleep(1000);
            begin(c);
        }
        return 0;
    }
    if (!(events & (EPOLLOUT | EPOLLIN))) return 0;
    c->state = GREETING;
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    return 1;
}

static void attend(struct conn *c, unsigned events) {
    static char buffer[1 << 18];
    if (c->state == DEAD) return;
    if (c->state == CONNECTING && !connected(c, events)) return;
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    ssize_t n = read(c->fd, buffer, sizeof buffer);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        end(c, 0);
        return;
    }
    octets += n;
    take(c, buffer, n);
}

static int someone_is_busy(const struct conn *all) {
    for (int i = 0; i < conns; i++)
        if (all[i].state != DEAD && all[i].state != HELD) return 1;
    return 0;
}

static void report(double took) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
    qsort(latency, latencies, sizeof *latency, by_value);
    printf("mode=%s conns=%d sessions=%ld errors=%ld held=%ld secs=%.3f rate=%.1f p50=%.3f p99=%.3f max=%.3f "
           "MBps=%.1f clientcpu=%.2f\n",
           mode, conns, sessions, errors, held, took, sessions / took,
           latencies ? latency[latencies / 2] * 1e3 : 0, latencies ? latency[(size_t)(latencies * .99)] * 1e3 : 0,
           latencies ? latency[latencies - 1] * 1e3 : 0, octets / took / 1e6, cpu);
}

static int options(int argc, char **argv) {
    int o;
    while ((o = getopt(argc, argv, "h:p:c:s:u:n:w:m:")) != -1) switch (o) {
        case 'h': host = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'c': conns = atoi(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'u': userfmt = optarg; break;
        case 'n': users = atoi(optarg); break;
        case 'w': password = optarg; break;
        case 'm': mode = optarg; break;
        default: return 0;
        }
    server.sin_family = AF_INET;
    server.sin_port = htons(port);
    return conns > 0 && users > 0 && inet_pton(AF_INET, host, &server.sin_addr) == 1;
}

int main(int argc, char **argv) {
    if (!options(argc, argv)) return 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    ep = epoll_create1(0);
    struct conn *all = calloc(conns, sizeof *all);
    struct epoll_event events[512];
    int told = 0;
    double began = now();
    ends_at = began + seconds;
    for (int i = 0; i < conns; i++) begin(&all[i]);
    /* Sessions under way at the end get two seconds to finish; they count. */
    while (now() < ends_at + 2 && (now() < ends_at || someone_is_busy(all))) {
        int n = epoll_wait(ep, events, 512, 100);
        for (int i = 0; i < n; i++) attend(events[i].data.ptr, events[i].events);
        if (!told && held == conns) {
            told = 1;
            printf("held=%ld in=%.3f\n", held, now() - began);
            fflush(stdout);
        }
    }
    report(now() - began);
    return 0;
}
