//! Runs a private Postgres in the folder that is given, prints its process id
//! and its URL, and stops it on Ctrl-C.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use candor_process::data_dir::DataDir;
use candor_process::drain::Drain;
use candor_process::postgres::{PostgresSettings, PrivatePostgres};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: private_postgres FOLDER")?;
    let drain = Drain::new(Duration::from_secs(20));
    drain.on_signals()?;
    let owned = DataDir::open(Path::new(&path))?;
    let postgres = PrivatePostgres::start(&owned, &PostgresSettings::default()).await?;
    println!("{}\n{}", postgres.pid(), postgres.url());
    drain.finished().await?;
    postgres.stop().await?;
    Ok(())
}
