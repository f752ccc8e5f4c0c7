//! The addresses of agents: what may be stored, what may be dialled.
//!
//! One filter for every use, deny by default. So far it judges the address that
//! an agent registers (deviation D11); dialling comes with the relay.

mod class;
mod registered;

pub use class::{AddressClass, classify};
pub use registered::{UrlRefused, UrlVerdict, check_registered_url};
