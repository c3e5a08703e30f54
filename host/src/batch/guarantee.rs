//! What users may count on at the two ends of a job, whatever dies and is started again.

use std::fmt;

/// How often what a source has received counts, or what a sink shows is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarantee {
    /// How often.
    pub delivery: Delivery,
    /// On what condition, or what happens where it does not hold.
    pub condition: &'static str,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delivery = match self.delivery {
            Delivery::ExactlyOnce => "exactly once",
            Delivery::AtLeastOnce => "at least once",
            Delivery::AtMostOnce => "at most once",
        };
        write!(f, "{delivery}: {}", self.condition)
    }
}

/// How often something counts or is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Once, whatever happens.
    ExactlyOnce,
    /// Once, and maybe again after a crash.
    AtLeastOnce,
    /// Once, or not at all where a crash comes between.
    AtMostOnce,
}
