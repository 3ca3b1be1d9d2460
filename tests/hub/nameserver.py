"""A nameserver for a test, on loopback, over UDP: what stands for a name can be changed."""
import ipaddress
import socket
import struct
import threading

A, AAAA, SRV = 1, 28, 33


def pack_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def pack_record(kind, value):
    """An address, or (priority, weight, port, target)."""
    if kind == SRV:
        return struct.pack("!HHH", *value[:3]) + pack_name(value[3])
    return ipaddress.ip_address(value).packed


class Nameserver:
    """`names` is {(name, kind): [value, ...]}; who is silent answers nothing, `asked` counts."""

    def __init__(self, ttl=1):
        self.names, self.ttl, self.is_silent, self.asked = {}, ttl, False, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                message, client = self.socket.recvfrom(4096)
            except OSError:
                return
            self.asked += 1
            if not self.is_silent:
                self.socket.sendto(self.answer(message), client)

    def answer(self, message):
        parts, at = [], 12
        while message[at]:
            parts.append(message[at + 1:at + 1 + message[at]].decode())
            at += 1 + message[at]
        question = message[12:at + 5]
        kind, = struct.unpack("!H", message[at + 1:at + 3])
        name = ".".join(parts).lower()
        values = self.names.get((name, kind), [])
        is_known = any(known == name for known, _ in self.names)
        rows = [b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self.ttl, len(data)) + data
                for data in (pack_record(kind, value) for value in values)]
        flags = 0x8180 if is_known else 0x8183
        head = message[:2] + struct.pack("!HHHHH", flags, 1, len(rows), 0, 0)
        return head + question + b"".join(rows)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
