//! Open files: a socket is one here and one in the platform.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::Result;

/// Beside the sockets.
const OTHERS: u64 = 512;

/// Lets this process, and what it starts, open so many sockets. Only the soft
/// limit is raised.
pub fn allow(sockets: usize) -> Result<()> {
    let wanted = sockets as u64 + OTHERS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if wanted > hard {
        return Err(format!(
            "{sockets} sockets need {wanted} open files, and {hard} is the most that may be had (ulimit -Hn)"
        )
        .into());
    }
    if wanted > soft {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(())
}
