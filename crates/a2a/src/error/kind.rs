//! The kinds of errors, and their number in each binding.

use tonic::Code;

/// What went wrong, in the protocol's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such task, or not the caller's: the two must not be told apart.
    TaskNotFound,
    /// The task has ended.
    TaskNotCancelable,
    /// The agent has no webhooks.
    PushNotificationNotSupported,
    /// The agent does not do this.
    UnsupportedOperation,
    /// The agent does not read, or not write, this media type.
    ContentTypeNotSupported,
    /// The agent's answer is not one of the protocol.
    InvalidAgentResponse,
    /// The agent has no extended card.
    ExtendedCardNotConfigured,
    /// The agent insists on an extension that the caller did not name.
    ExtensionSupportRequired,
    /// The version that the caller asks for is not spoken.
    VersionNotSupported,
    /// Not JSON.
    Parse,
    /// JSON, but not a request of JSON-RPC 2.0.
    InvalidRequest,
    /// No such operation.
    MethodNotFound,
    /// The params are not those of the operation.
    InvalidParams,
    /// A defect.
    Internal,
    /// Between caller and agent something refused or failed, with this code in
    /// gRPC. JSON-RPC has one code for all of them, in the range that it leaves
    /// to servers.
    Platform(Code),
    /// A JSON-RPC code that is the agent's own.
    Agent(i64),
}

/// JSON-RPC code, reason, gRPC code, HTTP status.
type Row = (i64, &'static str, Code, u16);

impl ErrorKind {
    /// Every kind that has a number of its own.
    pub const ALL: [Self; 14] = [
        Self::TaskNotFound,
        Self::TaskNotCancelable,
        Self::PushNotificationNotSupported,
        Self::UnsupportedOperation,
        Self::ContentTypeNotSupported,
        Self::InvalidAgentResponse,
        Self::ExtendedCardNotConfigured,
        Self::ExtensionSupportRequired,
        Self::VersionNotSupported,
        Self::Parse,
        Self::InvalidRequest,
        Self::MethodNotFound,
        Self::InvalidParams,
        Self::Internal,
    ];

    const fn row(self) -> Row {
        use Code::{FailedPrecondition, InvalidArgument, NotFound, Unimplemented};
        match self {
            Self::TaskNotFound => (-32001, "TASK_NOT_FOUND", NotFound, 404),
            Self::TaskNotCancelable => (-32002, "TASK_NOT_CANCELABLE", FailedPrecondition, 400),
            Self::PushNotificationNotSupported => (
                -32003,
                "PUSH_NOTIFICATION_NOT_SUPPORTED",
                FailedPrecondition,
                400,
            ),
            Self::UnsupportedOperation => {
                (-32004, "UNSUPPORTED_OPERATION", FailedPrecondition, 400)
            }
            Self::ContentTypeNotSupported => {
                (-32005, "CONTENT_TYPE_NOT_SUPPORTED", InvalidArgument, 400)
            }
            Self::InvalidAgentResponse => (-32006, "INVALID_AGENT_RESPONSE", Code::Internal, 500),
            Self::ExtendedCardNotConfigured => (
                -32007,
                "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
                FailedPrecondition,
                400,
            ),
            Self::ExtensionSupportRequired => (
                -32008,
                "EXTENSION_SUPPORT_REQUIRED",
                FailedPrecondition,
                400,
            ),
            Self::VersionNotSupported => (-32009, "VERSION_NOT_SUPPORTED", FailedPrecondition, 400),
            Self::Parse => (-32700, "PARSE_ERROR", InvalidArgument, 400),
            Self::InvalidRequest => (-32600, "INVALID_REQUEST", InvalidArgument, 400),
            Self::MethodNotFound => (-32601, "METHOD_NOT_FOUND", Unimplemented, 501),
            Self::InvalidParams => (-32602, "INVALID_PARAMS", InvalidArgument, 400),
            Self::Internal => (-32603, "INTERNAL", Code::Internal, 500),
            Self::Platform(code) => (-32000, "PLATFORM", code, http_of(code)),
            Self::Agent(code) => (code, "AGENT", Code::Unknown, 500),
        }
    }

    /// `error.code` of JSON-RPC.
    #[must_use]
    pub const fn jsonrpc_code(self) -> i64 {
        self.row().0
    }

    /// `google.rpc.ErrorInfo.reason`: the error's name in upper snake case,
    /// without `Error`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        self.row().1
    }

    /// The status code of the gRPC binding.
    #[must_use]
    pub const fn grpc_code(self) -> Code {
        self.row().2
    }

    /// The status of the HTTP+JSON binding.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        self.row().3
    }

    /// Whether the error is one of A2A's own, and so has its reason in
    /// [`super::DOMAIN`]; JSON-RPC's five have their code only.
    #[must_use]
    pub const fn is_of_a2a(self) -> bool {
        matches!(self.jsonrpc_code(), -32099..=-32001) && !matches!(self, Self::Agent(_))
    }

    /// The kind of a JSON-RPC code.
    #[must_use]
    pub fn from_jsonrpc(code: i64) -> Self {
        Self::ALL
            .into_iter()
            .find(|kind| kind.jsonrpc_code() == code)
            .unwrap_or(Self::Agent(code))
    }
}

/// The gRPC code of an HTTP status with which an agent, or what stands before
/// it, answered without a JSON-RPC body (`google.rpc.Code`).
#[must_use]
pub const fn code_of_http(status: u16) -> Code {
    match status {
        200..=299 => Code::Ok,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 | 410 => Code::NotFound,
        409 => Code::Aborted,
        408 | 504 => Code::DeadlineExceeded,
        429 => Code::ResourceExhausted,
        499 => Code::Cancelled,
        405 | 501 => Code::Unimplemented,
        502 | 503 => Code::Unavailable,
        400..=498 => Code::InvalidArgument,
        500..=599 => Code::Internal,
        _ => Code::Unknown,
    }
}

/// The HTTP status of a gRPC code (`google.rpc.Code`).
#[must_use]
pub const fn http_of(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::Cancelled => 499,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::DeadlineExceeded => 504,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::PermissionDenied => 403,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::Unauthenticated => 401,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    }
}
