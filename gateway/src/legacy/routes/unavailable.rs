//! Routes of the legacy API that Candor does not serve (deviation D50).

use std::sync::Arc;

use candor_kernel::{Error, Reason};

use crate::legacy::App;
use crate::legacy::answer::Answer;
use crate::legacy::call::Call;

/// 501; the caller was authenticated as on a route that is served.
pub(crate) async fn unavailable(_: Arc<App>, _: Call) -> Answer {
    Err(Error::new(
        Reason::NotAvailable,
        "this feature is not available on this platform",
    ))
}
