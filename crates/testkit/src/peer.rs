//! Calls as Candor's own processes make them.

use candor_identity::{Keys, Signer, assertion};
use candor_kernel::Caller;
use chrono::Utc;
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::platform::IDENTITY_KEY;

/// A request of the part of the platform called `name`, made out to the service
/// `audience`.
#[must_use]
pub fn as_platform<T>(message: T, name: &str, audience: &str) -> Request<T> {
    signed(message, name, audience, IDENTITY_KEY)
}

/// A request of a process that holds `key`; unsigned when it is too weak.
#[must_use]
pub fn signed<T>(message: T, name: &str, audience: &str, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    let Ok(keys) = Keys::new(key, None) else {
        return request;
    };
    let identity = Signer::new(keys).sign(&Caller::system(name), audience, Utc::now());
    let value = MetadataValue::from_bytes(&identity);
    request
        .metadata_mut()
        .insert_bin(assertion::METADATA, value);
    request
}
