//! Which installation this is.

use candor_kernel::Error;
use candor_process::pool::store_error;
use uuid::Uuid;

use super::Store;

impl Store {
    /// The id of this installation: one for all provisioners of a database, for as long
    /// as the database lasts. Whoever asks first makes it.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when Postgres does not answer.
    pub async fn installation(&self) -> Result<Uuid, Error> {
        let mut connection = self.connection().await?;
        sqlx::query!("INSERT INTO provisioner.installation DEFAULT VALUES ON CONFLICT DO NOTHING")
            .execute(&mut *connection)
            .await
            .map_err(store_error)?;
        sqlx::query_scalar!("SELECT id FROM provisioner.installation")
            .fetch_one(&mut *connection)
            .await
            .map_err(store_error)
    }

    /// A readiness check: the tables are there.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when Postgres does not answer.
    pub async fn check(&self) -> Result<(), Error> {
        let mut connection = self.connection().await?;
        sqlx::query!("SELECT FROM provisioner.instances LIMIT 1")
            .execute(&mut *connection)
            .await
            .map_err(store_error)?;
        Ok(())
    }
}
