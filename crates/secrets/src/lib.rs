//! What the platform is trusted with: secrets are sealed before they are stored, and
//! what looks like one is taken out of texts that people read.

mod names;
mod redact;
mod seal;

pub use names::{check, check_amount, fits_environment, is_reserved, is_setting};
pub use redact::redact;
pub use seal::{InvalidKey, Sealer};
