//! `priority:` as it is written: a class, or how each request gets its own.

use ipnet::IpNet;

use crate::{
    Priorities, Priority,
    decode::{At, List, WordOr, optional, section},
    scalar::{Cidr, HeaderName, word},
};

/// `priority:` in a file.
pub(crate) type PriorityForm = WordOr<Priority, PriorityYaml>;

word! {
    Priority is "a priority" {
        "low" ["sheddable", "batch", "background", "bulk"] => Low,
        "normal" ["default", "medium", "middle"] => Normal,
        "high" ["critical", "important", "interactive", "urgent"] => High,
    }
}

section! {
    /// Which class a request is in; under overload the low ones are refused first. The header says it, or else the client's address, or else the default.
    struct PriorityYaml {
        /// The class of requests that nothing else says anything of.
        default: At<Priority> = Priority::Normal,
        /// A request header whose value is `low`, `normal` or `high`; believed from `trusted` peers alone.
        header: Option<At<HeaderName>>,
        /// Networks of clients by their class.
        clients: Option<At<ClientsYaml>>,
    }
}

section! {
    /// Networks of clients by their class; where several hold a client, the highest class counts.
    struct ClientsYaml {
        /// Clients whose requests go first.
        high: Option<At<List<Cidr, 1>>>,
        /// Clients whose requests are as those of anybody.
        normal: Option<At<List<Cidr, 1>>>,
        /// Clients whose requests go last.
        low: Option<At<List<Cidr, 1>>>,
    }
}

/// What is written; `None` when something is wrong with it.
pub(crate) fn value(written: Option<At<PriorityForm>>) -> Option<Priorities> {
    let yaml = match written {
        None => return Some(Priorities::default()),
        Some(form) => match form.take()? {
            WordOr::Word(default) => return Some(Priorities { default, ..Priorities::default() }),
            WordOr::Mapping(yaml) => yaml,
        },
    };
    let clients = optional(yaml.clients);
    Some(Priorities {
        default: yaml.default.take()?,
        header: optional(yaml.header)?.map(|name| name.0),
        clients: clients?.map_or(Some(Vec::new()), ClientsYaml::value)?,
    })
}

pub(crate) fn of(priorities: &Priorities) -> PriorityForm {
    if (&priorities.header, priorities.clients.as_slice()) == (&None, &[]) {
        return WordOr::Word(priorities.default);
    }
    let nets = |class| {
        let (_, nets) = priorities.clients.iter().find(|(priority, _)| *priority == class)?;
        Some(At::of(List(nets.iter().map(|net| At::of(Cidr(*net))).collect())))
    };
    let clients = ClientsYaml {
        high: nets(Priority::High),
        normal: nets(Priority::Normal),
        low: nets(Priority::Low),
    };
    WordOr::Mapping(PriorityYaml {
        default: At::of(priorities.default),
        header: priorities.header.clone().map(|name| At::of(HeaderName(name))),
        clients: (!priorities.clients.is_empty()).then(|| At::of(clients)),
    })
}

impl ClientsYaml {
    fn value(self) -> Option<Vec<(Priority, Vec<IpNet>)>> {
        let classes = [
            (Priority::High, self.high),
            (Priority::Normal, self.normal),
            (Priority::Low, self.low),
        ];
        let mut clients = Vec::new();
        for (class, nets) in classes {
            let Some(nets) = optional(nets)? else { continue };
            let nets: Option<Vec<_>> = nets.0.into_iter().map(|net| Some(net.take()?.0)).collect();
            clients.push((class, nets?));
        }
        Some(clients)
    }
}
