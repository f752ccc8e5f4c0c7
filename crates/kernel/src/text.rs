//! Texts that are stored.

use crate::Error;

/// Refuses a text that a Postgres `text` column cannot hold: one with a NUL.
///
/// # Errors
/// A field error that names the field.
pub fn storable(field: &'static str, text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(Error::field(
            field,
            format!("{field} must not contain NUL characters"),
        ));
    }
    Ok(())
}
