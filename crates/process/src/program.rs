//! A program, from its start to its exit code.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// How long work that does not listen may hold up the exit.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Runs `program` on a runtime of its own to its end, and tells `name`'s user
/// what went wrong.
pub fn run(name: &str, program: impl Future<Output = Result<(), Box<dyn Error>>>) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| {
            let outcome = runtime.block_on(program);
            runtime.shutdown_timeout(LAST_WORK);
            outcome
        });
    exit_code(name, outcome)
}

/// The exit code of `outcome`; an error is told with all its causes.
pub fn exit_code(name: &str, outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{name}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
    ExitCode::FAILURE
}
