//! What the agent can ask of the platform, as tools of the Model Context Protocol over
//! standard input and output. Nothing but the protocol is written to standard output.

mod answer;
mod delegations;
mod tools;

use std::io;

use rmcp::ServiceExt as _;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncRead, AsyncWrite};

use self::tools::Tools;
use crate::platform::Platform;

/// Longest message that is read, in bytes: a task with everything that belongs to it.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// Why the server ended otherwise than by the end of its input.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// The client did not say what it is.
    #[error("the MCP client did not initialize: {0}")]
    Initialize(String),
    /// The server broke off.
    #[error("the MCP server broke off: {0}")]
    Broken(#[from] io::Error),
}

/// Serves the tools over standard input and output until the input ends.
///
/// # Errors
/// [`McpError`].
pub async fn serve_stdio(platform: Platform) -> Result<(), McpError> {
    let (input, output) = rmcp::transport::stdio();
    serve(platform, input, output).await
}

/// Serves the tools over any pair of streams until the input ends.
///
/// # Errors
/// [`McpError`].
pub async fn serve<R, W>(platform: Platform, input: R, output: W) -> Result<(), McpError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let transport = AsyncRwTransport::new(input, output).with_max_line_length(LONGEST_LINE);
    let service = Tools::new(platform).serve(transport).await;
    let service = service.map_err(|error| McpError::Initialize(error.to_string()))?;
    let ended = service.waiting().await;
    ended
        .map(drop)
        .map_err(|error| io::Error::other(error).into())
}
