//! `admin:` and `shutdown:` as they are written.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{
    Address, Admin, Shutdown,
    decode::{At, Reader, optional, section},
    scalar::{Bind, Delay, Period, Time, Token},
    scope::Scope,
};

/// Where Envoy's users look for the admin endpoints too.
const ADDRESS: Bind = Bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901));

section! {
    /// The operator's own listener.
    struct AdminYaml {
        /// Where the admin endpoints are served. Beyond loopback it needs a `token`.
        address: At<Bind> = ADDRESS,
        /// A second address that serves `/live`, `/ready` and `/metrics` alone, without a token.
        health_address: Option<At<Bind>>,
        /// What callers send as `Authorization: Bearer`; written as a variable, never in the file itself.
        token: Option<At<Token>>,
    }
}

section! {
    /// How the process ends after a SIGTERM.
    struct ShutdownYaml {
        /// How long listeners still accept after readiness has failed; zero closes them at once.
        drain_delay: At<Delay> = Delay::seconds(5),
        /// When what still runs is cut, counted from the signal.
        deadline: At<Period> = Period::seconds(25),
    }
}

impl AdminYaml {
    pub(crate) fn value(self, scope: &mut Scope, reader: &mut Reader<'_>) -> Option<Admin> {
        for bind in [Some(&self.address), self.health_address.as_ref()].into_iter().flatten() {
            if let Some(Bind(address)) = bind.get().filter(|bind| bind.0.port() > 0) {
                let help = "give each listener a port of its own";
                scope.addresses.claim(
                    Address::Tcp(*address),
                    bind.node(),
                    "the address",
                    help,
                    reader,
                );
            }
        }
        let beyond =
            self.address.get().is_some_and(|bind| !bind.0.ip().to_canonical().is_loopback());
        if beyond && self.token.is_none() {
            let shown = reader.shown(self.address.node());
            let help = "add `token: ${WEIR_ADMIN_TOKEN}` beside it, in quotes inside `{ }`; or listen on 127.0.0.1";
            reader.problem(
                self.address.node(),
                format!("{shown} is open to other machines, and there is no `token`"),
                help,
            );
        }
        let health_address = optional(self.health_address)?.map(|bind| bind.0);
        let token = optional(self.token)?.map(|token| token.0);
        Some(Admin { address: self.address.take()?.0, health_address, token })
    }

    pub(crate) fn of(admin: &Admin) -> Self {
        Self {
            address: At::of(Bind(admin.address)),
            health_address: admin.health_address.map(|address| At::of(Bind(address))),
            token: admin.token.clone().map(|secret| At::of(Token(secret))),
        }
    }
}

impl ShutdownYaml {
    pub(crate) fn value(self, reader: &mut Reader<'_>) -> Option<Shutdown> {
        let node =
            if self.deadline.written() { self.deadline.node() } else { self.drain_delay.node() };
        let shutdown =
            Shutdown { drain_delay: self.drain_delay.take()?.0, deadline: self.deadline.take()?.0 };
        if shutdown.drain_delay >= shutdown.deadline {
            reader.problem(
                node,
                "`deadline` passes before `drain_delay` is over",
                "make `deadline` longer than `drain_delay`",
            );
        }
        Some(shutdown)
    }

    pub(crate) fn of(shutdown: &Shutdown) -> Self {
        Self {
            drain_delay: At::of(Time(shutdown.drain_delay)),
            deadline: At::of(Time(shutdown.deadline)),
        }
    }
}
