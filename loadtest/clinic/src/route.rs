/// The nine routes that have fault switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// `/epro/submissions`: answer at once, work in the background.
    Epro,
    /// `/etl/runs`: a pipeline of bounded channels.
    Etl,
    /// `/studies/{id}/report`: a deadline handed down.
    Report,
    /// `/studies/{id}/config`: read-modify-write under a mutex.
    StudyConfig,
    /// `/drugs/{code}`: a read-mostly dictionary.
    Drugs,
    /// `/patients/{id}/health-report`: three fetches at once.
    HealthReport,
    /// `/ocr/jobs`: a worker pool with a bounded queue.
    Ocr,
    /// `/partner/trials`: an open API with one key a partner.
    Partner,
    /// `/drug-info/{code}`: a call to a dependency.
    DrugInfo,
}

impl Route {
    /// All routes, in the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::Epro,
        Self::Etl,
        Self::Report,
        Self::StudyConfig,
        Self::Drugs,
        Self::HealthReport,
        Self::Ocr,
        Self::Partner,
        Self::DrugInfo,
    ];

    /// The route's short name, as `/faults` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epro => "epro",
            Self::Etl => "etl",
            Self::Report => "report",
            Self::StudyConfig => "study-config",
            Self::Drugs => "drugs",
            Self::HealthReport => "health-report",
            Self::Ocr => "ocr",
            Self::Partner => "partner",
            Self::DrugInfo => "drug-info",
        }
    }

    /// The route with this short name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.name() == name)
    }

    /// Whether the route has a `leak` switch; the other three every route has.
    pub(crate) fn can_leak(self) -> bool {
        !matches!(self, Self::Drugs | Self::Partner | Self::DrugInfo)
    }
}
