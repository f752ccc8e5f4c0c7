//! Between the messages of `lf.a2a.v1` and the JSON of A2A 1.0, which is their
//! ProtoJSON.
//!
//! The mapping follows the descriptors, so that names, enums, `oneof`s, bytes and
//! the well-known types are those of ProtoJSON: members of either spelling are
//! read, unknown ones ignored, empty ones left out.

use std::sync::LazyLock;

use candor_proto::a2a::{DESCRIPTOR_SET, v1};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use serde_json::{Number, Value};

use crate::error::{Error, ErrorKind};

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).ok());

/// Above this, a whole number in a double is one of several that read the same.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A message of `lf.a2a.v1`.
pub trait Wire: Message + Default {
    /// Its full name.
    const NAME: &'static str;
}

/// A request, which says for whom it is.
pub trait Request: Wire {
    /// Takes the tenant out: it routes the call to the gateway's workspace, and
    /// is not the agent's business.
    fn take_tenant(&mut self) -> String;
}

macro_rules! wire {
    ($($name:ident),* $(,)?) => {
        $(impl Wire for v1::$name {
            const NAME: &'static str = concat!("lf.a2a.v1.", stringify!($name));
        })*
    };
}

macro_rules! requests {
    ($($name:ident),* $(,)?) => {
        wire!($($name),*);
        $(impl Request for v1::$name {
            fn take_tenant(&mut self) -> String {
                std::mem::take(&mut self.tenant)
            }
        })*
    };
}

requests!(
    GetTaskRequest,
    ListTasksRequest,
    CancelTaskRequest,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
);

wire!(
    SendMessageRequest,
    SendMessageResponse,
    StreamResponse,
    Task,
    Message,
    ListTasksResponse,
    ListTaskPushNotificationConfigsResponse,
    AgentCard,
);

impl Request for v1::SendMessageRequest {
    fn take_tenant(&mut self) -> String {
        let webhook = self
            .configuration
            .as_mut()
            .and_then(|configuration| configuration.task_push_notification_config.as_mut());
        if let Some(webhook) = webhook {
            webhook.tenant.clear();
        }
        std::mem::take(&mut self.tenant)
    }
}

/// A request of gRPC, in the terms of JSON-RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The workspace's id, as the caller wrote it.
    pub tenant: String,
    /// The params of A2A 1.0: JSON.
    pub params: String,
}

/// Reads a request.
///
/// # Errors
/// `InvalidParams` for what JSON cannot say.
pub fn call<R: Request>(mut request: R) -> Result<Call, Error> {
    let tenant = request.take_tenant();
    let params = to_json(&request)?.to_string();
    Ok(Call { tenant, params })
}

/// The message that an agent's result, or an event of its stream, is: JSON of
/// A2A 1.0. A `DeleteTaskPushNotificationConfig` has no message to be read.
///
/// # Errors
/// `InvalidAgentResponse` for what is no such message.
pub fn result<M: Wire>(json: &str) -> Result<M, Error> {
    from_json(json)
        .map_err(|error| Error::new(ErrorKind::InvalidAgentResponse, error.message().to_owned()))
}

/// A message as ProtoJSON. Whole numbers of a `Struct` are written as such, since
/// an agent may tell `1` from `1.0`.
///
/// # Errors
/// `InvalidParams` for what JSON cannot say.
pub fn to_json<M: Wire>(message: &M) -> Result<Value, Error> {
    let mut dynamic = DynamicMessage::new(descriptor(M::NAME)?);
    let fails = |why: &dyn std::fmt::Display| {
        Error::new(ErrorKind::InvalidParams, format!("{}: {why}", M::NAME))
    };
    dynamic
        .transcode_from(message)
        .map_err(|error| fails(&error))?;
    let mut json = dynamic
        .serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new())
        .map_err(|error| fails(&error))?;
    whole_numbers(&mut json);
    Ok(json)
}

/// The message that this ProtoJSON is.
///
/// # Errors
/// `InvalidParams` for what is no such message.
pub fn from_json<M: Wire>(json: &str) -> Result<M, Error> {
    let fails = |why: &dyn std::fmt::Display| {
        Error::new(ErrorKind::InvalidParams, format!("{}: {why}", M::NAME))
    };
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let mut reader = serde_json::Deserializer::from_str(json);
    let dynamic =
        DynamicMessage::deserialize_with_options(descriptor(M::NAME)?, &mut reader, &options)
            .map_err(|error| fails(&error))?;
    reader.end().map_err(|error| fails(&error))?;
    dynamic.transcode_to().map_err(|error| fails(&error))
}

fn descriptor(name: &str) -> Result<MessageDescriptor, Error> {
    let found = POOL
        .as_ref()
        .and_then(|pool| pool.get_message_by_name(name));
    found.ok_or_else(|| Error::new(ErrorKind::Internal, format!("{name} is not described")))
}

fn whole_numbers(json: &mut Value) {
    match json {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            if float.fract() == 0.0
                && float.abs() < MAX_EXACT
                && float.to_bits() != (-0.0_f64).to_bits()
            {
                #[allow(clippy::cast_possible_truncation)]
                let whole = float as i64;
                *number = Number::from(whole);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        _ => {}
    }
}
