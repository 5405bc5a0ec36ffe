# Frames on one interface for wire.ts: a line of hex on stdin is sent, what the interface receives is a line on stdout.
#   wire.py INTERFACE
# Sockets of a protocol, unlike those of all protocols, receive behind what judges ingress. One CPU, so that frames
# stay in their order.
import errno
import os
import select
import socket
import sys

# IPv4, IPv6, 802.1Q, 802.1ad; last the mark, IEEE's number for experiments: all that came before it is read first
PROTOCOLS = (0x0800, 0x86DD, 0x8100, 0x88A8, 0x88B5)
SO_RCVBUFFORCE = 33

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
receivers = []
for protocol in PROTOCOLS:
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(protocol))
    one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    one.bind((sys.argv[1], protocol))
    receivers.append(one)
*packets, marks = receivers
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
sender.bind((sys.argv[1], 0))

poll = select.poll()
for one in (sys.stdin, *receivers):
    poll.register(one, select.POLLIN)
print("ready", flush=True)
text = b""
while True:
    ready = dict(poll.poll())
    for one in packets:
        try:
            while True:
                print(one.recv(65535).hex())
        except BlockingIOError:
            pass
    if marks.fileno() in ready:
        print(marks.recv(65535).hex())
    sys.stdout.flush()
    if 0 in ready:
        some = os.read(0, 1 << 16)
        if not some:
            break
        *lines, text = (text + some).split(b"\n")
        for line in lines:
            try:
                sender.send(bytes.fromhex(line.decode()))
            except OSError as error:
                # a frame that is dropped where it would leave
                if error.errno != errno.ENOBUFS:
                    raise
