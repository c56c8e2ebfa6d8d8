/* The floor: accepts WebSocket handshakes without looking at them and, told so on its standard input,
   calls send() once for each socket. It checks nothing, keeps nothing and cannot be beaten by anything that does. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ANSWER[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
static char member[65536];
static int highest;

int main(int argc, char **argv) {
    size_t size = argc < 3 ? 0 : (size_t)atoi(argv[2]);
    char *frame = malloc(size), buffer[4096];
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct epoll_event event = {.events = EPOLLIN}, ready[256];
    int one = 1, listening = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    if (!size || !frame) return 2;
    memset(frame, 'x', size);
    address.sin_port = htons(atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listening, (void *)&address, sizeof address) || listen(listening, 4096)) return 1;
    event.data.fd = listening;
    epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event);
    event.data.fd = STDIN_FILENO;
    epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    for (;;) {
        int number = epoll_wait(epoll, ready, 256, -1);
        for (int i = 0; i < number; i++) {
            int from = ready[i].data.fd;
            if (from == listening) {
                event.data.fd = accept(listening, NULL, NULL);
                if (event.data.fd > highest) highest = event.data.fd;
                epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
            } else if (from == STDIN_FILENO) {
                if (read(from, buffer, sizeof buffer) <= 0) return 0;
                for (int m = 0; m <= highest; m++)
                    if (member[m]) (void)!send(m, frame, size, MSG_NOSIGNAL);
            } else if (read(from, buffer, sizeof buffer) > 0) {
                if (!member[from]) (void)!send(from, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL);
                member[from] = 1;
            } else {
                member[from] = 0;
                close(from);
            }
        }
    }
}
