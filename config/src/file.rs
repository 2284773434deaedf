//! A whole file: text -> [`Config`], and back.

use std::{num::NonZeroUsize, thread};

use crate::{
    Config, Diagnostics, Listener, Upstream,
    admin::yaml::{AdminYaml, ShutdownYaml},
    decode::{At, Decode as _, List, Named, Reader, Section, optional, section},
    diagnostics::Report,
    listener::yaml::ListenerYaml,
    reload::yaml::ReloadYaml,
    scalar::{Cidr, Count, Version},
    scope::Scope,
    source::Source,
    tree::{self, Tree},
    upstream::yaml::UpstreamYaml,
};

section! {
    /// The configuration of a Weir sidecar.
    struct FileYaml {
        /// The version of this format.
        version: At<Version>,
        /// The operator's own listener.
        admin: Section<AdminYaml>,
        /// Worker threads of the data plane; the number of processors by default.
        threads: Option<At<Count<1, 1024>>>,
        /// Peers, as addresses or ranges, whose forwarding, priority, deadline and fault headers are believed.
        trusted: At<List<Cidr, 0>> = List(Vec::new()),
        /// How the process ends after a SIGTERM.
        shutdown: Section<ShutdownYaml>,
        /// When a running process reads its configuration anew without being asked.
        reload: Section<ReloadYaml>,
        /// Where requests come in.
        listeners: At<List<ListenerYaml, 1>>,
        /// Where requests go, each under its name.
        upstreams: At<Named<UpstreamYaml>>,
    }
}

/// Reads a configuration from `text`; `name` is what messages call it.
///
/// Pure: variables come from `env`, and nothing is opened. Only the default of `threads` looks at
/// the machine.
///
/// # Errors
/// Every problem of the text, with its place and its fix. No value that came from `env` is in them.
pub fn load(
    text: &str,
    name: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Diagnostics> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut report = Report::new(Source::new(name, text));
    match tree::parse(text, &mut report) {
        Some(tree) => {
            let mut reader = Reader::new(&tree, env, report);
            let config =
                FileYaml::decode(Tree::ROOT, &mut reader).and_then(|file| file.value(&mut reader));
            reader.finish(config)
        }
        None => report.finish(None),
    }
}

impl FileYaml {
    fn value(self, reader: &mut Reader<'_>) -> Option<Config> {
        let mut scope = Scope::default();
        let admin = self.admin.0.take().and_then(|yaml| yaml.value(&mut scope, reader));
        let shutdown = self.shutdown.0.take().and_then(|yaml| yaml.value(reader));
        let reload = self.reload.0.take().and_then(|yaml| yaml.value(reader));
        let named = self.upstreams.take();
        scope.upstreams =
            named.as_ref().map(|named| named.0.iter().map(|(name, _)| name.clone()).collect());
        let upstreams = named.and_then(|named| upstreams(named, &mut scope, reader));
        let listeners = self.listeners.take().and_then(|list| listeners(list, &mut scope, reader));
        let threads = match optional(self.threads)? {
            Some(threads) => threads.nonzero_usize()?,
            None => thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        let trusted = self.trusted.take()?.0.into_iter().map(|cidr| cidr.take().map(|cidr| cidr.0));
        Some(Config {
            admin: admin?,
            threads,
            trusted: trusted.collect::<Option<_>>()?,
            shutdown: shutdown?,
            reload: reload?,
            listeners: listeners?,
            upstreams: upstreams?,
        })
    }

    pub(crate) fn of(config: &Config) -> Self {
        let upstream =
            |upstream: &Upstream| (upstream.name.clone(), At::of(UpstreamYaml::of(upstream)));
        Self {
            version: At::of(Version::CURRENT),
            admin: Section(At::of(AdminYaml::of(&config.admin))),
            threads: Some(At::of(Count(u32::try_from(config.threads.get()).unwrap_or(u32::MAX)))),
            trusted: At::of(List(config.trusted.iter().map(|net| At::of(Cidr(*net))).collect())),
            shutdown: Section(At::of(ShutdownYaml::of(&config.shutdown))),
            reload: Section(At::of(ReloadYaml::of(&config.reload))),
            listeners: At::of(List(
                config
                    .listeners
                    .iter()
                    .map(|listener| At::of(ListenerYaml::of(listener)))
                    .collect(),
            )),
            upstreams: At::of(Named(config.upstreams.iter().map(upstream).collect())),
        }
    }
}

fn listeners(
    list: List<ListenerYaml, 1>,
    scope: &mut Scope,
    reader: &mut Reader<'_>,
) -> Option<Vec<Listener>> {
    let mut value = |(index, listener): (usize, At<ListenerYaml>)| {
        let node = listener.node();
        listener.take()?.value(node, index + 1, scope, reader)
    };
    let values: Vec<_> = list.0.into_iter().enumerate().map(&mut value).collect();
    values.into_iter().collect()
}

fn upstreams(
    named: Named<UpstreamYaml>,
    scope: &mut Scope,
    reader: &mut Reader<'_>,
) -> Option<Vec<Upstream>> {
    let value =
        |(name, upstream): (String, At<UpstreamYaml>)| upstream.take()?.value(name, scope, reader);
    let values: Vec<_> = named.0.into_iter().map(value).collect();
    let mut upstreams = values.into_iter().collect::<Option<Vec<_>>>()?;
    upstreams.sort_by(|a, b| a.name.cmp(&b.name));
    Some(upstreams)
}
