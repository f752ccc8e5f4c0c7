//! Settings: flags, then `CANDOR_*` variables, then the legacy names; parsed
//! once into typed values, all errors reported together (design section 2).

mod args;
mod duration;
mod key_file;
mod listener;
mod parsers;
pub mod ports;
mod problems;
mod security;
mod shared;

pub use args::{SharedArgs, TelemetryArgs};
pub use duration::{DurationError, parse_duration};
pub use listener::{AuthMode, Exposure};
pub use parsers::address;
pub use problems::{ConfigError, Problems, Secret};
pub use security::Security;
pub use shared::{DEFAULT_DATA_DIR, LegacySettings, Listen, SharedConfig};
