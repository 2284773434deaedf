#!/usr/bin/env python3
"""A gRPC server that knows of its health: as a whole and `weir.Well` it serves, `weir.Ill` it does not.

It listens on a port of the system's choice, and ends when its standard input does.
"""

import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    servicer = health.HealthServicer()
    status = health_pb2.HealthCheckResponse
    servicer.set("", status.SERVING)
    servicer.set("weir.Well", status.SERVING)
    servicer.set("weir.Ill", status.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()
