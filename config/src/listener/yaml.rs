//! `listeners:` as they are written.

use crate::{
    Address, Listener, Route,
    decode::{At, List, Reader, Section, example, has_unknown_key, section},
    limits::yaml::ListenerLimitsYaml,
    route::yaml::RouteYaml,
    scalar::Name,
    scope::Scope,
    timeout::yaml::ListenerTimeoutYaml,
    tree::NodeId,
};

section! {
    /// A listening socket and the routes behind it; either `routes` or, for one route that takes everything, `upstream`.
    struct ListenerYaml {
        /// Its name, unique in the file; `listener-1` and so on by default.
        name: Option<At<Name>>,
        /// Where it listens: an IP address and a port, or `unix:/path`.
        address: At<Address>,
        /// Limits that hold before a route is known.
        limits: Section<ListenerLimitsYaml>,
        /// Times that hold before a route is known.
        timeout: Section<ListenerTimeoutYaml>,
        /// The upstream that takes every request, where there are no `routes`.
        upstream: Option<At<Name>>,
        /// The first that matches, in file order, takes the request.
        routes: Option<At<List<RouteYaml, 1>>>,
    }
}

impl ListenerYaml {
    pub(crate) fn value(
        self,
        node: NodeId,
        number: usize,
        scope: &mut Scope,
        reader: &mut Reader<'_>,
    ) -> Option<Listener> {
        let named_at = self.name.as_ref().map_or(node, At::node);
        let derived = format!("listener-{number}");
        let name = Name::or(self.name, &derived);
        if let Some(name) = &name {
            let help = "give each listener a `name` of its own";
            scope.listeners.claim(name.clone(), named_at, "the listener's name", help, reader);
        }
        // Port 0 is another port each time.
        let fixed = |address: &&Address| !matches!(address, Address::Tcp(tcp) if tcp.port() == 0);
        if let Some(address) = self.address.get().filter(fixed) {
            let help = "give each listener an address of its own";
            scope.addresses.claim(
                address.clone(),
                self.address.node(),
                "the address",
                help,
                reader,
            );
        }
        let limits = self.limits.0.take().and_then(ListenerLimitsYaml::value);
        let timeout = self.timeout.0.take().and_then(ListenerTimeoutYaml::value);
        let routes = match (self.routes, self.upstream) {
            (Some(routes), None) => routes.take().map(|routes| routes.0),
            (None, Some(upstream)) => {
                Some(vec![At::placed(RouteYaml::everything(upstream, node, reader), node)])
            }
            (None, None) if has_unknown_key::<Self>(node, reader) => None,
            (routes, _) => {
                let help = format!(
                    "write `upstream: {}` for one route that takes everything, or `routes:` for a list",
                    example("upstream", reader)
                );
                let what = if routes.is_some() {
                    "this listener has both `upstream` and `routes`"
                } else {
                    "this listener leads nowhere"
                };
                reader.problem(node, what, help);
                None
            }
        };
        let routes = all(routes?, name.as_ref().unwrap_or(&derived), scope, reader);
        Some(Listener {
            name: name?,
            address: self.address.take()?,
            limits: limits?,
            timeout: timeout?,
            routes: routes?,
        })
    }

    pub(crate) fn of(listener: &Listener) -> Self {
        Self {
            name: Some(At::of(Name(listener.name.clone()))),
            address: At::of(listener.address.clone()),
            limits: Section(At::of(ListenerLimitsYaml::of(&listener.limits))),
            timeout: Section(At::of(ListenerTimeoutYaml::of(&listener.timeout))),
            upstream: None,
            routes: Some(At::of(List(
                listener.routes.iter().map(|route| At::of(RouteYaml::of(route))).collect(),
            ))),
        }
    }
}

/// Every route, or none when one is wrong; each is read either way.
fn all(
    routes: Vec<At<RouteYaml>>,
    listener: &str,
    scope: &mut Scope,
    reader: &mut Reader<'_>,
) -> Option<Vec<Route>> {
    let mut value = |route: At<RouteYaml>| {
        let node = route.node();
        route.take()?.value(node, listener, scope, reader)
    };
    let values: Vec<_> = routes.into_iter().map(&mut value).collect();
    values.into_iter().collect()
}
