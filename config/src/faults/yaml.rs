//! `faults:` as they are written.

use std::time::Duration;

use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use crate::{
    Abort, AbortFault, ByteSize, DelayFault, DripFault, FaultHeader, Faults, GrpcStatus, Ratio,
    decode::{At, Decode, Keys, Reader, has_unknown_key, optional, section},
    scalar::{Count, Flag, HeaderName, Leaf, Percent, Period, Size, Text, Time, Wrong},
    tree::{Kind, NodeId},
};

/// How many requests: a ratio of which zero is no fault at all.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Share(Percent);

/// The name of the header: one that nothing else has a meaning for.
#[derive(Clone, Serialize)]
pub(crate) struct OwnHeader(HeaderName);

/// From a byte a second, to what nobody would call a drip.
type DripRate = Size<1, { 1 << 30 }>;

/// A section that says nothing when none of its keys is written, which is a mistake.
pub(crate) struct Any<T>(pub(crate) T);

/// A section of which at least one key must be written.
pub(crate) trait SaysSomething: Keys + Serialize {
    fn says_nothing(&self) -> bool;

    const NOTHING: &'static str;
    const HELP: &'static str;
}

impl<T: SaysSomething> Decode for Any<T> {
    const KEYS: &'static [&'static str] = T::KEYS;

    fn decode(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(reader.node(node).kind, Kind::Mapping(_)) {
            reader.unexpected(node, "a mapping of keys", Some(T::HELP.to_owned()));
            return None;
        }
        let section = T::decode(node, reader)?;
        if section.says_nothing() && !has_unknown_key::<T>(node, reader) {
            reader.problem(node, T::NOTHING, T::HELP);
        }
        Some(Self(section))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }
}

impl<T: Serialize> Serialize for Any<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

section! {
    /// What is made to go wrong, to see what comes of it; nothing that is not written. It tells breakers and limits nothing.
    struct FaultsYaml {
        /// Requests that wait before the upstream is asked.
        delay: Option<At<DelayYaml>>,
        /// Requests that are answered, or cut off, instead of the upstream's answer.
        abort: Option<At<AbortYaml>>,
        /// Requests whose answer has a body that comes slowly.
        drip: Option<At<DripYaml>>,
        /// What `trusted` callers may ask for in a header, of the request that has it.
        header: Option<At<Any<FaultHeaderYaml>>>,
    }
}

section! {
    /// A wait before the upstream is asked, with the permit held.
    struct DelayYaml {
        /// How long; shorter than `timeout.total`.
        r#for: At<Period>,
        /// How many of the requests.
        ratio: At<Share> = Share::ALL,
    }
}

section! {
    /// An end instead of the upstream's answer.
    struct AbortYaml {
        /// The status of the answer.
        status: At<Count<400, 599>> = Count(Abort::STATUS as u32),
        /// The status that gRPC callers get in its place.
        grpc_status: At<GrpcStatus> = Abort::GRPC_STATUS,
        /// No answer: the connection is reset, on HTTP/2 the stream.
        reset: At<Flag> = Flag(false),
        /// How many of the requests.
        ratio: At<Share> = Share::ALL,
    }
}

section! {
    /// A body that comes slowly.
    struct DripYaml {
        /// Bytes a second.
        rate: At<DripRate>,
        /// How many of the requests.
        ratio: At<Share> = Share::ALL,
    }
}

section! {
    /// What a trusted caller may ask for, as in `x-weir-fault: delay=200ms, drip=64B`, `abort=503`, `abort=UNAVAILABLE`, `abort=reset` or `none`; what is not written it may not. A request with the header has what it asks for, and of the faults above none.
    struct FaultHeaderYaml {
        /// Its name, which starts with `x-`.
        name: At<OwnHeader> = OwnHeader(HeaderName("x-weir-fault".to_owned())),
        /// The longest delay that may be asked for.
        delay_max: Option<At<Period>>,
        /// Whether an abort may be asked for.
        abort: At<Flag> = Flag(false),
        /// The slowest drip that may be asked for, in bytes a second.
        drip_min: Option<At<DripRate>>,
    }
}

impl SaysSomething for FaultsYaml {
    fn says_nothing(&self) -> bool {
        self.delay.is_none() && self.abort.is_none() && self.drip.is_none() && self.header.is_none()
    }

    const NOTHING: &'static str = "no fault is written here";
    const HELP: &'static str =
        "add `delay: { for: 200ms }`, `abort: {}` or `drip: { rate: 64B }`, or leave `faults` out";
}

impl SaysSomething for FaultHeaderYaml {
    fn says_nothing(&self) -> bool {
        let abort = self.abort.get().is_none_or(|abort| abort.0);
        !abort && self.delay_max.is_none() && self.drip_min.is_none()
    }

    const NOTHING: &'static str = "no fault may be asked for in this header";
    const HELP: &'static str =
        "add `delay_max: 5s`, `abort: true` or `drip_min: 64B`, or leave `header` out";
}

impl Share {
    const ALL: Self = Self(Percent(Ratio::ALL));
}

impl Leaf for Share {
    const EXPECTED: &'static str = Percent::<false>::EXPECTED;

    fn parse(text: &Text) -> Result<Self, Wrong> {
        match Percent::<false>::parse(text) {
            Err(_) if text.text.trim() == "0%" => Err(Wrong::new(
                "would inject nothing",
                "write a ratio above 0%, or leave the fault out",
            )),
            parsed => parsed.map(Self),
        }
    }

    fn describe() -> Schema {
        Percent::<false>::describe()
    }
}

/// What proxies say of each other, and callers of their time.
const TAKEN: [&str; 8] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "x-request-deadline",
    "x-envoy-expected-rq-timeout-ms",
];

impl Leaf for OwnHeader {
    const EXPECTED: &'static str = HeaderName::EXPECTED;

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let name = HeaderName::parse(text)?;
        match name.0.starts_with("x-") && !TAKEN.contains(&name.0.as_str()) {
            true => Ok(Self(name)),
            false => Err(Wrong::new(
                "may have a meaning of its own to others",
                "write a name that starts with `x-`, such as `x-weir-fault`",
            )),
        }
    }

    fn describe() -> Schema {
        schemars::json_schema!({ "title": "name of a header that starts with `x-`", "type": "string", "pattern": "^[Xx]-[!#$%&'*+.^_`|~0-9A-Za-z-]*$" })
    }
}

impl FaultsYaml {
    /// `total` is the route's, where that is known.
    pub(crate) fn value(self, total: Option<Duration>, reader: &mut Reader<'_>) -> Option<Faults> {
        let delay = fault(self.delay, |delay| delay.value(total, reader));
        let abort = fault(self.abort, |abort| abort.value(reader));
        let drip = fault(self.drip, DripYaml::value);
        let header = fault(self.header, |header| header.0.value());
        Some(Faults { delay: delay?, abort: abort?, drip: drip?, header: header? })
    }

    pub(crate) fn of(faults: &Faults) -> Self {
        Self {
            delay: faults.delay.map(|delay| At::of(DelayYaml::of(delay))),
            abort: faults.abort.map(|abort| At::of(AbortYaml::of(abort))),
            drip: faults.drip.map(|drip| At::of(DripYaml::of(drip))),
            header: faults.header.as_ref().map(|header| At::of(Any(FaultHeaderYaml::of(header)))),
        }
    }
}

/// One that may be left out; `None` when it is written and wrong.
fn fault<Y, T>(written: Option<At<Y>>, value: impl FnOnce(Y) -> Option<T>) -> Option<Option<T>> {
    optional(written)?.map_or(Some(None), |yaml| value(yaml).map(Some))
}

impl DelayYaml {
    fn value(self, total: Option<Duration>, reader: &mut Reader<'_>) -> Option<DelayFault> {
        if let (Some(delay), Some(total)) = (self.r#for.get(), total)
            && delay.0 >= total
        {
            let what = format!(
                "{} is not shorter than `timeout.total`, {}: every request that is delayed would end in it",
                reader.shown(self.r#for.node()),
                Time::<false>(total)
            );
            reader.problem(
                self.r#for.node(),
                what,
                "make the delay shorter, or `timeout.total` longer",
            );
        }
        Some(DelayFault { duration: self.r#for.take()?.0, ratio: self.ratio.take()?.0.0 })
    }

    fn of(delay: DelayFault) -> Self {
        Self { r#for: At::of(Time(delay.duration)), ratio: At::of(Share(Percent(delay.ratio))) }
    }
}

impl AbortYaml {
    fn value(self, reader: &mut Reader<'_>) -> Option<AbortFault> {
        if let Some(Flag(true)) = self.reset.get() {
            let answer = [
                (self.status.written(), self.status.node(), "status"),
                (self.grpc_status.written(), self.grpc_status.node(), "grpc_status"),
            ];
            for (_, node, key) in answer.into_iter().filter(|(written, ..)| *written) {
                let what = "a request whose connection is reset has no answer, and so no status";
                reader.problem(node, what, format!("leave out `{key}`, or `reset: true`"));
            }
        }
        let (status, grpc) = (self.status.take()?.0, self.grpc_status.take()?);
        let end = match self.reset.take()?.0 {
            true => Abort::Reset,
            false => Abort::Answer { status: u16::try_from(status).ok()?, grpc },
        };
        Some(AbortFault { end, ratio: self.ratio.take()?.0.0 })
    }

    fn of(abort: AbortFault) -> Self {
        let ratio = At::of(Share(Percent(abort.ratio)));
        match abort.end {
            Abort::Answer { status, grpc } => Self {
                status: At::of(Count(status.into())),
                grpc_status: At::of(grpc),
                reset: At::of(Flag(false)),
                ratio,
            },
            Abort::Reset => Self {
                status: At::absent(),
                grpc_status: At::absent(),
                reset: At::of(Flag(true)),
                ratio,
            },
        }
    }
}

impl DripYaml {
    fn value(self) -> Option<DripFault> {
        Some(DripFault { rate: self.rate.take()?.0, ratio: self.ratio.take()?.0.0 })
    }

    fn of(drip: DripFault) -> Self {
        Self { rate: At::of(Size(drip.rate)), ratio: At::of(Share(Percent(drip.ratio))) }
    }
}

impl FaultHeaderYaml {
    fn value(self) -> Option<FaultHeader> {
        Some(FaultHeader {
            name: self.name.take()?.0.0,
            delay_max: optional(self.delay_max)?.map(|longest| longest.0),
            abort: self.abort.take()?.0,
            drip_min: optional(self.drip_min)?.map(|slowest| slowest.0),
        })
    }

    fn of(header: &FaultHeader) -> Self {
        Self {
            name: At::of(OwnHeader(HeaderName(header.name.clone()))),
            delay_max: header.delay_max.map(|longest| At::of(Time(longest))),
            abort: At::of(Flag(header.abort)),
            drip_min: header.drip_min.map(|slowest: ByteSize| At::of(Size(slowest))),
        }
    }
}
