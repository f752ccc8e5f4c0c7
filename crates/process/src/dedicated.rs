//! A connection that one task owns: made when it is needed, and again after it
//! was lost. Group commit has one, so that its batches do not wait for a pool.

use std::time::Duration;

use candor_kernel::Error;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};

/// See the module.
#[derive(Debug)]
pub struct Dedicated {
    options: PgConnectOptions,
    within: Duration,
    connection: Option<PgConnection>,
}

impl Dedicated {
    /// Connects with these options, within this time, on first use.
    #[must_use]
    pub fn new(options: PgConnectOptions, within: Duration) -> Self {
        Self {
            options,
            within,
            connection: None,
        }
    }

    /// The connection.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when there is none in time.
    pub async fn get(&mut self) -> Result<&mut PgConnection, Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => match tokio::time::timeout(self.within, self.options.connect()).await {
                Ok(connected) => connected.map_err(Error::store_unavailable)?,
                Err(_) => return Err(Error::store_unavailable("connecting took too long")),
            },
        };
        Ok(self.connection.insert(connection))
    }

    /// Drops a connection of which nothing good is known.
    pub fn lose(&mut self) {
        self.connection = None;
    }
}
