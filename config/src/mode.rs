//! Whether a policy acts, only counts, or is not asked.

use crate::scalar::word;

/// What a policy does with its verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Refuse what the policy refuses.
    #[default]
    Enforce,
    /// Let everything pass and count what would have been refused.
    Shadow,
    /// Do not ask the policy.
    Disabled,
}

word! {
    Mode is "a mode" {
        "enforce" ["on", "true", "yes", "enabled", "block", "active"] => Enforce,
        "shadow" ["dryrun", "log", "audit", "monitor", "reportonly", "detect"] => Shadow,
        "disabled" ["off", "false", "no", "none", "disable"] => Disabled,
    }
}
