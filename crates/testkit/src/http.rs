//! A small HTTP/1.1 client that sends exactly what it is told to.
//!
//! Targets are written on the wire as given (`//health`, `/workspaces/{id}`),
//! bodies are bytes (truncated JSON, NUL, two megabytes), and one client keeps
//! one connection, so that a test knows which socket it speaks over.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// How long one call may take, connection included, unless told otherwise.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// Why a call has no answer. Whether the platform acted on it is unknown, but
/// for [`ClientError::Connect`] and [`ClientError::Malformed`], which sent nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens, or it does not accept.
    #[error("connect: {0}")]
    Connect(#[source] std::io::Error),
    /// The connection broke, or what came was no HTTP.
    #[error("exchange: {0}")]
    Exchange(#[from] hyper::Error),
    /// No whole answer in time.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// The call cannot be written as HTTP.
    #[error("malformed call: {0}")]
    Malformed(#[from] http::Error),
}

/// One request, as data.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Bytes>,
}

/// One answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// An answer whose body is read as it comes.
#[derive(Debug)]
pub struct Opened {
    /// The status code.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
    read: usize,
    // Kept, so that dropping it is what closes the connection.
    _connection: Connection,
}

/// One keep-alive connection to one address, made when it is needed.
#[derive(Debug)]
pub struct Client {
    addr: SocketAddr,
    deadline: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

// === impl Call ===

impl Call {
    /// Any method; `target` goes on the wire as it is.
    #[must_use]
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// A GET.
    #[must_use]
    pub fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    /// A POST of JSON.
    #[must_use]
    pub fn post(target: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::POST, target).json(body)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// A JSON body, compact.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// A body of any bytes.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    fn request(&self, host: SocketAddr) -> Result<Request<Full<Bytes>>, ClientError> {
        let uri = Uri::builder()
            .path_and_query(self.target.as_str())
            .build()?;
        let mut request = Request::new(Full::new(self.body.clone().unwrap_or_default()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(&host.to_string()).map_err(http::Error::from)?;
        headers.insert(http::header::HOST, host);
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().map_err(http::Error::from)?;
            let value: HeaderValue = value.parse().map_err(http::Error::from)?;
            headers.append(name, value);
        }
        Ok(request)
    }
}

// === impl Answer ===

impl Answer {
    /// The body as text; bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A header's text; empty when it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        self.headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default()
    }
}

// === impl Client ===

impl Client {
    /// Connects on the first call.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            deadline: DEADLINE,
            connection: None,
        }
    }

    /// The same with another deadline for each call.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Where it connects to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends one call and reads the whole answer. Never repeats a call.
    ///
    /// # Errors
    /// [`ClientError`]; the next call makes a new connection.
    pub async fn send(&mut self, call: Call) -> Result<Answer, ClientError> {
        let request = call.request(self.addr)?;
        let connection = self.connection.take();
        let exchange = exchange(self.addr, connection, request);
        let (answer, connection) = tokio::time::timeout(self.deadline, exchange)
            .await
            .map_err(|_| ClientError::Deadline(self.deadline))??;
        self.connection = Some(connection);
        Ok(answer)
    }

    /// Sends one call on a connection of its own, and answers once its head is there.
    /// The connection is closed when what is answered is dropped.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open(&self, call: Call) -> Result<Opened, ClientError> {
        let request = call.request(self.addr)?;
        let opening = async {
            let mut connection = ready(self.addr, None).await?;
            let response = connection.send_request(request).await?;
            Ok(Opened {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: response.into_body(),
                read: 0,
                _connection: connection,
            })
        };
        tokio::time::timeout(self.deadline, opening)
            .await
            .map_err(|_| ClientError::Deadline(self.deadline))?
    }

    /// Sends one call on a connection of its own and reads its body until it
    /// holds `wanted`: for streams, which do not end. Answers the head and what
    /// was read.
    ///
    /// # Errors
    /// [`ClientError`]; also when the body ends, or `within` is over, before.
    pub async fn read_until(
        &self,
        call: Call,
        wanted: &str,
        within: Duration,
    ) -> Result<(Answer, String), ClientError> {
        let reading = async {
            let mut opened = self.open(call).await?;
            let read = opened.read_until(wanted, within).await?;
            let answer = Answer {
                status: opened.status,
                headers: opened.headers,
                body: Bytes::new(),
            };
            Ok((answer, read))
        };
        tokio::time::timeout(within, reading)
            .await
            .map_err(|_| ClientError::Deadline(within))?
    }
}

// === impl Opened ===

impl Opened {
    /// The next bytes; none at the end of the body.
    ///
    /// # Errors
    /// [`ClientError`]; also when none come `within` that time.
    pub async fn next(&mut self, within: Duration) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = tokio::time::timeout(within, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| ClientError::Deadline(within))? else {
                return Ok(None);
            };
            if let Ok(data) = frame?.into_data() {
                self.read += data.len();
                return Ok(Some(data));
            }
        }
    }

    /// Reads on until what was read by this call holds `wanted`, and answers it.
    ///
    /// # Errors
    /// [`ClientError`]; also when the body ends before.
    pub async fn read_until(
        &mut self,
        wanted: &str,
        within: Duration,
    ) -> Result<String, ClientError> {
        let mut read = String::new();
        while !read.contains(wanted) {
            let Some(data) = self.next(within).await? else {
                return Err(ClientError::Deadline(within));
            };
            read.push_str(&String::from_utf8_lossy(&data));
        }
        Ok(read)
    }

    /// Bytes of the body up to now.
    #[must_use]
    pub const fn bytes_read(&self) -> usize {
        self.read
    }
}

type Connection = SendRequest<Full<Bytes>>;

async fn exchange(
    addr: SocketAddr,
    connection: Option<Connection>,
    request: Request<Full<Bytes>>,
) -> Result<(Answer, Connection), ClientError> {
    let mut connection = ready(addr, connection).await?;
    let response = connection.send_request(request).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let answer = Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
    };
    Ok((answer, connection))
}

/// A connection that the other end has not closed meanwhile.
async fn ready(
    addr: SocketAddr,
    connection: Option<Connection>,
) -> Result<Connection, ClientError> {
    if let Some(mut connection) = connection
        && connection.ready().await.is_ok()
    {
        return Ok(connection);
    }
    let stream = TcpStream::connect(addr)
        .await
        .map_err(ClientError::Connect)?;
    stream.set_nodelay(true).map_err(ClientError::Connect)?;
    let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
    // The driver ends when the connection is dropped; its error reaches the
    // caller through `send_request`.
    tokio::spawn(driver);
    Ok(connection)
}
