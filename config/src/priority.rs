//! `priority:` who goes first where not everybody can.

pub(crate) mod yaml;

use ipnet::IpNet;

/// A class of requests. Under overload the low ones are refused first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Goes last: batch jobs, prefetching, what can be done tomorrow.
    Low,
    /// What nobody said anything of.
    #[default]
    Normal,
    /// Goes first: what a person waits for.
    High,
}

impl Priority {
    /// Every class, the lowest first; a class is its place here.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// As it is written, and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// The class of that name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.word() == word)
    }
}

/// How the requests of a route get their class: by the header, else by the client, else the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Priorities {
    /// Of requests that nothing else says anything of.
    pub default: Priority,
    /// A request header that names the class, in lower case; believed from trusted peers alone.
    pub header: Option<String>,
    /// Clients by address, the highest class first.
    pub clients: Vec<(Priority, Vec<IpNet>)>,
}
