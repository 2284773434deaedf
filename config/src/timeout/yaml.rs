//! `timeout:` as it is written, on a route and on a listener.

use std::time::Duration;

use crate::{
    ListenerTimeout, Timeout,
    decode::{At, Reader, section},
    scalar::{Period, Time},
};

section! {
    /// How long each part of a request may take.
    struct TimeoutYaml {
        /// To connect to an endpoint, TLS included; lowered to `total` where it is not written.
        connect: At<Period> = Period::seconds(1),
        /// Between two pieces of the client's body.
        request_body: At<Period> = Period::seconds(30),
        /// From the request's end to the response header; lowered to `total` where it is not written.
        first_byte: At<Period> = Period::seconds(15),
        /// Between two pieces of the response, and of a stream in either direction.
        idle: At<Period> = Period::seconds(30),
        /// From the request's first byte to the response's last; on a stream, to the response header. Raised to `connect` and `first_byte` where it is not written.
        total: At<Period> = Period::seconds(30),
    }
}

section! {
    /// The times of a client's connection.
    struct ListenerTimeoutYaml {
        /// From a request's first byte (on a new connection, from accept) to the end of its header.
        request_header: At<Period> = Period::seconds(10),
        /// How long a connection may idle between two requests.
        keepalive: At<Period> = Period::seconds(60),
        /// How long a client may take no byte of a response. Noticed in steps of 64 KiB: a client that takes less than that in this time may be cut.
        write: At<Period> = Period::seconds(30),
    }
}

impl TimeoutYaml {
    pub(crate) fn value(self, reader: &mut Reader<'_>) -> Option<Timeout> {
        for part in [&self.connect, &self.first_byte] {
            let longer = match (part.get(), self.total.get()) {
                (Some(part), Some(total)) => part.0 > total.0,
                _ => false,
            };
            if longer && part.written() && self.total.written() {
                let what = format!(
                    "{} is longer than `total`, {}",
                    reader.shown(part.node()),
                    reader.shown(self.total.node())
                );
                reader.problem(part.node(), what, "raise `total`, or make this shorter");
            }
        }
        let total_written = self.total.written();
        let (connect_written, first_byte_written) =
            (self.connect.written(), self.first_byte.written());
        let (connect, first_byte) = (self.connect.take()?.0, self.first_byte.take()?.0);
        let asked = |written: bool, part: Duration| if written { part } else { Duration::ZERO };
        let total = match (self.total.take()?.0, total_written) {
            (total, true) => total,
            (total, false) => total
                .max(asked(connect_written, connect))
                .max(asked(first_byte_written, first_byte)),
        };
        Some(Timeout {
            connect: connect.min(total),
            request_body: self.request_body.take()?.0,
            first_byte: first_byte.min(total),
            idle: self.idle.take()?.0,
            total,
        })
    }

    pub(crate) fn of(timeout: &Timeout) -> Self {
        Self {
            connect: At::of(Time(timeout.connect)),
            request_body: At::of(Time(timeout.request_body)),
            first_byte: At::of(Time(timeout.first_byte)),
            idle: At::of(Time(timeout.idle)),
            total: At::of(Time(timeout.total)),
        }
    }
}

impl ListenerTimeoutYaml {
    pub(crate) fn value(self) -> Option<ListenerTimeout> {
        Some(ListenerTimeout {
            request_header: self.request_header.take()?.0,
            keepalive: self.keepalive.take()?.0,
            write: self.write.take()?.0,
        })
    }

    pub(crate) fn of(timeout: &ListenerTimeout) -> Self {
        Self {
            request_header: At::of(Time(timeout.request_header)),
            keepalive: At::of(Time(timeout.keepalive)),
            write: At::of(Time(timeout.write)),
        }
    }
}
