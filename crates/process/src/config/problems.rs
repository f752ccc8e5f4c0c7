//! Collects everything that is wrong with the settings, to report it at once.

use std::fmt::{self, Display};

/// A value that must not be shown: `Debug` hides it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }
    /// The value itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Everything that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used:")?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// Both, or everything that is wrong with either.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn both<A, B>(one: Result<A, Self>, other: Result<B, Self>) -> Result<(A, B), Self> {
        match (one, other) {
            (Ok(one), Ok(other)) => Ok((one, other)),
            (Err(Self(mut wrong)), Err(Self(more))) => {
                wrong.extend(more);
                Err(Self(wrong))
            }
            (Err(wrong), Ok(_)) | (Ok(_), Err(wrong)) => Err(wrong),
        }
    }
}

/// The problems found so far, and where settings without a flag come from.
pub struct Problems<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    found: Vec<String>,
}

impl<'a> Problems<'a> {
    /// `environment` gives the value of a variable; tests pass a table.
    #[must_use]
    pub fn new(environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            environment,
            found: Vec::new(),
        }
    }

    /// Notes a problem.
    pub fn add(&mut self, setting: &str, problem: impl Display) {
        self.found.push(format!("{setting}: {problem}"));
    }

    /// The given value (a flag or a `CANDOR_*` variable, named by `setting`), else the first
    /// legacy variable that is set and not blank, with the name it came from.
    #[must_use]
    pub fn first(
        &self,
        setting: &'static str,
        given: Option<String>,
        legacy: &[&'static str],
    ) -> Option<(&'static str, String)> {
        given
            .map(|value| (setting, value))
            .filter(|(_, value)| !value.trim().is_empty())
            .or_else(|| {
                legacy.iter().find_map(|name| {
                    let value = (self.environment)(name)?;
                    (!value.trim().is_empty()).then_some((*name, value))
                })
            })
    }

    /// The first value that is set, parsed; a problem if it does not parse.
    pub fn parse<T, E: Display>(
        &mut self,
        setting: &'static str,
        given: Option<String>,
        legacy: &[&'static str],
        parser: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (name, value) = self.first(setting, given, legacy)?;
        match parser(value.trim()) {
            Ok(parsed) => Some(parsed),
            Err(problem) => {
                self.add(name, problem);
                None
            }
        }
    }

    /// `value` if nothing was wrong.
    ///
    /// # Errors
    /// Everything that was wrong.
    pub fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.found.is_empty() {
            Ok(value)
        } else {
            Err(ConfigError(self.found))
        }
    }
}
