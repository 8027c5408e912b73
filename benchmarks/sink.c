/* The sink: an HTTP server that stores all requests and answers each of them with a success.
 *
 * The sink must be cheaper than any client. One thread with epoll receives each body directly into new
 * memory, and keeps the body and its time of arrival until a dump. If the first byte cannot begin an
 * HTTP method, the connection is a raw stream (fluentd's forward protocol), which is stored unchanged.
 *
 * Each command is a line on stdin, and is answered with a line on stdout:
 *   reset MS     delete the stored data, and answer each request MS milliseconds after its arrival
 *   swallow      receive requests, but store nothing and answer nothing
 *   refuse       close the port and all connections
 *   heal MS      answer again, and keep the stored data
 *   count        return the numbers of requests and bytes
 *   dump PATH    write the stored data: "ARRIVAL CONNECTION HEAD BODY ENCODING PATH\n" and the body
 * The sink ends at the end of stdin. _python_sink.py has the same commands. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_LIMIT = 64 * 1024, CONNECTIONS = 512, TEXT = 128 };

struct record {
    struct record *next;
    long long arrival;
    long connection;
    size_t head, body;
    char encoding[16], path[TEXT];
    char *bytes;
};

struct connection {
    int fd; /* -1: free */
    long number;
    int is_begun, is_raw; /* set after the first byte */
    char head[HEAD_LIMIT];
    size_t filled;       /* bytes in head */
    struct record *open; /* the request whose body is being received */
    size_t received;     /* bytes of its body */
    long long due;       /* the time of the next answer; 0 for no answer */
    char answers[TEXT];  /* the path of the request */
};

static struct connection *connections;
static struct record *first, **last = &first;
static int poller, listener = -1, port, swallows;
static long long delay, requests, bytes;
static long numbers;

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void watch(int fd, void *what) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

static void open_port(void) {
    if (listener >= 0) return;
    int yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 256)) die("bind");
    getsockname(listener, (struct sockaddr *)&address, &length);
    port = ntohs(address.sin_port);
    watch(listener, &listener);
}

static void hang_up(struct connection *c) {
    if (c->fd < 0) return;
    close(c->fd);
    c->fd = -1;
    if (c->open) {
        free(c->open->bytes);
        free(c->open);
        c->open = NULL;
    }
}

static void hang_up_all(void) {
    for (int i = 0; i < CONNECTIONS; i++) hang_up(&connections[i]);
}

static void greet(void) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), yes = 1;
    if (fd < 0) return;
    for (int i = 0; i < CONNECTIONS; i++) {
        struct connection *c = &connections[i];
        if (c->fd >= 0) continue;
        c->fd = fd;
        c->number = ++numbers;
        c->filled = c->received = 0;
        c->due = c->is_begun = c->is_raw = 0;
        c->open = NULL;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        watch(fd, c);
        return;
    }
    close(fd);
}

static void keep(struct record *r) {
    r->arrival = now();
    r->next = NULL;
    *last = r;
    last = &r->next;
    requests++;
    bytes += r->head + r->body;
}

static struct record *new_record(struct connection *c, size_t head, size_t body) {
    struct record *r = calloc(1, sizeof *r);
    if (!r || !(r->bytes = malloc(body ? body : 1))) die("malloc");
    r->connection = c->number;
    r->head = head;
    r->body = body;
    strcpy(r->encoding, "-");
    strcpy(r->path, "-");
    return r;
}

static void answer(struct connection *c) {
    static const char token[] =
        "{\"data\":[{\"access_token\":\"sink-token\",\"token_type\":\"bearer\",\"expires_in\":3600}]}";
    char text[512];
    const char *status = "200 OK", *type = "application/json", *body = "{\"status\":1,\"success\":true}";
    if (strstr(c->answers, "sign-in-keys")) body = token;
    else if (strstr(c->answers, "/v1/logs")) type = "application/x-protobuf", body = "";
    else if (!strcmp(c->answers, "/")) status = "202 Accepted", body = "";
    int size = snprintf(text, sizeof text,
                        "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", status, type,
                        strlen(body), body);
    c->due = 0;
    if (send(c->fd, text, size, MSG_NOSIGNAL) != size) hang_up(c); /* 200 bytes always fit into the buffer of an open connection */
}

static void complete(struct connection *c) {
    struct record *r = c->open;
    c->open = NULL;
    if (swallows) {
        free(r->bytes);
        free(r);
        return;
    }
    strcpy(c->answers, r->path);
    keep(r);
    c->due = now() + delay;
    if (!delay) answer(c);
}

/* Copies the value of a header in a lower-case head to `into`; false without such a header. */
static int header(const char *head, const char *name, char *into, size_t size) {
    const char *at = strstr(head, name);
    if (!at) return 0;
    at += strlen(name);
    while (*at == ' ') at++;
    size_t length = strcspn(at, "\r\n");
    if (length >= size) length = size - 1;
    memcpy(into, at, length);
    into[length] = 0;
    return 1;
}

/* Begins a request if its head is complete; false if more bytes are needed. */
static int begin(struct connection *c) {
    char *end = memmem(c->head, c->filled, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = end + 4 - c->head;
    char path[TEXT] = "-", length[32], lower[HEAD_LIMIT];
    sscanf(c->head, "%*s %127s", path);
    for (size_t i = 0; i < head; i++) lower[i] = tolower((unsigned char)c->head[i]);
    lower[head - 1] = 0;
    size_t body = header(lower, "\r\ncontent-length:", length, sizeof length) ? strtoull(length, NULL, 10) : 0;
    if (strstr(lower, "\r\ntransfer-encoding:")) { /* no contestant sends this header, and its body would be counted wrongly */
        fprintf(stderr, "sink: chunked bodies are not understood\n");
        hang_up(c);
        return 0;
    }
    struct record *r = c->open = new_record(c, head, body);
    strcpy(r->path, path);
    header(lower, "\r\ncontent-encoding:", r->encoding, sizeof r->encoding);
    size_t rest = c->filled - head, mine = rest < body ? rest : body;
    memcpy(r->bytes, c->head + head, mine);
    c->received = mine;
    memmove(c->head, c->head + head + mine, rest - mine);
    c->filled = rest - mine;
    return 1;
}

static void serve(struct connection *c) {
    struct record *r = c->open;
    char *into = r ? r->bytes + c->received : c->head + c->filled;
    size_t room = r ? r->body - c->received : HEAD_LIMIT - 1 - c->filled;
    ssize_t got = recv(c->fd, into, room, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) hang_up(c);
        return;
    }
    if (r) c->received += got;
    else c->filled += got;
    if (!c->is_begun) c->is_begun = 1, c->is_raw = !isalpha((unsigned char)c->head[0]);
    if (c->is_raw) {
        if (!swallows) {
            r = new_record(c, 0, c->filled);
            memcpy(r->bytes, c->head, c->filled);
            strcpy(r->encoding, "raw");
            keep(r);
        }
        c->filled = 0;
        return;
    }
    if (!c->open && !begin(c)) return;
    while (c->fd >= 0 && c->open && c->received == c->open->body) {
        complete(c);
        if (c->fd < 0 || c->filled == 0 || !begin(c)) break;
    }
}

static void forget(void) {
    while (first) {
        struct record *r = first;
        first = r->next;
        free(r->bytes);
        free(r);
    }
    last = &first;
    requests = bytes = 0;
}

static void dump(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) die(path);
    for (struct record *r = first; r; r = r->next) {
        fprintf(file, "%lld %ld %zu %zu %s %s\n", r->arrival, r->connection, r->head, r->body, r->encoding, r->path);
        fwrite(r->bytes, 1, r->body, file);
    }
    if (fclose(file)) die(path);
}

static void obey(const char *line) {
    double ms = 0;
    char path[4096];
    if (sscanf(line, "reset %lf", &ms) == 1 || sscanf(line, "heal %lf", &ms) == 1) {
        if (line[0] == 'r') hang_up_all(), forget();
        swallows = 0;
        delay = ms * 1e6;
        open_port();
    } else if (!strncmp(line, "swallow", 7)) {
        swallows = 1;
    } else if (!strncmp(line, "refuse", 6)) {
        hang_up_all();
        close(listener);
        listener = -1;
    } else if (!strncmp(line, "count", 5)) {
        printf("%lld %lld\n", requests, bytes);
        fflush(stdout);
        return;
    } else if (sscanf(line, "dump %4095[^\n]", path) == 1) {
        dump(path);
    } else {
        die("an order that is none");
    }
    printf("done\n");
    fflush(stdout);
}

/* Commands come one at a time, each after the answer to the previous command. */
static void take_orders(void) {
    static char line[8192];
    static size_t filled;
    ssize_t got = read(0, line + filled, sizeof line - 1 - filled);
    if (got <= 0) exit(0);
    filled += got;
    line[filled] = 0;
    if (!strchr(line, '\n')) return;
    filled = 0;
    obey(line);
}

static int patience(void) {
    long long soonest = 0, t = now();
    for (int i = 0; delay && i < CONNECTIONS; i++)
        if (connections[i].fd >= 0 && connections[i].due && (!soonest || connections[i].due < soonest))
            soonest = connections[i].due;
    if (!soonest) return -1;
    return soonest <= t ? 0 : (int)((soonest - t + 999999) / 1000000);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    connections = calloc(CONNECTIONS, sizeof *connections);
    if (!connections) die("calloc");
    for (int i = 0; i < CONNECTIONS; i++) connections[i].fd = -1;
    poller = epoll_create1(0);
    open_port();
    watch(0, NULL);
    printf("%d\n", port);
    fflush(stdout);
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(poller, events, 64, patience());
        for (int i = 0; i < count; i++) {
            void *what = events[i].data.ptr;
            if (what == NULL) take_orders();
            else if (what == &listener) {
                if (listener >= 0) greet();
            } else if (((struct connection *)what)->fd >= 0) serve(what);
        }
        for (int i = 0; delay && i < CONNECTIONS; i++)
            if (connections[i].fd >= 0 && connections[i].due && connections[i].due <= now()) answer(&connections[i]);
    }
}
