/* tlsload: TLS handshakes with a POP3 server that begins with them (pop3s), as many as there is time for.
 *
 *   tlsload -p PORT [-h IPV4] [-c THREADS] [-s SECONDS] [-r]
 *
 *   -r  resume: every connection but each thread's first one shows the ticket that an earlier one was given
 *
 * Each of THREADS threads connects, shakes hands, reads the greeting, says QUIT, reads the answer and closes.
 * At the end one line of key=value figures is printed; `resumed` counts what the server agreed to resume.
 * The certificate is not looked at: all servers that are compared have the same one.
 *
 * Build: gcc -O2 -Wall -Wextra -o tlsload tlsload.c -lssl -lcrypto -lpthread
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1 << 20 };

static const char *host = "127.0.0.1";
static int port = 995, threads = 16, resuming;
static double seconds = 5, ends_at;
static struct sockaddr_in server;
static SSL_CTX *context;
static long sessions, errors, resumed;
static float latency[MOST];
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Read one line; 1 if it is a positive reply. */
static int is_well(SSL *tls) {
    char line[512];
    int have = 0;
    while (have < (int)sizeof line) {
        int n = SSL_read(tls, line + have, sizeof line - have);
        if (n <= 0) return 0;
        have += n;
        if (line[have - 1] == '\n') return line[0] == '+';
    }
    return 0;
}

/* Talk inside TLS; tickets of TLS 1.3 come with the first octets after the handshake. */
static int talk(int fd, SSL *tls, SSL_SESSION **ticket, float *took, double began) {
    SSL_set_fd(tls, fd);
    if (*ticket) SSL_set_session(tls, *ticket);
    if (SSL_connect(tls) != 1 || !is_well(tls)) return 0;
    *took = now() - began;
    if (resuming) {
        SSL_SESSION_free(*ticket);
        *ticket = SSL_get1_session(tls);
    }
    return SSL_write(tls, "QUIT\r\n", 6) == 6 && is_well(tls);
}

static void once(SSL_SESSION **ticket) {
    int one = 1, well = 0, again = 0;
    float took = 0;
    double began = now();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SSL *tls = SSL_new(context);
    if (fd >= 0 && tls && connect(fd, (void *)&server, sizeof server) == 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        well = talk(fd, tls, ticket, &took, began);
        again = SSL_session_reused(tls);
        if (well) SSL_shutdown(tls);
    }
    SSL_free(tls);
    if (fd >= 0) close(fd);
    pthread_mutex_lock(&counting);
    if (well) {
        if (sessions < MOST) latency[sessions] = took;
        sessions++;
        resumed += again;
    } else {
        errors++;
    }
    pthread_mutex_unlock(&counting);
    if (!well) usleep(1000);
}

static void *play(void *unused) {
    SSL_SESSION *ticket = NULL;
    while (now() < ends_at) once(&ticket);
    SSL_SESSION_free(ticket);
    return unused;
}

static int options(int argc, char **argv) {
    int o;
    while ((o = getopt(argc, argv, "h:p:c:s:r")) != -1) switch (o) {
        case 'h': host = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'c': threads = atoi(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'r': resuming = 1; break;
        default: return 0;
        }
    server.sin_family = AF_INET;
    server.sin_port = htons(port);
    return threads > 0 && threads <= 1000 && inet_pton(AF_INET, host, &server.sin_addr) == 1;
}

int main(int argc, char **argv) {
    pthread_t crew[1000];
    struct rusage used;
    if (!options(argc, argv)) return 2;
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    double began = now();
    ends_at = began + seconds;
    for (int i = 0; i < threads; i++)
        if (pthread_create(&crew[i], NULL, play, NULL)) return 2;
    for (int i = 0; i < threads; i++) pthread_join(crew[i], NULL);
    double took = now() - began;
    getrusage(RUSAGE_SELF, &used);
    long kept = sessions < MOST ? sessions : MOST;
    qsort(latency, kept, sizeof *latency, by_value);
    printf("conns=%d sessions=%ld errors=%ld resumed=%ld secs=%.3f rate=%.1f p50=%.3f p99=%.3f clientcpu=%.2f\n", threads,
           sessions, errors, resumed, took, sessions / took, kept ? latency[kept / 2] * 1e3 : 0,
           kept ? latency[(size_t)(kept * .99)] * 1e3 : 0,
           used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6);
    return 0;
}
