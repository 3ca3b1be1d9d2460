"""HTTPS: real handshakes, with certificates made here.

    check_tls.py TOKENWORKS DATA

The demo model is in DATA.
"""
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Answer, Server, becomes, run_cases  # noqa: E402


def make(folder, name, serial, kind="ec"):
    """A certificate for localhost that certifies itself, and its key."""
    cert, key = Path(folder, f"{name}.pem"), Path(folder, f"{name}.key")
    algorithm = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
                 "rsa": ["-newkey", "rsa:2048"]}[kind]
    subprocess.run(["openssl", "req", "-x509", *algorithm, "-noenc", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-set_serial", str(serial), "-out", cert, "-keyout", key],
                   check=True, capture_output=True)
    return cert, key


class TlsServer(Server):
    """Asked over TLS; its certificate is trusted because it certifies itself."""

    def __init__(self, program, cert, key, *words):
        self.trusted = ssl.create_default_context(cafile=str(cert))
        super().__init__(program, "--tls-cert", cert, "--tls-key", key, *words)

    def ask(self, method, path, body=None, headers=None, raw=False):
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=120,
                                                 context=self.trusted)
        data = body if raw or body is None else json.dumps(body)
        connection.request(method, path, data, headers or {})
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def connect(self, context=None):
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        return (context or self.trusted).wrap_socket(plain, server_hostname="localhost")

    def serial(self):
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        with self.connect(trusting) as link:
            der = link.getpeercert(binary_form=True)
        shown = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-serial"],
                               input=der, check=True, capture_output=True)
        return int(shown.stdout.decode().strip().split("=")[1], 16)

    def hang_up(self, line):
        """SIGHUP, until the log has the line once more."""
        n = self.log_text().count(line)
        self.process.send_signal(signal.SIGHUP)
        assert becomes(lambda: self.log_text().count(line) > n), self.log_text()


def answers_and_streams_are_the_same_over_tls(program, model):
    with tempfile.TemporaryDirectory() as folder, \
            Server(program, "--model", model) as plain:
        for kind in ("ec", "rsa"):
            with TlsServer(program, *make(folder, kind, 7, kind), "--model", model) as server:
                assert "https://127.0.0.1" in server.log_text()
                whole = server.chat("What is tokenworks?")
                text = whole.json["choices"][0]["message"]["content"]
                assert text == plain.chat("What is tokenworks?").json["choices"][0]["message"][
                    "content"]
                events = server.chat("What is tokenworks?", stream=True).events
                assert "".join(event["choices"][0]["delta"].get("content", "")
                               for event in events) == text
                assert server.get("/health").status == 200
                # an answer that is larger than a TLS record or what a socket takes at once
                prompt = "word " * 1500
                body = server.post("/tokenize", {"prompt": prompt}).json
                assert body["tokens"] == plain.post("/tokenize", {"prompt": prompt}).json["tokens"]


def a_stream_comes_as_it_is_made(program, model):
    with tempfile.TemporaryDirectory() as folder, \
            TlsServer(program, *make(folder, "one", 7), "--model", model,
                      "--no-speculation") as server:
        with server.connect() as link:
            body = json.dumps({"prompt": "hello", "max_tokens": 2000, "ignore_eos": True,
                               "stream": True}).encode()
            link.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                         b"%d\r\n\r\n%b" % (len(body), body))
            times, data = [], b""
            while b"[DONE]" not in data:
                part = link.recv(1 << 16)
                assert part
                data += part
                times.append(time.monotonic())
            assert len(times) > 20 and times[-1] - times[0] > 0.02, times


def bench_trusts_the_certificate_that_it_is_told_to(program, model):
    with tempfile.TemporaryDirectory() as folder:
        cert, key = make(folder, "one", 7)
        with TlsServer(program, cert, key, "--model", model) as server:
            words = [program, "bench", "server", f"https://127.0.0.1:{server.port}", "--requests",
                     "2", "--gen", "2", "--prompt", "5"]
            refused = subprocess.run(words, capture_output=True, text=True, timeout=60)
            assert refused.returncode == 4 and "no answer: " in refused.stderr, refused
            subprocess.run([*words, "--cacert", cert], check=True, capture_output=True, timeout=60)


def a_client_that_leaves_is_noticed(program, model):
    with tempfile.TemporaryDirectory() as folder, \
            TlsServer(program, *make(folder, "one", 7), "--model", model) as server:
        body = json.dumps({"prompt": "hello", "max_tokens": 2000, "ignore_eos": True,
                           "stream": True}).encode()
        link = server.connect()
        link.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                     b"%d\r\n\r\n%b" % (len(body), body))
        link.recv(100)
        link.close()
        assert becomes(lambda: server.metric("num_requests_running") == 0, 2)
        assert server.metric("http_clients_gone_total") == 1


def nothing_older_than_tls_1_2_is_spoken(program, model):
    with tempfile.TemporaryDirectory() as folder, \
            TlsServer(program, *make(folder, "one", 7), "--model", model) as server:
        versions = ssl.TLSVersion
        for version, is_spoken in ((versions.TLSv1, False), (versions.TLSv1_1, False),
                                   (versions.TLSv1_2, True), (versions.TLSv1_3, True)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            try:
                with server.connect(context) as link:
                    assert is_spoken and link.version() == {
                        versions.TLSv1_2: "TLSv1.2", versions.TLSv1_3: "TLSv1.3"}[version]
            except (ssl.SSLError, ConnectionError):
                assert not is_spoken, version
        # and what is no TLS at all is not answered
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as link:
            link.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                assert b"200" not in link.recv(1000)
            except ConnectionError:
                pass
        assert server.get("/health").status == 200


def sighup_changes_the_certificate_of_new_connections(program, model):
    with tempfile.TemporaryDirectory() as folder:
        cert, key = make(folder, "one", 1001)
        with TlsServer(program, cert, key, "--model", model) as server:
            assert server.serial() == 1001
            with server.connect() as link:
                body = json.dumps({"prompt": "hello", "max_tokens": 1500, "ignore_eos": True,
                                   "stream": True}).encode()
                link.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                             b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
                data = link.recv(1000)
                for name, serial, kind in (("two", 1002, "rsa"), ("three", 1003, "ec")):
                    other_cert, other_key = make(folder, name, serial, kind)
                    cert.write_bytes(other_cert.read_bytes())
                    key.write_bytes(other_key.read_bytes())
                    server.hang_up("the certificate was read again")
                    assert server.serial() == serial
                while b"[DONE]" not in data[-2000:]:
                    part = link.recv(1 << 16)
                    assert part, "the connection that stood was cut"
                    data += part
            # a pair that is none, half a file, and no file: all stays
            for wrong in (make(folder, "four", 1004)[0].read_bytes(), cert.read_bytes()[:200],
                          b"", None):
                if wrong is None:
                    cert.unlink()
                else:
                    cert.write_bytes(wrong)
                server.hang_up("the certificate stays as it was")
                assert server.serial() == 1003


def what_is_no_certificate_is_refused_in_a_sentence(program, model):
    with tempfile.TemporaryDirectory() as folder:
        cert, key = make(folder, "one", 1)
        other_cert, _ = make(folder, "two", 2)
        locked = Path(folder, "locked.key")
        subprocess.run(["openssl", "pkcs8", "-topk8", "-in", key, "-out", locked, "-passout",
                        "pass:word"], check=True, capture_output=True)
        der = Path(folder, "cert.der")
        subprocess.run(["openssl", "x509", "-in", cert, "-outform", "DER", "-out", der],
                       check=True, capture_output=True)
        empty = Path(folder, "empty")
        empty.touch()
        for words, code, text in (
                (["--tls-cert", cert], 2, "belong together"),
                (["--tls-key", key], 2, "belong together"),
                (["--tls-cert", other_cert, "--tls-key", key], 2, "not that of the certificate"),
                (["--tls-cert", cert, "--tls-key", locked], 5, "without a password"),
                (["--tls-cert", der, "--tls-key", key], 5, "PEM"),
                (["--tls-cert", empty, "--tls-key", key], 5, "PEM"),
                (["--tls-cert", key, "--tls-key", cert], 5, "PEM"),
                (["--tls-cert", cert, "--tls-key", "none"], 3, "none")):
            for more in ([], ["--check"]):
                run = subprocess.run([program, "serve", "--port", "0", "--model", model,
                                      *map(str, [*words, *more])], capture_output=True, text=True,
                                     timeout=60)
                assert run.returncode == code and text in run.stderr, f"{words}: {run}"
        run = subprocess.run([program, "serve", "--check", "--model", model, "--tls-cert", cert,
                              "--tls-key", key], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0 and "ok: certificate" in run.stdout, run


CASES = (answers_and_streams_are_the_same_over_tls, a_stream_comes_as_it_is_made,
         a_client_that_leaves_is_noticed,
         bench_trusts_the_certificate_that_it_is_told_to, nothing_older_than_tls_1_2_is_spoken,
         sighup_changes_the_certificate_of_new_connections,
         what_is_no_certificate_is_refused_in_a_sentence)


def main():
    program, data = sys.argv[1:3]
    warnings.simplefilter("ignore", DeprecationWarning)  # old versions are asked for on purpose
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, program, str(Path(data, "tokenworks-demo.gguf"))))


if __name__ == "__main__":
    main()
