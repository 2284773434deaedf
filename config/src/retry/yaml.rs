//! `retry:` as it is written.

use std::time::Duration;

use crate::{
    Ratio, Retry, RetryBudget, RetryOn,
    decode::{At, List, Reader, Section, section},
    scalar::{Count, Decimal, Method, Or, Percent, Period, Time, word},
};

section! {
    /// When a request that has failed is tried again: on another endpoint where there is one, within its deadline and the budget, and never after a byte of an answer has gone to the client.
    struct RetryYaml {
        /// Tries beyond the first, as in the Kubernetes Gateway API; zero is none.
        attempts: At<Count<0, 10>> = Count(0),
        /// What is tried again: failures (`connect`: no connection, so nothing was sent; `reset`: the connection ended without an answer; `first_byte`: no answer in time; `unavailable`: gRPC's status 14) and statuses. An answer that says when to come back (`Retry-After`, `grpc-retry-pushback-ms`) is kept to, or passed on.
        on: At<List<OnYaml, 1>> = List(DEFAULT_ON.iter().map(|on| At::of(of_on(on))).collect()),
        /// Methods that may be repeated although the service may have heard the first; others are tried again only when nothing was sent. Bodies above 64 KiB are not repeated.
        methods: At<List<Method, 1>> = methods(IDEMPOTENT),
        /// The longest pause before the first try again, drawn by lot; twice as long before each further one, up to 250 ms.
        backoff: At<Period> = Time(BACKOFF),
        /// How many may be tried again beside the requests of the route, connections that had ended in the pool included.
        budget: Section<BudgetYaml>,
    }
}

section! {
    /// How many tries again there may be, so that a service that fails is not asked for a multiple of what it fails at.
    struct BudgetYaml {
        /// For each request; zero is none.
        ratio: At<Percent<true>> = Percent(Ratio::FIFTH),
        /// A second, whatever the number of requests; zero is none.
        per_second: At<Decimal<0, 10_000_000_000>> = Decimal(10.0),
    }
}

/// What says that the service did not do what it was asked, or that a gateway before it could not ask.
const DEFAULT_ON: [RetryOn; 5] = [
    RetryOn::Connect,
    RetryOn::Reset,
    RetryOn::Status(502),
    RetryOn::Status(503),
    RetryOn::Status(504),
];

/// Envoy's; long enough for a process that starts again to be there, and for a crowd to part.
const BACKOFF: Duration = Duration::from_millis(25);

/// RFC 9110, section 9.2.2.
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];

/// One of `on`.
type OnYaml = Or<Failure, Count<400, 599>>;

/// A failure that has a name.
#[derive(Clone, Copy)]
pub(crate) enum Failure {
    Connect,
    Reset,
    FirstByte,
    Unavailable,
}

word! {
    Failure is "a failure" {
        "connect" ["connectfailure", "connfailure", "error", "refused"] => Connect,
        "reset" ["emptyresponse", "junkresponse", "refusedstream", "connectionreset"] => Reset,
        "first_byte" ["timeout", "responsetimeout", "pertrytimeout"] => FirstByte,
        "unavailable" ["grpcunavailable"] => Unavailable,
    }
}

impl RetryYaml {
    pub(crate) fn value(self, reader: &mut Reader<'_>) -> Option<Retry> {
        let budget_at = self.budget.0.node();
        let budget = self.budget.0.take()?;
        let attempts = self.attempts.take()?.0;
        let (ratio, per_second) = (budget.ratio.take()?.0, budget.per_second.take()?.0);
        if attempts > 0 && ratio.get() == 0.0 && per_second == 0.0 {
            let help =
                "write `ratio: 20%` or `per_second: 10`, or `attempts: 0` for no tries again";
            reader.problem(budget_at, "nothing can be tried again within a budget of zero", help);
            return None;
        }
        let on: Option<Vec<_>> =
            self.on.take()?.0.into_iter().map(|on| Some(on_of(on.take()?))).collect();
        let methods = self.methods.take()?.0.into_iter().map(|method| Some(method.take()?.0));
        Some(Retry {
            attempts,
            on: on?,
            methods: methods.collect::<Option<_>>()?,
            backoff: self.backoff.take()?.0,
            budget: RetryBudget { ratio, per_second },
        })
    }

    pub(crate) fn of(retry: &Retry) -> Self {
        let RetryBudget { ratio, per_second } = retry.budget;
        let budget =
            BudgetYaml { ratio: At::of(Percent(ratio)), per_second: At::of(Decimal(per_second)) };
        Self {
            attempts: At::of(Count(retry.attempts)),
            on: At::of(List(retry.on.iter().map(|on| At::of(of_on(on))).collect())),
            methods: At::of(methods(retry.methods.iter().map(String::as_str))),
            backoff: At::of(Time(retry.backoff)),
            budget: Section(At::of(budget)),
        }
    }
}

fn methods<'a>(methods: impl IntoIterator<Item = &'a str>) -> List<Method, 1> {
    List(methods.into_iter().map(|method| At::of(Method(method.to_owned()))).collect())
}

fn on_of(yaml: OnYaml) -> RetryOn {
    match yaml {
        Or::Word(Failure::Connect) => RetryOn::Connect,
        Or::Word(Failure::Reset) => RetryOn::Reset,
        Or::Word(Failure::FirstByte) => RetryOn::FirstByte,
        Or::Word(Failure::Unavailable) => RetryOn::Unavailable,
        // Between 400 and 599.
        Or::Value(status) => RetryOn::Status(u16::try_from(status.0).unwrap_or(599)),
    }
}

fn of_on(on: &RetryOn) -> OnYaml {
    match on {
        RetryOn::Connect => Or::Word(Failure::Connect),
        RetryOn::Reset => Or::Word(Failure::Reset),
        RetryOn::FirstByte => Or::Word(Failure::FirstByte),
        RetryOn::Unavailable => Or::Word(Failure::Unavailable),
        RetryOn::Status(status) => Or::Value(Count(u32::from(*status))),
    }
}
