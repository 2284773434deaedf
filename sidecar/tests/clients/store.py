#!/usr/bin/env python3
"""A service that keeps what is PUT, in a folder, and gives it back.

    store.py FOLDER

listens on a port of the system's choice. A PUT is answered with the SHA-256 of its body; a body of
known length and a chunked one are taken alike. It ends when its standard input does.
"""

import hashlib
import http.server
import os
import shutil
import sys
import threading

PIECE = 1 << 18


class Store(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        digest = hashlib.sha256()
        with open(os.path.join(self.directory, os.path.basename(self.path)), "wb") as kept:
            for piece in self.pieces():
                digest.update(piece)
                kept.write(piece)
        body = digest.hexdigest().encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def pieces(self):
        """The request's body, piece by piece."""
        if self.headers.get("transfer-encoding") == "chunked":
            while length := int(self.rfile.readline(), 16):
                yield self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers["content-length"])
        while left:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:
                raise ConnectionError("the body broke off")
            left -= len(piece)
            yield piece

    def copyfile(self, source, outputfile):
        shutil.copyfileobj(source, outputfile, PIECE)

    def log_message(self, *_):
        pass


def main():
    folder = sys.argv[1]
    handler = lambda *args: Store(*args, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
